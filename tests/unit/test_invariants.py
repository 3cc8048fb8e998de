"""Invariants of pairs: unchanged by motions, complete where claimed and not where not, safe to differentiate."""

import math

import pytest
import torch
from torch.autograd.functional import hessian, jacobian

from ponita_edu.geometry import (
    Motion,
    axis_angle,
    invariants_r2,
    invariants_r2s1,
    invariants_r2s1_cosine,
    invariants_r3,
    invariants_r3s2_e3,
    invariants_r3s2_se3,
    invariants_r3s2_triple,
    invariants_se2,
    invariants_se3,
    make_grid,
    orientation_invariants,
    random_rotations,
    rotation_2d,
    safe_norm,
    spatial_invariants,
)

F64 = torch.float64
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, F64], ids=["f32", "f64"])
X, Y, Z = torch.eye(3, dtype=F64)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(randn(*shape, seed=seed), dim=-1)


def vector(*components, dtype=F64):
    return torch.tensor(components, dtype=dtype)


# Every set as a function of positions and "poses" (nothing, an orientation, or a frame): name -> (dim, pose, function)
SETS = {
    "r2": (2, None, lambda r, a, b: invariants_r2(r)),
    "r3": (3, None, lambda r, a, b: invariants_r3(r)),
    "r2s1": (2, "ori", invariants_r2s1),
    "r2s1_cosine": (2, "ori", invariants_r2s1_cosine),
    "r3s2_triple": (3, "ori", invariants_r3s2_triple),
    "r3s2_e3": (3, "ori", invariants_r3s2_e3),
    "r3s2_se3": (3, "ori", invariants_r3s2_se3),
    "se2": (2, "frame", invariants_se2),
    "se3": (3, "frame", invariants_se3),
    "spatial_2d": (2, "ori", lambda r, a, b: spatial_invariants(r, a)),
    "spatial_3d": (3, "ori", lambda r, a, b: spatial_invariants(r, a)),
    "orientation_3d": (3, "ori", lambda r, a, b: orientation_invariants(a, b)),
}
MIRROR_INVARIANT = ("r2", "r3", "r3s2_triple", "r3s2_e3", "spatial_3d", "orientation_3d")


def random_pairs(name, n=300, seed=0):
    """Receiver and sender: positions and poses."""
    dim, pose, _ = SETS[name]
    p_t, p_s = randn(n, dim, seed=seed), randn(n, dim, seed=seed + 1)
    if pose == "frame":
        return p_t, p_s, random_rotations(n, dim, seed=seed), random_rotations(n, dim, seed=seed + 1)
    return p_t, p_s, unit(n, dim, seed=seed + 2), unit(n, dim, seed=seed + 3)


def moved(name, motion, p_t, p_s, a, b, rotate_poses=True):
    turn = motion.rotation.__matmul__ if SETS[name][1] == "frame" else motion.on_vectors
    poses = (turn(a), turn(b)) if rotate_poses else (a, b)
    return motion.on_points(p_t), motion.on_points(p_s), *poses


def values(name, p_t, p_s, a, b):
    return SETS[name][2](p_s - p_t, a, b)


def difference(one, other):
    """Largest distance; angles that differ by 2π do not occur in the random pairs used."""
    return float((one - other).abs().max())


# ------------------------------------------------------------------------------------------------------ invariance
@pytest.mark.parametrize("name", SETS)
def test_invariants_do_not_change_under_motions(name):
    pair = random_pairs(name)
    motion = Motion.random(300, SETS[name][0], seed=5, translation_scale=3.0)
    assert difference(values(name, *moved(name, motion, *pair)), values(name, *pair)) < 1e-13


@pytest.mark.parametrize("name", [name for name in SETS if SETS[name][1]])
def test_moving_positions_without_poses_changes_the_invariants(name):
    pair = random_pairs(name)
    motion = Motion.random(300, SETS[name][0], seed=5)
    if name == "orientation_3d":
        changed = values(name, *pair[:2], motion.on_vectors(pair[2]), pair[3])
    else:
        changed = values(name, *moved(name, motion, *pair, rotate_poses=False))
    assert difference(changed, values(name, *pair)) > 0.5


