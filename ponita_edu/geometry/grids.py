r"""Grids of orientations on S¹ and S² with quadrature weights (notebook 03).

A grid replaces an integral over the sphere by a weighted sum, (1/|S|) ∫ f(o) do ≈ Σ_i w_i f(o_i), Σ_i w_i = 1.
All grids are float64 and made on the CPU, whatever torch's default device; networks cast them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ponita_edu.geometry import grid_quality as quality
from ponita_edu.geometry.finite_groups import permuting_rotations
from ponita_edu.geometry.grid_families import (
    PLATONIC_SIZES,
    circle_points,
    fibonacci_points,
    lebedev_points,
    platonic_points,
)
from ponita_edu.geometry.repulsion import repulsion_points

GRID_NAMES = (
    "circle",
    "fibonacci",
    "repulsion",
    "tetrahedron",
    "octahedron",
    "cube",
    "icosahedron",
    "dodecahedron",
    "lebedev",
)
LARGEST = {"circle": 1_000_000, "fibonacci": 1_000_000, "repulsion": 5_000}  # repulsion takes n² distances


@dataclass(frozen=True, eq=False)
class Grid:
    """Unit vectors and weights on S¹ (dim 2) or S² (dim 3); made by `make_grid`, or `Grid.from_points` for your own.

    Weights sum to 1; all are 1/N except for Lebedev rules, where a few sizes (74, 230, 266) have negative ones.
    Figures that cost something (symmetries, radius, areas) are computed when first asked for.
    """

    points: Float64[Tensor, "points dim"]
    weights: Float64[Tensor, "points"]
    name: str = "custom"

    def __post_init__(self) -> None:
        _check_grid(self.points, self.weights)

    @classmethod
    def from_points(
        cls,
        points: Tensor | np.ndarray,
        weights: Tensor | np.ndarray | Sequence[float] | None = None,
        name: str = "custom",
    ) -> "Grid":
        """Grid from any floating-point unit vectors [N, d] and weights (both made float64 and normalised).

        Weights are equal unless given.
        Raises: ValueError if the points are not unit vectors within 1e-3, or the weights do not fit or do not sum to
            1 within 1e-5.
        """
        points = torch.as_tensor(points)
        _check_points(points)
        points = torch.nn.functional.normalize(points.detach().cpu().to(torch.float64), dim=-1)
        if weights is None:
            weights = _equal_weights(len(points))
        weights = torch.as_tensor(weights, dtype=torch.float64).detach().cpu()
        total = weights.sum()
        return cls(points, weights / total if abs(total - 1) < 1e-5 else weights, name)  # may be rounded, as the points

    def __len__(self) -> int:
        return self.points.shape[0]

    def __repr__(self) -> str:
        return f"Grid({self.name!r}, N={len(self)}, dim={self.dim})"

    @property
    def dim(self) -> int:
        """2 for the circle, 3 for the sphere."""
        return self.points.shape[1]

    @cached_property
    def mean(self) -> Float64[Tensor, "dim"]:
        """Σ w o. If it is not 0, a constant signal leaks into every vector that is read out."""
        return (self.weights[:, None] * self.points).sum(0)

    @cached_property
    def frame(self) -> Float64[Tensor, "dim dim"]:
        """Frame operator Σ w o oᵀ. Lifting a vector and reading it out multiplies it by this matrix."""
        return (self.weights[:, None, None] * self.points[:, :, None] * self.points[:, None, :]).sum(0)

    @cached_property
    def frame_error(self) -> float:
        """Largest entry of |Σ w o oᵀ − I/d|; 0 (to rounding) means that vectors come back as v/d exactly."""
        return float((self.frame - torch.eye(self.dim, dtype=torch.float64, device="cpu") / self.dim).abs().max())

    @cached_property
    def _symmetries(self) -> tuple[Tensor, Tensor]:
        return permuting_rotations(self.points, self.weights)

    def symmetries(self) -> tuple[Float64[Tensor, "k dim dim"], Int64[Tensor, "k points"]]:
        """Proper rotations R_k that permute the grid and its weights, with `points @ R_k.T == points[perm_k]`.

        Found by matching pairs of points to 1e-9; the identity comes first.
        Raises: ValueError in 3D if all points lie on one line (the group is then infinite).
        """
        return self._symmetries

    def antipodes(self) -> Int64[Tensor, "points"] | None:
        """Index of −o_i for every i, or None if the grid is not closed under o ↦ −o (to 1e-9)."""
        distance, index = torch.cdist(-self.points, self.points, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        return index if bool((distance < 1e-9).all()) else None

    def rotated(self, rotation: Tensor) -> "Grid":
        """The grid R o_i with the same weights; `rotation` is one orthogonal matrix [d, d].

        Raises: ValueError if the matrix has another shape or is not orthogonal within 1e-6.
        """
        d = self.dim
        if rotation.shape != (d, d):
            raise ValueError(f"rotation must have shape [{d}, {d}] for this grid; got {tuple(rotation.shape)}.")
        rotation = rotation.detach().cpu().to(torch.float64)
        error = float((rotation @ rotation.T - torch.eye(d, dtype=torch.float64, device="cpu")).abs().max())
        if not error < 1e-6:
            raise ValueError(
                f"rotation must be orthogonal; |R Rᵀ − I| reaches {error:.2g}. "
                f"Make one with random_rotations(1, dim={d})[0]."
            )
        points = torch.nn.functional.normalize(self.points @ rotation.T, dim=-1)
        return Grid(points, self.weights, self.name)

    @cached_property
    def separation(self) -> float:
        """Smallest angle between two points, in radians (π for a single point, by convention)."""
        return quality.separation(self.points.numpy())

    @cached_property
    def covering_radius(self) -> float:
        """Largest angle from any direction to its nearest grid point, in radians; exact."""
        return quality.covering_radius(self.points.numpy())

    @cached_property
    def energy(self) -> float:
        """Coulomb energy: mean of 1/|o_i − o_j| over pairs i < j (0 for a single point)."""
        return quality.energy(self.points.numpy())

    def quadrature_error(self, degree: int) -> float:
        r"""ε_l = √( 4π/(2l+1) Σ_m |Σ_i w_i Y_lm(o_i)|² ) for one degree l ≥ 1; on the circle |Σ_i w_i e^{ilθ_i}|.

        0 if every harmonic of that degree is integrated exactly, 1 for a single point; unchanged by rotation.
        Raises: ValueError if degree is not a whole number ≥ 1.
        """
        return quality.quadrature_error(self.points.numpy(), self.weights.numpy(), degree)

    def voronoi_areas(self) -> Float64[Tensor, "points"]:
        """Area of every point's Voronoi cell: steradians, sum 4π (radians, sum 2π, on the circle)."""
        return torch.from_numpy(quality.voronoi_areas(self.points.numpy()))


