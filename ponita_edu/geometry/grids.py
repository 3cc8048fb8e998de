r"""Grids of orientations on S¹ and S² with quadrature weights (notebook 03).

A grid replaces an integral over the sphere by a weighted sum, (1/|S|) ∫ f(o) do ≈ Σ_i w_i f(o_i), Σ_i w_i = 1.
All grids are float64 and made on the CPU; networks cast them.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Float64, Int64
from scipy.integrate import lebedev_rule
from torch import Tensor

from ponita_edu.geometry import grid_quality as quality
from ponita_edu.geometry.groups import permuting_rotations
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
PLATONIC_SIZES = {"tetrahedron": 4, "octahedron": 6, "cube": 8, "icosahedron": 12, "dodecahedron": 20}
_LEBEDEV_DEGREES = (*range(3, 32, 2), *range(35, 132, 6))


@dataclass(frozen=True, eq=False)
class Grid:
    """Unit vectors and weights on S¹ (dim 2) or S² (dim 3). Build one with `make_grid`, or `Grid.from_points` for your own.

    Weights sum to 1; all are 1/N except for Lebedev rules, where a few sizes (74, 230, 266) have negative ones.
    Figures that cost something (symmetries, radius, areas) are computed when first asked for.
    """

    points: Float64[Tensor, "points dim"]
    weights: Float64[Tensor, "points"]
    name: str = "custom"

    def __post_init__(self) -> None:
        _check_grid(self.points, self.weights)

    @classmethod
    def from_points(cls, points: Tensor, weights: Tensor | None = None, name: str = "custom") -> "Grid":
        """Grid from any floating-point unit vectors [N, d] (made float64, normalised); equal weights unless given.

        Raises: ValueError if the points are not unit vectors within 1e-3, or the weights do not fit.
        """
        _check_points(points)
        points = torch.nn.functional.normalize(points.detach().cpu().to(torch.float64), dim=-1)
        weights = _equal_weights(len(points)) if weights is None else weights.detach().cpu().to(torch.float64)
        return cls(points, weights, name)

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
        return float((self.frame - torch.eye(self.dim, dtype=torch.float64) / self.dim).abs().max())

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
        error = float((rotation @ rotation.T - torch.eye(d, dtype=torch.float64)).abs().max())
        if not error < 1e-6:
            raise ValueError(
                f"rotation must be orthogonal; |R Rᵀ − I| reaches {error:.2g}. Make one with random_rotations(1, dim={d})[0]."
            )
        points = torch.nn.functional.normalize(self.points @ rotation.T, dim=-1)
        return Grid(points, self.weights, self.name)

    @cached_property
    def separation(self) -> float:
        """Smallest angle between two points, in radians (π for a single point, by convention)."""
        return quality.separation(self.points.numpy())

    @cached_property
    def covering_radius(self) -> float:
        """Largest angle from a direction to its nearest grid point, in radians; exact (attained at a Voronoi vertex)."""
        return quality.covering_radius(self.points.numpy())

    @cached_property
    def energy(self) -> float:
        """Coulomb energy: mean of 1/|o_i − o_j| over pairs i < j (0 for a single point)."""
        return quality.energy(self.points.numpy())

    def quadrature_error(self, degree: int) -> float:
        """Root-mean-square integration error over the harmonics of one degree ≥ 1; see `grid_quality.quadrature_error`."""
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
    | lebedev | Gauss-like rules with octahedral symmetry, from scipy | the rule's |

    Args:
        name: one of `GRID_NAMES`.
        n: number of points; needed except for the Platonic solids, whose n is known. Lebedev has fixed sizes.
        seed: used by repulsion only; the same seed gives the same bits.
    Raises: ValueError on an unknown name, a missing or impossible n, a negative seed.
    """
    if name not in GRID_NAMES:
        raise ValueError(f"name must be a known grid; got {name!r}. Choose one of {', '.join(GRID_NAMES)}.")
    if name in PLATONIC_SIZES:
        size = PLATONIC_SIZES[name]
        if n not in (None, size):
            raise ValueError(f"n must be {size} (or left out) for the {name}; got {n!r}.")
        return _uniform(_platonic(name), name)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be a whole number of points, at least 1, for the {name} grid; got {n!r}. Try n=20.")
    if name == "lebedev":
        return _lebedev(n)
    if name == "circle":
        angle = 2 * np.pi * np.arange(n) / n
        return _uniform(np.stack((np.cos(angle), np.sin(angle)), axis=1), name)
    if name == "fibonacci":
        return _uniform(_fibonacci(n), name)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number, at least 0; got {seed!r}.")
    return _uniform(repulsion_points(n, seed), name)


