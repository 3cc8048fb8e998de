"""Bad input to geometry: the message names the argument, what came, what was expected and how to repair it.

Run without jaxtyping's import hook, which would speak first.
"""

import numpy as np
import pytest
import torch

from ponita_edu.geometry import (
    Grid,
    Motion,
    axis_angle,
    cyclic_rotations,
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
    polyhedral_rotations,
    random_rotations,
    to_axis_angle,
)
from ponita_edu.geometry.finite_groups import permuting_rotations

F64 = torch.float64
PAIRS = {
    2: (invariants_r2s1, invariants_r2s1_cosine),
    3: (invariants_r3s2_triple, invariants_r3s2_e3, invariants_r3s2_se3),
}
PAIR_FUNCTIONS = [(dim, f) for dim, functions in PAIRS.items() for f in functions]
each_pair_function = pytest.mark.parametrize(("dim", "f"), PAIR_FUNCTIONS, ids=lambda x: getattr(x, "__name__", str(x)))


def unit(n, dim):
    return torch.nn.functional.normalize(torch.arange(1.0, n * dim + 1, dtype=F64).view(n, dim), dim=-1)


# ------------------------------------------------------------------------------------------------------- invariants
@each_pair_function
def test_pair_function_refuses_a_wrong_last_axis(dim, f):
    good, bad = unit(4, dim), unit(4, dim + 1)
    for position, name in enumerate(("r", "ori_t", "ori_s")):
        arguments = [good, good, good]
        arguments[position] = bad
        with pytest.raises(ValueError, match=rf"{name} must have {dim} components.*\(4, {dim + 1}\).*\[pairs, {dim}\]"):
            f(*arguments)


@each_pair_function
def test_pair_function_refuses_orientations_that_are_not_unit(dim, f):
    good = unit(4, dim)
    with pytest.raises(ValueError, match=r"ori_s must hold unit vectors.*0\.01.*normalize\(ori_s, dim=-1\)"):
        f(good, good, good * 1.01)
    assert f(good, good, good * 1.0005).isfinite().all()


@each_pair_function
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pair_function_refuses_nan_and_infinity(dim, f, value):
    good, bad = unit(4, dim), unit(4, dim)
    bad[2, 1] = value
    for arguments, name in (((bad, good, good), "r"), ((good, bad, good), "ori_t"), ((good, good, bad), "ori_s")):
        with pytest.raises(ValueError, match=rf"^{name} must be finite; 1 of {4 * dim} entries"):
            f(*arguments)


@each_pair_function
def test_pair_function_refuses_integers(dim, f):
    whole = torch.eye(dim, dtype=torch.long)
    with pytest.raises(ValueError, match=r"r must hold real numbers; got dtype torch\.int64.*r\.to\(torch\.float64\)"):
        f(whole, whole, whole)


@each_pair_function
def test_pair_function_accepts_no_pairs_at_all(dim, f):
    empty = torch.zeros(0, dim, dtype=F64)
    assert f(empty, empty, empty).shape[0] == 0


@pytest.mark.parametrize(("f", "dim"), [(invariants_r2, 2), (invariants_r3, 3)])
def test_distance_refuses_a_wrong_axis_and_nan(f, dim):
    with pytest.raises(ValueError, match=rf"r must have {dim} components"):
        f(torch.zeros(5, 4, dtype=F64))
    with pytest.raises(ValueError, match="r must be finite"):
        f(torch.full((5, dim), float("nan"), dtype=F64))


@pytest.mark.parametrize(("f", "dim"), [(invariants_se2, 2), (invariants_se3, 3)])
def test_frames_must_be_rotations(f, dim):
    r, good = torch.ones(4, dim, dtype=F64), random_rotations(4, dim)
    mirror = good.clone()
    mirror[..., 0] *= -1
    with pytest.raises(ValueError, match=r"frame_t must hold rotations.*determinant -1.*axis_angle"):
        f(r, mirror, good)
    with pytest.raises(ValueError, match=r"frame_s must hold rotations.*is 3"):
        f(r, good, 2 * good)
    with pytest.raises(ValueError, match=rf"frame_s must hold {dim}×{dim} rotation matrices.*\[pairs, {dim}, {dim}\]"):
        f(r, good, torch.ones(4, 5, dim, dtype=F64))


