"""Trainings that are killed, or whose disk fails, go on to the same weights; nothing that is left behind stops them."""

import errno
import json
import os
import shutil
import signal
import sys
from importlib import import_module
from pathlib import Path

import forks
import pytest

from ponita_edu import cli, lab

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_killed_trainings_go_on_to_the_same_weights_and_forgetful_ones_do_not(tmp_path, monkeypatch):
    """N-body by the command line in processes of its own; the tool alone does all three, at more moments."""
    out = tmp_path / "kills.json"
    options = ["--quick", "--trainings", "nbody", "--kills", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["kill_and_resume.py", *options])
    monkeypatch.syspath_prepend(ROOT / "tools")  # its processes look there too
    assert import_module("kill_and_resume").main() == 0
    result = json.loads(out.read_text())
    assert result["killed"] == result["same"] > 0 and result["lost_at_most"] <= result["every"]
    assert len(result["controls"]) == 2 and not any(row["same"] for row in result["controls"])


TINY = {"data.train": 8, "data.val": 4, "data.test": 4, "model.hidden": 4, "model.layers": 1, "model.basis": 4,
        "train.batch_size": 4, "train.epochs": 3, "train.validate_every": 1, "train.checkpoint_minutes": 0,
        "train.accelerator": "cpu", "train.max_minutes": "none"}


def train(out):
    """Exit code of six steps with a checkpoint after each."""
    return cli.main(["train", "nbody", "--out", str(out), *(f"--{k}={v}" for k, v in TINY.items())])


def weights(out):
    return (out / "model" / "state.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    assert train(out) == 0
    return weights(out)


@pytest.mark.parametrize("left", [".probe.tmp", ".run.json.0123.tmp"])
def test_what_a_killed_first_moment_leaves_does_not_stop_the_run(tmp_path, left, whole):
    (tmp_path / left).touch()
    assert train(tmp_path) == 0 and weights(tmp_path) == whole
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("last", [3, 10**6], ids=["for a while", "to the end"])
def test_a_failing_disk_is_reported_and_costs_one_interval(tmp_path, monkeypatch, capsys, error, last, whole):
    """From the third checkpoint on no file can be written, for three checkpoints or until the disk is mended."""
    calls, fsync = [], os.fsync

    def failing(file):
        calls.append(file)
        if 4 < len(calls) <= last + 4:
            raise OSError(error, os.strerror(error))
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        code = train(tmp_path / "run")
    text = capsys.readouterr().err
    assert f"the checkpoint of step 3 could not be written ({os.strerror(error)}); the one before is kept" in text
    assert "Traceback" not in text
    if last > 6:
        assert code == 2 and "ponita-edu: the last checkpoint could not be written in" in text
        assert {p.name for p in (tmp_path / "run" / "checkpoints").iterdir()} == {"step-000000001", "step-000000002"}
        assert not (tmp_path / "run" / "result.json").exists()
        assert train(tmp_path / "run") == 0
    else:
        assert code == 0
    assert weights(tmp_path / "run") == whole


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_log_that_cannot_be_written_is_reported_and_training_goes_on(tmp_path, capsys, whole):
    (tmp_path / "run").mkdir()
    assert train(tmp_path / "run") == 0
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "log.csv").unlink()
    (tmp_path / "run" / "log.csv").symlink_to("/dev/full")
    capsys.readouterr()
    assert train(tmp_path / "run") == 0 and weights(tmp_path / "run") == whole
    assert "could not be written (No space left on device); training goes on" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_process_ends_the_other_with_a_sentence_and_the_run_goes_on_to_the_same_weights(tmp_path):
    """Two processes over gloo, which save every ten steps; first the second one dies, then the first."""
    settings = {"data.train": 24, "data.val": 8, "data.test": 8, "model.hidden": 8, "model.layers": 2, "model.basis": 8,
                "model.grid": "octahedron", "train.epochs": 7, "train.batch_size": 4, "train.devices": 2,
                "train.strategy": "ddp", "train.accelerator": "cpu", "train.checkpoint_minutes": 0,
                "train.max_minutes": "none", "train.threads": 1}
    told = []
    for name, doom in (("whole", {}), ("cut", {"1": 25}), ("cut", {"0": 35}), ("cut", {})):
        out, port = str(tmp_path / name), str(lab.free_port(0))
        argv = ["train", "nbody", "--out", out, *(f"--{k}={v}" for k, v in settings.items())]
        pair = [forks.run(forks.one_of_two, rank, port, out, doom.get(rank), argv) for rank in "01"]
        for process in pair:
            process.join(300)  # after which its code is None, if it hangs
        told.append([[process.exitcode for process in pair], [Path(f"{out}.{rank}").read_text() for rank in "01"],
                     max(os.listdir(f"{out}/checkpoints"))])
    whole, second, first, rest = told
    assert whole[0] == rest[0] == [0, 0] and whole[2] == rest[2] == "step-000000042"
    for (codes, said, newest), dead, step in ((second, 1, 20), (first, 0, 30)):
        left = said[1 - dead]
        assert codes[dead] == -signal.SIGKILL and codes[1 - dead] > 0 and newest == f"step-{step:09}"
        assert f"process {1 - dead} of 2 ends, because another one was killed or failed. Repeat the command; it goes " \
               "on from its newest" in left and "Traceback" not in left
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
