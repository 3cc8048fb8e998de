"""Curves of notebook 07: slopes and their uncertainty, averaging, precision, claims and controls, the command."""

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

from ponita_edu.analysis import equivariance_curves as curves
from ponita_edu.analysis.equivariance import equivariance_error
from ponita_edu.analysis.equivariance_cases import (
    CLAIMS,
    claim_rows,
    networks_of,
    precision_rows,
    tf32_products,
    to_tf32,
)
from ponita_edu.analysis.equivariance_curves import averaged, averaging_laws, curve, depth_laws, read_curve, size_laws
from ponita_edu.analysis.equivariance_table import random_clouds
from ponita_edu.analysis.laws import Law, fit_law
from ponita_edu.analysis.trained_equivariance import finer_grids, in_one_pose, trained_network, trained_rows
from ponita_edu.data.nbody import load_nbody, to_graphs
from ponita_edu.geometry import random_rotations

X = (8, 12, 20, 32, 60)


def noisy(slope, seed, networks=6, noise=0.3):
    rng = np.random.default_rng(seed)
    return [[3 * x**slope * np.exp(noise * rng.normal()) for _ in range(networks)] for x in X]


# -------------------------------------------------------------------------------------------------------------- slopes
def test_slope_of_an_exact_power_is_found_and_certain():
    law = fit_law("exact", X, noisy(-1.5, 0, noise=0))
    assert law.slope == pytest.approx(-1.5) and law.error < 1e-12


def test_standard_error_covers_the_true_slope_and_is_not_much_too_large():
    laws = [fit_law("noisy", X, noisy(-1.0, seed)) for seed in range(100)]
    assert np.mean([law.within(-1.0, times=2) for law in laws]) > 0.9
    assert np.mean([law.within(-0.5, times=2) for law in laws]) < 0.1  # negative control
    assert 0.9 < np.mean([law.error for law in laws]) / np.std([law.slope for law in laws]) < 1.6


def test_more_networks_make_a_slope_more_certain():
    few, many = (np.mean([fit_law("", X, noisy(-1, seed, n)).error for seed in range(10)]) for n in (3, 27))
    assert many < few / 2


def test_a_bend_and_networks_that_disagree_both_make_a_slope_uncertain():
    bent = fit_law("bent", (1, 2, 4, 8), [[1.0], [2.0], [4.0], [4.0]])
    apart = fit_law("apart", (1, 2, 4), [[1.0, 1.0], [1.0, 2.0], [1.0, 4.0]])
    assert bent.error > 0.1 and apart.slope == pytest.approx(0.5) and apart.error == pytest.approx(0.5)


@pytest.mark.parametrize("x, errors", [((1, 2), [[1.0], [2.0]]), ((1, 2, 3), [[1.0], [2.0]]), ((1, 2, 3), [[], [], []]),
                                       ((1, 2, 3), [[1.0], [0.0], [1.0]]), ((1, 2, 3), [[1.0], [np.nan], [1.0]])])
def test_fit_refuses(x, errors):
    with pytest.raises(ValueError, match="errors must be"):
        fit_law("", x, errors)


@pytest.mark.parametrize("x", [(0, 1, 2), (-1, 1, 2), (1, 2, np.inf)])
def test_fit_refuses_places_without_a_logarithm(x):
    with pytest.raises(ValueError, match="x must be positive and finite"):
        fit_law("", x, [[1.0], [2.0], [3.0]])


def test_laws_are_drawn_with_their_medians_fits_and_slopes():
    plot_laws = pytest.importorskip("ponita_edu.viz.laws", reason="the course extra is not installed").plot_laws
    law = fit_law("spiral", (1, 10, 100), [[1.0, 2.0, 3.0], [0.1, 0.2, 0.3], [0.01, 0.02, 0.03]])
    figure = plot_laws([law], "N")
    (axes,), (legend,) = figure.axes, figure.legends
    *networks, median, fit = axes.lines
    assert len(networks) == 3 and np.allclose(median.get_ydata(), [2, 0.2, 0.02])
    assert np.allclose(np.diff(np.log10(fit.get_ydata())), -1)
    assert legend.get_texts()[0].get_text() == "spiral: slope -1.00 ± 0.00"
    with pytest.raises(ValueError, match="at least one law"):
        plot_laws([], "N")


