"""ponita-edu doctor: each fault is found, and comes with its repair."""

import json
import sys
import tomllib
from collections import namedtuple
from itertools import chain

import pytest
import torch
from packaging.requirements import Requirement

from ponita_edu import doctor, paths

Usage = namedtuple("Usage", "total used free")


def test_doctor_finds_nothing_to_repair_in_this_environment():
    assert [c for c in doctor.checks() if c.needed and not c.ok] == []


def test_every_check_has_a_name_of_its_own_and_a_finding():
    results = doctor.checks()
    assert len({c.name for c in results}) == len(results)
    assert all(c.found for c in results)
    assert all(bool(c.repair) != c.ok for c in results)


def test_old_python_is_a_fault(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    check = doctor.check_python()
    assert not check.ok and check.needed and "3.11" in check.repair


def test_absent_package_is_a_fault_that_names_it(monkeypatch):
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda p: None if p == "safetensors" else real(p))
    check = doctor.check_library()
    assert not check.ok and check.needed
    assert check.found == "absent: safetensors" and "make venv" in check.repair


def test_fabric_may_come_with_lightning(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda p: None if p == "lightning-fabric" else "2.6.6")
    assert doctor.check_library().ok
    monkeypatch.setattr(doctor, "installed", lambda p: None if p.startswith("lightning") else "2.6.6")
    assert "lightning-fabric" in doctor.check_library().found


def test_other_version_than_pinned_is_a_note_with_both_versions(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"# pins\nnumpy==0.1\ntorch=={doctor.installed('torch')}\nno-such-thing==1.0\n")
    check = doctor.check_pins(lock)
    assert not check.ok and not check.needed
    assert check.found.startswith(f"1 of 3 as pinned: numpy {doctor.installed('numpy')} (pinned 0.1)")
    assert "no-such-thing absent" in check.found and "make venv" in check.repair


def test_installation_without_a_lock_is_no_fault(tmp_path):
    assert doctor.check_pins(tmp_path / "requirements.lock").ok


def test_lock_line_for_another_system_does_not_count(tmp_path, monkeypatch):
    lock = tmp_path / "requirements.lock"
    lock.write_text('atheris==3.0.0; sys_platform == "linux"\npexpect==4.9.0; sys_platform != "win32"\nsix==1.17.0\n')
    for platform, names in (("win32", {"six"}), ("darwin", {"pexpect", "six"}),
                            ("linux", {"atheris", "pexpect", "six"})):
        monkeypatch.setattr(sys, "platform", platform)
        assert doctor.read_lock(lock).keys() == names


@pytest.mark.parametrize("platform", ["win32", "darwin", "linux"])
def test_the_lock_asks_no_system_for_what_the_package_does_not_want_there(platform, monkeypatch):
    """atheris has no wheel but for Linux: without its marker `conda env create` ends on Windows and macOS."""
    project = tomllib.loads((doctor.LOCK.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(r) for r in chain(project["dependencies"], *project["optional-dependencies"].values())]
    # before the platform is changed: packaging keeps what it has seen of it
    marked = {r.name: r.marker.evaluate({"sys_platform": platform}) for r in wanted if r.marker}
    monkeypatch.setattr(sys, "platform", platform)
    pins = doctor.read_lock().keys()
    assert "atheris" in marked and all((name in pins) == here for name, here in marked.items())


@pytest.mark.parametrize("line", ["numpy>=2.0", "numpy", "-e ."])
def test_lock_line_that_is_no_pin_raises(tmp_path, line):
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"six==1.17.0\n{line}\n")
    with pytest.raises(
        ValueError, match=r"requirements.lock, line 2: got .* expected name==version.*make lock"
    ):
        doctor.read_lock(lock)


def test_broken_torch_is_a_fault(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (check,) = doctor.check_torch()
    assert not check.ok and check.needed and "import fails" in check.found


def test_tf32_is_noted_with_the_line_that_turns_it_off():
    torch.set_float32_matmul_precision("high")
    try:
        check = next(c for c in doctor.check_torch() if c.name == "TF32")
    finally:
        torch.set_float32_matmul_precision("highest")
    assert not check.ok and 'set_float32_matmul_precision("highest")' in check.repair


def test_more_threads_than_cores_is_noted(monkeypatch):
    monkeypatch.setattr(doctor, "available_cores", lambda: 0)
    check = next(c for c in doctor.check_torch() if c.name == "threads")
    assert not check.ok and not check.needed and "OMP_NUM_THREADS" in check.repair


def test_widget_halves_of_different_age_are_a_fault(monkeypatch):
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda p: "1.1.0" if p == "jupyterlab-widgets" else real(p))
    check = doctor.check_widgets()
    assert not check.ok and "jupyterlab-widgets 3.* wanted" in check.found


def test_missing_labextension_is_a_fault_that_names_it(tmp_path):
    check = doctor.check_widgets(tmp_path)
    assert not check.ok and "no @jupyter-widgets/jupyterlab-manager" in check.found and check.repair


def test_labextensions_of_the_user_are_found(tmp_path, monkeypatch):
    paths = pytest.importorskip("jupyter_core.paths", reason="the course extra is not installed")
    monkeypatch.setattr(paths, "ENV_JUPYTER_PATH", [])  # nothing below sys.prefix
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "user"))
    assert f"no anywidget in {tmp_path / 'user' / 'labextensions'}" in doctor.check_widgets().found
    for name in ("@jupyter-widgets/jupyterlab-manager", "anywidget"):
        (tmp_path / "user" / "labextensions" / name).mkdir(parents=True)
        (tmp_path / "user" / "labextensions" / name / "package.json").touch()
    assert doctor.check_widgets().ok


def test_library_without_the_course_needs_no_widgets(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda p: None)
    assert doctor.check_widgets().ok


def test_data_folder_in_place_of_a_file_is_a_fault(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PONITA_EDU_DATA", str(tmp_path / "file" / "data"))
    (check,) = doctor.check_data()
    assert not check.ok and "PONITA_EDU_DATA" in check.repair


def test_full_disk_is_a_fault(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - 10**9, 10**9))
    check = next(c for c in doctor.check_data() if c.name == "free disk")
    assert not check.ok and check.found == "0.9 GiB" and "2 GiB" in check.repair


def test_missing_browser_is_only_noted(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    check = doctor.check_chromium()
    assert not check.ok and not check.needed and "chromium" in check.repair


@pytest.mark.parametrize("needed, code", [(True, 1), (False, 0)])
def test_main_fails_only_for_what_is_needed(monkeypatch, capsys, needed, code):
    fault = doctor.Check("thing", False, "gone", "put it back", needed)
    monkeypatch.setattr(doctor, "checks", lambda: [doctor.Check("other", True, "here"), fault])
    assert doctor.main() == code
    assert "-> put it back" in capsys.readouterr().out
    assert doctor.main(json=True) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is (code == 0)
    assert answer["checks"][1]["repair"] == "put it back"


def test_data_dir_is_where_the_variable_says_and_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("PONITA_EDU_DATA", str(tmp_path / "a" / "b"))
    assert paths.data_dir() == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()


def test_data_dir_without_the_variable_is_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("PONITA_EDU_DATA")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name, appauthor: str(tmp_path / name))
    assert paths.data_dir() == tmp_path / "ponita_edu"


def test_data_dir_that_cannot_be_made_names_the_variable(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PONITA_EDU_DATA", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot be created .* PONITA_EDU_DATA"):
        paths.data_dir()
