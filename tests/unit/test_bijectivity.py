"""Orbits, ranks, round trips and collisions: which sets of numbers name the class of a pair, and which do not."""

import dataclasses
import math

import pytest
import torch

from ponita_edu.analysis.alignment import align, best_motion, superposed
from ponita_edu.analysis.attribute_sets import ATTRIBUTE_SETS, get_set, representative
from ponita_edu.analysis.bijectivity import collision, completeness, fiber, rank_table
from ponita_edu.analysis.orbits import (
    attribute_jacobian,
    attribute_rank,
    dimension_table,
    orbit,
    orbit_dimension,
    pair_dimension,
    stabiliser,
)
from ponita_edu.analysis.pairs import FAMILIES, SPACES, Pair, random_pairs, special_pairs
from ponita_edu.geometry.groups import Motion, axis_angle, random_rotations

F64 = torch.float64
X, Y, Z = torch.eye(3, dtype=F64)
ZERO = torch.zeros(3, dtype=F64)
COMPLETE = [name for name, s in ATTRIBUTE_SETS.items() if s.complete]
INCOMPLETE = [name for name, s in ATTRIBUTE_SETS.items() if not s.complete]


def r3s2(r, ori_t, ori_s):
    return Pair.make("r3s2", ZERO, r, ori_t, ori_s)


# ---------------------------------------------------------------------------------------------------- dimensions
def test_dimension_table_is_that_of_the_theory():
    """dim X, stabiliser, pairs, orbit and numbers needed, from dim G and the stabilisers of one and of two points."""
    expected = {
        "R²": (2, "SO(2)", 4, 3, 1),
        "R³": (3, "SO(3)", 6, 5, 1),
        "R²×S¹": (3, "trivial", 6, 3, 3),
        "R³×S²": (5, "SO(2)", 10, 6, 4),
        "SE(2)": (3, "trivial", 6, 3, 3),
        "SE(3)": (6, "trivial", 12, 6, 6),
    }
    table = {
        row["space"]: tuple(row[k] for k in ("dimension", "stabiliser", "pairs", "orbit", "numbers needed"))
        for row in dimension_table()
    }
    assert table == expected


@pytest.mark.parametrize("space", [*SPACES, *FAMILIES])
def test_orbit_and_stabiliser_dimensions_add_up_to_the_group(space):
    """dim orbit + dim stabiliser of the pair = dim G; the latter counted from the rank of the pair's vectors."""
    for name, pair in special_pairs(space).items():
        d = len(pair.pos_t)
        span = int(torch.linalg.matrix_rank(pair.vectors, atol=1e-9))
        free = d - span
        assert int(orbit_dimension(pair)) == d + d * (d - 1) // 2 - free * (free - 1) // 2, name


def test_orbits_in_r3s2_shrink_only_when_everything_lies_on_a_line():
    dims = {name: int(orbit_dimension(pair)) for name, pair in special_pairs("r3s2").items()}
    on_a_line = {"all on a line", "r = 0, o_s = o_t"}
    assert {name for name, dim in dims.items() if dim == 5} == on_a_line
    assert {dim for name, dim in dims.items() if name not in on_a_line} == {6}


# --------------------------------------------------------------------------------------------------------- ranks
def test_triple_has_rank_three_where_four_numbers_are_needed():
    pairs = random_pairs("r3s2", 200, seed=11)
    assert (attribute_rank(get_set("r3s2_triple").attributes, pairs) == 3).all()
    assert (pair_dimension(pairs) - orbit_dimension(pairs) == 4).all()
    assert (attribute_rank(get_set("r3s2_e3").attributes, pairs) == 4).all()  # control: four is attained by others


def test_rank_table_at_generic_pairs():
    table = {row["set"]: (row["needed"], row["rank"], row["verdict"]) for row in rank_table()}
    enough = {"r2": 1, "r3": 1, "r2s1": 3, "r2s1_cosine": 3, "r3s2_e3": 4, "r3s2_se3": 4, "se2": 3, "se3": 6}
    enough |= {"spatial_step": 2, "spherical_step": 1}
    expected = {name: (n, n, "enough") for name, n in enough.items()}
    expected |= {name: (4, 3, "short by 1") for name in ("r3s2_triple", "r3s2_separable")}
    assert table == expected


