r"""What a band-limited network buys: rounding-level equivariance on a small grid, and at which accuracy (notebook 13).

    python -m ponita_edu.analysis.band_limited --out results/band_limited.json

All functions on the sphere stay of bounded degree, so that a grid exact to that degree makes no error at all:

    spherical kernel    κ(t) = Σ_{l≤a} k_l P_l(t)                                      degree a
    spatial kernel      k(r, o) = Σ_{l≤b} R_l(|r|) |r|^l P_l(r̂·o) / (1 + |r|²)^(l/2)    degree b
    block               h + W₂ (u (v + g)),  u, v = W z/|z|,  g = GELU(mean over o of W z/|z|)

with |z|² the mean over o and channels. As z is of degree a, u v and all h are of degree 2a, k h of 2a + b, and κ k h of
3a + b: a rule exact to degree 3a + b is enough (2a does for |z|, 2a + 1 for the readout). With a = b = 2, degree 8:
Lebedev's 38 points (degree 9). Nonlinear functions are of invariants only, or products of two functions; GELU of a
function on the sphere, as in PONITA's blocks, has all degrees, so that kernels alone do not help (``kernels only``).

The claim is exact up to rounding, for every rotation, with a fixed grid; PONITA's own claim there is approximate.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.analysis.equivariance import equivariance_error
from ponita_edu.analysis.kernel_tasks import nbody_task
from ponita_edu.analysis.laws import mean_interval
from ponita_edu.analysis.layer_comparison import test_errors, train
from ponita_edu.geometry.grids import make_grid
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.conv import FiberConv, Pairs
from ponita_edu.nn.ponita import Block, Ponita
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import command_line, facts, keep_memory

SPHERICAL, SPATIAL = 2, 2  # degrees a and b
# what is band-limited, and the grid
ARMS = {
    "PONITA, 12": ("nothing", ("icosahedron", 12)),
    "PONITA, 38": ("nothing", ("lebedev", 38)),
    "kernels only, 38": ("kernels", ("lebedev", 38)),
    "band-limited, 38": ("all", ("lebedev", 38)),
    "band-limited, 14": ("all", ("lebedev", 14)),
}


def legendre(t: Float[Tensor, "*batch"], squared: Float[Tensor, "*batch"], degree: int
             ) -> Float[Tensor, "*batch degrees"]:
    """s^l P_l(t/s) for l = 0 ... ``degree`` with s² given: polynomials in t and s², by the recurrence of P_l."""
    values = [torch.ones_like(t), t]
    for l in range(1, degree):  # noqa: E741
        values.append(((2 * l + 1) * t * values[-1] - l * squared * values[-2]) / (l + 1))
    return torch.stack(values[:degree + 1], dim=-1)


class FiberBasis(nn.Module):
    """P_0 ... P_a of the cosine between two orientations."""

    def forward(self, cosine: Float[Tensor, "*pairs 1"]) -> Float[Tensor, "*pairs degrees"]:
        return legendre(cosine[..., 0], torch.ones_like(cosine[..., 0]), SPHERICAL)


class SpatialBasis(nn.Module):
    """Radial functions of (|r|, |r|²) by a small network, in turn times the polynomial of each degree."""

    def __init__(self, hidden: int, basis: int):
        super().__init__()
        self.radial = nn.Sequential(nn.Linear(2, hidden), nn.GELU(), nn.Linear(hidden, basis), nn.GELU(),
                                    nn.Linear(basis, basis))

    def forward(self, attributes: Float[Tensor, "*pairs 2"], window: Tensor | None = None) -> Tensor:
        along, across = attributes.unbind(-1)
        squared = along * along + across * across
        radial = self.radial(torch.stack((torch.where(squared > 0, squared, 1.0).sqrt() * (squared > 0), squared), -1))
        degrees = torch.arange(SPATIAL + 1, device=along.device)
        angular = legendre(along, squared, SPATIAL) / (1 + squared[..., None]) ** (degrees / 2)
        phi = radial * angular[..., torch.arange(radial.shape[-1], device=along.device) % (SPATIAL + 1)]
        return phi if window is None else phi * window[..., None]


class BandLimitedBlock(Block):
    """h + W₂ (u (v + g)): products of two functions on the sphere, and gates from invariants."""

    def __init__(self, conv: nn.Module, channels: int, widening: int):
        super().__init__(conv, channels, widening, None)
        self.norm = nn.Identity()
        self.other = nn.Linear(channels, widening * channels)
        self.gate = nn.Linear(channels, widening * channels)

    def forward(self, h: Float[Tensor, "points N channels"], pairs: Pairs) -> Float[Tensor, "points N channels"]:
        z, w = self.conv(h, pairs), pairs.weights[:, None]
        z = z * ((z.square() * w).sum(1).mean(-1) + 1e-5).rsqrt()[:, None, None]
        gate = nn.functional.gelu(self.gate((z * w).sum(1)))[:, None]
        return h + self.linear_2(self.linear_1(z) * (self.other(z) + gate))


def make_network(arm: str, seed: int = 0, hidden: int = 32, layers: int = 3) -> Ponita:
    """An N-body network of one of the ``ARMS``, not yet trained.

    Raises:
        ValueError: on another arm.
    """
    if arm not in ARMS:
        raise ValueError(f"arm must be one of {'; '.join(ARMS)}, but is {arm!r}.")
    limited, (name, n) = ARMS[arm]
    wide = 2 if limited == "all" else 4  # then both have about as many weights
    config = PonitaConfig(scalars_in=1, vectors_in=1, scalars_out=0, vectors_out=1, hidden=hidden, basis=hidden,
                          layers=layers, widening=wide)
    model = Ponita(config, make_grid(name, n), seed=seed)
    if limited == "nothing":
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.basis, model.fiber_basis = SpatialBasis(hidden, hidden), FiberBasis()
        for k, block in enumerate(model.blocks):
            block.conv.fiber = FiberConv(hidden, SPHERICAL + 1)
            if limited == "all":
                model.blocks[k] = BandLimitedBlock(block.conv, hidden, wide)
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
