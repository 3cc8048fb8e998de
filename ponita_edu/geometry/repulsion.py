r"""Repulsion grids: unit charges on the sphere pushed apart until every force vanishes."""

from functools import lru_cache

import numpy as np
from scipy.optimize import minimize

FORCE_TOLERANCE = 1e-10


@lru_cache(maxsize=32)
def repulsion_points(n: int, seed: int) -> np.ndarray:
    r"""A local minimum [n, 3] of E = Σ_{i<j} 1/|o_i − o_j| on the sphere, reached from seeded random points.

    L-BFGS brings the points near the minimum, Newton steps (solved by conjugate gradients) finish it. Converged
    means: the largest tangential force is below 1e-10 (two charges repel each other with 1/4 or more). Nothing but
    elementwise arithmetic and sums is used, no matrix products, so that the bits do not depend on the number of
    threads. The array is read-only because it is cached.

    Raises: RuntimeError if the force does not fall below the tolerance.
    """
    start = np.random.default_rng(seed).standard_normal((n, 3))
    points = _normalise(start)
    if n > 1:
        options = {"maxiter": 20000, "maxfun": 40000, "ftol": 0.0, "gtol": 1e-6}
        for _ in range(3):
            found = minimize(_energy_and_gradient, points.ravel(), jac=True, method="L-BFGS-B", options=options)
            points = _polish(_normalise(found.x.reshape(n, 3)))
            if largest_force(points) < FORCE_TOLERANCE:
                break
        else:
            force = largest_force(points)
            raise RuntimeError(f"repulsion grid n={n}, seed={seed}: forces stay at {force:.2g}; try another seed.")
    points.flags.writeable = False
    return points


def largest_force(points: np.ndarray) -> float:
    """Largest tangential force max_i |(I − o_i o_iᵀ) Σ_j (o_i − o_j)/|o_i − o_j|³|."""
    return float(np.sqrt((_tangential(_forces(points), points) ** 2).sum(axis=1)).max())


def _normalise(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).sum(axis=1, keepdims=True))


def _tangential(x: np.ndarray, points: np.ndarray) -> np.ndarray:
    return x - (x * points).sum(axis=1, keepdims=True) * points


def _pairs(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """o_i − o_j as [3, n, n] and 1/|o_i − o_j| with 0 on the diagonal."""
    difference = points.T[:, :, None] - points.T[:, None, :]
    squared = (difference**2).sum(axis=0)
    np.fill_diagonal(squared, np.inf)
    return difference, 1 / np.sqrt(squared)


def _forces(points: np.ndarray) -> np.ndarray:
    difference, inverse = _pairs(points)
    return (difference * inverse**3).sum(axis=2).T


def _energy_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy of the normalised points, as a function of unconstrained vectors."""
    x = flat.reshape(-1, 3)
    length = np.sqrt((x**2).sum(axis=1, keepdims=True))
    points = x / length
    difference, inverse = _pairs(points)
    forces = (difference * inverse**3).sum(axis=2).T
    return 0.5 * float(inverse.sum()), (-_tangential(forces, points) / length).ravel()


def _polish(points: np.ndarray, steps: int = 8) -> np.ndarray:
    """Newton's method on the product of spheres; steps that do not lower the force are not taken."""
    force = largest_force(points)
    for _ in range(steps):
        candidate = _normalise(points + _newton_step(points))
        candidate_force = largest_force(candidate)
        if not candidate_force < force:
            break
        points, force = candidate, candidate_force
    return points


def _newton_step(points: np.ndarray) -> np.ndarray:
    """Solve Hessian · step = force by conjugate gradients."""
    difference, inverse = _pairs(points)
    cube, fifth = inverse**3, 3 * inverse**5
    force = (difference * cube).sum(axis=2).T
    radial = (force * points).sum(axis=1, keepdims=True)

    def hessian(v: np.ndarray) -> np.ndarray:
        relative = v.T[:, :, None] - v.T[:, None, :]
        along = (relative * difference).sum(axis=0) * fifth
        euclidean = (along * difference - cube * relative).sum(axis=2).T
        turning = np.cross(np.cross(points, v).sum(axis=0), points)  # makes turning the whole set cost something
        return _tangential(euclidean, points) + radial * v + turning  # radial: curvature of the sphere

    step = np.zeros_like(points)
    residual = _tangential(force, points)
    direction, norm = residual.copy(), (residual**2).sum()
    target = max(norm * 1e-12, len(points) * 1e-28)  # beyond that only rounding is left
    for _ in range(4 * len(points)):
        if norm <= target:
            break
        product = hessian(direction)
        curvature = (direction * product).sum()
        if curvature <= 0:
            break
        step += norm / curvature * direction
        residual -= norm / curvature * product
        new = (residual**2).sum()
        direction, norm = residual + new / norm * direction, new
    return step
