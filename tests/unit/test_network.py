"""The networks: shapes, values and derivatives where batches are difficult; forces; batching; grids; settings."""

import copy
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import torch
from clouds import F64, cloud, hard_batch, hard_parts

from ponita_edu.analysis.equivariance import assert_equivariant
from ponita_edu.data.edges import complete_edges
from ponita_edu.data.graphs import Graphs, collate
from ponita_edu.geometry import Grid, make_grid, random_rotations
from ponita_edu.nn import ponita, spaces
from ponita_edu.nn.baselines import EGNN, EGNNConfig
from ponita_edu.nn.blocks import products
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita

SPACES = {
    "bundle": dict(),
    "full": dict(conv="full"),
    "complete": dict(conv="full", attributes="complete"),  # the complete set of each dimension
    "edges": dict(space="edges"),
    "positions": dict(space="positions"),
    "egnn": dict(),
}
# antipodal, so that kernels are shared; not along the axes, where nothing would be rounded
GRIDS = {2: make_grid("circle", 4).rotated(random_rotations(1, 2, seed=3)[0]),
         3: make_grid("octahedron").rotated(random_rotations(1, 3, seed=3)[0])}
OUTPUTS = {"scalar": (2, 0), "vector": (0, 1), "both": (1, 2)}


def network(space, dim, outputs="both", level="node", **settings):
    scalars, vectors = OUTPUTS[outputs]
    if space == "egnn":
        model = EGNN(EGNNConfig(2, 2, scalars, min(vectors, 1), hidden=8, layers=2, level=level, **settings), seed=0)
    else:
        kind = dict(SPACES[space])
        if kind.get("attributes") == "complete":
            kind["attributes"] = {2: "se2", 3: "se3"}[dim]
        no_vectors = space == "positions"
        config = PonitaConfig(**dict(
            dim=dim, scalars_in=2, vectors_in=0 if no_vectors else 2, scalars_out=2 if no_vectors else scalars,
            vectors_out=0 if no_vectors else vectors, hidden=8, basis=8, layers=2, widening=2, degree=2, level=level,
        ) | kind | settings)
        grid = None
        if config.space == "bundle":
            grid = GRIDS[dim]
        model = Ponita(config, grid, seed=0)
    model = model.double()
    generator = torch.Generator().manual_seed(7)
    for p in model.parameters():  # no weight at a special value, vectors of a fair size
        p.data.add_(0.2 * torch.randn(p.shape, generator=generator, dtype=F64))
    return model


def vectors_of(space):
    return 0 if space == "positions" else 2


def energy_of(prediction):
    """One number that every output enters nonlinearly."""
    return prediction.scalar.sin().sum() + prediction.vector.square().sum()


# ------------------------------------------------------------------------------- shapes, values, derivatives
@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("space", SPACES)
def test_outputs_have_the_shape_that_is_asked_for_and_are_finite(space, dim, level, outputs):
    graphs = hard_batch(dim, vectors=vectors_of(space))
    graphs = graphs._replace(num_graphs=graphs.num_graphs + 1)  # and a graph without nodes
    model = network(space, dim, outputs, level)
    out = model(graphs)
    rows = graphs.num_nodes if level == "node" else graphs.num_graphs
    assert out.scalar.shape == (rows, model.config.scalars_out)
    assert out.vector.shape == (rows, model.config.vectors_out, dim)
    for values in out:
        assert bool(torch.isfinite(values).all()) and (values.numel() == 0 or bool((values.abs() > 1e-4).any()))
    if level == "graph":
        assert bool((out.scalar[-1] == 0).all()) and bool((out.vector[-1] == 0).all())


