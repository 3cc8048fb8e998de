"""Wrong input to pairs, attribute sets, alignment and molecules: the message names it and says how to mend it.

Run without jaxtyping's import hook, which would speak first.
"""

import pytest
import torch

from ponita_edu.analysis.alignment import align, best_motion
from ponita_edu.analysis.attribute_sets import get_set, representative
from ponita_edu.analysis.bijectivity import collision, fiber
from ponita_edu.analysis.molecule_collisions import molecule_collisions
from ponita_edu.analysis.orbits import stabiliser
from ponita_edu.analysis.pairs import Pair, get_space, random_pairs, special_pairs
from ponita_edu.geometry.grids import make_grid
from ponita_edu.geometry.groups import Motion
from ponita_edu.molecules import Molecule, make_molecule

F64 = torch.float64
X, Y, Z = torch.eye(3, dtype=F64)


def numbers(*values):
    return torch.tensor(values, dtype=F64)


# ----------------------------------------------------------------------------------------------------------- pairs
def test_unknown_space_set_and_molecule_list_the_known_ones():
    with pytest.raises(ValueError, match=r"space must be one of r2, r3, .*; got 'R3xS2'"):
        get_space("R3xS2")
    with pytest.raises(ValueError, match=r"attribute_set must be one of .*r3s2_triple.*; got 'triple'"):
        get_set("triple")
    with pytest.raises(ValueError, match=r"name must be a known molecule; got 'water'.*CO2, acetylene"):
        make_molecule("water")


@pytest.mark.parametrize(
    ("space", "orientations", "wanted"),
    [
        ("r3", (Z, Z), "no orientations"),
        ("r3s2", (None, None), "a unit vector at each end"),
        ("r3s2", (Z, None), "a unit vector at each end"),
        ("se3", (None, None), "a rotation at each end"),
    ],
)
def test_orientations_that_are_missing_or_not_wanted(space, orientations, wanted):
    with pytest.raises(ValueError, match=f"ori_t and ori_s: a pair in .* has {wanted}"):
        Pair.make(space, X, Y, *orientations)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((X, Y, 2 * Z, Z), r"frame_t must hold unit vectors; the worst .* is 3\. .*normalize"),
        ((X, Y, Z, Z.new_tensor([0.0, 0.0, float("nan")])), "frame_s must be finite"),
        ((X.float(), Y, Z, Z), r"pos_t must be float64; got torch\.float32.*pos_t\.to\(torch\.float64\)"),
        ((X[:2], Y, Z, Z), r"pos_t must have shape \[3\] for a pair in R³×S²; got \[2\]"),
    ],
)
def test_pairs_refuse_bad_vectors(parts, message):
    with pytest.raises(ValueError, match=message):
        Pair.make("r3s2", *parts)


def test_reflections_of_frames_are_refused():
    mirror = Motion(torch.diag(numbers(-1, 1, 1)), torch.zeros(3, dtype=F64))
    pair = special_pairs("se3")["generic"]
    with pytest.raises(ValueError, match=r"frame_t must hold rotations \(determinant \+1\)"):
        pair.moved(mirror)
    with pytest.raises(ValueError, match="group must be 'SE' for pairs in 'se3'"):
        best_motion(pair, pair, "E")


def test_stabiliser_wants_the_orientation_of_its_space():
    with pytest.raises(ValueError, match="a pair in R³×S² has a unit vector at each end"):
        stabiliser("r3s2", X)


# ------------------------------------------------------------------------------------------------------- alignment
def test_align_refuses_batches_other_spaces_and_unknown_groups():
    pairs = random_pairs("r3s2", 2)
    with pytest.raises(ValueError, match=r"single pairs; got batches \[2\] and \[\].*best_motion"):
        align(pairs, pairs[0])
    with pytest.raises(ValueError, match="must lie in one space; got 'r3s2' and 'r3'"):
        align(pairs[0], random_pairs("r3", 1)[0])
    with pytest.raises(ValueError, match=r"group must be 'SE' .* or 'E' .*; got 'SE\(3\)'"):
        align(pairs[0], pairs[1], "SE(3)")


