"""The app without a browser: its table, its kernel, its settings."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("voila", reason="the course extra is not installed")

from ponita_edu import app, lab, paths
from ponita_edu.serving import kernel, pages, site_map


def test_every_page_has_its_explorer_and_a_notebook_that_runs_nothing_else(tmp_path):
    assert pages.MAKERS.keys() == site_map.PAGES.keys()
    site_map.write_notebooks(tmp_path)
    for name, page in site_map.PAGES.items():
        notebook = json.loads((tmp_path / f"{name}.ipynb").read_text())
        assert [cell["source"] for cell in notebook["cells"]] == [site_map.code(name)]
        assert notebook["metadata"]["title"] == page.title and notebook["metadata"]["kernelspec"]["name"] == "page"


class Ran(Exception):
    pass


@pytest.fixture
def do_execute(monkeypatch):
    """``do_execute`` of a page's kernel whose IPython raises `Ran` with what it is given."""

    async def run(self, code, silent, **options):
        raise Ran(code, options)

    monkeypatch.setattr(kernel.IPythonKernel, "do_execute", run)
    one = kernel.PageKernel.__new__(kernel.PageKernel)
    return lambda code, **options: asyncio.run(kernel.PageKernel.do_execute(one, code, False, **options))


@pytest.mark.parametrize("code", ["1", "", site_map.code("pairs") + "\nprint()", " " + site_map.code("pairs"),
                                  'import os\nos.environ["VOILA_KERNEL_ID"]="0"; print()'])
def test_kernel_refuses_code_that_is_no_pages(do_execute, code):
    assert do_execute(code)["ename"] == "PermissionError"


def test_kernel_runs_its_page_once_and_no_expression_with_it(do_execute):
    with pytest.raises(Ran) as ran:
        do_execute(site_map.code("pairs"), user_expressions={"x": "1"}, allow_stdin=True)
    assert ran.value.args[1] == {"store_history": False, "user_expressions": {}, "allow_stdin": False}
    assert do_execute(site_map.code("pairs"))["ename"] == "PermissionError"


def test_kernel_takes_no_other_requests():
    assert set(kernel.PageKernel.msg_types) == {"execute_request", "kernel_info_request", "comm_info_request",
                                                "shutdown_request"}
    assert "debug_request" not in kernel.PageKernel.control_msg_types


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
@pytest.mark.parametrize("share, fits", [(0.5, True), (1.5, False)])
def test_a_page_cannot_take_all_memory(share, fits):
    code = ("from ponita_edu.serving import kernel; import numpy as np; kernel.limit_memory(); "
            f"np.empty(int({share} * kernel.MEMORY), dtype='u1')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == fits and ("MemoryError" in done.stderr) != fits


def test_token_is_in_the_environment_and_the_users_settings_are_not(tmp_path):
    env = app.environment("secret", tmp_path, {"JUPYTER_PATH": "theirs", "JUPYTER_CONFIG_DIR": "theirs"})
    assert env["JUPYTER_TOKEN"] == "secret" and "theirs" not in env.values()


@pytest.mark.parametrize("option", ["--visitors", "--minutes"])
def test_app_refuses_no_visitors_and_no_minutes(option, capsys):
    with pytest.raises(SystemExit):
        app.main([option, "0"])
    assert f"{option} must be at least 1, but is 0" in capsys.readouterr().err


@pytest.mark.parametrize("ip", ["999.1.1.1", "192.0.2.7", "a" * 80, "1 2", "::1::"])
def test_app_refuses_an_address_that_is_not_this_machines(ip, capsys):
    with pytest.raises(SystemExit) as end:
        app.main(["--ip", ip])
    said = capsys.readouterr().err
    assert end.value.code == 2 and f"--ip must be an address of this machine, but {ip!r} is none (" in said
    with pytest.raises(ValueError, match="--ip must be an address of this machine"):
        lab.check_address(ip)


@pytest.mark.parametrize("ip", [app.HERE, *app.EVERYWHERE[:2], "localhost"])
def test_app_takes_addresses_of_this_machine(ip):
    lab.check_address(ip)


@pytest.mark.parametrize("module, package", [(app, "voila"), (lab, "jupyterlab")])
def test_without_the_course_extra_its_name_is_told(module, package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as end:
        module.main([])
    said = capsys.readouterr().err
    assert end.value.code == 2 and f"{package} is not installed. Install the extra `course`" in said


@pytest.mark.parametrize("module", [app, lab])
@pytest.mark.parametrize("port", [-5, -1, 65536, 99999, 10**30])
def test_ports_that_cannot_be_are_refused(module, port, capsys):
    with pytest.raises(SystemExit) as end:
        module.main(["--port", str(port)])
    said = capsys.readouterr().err
    assert end.value.code == 2 and f"--port must be from 0 (any) to 65535, but is {port}." in said
    with pytest.raises(ValueError, match="--port must be"):
        lab.check_port(port)
    lab.check_port(0)
    lab.check_port(65535)


@pytest.mark.parametrize("module, name", [(app, "app"), (lab, "jupyter")])
@pytest.mark.parametrize("in_the_way", ["folder", "log"])
def test_a_log_that_cannot_be_written_names_the_variable(module, name, in_the_way, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    monkeypatch.setattr(lab, "free_port", lambda preferred: 8888)
    monkeypatch.chdir(Path(lab.__file__).resolve().parents[1])
    if in_the_way == "folder":
        (tmp_path / name).write_text("in the way")
    else:
        for stem in ("app", "lab"):
            (tmp_path / name / f"{stem}-8888.log").mkdir(parents=True)
    with pytest.raises(SystemExit) as end:
        module.main([])
    said = capsys.readouterr().err
    assert end.value.code == 2 and re.search(r"the log .*8888\.log cannot be written \(", said)
    assert f"Set the environment variable {paths.VARIABLE} to a folder" in said
    with pytest.raises(ValueError, match="cannot be written"):
        lab.private_log(tmp_path / name, module.__name__.split(".")[-1], 0)
