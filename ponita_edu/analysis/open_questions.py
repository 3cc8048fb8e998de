"""The questions that the paper leaves open, answered from the files in results/: no number here is typed (notebook 13).

    python -m ponita_edu.analysis.open_questions
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ponita_edu.analysis.laws import mean_interval

RESULTS = Path(__file__).resolve().parents[2] / "results"
MISSING = "not measured yet"


class Answer(NamedTuple):
    """A row of the table: the question, what was measured, the answer, the command and its minutes."""

    question: str
    measured: str
    answer: str
    command: str
    minutes: float | None


def band_limited(data: dict[str, Any]) -> Answer:
    """What do band-limited kernels buy?"""
    said = [f"{arm}: MSE {s['mse']:.4f}" + (f" ± {s['half_width']:.4f}" if s["seeds"] > 1 else "")
            + f", error of equivariance at most {s['equivariance']:.0e}" for arm, s in data["summary"].items()]
    return Answer("What do band-limited kernels buy?",
                  f"N-body networks at {data['steps']} steps, {min(s['seeds'] for s in data['summary'].values())} "
                  "seeds, 95 % intervals", "; ".join(said), data["command"] + " --out results/band_limited.json",
                  data["processor_minutes"])


def other_groups(data: dict[str, Any]) -> Answer:
    """Does the recipe carry over to other groups?"""
    rows = data["rows"]
    worse = []
    for row in rows:
        above, below = (row[kind]["error_moved"]["values"] for kind in ("control_network", "network"))
        worse.append(f"{row['group']} {times(above, below)}")
    change = max(row["network"]["change"]["median"] for row in rows)
    enough = all(row["needed"] == row["rank"] and row["collisions"] == 0 for row in rows)
    return Answer(
        "Does the recipe carry over to other groups?",
        f"ranks, searches for collisions, small networks on a toy task each: {', '.join(r['group'] for r in rows)}; "
        f"{data['seeds']} seeds, 95 % intervals",
        f"{'Yes' if enough else 'Not for all'}: {sum(r['collisions'] for r in rows)} collisions in "
        f"{sum(r['searched'] for r in rows)} searches ({sum(r['control_collisions'] for r in rows)} of "
        f"{sum(r['control_searched'] for r in rows)} with a number left out); moving the data changes predictions by a "
        f"median below {_bound(change)}, and the squared error of a network on coordinates there is so many times as "
        f"large: {', '.join(worse)}",
        data["command"] + " --out results/other_groups.json", data["minutes"])


def polynomial_degree(data: dict[str, Any]) -> Answer:
    """Which polynomial degree, and are polynomials right for the distance?"""
    said, seeds = [], []
    for task in ("N-body", "forces"):
        rows = {r["features"]: r for r in data["summary"] if r["task"] == task and r["rate"] == max(
            r["rate"] for r in data["summary"])}
        if not {"distinct 6", "ordered 3", "bessel 8"} <= rows.keys():
            continue
        best = min((r for r in rows.values() if r["features"].startswith("distinct")), key=lambda r: r["error"])
        said.append(f"{task}: best degree {best['features'].split()[1]}; against degree 3, the error of degree 6 is "
                    f"{ratio(rows['distinct 6'])}, of degree 3 with duplicates {ratio(rows['ordered 3'])}, of Bessel "
                    f"functions {ratio(rows['bessel 8'])}")
        seeds.append(min(rows[name]["seeds"] for name in ("distinct 3", "distinct 6", "ordered 3", "bessel 8")))
    return Answer(
        "Which polynomial degree, and are polynomials right for the distance?",
        f"small networks at {data['rows'][0]['steps']} steps, {min(seeds, default=0)} seeds, degrees 1 to 6 with and "
        "without duplicates, Bessel functions and Gaussians; 95 % intervals",
        "; ".join(said) or MISSING, data["command"], data["minutes"])


def high_symmetry(data: dict[str, Any]) -> Answer:
    """Check 1: are the numbers one-to-one where symmetry is high?"""
    def defects(name: str) -> str:
        rows = [r for r in data["molecules"] if r["set"] == name]
        return f"{sum(r['unexplained'] for r in rows):,}, in {sum(r['unexplained'] > 0 for r in rows)} of {len(rows)}"

    lost = [r for r in data["pairs"] if r["set"] == "r3s2_e3" and r["collision"] == "found"]
    return Answer(
        "Check 1: are the numbers one-to-one where symmetry is high?",
        "collisions that no motion explains, among all pairs of atoms and orientations of 8 molecules, C1 to Oh and Ih",
        f"Complete four: {defects('r3s2_e3')} molecules, and {len(lost)} at single pairs whose orbit is smaller; "
        f"the paper's triple: {defects('r3s2_triple')} molecules", data["command"], data["processor_minutes"])


def separability(data: dict[str, Any]) -> Answer:
    """Check 2: separable against full SE(3) convolution"""
    def rows(task: str, kind: str, layers: int, pick: Callable = min) -> list[dict[str, Any]]:
        mine = [r for r in data["networks"] if (r["task"], r["kind"], r["layers"], r["rate"]) == (
            task, kind, layers, 0.01)]
        return [r for r in mine if r["steps"] == pick(r["steps"] for r in mine)]

    def errors(*which: Any) -> str:
        return with_interval([r["error"] for r in rows(*which)], ".2f")

    said, longer = [], []
    for task, layers in (("crossed kernel", 1), ("random kernel", 1), ("N-body", 2), ("forces", 2)):
        said.append(f"{task} " + " / ".join(errors(task, kind, layers) for kind in ("separable", "complete", "frames")))
        longer.append(errors(task, "separable", layers, max))
    cost = times(*([r["milliseconds"] for r in rows("N-body", kind, 2)] for kind in ("complete", "separable")))
    return Answer(
        "Check 2: separable against full SE(3) convolution",
        f"networks of equal size on 5 tasks, {len(data['about']['seeds'])} seeds, 95 % intervals",
        "Relative error, separable / full with four numbers / on frames, after equal steps: " + ", ".join(said)
        + "; separable for the time of the full one: " + ", ".join(longer)
        + f" (a full step on N-body costs so many times as much: {cost})",
        data["about"]["command"], data["about"]["minutes"])


def scale(data: dict[str, Any]) -> Answer:
    """Check 3: does it stand large systems?"""
    rows = [r for r in data["rows"] if r["network"] == "small"]
    last, slope = max(rows, key=lambda r: r["atoms"]), data["slopes"]["small"]["seconds"]
    return Answer(
        "Check 3: does it stand large systems?",
        f"energy and forces of {min(r['atoms'] for r in rows):,} to {last['atoms']:,} periodic atoms, one core",
        f"{last['seconds']:.0f} s and {last['peak_MB'] / 1000:.1f} GB for {last['atoms']:,} atoms; time grows with "
        f"power {slope:.2f} of their number", data["command"], sum(r["seconds"] for r in data["rows"]) / 60)


def kernel_classes(data: dict[str, Any]) -> Answer:
    """How many kernel evaluations does a structure need?"""
    rows = {r["structure"]: r for r in data["rows"] if r["grid"] == "icosahedron" and not r["turned"]}
    turned = {r["structure"]: r for r in data["rows"] if r["grid"] == "icosahedron" and r["turned"]}
    said = []
    for name in ("C60", "rock salt, 27 cells", "ethanol, a frame at 500 K"):
        n, basis = rows[name]["evaluations"], rows[name]["basis_ms"]
        said.append(f"{name}: {n['all']:,} become {n['classes']:,} (library {n['library']:,}; turned off the grid "
                    f"{turned[name]['evaluations']['classes']:,}), the basis {basis['all'] / basis['classes']:.1f} "
                    "times as fast")
    return Answer(
        "How many kernel evaluations does a structure need?",
        f"{len(rows)} molecules and crystals on 12 orientations, counted while the network runs; processor time",
        "; ".join(said), data["command"], data["processor_minutes"])


def orientation_bound(data: dict[str, Any]) -> Answer:
    """How many orientations are enough?"""
    found = data["networks"]
    layers = [row["measured"] / row["law"] for net in found.values() for row in net["layers"]]
    low, high = (pick(net["off"][key] for net in found.values()) for pick, key in ((min, "least"), (max, "most")))
    means = [net["off"]["mean"] for net in found.values()]
    enough = "; ".join(f"{name}: {', '.join(f'{n} ({key})' if n else f'none tried ({key})' for key, n in ways.items())}"
                       for name, ways in ((name, net["enough"]) for name, net in found.items()))
    kink, smooth = data["kink"]
    gain = kink["errors"][2][0] / smooth["errors"][2][0]
    return Answer(
        "How many orientations are enough?",
        f"spectra of the kernels of networks ({'; '.join(found)}), the error predicted from them on grids "
        "of 6 to 110 points, and the error measured",
        f"One layer's error is that of the law, {min(layers):.2f} to {max(layers):.2f} times; a network's "
        f"{times(means, [1.0] * len(means))} times what is predicted, as a mean over grids with its interval over "
        f"networks, and {low:.2f} to {high:.2f} times on single grids. For 1 %: {enough}. A layer's error falls like "
        f"N^{kink['slope']:.2f} ± {kink['error']:.2f}; with |r_⊥|² for |r_⊥|, which has a kink, like "
        f"N^{smooth['slope']:.2f} ± {smooth['error']:.2f}, and is {gain:.0f} times smaller at N = "
        f"{kink['x'][2]}",
        data["command"] + " --out results/orientation_bound.json",
        data["processor_minutes"])


def large_systems(data: dict[str, Any]) -> Answer:
    """Does a network trained on small systems serve large ones?"""
    said = []
    for arm in dict.fromkeys(row["arm"] for row in data["rows"]):
        mine = [row for row in data["rows"] if row["arm"] == arm]
        sizes = [s for row in mine for s in row["sizes"] if s["atoms"] >= 9]  # methane and single waters are too easy
        forces = []
        for family in dict.fromkeys(s["family"] for s in sizes):
            ends = [pick(s["atoms"] for s in sizes if s["family"] == family) for pick in (min, max)]
            errors = [with_interval([s["forces_meV_per_A"] for s in sizes if (s["family"], s["atoms"]) == (family, n)],
                                    ".0f") for n in ends]
            forces.append(f"{family} {' → '.join(errors)} ({ends[0]} → {ends[1]} atoms)")
        apart = max(row["consistency_eV"]["20 Å apart"] for row in mine)
        said.append(f"{arm}: force errors in meV/Å, {', '.join(forces)}; two far molecules differ from the sum of each "
                    f"by at most {apart:.0e} eV")
    return Answer(
        "Does a network trained on small systems serve large ones?",
        f"GFN2-xTB, {data['steps']:,} steps on systems of at most 32 atoms, "
        f"{len({row['seed'] for row in data['rows']})} seeds, 95 % intervals, tests to "
        f"{max(s['atoms'] for row in data['rows'] for s in row['sizes'])} atoms",
        "; ".join(said), data["command"] + " --out results/large_systems.json",
        data["processor_minutes"])


PARTS: dict[str, Callable[[dict[str, Any]], Answer]] = {
    "orientation_bound": orientation_bound, "band_limited": band_limited, "large_systems": large_systems,
    "other_groups": other_groups, "polynomial_degree": polynomial_degree, "high_symmetry": high_symmetry,
    "separability": separability, "scale": scale, "kernel_classes": kernel_classes}
COMMANDS = {"other_groups": "python -m ponita_edu.analysis.group_networks",  # all others are named like their files
            "scale": "python benchmarks/bench_scale.py --networks small"}


def load(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """A file of results by name, None if it is not there."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def table(folder: Path = RESULTS) -> list[Answer]:
    """One row for each question; the answer is ``MISSING`` where its file is."""
    found = []
    for name, part in PARTS.items():
        data = load(name, folder)
        command = f"{COMMANDS.get(name, f'python -m ponita_edu.analysis.{name}')} --out results/{name}.json"
        found.append(Answer(str(part.__doc__), "", MISSING, command, None) if data is None else part(data))
    return found


