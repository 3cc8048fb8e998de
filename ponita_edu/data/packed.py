"""Many molecules of different sizes, one after another on the device; batches are put together by indexing.

A batch is ragged: its atoms and pairs stand one after another, so nothing is padded, whatever sizes come together.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ponita_edu.data.edges import MutualEdges
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.qm9 import ELEMENTS
from ponita_edu.molecules.stability import bond_orders, by_size, checked_molecules

GRAPHS = ("complete", "cutoff", "bonds")
_CHUNK = 2_000_000  # pairs looked at at once


@dataclass(frozen=True, eq=False)
class PackedMolecules:
    """Molecules and the pairs of atoms that see each other.

    Args:
        kinds: place of each atom's element in ``ELEMENTS``.
        pos: positions, Å.
        sizes: number of atoms of each molecule.
        first, second: the atoms of each pair, numbered within their molecule, first < second.
        pairs: number of pairs of each molecule.
    """

    kinds: Int[Tensor, " atoms"]
    pos: Float[Tensor, "atoms 3"]
    sizes: Int[Tensor, " molecules"]
    first: Int[Tensor, " all_pairs"]
    second: Int[Tensor, " all_pairs"]
    pairs: Int[Tensor, " molecules"]

    def __len__(self) -> int:
        return len(self.sizes)

    def to(self, device: torch.device, dtype: torch.dtype) -> "PackedMolecules":
        """The same on another device, positions in another dtype."""
        moved = {name: a.to(device) for name, a in vars(self).items() if name in self.__dataclass_fields__}
        return replace(self, **moved | {"pos": moved["pos"].to(dtype)})

    def batch(self, index: Int[Tensor, " graphs"]) -> Graphs:
        """Some molecules as a batch: elements one-hot, pairs both ways, every atom with itself."""
        sizes, pairs = self.sizes[index], self.pairs[index]
        atoms = _ranges(self._starts[0][index], sizes)
        graphs = torch.arange(len(index), device=index.device)
        batch = graphs.repeat_interleave(sizes)
        base = (sizes.cumsum(0) - sizes).repeat_interleave(pairs)
        rows = _ranges(self._starts[1][index], pairs)
        edges = MutualEdges(base + self.first[rows], base + self.second[rows],
                            torch.arange(len(batch), device=index.device))
        x = self._one_hot[self.kinds[atoms].long()]
        return self._template._replace(pos=self.pos[atoms], x=x, batch=batch, num_graphs=len(index)).joined_by(edges)

    @cached_property
    def _starts(self) -> tuple[Tensor, Tensor]:
        return tuple(a.cumsum(0) - a for a in (self.sizes, self.pairs))

    @cached_property
    def _one_hot(self) -> Tensor:
        return torch.eye(len(ELEMENTS), dtype=self.pos.dtype, device=self.pos.device)

    @cached_property
    def _template(self) -> Graphs:  # what it holds is replaced without checks, which would wait for a GPU
        return Graphs(self.pos[:1], self._one_hot[:1])


def pack(numbers: Int[np.ndarray, " atoms"], pos: Float[np.ndarray, "atoms 3"], sizes: Int[np.ndarray, " molecules"],
         graph: str = "complete", cutoff: float = 3.0) -> PackedMolecules:
    """Molecules with the pairs of a graph.

    Args:
        numbers: atomic numbers of H, C, N, O, F.
        pos: Å.
        sizes: atoms of each molecule.
        graph: ``complete`` (all pairs), ``cutoff`` (distance at most ``cutoff``) or ``bonds``
            (``molecules.stability.bond_orders`` is not 0).
        cutoff: in Å.

    Raises:
        ValueError: on other elements, or positions that are not finite.
    """
    checked_molecules(numbers, pos)
    offsets = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    small = np.min_scalar_type(-int(sizes.max()))  # holds the number of every atom within its molecule: int8 for QM9
    found = []  # (molecule, first, second)
    for molecules, atoms in by_size(offsets):
        i, j = np.triu_indices(atoms.shape[1], 1)
        step = max(1, _CHUNK // max(len(i), 1))
        for part in (slice(k, k + step) for k in range(0, len(atoms), step)):
            z, p = numbers[atoms[part]], pos[atoms[part]]
            if graph == "bonds":
                near = bond_orders(z, p)[:, i, j] > 0
            elif graph == "cutoff":
                near = np.square(p[:, i] - p[:, j]).sum(-1) <= cutoff**2
            else:
                near = np.ones((len(z), len(i)), bool)
            m, pair = np.nonzero(near)
            found.append((molecules[part][m].astype(np.int32), i[pair].astype(small), j[pair].astype(small)))
    molecule, first, second = (np.concatenate(a) for a in zip(*found, strict=True))
    order = np.argsort(molecule, kind="stable")
    kinds = np.searchsorted(list(ELEMENTS), numbers).astype(np.int8)
    arrays = (kinds, pos, np.asarray(sizes, np.int64), first[order], second[order],
              np.bincount(molecule, minlength=len(sizes)))
    return PackedMolecules(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))


def _ranges(starts: Tensor, counts: Tensor) -> Tensor:
    # start, start + 1, ..., start + count - 1 of each, one after another
    before = counts.cumsum(0) - counts
    return torch.arange(int(counts.sum()), device=counts.device) + (starts - before).repeat_interleave(counts)
