r"""Which functions of a pair should the kernel see: monomials of which degree, or a radial basis? (notebook 13)

    k(a) = W_3 GELU(W_2 GELU(W_1 f(a))),   f the features compared here, a = (r.o, |r_perp|)

Degrees 1 to 6, each monomial once (``distinct``) or once for each order of its factors (``ordered``, as in public
code), the distinct ones with all columns scaled alike (``scaled``), and bases of the distance |r| beside the powers of
r.o up to 3 (``bessel``, ``gaussian``). Small networks of equal width, equal steps, N-body and forces on ethanol.

    python -m ponita_edu.analysis.polynomial_degree --out results/polynomial_degree.json

The file is written after every network; the same command goes on where it stopped.
"""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.analysis.kernel_tasks import GRID, Task, molecule_task, nbody_task
from ponita_edu.analysis.laws import mean_interval
from ponita_edu.analysis.layer_comparison import make_network, train
from ponita_edu.analysis.layer_comparison import test_errors as errors_on_test_set
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.md17 import load_md17
from ponita_edu.geometry.invariants import safe_norm, spatial_invariants
from ponita_edu.nn.kernels import Monomials
from ponita_edu.nn.ponita import Ponita
from ponita_edu.nn.seeds import seeded
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts, keep_memory

DEGREES = (1, 2, 3, 4, 5, 6)
FEATURES = (*(f"distinct {d}" for d in DEGREES), *(f"ordered {d}" for d in DEGREES if d > 1),
            "scaled 6", "bessel 8", "gaussian 8")
TASKS: dict[str, Callable[[], Task]] = {"N-body": cache(nbody_task),
                                        "forces": cache(lambda: molecule_task(load_md17("ethanol_xtb")))}
BATCH = {"N-body": 5, "forces": 3}
HIDDEN, STEPS, RATE, SEEDS = 20, 500, 0.01, (0, 1, 2, 3, 4)
YARDSTICK = "distinct 3"
OTHER_RATE, ALSO = 0.003, (YARDSTICK, "distinct 6", "bessel 8")  # a look at the learning rate, with the first seed


class Radial(nn.Module):
    r"""Functions of the distance and powers of r.o: ``bessel`` or ``gaussian`` of |r|, and (r.o)^1 .. (r.o)^3.

        bessel:   sqrt(2/c) sin(n pi |r| / c) / |r|, n = 1..count          (its limit at r = 0)
        gaussian: exp(-(|r| - m_n)^2 / (2 s^2)), m_n evenly from 0 to c, s their spacing

    Args:
        kind: ``bessel`` or ``gaussian``.
        count: how many functions of the distance, at least 2.
        reach: c, the largest distance that matters, in the unit of the positions.

    Raises:
        ValueError: on another kind, fewer functions, or a reach that is not positive.

    Source: Gasteiger et al., arXiv 2003.03123 (Bessel); Schütt et al., arXiv 1706.08566 (Gaussians).
    """

    def __init__(self, kind: str, count: int, reach: int | float):
        super().__init__()
        if kind not in ("bessel", "gaussian") or count < 2 or not reach > 0:
            raise ValueError(f"kind must be bessel or gaussian, count at least 2 and reach positive, but are {kind!r}, "
                             f"{count} and {reach}. Try Radial('bessel', 8, 5.0).")
        self.kind, self.count, self.reach = kind, count, float(reach)

    def __len__(self) -> int:
        return self.count + 3

    def forward(self, attributes: Float[Tensor, "*pairs 2"]) -> Float[Tensor, "*pairs functions"]:
        along, distance = attributes[..., :1], safe_norm(attributes)[..., None]
        n = torch.arange(self.count, dtype=attributes.dtype, device=attributes.device)
        if self.kind == "bessel":
            wave = (n + 1) / self.reach
            radial = (2 / self.reach) ** 0.5 * torch.pi * wave * torch.sinc(wave * distance)
        else:
            spacing = self.reach / (self.count - 1)
            radial = (-(distance / spacing - n).square() / 2).exp()
        return torch.cat((radial, along, along**2, along**3), dim=-1)


