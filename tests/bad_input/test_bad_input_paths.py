"""Paths that lead nowhere are refused by name, before any work; ~ is the home folder; what exists is not lost."""

import errno
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from ponita_edu import cli, commands, doctor, paths
from ponita_edu.data import nbody
from ponita_edu.data.md17 import read_frames
from ponita_edu.data.nbody import load_nbody
from ponita_edu.data.qm9 import load_qm9
from ponita_edu.tasks import queue, run, sampling

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
    with pytest.raises(ValueError, match=f"^this {UNKNOWN}"):
        paths.expanded(NOBODY, "this")


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
    (["train", "nbody", f"--config={NOBODY}"], "--config"),
    (["train", "md17", f"--data={NOBODY}"], "data.source"),
    (["sweep", "nbody", "--vary", "train.seed=0,1", f"--out={NOBODY}"], "--out"),
    (["sweep", "table", NOBODY], "DIR"),
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


# ---------------------------------------------------------------------------------- the file of sample and simulate
GENERATOR = str(Path(commands.__file__).parent / "assets" / "checkpoints" / "qm9_gen_quick")
WRITERS = {  # file name, and command up to it
    "a.xyz": ["sample", GENERATOR, "-n", "2", "--atoms", "3", "--steps", "2", "--out"],
    "a.npz": ["simulate", "nbody", "--n", "1", "--steps", "1", "--every", "1", "--out"],
}


class BegunError(Exception):
    """The work would now begin."""


@pytest.fixture
def nothing_begins(monkeypatch):
    def begin(*args, **options):
        raise BegunError

    monkeypatch.setattr(sampling, "load_model", begin)
    monkeypatch.setattr(nbody, "draw_initial_states", begin)


@pytest.mark.parametrize("name", WRITERS)
def test_file_that_cannot_be_written_is_refused_before_the_work(name, nothing_begins, monkeypatch, capsys):
    def said(out, *options):
        assert cli.main([*WRITERS[name], out, *options]) == 2
        err = capsys.readouterr().err
        assert "--out" in err and ".tmp" not in err and "Traceback" not in err and len(err) < 500
        return err

    with pytest.raises(BegunError):  # the control
        cli.main([*WRITERS[name], name])
    long = "b" * 252 + name[1:]
    assert f"--out {long} cannot be written (File name too long). Choose another place." in said(long)
    Path(name).mkdir()
    for options in ((), ("--overwrite",)):
        assert f"--out {name} is there already and is no file" in said(name, *options)
    Path(name).rmdir()

    def refuse(path, *args, **options):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:  # root may write everywhere
        patch.setattr(Path, "touch", refuse)
        assert f"--out {name} cannot be written (Permission denied). Choose another place." in said(name)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_full_in_the_end_is_said_of_the_file(name, monkeypatch, capsys):
    def full(path, *args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(np, "savez", full)
    assert cli.main([*WRITERS[name], name]) == 2
    assert f"--out {name} cannot be written (No space left on device)" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("name", WRITERS)
def test_links_stay_links_and_what_they_lead_to_is_kept_or_replaced(name, tmp_path, capsys):
    target, link, ring = tmp_path / f"target{name}", tmp_path / name, tmp_path / f"ring{name}"
    try:
        link.symlink_to(target)
        ring.symlink_to(ring)
    except OSError:
        pytest.skip("this system lets us make no links")
    assert cli.main([*WRITERS[name], str(link)]) == 0  # it leads nowhere yet: nothing is in the way
    first = target.read_bytes()
    assert link.is_symlink() and first
    assert cli.main([*WRITERS[name], str(link), "--seed", "1"]) == 2
    assert f"--out {link} exists already" in capsys.readouterr().err and target.read_bytes() == first
    assert cli.main([*WRITERS[name], str(link), "--seed", "1", "--overwrite"]) == 0
    assert link.is_symlink() and target.read_bytes() != first
    assert cli.main([*WRITERS[name], str(ring), "--overwrite"]) == 2
    assert f"--out {ring} is there already and is no file" in capsys.readouterr().err and ring.is_symlink()
    link.unlink()
    link.symlink_to("absent/folder/" + name)
    assert cli.main([*WRITERS[name], str(link)]) == 2 and link.is_symlink()
    assert "in a folder that exists" in capsys.readouterr().err


def test_simulate_does_not_replace_what_was_made_meanwhile(monkeypatch, capsys):
    real = nbody.simulate

    def slow(*args, **options):
        Path("a.npz").write_text("precious")
        return real(*args, **options)

    monkeypatch.setattr(nbody, "simulate", slow)
    assert cli.main([*WRITERS["a.npz"], "a.npz"]) == 2 and "exists already" in capsys.readouterr().err
    assert Path("a.npz").read_text() == "precious"


@pytest.mark.parametrize("path, message", [
    ("a.txt", r"--out must be a file name ending in \.csv or \.npz in .*, but is 'a\.txt'"),
    (f"no{os.sep}a.npz", r"in a folder that exists, but is 'no.*a\.npz'\. Create the folder"),
    (NOBODY, f"--out {UNKNOWN}"),
])
def test_output_file_refuses(path, message):
    with pytest.raises(ValueError, match=message):
        paths.output_file(path, (".csv", ".npz"))
    assert paths.output_file("A.NPZ", (".csv", ".npz")) == Path.cwd().resolve() / "A.NPZ"


def test_an_error_of_the_system_is_said_of_the_file_that_was_named():
    with pytest.raises(ValueError, match=r"--out a\.npz cannot be written \(no reason given\)"):
        with paths.writing(Path("a.npz")):
            raise OSError("no reason given")


def test_data_folder_that_nobody_names_without_platformdirs(monkeypatch):
    monkeypatch.delenv(paths.VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(ValueError, match=f"without the package platformdirs.* set .*{paths.VARIABLE} to a folder"):
        paths.data_dir()
    (check,) = doctor.check_data()
    assert not check.ok and paths.VARIABLE in check.repair
