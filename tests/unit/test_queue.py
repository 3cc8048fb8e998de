"""The queue of full runs: order, pieces, a cut in the middle, results; and the table that is made from them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ponita_edu import cli
from ponita_edu.tasks import queue, results
from ponita_edu.tasks.qm9 import QM9Task
from ponita_edu.tasks.qm9_config import QM9Model
from ponita_edu.tasks.run import module_of

ROOT = Path(__file__).resolve().parents[2]
TINY = {"data.train": 24, "data.val": 8, "data.test": 9, "model.hidden": 8, "model.layers": 2, "model.basis": 8,
        "model.grid": "octahedron", "model.orientations": None, "train.epochs": 1, "train.batch_size": 8,
        "train.accelerator": "cpu"}  # 3 steps
RUNS = (queue.Run("first", "nbody", "to see", 3, changes=TINY),
        queue.Run("lost", "md17", "its data are not there", 3, changes={"data.source": "nowhere.npz"}),
        queue.Run("second", "nbody", "to see more", 2, changes={**TINY, "train.seed": 1}))


def weights(folder):
    return (folder / "model" / "state.safetensors").read_bytes()


def test_queue_runs_in_order_and_goes_on_after_a_cut(tmp_path, monkeypatch):
    whole, work, kept = tmp_path / "whole", tmp_path / "work", tmp_path / "results"
    queue.advance(RUNS[:1], 5, whole, tmp_path / "other")
    monkeypatch.setattr(queue, "LEAST_MINUTES", float("-inf"))  # every piece is one step
    assert [s.minutes_left for s in queue.look(RUNS, work, kept)] == [3, 3, 2]
    for step in range(1, 4):
        lines = queue.advance(RUNS, 1e-6, work, kept)
        assert lines[0].startswith(f"first: {step} of 3 steps, test_mse_dimensionless")
        state = queue.look(RUNS, work, kept)[0]
        assert (state.steps, state.total, state.done) == (step, 3, step == 3)
        assert (kept / "first.json").exists() == (step == 3)
    assert weights(work / "first") == weights(whole / "first")
    assert "lost: not begun" in lines[1] and "nowhere.npz" in lines[1]
    assert lines[2].startswith("second: 3 of 3")
    assert [s.run.name for s in queue.look(RUNS, work, kept) if not s.done] == ["lost"]
    assert queue.advance(RUNS[:1], 1e-6, work, kept) == []  # done is done
    assert {p.name for p in kept.iterdir()} == {f"{n}{end}" for n in ("first", "second") for end in
                                                (".json", ".csv", "_model")}
    assert "second" in queue.table(queue.look(RUNS, work, kept))


def test_time_is_shared_by_the_runs_and_little_of_it_begins_none(tmp_path):
    assert queue.advance(RUNS[:1], 0.4, tmp_path / "work", tmp_path / "results") == []
    lines = queue.advance(RUNS, 5, tmp_path / "work", tmp_path / "results", only="second")
    assert len(lines) == 1 and lines[0].startswith("second: 3 of 3")
    with pytest.raises(ValueError, match=r"secnd.*did you mean second"):
        queue.advance(RUNS, 5, tmp_path / "work", tmp_path / "results", only="secnd")


def test_every_run_of_the_queue_has_a_name_of_its_own_and_a_network():
    assert len({r.name for r in queue.QUEUE}) == len(queue.QUEUE)
    for r in queue.QUEUE:
        assert r.settings.train.max_minutes is None
        assert module_of(r.task).build(r.settings.model) is not None


def test_command_lists_and_names_a_broken_result(tmp_path, capsys):
    args = ["queue", "--work", str(tmp_path), "--results", str(tmp_path), "--json"]
    assert cli.main(args) == 0
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[-1]) == {"pieces": [], "missing": [r.name for r in queue.QUEUE]}
    (tmp_path / f"{queue.QUEUE[0].name}.json").write_text("{}")
    assert cli.main(args) == 2
    assert "is not the result of a run" in capsys.readouterr().err
    assert cli.main([*args, "--minutes", "0.1"]) == 2
    assert "--minutes must be at least 0.5" in capsys.readouterr().err


def test_tables_of_the_readmes_are_those_of_the_results():
    done = subprocess.run([sys.executable, ROOT / "tools" / "results_table.py", "--check"], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_table_changes_with_a_result_and_never_compares_xtb_with_rmd17(tmp_path):
    stored = json.loads((ROOT / "results" / "nbody_quick.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(stored))
    before = results.markdown(tmp_path)
    stored["metrics"]["test_mse_dimensionless"] *= 2
    (tmp_path / "a.json").write_text(json.dumps(stored))
    assert results.markdown(tmp_path) != before
    ethanol = json.loads((ROOT / "results" / "md17_ethanol_cpu.json").read_text())
    assert results.row("e", ethanol)["published"] == "4.1, 0.7"
    for source, published in (("ethanol_xtb", ""), ("methanol.xyz", ""), ("ethanolamine.npz", ""),
                              ("ethanol/water.npz", ""), ("data/rmd17_Ethanol.npz", "4.1, 0.7")):
        ethanol["settings"]["data"]["source"] = source
        assert results.row("e", ethanol)["published"] == published


def test_published_errors_are_named_as_the_tasks_name_theirs():
    for (task, _, subject), (errors, _) in results.PUBLISHED.items():
        if task == "qm9":
            assert list(errors) == [f"test_{QM9Task({}, {}, subject, QM9Model()).selects}"]
    qm9 = json.loads((ROOT / "results" / "qm9_quick_mu.json").read_text())
    qm9["settings"]["data"]["target"] = "alpha"
    qm9 |= {"metric": "mae_bohr3", "metrics": {"test_mae_bohr3": 0.5}}
    assert results.row("a", qm9)["published"] == "0.0375"


def test_learning_curve_shows_the_log_and_refuses_another(tmp_path):
    result = json.loads((ROOT / "results" / "md17_ethanol_cpu.json").read_text())
    log = tmp_path / "log.csv"
    log.write_text("step,train_loss,val_force_mae_meV_per_A\n0,,900\n10,1.5,\n20,0.5,90\n")
    lines = results.learning_curve(log, result).axes[0].lines
    assert [list(lines[0].get_xdata()), list(lines[0].get_ydata())] == [[0, 20], [900, 90]]
    assert [set(line.get_ydata()) for line in lines[1:]] == [{min(result["baselines"].values())}, {4.1}]
    log.write_text("step,val_mse\n0,1\n")
    with pytest.raises(ValueError, match="no column val_force_mae"):
        results.learning_curve(log, result)


def commits(content) -> list[str]:
    """All commits that a results file names, wherever they stand."""
    if isinstance(content, list):
        return [c for part in content for c in commits(part)]
    if not isinstance(content, dict):
        return []
    named = " ".join(str(v) for k, v in content.items() if k in ("commit", "commits"))
    return re.findall(r"[^\s,'\[\]]+", named) + [c for v in content.values() for c in commits(v)]


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("*.json")), ids=lambda p: p.stem)
def test_every_result_comes_from_commits_as_they_are(path):
    found = commits(json.loads(path.read_text()))
    assert found and all(re.fullmatch("[0-9a-f]{40}", c) for c in found), found


def test_every_benchmark_says_where_and_how_long_it_was_measured():
    found = {path.stem: json.loads(path.read_text()) for path in (ROOT / "results").glob("*.json")}
    measured = {name: r for name, r in found.items() if "benchmarks/" in str(r.get("command"))}
    assert {"speed", "tables", "scale", "bf16", "time_to_error"} <= set(measured)
    assert [name for name, r in measured.items() if not (r.get("device") and r.get("minutes"))] == []


def test_a_changed_tree_behind_a_result_would_be_found():
    assert commits({"a": [{"commits": ["12-dirty", "34"]}], "commit": "56, 78-dirty"}) == [
        "56", "78-dirty", "12-dirty", "34"]