class Scaled(nn.Module):
    """Features divided by their root mean square over some pairs, which ``attributes`` names."""

    def __init__(self, features: nn.Module, attributes: Float[Tensor, "pairs 2"]):
        super().__init__()
        self.features = features
        self.register_buffer("size", features(attributes).square().mean(0).sqrt())

    def __len__(self) -> int:
        return len(self.features)

    def forward(self, attributes: Float[Tensor, "*pairs 2"]) -> Float[Tensor, "*pairs functions"]:
        return self.features(attributes) / self.size


def pair_attributes(graphs: Graphs) -> Float[Tensor, "pairs 2"]:
    """(r.o, |r_perp|) of all pairs of different nodes of a batch, with the orientations of ``GRID``."""
    edges = graphs.proper[0]
    r = graphs.pos[edges[0]] - graphs.pos[edges[1]]
    return spatial_invariants(r[:, None], GRID.points.to(r)).flatten(0, 1)


def make_features(name: str, attributes: Float[Tensor, "pairs 2"]) -> nn.Module:
    """One of ``FEATURES`` by name; ``attributes`` of the data say how far pairs reach, and how large columns are.

    Raises:
        ValueError: on another name.
    """
    if name not in FEATURES:
        raise ValueError(f"name must be one of {', '.join(FEATURES)}, but is {name!r}.")
    kind, number = name.split()
    if kind in ("bessel", "gaussian"):
        return Radial(kind, int(number), float(attributes.norm(dim=-1).max()))
    monomials = Monomials(2, int(number), distinct=kind != "ordered")
    return Scaled(monomials, attributes) if kind == "scaled" else monomials


def with_features(task: Task, name: str, seed: int, hidden: int = HIDDEN) -> Ponita:
    """A separable network of two layers whose spatial kernel sees these features; the spherical one keeps degree 3.

    On 12 orientations o.o' takes four values, so that a cubic is already every function of it.
    """
    network = make_network("separable", task, hidden, seed=seed)
    attributes = pair_attributes(task.draw(100, torch.Generator().manual_seed(0)))
    features = make_features(name, attributes)
    with seeded(seed):
        network.basis[0], network.basis[1] = features, nn.Linear(len(features), hidden)
    return network


def conditioning(task: Task, name: str, graphs: int = 50) -> dict[str, float | int]:
    """The feature matrix of the pairs of a few graphs, in double precision, with the column of ones of the bias.

    Returns:
        ``columns``, its numerical ``rank``; ``condition``, its largest over its smallest singular value that is not
        rounding; ``condition_scaled``, the same with columns of length 1; ``spread``, the largest over the smallest
        root mean square of a feature.
    """
    attributes = pair_attributes(task.draw(graphs, torch.Generator().manual_seed(1))).double()
    features = make_features(name, attributes)(attributes)
    size = features.square().mean(0).sqrt()
    matrix = torch.cat((torch.ones_like(features[:, :1]), features), dim=1)
    scaled = matrix / matrix.norm(dim=0)
    rank = int(torch.linalg.matrix_rank(scaled))

    def condition(a: Tensor) -> float:
        values = torch.linalg.svdvals(a)
        return float(values[0] / values[rank - 1])

    return {"columns": matrix.shape[1], "rank": rank, "condition": condition(matrix),
            "condition_scaled": condition(scaled), "spread": float(size.max() / size.min())}


class Run(NamedTuple):
    """One network to train."""

    task: str
    features: str
    seed: int
    rate: float
    steps: int


def plan(seeds: Iterable[int] = SEEDS, features: Iterable[str] = FEATURES, steps: int = STEPS,
         tasks: Iterable[str] = TASKS) -> Iterator[Run]:
    """Every task and kind of features with every seed; then some with the first seed and another learning rate."""
    seeds, features, tasks = tuple(seeds), tuple(features), tuple(tasks)
    for task in tasks:
        yield from (Run(task, name, seed, RATE, steps) for seed in seeds for name in features)
    yield from (Run(task, name, seeds[0], OTHER_RATE, steps) for task in tasks for name in ALSO if name in features)


