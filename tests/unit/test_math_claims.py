"""Claims of the mathematics behind the course (orbits, formulas, exactness, shared classes), one test each.

Each test states its claim in one line and holds a negative control. Claims with tests elsewhere:

Pairs and their classes
    dimensions of spaces, stabilisers, pairs, orbits        test_bijectivity: dimension_table
    triple: rank 3 where 4 numbers are needed, 200 pairs    test_bijectivity: triple_has_rank_three
    rank of the orbit map 6 = 10 - 4                        test_invariants: orbit_of_a_generic_r3s2_pair
    counterexample (0,0,1), (±1,0,0)                        test_bijectivity: named_counterexample
    four numbers complete for E(3), five for SE(3)          test_bijectivity: complete_sets_name_ten_thousand
    squared determinant = Gram determinant, sign is new     test_bijectivity: sign_of_the_determinant
    2D: angle complete, its cosine not                      test_bijectivity: angle_is_complete_in_the_plane
    where orbits shrink                                     test_bijectivity: orbits_in_r3s2_shrink; below, corrected
    factors of the separable layer complete, product not    test_bijectivity: factors_..., product_...

Formulas
    9 distinct among 14 monomials                           test_kernels (random attributes); below, attributes of pairs
    lifted vector reads out as M v, v/3 on 2-designs        test_lifting: a_lifted_vector_comes_back_...
    |mean| 0.023, 0.011, 0.0012 of the spiral               test_grids: fibonacci_mean; the leak c m: below
    |r_perp| at r = 0 and r ∥ o                             test_invariants (own norm); plain norm, as a control: below

Equivariance
    exact, three kinds                                      tests/equivariance/test_exact.py
    approximate, error falls with N                         tests/equivariance/test_approximate.py
    grids swapped after training                            test_network (integral converges); trained network: below

Shared classes
    equal outputs and forces                                test_network: sharing_a_kernel; by weights, and rows: below
"""

import math
from itertools import pairwise

import pytest
import torch

from ponita_edu.analysis.equivariance import equivariance_error
from ponita_edu.analysis.equivariance_table import random_clouds
from ponita_edu.analysis.orbits import orbit_dimension
from ponita_edu.analysis.pairs import Pair
from ponita_edu.data.graphs import Graphs, collate
from ponita_edu.geometry import Motion, make_grid, random_rotations
from ponita_edu.geometry.invariants import spatial_invariants
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.kernels import Monomials
from ponita_edu.nn.lifting import scalar_to_sphere, sphere_to_vector, vector_to_sphere
from ponita_edu.nn.ponita import Ponita

F64 = torch.float64
MIRROR = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=F64))


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def units(*shape, seed=0):
    return torch.nn.functional.normalize(draw(*shape, 3, seed=seed), dim=-1)


def loudly(model):
    """Weights scaled up until kernels vary over the sphere, so that a break would show."""
    for name, p in model.named_parameters():
        if "kernel" in name:
            p.data.mul_(2.0)
    return model


def clouds(sizes=(4, 5), vectors=True, seed=0):
    graphs = random_clouds(sizes, 3, seed)
    return graphs if vectors else graphs._replace(vec=None)


# ------------------------------------------------------------------------------------------ 1. pairs and their classes
def test_orbits_of_r3s2_shrink_only_if_all_lies_on_one_line():
    """Orbits shrink where r, o_t, o_s share one line; r = 0 or r ∥ o_t alone do not do it, as once claimed."""
    zero, ez = torch.zeros(3, dtype=F64), torch.tensor([0.0, 0, 1], dtype=F64)
    tilted = units(1, seed=3)[0]

    def dimension(r, ori_t, ori_s):
        return orbit_dimension(Pair.make("r3s2", zero, r, ori_t, ori_s))

    assert dimension(zero, ez, tilted) == dimension(2 * ez, ez, tilted) == dimension(tilted, ez, ez) == 6
    assert dimension(zero, ez, ez) == dimension(2 * ez, ez, -ez) == 5  # negative control: here it does drop