def as_markdown(rows: list[Answer]) -> str:
    """The table for a notebook."""
    lines = ["| question | what we measured | answer | command | minutes |", "|---|---|---|---|---|"]
    for r in rows:
        measured, answer = (text.replace("|", "\\|") for text in (r.measured, r.answer))  # |r| is no border
        minutes = "" if r.minutes is None else f"{r.minutes:.1f}"
        lines.append(f"| **{r.question}** | {measured} | {answer} | `{r.command}` | {minutes} |")
    return "\n".join(lines)


def with_interval(values: Sequence[float], digits: str) -> str:
    """Mean over seeds ± half its 95 % interval."""
    mean, half = mean_interval(values)
    return f"{mean:{digits}}" + ("" if half is None else f" ± {half:{digits}}")


def times(above: Sequence[float], below: Sequence[float]) -> str:
    """Geometric mean of the ratios, seed by seed, with its 95 % interval."""
    mean, half = mean_interval([math.log(a / b) for a, b in zip(above, below, strict=True)])
    low_high = [] if half is None else [mean - half, mean + half]
    middle, *ends = (f"{value:.{1 if value < 10 else 0}f}" for value in map(math.exp, [mean, *low_high]))
    return middle + (f" ({' to '.join(ends)})" if ends else "")


def ratio(row: dict[str, Any]) -> str:
    """A ratio of errors with its interval, if there are seeds for one."""
    low, high = row["ratio_low"], row["ratio_high"]  # None for a single seed
    interval = "" if low is None else f" ({low:.2f} to {high:.2f})"
    return f"{row['ratio']:.2f} times{interval}"


def _bound(value: float) -> str:
    return next(f"{bound:.0e}" for bound in (1e-14, 1e-12, 1e-9, 1e-6, 1e-3, 1e9) if value < bound)


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m ponita_edu.analysis.open_questions", description=main.__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the result files")
    print(as_markdown(table(parser.parse_args(argv).results)))


if __name__ == "__main__":
    main()