def make_grid(name: str, n: int | None = None, seed: int = 0) -> Grid:
    r"""Make a grid by name.

    | name | points | weights |
    |---|---|---|
    | circle | angles 2πi/n on S¹ | 1/n |
    | fibonacci | θ_i = πi(1+√5), polar angle arccos(1 − 2(i + ½)/n) | 1/n |
    | repulsion | a local minimum of the Coulomb energy Σ 1/\|o_i − o_j\|, started from `seed` | 1/n |
    | tetrahedron … dodecahedron | the 4, 6, 8, 12, 20 vertices, exact | 1/n |
    | lebedev | rules with octahedral symmetry that integrate low degrees exactly, from scipy | the rule's |

    Args:
        name: one of `GRID_NAMES`.
        n: number of points; needed except for the Platonic solids, whose n is known. Lebedev has fixed sizes.
        seed: used by repulsion only; the same seed gives the same bits.
    Raises: ValueError on an unknown name, a missing or impossible n, one that would fill the memory, a negative seed.
    """
    if name not in GRID_NAMES:
        raise ValueError(f"name must be a known grid; got {name!r}. Choose one of {', '.join(GRID_NAMES)}.")
    if name in PLATONIC_SIZES:
        size = PLATONIC_SIZES[name]
        if n not in (None, size):
            raise ValueError(f"n must be {size} (or left out) for the {name}; got {n!r}.")
        return _uniform(platonic_points(name), name)
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"n must be a whole number of points, at least 1, for the {name} grid; got {n!r}. Try n=20.")
    if n > LARGEST.get(name, n):
        raise ValueError(f"n must be at most {LARGEST[name]:,} for the {name} grid, or it fills the memory; got {n:,}. "
                         "Networks use 12 to 110.")
    if name == "lebedev":
        points, weights = lebedev_points(int(n))
        return Grid(torch.tensor(points, device="cpu"), torch.tensor(weights, device="cpu"), name)
    if name == "circle":
        return _uniform(circle_points(n), name)
    if name == "fibonacci":
        return _uniform(fibonacci_points(n), name)
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be a whole number, at least 0; got {seed!r}.")
    return _uniform(repulsion_points(int(n), int(seed)), name)


def _uniform(points: np.ndarray, name: str) -> Grid:
    return Grid(torch.tensor(points, dtype=torch.float64, device="cpu"), _equal_weights(len(points)), name)


def _equal_weights(n: int) -> Tensor:
    return torch.full((n,), 1.0 / n, dtype=torch.float64, device="cpu")


def _check_points(points: Tensor) -> None:
    if points.ndim != 2 or points.shape[0] < 1 or points.shape[1] not in (2, 3):
        raise ValueError(f"points must have shape [N, 2] or [N, 3] with N ≥ 1; got {tuple(points.shape)}.")
    if not points.is_floating_point():
        raise ValueError(f"points must hold real numbers; got dtype {points.dtype}. Use points.to(torch.float64).")
    worst = float((points.detach().norm(dim=-1) - 1).abs().max())
    if not worst <= 1e-3:  # also true for NaN
        raise ValueError(
            f"points must be unit vectors; the worst |norm − 1| is {worst:.2g}. "
            "Use torch.nn.functional.normalize(points, dim=-1)."
        )


def _check_grid(points: Tensor, weights: Tensor) -> None:
    _check_points(points)
    for name, x in (("points", points), ("weights", weights)):
        if x.dtype != torch.float64 or x.device.type != "cpu":
            raise ValueError(f"{name} must be float64 on the CPU; got {x.dtype} on {x.device}. Use Grid.from_points.")
    worst = float((points.norm(dim=-1) - 1).abs().max())
    if worst > 1e-12:
        raise ValueError(f"points must be unit vectors to 1e-12; the worst is {worst:.2g} off. Use Grid.from_points.")
    if weights.shape != points.shape[:1]:
        raise ValueError(f"weights must have one entry per point, {len(points)}; got shape {tuple(weights.shape)}.")
    total = float(weights.sum())
    if not abs(total - 1) < 1e-9:
        raise ValueError(f"weights must sum to 1; got {total:.6g}. Use weights / weights.sum().")