@pytest.mark.parametrize("attributes", ["triple", "e3"])
def test_network_gives_a_molecule_and_its_mirror_image_equal_scalars_and_reflected_vectors(attributes):
    """With unsigned attributes the network is E(3)-equivariant: it cannot tell a molecule from its mirror image."""
    graphs, mirror = clouds(), Motion(MIRROR, torch.zeros(3, dtype=F64))
    config = PonitaConfig(scalars_in=1, vectors_in=1, vectors_out=1, hidden=16, basis=16, layers=2, conv="full",
                          attributes=attributes)
    grid = make_grid("fibonacci", 7)
    errors = {}
    for name in (attributes, "se3"):
        model = loudly(Ponita(PonitaConfig(**{**vars(config), "attributes": name}), grid, seed=0).double())
        errors[name] = equivariance_error(model, graphs, mirror, move_grid=True).excess()
    assert errors[attributes] < 1e-13
    assert errors["se3"] > 1e-6  # negative control: the sign of the determinant tells them apart


@pytest.mark.parametrize("space", ["positions", "edges"])
def test_point_clouds_and_their_mirror_images_agree_to_rounding(space):
    """Point-cloud modes: equal scalars for a mirror image, to 1e-14, and vectors that reflect."""
    graphs = clouds(vectors=space == "edges")
    config = PonitaConfig(scalars_in=1, vectors_in=int(space == "edges"), vectors_out=int(space == "edges"), hidden=16,
                          basis=16, layers=2, space=space)
    model = loudly(Ponita(config, seed=0).double())
    with torch.no_grad():
        out, seen = model(graphs), model(graphs.moved(Motion(MIRROR, torch.zeros(3, dtype=F64))))
        other = model(clouds(vectors=space == "edges", seed=1)._replace(x=graphs.x))
    assert (seen.scalar - out.scalar).abs().max() < 1e-14 * out.scalar.abs().max().clamp(min=1)
    assert (other.scalar - out.scalar).abs().max() > 1e-3  # negative control: another cloud has another answer
    if space == "edges":
        assert (seen.vector - out.vector @ MIRROR.T).abs().max() < 1e-14
        assert (seen.vector - out.vector).abs().max() > 1e-5  # and the vectors did move


# --------------------------------------------------------------------------------------------------------- 2. formulas
def test_monomials_of_pair_attributes_have_fourteen_columns_of_rank_nine():
    """Two attributes, degree 3: public code's 14 columns have rank 9, the 9 distinct monomials rank 9."""
    attributes = spatial_invariants(draw(400, 3), units(400, seed=1))
    all_columns, distinct = Monomials(2, 3)(attributes), Monomials(2, 3, distinct=True)(attributes)
    assert all_columns.shape[1] == 14 and distinct.shape[1] == 9
    assert int(torch.linalg.matrix_rank(all_columns)) == int(torch.linalg.matrix_rank(distinct)) == 9
    on_a_line = spatial_invariants(draw(400, 1) * units(1), units(1))  # negative control: fewer kinds of pairs
    assert int(torch.linalg.matrix_rank(Monomials(2, 3)(on_a_line), rtol=1e-9)) < 9


def test_degree_counts_factors_so_degree_three_of_one_public_code_is_degree_two_of_the_other():
    """Degree d has monomials of 1 to d factors; code that counts multiplications instead calls this d - 1."""
    attributes, scale = draw(5, 2), 1.7
    for degree in (1, 2, 3):
        columns, scaled = Monomials(2, degree)(attributes), Monomials(2, degree)(scale * attributes)
        factors = ((scaled / columns).log() / math.log(scale)).round().long()
        assert factors.unique().tolist() == list(range(1, degree + 1))
        assert len(Monomials(2, degree)) == sum(2**k for k in range(1, degree + 1))
    assert len(Monomials(2, 3)) != len(Monomials(2, 2))  # so the two names must not be mixed up


@pytest.mark.parametrize("n", [12, 20, 60])
def test_a_constant_leaks_its_multiple_of_the_grids_mean(n):
    """A constant signal c becomes the vector c m; a grid with mean 0, or subtracting the mean of f, cures it."""
    spiral, balanced, c = make_grid("fibonacci", n), make_grid("icosahedron"), 1.5

    def read(grid, centred):
        signal = scalar_to_sphere(torch.full((1, 1), c, dtype=F64), grid.points)
        return sphere_to_vector(signal, grid.points, grid.weights, centred=centred)[0, 0]

    assert (read(spiral, False) - c * spiral.mean).abs().max() < 1e-15
    assert read(spiral, False).norm() > 1e-3  # negative control: the leak is there before it is cured
    assert read(spiral, True).norm() < 1e-15 and read(balanced, False).norm() < 1e-15


