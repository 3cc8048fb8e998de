"""python -m ponita_edu.lab: a JupyterLab that answers on this machine only, and goes when told."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from ponita_edu import lab

pytest.importorskip("jupyterlab", reason="the course extra is not installed")

NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A folder with a first notebook, and a home of its own."""
    root = tmp_path_factory.mktemp("course")
    (root / "notebooks").mkdir()
    (root / lab.FIRST).write_text(json.dumps(NOTEBOOK))
    return root


def launch(course, home) -> tuple[subprocess.Popen, str]:
    """The process of ``python -m ponita_edu.lab`` and the line that it prints first."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER") and "DISPLAY" not in k}
    env |= {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
        "PONITA_EDU_DATA": str(home / "data"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "ponita_edu.lab", "--port", "0"],
        cwd=course,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline()


@pytest.fixture(scope="module")
def server(course):
    """A running server: its process, its first line and its home."""
    home = course / "home"
    home.mkdir()
    process, line = launch(course, home)
    yield process, line, home
    process.terminate()
    process.communicate(timeout=30)


def get(line: str, path: str, token: str | None = None) -> tuple[int, str]:
    base, good = re.match(r"Open (http://127\.0\.0\.1:\d+)/.*token=(\w+)", line).groups()
    request = urllib.request.Request(base + path, headers={"Authorization": f"token {token or good}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.reason


def test_lab_prints_the_address_of_the_first_notebook_with_token(server):
    process, line, _ = server
    assert line, process.stderr.read()
    assert re.fullmatch(
        r"Open http://127\.0\.0\.1:\d+/lab/tree/notebooks/00_start_here\.ipynb\?token=\w{32}\n", line
    )


def test_lab_serves_the_page_and_the_notebook(server):
    status, page = get(server[1], "/lab/tree/" + lab.FIRST)
    assert status == 200 and "jupyter-config-data" in page
    status, contents = get(server[1], "/api/contents/" + lab.FIRST)
    assert status == 200 and json.loads(contents)["content"] == NOTEBOOK


def test_lab_refuses_a_wrong_token(server):
    assert get(server[1], "/api/contents/" + lab.FIRST, token="wrong")[0] == 403


def test_lab_asks_nobody_for_news_or_updates(server):
    settings = json.loads(get(server[1], "/lab/api/settings/@jupyterlab/apputils-extension:notification")[1])
    defaults = {name: p["default"] for name, p in settings["schema"]["properties"].items() if "default" in p}
    assert (defaults["fetchNews"], defaults["checkForUpdates"]) == ("false", False)


def test_lab_leaves_the_users_settings_alone(server):
    assert get(server[1], "/lab/api/workspaces/default")[0] in (200, 404)
    assert not (server[2] / ".jupyter" / "lab").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
@pytest.mark.parametrize("sign", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_lab_stops_its_server_when_told(course, tmp_path, sign):
    process, line = launch(course, tmp_path)
    port = int(re.search(r":(\d+)/", line).group(1))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) == 0
    process.send_signal(getattr(signal, sign))
    assert process.wait(30) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_lab_that_cannot_start_shows_the_end_of_the_log(course, monkeypatch, capsys):
    broken = [sys.executable, "-c", "raise SystemExit('no such option')"]
    monkeypatch.setattr(lab, "command", lambda root, port: broken)
    monkeypatch.chdir(course)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert lab.main(["--no-browser"]) == 1
    finally:
        signal.signal(signal.SIGTERM, handler)
    error = capsys.readouterr().err
    assert "JupyterLab stopped" in error and "no such option" in error and "doctor" in error


def test_free_port_leaves_a_taken_one():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert lab.free_port(taken) not in (0, taken)
    assert lab.free_port(taken) == taken


@pytest.mark.parametrize(
    "environ, platform, shown",
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({}, "win32", True),
    ],
)
def test_browser_is_opened_only_where_there_is_a_display(environ, platform, shown):
    assert lab.has_display(environ, platform) is shown


def test_root_is_allowed_only_to_root(monkeypatch, tmp_path):
    for uid, allowed in ((0, "True"), (1000, "False")):
        monkeypatch.setattr(lab.os, "getuid", lambda uid=uid: uid, raising=False)
        assert f"--ServerApp.allow_root={allowed}" in lab.command(tmp_path, 8888)


def test_users_own_config_path_is_kept_after_ours():
    env = lab.environment("secret", {"JUPYTER_CONFIG_PATH": "theirs"})
    assert env["JUPYTER_CONFIG_PATH"] == f"{lab.SETTINGS}{os.pathsep}theirs"


@pytest.mark.parametrize("written", ["my notes/100%.ipynb", "{root}/my notes/100%.ipynb", "./x/../my notes/100%.ipynb"])
def test_address_of_a_notebook_is_as_jupyterlab_knows_it(written, tmp_path, monkeypatch, capsys):
    for name in ("my notes", "x"):
        (tmp_path / name).mkdir()
    (tmp_path / "my notes" / "100%.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab, "attend", lambda begin, port, log, url, browser: print(url) or 0)
    assert lab.main([written.format(root=tmp_path), "--no-browser"]) == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/lab/tree/my%20notes/100%25\.ipynb\?token=\w+\n",
                        capsys.readouterr().out)


def test_notebook_outside_of_the_course_is_not_shown(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "other.ipynb").touch()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match="was not found"):
        lab.course_root("../other.ipynb")


def test_unknown_notebook_names_it_and_the_repair(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"'notebooks/no\.ipynb' was not found.*Change into the checkout"):
        lab.course_root("notebooks/no.ipynb")


def test_a_package_that_is_not_installed_is_named_with_the_extra():
    lab.check_installed("jupyterlab")
    with pytest.raises(ValueError, match=r"no_such_package is not installed.*Install the extra `course`"):
        lab.check_installed("no_such_package")