@pytest.mark.parametrize("name", [name for name in SETS if SETS[name][1] != "frame"])
def test_reflections_keep_exactly_the_sets_that_claim_it(name):
    pair, dim = random_pairs(name), SETS[name][0]
    mirror = Motion(torch.diag(vector(-1.0, *[1.0] * (dim - 1))), torch.zeros(dim, dtype=F64))
    change = difference(values(name, *moved(name, mirror, *pair)), values(name, *pair))
    assert change < 1e-13 if name in MIRROR_INVARIANT else change > 0.5


def test_reflection_only_turns_the_sign_of_signed_invariants():
    mirror = Motion(torch.diag(vector(1.0, -1.0)), torch.zeros(2, dtype=F64))
    pair = random_pairs("r2s1")
    signs = vector(1.0, -1.0, -1.0)
    assert difference(values("r2s1", *moved("r2s1", mirror, *pair)), signs * values("r2s1", *pair)) < 1e-14
    mirror, pair = Motion(-torch.eye(3, dtype=F64), torch.zeros(3, dtype=F64)), random_pairs("r3s2_se3")
    signs = vector(1.0, 1.0, 1.0, 1.0, -1.0)
    assert difference(values("r3s2_se3", *moved("r3s2_se3", mirror, *pair)), signs * values("r3s2_se3", *pair)) < 1e-14


# ---------------------------------------------------------------------------------------------------------- scaling
POWERS = {
    "r2": [1],
    "r3": [1],
    "r2s1": [1, 1, 0],
    "r2s1_cosine": [1, 1, 0],
    "r3s2_triple": [1, 1, 0],
    "r3s2_e3": [1, 1, 0, 2],
    "r3s2_se3": [1, 1, 0, 2, 1],
    "se2": [1, 1, 0],
    "se3": [1] * 3 + [0] * 9,
    "spatial_2d": [1, 1],
    "spatial_3d": [1, 1],
    "orientation_3d": [0],
}


@pytest.mark.parametrize("name", SETS)
def test_invariants_scale_with_their_unit_of_length(name):
    p_t, p_s, a, b = random_pairs(name)
    factor = torch.tensor([10.0**power for power in POWERS[name]], dtype=F64)
    expected = factor * values(name, p_t, p_s, a, b)
    assert difference(values(name, 10 * p_t, 10 * p_s, a, b), expected) < 1e-11


def test_motions_notice_a_distance_that_is_none():
    """The number a₁ subtracted from every component of r: a slip that looks like |r_⊥| and is not even invariant."""
    p_t, p_s, a, _ = random_pairs("r3s2_triple")
    motion = Motion.random(1, seed=1)[0]

    def wrong(r, ori):
        return (r - (r * ori).sum(-1, keepdim=True)).norm(dim=-1)

    assert difference(wrong(motion.on_vectors(p_s - p_t), motion.on_vectors(a)), wrong(p_s - p_t, a)) > 0.5


# ----------------------------------------------------------------------------------------------------- completeness
def rank(matrix, tolerance=1e-9):
    return int((torch.linalg.svdvals(matrix) > tolerance).sum())


def pair_on_r3s2(q):
    """Positions and orientations from ten free numbers (orientations by normalising o + a tangent step)."""
    step = torch.nn.functional.normalize
    return q[3:6] - q[0:3], step(q[6:9], dim=0), step(q[9:12], dim=0)


def pair_on_r2s1(q):
    return q[2:4] - q[0:2], torch.stack((q[4].cos(), q[4].sin())), torch.stack((q[5].cos(), q[5].sin()))