@pytest.mark.parametrize("mutual", [True, False], ids=["mutual", "directed"])
@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("space", SPACES)
def test_first_and_second_derivatives_are_finite(space, dim, level, mutual):
    graphs = hard_batch(dim, mutual, vectors_of(space)).requires_grad_()
    model = network(space, dim, level=level)
    force = torch.autograd.grad(energy_of(model(graphs)), graphs.pos, create_graph=True)[0]
    loss = (force - 0.1).square().sum()  # as in training on forces
    by_weight = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True, allow_unused=True)
    by_position = torch.autograd.grad(loss, graphs.pos)[0]
    found = [g for g in by_weight if g is not None]
    assert len(found) > 0.6 * len(by_weight)  # a last bias cannot change a force
    for gradient in (force, by_position, *found):
        assert bool(torch.isfinite(gradient).all())
    assert force.abs().max() > 1e-4 and by_position.abs().max() > 1e-4
    assert sum(bool((g != 0).any()) for g in found) > 0.5 * len(found)


def naive_invariants(r, ori):
    along = (r * ori).sum(-1)
    return torch.stack((along, (r - along[..., None] * ori).norm(dim=-1)), dim=-1)


def test_derivatives_need_the_safe_norm(monkeypatch):
    # negative control: with a plain norm, self loops give NaN, and forces are wrong along an orientation, where the
    # rounding of r - (r.o) o gives a direction that means nothing
    monkeypatch.setattr(spaces, "spatial_invariants", naive_invariants)
    graphs = cloud(3, 3, 0).requires_grad_()
    model = network("bundle", 3)
    model.share_classes = False
    force = torch.autograd.grad(energy_of(model(graphs)), graphs.pos, create_graph=True)[0]
    assert not bool(torch.isfinite(torch.autograd.grad(force.square().sum(), graphs.pos)[0]).all())
    gradient, wanted = gradient_and_differences(model, difficult_cloud("parallel", 3))
    assert (gradient - wanted).abs().max() > 1e-3 * wanted.abs().max()


# ------------------------------------------------------------------------------------------------------- forces
def central_differences(function, pos, step):
    """Derivative of a number by each coordinate, or of a tensor (then the last two axes are the coordinates)."""
    columns = []
    for k in range(pos.numel()):
        shift = torch.zeros(pos.numel(), dtype=F64)
        shift[k] = step
        shift = shift.reshape(pos.shape)
        columns.append((function(pos + shift) - function(pos - shift)) / (2 * step))
    return torch.stack(columns, dim=-1).reshape(*columns[0].shape, *pos.shape)


def gradient_and_differences(model, graphs, step=1e-6):
    def energy(pos):
        return energy_of(model(graphs._replace(pos=pos)))

    graphs = graphs.requires_grad_()
    gradient = torch.autograd.grad(energy(graphs.pos), graphs.pos)[0]
    with torch.no_grad():
        return gradient, central_differences(energy, graphs.pos, step)


def difficult_cloud(case, dim, vectors=2):
    """Three points with self loops: in general position, two of them coincident, or along a grid's orientation."""
    graphs = cloud(3, dim, 11, vectors=vectors)
    pos = graphs.pos.clone()
    if case == "coincident":
        pos[1] = pos[0]
    if case == "parallel":
        pos[1] = pos[0] + 1.3 * GRIDS[dim].points[1]
    return graphs._replace(pos=pos)


@pytest.mark.parametrize("case", ["general", "coincident", "parallel"])
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("space", ["bundle", "full", "complete", "positions", "egnn"])
def test_forces_equal_central_differences_at_self_loops_coincident_points_and_along_orientations(space, dim, case):
    # At a kink (|r| at r = 0, |r_perp| at r || o) the derivative is the mean of the one-sided ones, which is also what
    # a central difference tends to, with an error of first order in the step.
    gradient, wanted = gradient_and_differences(network(space, dim), difficult_cloud(case, dim, vectors_of(space)))
    tolerance = 1e-7 if case == "general" else 3e-5
    assert (gradient - wanted).abs().max() < tolerance * wanted.abs().max()


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("case", ["general", "parallel"])
def test_forces_of_lifted_edges_equal_central_differences(dim, case):
    # not where points coincide: an edge of length 0 has no direction and is left out, so energies jump there
    gradient, wanted = gradient_and_differences(network("edges", dim), difficult_cloud(case, dim))
    assert (gradient - wanted).abs().max() < 3e-5 * wanted.abs().max()