def measure(run: Run) -> dict[str, Any]:
    """Train one network: its relative ``error`` and ``mse`` on the test set, its size, milliseconds of a step."""
    task = TASKS[run.task]()
    network = with_features(task, run.features, run.seed)
    milliseconds = train(network, task, run.steps, BATCH[run.task], run.rate, run.seed)
    mse, error = errors_on_test_set(network, task)
    return {**run._asdict(), "error": error, "mse": mse, "milliseconds": milliseconds,
            "parameters": network.num_parameters}


def summarise(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds with 95 % intervals, by task, learning rate and features.

    ``ratio`` is that of the error to ``YARDSTICK``'s with the same seed and rate, as a geometric mean with its
    interval (``ratio_low``, ``ratio_high``).
    """
    rows = list(rows)
    yardstick = {(r["task"], r["rate"], r["seed"]): r["error"] for r in rows if r["features"] == YARDSTICK}
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["rate"], row["features"]), []).append(row)
    found = []
    for (task, rate, features), group in groups.items():
        error, half = mean_interval([r["error"] for r in group])
        logs = [math.log(r["error"] / yardstick[task, rate, r["seed"]]) for r in group
                if (task, rate, r["seed"]) in yardstick]
        row = {"task": task, "rate": rate, "features": features, "seeds": len(group), "error": error,
               "error_half": half, "milliseconds": statistics.median(r["milliseconds"] for r in group),
               "parameters": group[0]["parameters"]}
        if logs:
            middle, width = mean_interval(logs)
            row |= {"ratio": math.exp(middle), "ratio_low": None if width is None else math.exp(middle - width),
                    "ratio_high": None if width is None else math.exp(middle + width)}
        found.append(row)
    return found


def main(argv: list[str] | None = None) -> None:
    """Train what is missing in the file, and write it after every network."""
    parser = argparse.ArgumentParser(prog="python -m ponita_edu.analysis.polynomial_degree", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write, or to go on with")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    keep_memory()
    now, before = facts(), {}
    if given.out.exists():
        try:
            before = json.loads(given.out.read_text(encoding="utf-8"))
            done = {Run(**{key: row[key] for key in Run._fields}) for row in before["rows"]}
        except (ValueError, KeyError, TypeError):
            parser.error(f"--out {given.out} exists and is no file of this command. Choose another name.")
        if strange := done - set(plan()):
            parser.error(f"--out {given.out} holds networks that this command does not train, {min(strange)}. Choose "
                         "another name.")
    rows = before.get("rows", [])
    about = {"command": "python -m ponita_edu.analysis.polynomial_degree --out results/polynomial_degree.json",
             "commits": list(dict.fromkeys([*before.get("commits", []), now["commit"]])), "versions": now["versions"],
             "device": "cpu", "threads": 1, "batch": BATCH, "hidden": HIDDEN, "yardstick": YARDSTICK}
    matrices = before.get("conditioning") or [{"task": task, "features": name, **conditioning(make(), name)}
                                              for task, make in TASKS.items() for name in FEATURES]

    def save() -> None:
        minutes = sum(row["steps"] * row["milliseconds"] for row in rows) / 60_000  # of training, at the least
        write_json(given.out, {**about, "minutes": round(minutes, 2), "conditioning": matrices,
                               "summary": summarise(rows), "rows": rows})

    for run in plan():
        if run not in {Run(**{key: row[key] for key in Run._fields}) for row in rows}:
            rows.append(measure(run))
            print(f"{run.task:7} {run.features:11} seed {run.seed} rate {run.rate}: error {rows[-1]['error']:.4f}, "
                  f"{rows[-1]['milliseconds']:.1f} ms", flush=True)
            save()
    save()


if __name__ == "__main__":
    main()