def test_rank_table_never_counts_more_numbers_than_the_orbits_leave():
    rows = rank_table(degenerate=True)
    assert all(row["rank"] <= row["needed"] for row in rows)
    assert {row["set"] for row in rows} == set(ATTRIBUTE_SETS)


def test_planar_pairs_fold_the_numbers_of_e3_and_not_those_of_se3():
    """A planar pair is its own mirror image, so the E(3) numbers change to second order across the plane."""
    for name, pair in special_pairs("r3s2").items():
        if name == "generic" or int(orbit_dimension(pair)) == 5:
            continue
        assert int(attribute_rank(get_set("r3s2_e3").attributes, pair)) == 3, name
        assert int(attribute_rank(get_set("r3s2_se3").attributes, pair)) == 4, name


def test_numbers_of_e3_lose_sensitivity_towards_the_plane_and_those_of_se3_keep_it():
    o_s = torch.nn.functional.normalize(X + 0.5 * Z, dim=0)
    heights = torch.tensor([1e-2, 1e-3, 1e-4], dtype=F64)
    pairs = r3s2(0.7 * X - 0.4 * Z + heights[:, None] * Y, Z, o_s)
    e3, se3 = (torch.linalg.svdvals(attribute_jacobian(get_set(name).attributes, pairs)[1])[:, 3]
               for name in ("r3s2_e3", "r3s2_se3"))
    torch.testing.assert_close(e3[1:] / e3[:-1], torch.full((2,), 0.1, dtype=F64), rtol=0.02, atol=0)
    assert float(se3.min()) > 0.1


@pytest.mark.parametrize("sine", [1e-2, 1e-4, 1e-6, 3e-7])
def test_round_trips_close_for_nearly_parallel_orientations(sine):
    pairs = random_pairs("r3s2", 200, seed=17)
    side = torch.linalg.cross(pairs.ori_t, pairs.ori_s)
    ori_s = torch.nn.functional.normalize(pairs.ori_t + sine * torch.nn.functional.normalize(side, dim=-1), dim=-1)
    near_pairs = Pair.make("r3s2", pairs.pos_t, pairs.pos_s, pairs.ori_t, ori_s)
    planar = Pair.make("r3s2", pairs.pos_t, pairs.pos_t + pairs.ori_t + ori_s, pairs.ori_t, ori_s)
    for name, bound in (("r3s2_e3", 1e-6), ("r3s2_se3", 1e-8)):  # E(3): what is flat within about 1e-7 comes back flat
        for near in (near_pairs, planar):
            result = completeness(get_set(name), pairs=near)
            assert max(result.pair, result.numbers) < bound


def test_adding_the_fourth_number_to_the_triple_restores_the_rank():
    def repaired(pair):
        return torch.cat((get_set("r3s2_triple").attributes(pair), (pair.r * pair.ori_s).sum(-1, keepdim=True)), -1)

    def padded(pair):  # control: a fourth number that is a function of the three
        a = get_set("r3s2_triple").attributes(pair)
        return torch.cat((a, a[..., :1] ** 2 + a[..., 1:2] ** 2), -1)

    pairs = random_pairs("r3s2", 50, seed=3)
    assert (attribute_rank(repaired, pairs) == 4).all()
    assert (attribute_rank(padded, pairs) == 3).all()


# --------------------------------------------------------------------------------------------------------- align
@pytest.mark.parametrize("space", [*SPACES, *FAMILIES])
def test_align_finds_the_motion_between_related_pairs(space):
    pairs = random_pairs(space, 10_000, seed=1)
    group = "SE" if space in ("se2", "se3") else "E"
    moved = pairs.moved(Motion.random(10_000, pairs.pos_t.shape[-1], seed=2, reflections=group == "E"))
    motion, residual = best_motion(pairs, moved, group)
    assert float(residual.max()) < 1e-12
    assert float((pairs.moved(motion).coordinates - moved.coordinates).abs().max()) < 1e-12
    _, unrelated = best_motion(pairs, random_pairs(space, 10_000, seed=3), group)
    assert float(unrelated.min()) > 1e-9  # control: none of 10,000 independent pairs