@pytest.mark.parametrize(
    ("function", "pair", "expected"),
    [
        (invariants_r3s2_triple, pair_on_r3s2, 3),
        (invariants_r3s2_e3, pair_on_r3s2, 4),
        (invariants_r3s2_se3, pair_on_r3s2, 4),
        (invariants_r2s1, pair_on_r2s1, 3),
        (invariants_r2s1_cosine, pair_on_r2s1, 3),
    ],
    ids=["triple", "e3", "se3", "r2s1", "r2s1_cosine"],
)
def test_rank_of_the_attributes_at_generic_pairs(function, pair, expected):
    """The orbit space of R³×S² pairs has 10 − 6 = 4 dimensions, of R²×S¹ pairs 6 − 3 = 3: the triple misses one."""
    for seed in range(20):
        q = randn(12, seed=seed)
        assert rank(jacobian(lambda q: function(*pair(q)), q)) == expected


def test_the_orbit_of_a_generic_r3s2_pair_has_six_dimensions():
    for seed in range(20):
        p_t, p_s, o_t, o_s = randn(4, 3, seed=seed)
        turns = [torch.cat([torch.linalg.cross(e, v) for v in (p_t, p_s, o_t, o_s)]) for e in (X, Y, Z)]
        shifts = [torch.cat((e, e, 0 * e, 0 * e)) for e in (X, Y, Z)]
        assert rank(torch.stack(turns + shifts)) == 6


def gram(r, o_t, o_s):
    v = torch.stack((r, o_t, o_s))
    return v @ v.T


def test_triple_confuses_two_pairs_that_no_motion_relates():
    r, one, other = vector(1.0, 0.0, 1.0), X, -X
    assert invariants_r3s2_triple(r, Z, one).tolist() == [1.0, 1.0, 0.0]
    assert torch.equal(invariants_r3s2_triple(r, Z, one), invariants_r3s2_triple(r, Z, other))
    assert (gram(r, Z, one) - gram(r, Z, other)).abs().max() == 2  # an isometry would keep inner products
    assert difference(invariants_r3s2_e3(r, Z, one), invariants_r3s2_e3(r, Z, other)) == 2


def test_mirror_pair_is_told_apart_by_the_determinant_only():
    r, left, right = vector(1.0, 0.0, 1.0), Y, -Y
    assert torch.equal(invariants_r3s2_e3(r, Z, left), invariants_r3s2_e3(r, Z, right))
    assert invariants_r3s2_se3(r, Z, left)[-1] == -1 and invariants_r3s2_se3(r, Z, right)[-1] == 1


def test_squared_determinant_is_the_gram_determinant():
    p_t, p_s, a, b = random_pairs("r3s2_se3")
    five = invariants_r3s2_se3(p_s - p_t, a, b)
    along_t, along_s, cosine, squared, determinant = five.unbind(-1)
    one = torch.ones_like(cosine)
    rows = (squared, along_t, along_s, along_t, one, cosine, along_s, cosine, one)
    assert difference(torch.linalg.det(torch.stack(rows, -1).unflatten(-1, (3, 3))), determinant**2) < 1e-12


def from_gram(five):
    """A pair with the given five numbers: o_t = z, o_s in the xz plane, r from its three inner products."""
    along_t, along_s, cosine, squared, determinant = five.unbind(-1)
    sine = (1 - cosine**2).sqrt()
    o_t = Z.expand(len(five), 3)
    o_s = torch.stack((sine, torch.zeros_like(sine), cosine), -1)
    x = (along_s - cosine * along_t) / sine
    y = (squared - along_t**2 - x**2).clamp(min=0).sqrt() * determinant.sign()  # det[r, z, o_s] = r_y sin
    return torch.stack((x, y, along_t), -1), o_t, o_s


def best_rotation(one, other):
    """Rotation that carries the vectors of `one` nearest to those of `other`, and its residual (Kabsch)."""
    u, _, vt = torch.linalg.svd(other.mT @ one)
    u[..., :, -1] *= torch.linalg.det(u @ vt).unsqueeze(-1)
    return (one @ (u @ vt).mT - other).abs().amax((-1, -2))


