"""How many orientations: spectra, the law and the bound of one layer, the prediction for a network, its pictures."""

import json

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre

from ponita_edu.analysis import orientation_bound as ob
from ponita_edu.analysis.orientation_networks import nbody, qm9_property, untrained
from ponita_edu.analysis.orientation_parts import on_sphere
from ponita_edu.analysis.sphere_spectra import (
    bandwidth,
    by_degree,
    degree_power,
    fiber_power,
    harmonics,
    legendre_power,
    spatial_power,
)
from ponita_edu.geometry import make_grid, random_rotations
from ponita_edu.nn import Ponita, PonitaConfig

FINE = make_grid("lebedev", 302)


# ------------------------------------------------------------------------------------------------------------- spectra
def test_harmonics_are_orthonormal_for_the_mean_over_the_sphere():
    y = harmonics(FINE.points, 10)
    gram = y.T @ (FINE.weights[:, None] * y)
    assert (gram - torch.eye(121)).abs().max() < 1e-12
    coarse = harmonics(make_grid("icosahedron").points, 10)
    assert ((coarse.T @ coarse) / 12 - torch.eye(121)).abs().max() > 0.1  # control: 12 points cannot tell them apart


def test_power_of_known_functions_and_of_turned_ones():
    z = FINE.points[:, 2]
    f = torch.stack((1 + z, z**2))
    assert torch.allclose(degree_power(f, FINE, 3), torch.tensor([[1, 1 / 3, 0, 0], [1 / 9, 0, 4 / 45, 0]]).double())
    turned = FINE.points @ random_rotations(1, 3, seed=3)[0][2]
    assert torch.allclose(degree_power(1 + turned, FINE, 3), degree_power(f[0], FINE, 3))


def test_legendre_power_of_a_zonal_kernel_is_its_power_on_the_sphere():
    def kernel(t):
        return torch.stack((t**3 + 0.5 * t, (2 * t).exp()), dim=-1)

    on_grid = degree_power(kernel(FINE.points @ FINE.points[5]).T, FINE, 8).T
    assert torch.allclose(legendre_power(kernel, 8), on_grid, atol=1e-10)


def test_kink_of_the_distance_to_the_axis_has_power_of_degree_to_the_minus_five():
    power = legendre_power(lambda t: (1 - t * t).sqrt(), 40, nodes=2000)
    even = np.arange(10, 41, 2)
    slope = np.polyfit(np.log(even), np.log(power[even].numpy()), 1)[0]
    assert slope == pytest.approx(-5, abs=0.3) and power[1::2].max() < 1e-20
    assert legendre_power(lambda t: 1 - t * t, 40)[3:].max() < 1e-25  # control: smooth, and of degree 2


def test_bandwidth_counts_degrees_above_zero():
    power = torch.tensor([100.0, 0.9, 0.0, 0.095, 0.005])
    assert bandwidth(power) == 3 and bandwidth(power, 0.999) == 4 and bandwidth(power, 0.5) == 1
    with pytest.raises(ValueError, match="above degree 0"):
        bandwidth(power[:1])


def test_spherical_kernels_are_smooth_and_spatial_ones_are_not():
    model, graphs = untrained()
    fiber, spatial = (p / p[:, 1:].sum(1, keepdim=True) for p in (fiber_power(model), spatial_power(model, graphs)))
    assert fiber[:, 15:].sum(1).max() < 1e-8 and spatial[:, 15:].sum(1).min() > 1e-5


# ------------------------------------------------------------------------------------------------------ law, one layer
def test_law_is_the_mean_square_over_rotations_of_any_grid():
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn(49, generator=generator, dtype=torch.float64)
    grid = make_grid("fibonacci", 9)
    wrong = torch.stack([(harmonics(grid.points @ r.T, 6) @ coefficients * grid.weights).sum() - coefficients[0]
                         for r in random_rotations(1500, 3, generator=generator)])
    expected = float(ob.squared_errors(grid, 6)[:-1] @ by_degree(coefficients.square()))
    assert float(wrong.square().mean()) == pytest.approx(expected, rel=0.1)
    other = float(ob.squared_errors(make_grid("fibonacci", 20), 6)[:-1] @ by_degree(coefficients.square()))
    assert expected > 2 * other  # control
    reach = by_degree(coefficients.square()).sqrt() * (2 * torch.arange(7) + 1).sqrt()
    assert wrong.abs().max() <= float(reach @ ob.squared_errors(grid, 6)[:-1].sqrt())


def test_a_design_makes_no_error_up_to_its_degree():
    errors = ob.squared_errors(make_grid("icosahedron"), 6)
    assert errors[:6].max() < 1e-28 and errors[6] > 0.01 and errors[7] == pytest.approx(1 / 12)


def test_law_and_bound_hold_for_every_layer():
    rows = ob.layer_rows(*untrained(), [make_grid("fibonacci", 12), make_grid("lebedev", 26)], 8, 302, 14)
    assert len(rows) == 6
    for row in rows:
        assert row.law == pytest.approx(row.measured, rel=0.25) and row.largest < row.bound, row
    assert rows[0].law > 2 * rows[3].measured  # control: the law tells the grids apart


