"""Band-limited networks: exact to rounding on 38 fixed orientations, and what is not."""

import pytest
import torch

from ponita_edu.analysis import band_limited as bl
from ponita_edu.analysis.equivariance import assert_equivariant, equivariance_error
from ponita_edu.analysis.equivariance_table import random_clouds
from ponita_edu.geometry import make_grid


def errors(arm, seed=0):
    model = bl.make_network(arm, seed).double()
    with torch.no_grad():
        for p in model.parameters():  # weights that no symmetry of the initial ones could help
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=p.dtype))
    return model, equivariance_error(model, random_clouds(), "E", count=4).outputs["vector"].worst


def test_band_limited_network_is_exact_for_all_motions_on_a_fixed_grid():
    model, error = errors("band-limited, 38")
    assert error < 1e-13
    assert_equivariant(model, random_clouds(), "SE")


@pytest.mark.parametrize("arm", ["PONITA, 38", "kernels only, 38", "band-limited, 14"])
def test_controls_are_not(arm):
    assert errors(arm)[1] > 1e-6


def test_grid_must_be_exact_to_degree_eight():
    model = bl.make_network("band-limited, 38").double()
    for n, exact in ((26, False), (38, True), (50, True)):
        model.set_grid(make_grid("lebedev", n))
        assert (equivariance_error(model, random_clouds(), "SO", count=2).outputs["vector"].worst < 1e-13) == exact, n


def test_spatial_basis_has_no_direction_at_the_origin_and_a_gradient_there():
    basis = bl.SpatialBasis(8, 9).double()
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
