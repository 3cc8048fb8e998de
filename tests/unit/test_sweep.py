"""Sweeps through submitit: the same runs as `ponita-edu train`, resumed after a cut, and their table."""

import json
import os
import statistics
import subprocess
import sys
import traceback
from dataclasses import replace

import pytest

from ponita_edu import cli
from ponita_edu.tasks import sweep
from ponita_edu.tasks.presets import PRESETS
from ponita_edu.tasks.run import train
from ponita_edu.tasks.settings import replaced

submitit = pytest.importorskip("submitit", reason="submitit is not installed (extra cluster)")

TINY = ["--data.train", "24", "--data.val", "8", "--data.test", "9", "--model.hidden", "8", "--model.layers", "2",
        "--model.basis", "8", "--model.grid", "octahedron", "--train.epochs", "1", "--train.batch_size", "8",
        "--train.accelerator", "cpu"]
BASE = PRESETS["nbody"]["quick"]


def test_all_combinations_in_order_with_folders_of_their_own(tmp_path):
    made = sweep.jobs("nbody", BASE, {"train.lr": ["1e-3", "2e-3"], "train.seed": ["0", "1", "2"]}, tmp_path)
    assert [(j.settings.train.lr, j.settings.train.seed) for j in made] == [(a, s) for a in (1e-3, 2e-3)
                                                                           for s in range(3)]
    assert len({j.out for j in made}) == 6 and made[4].out.name == "lr_2e-3-seed_1"