def test_force_check_notices_a_detached_position():
    model, graphs = network("bundle", 3), difficult_cloud("general", 3)
    half = model._lift

    def detached(graphs):
        points = half(graphs)
        return points._replace(attributes=0.5 * points.attributes + 0.5 * points.attributes.detach())

    model._lift = detached
    gradient, wanted = gradient_and_differences(model, graphs)
    assert (gradient - wanted).abs().max() > 1e-2 * wanted.abs().max()


@pytest.mark.parametrize("space", ["bundle", "complete", "edges", "positions", "egnn"])
def test_second_derivatives_equal_central_differences_of_forces(space):
    model = network(space, 3)
    graphs = difficult_cloud("general", 3, vectors_of(space))

    def force(pos):
        graphs_at = graphs._replace(pos=pos).requires_grad_()
        return torch.autograd.grad(energy_of(model(graphs_at)), graphs_at.pos)[0]

    hessian = torch.autograd.functional.hessian(lambda pos: energy_of(model(graphs._replace(pos=pos))), graphs.pos)
    wanted = central_differences(force, graphs.pos, 1e-5)
    assert (hessian - wanted).abs().max() < 1e-6 * wanted.abs().max()


# ------------------------------------------------------------------------------------------------------- batching
@pytest.mark.parametrize("mutual", [True, False], ids=["mutual", "directed"])
@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("space", SPACES)
def test_a_graph_gives_the_same_alone_and_in_a_batch(space, dim, level, mutual):
    model = network(space, dim, level=level)
    together = model(hard_batch(dim, mutual, vectors_of(space)))
    alone = [model(part) for part in hard_parts(dim, mutual, vectors_of(space))]
    for key in ("scalar", "vector"):
        apart = torch.cat([getattr(out, key) for out in alone])
        assert apart.shape == getattr(together, key).shape
        assert (apart - getattr(together, key)).abs().max() < 1e-12 if apart.numel() else True


def test_the_batch_check_notices_graphs_that_touch_each_other():
    model = network("bundle", 3)
    first, second = cloud(2, 3, 0), cloud(2, 3, 1)
    joined = Graphs(torch.cat((first.pos, second.pos)), torch.cat((first.x, second.x)),
                    vec=torch.cat((first.vec, second.vec)))  # one graph of four points
    apart = torch.cat((model(first).scalar, model(second).scalar))
    assert (model(joined).scalar - apart).abs().max() > 1e-3


@pytest.mark.parametrize("space", ["bundle", "positions"])
def test_attention_depends_on_the_batch_only_through_the_constant_in_its_denominator(space):
    # As published: exp(l - largest l of the batch) / (sum + 1e-6), so the batch enters at the order of 1e-6 as long as
    # its logits are alike; far below the largest one, the constant is all there is.
    model = network(space, 3, attention=True)
    together = model(hard_batch(3, vectors=vectors_of(space))).scalar
    apart = torch.cat([model(part).scalar for part in hard_parts(3, vectors=vectors_of(space))])
    assert (apart - together).abs().max() < 1e-4
    part, loud = hard_parts(3, vectors=vectors_of(space))[0], cloud(4, 3, 0, vectors=vectors_of(space))
    beside = model(collate([part, loud._replace(x=100 * loud.x)])).scalar[:len(model(part).scalar)]
    assert (beside - model(part).scalar).abs().max() > 1e-3


# ------------------------------------------------------------------------------------- what reaches whom, and how
@pytest.mark.parametrize("space", ["bundle", "full", "positions"])
def test_in_one_layer_a_sender_changes_its_receivers_and_nobody_else(space):
    graphs = cloud(4, 3, 5, edges=[(0, 1), (0, 3), (2, 1), (3, 2)], vectors=vectors_of(space))
    changed = graphs.x.clone()
    changed[0] += 1
    model = network(space, 3, layers=1, level="node")
    seen = (model(graphs._replace(x=changed)).scalar - model(graphs).scalar).abs().amax(1) > 1e-9
    assert seen.tolist() == [True, True, False, True]  # itself, by the residual branch, and the receivers 1 and 3