def test_five_numbers_rebuild_the_pair_up_to_a_rotation():
    p_t, p_s, a, b = random_pairs("r3s2_se3", n=500)
    original = torch.stack((p_s - p_t, a, b), dim=-2)
    numbers = invariants_r3s2_se3(p_s - p_t, a, b)
    keep = numbers[:, -1].abs() > 0.05  # the square root in `from_gram` loses digits at planar pairs
    assert keep.sum() > 300
    rebuilt = torch.stack(from_gram(numbers), dim=-2)
    assert best_rotation(rebuilt, original)[keep].max() < 1e-11
    mirrored = torch.stack(from_gram(numbers * vector(1, 1, 1, 1, -1)), dim=-2)
    assert best_rotation(mirrored, original)[keep].min() > 1e-3  # without the sign, the mirror image comes back


def test_cosine_confuses_opposite_turns_and_the_angle_does_not():
    r, o_t = vector(1.0, 0.5), vector(1.0, 0.0)
    left, right = (rotation_2d(torch.tensor(s * 0.7, dtype=F64)) @ o_t for s in (1, -1))
    assert torch.equal(invariants_r2s1_cosine(r, o_t, left), invariants_r2s1_cosine(r, o_t, right))
    assert invariants_r2s1(r, o_t, left)[-1].item() == pytest.approx(0.7, abs=1e-15)
    assert invariants_r2s1(r, o_t, right)[-1].item() == pytest.approx(-0.7, abs=1e-15)


@DTYPES
def test_angle_lies_in_the_half_open_interval(dtype):
    """Opposite orientations read +π whichever way rounding or a signed zero points."""
    for o in (
        vector(1, 0, dtype=dtype),
        vector(-1, 0, dtype=dtype),
        vector(0, 1, dtype=dtype),
        vector(0, -1, dtype=dtype),
    ):
        assert invariants_r2s1(o, o, -o)[-1] > 3
        assert invariants_se2(o, torch.eye(2, dtype=dtype), -torch.eye(2, dtype=dtype))[-1] > 3
    turns = make_grid("circle", 64).points.to(dtype)
    assert (invariants_r2s1(turns, turns, -turns)[..., -1] == torch.tensor(math.pi, dtype=dtype)).all()
    angle = invariants_r2s1(turns[:, None], turns[:, None], turns[None])[..., -1]
    assert (angle > -torch.tensor(math.pi, dtype=dtype)).all() and (angle <= torch.tensor(math.pi, dtype=dtype)).all()


# ----------------------------------------------------------------------- separable layer: both families are complete
def test_spatial_attributes_are_complete_on_equal_orientations():
    """o_s = o_t = o: (r·o, |r_⊥|) rebuilds r up to a turn about o, hence also the four numbers of E(3)."""
    r, o = randn(200, 3), unit(200, 3, seed=1)
    along, across = spatial_invariants(r, o).unbind(-1)
    four = invariants_r3s2_e3(r, o, o)
    assert difference(four, torch.stack((along, along, torch.ones_like(along), along**2 + across**2), -1)) < 1e-13
    generic = invariants_r3s2_e3(r, o, unit(200, 3, seed=2))
    assert difference(four, generic) > 0.5


def test_spatial_attributes_of_a_reversed_edge_and_opposite_orientation_agree():
    r, o = randn(200, 3), unit(200, 3, seed=1)
    assert torch.equal(spatial_invariants(r, o), spatial_invariants(-r, -o))
    assert difference(spatial_invariants(r, o), spatial_invariants(-r, o)) > 0.5


def test_spatial_attributes_2d_are_the_coordinates_in_the_frame_of_o():
    r, angle = randn(50, 2), randn(50, seed=1)
    frame = rotation_2d(angle)
    expected = (frame.mT @ r.unsqueeze(-1)).squeeze(-1)
    assert difference(spatial_invariants(r, frame[..., 0]), expected) < 1e-14
    assert difference(spatial_invariants(r, frame[..., 1]), expected) > 0.5


