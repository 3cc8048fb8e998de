"""The pairs are what they are said to be: equal in the numbers named, and not congruent. Found out in two ways."""

import math

import numpy as np
import pytest
import torch

from ponita_edu.analysis.structure_pairs import DESCRIPTORS, StructurePair, agreement, all_pairs, chain, rings
from ponita_edu.geometry import random_rotations
from ponita_edu.molecules.shapes import make_molecule

PAIRS = all_pairs()
# which of DESCRIPTORS agree, in their order
SAME = {
    "3-chain": (1, 1, 1, 1, 0, 0), "4-chain": (1, 1, 1, 1, 0, 0),
    "rings, L = 2": (1, 1, 0, 0, 0, 0), "rings, L = 3": (1, 1, 0, 0, 0, 0), "rings, L = 5": (1, 1, 0, 0, 0, 0),
    "four points": (1, 0, 0, 0, 0, 0), "icosahedron, all joined": (1, 1, 0, 0, 0, 0),
    "icosahedron, centre only": (1, 1, 1, 1, 0, 0), "CHFClBr": (1, 1, 1, 1, 1, 0), "helix": (1, 1, 1, 1, 1, 0),
}


def distances(pos):
    return np.linalg.norm(pos.numpy()[:, None] - pos.numpy()[None], axis=-1)


def per_atom(pos):
    """Every atom's sorted distances to all others, the atoms sorted."""
    rows = np.sort(distances(pos), axis=1)
    return rows[np.lexsort(np.round(rows, 6).T)]


def spectrum(pos):
    """Eigenvalues of the distance matrix: equal for congruent structures, whatever the order of atoms."""
    return np.linalg.eigvalsh(distances(pos))


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_agree_in_what_is_said_and_in_nothing_else(name):
    assert agreement(PAIRS[name]) == dict(zip(DESCRIPTORS, map(bool, SAME[name]), strict=True))


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_are_congruent_only_if_mirror_images(name):
    first, second = (spectrum(g.pos) for g in (PAIRS[name].first, PAIRS[name].second))
    assert (np.abs(first - second).max() < 1e-12) == (PAIRS[name].family == "mirror images")


def test_four_points_have_equal_distances_in_all_and_icosahedron_has_them_atom_by_atom():
    pair = PAIRS["four points"]
    upper = np.triu_indices(4, 1)
    first, second = (np.sort(distances(g.pos)[upper]) for g in (pair.first, pair.second))
    assert np.abs(first - second).max() < 1e-15
    assert np.abs(per_atom(pair.first.pos) - per_atom(pair.second.pos)).max() > 0.1
    for name in ("icosahedron, all joined", "icosahedron, centre only"):
        pair = PAIRS[name]
        assert np.abs(per_atom(pair.first.pos) - per_atom(pair.second.pos)).max() < 1e-12


def test_angles_at_the_centre_agree_leaf_by_leaf():
    pair = PAIRS["icosahedron, centre only"]
    rows = [np.sort((g.pos[1:] @ g.pos[1:].T).numpy(), axis=1) for g in (pair.first, pair.second)]
    assert len({tuple(row) for row in np.round(np.concatenate(rows), 9)}) == 1  # all twelve leaves see the same


def test_the_same_structure_agrees_in_everything_and_a_moved_atom_in_nothing():
    generator = torch.Generator().manual_seed(0)
    for pair in PAIRS.values():
        first, turn = pair.first, random_rotations(1, generator=generator)[0]
        copy = first.rotate(turn)
        same = StructurePair(pair.name, pair.family, first, copy, pair.types)
        assert all(agreement(same).values()), pair.name
        pos = copy.pos.clone()
        pos[-1] += torch.tensor([0.01, 0.007, -0.013])
        moved = StructurePair(pair.name, pair.family, first, copy._replace(pos=pos), pair.types)
        assert not any(agreement(moved).values()), pair.name


def test_the_order_of_atoms_does_not_matter():
    pair = PAIRS["icosahedron, all joined"]
    shuffled = pair.second.permuted(torch.tensor([3, 0, 5, 1, 2, 4]))
    again = StructurePair(pair.name, pair.family, pair.first, shuffled, pair.types)
    assert agreement(again) == agreement(pair)


def test_a_plane_figure_is_its_own_mirror_image():
    first = PAIRS["four points"].first
    pair = StructurePair("kite", "mirror images", first, first._replace(pos=first.pos * torch.tensor([-1.0, 1, 1])),
                         ("C",) * 4)
    assert all(agreement(pair).values())


def test_rings_turned_by_a_whole_step_are_the_same_and_by_an_odd_angle_chiral():
    assert all(agreement(rings(3, twist=2 * math.pi / 3)).values())
    twisted, molecule = rings(3, twist=0.4).second, make_molecule("CHFClBr")
    pair = StructurePair("twisted", "mirror images", twisted,
                         twisted._replace(pos=twisted.pos * torch.tensor([-1.0, 1, 1])), ("C",) * 7)
    assert [agreement(pair)[name] for name in ("all but a reflection", "everything")] == [True, False]
    assert PAIRS["CHFClBr"].types == molecule.symbols


@pytest.mark.parametrize("make", [lambda: chain(2), lambda: rings(1), lambda: StructurePair(
    "bad", "none", PAIRS["helix"].first, PAIRS["helix"].second, ("C",))])
def test_bad_pairs_are_refused(make):
    with pytest.raises(ValueError, match=r"k must be at least 3|fold must be at least 2|types must have as many"):
        make()
