r"""Coordinates of the grid families that have a formula, as numpy arrays; `make_grid` is the door."""

from functools import lru_cache

import numpy as np
from scipy.integrate import lebedev_rule

PLATONIC_SIZES = {"tetrahedron": 4, "octahedron": 6, "cube": 8, "icosahedron": 12, "dodecahedron": 20}
_LEBEDEV_DEGREES = (*range(3, 32, 2), *range(35, 132, 6))


def circle_points(n: int) -> np.ndarray:
    """[n, 2]: angles 2πi/n."""
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack((np.cos(angle), np.sin(angle)), axis=1)


def fibonacci_points(n: int) -> np.ndarray:
    """[n, 3]: equal steps in height, the golden ratio's angle from one point to the next."""
    i = np.arange(n, dtype=np.float64)
    azimuth = np.mod(np.pi * i * (1 + np.sqrt(5)), 2 * np.pi)
    height = 1 - 2 * (i + 0.5) / n
    radius = np.sqrt(1 - height**2)
    return np.stack((radius * np.cos(azimuth), radius * np.sin(azimuth), height), axis=1)


def platonic_points(name: str) -> np.ndarray:
    """Unit vertices, placed so that the rotations of every solid are exactly `polyhedral_rotations`."""
    golden = (1 + np.sqrt(5)) / 2
    signs = np.array([(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)], dtype=np.float64)
    if name == "tetrahedron":
        points = signs[signs.prod(axis=1) > 0]
    elif name == "octahedron":
        points = np.concatenate((np.eye(3), -np.eye(3)))
    elif name == "cube":
        points = signs
    elif name == "icosahedron":
        points = _cyclic(0.0, 1.0, golden)
    else:
        points = np.concatenate((signs, _cyclic(0.0, golden, 1 / golden)))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _cyclic(a: float, b: float, c: float) -> np.ndarray:
    """(a, ±b, ±c) and its two cyclic shifts."""
    base = np.array([(a, s * b, t * c) for s in (1, -1) for t in (1, -1)])
    return np.concatenate([np.roll(base, shift, axis=1) for shift in range(3)])


@lru_cache(maxsize=1)
def lebedev_sizes() -> dict[int, int]:
    """Number of points -> degree of every rule that scipy has."""
    return {lebedev_rule(degree)[1].size: degree for degree in _LEBEDEV_DEGREES}


def lebedev_points(n: int) -> tuple[np.ndarray, np.ndarray]:
    """[n, 3] and weights of sum 1. Raises ValueError, with the list, if n is not the size of a rule."""
    sizes = lebedev_sizes()
    if n not in sizes:
        raise ValueError(f"n must be the size of a Lebedev rule; got {n}. Choose one of {', '.join(map(str, sizes))}.")
    points, weights = lebedev_rule(sizes[n])
    return points.T / np.linalg.norm(points.T, axis=1, keepdims=True), weights / weights.sum()