def test_the_cure_of_the_leak_spares_the_vector_on_a_balanced_grid():
    """Subtracting the mean of f leaves a vector as it is where the grid's mean is 0, and alters it elsewhere."""
    v = draw(1, 1, 3)

    def change(grid):
        signal = vector_to_sphere(v, grid.points) + 2.0
        plain = sphere_to_vector(vector_to_sphere(v, grid.points), grid.points, grid.weights)
        return (sphere_to_vector(signal, grid.points, grid.weights, centred=True) - plain).abs().max()

    assert change(make_grid("dodecahedron")) < 1e-15
    assert change(make_grid("fibonacci", 12)) > 1e-6


def second_derivative(function, r):
    return torch.autograd.functional.hessian(lambda x: function(x).sum(), r)


def plain_norm_across(r, o):
    return (r - (r * o).sum(-1, keepdim=True) * o).norm(dim=-1)


@pytest.mark.parametrize("length", [0.0, 1.3])
def test_distance_from_the_axis_has_finite_derivatives_only_with_a_guarded_norm(length):
    """|r_perp| with a plain norm: second derivative NaN or wild at r = 0 and r ∥ o; ours is finite, and 0 there."""
    o = torch.tensor([0.0, 0.0, 1.0], dtype=F64)
    r = length * o
    ours = second_derivative(lambda x: spatial_invariants(x, o)[..., 1], r)
    assert bool((ours == 0).all())
    assert not bool(torch.isfinite(second_derivative(lambda x: plain_norm_across(x, o), r)).all())


def test_distance_from_the_axis_has_a_kink_and_the_smooth_attributes_have_none():
    """|r_perp| is not differentiable at r ∥ o: its one-sided slopes are ±1; those of r·o and |r|² agree."""
    o, r = torch.tensor([0.0, 0.0, 1.0], dtype=F64), torch.tensor([0.0, 0.0, 1.3], dtype=F64)
    across, h = torch.tensor([1.0, 0.0, 0.0], dtype=F64), 1e-6

    def slopes(function):
        here = function(r)
        return float((function(r + h * across) - here) / h), float((here - function(r - h * across)) / h)

    right, left = slopes(lambda x: spatial_invariants(x, o)[1])
    assert right == pytest.approx(1) and left == pytest.approx(-1)
    for smooth in (lambda x: x @ o, lambda x: x @ x):
        right, left = slopes(smooth)
        assert abs(right - left) < 1e-5


# ----------------------------------------------------------------------------------------------------- 3. equivariance
@pytest.fixture(scope="module")
def trained():
    """A small network that has learnt the sum of forces towards the other points, on the spiral with 20 points."""
    config = PonitaConfig(scalars_in=1, vectors_in=1, vectors_out=1, hidden=16, basis=16, layers=2, degree=2)
    model = Ponita(config, make_grid("fibonacci", 20), seed=0).double()
    graphs = clouds((5,) * 6)
    r = graphs.pos[graphs.source] - graphs.pos[graphs.target]
    pull = torch.zeros_like(graphs.pos).index_add(0, graphs.target, r * (-r.square().sum(1, keepdim=True)).exp())
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = (model(graphs).vector[:, 0] - pull).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    return model


def vector_error(model, grid):
    model.set_grid(grid)
    return equivariance_error(model, clouds((5,), seed=9), "SO", count=8).outputs["vector"].median


def test_grids_can_be_swapped_after_training_and_the_error_falls(trained):
    """A network trained on 20 orientations runs with the same weights on hundreds, and its error falls with N."""
    weights = {name: p.detach().clone() for name, p in trained.named_parameters()}
    errors = [vector_error(trained, make_grid("fibonacci", n)) for n in (20, 80, 320)]
    assert all(torch.equal(p, weights[name]) for name, p in trained.named_parameters())
    assert all(fine < coarse / 2 for coarse, fine in pairwise(errors)), errors
    assert errors[-1] < errors[0] / 10
    assert errors[-1] > 1e-9  # approximate still


def test_swapping_in_a_lebedev_rule_needs_its_weights(trained):
    """Sums use quadrature weights: a Lebedev rule without them is a worse grid for the same network."""
    rule = make_grid("lebedev", 146)
    equal = type(rule).from_points(rule.points)
    assert vector_error(trained, rule) < 0.5 * vector_error(trained, equal)


