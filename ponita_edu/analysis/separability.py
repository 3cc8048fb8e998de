"""The price of separability, as tables: kernels approximated, and networks of equal size compared (notebook 05).

    python -m ponita_edu.analysis.separability --out results/separability.json

What a separable layer can represent is derived in ``kernel_rank``; the tasks are in ``kernel_tasks``, the networks and
how their cost is measured in ``layer_comparison``.
"""

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
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

__all__ = ["Budget", "SeparabilityTable", "crossed_kernel", "kernel_rows", "network_rows", "random_kernel",
           "separability_table", "separable_error", "summarise", "two_layer_error"]

RANKS = (1, 2, 4, 8, 16, 32)
# crossed: needs r·o and r·o' together; random: another kernel for every seed. Both on fields, with one layer.
TASKS: dict[str, Callable[[int], Task]] = {
    "crossed kernel": lambda seed: kernel_task(crossed_kernel),
    "random kernel": lambda seed: kernel_task(polynomial_kernel(seed)),
    "N-body": lambda seed: nbody_task(),
    "forces": lambda seed: force_task(),
}


@dataclass(frozen=True)
class Budget:
    """What every network gets: size, training steps, graphs per step, and Adam's rate, which falls linearly to 0."""

    parameters: int = 7000
    steps: int = 200
    batch: int = 10
    rate: float = 0.01


FULL = {"crossed kernel": Budget(), "random kernel": Budget(), "N-body": Budget(), "forces": Budget(batch=5)}
MOLECULE = {"molecule": Budget(batch=4)}
QUICK = {"crossed kernel": Budget(batch=8)}


class SeparabilityTable(NamedTuple):
    """``kernels``: a row for each bandwidth; ``networks``: for each task, kind of network and seed."""

    kernels: list[dict]
    networks: list[Row]


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


def network_rows(budgets: dict[str, Budget], seeds: Iterable[int] = range(3), kinds: Iterable[str] = tuple(KINDS),
                 progress: bool = False, tasks: dict[str, Callable[[int], Task]] = TASKS) -> list[Row]:
    """Train a network of each kind on every task that has a budget, with every seed.

    Kernel tasks are learnt with one layer (the separable network with two as well), the others with two.
    """
    rows, seeds, kinds = [], tuple(seeds), tuple(kinds)
    for name, budget in budgets.items():
        for seed in seeds:
            task = tasks[name](seed)
            runs = [(kind, layers) for kind in kinds
                    for layers in ((1, 2) if task.fields and kind == "separable" else (task.layers,))]
            for kind, layers in runs:
                row = compare(task, kind, seed, **asdict(budget), layers=layers)._replace(task=name)
                rows.append(row)
                if progress:
                    print(f"{name:15} {kind:10} {layers} layers, seed {seed}: error {row.error:.3f}, "
                          f"{row.milliseconds:.0f} ms a step", flush=True)
    return rows


def summarise(rows: list[Row]) -> list[dict]:
    """Mean and standard deviation over the seeds, for each task, kind and number of layers; costs are means."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.kind, row.layers), []).append(row)
    return [{
        "task": task, "kind": kind, "layers": layers, "seeds": len(group),
        **{name: _mean([getattr(r, name) for r in group])
           for name in ("error", "mse", "milliseconds", "saved_bytes", "flop", "parameters")},
        **{f"{name}_sd": statistics.stdev(getattr(r, name) for r in group) if len(group) > 1 else None
           for name in ("error", "mse")},
    } for (task, kind, layers), group in groups.items()]


def separability_table(quick: bool = True, seeds: Iterable[int] | None = None, progress: bool = False
                       ) -> SeparabilityTable:
    """Both tables.

    Quick: one seed, three bandwidths, the crossed kernel with short training and without the kind "e3", for a notebook
    (under a minute). Full: three seeds and all four tasks (about a quarter of an hour on one core).
    """
    if quick:
        seeds = (0,) if seeds is None else tuple(seeds)
        kinds = [kind for kind in KINDS if kind != "e3"]
        return SeparabilityTable(kernel_rows((0.5, 1.0, 2.0), seeds), network_rows(QUICK, seeds, kinds, progress))
    seeds = range(3) if seeds is None else tuple(seeds)
    return SeparabilityTable(kernel_rows(seeds=seeds), network_rows(FULL, seeds, progress=progress))


def main() -> None:
    """Write the full table, with what is needed to judge and repeat it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--quick", action="store_true", help="the notebook's version")
    parser.add_argument("--molecule", type=Path, help="only the forces on one molecule, from an npz file with coords, "
                        "forces and nuclear_charges as in rMD17")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    wall, cpu = time.perf_counter(), time.process_time()
    seeds = (0,) if args.quick else (0, 1, 2)
    budgets = MOLECULE if args.molecule else QUICK if args.quick else FULL
    command = "python -m ponita_edu.analysis.separability" + " --quick" * args.quick
    if args.molecule:
        with np.load(args.molecule) as file:
            coords, forces = (torch.from_numpy(file[key]).float() for key in ("coords", "forces"))
            task = molecule_task(coords, forces, torch.from_numpy(file["nuclear_charges"]).long())
        command += f" --molecule {args.molecule.name}"
        tasks = {"molecule": lambda seed: task}
        table = SeparabilityTable([], network_rows(budgets, seeds, progress=True, tasks=tasks))
    else:
        table = separability_table(args.quick, seeds, progress=True)
    about = {
        "command": f"{command} --out {args.out.name}", "commit": _commit(), "seeds": seeds,
        "device": f"CPU, {platform.machine()}", "threads": args.threads,
        "minutes": round((time.perf_counter() - wall) / 60, 1),
        "processor_minutes": round((time.process_time() - cpu) / 60, 1),
        "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
        "budgets": {name: asdict(budget) for name, budget in budgets.items()}, "kinds": KINDS,
    }
    args.out.write_text(json.dumps({"about": about, "kernels": table.kernels, "summary": summarise(table.networks),
                                    "networks": [row._asdict() for row in table.networks]}, indent=1) + "\n")


def _mean(values: list):
    # of numbers, of dictionaries of numbers, or None if one is missing
    if isinstance(values[0], dict):
        return {key: _mean([v[key] for v in values]) for key in values[0]}
    return None if None in values else statistics.fmean(values)


def _commit() -> str:
    folder = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "..")))
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"
    return commit + (" and changes to ponita_edu" if changes else "")


if __name__ == "__main__":
    main()