def test_spatial_attributes_broadcast_edges_with_orientations():
    r, grid = randn(7, 3), make_grid("dodecahedron").points
    table = spatial_invariants(r[:, None], grid[None])
    assert table.shape == (7, 20, 2)
    assert torch.equal(table[3, 5], spatial_invariants(r[3], grid[5]))
    assert torch.equal(orientation_invariants(grid[:, None], grid[None])[..., 0], (grid[:, None] * grid[None]).sum(-1))


def test_frames_give_the_relative_group_element():
    p_t, p_s, frame_t, frame_s = random_pairs("se3", n=20)
    relative = Motion(frame_t, p_t).inverse() @ Motion(frame_s, p_s)
    twelve = invariants_se3(p_s - p_t, frame_t, frame_s)
    assert difference(twelve, torch.cat((relative.translation, relative.rotation.flatten(1)), -1)) < 1e-14
    p_t, p_s, frame_t, frame_s = random_pairs("se2", n=20)
    r2s1 = invariants_r2s1(p_s - p_t, frame_t[..., 0], frame_s[..., 0])
    assert difference(invariants_se2(p_s - p_t, frame_t, frame_s), r2s1) < 1e-14


# ------------------------------------------------------------------------------------------------------ derivatives
def first_and_second(function, x):
    """All first derivatives and Hessians of a vector-valued function."""
    outputs = function(x).shape[-1]
    return jacobian(function, x), torch.stack([hessian(lambda x, k=k: function(x)[k], x) for k in range(outputs)])


@DTYPES
def test_safe_norm_is_the_plain_norm(dtype):
    x = randn(500, 3).to(dtype) * 10 ** (4 * randn(500, 1, seed=1).to(dtype)).clamp(1e-12, 1e12)
    exact = x.double().norm(dim=-1)
    assert ((safe_norm(x).double() - exact).abs() <= 4 * torch.finfo(dtype).eps * exact).all()
    assert safe_norm(torch.zeros(3, dtype=dtype)) == 0


@DTYPES
def test_safe_norm_has_zero_first_and_second_derivative_at_zero(dtype):
    zero = torch.zeros(3, dtype=dtype)
    first, second = first_and_second(lambda x: safe_norm(x)[None], zero)
    assert torch.equal(first, torch.zeros(1, 3, dtype=dtype)) and torch.equal(second, torch.zeros(1, 3, 3, dtype=dtype))
    assert not torch.isfinite(hessian(torch.linalg.vector_norm, zero)).all()  # what the plain norm gives


@DTYPES
@pytest.mark.parametrize("exponent", [-160, -157, -154, -153, -40, -21, -19, -18, -12, 0, 6])
def test_safe_norm_has_finite_derivatives_at_every_length(dtype, exponent):
    x = vector(0.6, -0.8, 0.0, dtype=dtype) * 10.0**exponent
    first, second = first_and_second(lambda x: safe_norm(x)[None], x)
    assert torch.isfinite(first).all() and torch.isfinite(second).all()


def test_safe_norm_has_the_derivatives_of_the_norm_away_from_zero():
    x = randn(3)
    direction = x / x.norm()
    first, second = first_and_second(lambda x: safe_norm(x)[None], x)
    assert difference(first[0], direction) < 1e-15
    assert difference(second[0], (torch.eye(3, dtype=F64) - torch.outer(direction, direction)) / x.norm()) < 1e-14


@DTYPES
def test_spatial_attributes_are_twice_differentiable_for_coincident_points(dtype):
    o = unit(3).to(dtype)
    first, second = first_and_second(lambda r: spatial_invariants(r, o), torch.zeros(3, dtype=dtype))
    assert torch.equal(first, torch.stack((o, torch.zeros_like(o)))) and torch.equal(second, torch.zeros_like(second))


