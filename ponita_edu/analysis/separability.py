"""The price of separability, as tables: kernels approximated, and networks of equal size compared (notebook 05).

    python -m ponita_edu.analysis.separability --out results/separability.json

The file is written after every network; the same command goes on where it stopped.

What a separable layer can represent is derived in ``kernel_rank``; the tasks are in ``kernel_tasks``, the networks and
how their cost is measured in ``layer_comparison``.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

from ponita_edu.analysis.kernel_rank import (
    best_on_frames,
    best_separable,
    crossed_kernel,
    polynomial_kernel,
    random_kernel,
    separable_error,
    shares,
    two_layer_error,
)
from ponita_edu.analysis.kernel_tasks import Task, force_task, kernel_task, molecule_task, nbody_task
from ponita_edu.analysis.layer_comparison import KINDS, Row, compare
from ponita_edu.data.md17 import load_md17
from ponita_edu.tasks.checkpoint import write_json

__all__ = ["Budget", "Run", "crossed_kernel", "kernel_rows", "network_rows", "plan", "random_kernel", "separable_error",
           "summarise", "two_layer_error"]

RANKS = (1, 2, 4, 8, 16, 32)
# crossed: needs r·o and r·o' together; random: another kernel for every seed. Both on fields, with one layer.
TASKS: dict[str, Callable[[int], Task]] = {
    "crossed kernel": lambda seed: kernel_task(crossed_kernel),
    "random kernel": lambda seed: kernel_task(polynomial_kernel(seed)),
    "N-body": cache(lambda seed: nbody_task()),
    "forces": cache(lambda seed: force_task()),
    "molecule": lambda seed: molecule_task(load_md17("ethanol_xtb")),
}
# So many times the steps of the others take about the time of a full convolution.
LONGER = {"positions": 5, "separable": 5, "frames": 2}


@dataclass(frozen=True)
class Budget:
    """What every network gets: size, training steps, graphs per step, and Adam's rate, which falls linearly to 0."""

    parameters: int = 7000
    steps: int = 200
    batch: int = 10
    rate: float = 0.01


FULL = {"crossed kernel": Budget(), "N-body": Budget(batch=5), "forces": Budget(batch=4), "random kernel": Budget(),
        "molecule": Budget(batch=3)}
QUICK = {"crossed kernel": Budget(5000, 120, 6)}


class Run(NamedTuple):
    """One network to train."""

    task: str
    kind: str
    layers: int
    seed: int
    budget: Budget


def kernel_rows(bandwidths: Iterable[float] = (0.5, 1.0, 2.0, 4.0), seeds: Iterable[int] = range(3), nodes: int = 24
                ) -> list[dict]:
    """How well random full kernels can be approximated: means over the seeds.

    A row has the ``bandwidth``; ``lost``, the share of the squared norm out of reach of one separable layer; relative
    L2 errors by number of channels C of the separable layer (``separable``: {C: error}) and of the one on frames
    (``frames``); the error ``triple`` of the full convolution with the triple, and that of two separable layers with
    degrees up to 2 and 6 (``two_layers``), both for any number of channels. ``sd`` is that of √lost over the seeds.
    """
    rows, seeds = [], tuple(seeds)
    for bandwidth in bandwidths:
        each = []
        for seed in seeds:
            kernel = random_kernel(bandwidth, seed)
            share = shares(kernel, nodes=nodes)
            each.append({
                "lost": best_separable(share, 0).lost,
                "separable": {c: best_separable(share, c).relative for c in RANKS},
                "frames": {c: best_on_frames(share, c) for c in RANKS},
                "triple": best_separable(shares(kernel, "receiver", nodes), nodes).relative,
                "two_layers": {degree: two_layer_error(kernel, degree, nodes) for degree in (2, 6)},
            })
        row = {key: _mean([e[key] for e in each]) for key in each[0]}
        roots = [e["lost"] ** 0.5 for e in each]
        rows.append({"bandwidth": bandwidth, **row, "sd": statistics.stdev(roots) if len(roots) > 1 else None})
    return rows


def plan(budgets: dict[str, Budget], seeds: Iterable[int] = range(3), kinds: Iterable[str] | None = None,
         longer: bool = True, rates: dict[str, tuple[float, ...]] | None = None) -> Iterator[Run]:
    """What is to be trained: every kind with every seed, on every task that has a budget.

    Kernel tasks are learnt with one layer (the separable network with two as well), the others with two. With
    ``longer``, the cheap kinds are also trained for about the time of the full convolution (``LONGER``). ``rates``
    are other learning rates to try, by task, with the first seed only.
    """
    seeds = tuple(seeds)
    kinds = [kind for kind in KINDS if kind != "e3"] if kinds is None else tuple(kinds)
    for seed in seeds:
        for task, budget in budgets.items():
            layers = (1, 2) if "kernel" in task else (2,)
            for kind in kinds:
                yield from (Run(task, kind, n, seed, budget) for n in layers if n == layers[0] or kind == "separable")
                if longer and kind in LONGER:
                    yield Run(task, kind, layers[0], seed, replace(budget, steps=LONGER[kind] * budget.steps))
    for task, others in (rates or {}).items():
        for rate in others:
            yield from (Run(task, kind, 2, seeds[0], replace(budgets[task], rate=rate)) for kind in kinds)


