"""The networks whose expressive power is compared, in equal sizes, with what bounds each of them (notebook 08)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.geometry.grids import make_grid
from ponita_edu.nn.baselines import EGNN, EGNNConfig
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita
from ponita_edu.nn.steerable import Steerable, SteerableConfig

LAYERS, HIDDEN = 3, 16
ROUNDING = 450  # times the machine's epsilon: relative differences below are taken for rounding


def _ponita(grid: str | None = None, n: int | None = None, **settings) -> Callable[[int, int, int], nn.Module]:
    def make(scalars_in: int, layers: int, seed: int) -> nn.Module:
        config = PonitaConfig(scalars_in, level="graph", hidden=HIDDEN, basis=HIDDEN, layers=layers, widening=2,
                              degree=2, distinct_monomials=True, **settings)
        return Ponita(config, None if grid is None else make_grid(grid, n), seed=seed)
    return make


def _egnn(vectors_out: int) -> Callable[[int, int, int], nn.Module]:
    return lambda scalars_in, layers, seed: EGNN(EGNNConfig(
        scalars_in, vectors_in=0, scalars_out=1, vectors_out=vectors_out, hidden=HIDDEN, layers=layers,
        level="graph"), seed)


def _steerable(l_max: int, group: str = "e3") -> Callable[[int, int, int], nn.Module]:
    return lambda scalars_in, layers, seed: Steerable(SteerableConfig(
        scalars_in, l_max=l_max, hidden=HIDDEN, basis=HIDDEN, layers=layers, degree=2, level="graph", group=group),
        seed)


@dataclass(frozen=True)
class Kind:
    """A network, and what bounds it: it cannot separate a pair on which this descriptor agrees (proved).

    With ``exact`` False the bound holds for an infinitely fine grid, and for a real one up to its rotation error.
    """

    make: Callable[[int, int, int], nn.Module]  # (scalars_in, layers, seed)
    bound: str
    exact: bool = True
    l_max: int | None = None  # of a steerable network, which sees rings of up to so many atoms


E3, SE3 = "all but a reflection", "everything"
KINDS = {
    "positions (PNITA)": Kind(_ponita(space="positions"), "distances, passed on"),
    "EGNN, points rest": Kind(_egnn(0), "distances, passed on"),
    "EGNN": Kind(_egnn(1), E3),
    "lifted edges": Kind(_ponita(space="edges"), "angles, passed on"),
    "bundle, N = 12": Kind(_ponita("icosahedron"), E3, exact=False),
    "bundle, N = 20": Kind(_ponita("dodecahedron"), E3, exact=False),
    "bundle, N = 50, Lebedev": Kind(_ponita("lebedev", 50), E3, exact=False),
    "bundle, N = 60": Kind(_ponita("repulsion", 60), E3, exact=False),  # a grid that has no mirror symmetry
    "full, four attributes": Kind(_ponita("icosahedron", conv="full", attributes="e3"), E3, exact=False),
    "full, signed attribute": Kind(_ponita("icosahedron", conv="full", attributes="se3"), SE3, exact=False),
    "steerable, l = 1": Kind(_steerable(1), E3, l_max=1),
    "steerable, l = 2": Kind(_steerable(2), E3, l_max=2),
    "steerable, l = 3": Kind(_steerable(3), E3, l_max=3),
    "steerable, l = 1, SE(3)": Kind(_steerable(1, "se3"), SE3, l_max=1),
}


def rounding(dtype: torch.dtype) -> float:
    """The relative difference of outputs that rounding may make: 1e-13 in float64."""
    return ROUNDING * torch.finfo(dtype).eps


def standardised(out: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    """Outputs with mean 0 and standard deviation 1, so that a small difference is as good a signal as a large one.

    Differences of rounding's size are not blown up. The gradient is a difference of terms that exceed it as the output
    exceeds its spread: where that is 10^4 times, float32 leaves nothing but rounding of it.
    """
    return (out - out.mean()) / (out.std() + rounding(out.dtype) * out.detach().abs().mean())
