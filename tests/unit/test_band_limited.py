"""Band-limited networks: exact to rounding on 38 fixed orientations, and what is not."""

import pytest
import torch

from ponita_edu.analysis import band_limited as bl
from ponita_edu.analysis.equivariance import assert_equivariant, equivariance_error
from ponita_edu.analysis.equivariance_table import random_clouds
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry import make_grid
from ponita_edu.nn.band_limited import spatial_basis
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita


def moved(model):
    """In float64, with weights that no symmetry of the initial ones could help."""
    model = model.double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=p.dtype))
    return model


def errors(arm, seed=0):
    model = moved(bl.make_network(arm, seed))
    return model, equivariance_error(model, random_clouds(), "E", count=4).outputs["vector"].worst


def test_band_limited_network_is_exact_for_all_motions_on_a_fixed_grid():
    model, error = errors("band-limited, 38")
    assert error < 1e-13
    assert_equivariant(model, random_clouds(), "SE")


def network(limit, seed=0, **settings):
    """A network with any weights, float64, on its default grid."""
    config = PonitaConfig(scalars_in=1, vectors_in=1, scalars_out=1, vectors_out=1, hidden=6, basis=9, layers=2,
                          widening=2, band_limit=limit, **settings)
    return moved(Ponita(config, seed=seed))


def worst(model, graphs):
    return max(e.worst for e in equivariance_error(model, graphs, "E", count=3).outputs.values())


@pytest.mark.parametrize("limit, smaller", [(1, 6), (2, 26), (3, 50), (4, 86)])
def test_network_is_exact_on_its_default_grid_and_not_on_a_smaller_one(limit, smaller):
    model = network(limit)
    assert worst(model, random_clouds()) < 1e-13
    model.set_grid(make_grid("lebedev", smaller))
    assert worst(model, random_clouds()) > 1e-9  # the control


@pytest.mark.parametrize("settings", [{"layer_scale": 0.5}, {"radius": 2.5}, {"readout": "last", "level": "graph"},
                                      {"conditioning": True}])
def test_it_stays_exact_with_other_settings(settings):
    graphs = random_clouds()
    if "conditioning" in settings:
        cond = torch.rand(graphs.num_nodes, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        graphs = graphs._replace(cond=cond)
        changed = network(2, **settings)(graphs._replace(cond=cond + 0.5)).scalar
        assert not torch.allclose(network(2, **settings)(graphs).scalar, changed)  # it is seen
    assert worst(network(2, **settings), graphs) < 1e-13


@pytest.mark.parametrize("conditioning", [False, True])
def test_second_derivatives_are_differences_of_forces_along_an_orientation_too(conditioning):
    model, step = network(1, conditioning=conditioning), 1e-4
    pos = torch.tensor([[0.0, 0, 0], [0, 0, 1.1], [0, 0, -1.2]], dtype=torch.float64)  # the grid holds ±z
    ones = torch.ones(3, 1, dtype=torch.float64)

    def forces(pos):
        graphs = Graphs(pos, ones, vec=ones[:, :, None] * pos.new_tensor([0.3, -0.2, 0.5]),
                        cond=0.7 * ones if conditioning else None).requires_grad_()
        return torch.autograd.grad(model(graphs).scalar.sum(), graphs.pos, create_graph=True)[0], graphs.pos

    force, at = forces(pos)
    for i, k in ((0, 0), (1, 1), (2, 2)):
        change = torch.zeros_like(pos)
        change[i, k] = step
        wanted = (forces(pos + change)[0] - forces(pos - change)[0]) / (2 * step)
        found = torch.autograd.grad(force[i, k], at, retain_graph=True)[0]
        assert float((found - wanted).detach().norm()) < 1e-6 * float(wanted.detach().norm())


def test_fast_paths_change_nothing():
    model, graphs = network(2), random_clouds()

    def answer():
        moving = graphs.requires_grad_()
        out = model(moving)
        return out.scalar, out.vector, *torch.autograd.grad(out.scalar.sum() + out.vector.square().sum(),
                                                            [moving.pos, *model.parameters()], allow_unused=True)

    plain = answer()
    for change in (model.recompute, lambda: model.recompute(edge_chunk=7),
                   lambda: setattr(model, "share_classes", False), lambda: model.recompute(False)):
        change()
        for now, then in zip(answer(), plain, strict=True):
            assert now is then is None or torch.allclose(now, then, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("settings, match", [
    ({"band_limit": 0}, "band_limit must be an integer of at least 1, but is 0"),
    ({"band_limit": 5}, "band_limit must be an integer of at most 4, but is 5"),
    ({"band_limit": 2, "conv": "full"}, "conv is 'full'"), ({"band_limit": 2, "space": "edges"}, "space 'edges'"),
    ({"band_limit": 2, "dim": 2}, "dim 2"), ({"band_limit": 2, "attention": True}, "attention True. Use None"),
])
def test_refuses_what_cannot_be_band_limited(settings, match):
    with pytest.raises(ValueError, match=match):
        PonitaConfig(scalars_in=1, **settings)


@pytest.mark.parametrize("arm", ["PONITA, 38", "kernels only, 38", "band-limited, 14"])
def test_controls_are_not(arm):
    assert errors(arm)[1] > 1e-6


def test_grid_must_be_exact_to_degree_eight():
    model = bl.make_network("band-limited, 38").double()
    for n, exact in ((26, False), (38, True), (50, True)):
        model.set_grid(make_grid("lebedev", n))
        assert (equivariance_error(model, random_clouds(), "SO", count=2).outputs["vector"].worst < 1e-13) == exact, n


def test_spatial_basis_has_no_direction_at_the_origin_and_a_gradient_there():
    basis = spatial_basis(8, 9, 2).double()
    attributes = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    phi = basis(attributes)
    assert phi[0, [1, 2, 4, 5, 7, 8]].abs().max() == 0 < phi[0, [0, 3, 6]].abs().max()
    phi.sum().backward()
    assert torch.isfinite(attributes.grad).all()
    window = torch.tensor([0.5], dtype=torch.float64)
    assert torch.allclose(basis(attributes, window), phi / 2)


def test_training_lowers_the_error_and_keeps_the_claim(tmp_path, monkeypatch):
    monkeypatch.setenv("PONITA_EDU_DATA", str(tmp_path))
    little, more = (bl.measure("band-limited, 38", steps=steps, train_size=60, test_size=30) for steps in (1, 40))
    assert more["mse"] < 0.8 * little["mse"] and more["trained"] < 1e-12 and more["orientations"] == 38


def test_summary_has_an_interval_over_seeds_and_the_worst_error():
    rows = [{"arm": "a", "mse": m, "untrained": 0.1, "trained": e} for m, e in ((1.0, 0.0), (2.0, 0.3), (3.0, 0.2))]
    found = bl.summary(rows)["a"]
    assert found["mse"] == 2 and found["half_width"] == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert found["equivariance"] == 0.3 and bl.summary(rows[:1])["a"]["half_width"] is None


def test_refuses_an_unknown_arm():
    with pytest.raises(ValueError, match="arm must be one of PONITA, 12"):
        bl.make_network("PONITA, 11")