def network_rows(runs: Iterable[Run], tasks: dict[str, Callable[[int], Task]] = TASKS) -> Iterator[Row]:
    """Train and measure one network after the other."""
    for run in runs:
        row = compare(tasks[run.task](run.seed), run.kind, run.seed, **asdict(run.budget), layers=run.layers)
        yield row._replace(task=run.task)


def summarise(rows: list[Row]) -> list[dict]:
    """Mean and standard deviation over the seeds, for each task, kind, size and budget; costs are means."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.kind, row.layers, row.steps, row.rate), []).append(row)
    return [{
        "task": task, "kind": kind, "layers": layers, "steps": steps, "rate": rate, "seeds": len(group),
        **{name: _mean([getattr(r, name) for r in group])
           for name in ("error", "mse", "milliseconds", "saved_bytes", "flop", "parameters")},
        **{f"{name}_sd": statistics.stdev(getattr(r, name) for r in group) if len(group) > 1 else None
           for name in ("error", "mse")},
    } for (task, kind, layers, steps, rate), group in groups.items()]


def main() -> None:
    """Write both tables, with what is needed to judge and repeat them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write, or to go on with")
    parser.add_argument("--quick", action="store_true", help="only the notebook's version, under a minute")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = (0,) if args.quick else (0, 1, 2)
    runs = list(plan(QUICK, seeds) if args.quick else plan(FULL, seeds, rates={"N-body": (0.003, 0.03)}))
    try:
        table = _open(args.out, runs)
    except ValueError as error:
        parser.error(str(error))
    rows = [Row(**row) for row in table["networks"]]
    about = run_facts(table["about"].get("commits", []), "python -m ponita_edu.analysis.separability"
                      + " --quick" * args.quick + f" --out results/{args.out.name}", seeds)

    def save() -> None:
        about["minutes"] = round(training_minutes(rows), 2)
        write_json(args.out, {"about": about, "kernels": table["kernels"], "summary": summarise(rows),
                              "networks": [row._asdict() for row in rows]})

    if not table["kernels"]:
        table["kernels"] = kernel_rows((0.5, 1.0, 2.0) if args.quick else (0.5, 1.0, 2.0, 4.0), seeds)
    save()
    for row in network_rows([run for run in runs if _key(run) not in {_key(row) for row in rows}]):
        rows.append(row)
        save()
        print(f"{row.task:15} {row.kind:10} {row.layers} layers, {row.steps} steps, rate {row.rate}, seed {row.seed}: "
              f"error {row.error:.3f}, {row.milliseconds:.0f} ms a step", flush=True)


def training_minutes(rows: list[Row]) -> float:
    """Processor minutes of all training, at the least: steps times the fastest step, without tests and loading."""
    return sum(row.steps * row.milliseconds for row in rows) / 60_000


def run_facts(commits: list[str], command: str, seeds: tuple[int, ...]) -> dict:
    """What the file says about itself; ``commits`` are several if it was written in several goes, the last one last."""
    from ponita_edu.tasks.run import facts

    now = facts()
    return {"command": command, "commits": list(dict.fromkeys([*commits, str(now["commit"])])),
            "versions": now["versions"], "seeds": seeds, "device": f"cpu, {platform.machine()}",
            "threads": torch.get_num_threads(), "kinds": KINDS, "longer": LONGER}


def _open(path: Path, runs: list[Run]) -> dict:
    """The table so far: an empty one, or what a run of the same plan has left."""
    if not path.exists():
        return {"about": {}, "kernels": [], "networks": []}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        strange = {_key(Row(**row)) for row in table["networks"]} - {_key(run) for run in runs}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"--out {path} exists and is no table of this command. Choose another name.") from None
    if strange:
        raise ValueError(f"--out {path} holds networks that this command does not train ({min(strange)}, ...). Choose "
                         "another name.")
    return table


def _key(run: Run | Row) -> tuple:
    # what tells one run from another; sizes are asked for in the budget and met within 5 %
    of = run.budget if isinstance(run, Run) else run
    return run.task, run.kind, run.layers, run.seed, of.steps, of.batch, of.rate


def _mean(values: list):
    # of numbers, of dictionaries of numbers, or None if one is missing
    if isinstance(values[0], dict):
        return {key: _mean([v[key] for v in values]) for key in values[0]}
    return None if None in values else statistics.fmean(values)


if __name__ == "__main__":
    main()