@pytest.mark.parametrize("space", ["bundle", "full", "positions", "edges"])
def test_kernels_see_the_condition_of_the_sender(space):
    graphs = cloud(4, 3, 5, edges=[(0, 1), (1, 0), (2, 3), (3, 2), (2, 2)], vectors=vectors_of(space), cond=True)
    changed = graphs.cond.clone()
    changed[0] += 1
    model = network(space, 3, layers=1, conditioning=True)
    moved = (model(graphs._replace(cond=changed)).scalar - model(graphs).scalar).abs().amax(1) > 1e-9
    # edge points of node 0 send to the points of 0 and of 1, on the bundle there is no self loop at 0
    assert moved.tolist() == ([True, True, False, False] if space == "edges" else [False, True, False, False])


@pytest.mark.parametrize("space", ["bundle", "full", "positions"])
def test_the_window_makes_energy_and_force_continuous_at_the_cutoff(space):
    radius = 1.5

    def energy_and_force(distance, windowed):
        pos = torch.tensor([[0.0, 0, 0], [0.6, 0.8, 0]], dtype=F64) * torch.tensor([[1.0], [distance]], dtype=F64)
        edges = complete_edges(torch.zeros(2, dtype=torch.long))
        edges = edges[:, (pos[edges[0]] - pos[edges[1]]).norm(dim=1) <= radius]
        model = network(space, 3, radius=radius if windowed else None)
        graphs = Graphs(pos, torch.ones(2, 2, dtype=F64), edges,
                        vec=torch.ones(2, 2, 3, dtype=F64) if vectors_of(space) else None).requires_grad_()
        energy = energy_of(model(graphs))
        return energy.detach(), torch.autograd.grad(energy, graphs.pos, allow_unused=True)[0]

    def jump(windowed):
        (e, f), (e_far, f_far) = (energy_and_force(radius + d, windowed) for d in (-1e-6, 1e-6))
        return float((e - e_far).abs()), float((f - (0 if f_far is None else f_far)).abs().max())

    assert max(jump(True)) < 1e-9
    assert min(jump(False)) > 1e-5  # negative control: a bare cutoff


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("space", ["bundle", "positions"])
def test_sharing_a_kernel_between_a_pair_and_its_reverse_changes_nothing(space, dim):
    model = network(space, dim)
    results = []
    for share in (True, False):
        model.share_classes = share
        graphs = hard_batch(dim, vectors=vectors_of(space)).requires_grad_()
        out = model(graphs)
        results.append((out.scalar, out.vector, torch.autograd.grad(energy_of(out), graphs.pos)[0]))
        evaluated = model._lift(graphs).attributes.shape[0]
        assert (evaluated < graphs.edge_index.shape[1] / 2) == share
    for shared, anew in zip(*results, strict=True):
        assert torch.allclose(shared, anew, rtol=0, atol=1e-12)


