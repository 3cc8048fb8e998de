r"""What a band-limited network buys: rounding-level equivariance on a small grid, and at which accuracy (notebook 13).

    python -m ponita_edu.analysis.band_limited --out results/band_limited.json

``PonitaConfig(band_limit=2)``, see ``nn.band_limited``, on Lebedev's 38 points, which are exact to degree 9 of the 8
that it needs, and as controls: on 14 points (degree 5), and with PONITA's own blocks, whose GELU of a function on the
sphere has all degrees (``kernels only``).

The claim is exact up to rounding, for every rotation, with a fixed grid; PONITA's own claim there is approximate.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ponita_edu.analysis.equivariance import equivariance_error
from ponita_edu.analysis.kernel_tasks import nbody_task
from ponita_edu.analysis.laws import mean_interval
from ponita_edu.analysis.layer_comparison import test_errors, train
from ponita_edu.geometry.grids import make_grid
from ponita_edu.nn.band_limited import FiberBasis, spatial_basis
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.conv import FiberConv
from ponita_edu.nn.ponita import Ponita
from ponita_edu.nn.seeds import seeded
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import command_line, facts, keep_memory

LIMIT = 2  # degree of the kernels in the orientation
# what is band-limited, and the grid
ARMS = {
    "PONITA, 12": ("nothing", ("icosahedron", 12)),
    "PONITA, 38": ("nothing", ("lebedev", 38)),
    "kernels only, 38": ("kernels", ("lebedev", 38)),
    "band-limited, 38": ("all", ("lebedev", 38)),
    "band-limited, 14": ("all", ("lebedev", 14)),
}


def make_network(arm: str, seed: int = 0, hidden: int = 32, layers: int = 3) -> Ponita:
    """An N-body network of one of the ``ARMS``, not yet trained.

    Raises:
        ValueError: on another arm.
    """
    if arm not in ARMS:
        raise ValueError(f"arm must be one of {'; '.join(ARMS)}, but is {arm!r}.")
    limited, (name, n) = ARMS[arm]
    whole = limited == "all"
    config = PonitaConfig(scalars_in=1, vectors_in=1, scalars_out=0, vectors_out=1, hidden=hidden, basis=hidden,
                          layers=layers, widening=2 if whole else 4,  # then both have about as many weights
                          band_limit=LIMIT if whole else None)
    model = Ponita(config, make_grid(name, n), seed=seed)
    if limited == "kernels":
        with seeded(seed):
            model.basis, model.fiber_basis = spatial_basis(hidden, hidden, LIMIT), FiberBasis(LIMIT)
            for block in model.blocks:
                block.conv.fiber = FiberConv(hidden, LIMIT + 1)
    return model


def measure(arm: str, seed: int = 0, steps: int = 400, train_size: int = 3000, test_size: int = 300) -> dict[str, Any]:
    """Train on N-body: test MSE, and the error of equivariance with the grid in place before and after (median, worst).
    """
    task = nbody_task(train_size, test_size)
    model, began = make_network(arm, seed), time.process_time()
    few = task.draw(5, torch.Generator().manual_seed(0))
    model.calibrate(few)
    before = equivariance_error(model, few, "SO").outputs["vector"]
    train(model, task, steps, 25, 3e-3, seed)
    after = equivariance_error(model, few, "SO").outputs["vector"]
    return {"arm": arm, "seed": seed, "steps": steps, "parameters": model.num_parameters,
            "orientations": len(model.grid), "mse": test_errors(model, task)[0], "untrained": before.worst,
            "trained": after.worst, "processor_seconds": round(time.process_time() - began, 1)}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """By arm: mean test MSE, half its 95 % interval over seeds (Student; None for one), and the worst equivariance."""
    found = {}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        mine = [row for row in rows if row["arm"] == arm]
        mse, half = mean_interval([row["mse"] for row in mine])
        found[arm] = {"mse": mse, "half_width": half, "seeds": len(mine),
                      "equivariance": max(max(row["untrained"], row["trained"]) for row in mine)}
    return found


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m ponita_edu.analysis.band_limited", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    keep_memory()
    began, rows, result = time.process_time(), [], {}
    for seed in given.seeds:
        for arm in given.arms:
            rows.append(measure(arm, seed, given.steps))
            print(rows[-1], flush=True)
            result = {"about": "see ponita_edu/analysis/band_limited.py", "rows": rows, "summary": summary(rows),
                      "steps": given.steps, "processor_minutes": round((time.process_time() - began) / 60, 2),
                      "device": "cpu", "threads": 1, "command": command_line(), **facts()}
            if given.out:
                write_json(given.out, result)
    return result


if __name__ == "__main__":
    main()
