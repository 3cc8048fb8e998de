"""The table of full results, from the JSON files of the runs; nothing in it is typed by hand or estimated."""

import csv
import json
import re
from pathlib import Path, PurePath
from typing import Any

# Published errors, from the README of the public PONITA code, and how many training graphs were seen: epochs times the
# training set.
PUBLISHED = {
    ("nbody", "ponita", ""): ({"test_mse_dimensionless": 0.0043}, 10_000 * 3_000),
    ("nbody", "egnn", ""): ({"test_mse_dimensionless": 0.0070}, 10_000 * 3_000),
    ("md17", "ponita", "ethanol"): ({"test_force_mae_meV_per_A": 2.5, "test_energy_mae_meV": 0.4}, 5_000 * 950),
    ("md17", "positions", "ethanol"): ({"test_force_mae_meV_per_A": 4.1, "test_energy_mae_meV": 0.7}, 5_000 * 950),
    ("qm9", "ponita", "alpha"): ({"test_mae_bohr3": 0.0375}, 1_000 * 110_000),
    ("qm9", "ponita", "mu"): ({"test_mae_D": 0.0121}, 1_000 * 110_000),
    ("qm9", "ponita", "gap"): ({"test_mae_meV": 30.4}, 1_000 * 110_000),
    ("qm9", "ponita", "U0_atom"): ({"test_mae_meV": 8.31}, 1_000 * 110_000),
}
# What the table shows of a task: names in ``metrics``, factors, words; of QM9 the error that chose the weights.
SHOWN = {
    "nbody": {"test_mse_dimensionless": (1, "(MSE)")},
    "md17": {"test_force_mae_meV_per_A": (1, "meV/Å"), "test_energy_mae_meV": (1, "meV")},
    "qm9-gen": {"atom_stability": (100, "% of atoms stable"), "molecule_stability": (100, "% of molecules stable"),
                "validity": (100, "% valid")},
}
COLUMNS = ("run", "test result", "simple rule", "published", "training seen", "weights", "minutes", "on", "seed",
           "commit")


def read(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Name and content of every result of a training run in a folder, in order of task and name."""
    found = [(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
    order = ("nbody", "md17", "qm9", "qm9-gen")
    return sorted(((name, r) for name, r in found if isinstance(r, dict) and r.get("task") in order and "metrics" in r),
                  key=lambda pair: order.index(pair[1]["task"]))


def row(name: str, result: dict[str, Any], curve: bool = False) -> dict[str, str]:
    """The cells of a run: its error with unit, the best simple rule, the published error, and what it took.

    Args:
        curve: whether there is a picture of its learning curve.
    """
    metrics, main = result["metrics"], f"test_{result['metric']}"
    shown = SHOWN.get(result["task"], {main: (1, main.split("mae_")[-1])})
    published, graphs = PUBLISHED.get((result["task"], result["method"], _subject(result)), ({}, 0))
    train = result["settings"]["train"]
    seen = result["steps"] * train["batch_size"]
    rules = result["baselines"]
    best = min(rules, key=rules.get) if rules else None
    return {
        "run": f"[{name}]({name}.json)" + (f" [curve]({name}.png)" if curve else "") +
               ("" if result["complete"] else ", not complete"),
        "test result": ", ".join(f"**{_digits(factor * metrics[key])}** {words}"
                                 for key, (factor, words) in shown.items() if key in metrics),
        "simple rule": "" if best is None else f"{rules[best]:.3g} ({best})",
        "published": ", ".join(f"{published[key]:g}" for key in shown if key in published),
        "training seen": f"{seen:,}" + (f" ({100 * seen / graphs:.2g} %)" if graphs else ""),
        "weights": f"{result['parameters']:,}", "minutes": f"{result['minutes']:.1f}", "on": result["device"],
        "seed": str(result["seed"]), "commit": (result["commit"] or "")[:7],
    }


def markdown(folder: Path) -> str:
    """The table of all runs in a folder; a percentage is the share of the published training."""
    rows = [row(name, result, (folder / f"{name}.csv").is_file()) for name, result in read(folder)]
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(tuple(r[c] for c in COLUMNS) for r in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def learning_curve(log: Path, result: dict[str, Any]) -> Any:
    """The validation error of a run against its optimiser steps, with the simple rule and the published error.

    Args:
        log: the run's ``log.csv``, of which the first column is the step and the columns ``val_...`` are errors.
        result: of the same run.

    Returns:
        a matplotlib figure.

    Raises:
        ValueError: if the log has no validation error.
    """
    from matplotlib.figure import Figure

    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    name = f"val_{result['metric']}"
    if not rows or name not in rows[0]:
        raise ValueError(f"{log} has no column {name}. Is it the log of this run?")
    points = [(int(r["step"]), float(r[name])) for r in rows if r[name]]
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*points, strict=True), marker=".", label="this run, validation")
    rules, key = result["baselines"], f"test_{result['metric']}"
    if rules:
        axes.axhline(min(rules.values()), color="0.5", linestyle=":", label=min(rules, key=rules.get))
    published, graphs = PUBLISHED.get((result["task"], result["method"], _subject(result)), ({}, 0))
    if key in published:
        axes.axhline(published[key], color="tab:orange", linestyle="--", label=f"published, after {graphs:,} graphs")
    axes.set(xlabel="optimiser steps", ylabel=result["metric"].replace("_", " "), yscale="log")
    axes.legend()
    return figure


def _subject(result: dict[str, Any]) -> str:
    data = result["settings"]["data"]
    if result["task"] == "md17":  # xTB frames are another potential energy surface: nothing is published for them
        source = str(data["source"]).lower()
        ethanol = re.search("(?<![a-z])ethanol(?![a-z])", PurePath(source).name)  # which methanol is not
        return "ethanol" if ethanol and "xtb" not in source else source
    return data.get("target", "")


def _digits(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")