@pytest.mark.parametrize("space, directions", [("bundle", 6), ("positions", 1)])
def test_a_pair_and_its_reverse_take_one_evaluation_of_the_kernel(space, directions):
    model, graphs, rows = network(space, 3), Graphs(*(cloud(4, 3, 0).pos, torch.ones(4, 2, dtype=F64))), []
    if space == "bundle":
        graphs = graphs._replace(vec=torch.ones(4, 2, 3, dtype=F64))
    model.basis[1].register_forward_hook(lambda _, given, out: rows.append(out[..., 0].numel()))
    for shared, count in ((True, [4 * 3 // 2 * directions, 1]), (False, [4 * 4 * directions])):  # the 1: of self loops
        model.share_classes = shared
        rows.clear()
        model(graphs)
        assert rows == count
    assert not any(network(space, 3, attention=True).shares for space in ("bundle", "positions"))
    assert not network("full", 3).shares


@pytest.mark.parametrize("space", ["bundle", "positions"])
def test_kernels_are_shared_under_a_condition_only_where_it_is_the_same_at_both_ends(space):
    model = network(space, 3, conditioning=True)
    graphs = hard_batch(3, vectors=vectors_of(space), cond=True)
    levels = torch.linspace(-2, 1, graphs.num_graphs, dtype=F64)[graphs.batch, None]  # one noise level a graph
    for cond, shared in ((levels, True), (graphs.cond, False)):
        batch, out = graphs._replace(cond=cond), {}
        for model.share_classes in (True, False):
            out[model.share_classes] = model(batch)
        model.share_classes = True
        assert (model._lift(batch).loops is not None) == shared
        for a, b in zip(out[True], out[False], strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-12)
        other = model(batch._replace(cond=2 * cond))  # control: the condition matters
        assert (other.scalar - out[True].scalar).abs().max() > 1e-3


@pytest.mark.parametrize("space", ["bundle", "positions"])
def test_order_of_edges_and_loops_does_not_matter_under_a_condition(space):
    model = network(space, 3, conditioning=True)
    graphs = hard_batch(3, vectors=vectors_of(space), cond=True)
    levels = torch.linspace(-2, 1, graphs.num_graphs, dtype=F64)[graphs.batch, None]  # one for each graph: shared
    every = Graphs(graphs.pos, graphs.x, None, graphs.batch, graphs.num_graphs).edge_index  # all nodes have loops
    order = torch.randperm(every.shape[1], generator=torch.Generator().manual_seed(0))
    found = [model(Graphs(graphs.pos, graphs.x, edges, graphs.batch, graphs.num_graphs, vec=graphs.vec, cond=levels))
             for edges in (every, every[:, order])]
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("readout", ["mean", "last"])
def test_constant_features_give_no_vectors_when_the_readout_is_centred(readout):
    # a single point without vectors has no direction to point to
    alone = Graphs(torch.zeros(1, 3, dtype=F64), torch.ones(1, 2, dtype=F64))
    grid = make_grid("fibonacci", 12)
    for centred in (True, False):
        config = PonitaConfig(scalars_in=2, vectors_out=1, hidden=8, basis=8, layers=2, readout=readout,
                              centred_readout=centred)
        leak = Ponita(config, grid, seed=0).double()(alone).vector.norm()
        assert leak < 1e-2 * grid.mean.norm() if centred else leak > 1e-4


# ----------------------------------------------------------------------------------------------- grids and weights
def test_the_grid_can_be_replaced_and_weights_stay():
    model, graphs = network("bundle", 3), cloud(4, 3, 0)
    before = {k: v.clone() for k, v in model.named_parameters()}
    rough = model(graphs).scalar
    fine = []
    for n in (302, 590):
        model.set_grid(make_grid("lebedev", n))
        assert len(model.grid) == n == len(model.ori)
        fine.append(model(graphs).scalar)
    assert all(torch.equal(v, before[k]) for k, v in model.named_parameters())
    assert (fine[0] - fine[1]).abs().max() < 0.1 * (rough - fine[1]).abs().max()  # converged to the integral
    model.set_grid(GRIDS[3])
    assert torch.equal(model(graphs).scalar, rough)


def test_the_grid_is_stored_with_the_weights_and_survives_casts():
    grid = make_grid("repulsion", 9, seed=3)
    config = network("bundle", 3).config
    model, graphs = Ponita(config, grid, seed=1).double(), cloud(4, 3, 0)
    other = Ponita(config, make_grid("icosahedron"), seed=2).double()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(graphs).vector, model(graphs).vector)
    assert len(other.grid) == 9
    assert torch.equal(model.float().double().ori, grid.points)  # not rounded on the way through float32
    assert copy.deepcopy(model).grid.name == grid.name


def test_weights_come_from_the_seed_and_leave_the_global_state_alone():
    config = network("bundle", 3).config
    state = torch.get_rng_state()
    first, again, other = (Ponita(config, seed=seed).embed.weight for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again) and not torch.equal(first, other)


PAPER = dict(scalars_in=1, vectors_in=1, scalars_out=0, vectors_out=1)


def test_the_papers_nbody_network_has_16_orientations_and_5_layers():
    model = Ponita(PonitaConfig(**PAPER), make_grid("fibonacci", 16), seed=0)
    assert len(model.grid) == 16 and model.config.layers == len(model.blocks) == 5


@pytest.mark.parametrize("distinct", [False, True])
def test_number_of_parameters_is_known_before_the_first_forward(distinct):
    c = PonitaConfig(**PAPER, distinct_monomials=distinct)

    def dense(widths, bias=True):
        return sum(a * b + (b if bias else 0) for a, b in pairwise(widths))

    spatial = 9 if distinct else 2 + 4 + 8  # monomials of two attributes up to degree 3
    block = 2 * 256 * 128 + 128 + 2 * 128 + dense((128, 512, 128))  # two kernels, bias, norm, pointwise MLP
    wanted = dense((spatial, 128, 256)) + dense((3, 128, 256)) + 2 * 128 + 5 * block + 5 * dense((128, 1))
    assert Ponita(c, seed=0).num_parameters == wanted


def test_layer_scale_at_zero_leaves_only_the_embedding():
    model, graphs = network("bundle", 3, layers=2, layer_scale=0.5), cloud(3, 3, 0)
    for block in model.blocks:
        block.layer_scale.data.zero_()
    far = graphs._replace(pos=graphs.pos * 2)
    assert torch.equal(model(far).scalar, model(graphs).scalar)
    model.blocks[0].layer_scale.data.fill_(0.5)
    assert (model(far).scalar - model(graphs).scalar).abs().max() > 1e-4


def test_float32_differs_from_float64_by_rounding_only():
    graphs = cloud(4, 3, 0).rotate(random_rotations(1, seed=1)[0])
    for space in ("bundle", "edges"):
        model = network(space, 3)
        exact = model(graphs)
        rounded = copy.deepcopy(model).float()(graphs.to(torch.float32))
        for a, b in zip(exact, rounded, strict=True):
            assert (a - b).abs().max() < 1e-5 * a.abs().max()


@pytest.mark.parametrize("edge_chunk", [None, 5])
@pytest.mark.parametrize("space", ["bundle", "positions"])
def test_the_derivative_by_a_condition_goes_to_the_node_that_has_it(space, edge_chunk):
    model = network(space, 3, conditioning=True)
    graphs = hard_batch(3, vectors=vectors_of(space), cond=True)
    model.recompute(edge_chunk=edge_chunk)
    found = []
    for model.share_classes in (True, False):
        cond = torch.full_like(graphs.cond, 0.3).requires_grad_()  # the same at both ends of every edge
        found.append(torch.autograd.grad(energy_of(model(graphs._replace(cond=cond))), cond)[0])
    assert torch.allclose(*found, rtol=0, atol=1e-12) and found[0].std() > 1e-3
    with torch.no_grad():
        model.share_classes = True
        assert model._lift(graphs._replace(cond=cond)).loops is not None  # where nobody asks, kernels are shared


# ------------------------------------------------------------------------------------------- loading, adapters, seeds
def uneven(n=20):
    points = make_grid("fibonacci", n).points
    return Grid.from_points(points, torch.softmax(torch.randn(n, generator=torch.Generator().manual_seed(0)), 0))


@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
def test_loaded_weights_of_a_grid_stay_and_nobody_elses_change(dtype):
    config, graphs = PonitaConfig(1, hidden=8, basis=8, layers=1), Graphs(torch.randn(5, 3), torch.ones(5, 1)).to(dtype)
    shared = make_grid("fibonacci", 20)
    points, weights = shared.points.clone(), shared.weights.clone()
    wanted = Ponita(config, uneven(), seed=0).to(dtype)
    loaded, other = (Ponita(config, shared, seed=0).to(dtype) for _ in range(2))
    before = other(graphs).scalar
    loaded.load_state_dict(wanted.state_dict())
    for model in (loaded, loaded.to(dtype), copy.deepcopy(loaded)):
        assert torch.equal(model(graphs).scalar, wanted(graphs).scalar)
    assert torch.equal(other(graphs).scalar, before) and not torch.allclose(before, wanted(graphs).scalar, rtol=0.01)
    assert torch.equal(shared.points, points) and torch.equal(shared.weights, weights)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16], ids=str)