# -------------------------------------------------------------------------------------------------------------- curves
def test_error_falls_with_n_in_every_family():
    laws = size_laws(networks=2, rotations=3)
    assert [law.label for law in laws][:2] == ["fibonacci, scalar", "fibonacci, vector"] and len(laws) == 8
    assert all(law.slope < -0.5 for law in laws), laws


def test_depth_is_what_changes_along_the_depth_curve():
    scalar, vector = depth_laws(depths=(1, 2, 3), networks=2, rotations=2, hidden=8)
    assert scalar.x == (1, 2, 3) and len(set(scalar.medians)) == 3 and len(vector.errors[0]) == 2


def test_average_of_one_rotation_is_the_answer_turned_back():
    model, graphs, rotation = networks_of("bundle", 1)[0].double(), random_clouds(), random_rotations(3, seed=0)
    out = averaged(model, graphs, rotation)
    answers = [model(graphs.rotate(r)) for r in rotation]
    assert torch.allclose(out["vector"][0], answers[0].vector @ rotation[0], atol=1e-15)
    assert torch.allclose(out["scalar"][2], sum(a.scalar for a in answers) / 3, atol=1e-15)


def test_averaging_over_random_rotations_helps_and_over_the_grids_own_does_not():
    laws = averaging_laws(counts=(1, 3, 9, 27), networks=3, motions=2, hidden=8, layers=2)
    assert all(law.slope == pytest.approx(-0.5, abs=0.25) for law in laws[:2]), laws
    assert all(abs(law.slope) < 1e-6 for law in laws[2:])


def test_exact_claims_are_at_rounding_level_and_controls_far_above():
    rows = claim_rows(networks=1)
    assert len(rows) == len(CLAIMS)
    assert all(row["largest"] < 1e-13 for row in rows if row["exact"])
    assert all(row["least"] > 1e-3 for row in rows if not row["exact"])


# ----------------------------------------------------------------------------------------------------------- precision
def test_tf32_keeps_ten_bits_and_rounds_half_to_even():
    exact = torch.tensor([1.0, 1 + 2**-10, -3.5, 0.0, 1e30])
    assert torch.equal(to_tf32(exact[:4]), exact[:4]) and abs(float(to_tf32(exact[4:]) / 1e30) - 1) < 2**-11
    ties = torch.tensor([1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20])
    assert to_tf32(ties).tolist() == [1.0, 1 + 2**-9, 1 + 2**-10]


def test_products_are_rounded_inside_and_only_there():
    torch.manual_seed(0)
    a, b = torch.randn(20, 30), torch.randn(30, 10)
    layer, exact = nn.Linear(30, 10), a @ b
    with tf32_products():
        inside, linear = a @ b, layer(a)
    assert torch.equal(inside, to_tf32(a) @ to_tf32(b))
    assert torch.allclose(linear, to_tf32(a) @ to_tf32(layer.weight).T + layer.bias, atol=1e-6)
    assert not torch.equal(inside, exact) and torch.equal(a @ b, exact)
    with tf32_products():
        assert torch.equal(a.double() @ b.double(), a.double() @ b.double())


def test_precision_spoils_the_exact_claim_and_not_the_approximate_one():
    *exact, approximate = precision_rows(networks=1)
    for row in exact:
        assert row["float64"] < 1e-13 and 1e-9 < row["float32"] < 1e-5 and 1e-5 < row["TF32"] < 1e-2, row
    assert approximate["float32"] == pytest.approx(approximate["float64"], rel=1e-3)
    assert approximate["TF32"] == pytest.approx(approximate["float64"], rel=0.1)


# ------------------------------------------------------------------------------------------------------------ training
@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("PONITA_EDU_DATA", str(tmp_path_factory.mktemp("data")))
    yield load_nbody(train=30, val=1, test=30, progress=False)
    patch.undo()


