"""Scalars and vectors to the sphere and back."""

import pytest
import torch

from ponita_edu.geometry import Grid, make_grid, random_rotations
from ponita_edu.nn.lifting import scalar_to_sphere, sphere_to_scalar, sphere_to_vector, vector_to_sphere

F64 = torch.float64
BALANCED = [make_grid(name) for name in ("tetrahedron", "octahedron", "cube", "icosahedron", "dodecahedron")]
BALANCED += [make_grid("lebedev", 26), make_grid("circle", 5)]
UNBALANCED = [make_grid("fibonacci", 12), make_grid("fibonacci", 20), make_grid("repulsion", 11)]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def name_of(grid):
    return f"{grid.name}{len(grid)}"


@pytest.mark.parametrize("grid", BALANCED + UNBALANCED, ids=name_of)
def test_a_lifted_scalar_comes_back(grid):
    s = draw(4, 3)
    lifted = scalar_to_sphere(s, grid.points)
    assert lifted.shape == (4, len(grid), 3)
    assert torch.allclose(sphere_to_scalar(lifted, grid.weights), s, atol=1e-14)


@pytest.mark.parametrize("grid", BALANCED, ids=name_of)
def test_a_lifted_vector_comes_back_as_v_over_d_on_a_balanced_grid(grid):
    v = draw(4, 3, grid.dim)
    lifted = vector_to_sphere(v, grid.points)
    assert lifted.shape == (4, len(grid), 3)
    assert torch.allclose(sphere_to_vector(lifted, grid.points, grid.weights), v / grid.dim, atol=1e-14)
    assert sphere_to_scalar(lifted, grid.weights).abs().max() < 1e-14  # a vector has no scalar part


@pytest.mark.parametrize("grid", UNBALANCED, ids=name_of)
def test_a_lifted_vector_comes_back_through_the_frame_operator(grid):
    v = draw(4, 3, 3)
    lifted = vector_to_sphere(v, grid.points)
    plain = sphere_to_vector(lifted, grid.points, grid.weights)
    assert torch.allclose(plain, v @ grid.frame, atol=1e-14)
    assert (plain - v / 3).abs().max() > 1e-6  # negative control: v/d needs a balanced grid


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("grid", BALANCED + UNBALANCED, ids=name_of)
def test_the_exact_readout_returns_a_lifted_vector_unharmed(grid, centred):
    v = draw(4, 3, grid.dim)
    back = sphere_to_vector(vector_to_sphere(v, grid.points), grid.points, grid.weights, centred=centred, exact=True)
    assert torch.allclose(back, v, atol=1e-12)


@pytest.mark.parametrize("grid", UNBALANCED[:2], ids=name_of)
def test_a_constant_signal_leaks_the_grids_mean_unless_the_readout_is_centred(grid):
    ones = scalar_to_sphere(torch.ones(1, 1, dtype=F64), grid.points)
    assert torch.allclose(sphere_to_vector(ones, grid.points, grid.weights)[0, 0], grid.mean, atol=1e-15)
    assert grid.mean.norm() > 1e-3
    assert sphere_to_vector(ones, grid.points, grid.weights, centred=True).abs().max() < 1e-15


@pytest.mark.parametrize("grid", [BALANCED[1], BALANCED[5]], ids=name_of)
def test_centring_changes_nothing_on_a_balanced_grid(grid):
    f = draw(4, len(grid), 2)
    plain = sphere_to_vector(f, grid.points, grid.weights)
    assert torch.allclose(sphere_to_vector(f, grid.points, grid.weights, centred=True), plain, atol=1e-14)


@pytest.mark.parametrize("centred, exact", [(False, False), (True, False), (True, True)])
def test_readout_turns_with_the_grid(centred, exact):
    grid = UNBALANCED[0]
    rotation = random_rotations(1, seed=3)[0]
    f = draw(4, len(grid), 2)
    turned = sphere_to_vector(f, grid.points @ rotation.T, grid.weights, centred, exact)
    plain = sphere_to_vector(f, grid.points, grid.weights, centred, exact)
    assert torch.allclose(turned, plain @ rotation.T, atol=1e-12)
    assert (turned - plain).abs().max() > 1e-2


def test_weights_enter_the_readout():
    grid = make_grid("lebedev", 14)
    equal = Grid.from_points(grid.points)
    f = draw(1, 14, 1)
    wanted = (f[0, :, 0] * grid.weights) @ grid.points
    assert torch.allclose(sphere_to_vector(f, grid.points, grid.weights)[0, 0], wanted, atol=1e-15)
    assert (sphere_to_vector(f, grid.points, equal.weights)[0, 0] - wanted).abs().max() > 1e-3
