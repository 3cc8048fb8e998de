r"""Finite rotation groups, as tensors [k, d, d]: cyclic, polyhedral, and the symmetries of any set of directions."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float64, Int64
from scipy.spatial import cKDTree
from torch import Tensor

from ponita_edu.geometry.rotations import axis_angle, rotation_2d

GROUP_ORDERS = {"tetrahedron": 12, "octahedron": 24, "icosahedron": 60}


def cyclic_rotations(n: int) -> Float64[Tensor, "n 2 2"]:
    """The n rotations of the plane by 2πk/n, k = 0 … n−1. Raises ValueError if n < 1."""
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}. n=1 gives the identity alone.")
    return rotation_2d(2 * math.pi * torch.arange(n, dtype=torch.float64) / n)


def polyhedral_rotations(name: str) -> Float64[Tensor, "k 3 3"]:
    """All proper rotations of the tetrahedron (12), octahedron (24) or icosahedron (60).

    The cube shares the octahedron's, the dodecahedron the icosahedron's. Made as the closure of two generators, in
    the frame of the Platonic grids; the identity comes first.

    Raises: ValueError on another name.
    """
    if name not in GROUP_ORDERS:
        raise ValueError(
            f"name must be one of {', '.join(GROUP_ORDERS)}; got {name!r}. "
            "The cube has the octahedron's rotations, the dodecahedron the icosahedron's."
        )
    third = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)  # 120° about (1, 1, 1)
    if name == "tetrahedron":
        other = torch.diag(torch.tensor([-1.0, -1, 1], dtype=torch.float64))  # 180° about z
    elif name == "octahedron":
        other = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)  # 90° about z
    else:
        vertex = torch.tensor([0.0, 1, (1 + math.sqrt(5)) / 2], dtype=torch.float64)
        other = axis_angle(vertex, torch.tensor(2 * math.pi / 5, dtype=torch.float64))  # 72° about a vertex
    return _closure(torch.stack((third, other)), GROUP_ORDERS[name])


def _closure(generators: Tensor, order: int) -> Tensor:
    """Multiply by the generators until nothing new appears."""
    group = [torch.eye(3, dtype=torch.float64)]
    for element in group:  # the list grows while it is read
        for generator in generators:
            product = generator @ element
            if (torch.stack(group) - product).abs().amax((1, 2)).min() > 1e-6:
                group.append(product)
        if len(group) > order:
            raise RuntimeError(f"the generators give more than {order} rotations")
    return torch.stack(group)


def permuting_rotations(
    points: Float64[Tensor, "n dim"], weights: Float64[Tensor, "n"], tolerance: float = 1e-9
) -> tuple[Float64[Tensor, "k dim dim"], Int64[Tensor, "k n"]]:
    r"""All proper rotations that permute weighted unit vectors on S¹ or S², identity first, with the permutations.

    `points @ R.T == points[perm]` within `tolerance`. A rotation is fixed by where it sends one point (2D) or two
    points that are not on a line (3D), so every equal-looking pair is tried; pairs that occur seldom are tried first.

    Raises: ValueError if two points coincide, or in 3D if all lie on one line (infinitely many rotations keep them).
    """
    p, w = points.numpy(), weights.numpy()
    if len(cKDTree(p).query_pairs(10 * tolerance)):
        raise ValueError("points must be distinct; two of them coincide. Remove the duplicate and add its weight.")
    rotations, permutations = [], []
    for candidate in _candidate_rotations(p, w, tolerance):
        moved = p @ candidate.T
        target = (moved @ p.T).argmax(axis=1)
        if np.linalg.norm(p[target] - moved, axis=1).max() > 10 * tolerance:
            continue
        refined = _nearest_rotation(p[target].T @ p)  # all points at once: less rounding than from two
        same = np.abs(p[target] - p @ refined.T).max() <= tolerance and np.abs(w[target] - w).max() <= tolerance
        if same:
            rotations.append(refined)
            permutations.append(target)
    order = sorted(range(len(rotations)), key=lambda k: (permutations[k] != np.arange(len(p))).any())
    return torch.from_numpy(np.array(rotations)[order]), torch.from_numpy(np.array(permutations)[order])


def _candidate_rotations(p: np.ndarray, w: np.ndarray, tolerance: float) -> Iterator[np.ndarray]:
    label = np.searchsorted(np.sort(w), w - tolerance)  # points of equal weight share a label
    rarest = min(np.unique(label), key=lambda k: (label == k).sum())
    first_images = np.flatnonzero(label == rarest)
    i = first_images[0]
    if p.shape[1] == 2:
        for k in first_images:
            cos, sin = p[i] @ p[k], p[i, 0] * p[k, 1] - p[i, 1] * p[k, 0]
            yield np.array([[cos, -sin], [sin, cos]])
        return
    gram = p @ p.T
    not_aligned = np.flatnonzero(np.abs(gram[i]) < 1 - 1e-6)
    if not len(not_aligned):
        raise ValueError(
            f"all {len(p)} points lie on one line, so infinitely many rotations about it keep them; "
            "symmetries need at least two directions that are not opposite."
        )
    rows = gram[first_images]

    def images(j: int | np.integer) -> np.ndarray:
        return np.argwhere((np.abs(rows - gram[i, j]) <= 10 * tolerance) & (label == label[j]))

    j = min(not_aligned[:32], key=lambda k: len(images(k)))  # few images, few candidates
    frame = _frame_of(p[i], p[j])
    for row, second in images(j):
        yield _frame_of(p[first_images[row]], p[second]) @ frame.T


def _frame_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Right-handed orthonormal columns from two directions."""
    b = b - (a @ b) * a
    b = b / np.linalg.norm(b)
    return np.stack((a, b, np.cross(a, b)), axis=1)


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    u, _, vt = np.linalg.svd(matrix)
    u[:, -1] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))
    return u @ vt
