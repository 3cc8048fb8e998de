"""Pairs of structures that are hard to tell apart, and which lists of numbers do tell them apart (notebook 08)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from ponita_edu.analysis.molecule_pairs import cluster
from ponita_edu.data.edges import radius_edges
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import make_grid
from ponita_edu.molecules.shapes import make_molecule
from ponita_edu.nn import spaces

F64 = torch.float64
DESCRIPTORS = {
    "list of distances": "the lengths of all edges",
    "distances, passed on": "every atom gets a colour from the lengths of its edges and the colours at their ends, "
                            "until nothing changes (the Weisfeiler-Leman test on distances)",
    "list of angles": "the angles between the edges of every atom",
    "angles, passed on": "every edge gets a colour from the angles with other edges and their colours, until nothing "
                         "changes",
    "all but a reflection": "whether a motion or a reflection maps one on the other",
    "everything": "whether a motion maps one on the other",
}


@dataclass(frozen=True, eq=False)
class StructurePair:
    """Two structures with edges, atoms of several types, and the family that they belong to."""

    name: str
    family: str
    first: Graphs
    second: Graphs
    types: tuple[str, ...]  # of each atom, the same in both

    def __post_init__(self):
        if self.first.pos.shape != self.second.pos.shape or len(self.types) != self.first.num_nodes:
            raise ValueError(f"first, second and types must have as many atoms, but have {self.first.num_nodes}, "
                             f"{self.second.num_nodes} and {len(self.types)}. A pair differs in shape only.")


def _pair(name: str, family: str, first: Tensor, second: Tensor, radius: float = 100.0,
          types: tuple[str, ...] | None = None, edges: Tensor | None = None) -> StructurePair:
    # Edges up to the radius, or given ones for both; self loops in any case, as PONITA has them.
    types = types or ("C",) * len(first)
    named = sorted(set(types))
    x = torch.eye(len(named), dtype=F64)[[named.index(t) for t in types]]
    batch = torch.zeros(len(first), dtype=torch.long)
    graphs = [Graphs(pos, x, radius_edges(pos, batch, radius) if edges is None else edges) for pos in (first, second)]
    return StructurePair(name, family, *graphs, types)


# ------------------------------------------------------------------------------------------------------ the families
def chain(k: int) -> StructurePair:
    """k atoms on a line and one more on each end, at right angles: on the same side (cis), or on opposite ones (trans).

    Edges join neighbours. Atoms near the middle must hear from both ends: floor(k/2) + 1 layers at least.
    """
    if k < 3:
        raise ValueError(f"k must be at least 3, or the ends are neighbours themselves, but is {k}. Use k=4.")
    line = torch.stack((torch.arange(k, dtype=F64), torch.zeros(k, dtype=F64), torch.zeros(k, dtype=F64)), dim=1)
    cis, trans = (torch.cat((line[:1] + torch.tensor([[0, 1.0, 0]], dtype=F64), line,
                             line[-1:] + torch.tensor([[0, side, 0]], dtype=F64))) for side in (1.0, -1.0))
    return _pair(f"{k}-chain", "k-chains", cis, trans, 1.1)


def rings(fold: int, twist: float | None = None) -> StructurePair:
    """An atom between two rings of ``fold`` atoms: the rings eclipsed, or one turned by ``twist`` (half a step).

    Edges join the centre with each ring atom, so that only the centre can compare the rings.
    """
    if fold < 2:
        raise ValueError(f"fold must be at least 2, but is {fold}. Use fold=3.")
    step = 2 * math.pi / fold

    def at(turn: float, z: float) -> Tensor:
        angle = step * torch.arange(fold, dtype=F64) + turn
        return torch.stack((angle.cos(), angle.sin(), torch.full_like(angle, z)), dim=1)

    centre, ring = torch.zeros(1, 3, dtype=F64), torch.arange(1, 2 * fold + 1)
    eclipsed, turned = (torch.cat((centre, at(0.0, 0.8), at(turn, -0.8)))
                        for turn in (0.0, step / 2 if twist is None else twist))
    return _pair(f"rings, L = {fold}", "rotational symmetry", eclipsed, turned, edges=_star(ring))


def four_points() -> StructurePair:
    """A kite and a trapezoid with the same six distances (squared: 1, 1, 2, 5, 5, 8); every atom joined to every one.

    Source: that such sets exist for four points is in Boutin and Kemper, arXiv math/0304192; these were found by trying
    all points of a 3 x 4 lattice.
    """
    kite, trapezoid = [(0, 2), (1, 0), (2, 0), (2, 1)], [(0, 2), (1, 2), (2, 0), (2, 1)]
    first, second = (torch.tensor([(x, y, 0) for x, y in points], dtype=F64) for points in (kite, trapezoid))
    return _pair("four points", "counterexamples", first, second)


def icosahedron(star: bool = False) -> StructurePair:
    """Six corners of an icosahedron, chosen in two ways: every atom has the same list of distances in both.

    Joined are all of them; or, with ``star``, each with an atom at the centre and with nothing else (corners are 1.05
    apart, the centre is 1 away): then the angles at the centre are the distances on the sphere, and agree as well.

    Source: distances passed on cannot separate all point clouds in 3D, Pozdnyakov and Ceriotti, arXiv 2201.07136; this
    pair was found by trying all choices of corners.
    """
    corners = make_grid("icosahedron").points
    first, second = (corners[list(chosen)] for chosen in ((0, 1, 2, 3, 4, 7), (0, 1, 2, 3, 8, 11)))
    if not star:
        return _pair("icosahedron, all joined", "counterexamples", first, second)
    centre = torch.zeros(1, 3, dtype=F64)
    return _pair("icosahedron, centre only", "counterexamples", *(torch.cat((centre, p)) for p in (first, second)),
                 radius=1.02)


def chiral_centre() -> StructurePair:
    """CHFClBr and its mirror image (in Å); edges are the bonds."""
    molecule = make_molecule("CHFClBr")
    return _pair("CHFClBr", "mirror images", molecule.positions, molecule.mirrored().positions,
                 types=molecule.symbols, edges=_star(torch.arange(1, 5)))


def helix() -> StructurePair:
    """Six equal atoms on a right-handed and on a left-handed screw, every atom joined to every one."""
    angle = torch.arange(6, dtype=F64) * math.radians(75)
    right = torch.stack((angle.cos(), angle.sin(), 0.3 * angle), dim=1)
    right = right - right.mean(0)
    return _pair("helix", "mirror images", right, right * torch.tensor([-1.0, 1.0, 1.0], dtype=F64))


@lru_cache(maxsize=1)
def all_pairs() -> dict[str, StructurePair]:
    """The pairs of the table, by name."""
    found = [chain(3), chain(4), rings(2), rings(3), rings(5), four_points(), icosahedron(), icosahedron(star=True),
             chiral_centre(), helix()]
    return {pair.name: pair for pair in found}


def _star(leaves: Tensor) -> Tensor:
    loops = torch.arange(len(leaves) + 1).expand(2, -1)
    return torch.cat((torch.stack((leaves, 0 * leaves)), torch.stack((0 * leaves, leaves)), loops), dim=1)


# --------------------------------------------------------------------------------------------------- the descriptors
@lru_cache(maxsize=64)
def agreement(pair: StructurePair) -> dict[str, bool]:
    """For every descriptor of ``DESCRIPTORS``: is it the same for both structures? (Numbers to 1e-10.)

    Those that are passed on bound networks: with equal colours, no network that sees only these numbers and passes
    messages along these edges can tell the structures apart, however many layers it has.
    """
    both = (pair.first, pair.second)
    types = pair.first.x.argmax(1).numpy()
    atom_type = np.concatenate((types, types))
    atoms = _Relation(both, [g.edge_index for g in both],
                      [(g.pos[g.source] - g.pos[g.target]).norm(dim=-1)[:, None] for g in both])
    lifted = [spaces.edges(g, None) for g in both]
    starts = [len(p.node) for p in lifted]
    edges = _Relation(both, [torch.stack((p.source, p.target)) for p in lifted], [p.attributes for p in lifted],
                      sizes=starts)
    edge_type = atom_type[np.concatenate([p.node.numpy() for p in lifted])]
    here = np.concatenate([(p.node[p.source] == p.node[p.target]).numpy() for p in lifted])
    maps = list(_isometries(pair))
    return dict(zip(DESCRIPTORS, (
        atoms.same_list(atom_type), atoms.same_colours(atom_type), edges.same_list(edge_type, here),
        edges.same_colours(edge_type), bool(maps), any(_proper(pair, m) for m in maps)), strict=True))


class _Relation:
    """Labelled arrows between objects of two structures, the labels from numbers that are clustered jointly."""

    def __init__(self, both: tuple[Graphs, Graphs], arrows: list[Tensor], numbers: list[Tensor],
                 sizes: list[int] | None = None):
        first = both[0].num_nodes if sizes is None else sizes[0]
        self.source, self.target = torch.cat((arrows[0], arrows[1] + first), dim=1).numpy()
        self.label = cluster(torch.cat(numbers).numpy())
        self.first, self.split = first, arrows[0].shape[1]  # objects and arrows of the first structure

    def same_list(self, kinds: np.ndarray, keep: np.ndarray | None = None) -> bool:
        rows = list(zip(kinds[self.source], kinds[self.target], self.label, strict=True))
        keep = np.ones(len(rows), dtype=bool) if keep is None else keep
        first = [row for row, k in zip(rows[: self.split], keep, strict=False) if k]
        second = [row for row, k in zip(rows[self.split:], keep[self.split:], strict=True) if k]
        return sorted(first) == sorted(second)

    def same_colours(self, colours: np.ndarray) -> bool:
        colours, count = colours.tolist(), 0
        while len(set(colours)) > count:
            count, seen = len(set(colours)), [[] for _ in colours]
            for s, t, label in zip(self.source, self.target, self.label, strict=True):
                seen[t].append((int(label), colours[s]))
            keys = [(c, *sorted(a)) for c, a in zip(colours, seen, strict=True)]
            number = {key: k for k, key in enumerate(sorted(set(keys)))}
            colours = [number[key] for key in keys]
        return sorted(colours[: self.first]) == sorted(colours[self.first:])


def _isometries(pair: StructurePair) -> Iterator[list[int]]:
    """All ways to match the atoms so that types and all distances agree."""
    n, types = pair.first.num_nodes, pair.types
    distances = torch.stack([torch.cdist(g.pos, g.pos, compute_mode="donot_use_mm_for_euclid_dist")
                             for g in (pair.first, pair.second)])
    one, other = cluster(distances.reshape(-1, 1).numpy()).reshape(2, n, n)

    def extend(chosen: list[int]) -> Iterator[list[int]]:
        i = len(chosen)
        if i == n:
            yield chosen
        for j in set(range(n)) - set(chosen):
            if types[i] == types[j] and all(one[a, i] == other[b, j] for a, b in enumerate(chosen)):
                yield from extend([*chosen, j])

    return extend([])


def _proper(pair: StructurePair, match: list[int]) -> bool:
    a, b = pair.first.pos, pair.second.pos[match]
    covariance: Float64[Tensor, "3 3"] = (a - a.mean(0)).T @ (b - b.mean(0))
    flat = bool(torch.linalg.svdvals(covariance)[-1] < 1e-9)  # a plane figure is its own mirror image
    return flat or bool(torch.linalg.det(covariance) > 0)
