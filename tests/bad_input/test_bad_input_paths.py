"""Paths that lead nowhere are refused by name, before any work; ~ is the home folder; what exists is not lost."""

import os
import re

import pytest

from ponita_edu import cli, commands, paths
from ponita_edu.data.md17 import read_frames
from ponita_edu.data.nbody import load_nbody
from ponita_edu.data.qm9 import load_qm9
from ponita_edu.tasks import queue, run

NOBODY = "~no_such_user/x"
UNKNOWN = rf"{NOBODY} begins with the home folder of a user who is not known here.*\.{re.escape(os.sep)}{NOBODY}"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("PONITA_EDU_DEBUG", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


# ------------------------------------------------------------------------------------------------ home folders
def test_home_folder_of_nobody_is_refused_by_every_reader(monkeypatch):
    with pytest.raises(ValueError, match=f"^the data {UNKNOWN}"):
        read_frames(NOBODY)
    for load in (load_nbody, load_qm9):
        with pytest.raises(ValueError, match=f"^data_dir {UNKNOWN}"):
            load(data_dir=NOBODY)
    monkeypatch.setenv(paths.VARIABLE, NOBODY)
    with pytest.raises(ValueError, match=f"^{paths.VARIABLE} {UNKNOWN}"):
        paths.data_dir()


@pytest.mark.parametrize("argv, name", [
    (["train", "nbody", f"--out={NOBODY}"], "--out"),
    (["evaluate", NOBODY], "checkpoint"),
    (["evaluate", "x", f"--data={NOBODY}"], "--data"),
    (["evaluate", "x", f"--out={NOBODY}"], "--out"),
    (["sample", NOBODY, "--out=a.xyz"], "checkpoint"),
    (["sample", "x", f"--out={NOBODY}"], "--out"),
    (["simulate", "nbody", f"--out={NOBODY}"], "--out"),
    (["queue", f"--work={NOBODY}"], "--work"),
    (["queue", f"--results={NOBODY}"], "--results"),
])
def test_home_folder_of_nobody_is_refused_by_every_command(argv, name, capsys, tmp_path):
    assert cli.main(argv) == 2
    assert re.match(f"ponita-edu: {name} {UNKNOWN}", capsys.readouterr().err)
    assert list((tmp_path / "here").iterdir()) == []


def test_commands_put_the_home_folder_for_a_tilde(home, tmp_path, monkeypatch):
    seen = []

    def note(result):
        return lambda *given, **_: seen.extend(str(x) for x in given if "~" in str(x) or str(home) in str(x)) or result

    monkeypatch.setattr(commands, "_report", lambda *_: 0)
    monkeypatch.setattr(run, "train", note(None))
    monkeypatch.setattr(run, "evaluate_checkpoint", note(None))
    monkeypatch.setattr(queue, "look", note([]))
    assert cli.main(["train", "nbody", "--out=~/a"]) == 0
    assert cli.main(["evaluate", "~/b", "--data=~/c", "--out=~/d"]) == 0
    assert cli.main(["queue", "--work=~/e", "--results=~/f"]) == 0
    assert seen == [str(home / name) for name in "abcdef"]
    assert cli.main(["simulate", "nbody", "--n=1", "--steps=1", "--every=1", "--out=~/g.npz"]) == 0
    assert (home / "g.npz").is_file()
    assert list((tmp_path / "here").iterdir()) == []
