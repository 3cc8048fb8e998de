"""Pairs of points of R³×S² in a molecule, those with equal numbers, and the classes among them (notebook 02)."""

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ponita_edu.analysis.alignment import best_motion
from ponita_edu.analysis.pairs import Pair
from ponita_edu.geometry.grids import Grid

SAME_NUMBERS = 1e-10  # gap between attributes (Å, Å², cosines) that rounding can make
RELATED = 1e-6  # at a fold of the numbers (planar pairs) rounding of 1e-15 hides displacements of 1e-7
_CHUNK = 100_000


# ------------------------------------------------------------------------------------------------ pairs of points
def grid_pairs(
    positions: Float64[Tensor, "atoms 3"], grid: Grid, receivers: Int64[Tensor, " r"] | None = None
) -> tuple[Pair, Int64[Tensor, "pairs 2"]]:
    """All (receiver atom, sender atom) × (o_t, o_s) of the grid, self pairs (r = 0) included; and the atoms of each.

    `receivers`: only these atoms receive.
    """
    every = torch.arange(len(positions))
    atoms = torch.cartesian_prod(every if receivers is None else receivers, every)
    ori = torch.cartesian_prod(torch.arange(len(grid)), torch.arange(len(grid))).repeat(len(atoms), 1)
    atoms = atoms.repeat_interleave(len(grid) ** 2, dim=0)
    pair = Pair.make("r3s2", *(positions[a] for a in atoms.T), *(grid.points[o] for o in ori.T))
    return pair, atoms


def distinct_receivers(
    positions: Float64[Tensor, "atoms 3"], grid: Grid, types: Int64[Tensor, " atoms"] | None = None
) -> Int64[Tensor, " r"]:
    """One atom of every orbit under the rotations about the centroid that permute atoms (of one type) and grid alike.

    Such a rotation maps the pairs of one receiver on those of another with the same numbers, so these receivers show
    every number and every class.
    """
    centred = positions - positions.mean(0)
    smallest = torch.arange(len(positions))
    for rotation in grid.symmetries()[0]:
        distance, image = torch.cdist(centred @ rotation.T, centred, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        keeps = bool((distance < 1e-6).all()) and (types is None or bool((types[image] == types).all()))
        if keeps:
            smallest = torch.minimum(smallest, image)
    return smallest.unique()


def edge_pairs(positions: Float64[Tensor, "atoms 3"]) -> tuple[Pair, Int64[Tensor, "pairs 4"]]:
    """Orientations along edges instead of a grid: (t, u, s, v) with o_t from atom t to u, o_s from atom s to v."""
    n = len(positions)
    edges = torch.tensor([(a, b) for a in range(n) for b in range(n) if a != b])
    both = torch.cartesian_prod(torch.arange(len(edges)), torch.arange(len(edges)))
    atoms = torch.cat((edges[both[:, 0]], edges[both[:, 1]]), dim=1)
    t, u, s, v = (positions[a] for a in atoms.T)
    ori_t, ori_s = (torch.nn.functional.normalize(x, dim=-1) for x in (u - t, v - s))
    return Pair.make("r3s2", t, s, ori_t, ori_s), atoms


# ----------------------------------------------------------------------------------------------------- clustering
def cluster(values: Float64[np.ndarray, "n columns"], tolerance: float = SAME_NUMBERS) -> Int64[np.ndarray, " n"]:
    """Labels 0, 1, …: rows with the same label are joined by steps of at most `tolerance` in every column.

    Sorted gaps, not rounding: numbers on two sides of a rounding border stay together. Splits group by group, column by
    column, until nothing splits any more.
    """
    labels, count = np.zeros(len(values), dtype=np.int64), 0
    while True:
        for column in values.T:
            order = np.lexsort((column, labels))
            new = (np.diff(labels[order]) > 0) | (np.diff(column[order]) > tolerance)
            labels[order] = np.concatenate(([0], np.cumsum(new)))
        if labels.max(initial=0) + 1 == count:
            return labels
        count = labels.max(initial=0) + 1


def classes_within(pairs: Pair, names: Int64[np.ndarray, " n"], group: str) -> tuple[np.ndarray, float, float]:
    """Split every set of pairs with one name into classes by `best_motion`.

    Returns class labels, the largest residual that was called related and the smallest that was not (inf if none).
    """
    found, classes = np.full(len(names), -1, dtype=np.int64), 0
    related, unrelated = 0.0, np.inf
    left = np.arange(len(names))
    while len(left):  # one round settles one class of every name
        _, first, inverse = np.unique(names[left], return_index=True, return_inverse=True)
        residual = _residuals(pairs, left, left[first][inverse], group)
        same = residual <= RELATED
        found[left[same]] = classes + inverse[same]
        classes += len(first)
        related = max(related, residual[same].max(initial=0.0))
        unrelated = min(unrelated, residual[~same].min(initial=np.inf))
        left = left[~same]
    return np.unique(found, return_inverse=True)[1], float(related), float(unrelated)


def _residuals(pairs: Pair, first: np.ndarray, second: np.ndarray, group: str) -> np.ndarray:
    """What the best motion leaves between pairs[first] and pairs[second], in chunks to bound the memory."""
    out = np.empty(len(first))
    for start in range(0, len(first), _CHUNK):
        here = slice(start, start + _CHUNK)
        one, other = (pairs[torch.from_numpy(index[here])] for index in (first, second))
        out[here] = best_motion(one, other, group)[1].numpy()
    return out


def couples(labels: Int64[np.ndarray, " n"]) -> int:
    """Number of unordered couples with one label."""
    count = np.bincount(labels)
    return int((count * (count - 1) // 2).sum())