# ------------------------------------------------------------------------------------------------------------- network
def test_directions_of_weight_zero_ride_along_and_disturb_nothing_unless_told():
    model, graphs = untrained()
    grid, coarse = make_grid("lebedev", 50), make_grid("fibonacci", 7)
    alone, with_others, disturbed = (on_sphere(model, graphs, grid, *more) for more in ((), (coarse,), (coarse, 1)))
    for key, value in alone.outputs.items():
        assert torch.allclose(with_others.outputs[key], value, atol=1e-13)
        assert (disturbed.outputs[key] - value).norm() > 1e-3 * value.norm()
    assert with_others.blocks[0].y.shape[1] == 57 and disturbed.added > 0 == with_others.added
    direct = model.double()
    direct.set_grid(coarse)
    assert not torch.allclose(direct(graphs).scalar, alone.outputs["scalar"], atol=1e-6)


@pytest.fixture(scope="module")
def predicted():
    model, graphs = untrained()
    return model, graphs, ob.predict(model, graphs, 302, 14, turns=1)


def test_network_errors_are_predicted_to_a_factor_of_three(predicted):
    rows = ob.network_rows(*predicted, {"fibonacci": (12, 60), "lebedev": (50,)}, rotations=3)
    assert {row.output for row in rows} == {"scalar", "vector"}
    for row in rows:
        assert 1 / 3 < row.measured / row.predicted < 3, row
    first, *_, last = rows
    assert first.predicted / last.measured > 5  # control: a prediction for another grid is off by more


def test_enough_is_the_least_size_from_which_on_the_error_is_small(predicted):
    prediction = predicted[2]
    n = prediction.enough(0.02, "scalar")
    assert prediction.error(make_grid("lebedev", n), "scalar") <= 0.02
    smaller = max(k for k in ob.SIZES["lebedev"] if k < n)
    assert prediction.error(make_grid("lebedev", smaller), "scalar") > 0.02
    assert prediction.enough(1e-9, "scalar") is None


@pytest.mark.parametrize("make", [nbody, lambda: qm9_property("U0_atom")])
def test_trained_networks_in_the_package_can_be_predicted(make, tmp_path, monkeypatch):
    monkeypatch.setenv("PONITA_EDU_DATA", str(tmp_path))
    model, graphs = make()
    prediction = ob.predict(model, graphs, 194, 10, turns=1)
    (output,) = prediction.readouts
    row, = ob.network_rows(model, graphs, prediction, {"lebedev": (26,)}, rotations=2)
    assert row.output == output and 1 / 5 < row.measured / row.predicted < 5


def test_refuses_networks_without_a_grid():
    with pytest.raises(ValueError, match="no such sum over a grid"):
        ob.predict(Ponita(PonitaConfig(1, space="positions")), untrained()[1])


def test_smooth_attribute_errs_less_than_the_one_with_a_kink():
    kink, smooth = ob.kink_laws(sizes=(14, 26, 50), networks=1, fine=302, degree=14)
    assert all(a[0] > 1.5 * b[0] for a, b in zip(kink["errors"], smooth["errors"], strict=True))
    assert len(kink["power"]) == 15 and kink["slope"] < -1


def test_command_writes_what_the_notebook_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(ob, "kink_laws", lambda **settings: [])
    monkeypatch.setattr(ob, "study", lambda *parts, **settings: {"off": 1, "bandwidth": 2, "enough": len(settings),
                                                                 "parts": len(parts)})
    out = tmp_path / "bound.json"
    ob.main(["--networks", "random clouds, untrained", "--out", str(out)])
    content = json.loads(out.read_text())
    assert content["networks"]["random clouds, untrained"]["parts"] == 2
    assert {"commit", "versions", "command", "processor_minutes"} <= content.keys()


# ------------------------------------------------------------------------------------------------------------ pictures
def test_pictures_show_every_row_and_spectrum():
    viz = pytest.importorskip("ponita_edu.viz.orientations", reason="the course extra is not installed")
    rows = [ob.NetworkRow("scalar", "fibonacci", 12, 0.1, 0.12), ob.NetworkRow("scalar", "cube", 8, 0.2, 0.1)]
    axes, = viz.plot_expected({"one": rows, "two": [rows[0]._asdict()]}).axes
    drawn = [line.get_xydata()[0].tolist() for line in axes.lines if len(line.get_xydata()) == 1]
    assert drawn == [[0.1, 0.12], [0.2, 0.1], [0.1, 0.12]]
    axes, = viz.plot_spectra({"kernel": [1.0, 0.5, 0.1, 0.01]}).axes
    assert np.allclose(axes.lines[0].get_ydata(), [0.5, 0.1, 0.01])
    with pytest.raises(ValueError, match="at least one row"):
        viz.plot_expected({"none": []})
    with pytest.raises(ValueError, match="at least one spectrum"):
        viz.plot_spectra({})


def test_legendre_values_are_those_of_scipy():
    from ponita_edu.nn.band_limited import legendre

    t = torch.linspace(-1, 1, 7, dtype=torch.float64)
    assert np.allclose(legendre(t, torch.ones_like(t), 4).numpy(), [eval_legendre(range(5), x) for x in t.tolist()])
    assert np.allclose(legendre(3 * t, 9 * torch.ones_like(t), 2)[:, 2].numpy(), 9 * eval_legendre(2, t.numpy()))