def test_a_grid_that_was_stored_in_fewer_digits_is_the_same_grid(stored):
    config = PonitaConfig(1, hidden=8, basis=8, layers=1)
    fresh = copy.deepcopy(make_grid("dodecahedron"))
    state = Ponita(config, seed=0).to(stored).state_dict()
    model = Ponita(config, seed=1).double()
    model.load_state_dict(state)
    assert model.grid.name == "dodecahedron" and len(model.grid.symmetries()[0]) == 60
    whole = make_grid("dodecahedron")  # not rounded, and nobody's grid was written into
    for grid in (whole, model.grid, Grid(model.ori, model.ori_weights)):
        assert torch.equal(grid.points, fresh.points) and torch.equal(grid.weights, fresh.weights)
    graphs = Graphs(torch.randn(5, 3, dtype=F64), torch.ones(5, 1, dtype=F64))
    assert_equivariant(model, graphs, "grid")
    turned = Ponita(config, make_grid("dodecahedron").rotated(random_rotations(1, seed=0)[0]), seed=0).float()
    model.load_state_dict(turned.state_dict())  # another grid, whose rounded points have no exact symmetry
    assert model.grid.name == "stored" and float((model.ori.norm(dim=1) - 1).abs().max()) < 1e-15
    with pytest.raises(ValueError, match="identity only"):
        assert_equivariant(model, graphs, "grid")