@DTYPES
@pytest.mark.parametrize("length", [1e-3, 1.0, 1e3])
def test_spatial_attributes_are_twice_differentiable_where_r_is_parallel_to_o(dtype, length):
    """r_⊥ is then rounding, of random direction, and the Hessian of the plain formula is as large as 1 / rounding."""
    plain = 0.0
    for o in torch.cat((make_grid("fibonacci", 8).points, make_grid("cube").points[:3])).to(dtype):
        for r in (length * o, -length * o):
            first, second = first_and_second(lambda r, o=o: spatial_invariants(r, o), r)
            assert torch.equal(first[1], torch.zeros_like(o)) and torch.equal(second[1], torch.zeros_like(second[1]))
            assert difference(first[0], o) == 0
            curvature = hessian(lambda r, o=o: (r - (r * o).sum() * o).norm(), r).abs().max()
            plain = max(plain, float(curvature.nan_to_num(nan=math.inf)))
    assert plain > 1e4 / length


def test_threshold_at_parallel_pairs_does_not_reach_real_angles():
    """A tilt of 1e-12 is no rounding in float64: its derivative is the true one, of length 1."""
    r = Z + 1e-12 * X
    first = jacobian(lambda r: spatial_invariants(r, Z), r)
    assert difference(first[1], X) < 1e-3


@pytest.mark.parametrize("name", [n for n in SETS if n not in ("orientation_3d",)])
@DTYPES
def test_every_set_has_finite_second_derivatives_at_degenerate_pairs(name, dtype):
    dim, pose, function = SETS[name]
    e, f = torch.eye(dim, dtype=dtype)[:2]
    frames = torch.eye(dim, dtype=dtype)
    poses = (frames, frames) if pose == "frame" else (e, e)
    for r in (torch.zeros(dim, dtype=dtype), 2 * e, -e, f):
        first, second = first_and_second(lambda r: function(r, *poses), r)
        assert torch.isfinite(first).all() and torch.isfinite(second).all()


@pytest.mark.parametrize("name", ["r2s1", "r2s1_cosine", "r3s2_triple", "r3s2_e3", "r3s2_se3"])
def test_gradients_reach_positions_and_orientations(name):
    """Against central differences, at generic pairs."""
    p_t, p_s, a, b = random_pairs(name, n=4)
    inputs = [x.clone().requires_grad_() for x in (p_s - p_t, a, b)]
    function = SETS[name][2]
    assert torch.autograd.gradcheck(lambda *x: function(*x), inputs, eps=1e-6, atol=1e-7)


def test_inner_functions_agree_with_functional_transforms():
    """vmap and nested jacrev, which analysis code may use, give the derivatives of plain autograd."""
    o, r = Z, torch.stack((torch.zeros(3, dtype=F64), Z, randn(3)))
    batched = torch.func.vmap(torch.func.jacrev(torch.func.jacrev(lambda r: spatial_invariants(r, o))))(r)
    for k in range(3):
        assert difference(batched[k], first_and_second(lambda r: spatial_invariants(r, o), r[k])[1]) < 1e-14


def test_turning_the_free_arrow_moves_only_the_fourth_number():
    """Turn o_s about o_t: the triple stays, r·o_s runs through an interval."""
    r, o_t, o_s = vector(1.0, 0.0, 1.0), Z, unit(3, seed=3)
    turned = axis_angle(Z, torch.linspace(0, 2 * math.pi, 50, dtype=F64)) @ o_s
    triple = invariants_r3s2_triple(r, o_t, turned)
    assert difference(triple, triple[:1]) < 1e-15
    spread = invariants_r3s2_e3(r, o_t, turned)[:, 1]
    across = torch.linalg.cross(o_s, Z).norm()  # |r_⊥| = 1, so r·o_s swings by ± the part of o_s across z
    assert float(spread.max() - spread.min()) == pytest.approx(2 * float(across), rel=0.01)
