"""Trainings that are killed, or whose disk fails, go on to the same weights; nothing that is left behind stops them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ponita_edu import cli

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "kill_and_resume.py"


@pytest.mark.slow
def test_killed_trainings_go_on_to_the_same_weights_and_forgetful_ones_do_not(tmp_path):
    """Three trainings by the command line as processes of their own; see the tool for the moments and the controls."""
    out = tmp_path / "kills.json"
    command = [sys.executable, TOOL, "--quick", "--kills", "2", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert result["killed"] == result["same"] == 3 * 5 and result["lost_at_most"] <= result["every"]
    assert len(result["controls"]) == 3 * 2 and not any(row["same"] for row in result["controls"])


@pytest.mark.parametrize("left", [".probe.tmp", ".run.json.0123.tmp"])
def test_what_a_killed_first_moment_leaves_does_not_stop_the_run(tmp_path, left):
    (tmp_path / left).touch()
    settings = {"data.train": 4, "data.val": 4, "data.test": 4, "model.hidden": 4, "model.layers": 1, "model.basis": 4,
                "train.batch_size": 4, "train.epochs": 1}
    assert cli.main(["train", "nbody", "--out", str(tmp_path), *(f"--{k}={v}" for k, v in settings.items())]) == 0
    assert not list(tmp_path.glob(".*"))
