"""The steerable network: exact equivariance, constants of full precision, smooth forces, and what its order decides."""

import math
import sys

import pytest
import torch
from clouds import F64, cloud, hard_batch

from ponita_edu.analysis.equivariance import EquivarianceError, assert_equivariant
from ponita_edu.data.edges import without_self_loops
from ponita_edu.data.graphs import Graphs

e3nn = pytest.importorskip("e3nn", reason="the steerable network needs e3nn (extra 'compare')")
from ponita_edu.nn.steerable import Steerable, SteerableConfig  # noqa: E402

TOL = 1e-12  # the promise is 1e-10


def network(**settings):
    config = SteerableConfig(**dict(scalars_in=2, vectors_in=2, scalars_out=2, vectors_out=2, hidden=4, basis=8,
                                    layers=2) | settings)
    model = Steerable(config, seed=0).double()
    for name, p in model.named_parameters():
        if "kernel" in name or "mix" in name or "own" in name:
            p.data.mul_(2.0)  # so that a break would show
    return model


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_steerable_is_equivariant_to_motions_and_reflections(l_max):
    report = assert_equivariant(network(l_max=l_max), hard_batch(3), "E", tol=TOL)
    assert min(o.size for o in report.outputs.values()) > 0.1, "an output that is 0 proves nothing"
    assert_equivariant(network(l_max=l_max, level="graph", radius=2.0), hard_batch(3, mutual=False), "E", tol=TOL)


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_all_products_together_see_mirror_images_and_are_equivariant_to_motions(l_max):
    model = network(l_max=l_max, group="se3")
    assert_equivariant(model, hard_batch(3), "SE", tol=TOL)
    with pytest.raises(EquivarianceError):
        assert_equivariant(model, hard_batch(3), "E", tol=1e-3)


def test_equivariance_needs_constants_of_full_precision():
    model, rounded = network(l_max=3), network(l_max=3)
    for p in range(len(rounded.paths)):
        exact = getattr(rounded, f"coupling_{p}")
        exact.copy_(exact.float())
    with pytest.raises(EquivarianceError):
        assert_equivariant(lambda graphs: rounded(graphs), hard_batch(3), "SE", tol=1e-10)
    there_and_back = network(l_max=3).float().double()  # rounds the weights only
    there_and_back.load_state_dict(model.state_dict())
    assert {b.dtype for b in there_and_back.buffers() if b.is_floating_point()} == {F64}
    assert torch.equal(there_and_back(hard_batch(3)).scalar, model(hard_batch(3)).scalar)


def test_a_model_left_in_float32_is_equivariant_to_its_rounding():
    model = network(l_max=3).float()
    assert model(hard_batch(3).to(torch.float32)).vector.dtype == torch.float32
    report = assert_equivariant(model, hard_batch(3).to(torch.float32), "SE", tol=1e-4, dtype=None)
    assert report.excess() > 1e-9


def energy(model, pos):
    graphs = cloud(4, 3, 0)
    return model(graphs._replace(pos=pos)).scalar[0, 0]


@pytest.mark.parametrize("l_max", [1, 3])
def test_forces_are_derivatives_of_the_energy_and_can_be_differentiated(l_max):
    model = network(l_max=l_max, level="graph", vectors_out=0, radius=2.5, layers=1, hidden=2)
    pos = cloud(4, 3, 0).pos.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda p: energy(model, p), pos)
    assert torch.autograd.gradgradcheck(lambda p: energy(model, p), pos)


def test_forces_of_coincident_points_are_finite_in_every_derivative():
    model, graphs = network(l_max=3), hard_batch(3).requires_grad_()
    force, = torch.autograd.grad(model(graphs).scalar.sum(), graphs.pos, create_graph=True)
    loss = force.square().sum()
    for gradient in torch.autograd.grad(loss, [graphs.pos, *model.parameters()], allow_unused=True):
        assert gradient is None or bool(gradient.isfinite().all())


def test_energy_is_continuous_where_a_neighbour_passes_the_cutoff():
    model = network(l_max=2, radius=1.0, vectors_in=0, scalars_in=0, vectors_out=0)

    def at(distance):
        pos = torch.tensor([[0, 0, 0], [0, 0, distance]], dtype=F64)
        return model(Graphs(pos, pos[:, :0])).scalar

    assert (at(1 - 1e-6) - at(5.0)).abs().max() < 1e-12 < 1e-4 < (at(0.5) - at(5.0)).abs().max()


def two_rings(fold, twist):
    """A centre joined to two rings of ``fold`` points above and below, one of them turned by ``twist``."""
    angle = torch.arange(fold, dtype=F64) * 2 * math.pi / fold
    rings = [torch.stack((torch.cos(angle + t), torch.sin(angle + t), torch.full_like(angle, z)), dim=-1)
             for t, z in ((0.0, 0.8), (twist, -0.8))]
    pos = torch.cat([torch.zeros(1, 3, dtype=F64), *rings])
    ring = torch.arange(1, len(pos))
    edges = torch.cat((torch.stack((ring, 0 * ring)), torch.stack((0 * ring, ring))), dim=1)
    return Graphs(pos, torch.ones(len(pos), 1, dtype=F64), edges)


@pytest.mark.parametrize("fold", [2, 3, 4])
@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_a_centre_sees_how_rings_are_turned_only_with_orders_up_to_their_symmetry(fold, l_max):
    model = network(l_max=l_max, scalars_in=1, vectors_in=0, vectors_out=0, layers=3)
    eclipsed, staggered = (model(two_rings(fold, twist)).scalar for twist in (0.0, math.pi / fold))
    gap = (eclipsed - staggered).abs().max()
    assert gap > 1e-6 if l_max >= fold else gap < 1e-13


def test_steerable_leaves_self_loops_out_and_sums_over_graphs():
    graphs = hard_batch(3)
    bare = graphs._replace(edge_index=without_self_loops(graphs.edge_index))
    nodes, whole = network()(graphs), network(level="graph")(bare)
    for a, b in zip(nodes, whole, strict=True):
        for k in range(graphs.num_graphs):
            assert torch.allclose(b[k], a[graphs.batch == k].sum(0), atol=1e-13)


def test_steerable_weights_come_from_the_seed_and_leave_the_global_state_alone():
    state = torch.get_rng_state()
    first, again, other = (Steerable(SteerableConfig(), seed=seed).embed.weight for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_without_e3nn_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "e3nn", None)
    with pytest.raises(ImportError, match=r"ponita_edu\[compare\]"):
        Steerable(SteerableConfig())