@pytest.mark.parametrize("space", [*SPACES, *FAMILIES])
def test_align_handles_degenerate_pairs(space):
    for name, pair in special_pairs(space).items():
        other = pair.moved(Motion.random(1, len(pair.pos_t), seed=4)[0])
        motion = align(pair, other)
        assert motion is not None, name
        assert motion.is_proper
        assert float((pair.moved(motion).coordinates - other.coordinates).abs().max()) < 1e-12, name
        stretched = Pair(pair.space, other.pos_t, other.pos_s + 1e-6, other.frame_t, other.frame_s)
        if not pair.space.endswith("spherical"):
            assert align(pair, stretched) is None, name


@pytest.mark.parametrize("size", [1e-2, 1e-5, 1e-8, 1e-11, 1e-14])
def test_align_loses_no_digits_near_the_degenerate_pairs(size):
    """Kabsch through AAᵀ would lose half of the digits here."""
    start = special_pairs("r3s2")["all on a line"]
    noise = size * torch.randn(3, 500, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    ori_t, ori_s = (
        torch.nn.functional.normalize(o + n, dim=-1) for o, n in zip((start.ori_t, start.ori_s), noise[:2], strict=True)
    )
    pairs = Pair.make("r3s2", start.pos_t, start.pos_s + noise[2], ori_t, ori_s)
    for group in ("SE", "E"):
        moved = pairs.moved(Motion.random(500, 3, seed=5, reflections=group == "E"))
        assert float(best_motion(pairs, moved, group)[1].max()) < 1e-11


def test_align_takes_a_reflection_only_where_it_is_needed():
    chiral, planar = (special_pairs("r3s2")[name] for name in ("generic", "in a plane"))
    mirror = Motion(torch.diag(torch.tensor([-1.0, 1, 1], dtype=F64)), ZERO)
    assert align(chiral, chiral.moved(mirror), "SE") is None
    assert not align(chiral, chiral.moved(mirror), "E").is_proper
    assert align(planar, planar.moved(mirror), "SE").is_proper
    assert align(planar, planar.moved(mirror), "E").is_proper


# --------------------------------------------------------------------------------- the counterexample of the theory
def test_named_counterexample_shares_the_triple_and_no_motion_relates_it():
    plus, minus = r3s2(X + Z, Z, X), r3s2(X + Z, Z, -X)
    triple = get_set("r3s2_triple").attributes
    assert torch.equal(triple(plus), triple(minus))
    assert triple(plus).tolist() == [1.0, 1.0, 0.0]
    assert float(plus.r @ plus.ori_s) == 1.0
    assert float(minus.r @ minus.ori_s) == -1.0
    assert align(plus, minus, "E") is None
    turn = Motion(axis_angle(Z, torch.tensor(1.0, dtype=F64)), X)
    assert align(plus, plus.moved(turn), "E") is not None  # control: the same pair, moved


def test_mirror_pair_differs_in_the_determinant_only():
    left, right = r3s2(X + Z, Z, Y), r3s2(X + Z, Z, -Y)
    four, five = get_set("r3s2_e3").attributes, get_set("r3s2_se3").attributes
    assert torch.equal(four(left), four(right))
    assert torch.equal(five(left)[:4], five(right)[:4])
    assert (float(five(left)[4]), float(five(right)[4])) == (-1.0, 1.0)
    assert align(left, right, "E") is not None
    assert align(left, right, "SE") is None


# --------------------------------------------------------------------------------------------------- round trips
@pytest.mark.parametrize("name", COMPLETE)
def test_complete_sets_name_ten_thousand_random_pairs(name):
    result = completeness(get_set(name), n=10_000, seed=0)
    assert result.numbers < 1e-9
    assert result.pair < 1e-9
    assert result.invariance < 1e-9
    assert result.complete
    assert result.motions_found == 0
    assert result.unrelated > 1e-9


@pytest.mark.parametrize("name", INCOMPLETE)
def test_incomplete_sets_come_back_as_another_pair(name):
    result = completeness(get_set(name), n=1_000, seed=0)
    assert result.numbers < 1e-9  # the rebuilt pair has the numbers
    assert result.invariance < 1e-9
    assert result.pair > 0.5  # and is not the pair
    assert not result.complete


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_sets_name_the_degenerate_pairs_too(name):
    for case, pair in special_pairs(get_set(name).space).items():
        result = completeness(get_set(name), pairs=pair[None])
        assert result.complete, (case, result)


def test_numbers_of_e3_do_not_come_back_up_to_a_rotation():
    """Rank 4 of 4 and yet not complete for SE(3): the mirror image has the same numbers."""
    under_rotations = dataclasses.replace(get_set("r3s2_e3"), group="SE")
    assert completeness(under_rotations, n=1_000).pair > 0.5
    assert completeness(get_set("r3s2_e3"), n=1_000).pair < 1e-9


def test_control_is_never_the_pairs_themselves():
    for seed in range(4):
        pairs = random_pairs("r3s2", 100, seed)
        assert completeness(get_set("r3s2_e3"), pairs=pairs).motions_found == 0


def test_sign_of_the_determinant_is_all_that_se3_adds():
    """det² is the Gram determinant, so |det| follows from the four and the sign decides between two pairs."""
    pairs = random_pairs("r3s2", 500, seed=6)
    five = get_set("r3s2_se3").attributes(pairs)
    flipped = five * torch.tensor([1.0, 1, 1, 1, -1], dtype=F64)
    gram = torch.linalg.det(pairs.vectors.mT @ pairs.vectors)
    torch.testing.assert_close(five[:, 4] ** 2, gram, rtol=1e-9, atol=1e-12)
    mirror = representative(get_set("r3s2_se3"), flipped)
    assert float(best_motion(mirror, pairs, "E")[1].max()) < 1e-9
    assert float(best_motion(mirror, pairs, "SE")[1].median()) > 1e-2


def test_angle_is_complete_in_the_plane_and_its_cosine_is_not():
    pairs = random_pairs("r2s1", 500, seed=7)
    turned = Pair.make(
        "r2s1", pairs.pos_t, pairs.pos_s, pairs.ori_t, 2 * _along(pairs.ori_s, pairs.ori_t) - pairs.ori_s
    )
    cosine, angle = get_set("r2s1_cosine").attributes, get_set("r2s1").attributes
    torch.testing.assert_close(cosine(turned), cosine(pairs), rtol=0, atol=1e-14)
    torch.testing.assert_close(angle(turned)[:, 2], -angle(pairs)[:, 2], rtol=0, atol=1e-12)
    assert float(best_motion(turned, pairs, "SE")[1].min()) > 1e-4


def _along(x, axis):
    return (x * axis).sum(-1, keepdim=True) * axis


@pytest.mark.parametrize("name", ["r3s2_triple", "spatial_step", "spherical_step", "r3s2_e3"])
def test_numbers_without_a_determinant_do_not_see_handedness(name):
    pairs = random_pairs(get_set(name).space, 200, seed=8)
    reflected = pairs.moved(Motion(torch.diag(torch.tensor([1.0, 1, -1], dtype=F64)), X))
    torch.testing.assert_close(get_set(name).attributes(reflected), get_set(name).attributes(pairs), rtol=0, atol=1e-13)


def test_determinant_sees_handedness():
    pairs = random_pairs("r3s2", 200, seed=8)
    reflected = pairs.moved(Motion(torch.diag(torch.tensor([1.0, 1, -1], dtype=F64)), X))
    before, after = (get_set("r3s2_se3").attributes(p)[:, 4] for p in (pairs, reflected))
    torch.testing.assert_close(after, -before, rtol=0, atol=1e-13)


# --------------------------------------------------------------------------------------------- the separable layer
@pytest.mark.parametrize("name", ["spatial_step", "spherical_step"])
def test_factors_of_the_separable_layer_are_complete_on_their_pairs(name):
    assert completeness(get_set(name)).complete
    for case, pair in special_pairs(get_set(name).space).items():
        assert not collision(get_set(name), pair).found, case


def test_factors_are_complete_for_reflections_as_well():
    """Pairs with o_s = o_t or r = 0 are planar: their own mirror image, so E(3) and SE(3) have the same classes."""
    for space in FAMILIES:
        pairs = random_pairs(space, 200, seed=9)
        mirrored = pairs.moved(Motion(torch.diag(torch.tensor([-1.0, 1, 1], dtype=F64)), ZERO))
        assert float(best_motion(pairs, mirrored, "SE")[1].max()) < 1e-12


def test_product_of_the_factors_does_not_see_the_receivers_side():
    """k(r·o_s, |r_⊥|) κ(o_s·o_t) is the same for receivers turned about o_s, though r·o_t is not."""
    pair = special_pairs("r3s2")["generic"]
    turns = axis_angle(pair.ori_s, torch.linspace(0.3, 3.0, 8, dtype=F64))
    turned = Pair.make("r3s2", pair.pos_t, pair.pos_s, (turns @ pair.ori_t[:, None])[..., 0], pair.ori_s)
    numbers = get_set("r3s2_separable").attributes
    assert float((numbers(turned) - numbers(pair)).abs().max()) < 1e-14
    assert float((turned.r * turned.ori_t).sum(-1).std()) > 0.1
    assert float(best_motion(turned, pair, "E")[1].min()) > 1e-2


# ----------------------------------------------------------------------------------------------------- collisions
@pytest.mark.parametrize("name", INCOMPLETE)
def test_collisions_of_incomplete_sets_are_found(name):
    chosen = get_set(name)
    for seed, pair in enumerate(random_pairs(chosen.space, 3, seed=12)[i] for i in range(3)):
        result = collision(chosen, pair, seed=seed)
        assert result.found
        assert result.difference < 1e-10
        numbers = chosen.attributes(result.other) - chosen.attributes(pair)
        assert float(numbers.abs().max()) < 1e-10
        assert align(pair, result.other, chosen.group, tolerance=1e-3) is None
        assert float((result.other.pos_t - pair.pos_t).abs().max()) < 1e-12  # laid on the same receiver
        assert float((result.other.frame_t - pair.frame_t).abs().max()) < 1e-12


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_sets_have_no_collision(name):
    chosen = get_set(name)
    for seed in range(3):
        result = collision(chosen, random_pairs(chosen.space, 3, seed=13)[seed], seed=seed)
        assert not result.found
        assert result.other is None
        assert result.solved >= 40  # the search did arrive, 40 times of 48, and always at the same class
        assert result.residual < 1e-6


def test_collision_search_finds_the_mirror_image_if_reflections_do_not_count():
    pair = special_pairs("r3s2")["generic"]
    assert not collision(get_set("r3s2_e3"), pair).found
    result = collision(get_set("r3s2_e3"), pair, group="SE")
    assert result.found
    assert align(pair, result.other, "E", tolerance=1e-6) is not None
    assert not collision(get_set("r3s2_e3"), special_pairs("r3s2")["in a plane"], group="SE").found


def test_collision_search_starts_from_numbers_alone():
    result = collision(get_set("r3s2_triple"), torch.tensor([1.0, 1.0, 0.0], dtype=F64))
    assert result.found
    torch.testing.assert_close(
        get_set("r3s2_triple").attributes(result.other), torch.tensor([1.0, 1.0, 0.0], dtype=F64), rtol=0, atol=1e-10
    )
    assert "collision" in str(result)


def test_triple_is_complete_at_some_degenerate_pairs_and_not_at_others():
    found = {name: collision(get_set("r3s2_triple"), pair).found for name, pair in special_pairs("r3s2").items()}
    assert {name for name, yes in found.items() if yes} == {"generic", "r ∥ o_s", "in a plane"}


# ------------------------------------------------------------------------------------------------- fibre and orbit
def test_fiber_keeps_the_triple_and_moves_the_fourth_number_as_a_cosine():
    pair = random_pairs("r3s2", 1, seed=14)[0]
    angle = torch.linspace(0, 2 * math.pi, 73, dtype=F64)
    spun = fiber(pair, angle)
    z, across, cosine = get_set("r3s2_triple").attributes(pair)
    assert float((get_set("r3s2_triple").attributes(spun) - torch.stack((z, across, cosine))).abs().max()) < 1e-14
    fourth = (spun.r * spun.ori_s).sum(-1)
    swing = across * (1 - cosine**2).sqrt()
    side = pair.r - z * pair.ori_t
    phi = torch.atan2(torch.linalg.cross(side, pair.ori_s) @ pair.ori_t, side @ pair.ori_s)
    torch.testing.assert_close(fourth, z * cosine + swing * torch.cos(phi + angle), rtol=0, atol=1e-13)
    assert float(fourth.max() - fourth.min()) == pytest.approx(2 * float(swing), rel=1e-2)
    assert float(best_motion(spun[36], pair, "E")[1]) > 1e-2  # half a turn on: another class


@pytest.mark.parametrize("space", SPACES)
def test_stabiliser_keeps_its_point_and_nothing_else(space):
    pair = special_pairs(space)["generic"]
    receiver = None if SPACES[space].columns == 0 else pair.ori_t if SPACES[space].columns == 1 else pair.frame_t
    keeping = stabiliser(space, pair.pos_t, receiver)
    k = len(keeping.generators)
    motion = keeping.motion(torch.linspace(-1, 2, 5 * k, dtype=F64).reshape(5, k))
    moved = pair.expand(5).moved(motion)
    assert float((moved.pos_t - pair.pos_t).abs().max()) < 1e-14
    assert float((moved.frame_t - pair.frame_t).abs().amax() if moved.frame_t.numel() else 0.0) < 1e-14
    if k:
        assert float((moved.pos_s - pair.pos_s).abs().max()) > 1e-2  # control: the sender does move


def test_stabiliser_in_r3s2_turns_about_the_orientation_by_the_right_hand():
    axis = random_rotations(1, seed=15)[0, :, 0]
    keeping = stabiliser("r3s2", X, axis)
    angle = torch.tensor([0.7], dtype=F64)
    torch.testing.assert_close(keeping.motion(angle).rotation, axis_angle(axis, angle[0]), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["r2", "r3", "r2s1", "r3s2_e3", "r3s2_se3", "se2", "se3"])
def test_numbers_are_constant_on_the_senders_orbit(name):
    pair = special_pairs(get_set(name).space)["generic"]
    around = orbit(pair, 16)
    numbers = get_set(name).attributes(around)
    assert float((numbers - numbers[0]).abs().max()) < 1e-13
    assert float(best_motion(around, pair, "SE")[1].max()) < 1e-12


def test_orbit_in_r3s2_is_a_circle_about_the_receivers_axis():
    pair = special_pairs("r3s2")["generic"]
    around = orbit(pair, 12)
    height = (around.r * around.ori_t).sum(-1)
    radius = (around.r - height[:, None] * around.ori_t).norm(dim=-1)
    assert float(height.std()) < 1e-14
    assert float(radius.std()) < 1e-14
    steps = (around.pos_s.roll(-1, 0) - around.pos_s).norm(dim=-1)
    torch.testing.assert_close(steps, 2 * radius * math.sin(math.pi / 12), rtol=0, atol=1e-13)
    tilted = pair.expand(3).moved(Motion(axis_angle(X, torch.tensor([0.5, 1.0, 1.5], dtype=F64)), ZERO.expand(3, 3)))
    off = Pair("r3s2", pair.pos_t.expand(3, 3), tilted.pos_s, pair.frame_t.expand(3, 3, 1), tilted.frame_s)
    assert float((get_set("r3s2_e3").attributes(off) - get_set("r3s2_e3").attributes(pair)).abs().max()) > 1e-2


def test_orbit_is_a_sphere_in_r3_and_a_point_where_the_stabiliser_is_trivial():
    pair = special_pairs("r3")["generic"]
    around = orbit(pair, 50)
    torch.testing.assert_close(around.r.norm(dim=-1), pair.r.norm().expand(50), rtol=0, atol=1e-14)
    assert int(torch.linalg.matrix_rank(around.pos_s - around.pos_s.mean(0))) == 3
    assert torch.equal(orbit(special_pairs("se3")["generic"], 50).pos_s, special_pairs("se3")["generic"].pos_s[None])


@pytest.mark.parametrize("space", SPACES)
def test_superposed_moves_rigidly_onto_the_receiver(space):
    pair, other = random_pairs(space, 2, seed=16)[0], random_pairs(space, 2, seed=16)[1]
    moved = superposed(other, pair)
    assert align(other, moved, "SE") is not None
    assert float((moved.pos_t - pair.pos_t).abs().max()) < 1e-12
    assert float((moved.frame_t - pair.frame_t).abs().sum()) < 1e-12
