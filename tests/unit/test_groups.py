"""Rotations, motions and finite rotation groups."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from ponita_edu.geometry import (
    Motion,
    axis_angle,
    cyclic_rotations,
    make_grid,
    polyhedral_rotations,
    random_rotations,
    rotation_2d,
    to_axis_angle,
)

F64 = torch.float64
ORDERS = {"tetrahedron": 12, "octahedron": 24, "icosahedron": 60}


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def angles_of(rotations):
    """Rotation angle from the trace, independent of to_axis_angle."""
    trace = rotations.diagonal(dim1=-2, dim2=-1).sum(-1)
    return ((trace - 1) / 2).clamp(-1, 1).arccos()


# ---------------------------------------------------------------------------------------------- random rotations
@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5])
def test_random_rotations_are_orthogonal_with_determinant_one(dim):
    r = random_rotations(200, dim, seed=1)
    assert (r @ r.mT - torch.eye(dim, dtype=F64)).abs().max() < 1e-14
    assert (torch.linalg.det(r) - 1).abs().max() < 1e-13


def test_random_rotations_come_from_the_seed_and_leave_the_global_state_alone():
    before = torch.get_rng_state()
    assert torch.equal(random_rotations(5, seed=3), random_rotations(5, seed=3))
    assert not torch.equal(random_rotations(5, seed=3), random_rotations(5, seed=4))
    from_generator = random_rotations(5, generator=torch.Generator().manual_seed(3))
    assert torch.equal(from_generator, random_rotations(5, seed=3))
    assert torch.equal(before, torch.get_rng_state())
    assert random_rotations(2, dtype=torch.float32).dtype == torch.float32


def moments_in_standard_errors(rotations):
    """Largest deviation of E[R_ij] = 0, E[R_ij²] = 1/d, E[R_ij⁴] = 3/(d(d+2)), E[R_00 R_11 …] in standard errors."""
    n, d = rotations.shape[:2]
    samples = [rotations, rotations**2 - 1 / d, rotations**4 - 3 / (d * (d + 2))]
    samples.append(rotations[:, :1] * rotations[:, 1:2])  # R_0j R_1j: rows are uncorrelated
    scores = [(s.mean(0) / (s.std(0) / math.sqrt(n))).abs().max() for s in samples]
    return float(max(scores))


@pytest.mark.parametrize("dim", [2, 3, 4, 5])
def test_random_rotations_have_the_moments_of_the_haar_measure(dim):
    assert moments_in_standard_errors(random_rotations(20_000, dim, seed=5)) < 5


def test_moments_notice_a_qr_without_the_sign_fix():
    q, _ = torch.linalg.qr(randn(20_000, 4, 4))
    assert moments_in_standard_errors(q) > 20


def haar_angle_cdf(phi):
    return (phi - np.sin(phi)) / np.pi


def test_random_rotations_3d_have_the_haar_angle_density():
    angles = angles_of(random_rotations(20_000, seed=6))
    assert stats.kstest(angles.numpy(), haar_angle_cdf).pvalue > 1e-3


def test_haar_angle_density_refuses_uniform_euler_angles():
    generator = np.random.default_rng(0)
    euler = generator.uniform(0, 1, (20_000, 3)) * [2 * np.pi, np.pi, 2 * np.pi]
    matrices = torch.tensor(Rotation.from_euler("ZYZ", euler).as_matrix())
    assert stats.kstest(angles_of(matrices).numpy(), haar_angle_cdf).pvalue < 1e-6


def test_random_rotations_2d_have_uniform_angles():
    r = random_rotations(20_000, 2, seed=7)
    angle = torch.atan2(r[:, 1, 0], r[:, 0, 0]).numpy()
    assert stats.kstest(angle, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3


# ---------------------------------------------------------------------------------------------------- axis, angle
def test_axis_angle_is_right_handed():
    quarter = axis_angle(torch.tensor([0.0, 0, 2], dtype=F64), torch.tensor(math.pi / 2, dtype=F64))
    assert (quarter @ torch.tensor([1.0, 0, 0], dtype=F64) - torch.tensor([0.0, 1, 0], dtype=F64)).abs().max() < 1e-15
    turn = rotation_2d(torch.tensor(math.pi / 2, dtype=F64))
    assert (turn @ torch.tensor([1.0, 0], dtype=F64) - torch.tensor([0.0, 1], dtype=F64)).abs().max() < 1e-15


def test_axis_angle_equals_scipy():
    axis, angle = torch.nn.functional.normalize(randn(100, 3), dim=-1), 3 * randn(100, seed=1)
    expected = Rotation.from_rotvec((axis * angle[:, None]).numpy()).as_matrix()
    assert np.abs(axis_angle(axis, angle).numpy() - expected).max() < 1e-14


NEAR = [0.0, 1e-12, 1e-8, 1e-4, 1.0, math.pi - 1e-4, math.pi - 1e-8, math.pi - 1e-12, math.pi]


@pytest.mark.parametrize("angle", NEAR)
def test_to_axis_angle_inverts_axis_angle_also_near_zero_and_pi(angle):
    axis = torch.nn.functional.normalize(randn(50, 3, seed=2), dim=-1)
    angles = torch.full((50,), angle, dtype=F64)
    rotation = axis_angle(axis, angles)
    found_axis, found = to_axis_angle(rotation)
    assert (found - angles).abs().max() < 1e-15
    assert (axis_angle(found_axis, found) - rotation).abs().max() < 1e-15
    assert (found_axis.norm(dim=-1) - 1).abs().max() < 1e-15
    if 0 < angle < math.pi - 1e-11:
        assert (found_axis - axis).abs().max() < 1e-15 * max(1, 1 / angle)


def test_arccos_of_the_trace_fails_where_to_axis_angle_does_not():
    rotation = axis_angle(randn(50, 3), torch.full((50,), 1e-8, dtype=F64))
    assert (angles_of(rotation) - 1e-8).abs().max() > 1e-9


# -------------------------------------------------------------------------------------------------- finite groups
def distinct_matrices(rotations):
    return {tuple(row) for row in (rotations.flatten(1).round(decimals=6) + 0.0).tolist()}


@pytest.mark.parametrize("name", ORDERS)
def test_polyhedral_rotations_form_a_group(name):
    group = polyhedral_rotations(name)
    assert torch.equal(group[0], torch.eye(3, dtype=F64))
    assert len(distinct_matrices(group)) == len(group) == ORDERS[name]
    assert (group @ group.mT - torch.eye(3, dtype=F64)).abs().max() < 1e-14
    assert (torch.linalg.det(group) - 1).abs().max() < 1e-14
    products = (group[:, None] @ group[None]).flatten(0, 1)
    assert distinct_matrices(products) == distinct_matrices(group)
    assert distinct_matrices(group.mT) == distinct_matrices(group)


def test_dropping_a_rotation_breaks_closure():
    most = polyhedral_rotations("octahedron")[:-1]
    assert distinct_matrices((most[:, None] @ most[None]).flatten(0, 1)) != distinct_matrices(most)


@pytest.mark.parametrize(
    ("name", "by_degrees"),
    [
        ("tetrahedron", {0: 1, 120: 8, 180: 3}),
        ("octahedron", {0: 1, 90: 6, 120: 8, 180: 9}),
        ("icosahedron", {0: 1, 72: 12, 120: 20, 144: 12, 180: 15}),
    ],
)
def test_polyhedral_rotations_turn_about_vertices_edges_and_faces(name, by_degrees):
    """Counted by hand: n−1 turns about each n-fold axis (for instance 6 fivefold axes of the icosahedron: 24 turns)."""
    degrees = to_axis_angle(polyhedral_rotations(name))[1].rad2deg().round().long().tolist()
    assert {d: degrees.count(d) for d in sorted(set(degrees))} == by_degrees


@pytest.mark.parametrize(
    ("grid", "group"),
    [
        ("tetrahedron", "tetrahedron"),
        ("octahedron", "octahedron"),
        ("cube", "octahedron"),
        ("icosahedron", "icosahedron"),
        ("dodecahedron", "icosahedron"),
    ],
)
def test_polyhedral_rotations_are_the_symmetries_of_the_platonic_grid(grid, group):
    found, _ = make_grid(grid).symmetries()
    assert distinct_matrices(found) == distinct_matrices(polyhedral_rotations(group))
    turned, _ = make_grid(grid).rotated(random_rotations(1, seed=1)[0]).symmetries()
    assert len(turned) == len(found) and distinct_matrices(turned) != distinct_matrices(found)


def test_cyclic_rotations_are_powers_of_the_first():
    group = cyclic_rotations(7)
    powers = torch.stack([torch.linalg.matrix_power(group[1], k) for k in range(7)])
    assert (group - powers).abs().max() < 1e-14
    assert (group[1] @ group[6] - torch.eye(2, dtype=F64)).abs().max() < 1e-14


# --------------------------------------------------------------------------------------------------------- motions
def homogeneous(motion):
    """[[R, b], [0, 1]]: composition becomes a plain matrix product."""
    n, d = motion.translation.shape
    matrix = torch.eye(d + 1, dtype=F64).repeat(n, 1, 1)
    matrix[:, :d, :d], matrix[:, :d, d] = motion.rotation, motion.translation
    return matrix


@pytest.mark.parametrize("dim", [2, 3])
def test_motion_composes_right_factor_first(dim):
    g, h = (Motion.random(20, dim, seed=s, reflections=True) for s in (0, 1))
    assert (homogeneous(g @ h) - homogeneous(g) @ homogeneous(h)).abs().max() < 1e-14
    p = randn(20, dim)
    assert ((g @ h).on_points(p) - g.on_points(h.on_points(p))).abs().max() < 1e-14
    assert ((g @ h).on_points(p) - h.on_points(g.on_points(p))).abs().max() > 0.1  # the other order is another motion


@pytest.mark.parametrize("dim", [2, 3])
def test_motion_inverse_undoes_from_both_sides(dim):
    g = Motion.random(20, dim, seed=2, reflections=True)
    one = homogeneous(Motion.identity(dim)[None])
    for product in (g @ g.inverse(), g.inverse() @ g):
        assert (homogeneous(product) - one).abs().max() < 1e-14
    assert (homogeneous(g @ g) - one).abs().max() > 0.1


def test_motion_shifts_points_but_not_orientations_or_vectors():
    g = Motion.random(1, seed=3)[0]
    p, q = randn(6, 3, seed=1), randn(6, 3, seed=2)
    v = q - p
    assert (g.on_vectors(v) - (g.on_points(q) - g.on_points(p))).abs().max() < 1e-14
    assert torch.equal(g.on_orientations(v), g.on_vectors(v))
    assert (g.on_points(v) - g.on_vectors(v)).abs().max() > 0.1
    assert (torch.cdist(g.on_points(p), g.on_points(q)) - torch.cdist(p, q)).abs().max() < 1e-14


def test_motion_is_proper_unless_reflections_are_asked_for():
    assert Motion.random(50, seed=4).is_proper
    both = Motion.random(2000, seed=4, reflections=True)
    assert not both.is_proper
    proper = sum(g.is_proper for g in both[:200])
    assert 60 < proper < 140
    mirror = Motion(torch.diag(torch.tensor([1.0, 1, -1], dtype=F64)), torch.zeros(3, dtype=F64))
    assert not mirror.is_proper and (mirror @ mirror).is_proper


def test_random_motions_follow_from_their_seed_alone():
    state = torch.get_rng_state()
    a, b, other = (Motion.random(30, reflections=True, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a.rotation, b.rotation) and torch.equal(a.translation, b.translation)
    assert not torch.equal(a.rotation, other.rotation)


def test_motion_batch_acts_on_a_batch_of_clouds():
    g, clouds = Motion.random(4, seed=5), randn(4, 7, 3)
    moved = g[:, None].on_points(clouds)
    for k, one in enumerate(g):
        assert (moved[k] - one.on_points(clouds[k])).abs().max() < 1e-15


def test_motion_translations_have_the_scale_asked_for():
    t = Motion.random(5000, seed=6, translation_scale=10.0).translation
    assert t.std().item() == pytest.approx(10.0, rel=0.05)
    assert Motion.random(5, translation_scale=0.0).translation.abs().max() == 0


def test_motion_keeps_the_dtype_of_what_it_moves_and_rounds_once():
    g, p = Motion.random(1, seed=7)[0], randn(1000, 3)
    moved = g.on_points(p.float())
    assert moved.dtype == torch.float32
    assert torch.equal(moved, g.on_points(p.float().double()).float())
