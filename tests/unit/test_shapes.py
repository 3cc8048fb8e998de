"""Molecules: bond lengths and symmetry; collisions of attributes in them, with a judge that sees coordinates only."""

import numpy as np
import pytest
import torch

from ponita_edu.analysis.alignment import best_motion
from ponita_edu.analysis.attribute_sets import get_set
from ponita_edu.analysis.molecule_collisions import compare_with_mirror_image, molecule_collisions, molecule_table
from ponita_edu.analysis.molecule_pairs import classes_within, cluster, distinct_receivers, edge_pairs, grid_pairs
from ponita_edu.geometry.grids import Grid, make_grid
from ponita_edu.geometry.groups import polyhedral_rotations, random_rotations
from ponita_edu.molecules import MOLECULES, Molecule, make_molecule
from ponita_edu.molecules.internal import from_internal

F64 = torch.float64


def distances(molecule):
    return torch.cdist(molecule.positions, molecule.positions, compute_mode="donot_use_mm_for_euclid_dist")


def neighbours(molecule, reach):
    """Sorted distances below `reach`, rounded to 1e-6 Å, with how often each couple of atoms has it."""
    d = distances(molecule)[tuple(torch.triu_indices(len(molecule), len(molecule), 1))]
    value, count = torch.unique((d[d < reach] * 1e6).round() / 1e6, return_counts=True)
    return dict(zip(value.tolist(), count.tolist(), strict=True))


def permuting(positions, rotations):
    """How many of the rotations map the set of atoms on itself."""
    d = torch.cdist(positions @ rotations.mT, positions.expand(len(rotations), -1, -1)).amin(-1)
    return int((d.amax(-1) < 1e-5).sum())


# -------------------------------------------------------------------------------------------------------- shapes
@pytest.mark.parametrize(
    ("name", "reach", "bonds"),
    [
        ("CO2", 1.5, {1.162: 2}),
        ("acetylene", 1.5, {1.063: 2, 1.203: 1}),
        ("methane", 1.5, {1.087: 4}),
        ("CHFClBr", 1.95, {1.09: 1, 1.348: 1, 1.753: 1, 1.927: 1}),
        ("SF6", 2.0, {1.561: 6}),
        ("benzene", 1.5, {1.084: 6, 1.397: 6}),
        ("cubane", 1.7, {1.097: 8, 1.571: 12}),
        ("C60", 1.6, {1.401: 30, 1.458: 60}),
    ],
)
def test_bonds_have_their_lengths_and_numbers(name, reach, bonds):
    assert neighbours(make_molecule(name), reach) == bonds


def test_c60_has_the_measured_diameter():
    """7.113(10) Å from electron diffraction; here it follows from the bond lengths 1.458(6) and 1.401(10) Å."""
    assert float(distances(make_molecule("C60")).max()) == pytest.approx(7.113, abs=0.02)


@pytest.mark.parametrize(
    ("name", "solid"),
    [("methane", "tetrahedron"), ("SF6", "octahedron"), ("cubane", "octahedron"), ("C60", "icosahedron")],
)
def test_symmetric_molecules_have_all_rotations_of_their_solid(name, solid):
    positions, rotations = make_molecule(name).positions, polyhedral_rotations(solid)
    assert permuting(positions, rotations) == len(rotations)
    assert permuting(positions, random_rotations(50, seed=1)) == 0
    bent = positions.clone()
    bent[-1] += 0.01
    assert permuting(bent, rotations) < len(rotations)


def test_flat_and_linear_molecules_are_flat_and_linear():
    ranks = {name: int(torch.linalg.matrix_rank(make_molecule(name).positions, atol=1e-9)) for name in MOLECULES}
    assert {name for name, rank in ranks.items() if rank == 1} == {"CO2", "acetylene"}
    assert {name for name, rank in ranks.items() if rank == 2} == {"benzene"}


def test_chfclbr_has_the_measured_angles_and_equal_angles_at_hydrogen():
    directions = torch.nn.functional.normalize(make_molecule("CHFClBr").positions[1:], dim=-1)
    angle = torch.rad2deg(torch.acos(directions @ directions.T))
    assert [float(angle[i]) for i in ((0, 1), (0, 2), (1, 2))] == pytest.approx([109.6, 109.2, 111.5])
    at_hydrogen = angle[3, :3]
    assert float(at_hydrogen.std()) < 1e-9
    assert float(at_hydrogen.mean()) == pytest.approx(108.8, abs=0.1)  # the value given with the measurement


def test_mirror_image_keeps_distances_and_turns_handedness():
    molecule = make_molecule("CHFClBr")
    image = molecule.mirrored()
    torch.testing.assert_close(distances(image), distances(molecule))
    hand = [float(torch.linalg.det(m.positions[1:4])) for m in (molecule, image)]
    assert hand[0] == pytest.approx(-hand[1])
    assert abs(hand[0]) > 1


