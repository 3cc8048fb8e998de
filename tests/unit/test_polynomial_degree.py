"""Features of a kernel: what they are, how they are conditioned, and that the comparison counts right."""

import json
import math

import pytest
import torch

from ponita_edu.analysis import polynomial_degree as study
from ponita_edu.analysis.equivariance import assert_equivariant
from ponita_edu.analysis.kernel_tasks import Task
from ponita_edu.analysis.polynomial_degree import FEATURES, Radial, Run, make_features, mean_interval, plan, summarise
from ponita_edu.data.graphs import Graphs

F64 = torch.float64


def few_points(count, rng):
    pos = torch.randn(count * 4, 3, generator=rng)
    return Graphs(pos, pos[:, :1] * 0 + 1, batch=torch.arange(count).repeat_interleave(4),
                  y={"size": pos.square().sum(-1, keepdim=True)})


TOY = Task("toy", few_points, (few_points(5, torch.Generator().manual_seed(9)),), lambda g: g.y["size"],
           lambda model, g: model(g).scalar, scalars_in=1)


@pytest.fixture
def attributes():
    return study.pair_attributes(few_points(20, torch.Generator().manual_seed(0))).double()


def test_radial_functions_are_those_of_the_formulas(attributes):
    attributes = torch.cat((attributes, torch.tensor([[1e-9, 0.0]], dtype=F64)))
    r, c = attributes.norm(dim=-1), 4.0
    bessel, gaussian = Radial("bessel", 8, c)(attributes), Radial("gaussian", 8, c)(attributes)
    for n in range(1, 9):
        torch.testing.assert_close(bessel[:, n - 1], math.sqrt(2 / c) * (n * math.pi * r / c).sin() / r)
        middle, spacing = (n - 1) * c / 7, c / 7
        torch.testing.assert_close(gaussian[:, n - 1], (-(r - middle) ** 2 / (2 * spacing**2)).exp())
    assert not torch.allclose(bessel[:, 0], bessel[:, 1], atol=1e-2)
    assert torch.equal(Radial("bessel", 8, c)(torch.zeros(1, 2, dtype=F64)).isfinite().all(), torch.tensor(True))


@pytest.mark.parametrize("degree", range(2, 7))
def test_duplicates_add_columns_and_no_rank(degree):
    distinct, ordered = (study.conditioning(TOY, f"{kind} {degree}") for kind in ("distinct", "ordered"))
    assert distinct["columns"] == distinct["rank"] == (degree + 1) * (degree + 2) // 2
    assert ordered["columns"] == 2 ** (degree + 1) - 1 and ordered["rank"] == distinct["rank"]


def test_conditioning_is_that_of_the_matrix():
    found = [study.conditioning(TOY, f"distinct {degree}") for degree in (1, 3, 6)]
    assert found[0]["condition"] < found[1]["condition"] < found[2]["condition"]
    scaled = study.conditioning(TOY, "scaled 6")
    assert scaled["condition"] < found[2]["condition"] and scaled["spread"] < 2 < found[2]["spread"]
    assert scaled["condition_scaled"] == pytest.approx(found[2]["condition_scaled"])


@pytest.mark.parametrize("name", FEATURES)
def test_network_with_other_features_is_a_network(name):
    network = study.with_features(TOY, name, seed=0, hidden=6).double()
    graphs = few_points(2, torch.Generator().manual_seed(3)).to(F64)
    assert_equivariant(network, graphs, "SE", move_grid=True)
    other = study.with_features(TOY, name, seed=1, hidden=6).double()
    assert not torch.allclose(network(graphs).scalar, other(graphs).scalar, atol=1e-3)
    same = study.with_features(TOY, name, seed=0, hidden=6).double()
    assert torch.equal(network(graphs).scalar, same(graphs).scalar)


@pytest.mark.parametrize("make", [lambda: make_features("cubic", torch.ones(2, 2)), lambda: Radial("wave", 8, 1.0),
                                  lambda: Radial("bessel", 1, 1.0), lambda: Radial("gaussian", 8, 0.0)])
def test_unknown_features_are_refused(make):
    with pytest.raises(ValueError, match="must be"):
        make()


def test_interval_is_students():
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 4.302653 / math.sqrt(3)), rel=1e-6)
    assert mean_interval([5.0]) == (5.0, None)


def test_summary_compares_networks_of_one_seed():
    def row(features, seed, error):
        run = Run("N-body", features, seed, 0.01, 5)
        return {**run._asdict(), "error": error, "milliseconds": 1.0, "parameters": 3}

    rows = [row("distinct 3", k, 1.0 + k) for k in range(3)] + [row("bessel 8", k, 0.5 + 0.5 * k) for k in range(3)]
    found = {r["features"]: r for r in summarise(rows)}
    assert found["distinct 3"]["ratio"] == found["distinct 3"]["ratio_high"] == 1.0
    assert found["bessel 8"]["ratio"] == pytest.approx(0.5) == found["bessel 8"]["ratio_low"]
    assert found["bessel 8"]["error"] == pytest.approx(1.0) and found["bessel 8"]["error_half"] > 1


def test_plan_has_every_seed_once():
    runs = list(plan())
    assert len(runs) == len(set(runs)) == 5 * 2 * len(FEATURES) + 2 * len(study.ALSO)
    assert {r.features for r in runs} >= {f"distinct {d}" for d in range(1, 7)} | {f"ordered {d}" for d in range(2, 7)}


def test_command_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    few = [Run("toy", name, 0, 0.01, 3) for name in ("distinct 1", "distinct 3")]
    monkeypatch.setattr(study, "TASKS", {"toy": lambda: TOY})
    monkeypatch.setattr(study, "BATCH", {"toy": 2})
    monkeypatch.setattr(study, "plan", lambda: iter(few[:1]))
    out = tmp_path / "a.json"
    study.main(["--out", str(out)])
    first = json.loads(out.read_text())
    monkeypatch.setattr(study, "plan", lambda: iter(few))
    study.main(["--out", str(out)])
    both = json.loads(out.read_text())
    assert both["rows"][0] == first["rows"][0] and [r["features"] for r in both["rows"]] == ["distinct 1", "distinct 3"]
    assert capsys.readouterr().out.count("\n") == 2
    out.write_text("{}")
    with pytest.raises(SystemExit):
        study.main(["--out", str(out)])