# ------------------------------------------------------------------------------------------------------------ grids
def test_unknown_grid_is_refused_with_the_list_of_known_ones():
    with pytest.raises(ValueError, match=r"name must be a known grid; got 'fibonaci'.*circle, fibonacci, repulsion"):
        make_grid("fibonaci", 12)


@pytest.mark.parametrize("name", ["circle", "fibonacci", "repulsion", "lebedev"])
@pytest.mark.parametrize("n", [None, 0, -3, 2.5, "12", True])
def test_grid_size_must_be_a_whole_number(name, n):
    with pytest.raises(ValueError, match=rf"n must be a whole number.*{name} grid; got {n!r}.*n=20"):
        make_grid(name, n)


@pytest.mark.parametrize(("name", "most"), [("circle", 10**6), ("fibonacci", 10**6), ("repulsion", 5_000)])
def test_grid_that_would_fill_the_memory_is_refused(name, most):
    for n in (most + 1, 10**9, 10**30):
        with pytest.raises(ValueError, match=rf"at most {most:,} for the {name} grid.*got {n:,}\. Networks use"):
            make_grid(name, n)


def test_platonic_size_must_fit():
    with pytest.raises(ValueError, match=r"n must be 20 \(or left out\) for the dodecahedron; got 12"):
        make_grid("dodecahedron", 12)


def test_lebedev_size_must_exist_and_the_error_lists_them():
    with pytest.raises(
        ValueError, match=r"n must be the size of a Lebedev rule; got 20\. Choose one of 6, 14, 26, .*5810"
    ):
        make_grid("lebedev", 20)


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_repulsion_seed_must_be_a_whole_number(seed):
    with pytest.raises(ValueError, match=rf"seed must be a whole number, at least 0; got {seed!r}"):
        make_grid("repulsion", 4, seed=seed)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.ones(3, dtype=F64), r"points must have shape \[N, 2\] or \[N, 3\]"),
        (torch.ones(3, 4, dtype=F64), r"points must have shape .* got \(3, 4\)"),
        (torch.ones(0, 3, dtype=F64), "N ≥ 1"),
        (torch.ones(3, 3, dtype=F64), r"points must be unit vectors; the worst .* 0\.73.*normalize\(points"),
        (torch.full((3, 3), float("nan"), dtype=F64), "points must be unit vectors; the worst .* nan"),
        (torch.eye(3, dtype=torch.long), "points must hold real numbers; got dtype torch.int64"),
    ],
    ids=["one axis", "four components", "empty", "not unit", "nan", "integers"],
)
def test_custom_grid_points_are_checked(points, message):
    with pytest.raises(ValueError, match=message):
        Grid.from_points(points)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(3, dtype=F64), "weights must sum to 1; got 3.*weights / weights.sum()"),
        (torch.ones(2, dtype=F64) / 2, r"weights must have one entry per point, 3; got shape \(2,\)"),
        (torch.full((3,), float("nan"), dtype=F64), "weights must sum to 1; got nan"),
    ],
)
def test_custom_grid_weights_are_checked(weights, message):
    with pytest.raises(ValueError, match=message):
        Grid.from_points(torch.eye(3, dtype=F64), weights)


def test_grid_itself_wants_float64_and_says_who_converts():
    eye = torch.eye(3)
    with pytest.raises(ValueError, match=r"points must be float64 on the CPU; got torch.float32.*Grid\.from_points"):
        Grid(eye, torch.ones(3, dtype=F64) / 3)
    assert len(Grid.from_points(eye)) == len(Grid.from_points(np.eye(3))) == 3


def test_grid_rotation_must_be_orthogonal_and_of_its_dimension():
    grid = make_grid("cube")
    with pytest.raises(ValueError, match=r"rotation must have shape \[3, 3\] for this grid; got \(2, 2\)"):
        grid.rotated(torch.eye(2, dtype=F64))
    with pytest.raises(ValueError, match=r"rotation must be orthogonal; .* 0\.21.*random_rotations"):
        grid.rotated(1.1 * torch.eye(3, dtype=F64))


def test_symmetries_refuse_points_on_one_line_and_coincident_points():
    with pytest.raises(ValueError, match="all 2 points lie on one line"):
        make_grid("repulsion", 2).symmetries()
    twice = Grid.from_points(torch.eye(3, dtype=F64)[[0, 0, 1]])
    with pytest.raises(ValueError, match="points must be distinct"):
        twice.symmetries()
    with pytest.raises(ValueError, match="points must be distinct for Voronoi cells"):
        twice.voronoi_areas()