@pytest.mark.parametrize("dihedral", [-150, -65, 0, 65, 120, 180])
def test_internal_coordinates_have_the_angles_and_the_signs_that_they_say(dihedral):
    """H2O2 by another program's measure: the other sign would be the mirror image."""
    ase = pytest.importorskip("ase")
    molecule = from_internal("H2O2", [("H", None, 0, None, 0, None, 0), ("O", 0, 0.97, None, 0, None, 0),
                                      ("O", 1, 1.45, 0, 100, None, 0), ("H", 2, 0.97, 1, 100, 0, dihedral)])
    atoms = ase.Atoms(molecule.symbols, molecule.positions.numpy())
    assert atoms.get_distance(1, 2) == pytest.approx(1.45) and atoms.get_angle(1, 2, 3) == pytest.approx(100)
    off = (atoms.get_dihedral(0, 1, 2, 3) - dihedral + 180) % 360 - 180
    assert off == pytest.approx(0, abs=1e-6)


def test_types_number_the_elements():
    assert make_molecule("CHFClBr").types.tolist() == [1, 3, 2, 0, 4]
    assert make_molecule("CO2").types.tolist() == [0, 1, 1]


# ---------------------------------------------------------------------------------------------- clusters and classes
def test_clusters_do_not_break_at_rounding_borders():
    values = np.array([[0.05 - 1e-13, 1.0], [0.05 + 1e-13, 1.0], [0.05, 1.0 + 1e-8], [0.05, 1.0]])
    assert cluster(values).tolist() == [0, 0, 1, 0]
    rounded = np.unique(values.round(1), axis=0, return_inverse=True)[1]
    assert rounded[0] != rounded[1]  # control: rounding tells apart what is equal


def test_clusters_equal_the_connected_components_of_a_brute_force():
    generator = np.random.default_rng(3)
    values = generator.integers(0, 4, (200, 3)) + 1e-12 * generator.standard_normal((200, 3))
    same = (np.abs(values[:, None] - values[None]) < 1e-10).all(-1)
    labels = cluster(values)
    assert ((labels[:, None] == labels[None]) == same).all()


@pytest.mark.parametrize("name", ["r3s2_triple", "r3s2_e3", "r3s2_se3"])
def test_counts_equal_a_brute_force_over_all_couples(name):
    """CO2 with 4 orientations: 144 pairs, every couple compared by numbers and by the judge."""
    chosen, molecule, grid = get_set(name), make_molecule("CO2"), make_grid("tetrahedron")
    pairs, _ = grid_pairs(molecule.positions, grid)
    first, second = torch.triu_indices(len(pairs.pos_t), len(pairs.pos_t), 1)
    numbers = chosen.attributes(pairs)
    equal = (numbers[first] - numbers[second]).abs().amax(-1) < 1e-10
    related = best_motion(pairs[first], pairs[second], chosen.group)[1] < 1e-6
    result = molecule_collisions(molecule.positions, grid, chosen)
    assert (result.related, result.unexplained) == (int((equal & related).sum()), int((equal & ~related).sum()))
    assert not bool((related & ~equal).any())  # the numbers are invariant
    assert result.pairs == result.of == 144


def test_judge_splits_names_that_are_too_coarse():
    pairs, _ = grid_pairs(make_molecule("CO2").positions, make_grid("tetrahedron"))
    classes, related, unrelated = classes_within(pairs, np.zeros(144, dtype=np.int64), "E")
    names = cluster(get_set("r3s2_e3").attributes(pairs).numpy())
    assert len(np.unique(classes)) == len(np.unique(names))
    assert related < 1e-12
    assert unrelated > 1e-3


# ------------------------------------------------------------------------------------------------------- molecules
@pytest.mark.parametrize("name", ["CO2", "acetylene", "methane", "CHFClBr", "SF6", "C60"])
def test_only_the_triple_has_unexplained_collisions(name):
    """The judge splits the triple's names into as many classes as there are E(3) names: two ways to count them."""
    rows = {row["set"]: row for row in molecule_table(molecules=(name,), grid=make_grid("cube"))}
    assert rows["r3s2_e3"]["unexplained"] == rows["r3s2_se3"]["unexplained"] == 0
    assert rows["r3s2_e3"]["related"] > 0
    assert rows["r3s2_triple"]["unexplained"] > 0
    assert rows["r3s2_triple"]["names"] < rows["r3s2_triple"]["classes"] == rows["r3s2_e3"]["names"]
    assert rows["r3s2_se3"]["names"] >= rows["r3s2_e3"]["names"]


@pytest.mark.parametrize("name", ["benzene", "cubane"])
def test_complete_sets_have_no_unexplained_collision_on_the_dodecahedron(name):
    molecule = make_molecule(name)
    for key, unexplained in (("r3s2_se3", False), ("r3s2_triple", True)):
        result = molecule_collisions(molecule.positions, make_grid("dodecahedron"), get_set(key))
        assert (result.unexplained > 0) == unexplained
        assert result.gap[0] < 1e-9
        assert result.gap[1] > 1e-4  # nothing near the judge's threshold