@pytest.mark.parametrize("stored, digits", [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)], ids=str)
def test_another_grid_that_was_stored_in_16_bits_is_taken_over(stored, digits):
    config, graphs = PonitaConfig(1, hidden=8, basis=8, layers=1), Graphs(torch.randn(5, 3), torch.ones(5, 1))
    wanted = Ponita(config, uneven(), seed=0).to(stored)
    model = Ponita(config, seed=1)
    model.load_state_dict(wanted.state_dict())
    assert len(model.grid) == 20 and float((model.ori - uneven().points).abs().max()) < digits
    assert float((model.ori.norm(dim=1) - 1).abs().max()) < 1e-6 and abs(float(model.ori_weights.sum()) - 1) < 1e-6
    torch.testing.assert_close(model(graphs).scalar, wanted.float()(graphs).scalar, rtol=4 * digits, atol=digits)
    with pytest.raises(ValueError, match="unit vectors"):  # negative control: not every array is a grid
        model.load_state_dict(wanted.to(stored).state_dict() | {"ori": (1.1 * uneven().points).to(stored)})


@pytest.mark.parametrize("grid", [uneven(), None], ids=["another grid", "the same grid"])
@pytest.mark.parametrize("stored", [torch.float32, F64], ids=str)
def test_assigned_weights_bring_their_precision_to_the_grid(stored, grid):
    config, graphs = PonitaConfig(1, hidden=8, basis=8, layers=1), Graphs(torch.randn(5, 3), torch.ones(5, 1))
    wanted = Ponita(config, grid, seed=0).to(stored)
    for dtype in (torch.float32, F64):
        model = Ponita(config, seed=1).to(dtype)
        model.load_state_dict(wanted.state_dict(), assign=True)
        assert model.ori.dtype == model.ori_weights.dtype == stored
        assert torch.equal(model(graphs.to(stored)).scalar, wanted(graphs.to(stored)).scalar)