@pytest.mark.parametrize("degree", [0, -1, 1.5, True])
def test_quadrature_degree_must_be_a_positive_whole_number(degree):
    with pytest.raises(ValueError, match=rf"degree must be a whole number, at least 1 .* got {degree!r}"):
        make_grid("cube").quadrature_error(degree)


# ----------------------------------------------------------------------------------------------------------- groups
def test_motion_refuses_what_is_not_orthogonal_and_says_by_how_much():
    with pytest.raises(ValueError, match=r"rotation must be orthogonal; .* reaches 3, allowed is 1e-05.*axis_angle"):
        Motion(2 * torch.eye(3, dtype=F64), torch.zeros(3, dtype=F64))
    with pytest.raises(ValueError, match=r"rotation must be orthogonal; .* reaches nan"):
        Motion(torch.full((3, 3), float("nan"), dtype=F64), torch.zeros(3, dtype=F64))


def test_motion_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"rotation must be square matrices .* got shape \(3, 2\)"):
        Motion(torch.ones(3, 2, dtype=F64), torch.zeros(3, dtype=F64))
    with pytest.raises(ValueError, match=r"translation must have shape \(3,\) .* got \(2,\)"):
        Motion(torch.eye(3, dtype=F64), torch.zeros(2, dtype=F64))
    with pytest.raises(ValueError, match="translation must be finite"):
        Motion(torch.eye(2, dtype=F64), torch.tensor([0.0, float("inf")], dtype=F64))
    with pytest.raises(ValueError, match=r"rotation must hold real numbers; got dtype torch.int64"):
        Motion(torch.eye(2, dtype=torch.long), torch.zeros(2, dtype=F64))


def test_motion_refuses_points_of_another_dimension():
    g = Motion.identity(3)
    for act, name in ((g.on_points, "p"), (g.on_orientations, "o"), (g.on_vectors, "v")):
        with pytest.raises(ValueError, match=rf"{name} must have 3 components in its last axis .* got shape \(5, 2\)"):
            act(torch.zeros(5, 2, dtype=F64))
        with pytest.raises(ValueError, match=rf"{name} must hold real numbers; got dtype torch.int64"):
            act(torch.zeros(5, 3, dtype=torch.long))


def test_random_rotations_refuse_impossible_requests():
    with pytest.raises(ValueError, match="n must be at least 0 and dim at least 1; got n=-1, dim=3"):
        random_rotations(-1)
    with pytest.raises(ValueError, match="got n=1, dim=0"):
        random_rotations(1, 0)
    with pytest.raises(ValueError, match=r"dtype must be a floating type; got torch.int64"):
        random_rotations(1, dtype=torch.int64)


def test_axis_must_be_a_direction():
    angle = torch.tensor(1.0, dtype=F64)
    for axis in (torch.zeros(3), torch.full((3,), float("nan")), torch.ones(2), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"axis must hold finite non-zero vectors \[\.\.\., 3\]"):
            axis_angle(axis.to(F64), angle)


def test_axis_and_angle_of_a_reflection_do_not_exist():
    with pytest.raises(ValueError, match=r"rotation must have determinant \+1"):
        to_axis_angle(-torch.eye(3, dtype=F64))
    with pytest.raises(ValueError, match=r"rotation must be square matrices \[\.\.\., 3, 3\]; got shape \(2, 2\)"):
        to_axis_angle(torch.eye(2, dtype=F64))


def test_unknown_finite_group_is_refused_with_the_list_of_known_ones():
    with pytest.raises(ValueError, match=r"tetrahedron, octahedron, icosahedron; got 'cube'.*octahedron's rotations"):
        polyhedral_rotations("cube")
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        cyclic_rotations(0)


@pytest.mark.parametrize("points, message", [
    ([[1, 0, 0], [0, 1, 0], [1, 0, 0]], "points must be distinct.*Remove the duplicate"),
    ([[0, 0, 1], [0, 0, -1]], "all 2 points lie on one line"),
    ([[1, 0], [1, 0]], "points must be distinct"),
])
def test_points_with_too_many_symmetries_are_refused(points, message):
    with pytest.raises(ValueError, match=message):
        permuting_rotations(torch.tensor(points, dtype=F64), torch.ones(len(points), dtype=F64))