def test_numbers_of_e3_have_unexplained_collisions_if_reflections_do_not_count():
    methane, grid = make_molecule("methane").positions, make_grid("cube")
    assert molecule_collisions(methane, grid, get_set("r3s2_e3")).unexplained == 0
    result = molecule_collisions(methane, grid, get_set("r3s2_e3"), group="SE")
    assert result.unexplained > 0
    left, right = result.example[0], result.example[1]
    assert float(best_motion(left, right, "SE")[1]) > 1e-3
    assert float(best_motion(left, right, "E")[1]) < 1e-9


def test_a_grid_without_symmetry_leaves_the_verdicts():
    turned = make_grid("fibonacci", 9).rotated(random_rotations(1, seed=2)[0])
    rows = {row["set"]: row for row in molecule_table(molecules=("methane",), grid=turned)}
    assert rows["r3s2_e3"]["unexplained"] == rows["r3s2_se3"]["unexplained"] == 0
    assert rows["r3s2_triple"]["unexplained"] > 0  # pairs with r = 0 or along an axis still meet


def test_types_only_split_names():
    molecule, grid, chosen = make_molecule("SF6"), make_grid("octahedron"), get_set("r3s2_triple")
    plain = molecule_collisions(molecule.positions, grid, chosen)
    typed = molecule_collisions(molecule.positions, grid, chosen, types=molecule.types)
    assert typed.names > plain.names
    assert typed.related + typed.unexplained < plain.related + plain.unexplained


def test_receivers_up_to_symmetry_show_every_name_and_class():
    molecule, grid = make_molecule("SF6"), make_grid("octahedron")
    every = molecule_collisions(molecule.positions, grid, get_set("r3s2_triple"))
    few = molecule_collisions(molecule.positions, grid, get_set("r3s2_triple"), max_pairs=1_000)
    assert (every.coverage, few.coverage) == ("all", "all, up to symmetry")
    assert few.pairs < every.pairs
    assert (few.names, few.classes) == (every.names, every.classes)
    part = molecule_collisions(molecule.positions, grid, get_set("r3s2_triple"), max_pairs=100)
    assert part.coverage == "a random part"
    assert part.classes < every.classes


def test_distinct_receivers_follow_molecule_grid_and_types():
    c60, sf6 = make_molecule("C60"), make_molecule("SF6")
    assert distinct_receivers(c60.positions, make_grid("dodecahedron")).tolist() == [0]
    assert distinct_receivers(sf6.positions, make_grid("octahedron")).tolist() == [0, 1]
    labelled = torch.tensor([0, 1, 2, 3, 4, 5, 6])
    assert distinct_receivers(sf6.positions, make_grid("octahedron"), labelled).tolist() == labelled.tolist()
    assert len(distinct_receivers(c60.positions, make_grid("fibonacci", 20))) > 1


# -------------------------------------------------------------------------------------------------- mirror images
def test_enantiomers_collide_for_e3_and_are_told_apart_for_se3():
    molecule = make_molecule("CHFClBr")
    blind = compare_with_mirror_image(molecule, get_set("r3s2_e3"))
    signed = compare_with_mirror_image(molecule, get_set("r3s2_se3"))
    assert blind.equal == blind.pairs
    assert not blind.told_apart
    assert signed.told_apart
    assert signed.equal == signed.by_rotation < signed.pairs
    assert signed.by_rotation + signed.by_reflection_only == signed.pairs
    assert signed.by_reflection_only > 0


@pytest.mark.parametrize("name", ["methane", "benzene", "SF6"])
def test_molecules_that_equal_their_mirror_image_are_not_told_apart(name):
    assert not compare_with_mirror_image(make_molecule(name), get_set("r3s2_se3")).told_apart


def test_chirality_needs_four_different_neighbours():
    molecule = make_molecule("CHFClBr")
    symbols = ("C", "F", "F", "Br", "H")
    tetrahedral = torch.cat((torch.zeros(1, 3, dtype=F64), make_grid("tetrahedron").points))
    twins = Molecule("CHF2Br, one length", symbols, tetrahedral, "Cs")
    assert not compare_with_mirror_image(twins, get_set("r3s2_se3")).told_apart
    four = Molecule("CHFClBr, one length", molecule.symbols, tetrahedral, "C1")
    assert compare_with_mirror_image(four, get_set("r3s2_se3")).told_apart


def test_edge_pairs_point_along_edges():
    molecule = make_molecule("methane")
    pairs, atoms = edge_pairs(molecule.positions)
    assert len(atoms) == (5 * 4) ** 2
    t, u, s, v = (molecule.positions[a] for a in atoms.T)
    assert torch.equal(pairs.r, s - t)
    torch.testing.assert_close((pairs.ori_t * (u - t)).sum(-1), (u - t).norm(dim=-1))
    torch.testing.assert_close((pairs.ori_s * (v - s)).sum(-1), (v - s).norm(dim=-1))


def test_grid_pairs_hold_every_combination_once():
    molecule, grid = make_molecule("CO2"), Grid.from_points(torch.eye(3, dtype=F64))
    pairs, atoms = grid_pairs(molecule.positions, grid)
    assert len(torch.unique(pairs.coordinates, dim=0)) == len(atoms) == 9 * 9
    assert int((pairs.r.norm(dim=-1) == 0).sum()) == 3 * 9
