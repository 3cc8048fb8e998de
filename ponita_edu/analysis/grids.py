"""How good a spherical grid is, in numbers (notebook 03)."""

import math
from collections.abc import Sequence

from ponita_edu.geometry.grids import Grid, make_grid

# Every family at the sizes that it has between 6 and 60 points.
FAMILIES: tuple[tuple[str, int | None], ...] = (
    *(("fibonacci", n) for n in (6, 8, 12, 14, 20, 26, 32, 50, 60)),
    *(("repulsion", n) for n in (6, 8, 12, 14, 20, 26, 32, 50, 60)),
    *(("octahedron", None), ("cube", None), ("icosahedron", None), ("dodecahedron", None)),
    *(("lebedev", n) for n in (6, 14, 26, 38, 50)),
)


def exact_degree(grid: Grid, tolerance: float = 1e-12, most: int = 40) -> int:
    """The largest t such that the grid integrates every harmonic of degree 1 to t exactly (a spherical t-design).

    Args:
        tolerance: what counts as 0 for ``Grid.quadrature_error``.
        most: where to stop looking.
    """
    for degree in range(1, most + 1):
        if grid.quadrature_error(degree) > tolerance:
            return degree - 1
    return most


def grid_row(grid: Grid) -> dict[str, str | int | float]:
    """The quality figures of one grid.

    Returns:
        name, N, separation and covering radius in degrees, energy (mean of 1/|o_i - o_j|), ``mean`` = |sum w o|,
        ``frame_error`` = max|sum w o o^T - I/d|, ``exact_degree``, and ``symmetries``, the number of rotations that
        permute the grid.
    """
    return {
        "name": grid.name,
        "N": len(grid),
        "separation": math.degrees(grid.separation),
        "covering": math.degrees(grid.covering_radius),
        "energy": grid.energy,
        "mean": float(grid.mean.norm()),
        "frame_error": grid.frame_error,
        "exact_degree": exact_degree(grid),
        "symmetries": len(grid.symmetries()[0]),
    }


def grid_table(families: Sequence[tuple[str, int | None]] = FAMILIES, seed: int = 0
               ) -> list[dict[str, str | int | float]]:
    """``grid_row`` for each (name, number of points); the seed is that of repulsion grids."""
    return [grid_row(make_grid(name, n, seed=seed)) for name, n in families]