def test_local_sweep_equals_single_runs_and_its_table_their_mean(tmp_path, capsys):
    out, alone = tmp_path / "many", tmp_path / "alone"
    command = ["sweep", "nbody", *TINY, "--out", str(out), "--vary"]
    assert cli.main([*command, "model.hidden=8,12", "--vary", "train.seed=0"]) == 0
    assert capsys.readouterr().out.count(": done") == 2
    assert cli.main([*command, "model.hidden=12", "--vary", "train.seed=1"]) == 0  # one more seed of the same sweep
    errors = {tuple(r["settings"][a][b] for a, b in (("model", "hidden"), ("train", "seed"))):
              r["metrics"]["test_mse_dimensionless"]
              for r in (json.loads(p.read_text()) for p in out.glob("*/result.json"))}
    assert sorted(errors) == [(8, 0), (12, 0), (12, 1)]
    assert cli.main(["train", "nbody", *TINY, "--train.seed", "1", "--model.hidden", "12", "--out", str(alone)]) == 0
    single = json.loads((alone / "result.json").read_text())["metrics"]["test_mse_dimensionless"]
    assert single == errors[12, 1] != errors[12, 0]
    capsys.readouterr()
    assert cli.main(["sweep", "table", str(out)]) == 0
    both = [errors[12, 0], errors[12, 1]]
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert rows[0][:3] == ["model.hidden", "runs", "test_mse_dimensionless"]
    assert [row[:5] if "±" in row else row[:3] for row in rows[1:]] == [
        ["8", "1", f"{errors[8, 0]:.4g}"],
        ["12", "2", f"{statistics.mean(both):.4g}", "±", f"{statistics.stdev(both):.2g}"]]
    assert cli.main([*command, "train.seed=0", "--train.lr", "1e-5"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_a_cut_run_goes_on_when_the_scheduler_starts_it_again(tmp_path):
    settings = replaced(BASE, {o[2:]: v for o, v in zip(TINY[::2], TINY[1::2], strict=True)})
    whole = train("nbody", settings, tmp_path / "whole")
    job = sweep.jobs("nbody", settings, {"train.seed": ["0"]}, tmp_path / "cut")[0]
    short = replace(job, settings=replace(settings, train=replace(settings.train, max_minutes=1e-6)))
    short()
    assert json.loads((job.out / "result.json").read_text())["steps"] == 1
    again = job.checkpoint()  # what submitit runs after a time limit or a preemption
    again.function()
    assert json.loads((job.out / "result.json").read_text())["metrics"] == whole["metrics"]


def test_slurm_gets_one_array_with_the_parameters(tmp_path, monkeypatch):
    """A stand-in for sbatch keeps the script that would have been submitted."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "sbatch"
    fake.write_text(f"#!/bin/sh\ncp \"$1\" {tmp_path}/script\necho Submitted batch job 4711\n")
    fake.chmod(0o755)
    (tmp_path / "bin" / "srun").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    todo = sweep.jobs("nbody", BASE, {"train.seed": ["0", "1", "2"]}, tmp_path / "many")
    slurm = ("slurm", 90, {"partition": "gpu", "gpus_per_node": 1})
    assert sweep.submit(todo, tmp_path / "many", *slurm) == ([f"seed_{k}: job 4711_{k}" for k in range(3)], 0)
    script = (tmp_path / "script").read_text()
    for option in ("--array=0-2", "--partition=gpu", "--gpus-per-node=1", "--time=90"):
        assert f"#SBATCH {option}" in script, script
    fake.write_text("#!/bin/sh\necho error: invalid partition specified: gpu >&2\nexit 1\n")
    with pytest.raises(ValueError, match="SLURM refuses the runs: error: invalid partition"):
        sweep.submit(todo, tmp_path / "many", *slurm)


@pytest.mark.parametrize(("options", "words"), [
    (["--vary", "train.sed=0,1"], "did you mean train.seed"),
    (["--vary", "train.seed=0,0"], "must list different values"),
    (["--vary", "train.lr=1e-3,0.001"], "train.lr=1e-3 and train.lr=0.001 are the same settings"),
    (["--vary", "preset=quick,paper"], "Use two sweeps, one with --preset quick"),
    (["--vary", "train.seed=0", "--slurm", "partitoin=gpu"], "Unknown argument 'partitoin'"),
    (["--vary", "train.seed=one"], "must be a whole number"),
    (["--vary", "train.seed"], "must be NAME=VALUE"),
    ([], "varies at least one setting"),
    (["--vary", "train.seed=0", "--cluster", "slrum"], "did you mean slurm"),
    (["--vary", "train.seed=0", "--slurm", "gpu"], "must be NAME=VALUE"),
    (["--vary", "train.seed=0", "--minutes", "0"], "--minutes must be at least 1"),
])
def test_bad_input_leaves_nothing_behind(tmp_path, capsys, options, words):
    assert cli.main(["sweep", "nbody", "--out", str(tmp_path / "new"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_slurm_that_is_not_there_and_a_folder_that_is_no_sweep(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    command = ["sweep", "nbody", "--vary", "train.seed=0", "--cluster", "slurm", "--out", str(tmp_path / "a")]
    assert cli.main(command) == 2
    assert "cluster slurm cannot be used" in capsys.readouterr().err and not (tmp_path / "a").exists()
    assert cli.main(["sweep", "table", str(tmp_path)]) == 2
    assert "holds no sweep" in capsys.readouterr().err


def test_two_files_of_one_name_are_not_put_in_one_folder(tmp_path):
    with pytest.raises(ValueError, match=r"folder, source_m\.npz: data\.source=da/m\.npz and data\.source=db/m\.npz"):
        sweep.jobs("md17", PRESETS["md17"]["quick"], {"data.source": ["da/m.npz", "db/m.npz"]}, tmp_path)
    assert len(sweep.jobs("md17", PRESETS["md17"]["quick"], {"data.source": ["da/m.npz", "db/n.npz"]}, tmp_path)) == 2


def test_a_failed_run_is_named_with_its_exception_and_the_next_one_taken(tmp_path, capsys):
    out = tmp_path / "many"
    assert cli.main(["sweep", "md17", "--vary", "data.source=nowhere.npz,noplace.npz", "--out", str(out)]) == 1
    lines = capsys.readouterr().out.splitlines()
    for name, line in zip(("nowhere", "noplace"), lines, strict=False):
        assert line.startswith(f"source_{name}.npz: failed. ValueError: the data '{name}.npz' cannot be read"), line


@pytest.mark.parametrize(("message", "reason"), [
    ("boom", "ValueError: boom"), ("one\nand two", "ValueError: one"), ("- a list\n  File", "ValueError: - a list"),
])
def test_the_reason_is_the_first_line_of_the_last_exception(message, reason):
    try:
        try:
            raise KeyError("before")
        except KeyError as error:
            raise ValueError(message) from error
    except ValueError:
        trace = traceback.format_exc()
    text = f"Job (task=0) failed during processing with trace:\n-----\n{trace}\n-----\nfull logs at\n  - /a.err\n"
    assert sweep._reason(text) == reason


def test_a_killed_run_is_named(tmp_path, monkeypatch):
    job = sweep.jobs("nbody", BASE, {"train.seed": ["0"]}, tmp_path)[0]
    whole = submitit.AutoExecutor.submit
    monkeypatch.setattr(submitit.AutoExecutor, "submit", lambda executor, job: whole(executor, os._exit, 9))
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)  # no wait for a slow disk
    lines, failed = sweep.submit([job], tmp_path, "local", 5, {})
    assert failed == 1 and lines[0].startswith("seed_0: failed. Its process was killed")


def write(folder, settings, metrics, complete=True):
    folder.mkdir(parents=True)
    content = {"settings": settings, "metrics": metrics, "complete": complete}
    (folder / "result.json").write_text(json.dumps(content))


@pytest.fixture
def made_up(tmp_path):
    """A sweep of QM9 over targets of different units, as `ponita-edu sweep qm9` leaves it."""
    (tmp_path / "sweep.json").write_text(json.dumps({"task": "qm9", "vary": ["data.target", "train.seed"]}))
    for target, unit, error in (("alpha", "bohr3", 0.5), ("mu", "debye", 0.25)):
        for seed in (0, 1):
            settings = {"data": {"target": target}, "train": {"seed": seed}}
            write(tmp_path / f"target_{target}-seed_{seed}", settings, {f"test_mae_{unit}": error, "r2": error + seed})
    return tmp_path


def test_table_of_targets_whose_errors_have_different_units(made_up, capsys):
    assert cli.main(["sweep", "table", str(made_up)]) == 0
    head, alpha, mu = capsys.readouterr().out.splitlines()
    assert head.split() == ["data.target", "runs", "test_mae_bohr3", "r2", "test_mae_debye"]
    assert alpha.split() == ["alpha", "2", "0.5", "±", "0", "1", "±", "0.71"]
    assert mu.split() == ["mu", "2", "0.75", "±", "0.71", "0.25", "±", "0"]
    assert mu.index("0.25") == head.index("test_mae_debye") and not mu[head.index("test_mae_bohr3"):][:14].strip()


def test_a_run_under_two_spellings_counts_once_and_an_infinite_error_is_shown(made_up, capsys):
    settings = {"data": {"target": "mu"}, "train": {"seed": 1}}
    write(made_up / "target_mu-seed_01", settings, {"test_mae_debye": 0.25, "r2": 1.25})
    write(made_up / "target_mu-seed_2", settings | {"train": {"seed": 2}}, {"test_mae_debye": float("inf")}, False)
    assert cli.main(["sweep", "table", str(made_up)]) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == ["mu", "3", "(1", "cut)", "0.75", "±", "0.71", "inf"]


SETTINGS = {"data": {"target": "mu"}}


@pytest.mark.parametrize(("file", "content"), [
    *(("target_mu-seed_0/result.json", content) for content in (
        {}, [], None, {"settings": SETTINGS}, {"settings": {}, "metrics": {}, "complete": True},
        {"settings": {"data": 1}, "metrics": {}, "complete": True},
        {"settings": SETTINGS, "metrics": [], "complete": True},
        {"settings": SETTINGS, "metrics": {"a": "b"}, "complete": True},
        {"settings": SETTINGS, "metrics": {"a": None}, "complete": True},
    )),
    *(("sweep.json", content) for content in ([], {}, None, {"vary": 3}, {"vary": [1]})),
])
def test_edited_files_are_named(made_up, capsys, file, content):
    (made_up / file).write_text(json.dumps(content))
    what = "not a sweep's file" if file == "sweep.json" else "not the result of a run"
    commands = [["table", str(made_up)], ["nbody", "--vary", "train.seed=0", "--out", str(made_up)]]
    for command in commands if file == "sweep.json" else commands[:1]:
        assert cli.main(["sweep", *command]) == 2
        err = capsys.readouterr().err
        assert f"{made_up / file} is {what}" in err and "Move it away." in err, err


def test_help_names_the_command():
    done = subprocess.run([sys.executable, "-m", "ponita_edu.cli", "sweep", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--vary" in done.stdout