def test_more_points_in_one_place_do_not_lower_the_error(trained):
    """Negative control of the swap: 320 points that are 16 copies of the 20 give the error of the 20."""
    spiral = make_grid("fibonacci", 20)
    copies = type(spiral).from_points(spiral.points.repeat(16, 1))
    assert vector_error(trained, copies) == pytest.approx(vector_error(trained, spiral), rel=1e-9)


# --------------------------------------------------------------------------------------------------- 4. shared classes
def test_a_pair_and_its_reverse_with_opposite_orientation_have_equal_attributes():
    """Attributes of (s → t, o) equal those of (t → s, −o); with the same orientation they differ."""
    r, o = draw(200, 3), units(200, seed=1)
    assert (spatial_invariants(r, o) - spatial_invariants(-r, -o)).abs().max() < 1e-15
    assert (spatial_invariants(r, o) - spatial_invariants(-r, o)).abs().max() > 0.1  # negative control


def test_all_self_loops_share_one_value():
    """At r = 0 every attribute is 0, whatever the orientation, so one kernel serves all self loops."""
    o = units(50, seed=1)
    assert bool((spatial_invariants(torch.zeros(50, 3, dtype=F64), o) == 0).all())
    assert bool((spatial_invariants(1e-3 * draw(50, 3), o) != 0).any())


def nbody_batch(graphs=100, points=5):
    """Complete graphs with self loops, as in the N-body task."""
    one = [Graphs(draw(points, 3, seed=k), torch.ones(points, 1, dtype=F64), vec=draw(points, 1, 3, seed=1000 + k))
           for k in range(graphs)]
    return collate(one)


def rows_evaluated(model, graphs):
    """Rows of attributes that go through the shared kernel basis in one forward pass."""
    rows = []
    hook = model.basis.register_forward_hook(lambda _, inputs, output: rows.append(output[..., 0].numel()))
    with torch.no_grad():
        model(graphs)
    hook.remove()
    return sum(rows)


def test_shared_classes_evaluate_less_than_half_of_the_kernels_of_an_nbody_batch():
    """100 graphs of 5 points, 16 orientations: 16,000 kernel rows (and one for the loops) instead of 40,000."""
    graphs, n = nbody_batch(), 16
    assert graphs.edge_index.shape[1] == 100 * 5 * 5
    half = make_grid("repulsion", n // 2).points
    closed = type(make_grid("cube")).from_points(torch.cat((half, -half)), name="symmetrised")
    assert closed.antipodes() is not None
    config = PonitaConfig(scalars_in=1, vectors_in=1, vectors_out=1, hidden=4, basis=4, layers=1, degree=1)
    model = Ponita(config, closed, seed=0).double()
    assert rows_evaluated(model, graphs) == 100 * (5 * 4 // 2) * n + 1 == 16_001
    model.share_classes = False
    assert rows_evaluated(model, graphs) == 100 * 25 * n == 40_000
    model.share_classes = True
    model.set_grid(make_grid("fibonacci", n))  # negative control: not closed under o -> -o, so nothing is shared
    assert rows_evaluated(model, graphs) == 40_000


@pytest.mark.parametrize("grid", ["cube", "icosahedron", "dodecahedron"])
def test_shared_kernels_equal_plain_ones_in_outputs_and_in_gradients_by_weights(grid):
    """Evaluating one representative per class changes neither outputs nor gradients, to 1e-12."""
    config = PonitaConfig(scalars_in=1, vectors_in=1, vectors_out=1, hidden=8, basis=8, layers=2, degree=2)
    rotation = random_rotations(1, seed=3)[0]
    model = loudly(Ponita(config, make_grid(grid).rotated(rotation), seed=0).double())
    graphs = nbody_batch(3, 4)

    def results():
        model.zero_grad()
        moving = graphs.requires_grad_()
        out = model(moving)
        (out.scalar.sin().sum() + out.vector.square().sum()).backward()
        return [out.scalar, out.vector, moving.pos.grad, *(p.grad for p in model.parameters() if p.grad is not None)]

    shared = [a.detach().clone() for a in results()]
    model.share_classes = False
    for a, b in zip(shared, results(), strict=True):
        assert (a - b).abs().max() < 1e-12 * b.abs().max().clamp(min=1)
    model.share_classes = True
    model.antipodes = model.antipodes.roll(1)  # negative control: kernels shared with wrong partners
    assert max(float((a - b.detach()).abs().max()) for a, b in zip(shared, results(), strict=True)) > 1e-6