@pytest.mark.parametrize("angle", [1e-7, 1e-3])
def test_a_grid_that_is_nearly_the_same_is_another_grid(angle):
    turn = torch.linalg.matrix_exp(angle * torch.tensor([[0, 1.0, 2], [-1, 0, 0], [-2, 0, 0]], dtype=F64))
    config = PonitaConfig(1, hidden=8, basis=8, layers=1)
    for grid in (make_grid("dodecahedron").rotated(turn),
                 Grid.from_points(make_grid("dodecahedron").points, torch.softmax(angle * torch.arange(20.0), 0))):
        wanted, model = Ponita(config, grid, seed=0).double(), Ponita(config, seed=0).double()
        model.load_state_dict(wanted.state_dict())
        assert model.grid.name == "stored"
        assert torch.equal(model.ori, wanted.ori) and torch.equal(model.ori_weights, wanted.ori_weights)


class Adapter(torch.nn.Linear):
    """A low-rank addition to a map whose own weights rest, as adapters do it."""

    def __init__(self, base):
        super().__init__(base.in_features, base.out_features, bias=False)
        self.weight = base.weight
        self.more = torch.nn.Parameter(0.1 * torch.randn(base.out_features, base.in_features))

    def forward(self, x):
        return super().forward(x) + x @ self.more.T


@pytest.mark.parametrize("nodes", [5, 40])
@pytest.mark.parametrize("how", ["adapter", "hook", "pre-hook"])
def test_adapters_and_hooks_on_a_kernel_count_however_many_edges(nodes, how):
    model = Ponita(PonitaConfig(1, hidden=8, basis=8, layers=2), seed=0).double()
    graphs = Graphs(torch.randn(nodes, 3, dtype=F64), torch.ones(nodes, 1, dtype=F64))
    bare = model(graphs).scalar
    for block in model.blocks:
        if how == "adapter":
            block.conv.spatial.kernel = Adapter(block.conv.spatial.kernel).double()
        elif how == "pre-hook":
            block.conv.spatial.kernel.register_forward_pre_hook(lambda module, given: (given[0] + 0.1,))
        else:
            block.conv.spatial.kernel.register_forward_hook(lambda module, given, out: out + 0.1)
    with torch.no_grad():
        still = model(graphs).scalar
    out = model(graphs).scalar
    assert torch.allclose(out, still, rtol=1e-10, atol=1e-12) and not torch.allclose(out, bare, rtol=1e-3)
    if how == "adapter":
        assert torch.autograd.grad(out.sum(), model.blocks[0].conv.spatial.kernel.more)[0].norm() > 0


def test_calibration_leaves_no_hook_behind_also_where_it_fails(monkeypatch):
    model, graphs = network("bundle", 3), cloud(4, 3, 0)
    model.calibrate(graphs)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(model.readouts[0], "forward", lambda h: 1 / 0)
        model.calibrate(graphs)
    assert not any(m._forward_hooks for m in model.modules())


def test_the_backward_pass_makes_again_what_recompute_says_and_nothing_else(monkeypatch):
    model, graphs, calls = network("bundle", 3), cloud(4, 3, 0), []
    monkeypatch.setattr(ponita, "worth_blocks", lambda basis: basis.numel() > 0)
    monkeypatch.setattr(ponita, "products", lambda *a: calls.append("all layers' kernels") or products(*a))
    model.basis[1].register_forward_hook(lambda *_: calls.append("basis"))
    model.blocks[1].linear_1.register_forward_hook(lambda *_: calls.append("block"))

    def made():
        calls.clear()
        energy = energy_of(model(graphs))
        forward = set(calls)
        calls.clear()
        torch.autograd.grad(energy, tuple(model.parameters()), allow_unused=True)
        return forward, set(calls)

    everything = {"basis", "block", "all layers' kernels"}
    assert made() == (everything, set())
    for how in ({}, {"edge_chunk": 4}):
        model.recompute(**how)
        assert made() == ({"basis", "block"}, {"basis", "block"})
    model.recompute(False)
    assert made() == (everything, set())


def test_a_seed_gives_the_same_weights_in_every_thread():
    with ThreadPoolExecutor(4) as pool:
        networks = pool.map(lambda _: Ponita(PonitaConfig(1, hidden=8, basis=8), seed=3), range(40))
        found = {float(network.embed.weight.detach().sum()) for network in networks}
    assert len(found) == 1
