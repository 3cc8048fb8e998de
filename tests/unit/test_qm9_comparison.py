"""Training for a budget, and the comparison of networks on QM9 at equal steps and equal time."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ponita_edu.analysis import budget, qm9_comparison
from ponita_edu.tasks import qm9

RESULTS = Path(__file__).resolve().parents[2] / "results"
SMALL = {"data.source": "subset", "data.train": 60, "data.test": 30, "train.batch_size": 10, "model.hidden": 8,
         "model.layers": 1, "model.basis": 8}


def small(method="positions", **changes):
    settings = qm9_comparison.settings_of(method, "bonds", **SMALL, **changes)
    return qm9.load(settings), settings


def test_budget_of_steps_is_kept_and_teaches():
    task, settings = small()
    few, many = (qm9_comparison.measure(task, settings, steps=n) for n in (1, 40))
    assert (few["steps"], many["steps"]) == (1, 40) and many["mae_meV"] < few["mae_meV"]
    again = qm9_comparison.measure(task, settings, steps=40)
    assert again["mae_meV"] == many["mae_meV"]  # the seed decides all of it
    assert qm9_comparison.measure(task, settings, seed=1, steps=40)["mae_meV"] != many["mae_meV"]


def test_budget_of_seconds_is_kept():
    task, settings = small()
    row = qm9_comparison.measure(task, settings, seconds=0.5)
    assert 0.5 <= row["processor_seconds"] < 5 and row["steps"] > 1


def test_learning_rate_ends_at_zero_whatever_the_budget(monkeypatch):
    task, settings = small()
    used = []
    monkeypatch.setattr(budget, "lr_factor", lambda share, config: used.append(share) or 0.0)
    budget.train(qm9.build(settings.model, seed=0), task, settings.train, steps=8)
    assert sorted(set(used)) == [k / 8 for k in range(8)]


@pytest.mark.parametrize("changes, budgets, words", [
    ({}, {}, "seconds and steps must be positive, and one of them finite"),
    ({}, {"steps": 0}, "seconds and steps must be positive"),
    ({"train.epochs": 2}, {"steps": 1}, "must have 1 epoch, the budget, .*but has 2 and 10"),
])
def test_budget_that_makes_no_sense_is_refused(changes, budgets, words):
    task, settings = small(**changes)
    with pytest.raises(ValueError, match=words):
        budget.train(qm9.build(settings.model, seed=0), task, settings.train, **budgets)


def test_summary_is_mean_and_standard_error():
    rows = [{"budget": "steps", "method": "edges", "graph": "bonds", "seed": k, "steps": 4, "processor_seconds": 60.0,
             "parameters": 7, "mae_meV": error} for k, error in enumerate((1.0, 2.0, 6.0))]
    found, = qm9_comparison.summary(rows)
    assert found["mae_meV"] == 3 and found["seeds"] == 3 and found["steps"] == 4
    assert found["standard_error"] == pytest.approx(np.std([1, 2, 6], ddof=1) / 3**0.5)
    assert "3 ± 2" in qm9_comparison.table(rows).splitlines()[1]


# ------------------------------------------------------------------------------------------------- stored results
def test_one_seed_has_no_standard_error():
    row = dict(budget="steps", method="ponita", graph="bonds", parameters=5, mae_meV=7, steps=3, processor_seconds=1)
    assert qm9_comparison.summary([row])[0]["standard_error"] is None
    assert qm9_comparison.table([row]).endswith("7") and "±" in qm9_comparison.table([row, row])


def test_stored_comparison_is_complete_and_says_what_the_notebook_says():
    stored = json.loads((RESULTS / "qm9_comparison.json").read_text())
    groups = {(row["budget"], row["method"], row["graph"]): row for row in qm9_comparison.summary(stored["rows"])}
    assert set(groups) == {(b, *kind) for b in ("steps", "time") for kind in qm9_comparison.KINDS}
    assert all(row["seeds"] == 3 for row in groups.values()) and "dirty" not in stored["commit"]
    steps, time = ({key[1:]: row["mae_meV"] for key, row in groups.items() if key[0] == b} for b in ("steps", "time"))
    assert max(*steps.values(), *time.values()) < stored["baselines"]["element counts"]
    assert list(sorted(steps, key=steps.get)) == [("edges", "bonds"), ("ponita", "bonds"), ("positions", "bonds"),
                                                  ("positions", "complete")]
    assert max(time, key=time.get) == ("ponita", "bonds") and min(time, key=time.get) == ("edges", "bonds")
    assert all(row["steps"] == qm9_comparison.STEPS for key, row in groups.items() if key[0] == "steps")
    assert all(row["processor_seconds"] == pytest.approx(qm9_comparison.SECONDS, rel=0.05)
               for key, row in groups.items() if key[0] == "time")


def test_stored_throughput_is_of_the_published_batch_on_both_graphs():
    stored = json.loads((RESULTS / "qm9_throughput.json").read_text())
    rows = {row["graph"]: row for row in stored["rows"]}
    assert set(rows) == {"bonds", "complete"} and stored["threads"] == 2
    for row in rows.values():
        assert row["batch"] == 96 == row["piece"] * round(96 / row["piece"])
        assert row["molecules_per_second"] == pytest.approx(96 / row["seconds_per_step"])
        rate = row["gflop_per_molecule"] * row["molecules_per_second"]
        assert row["share_of_matrix_rate"] == pytest.approx(rate / row["matrix_gflops"]) and 0.1 < rate < 1000
    assert rows["complete"]["gflop_per_molecule"] > 2 * rows["bonds"]["gflop_per_molecule"]


def test_gradients_of_pieces_add_up_to_that_of_the_batch():
    task, settings = small()
    task, network = task.to(torch.device("cpu"), torch.float64), qm9.build(settings.model, seed=0).double()
    task.prepare(network, task.graphs("train", torch.arange(10)))

    def gradient(parts, total):
        network.zero_grad()
        for part in parts:
            loss = task.loss(network, task.graphs("train", part), torch.Generator())
            (loss * len(part) / total).backward()
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    whole, pieces = (gradient(torch.arange(24).split(n), 24) for n in (24, 10))
    torch.testing.assert_close(pieces, whole, rtol=1e-9, atol=1e-12)
    assert (gradient(torch.arange(24).split(10), 10) - whole).norm() > whole.norm()  # control: not divided by the batch