# -------------------------------------------------------------------------------------------------------- families
def _uniform(points: np.ndarray, name: str) -> Grid:
    return Grid(torch.tensor(points, dtype=torch.float64), _equal_weights(len(points)), name)


def _equal_weights(n: int) -> Tensor:
    return torch.full((n,), 1.0 / n, dtype=torch.float64)


def _fibonacci(n: int) -> np.ndarray:
    i = np.arange(n, dtype=np.float64)
    azimuth = np.mod(np.pi * i * (1 + np.sqrt(5)), 2 * np.pi)
    height = 1 - 2 * (i + 0.5) / n
    radius = np.sqrt(1 - height**2)
    return np.stack((radius * np.cos(azimuth), radius * np.sin(azimuth), height), axis=1)


def _platonic(name: str) -> np.ndarray:
    """Vertices in the frame of `polyhedral_rotations`: coordinate axes are twofold or fourfold axes of every solid."""
    golden = (1 + np.sqrt(5)) / 2
    signs = np.array([(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)], dtype=np.float64)
    if name == "tetrahedron":
        points = signs[signs.prod(axis=1) > 0]
    elif name == "octahedron":
        points = np.concatenate((np.eye(3), -np.eye(3)))
    elif name == "cube":
        points = signs
    elif name == "icosahedron":
        points = _cyclic(0, 1, golden)
    else:
        points = np.concatenate((signs, _cyclic(0, 1 / golden, golden)))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _cyclic(a: float, b: float, c: float) -> np.ndarray:
    """(a, ±b, ±c) and its two cyclic shifts."""
    base = np.array([(a, s * b, t * c) for s in (1, -1) for t in (1, -1)])
    return np.concatenate([np.roll(base, shift, axis=1) for shift in range(3)])


@lru_cache(maxsize=1)
def _lebedev_sizes() -> dict[int, int]:
    """Number of points -> degree of every rule that scipy has."""
    return {lebedev_rule(degree)[1].size: degree for degree in _LEBEDEV_DEGREES}


def _lebedev(n: int) -> Grid:
    sizes = _lebedev_sizes()
    if n not in sizes:
        raise ValueError(f"n must be the size of a Lebedev rule; got {n}. Choose one of {', '.join(map(str, sizes))}.")
    points, weights = lebedev_rule(sizes[n])
    points = points.T / np.linalg.norm(points.T, axis=1, keepdims=True)
    return Grid(torch.tensor(points), torch.tensor(weights / weights.sum()), "lebedev")


# ---------------------------------------------------------------------------------------------------------- checks
def _check_points(points: Tensor) -> None:
    if points.ndim != 2 or points.shape[0] < 1 or points.shape[1] not in (2, 3):
        raise ValueError(f"points must have shape [N, 2] or [N, 3] with N ≥ 1; got {tuple(points.shape)}.")
    if not points.is_floating_point():
        raise ValueError(f"points must hold real numbers; got dtype {points.dtype}. Use points.to(torch.float64).")
    worst = float((points.detach().norm(dim=-1) - 1).abs().max())
    if not worst < 1e-3:  # also true for NaN
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