# ------------------------------------------------------------------------------------------------- numbers to pairs
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("r3", (-1.0,), r"\|r\| is a length and must be ≥ 0; got -1"),
        ("r3s2_triple", (1.0, -0.5, 0.0), r"\|r_⊥\| is a length.*got -0\.5"),
        ("r3s2_triple", (1.0, 0.5, 1.5), r"1 − \(o_t·o_s\)² would be -1\.25"),
        ("r2s1_cosine", (1.0, 0.5, -1.5), r"1 − \(o_t·o_s\)² would be -1\.25"),
        ("r3s2_e3", (0.8, 0.8, 0.0, 1.0), r"Gram determinant would be -0\.28, below 0"),
        ("r3s2_e3", (1.0, 0.0, 1.0, 2.0), r"Gram determinant would be -1, below 0"),
        ("r3s2_e3", (2.0, 2.0, 1.0, 1.0), r"\|r\|² − \(r·o_t\)² would be -3"),
        ("r3s2_se3", (1.0, 0.0, 0.0, 2.0, 0.5), "det² must be the Gram determinant"),
        ("spherical_step", (1.01,), "belong to no pair"),
        ("se3", (0.0,) * 12, r"frame_s must hold rotations"),
    ],
)
def test_numbers_of_no_pair_are_refused(name, values, message):
    with pytest.raises(ValueError, match=message):
        representative(get_set(name), numbers(*values))


def test_wrong_count_or_dtype_of_numbers():
    with pytest.raises(ValueError, match=r"axis of 4 \(r·o_t, .*\) for 'r3s2_e3'; got shape \[3\]"):
        representative(get_set("r3s2_e3"), numbers(1.0, 1.0, 0.0))
    with pytest.raises(ValueError, match="must be finite float64"):
        representative(get_set("r3"), torch.tensor([1.0]))
    with pytest.raises(ValueError, match="must be finite float64"):
        representative(get_set("r3"), numbers(float("nan")))


def test_sets_refuse_pairs_of_another_space():
    with pytest.raises(ValueError, match="must lie in 'r3s2' for the set 'r3s2_triple'; got one in 'r3'"):
        get_set("r3s2_triple").attributes(random_pairs("r3", 1))


def test_collision_and_fiber_want_one_pair():
    pairs = random_pairs("r3s2", 2)
    with pytest.raises(ValueError, match=r"target must be a single pair; got a batch \[2\].*pairs\[0\]"):
        collision(get_set("r3s2_triple"), pairs)
    with pytest.raises(ValueError, match=r"starts must be at least 1; got 0"):
        collision(get_set("r3s2_triple"), pairs[0], starts=0)
    with pytest.raises(ValueError, match=r"one pair in 'r3s2'; got 'r3s2', batch \[2\]"):
        fiber(pairs, numbers(0.1))
    with pytest.raises(ValueError, match=r"one pair in 'r3s2'; got 'se3'"):
        fiber(special_pairs("se3")["generic"], numbers(0.1))


# ------------------------------------------------------------------------------------------------------- molecules
def test_molecules_refuse_what_does_not_fit():
    positions, grid = make_molecule("CO2").positions, make_grid("tetrahedron")
    with pytest.raises(ValueError, match="must be those of R³×S²; got 'r2s1'"):
        molecule_collisions(positions, grid, get_set("r2s1"))
    with pytest.raises(ValueError, match="must be those of R³×S²"):
        molecule_collisions(positions, make_grid("circle", 4), get_set("r3s2_e3"))
    with pytest.raises(ValueError, match=r"types must have one entry per atom, 3; got shape \[2\]"):
        molecule_collisions(positions, grid, get_set("r3s2_e3"), types=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="max_pairs must be at least 1; got 0"):
        molecule_collisions(positions, grid, get_set("r3s2_e3"), max_pairs=0)
    with pytest.raises(ValueError, match=r"positions must have shape \[2, 3\], one row per symbol; got \(3, 3\)"):
        Molecule("CO", ("C", "O"), positions, "C∞v")