def test_pose_turns_along_so_every_system_lies_the_same_way(data):
    graphs = to_graphs(data["test"], range(6)).to(torch.float64)
    posed = in_one_pose(graphs)
    first = posed.vec.reshape(6, 5, 3)
    assert first[:, 0, 1:].abs().max() < 1e-12 and (first[:, 0, 0] > 0).all()
    assert first[:, 1, 2].abs().max() < 1e-12 and (first[:, 1, 1] > 0).all()
    turned = in_one_pose(graphs.rotate(random_rotations(6, seed=0)))
    assert torch.allclose(turned.pos, posed.pos, atol=1e-12) and not torch.allclose(posed.pos, graphs.pos, atol=0.1)


def test_trained_rows_tell_an_exact_network_from_an_approximate_one():
    small = dict(steps=3, train_size=30, test_size=30)
    rows = {row["arm"]: row for row in trained_rows(arms=("all in one pose", "all in one pose, lifted edges"), **small)}
    exact, approximate = rows["all in one pose, lifted edges"], rows["all in one pose"]
    assert exact["trained"] < 1e-13 and exact["mse_turned"] == pytest.approx(exact["mse"], rel=1e-4)
    assert approximate["trained"] > 1e-3
    control, = trained_rows(arms=("all in one pose, coordinates",), **small | {"steps": 200})  # it knows its axes
    assert control["trained"] > 0.3 and control["mse_turned"] > 1.5 * control["mse"]
    with pytest.raises(ValueError, match="arm must be one of"):
        trained_network("upside down", 0, 1, 30, 30)


def test_trained_weights_on_finer_grids_are_more_equivariant_and_as_accurate():
    error, mse = finer_grids(sizes=(6, 14, 26), test_size=30, groups=2, systems=3)
    assert error.slope < -0.5 and len(error.errors[0]) == 2
    coarser, *finer = mse.medians  # than the 12 directions of training
    assert mse.label == "test MSE" and max(finer) < 0.03 and max(finer) < 1.2 * min(finer)
    assert coarser > 2 * max(finer)  # negative control: 6 directions are too few


# ------------------------------------------------------------------------------------------------------------- command
@pytest.fixture
def command(monkeypatch, tmp_path):
    calls = []

    def make(scale):
        calls.append(scale)
        return [fit_law("a law", X, noisy(-1, 0)), {"row": scale}]

    one, two = (curves.Curve(make, {"scale": scale}) for scale in (1, 2))
    monkeypatch.setattr(curves, "CURVES", {"one": one, "two": two})
    out = tmp_path / "results.json"

    def run(*more):
        monkeypatch.setattr(sys, "argv", ["curves", "--out", str(out), *more])
        curves.main()
        return json.loads(out.read_text())["curves"]

    return run, calls, out


def test_command_goes_on_where_it_was_cut_and_records_how_it_ran(command):
    run, calls, out = command
    assert run("--curves", "one").keys() == {"one"} and calls == [1]
    content = run()
    assert calls == [1, 2]
    assert {"commit", "versions", "device", "minutes", "settings", "command"} <= content["two"].keys()
    run("--again", "--curves", "one")
    assert calls == [1, 2, 1]
    law, row = read_curve(out, "one")
    assert isinstance(law, Law) and row == {"row": 1} and law.slope == pytest.approx(-1, abs=0.3)


def test_command_makes_a_curve_anew_whose_settings_changed_and_spares_other_files(command, monkeypatch):
    run, calls, out = command
    run()
    changed = curves.Curve(curves.CURVES["two"].make, {"scale": 3})
    monkeypatch.setattr(curves, "CURVES", curves.CURVES | {"two": changed})
    assert run()["two"]["settings"] == {"scale": 3} and calls == [1, 2, 3]
    out.write_text("a diary")
    with pytest.raises(SystemExit, match="no file of this command"):
        run()
    assert out.read_text() == "a diary"


def test_curve_refuses_an_unknown_name():
    with pytest.raises(ValueError, match="name must be one of claims"):
        curve("gravity")


def test_own_rotations_are_exact_and_others_not_for_the_networks_used_here():
    model = networks_of("bundle", 1)[0]
    assert equivariance_error(model, random_clouds(), "grid").excess() < 1e-13
    assert equivariance_error(model, random_clouds(), random_rotations(1, seed=0)).excess() > 1e-4
