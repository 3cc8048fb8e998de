"""Slow modules that nothing calls are not loaded, and stay installed for everybody else."""

import subprocess
import sys

import pytest

from ponita_edu.quick import IDLE, quick_start

pytest.importorskip("plotly", reason="the course extra is not installed")
LOADED = "import sys; print(*(name for name in ('jsonschema', 'rfc3987_syntax') if name in sys.modules))"


@pytest.mark.parametrize(("lines", "loaded"), [
    ("import ponita_edu.viz", ["jsonschema"]),
    ("import plotly.graph_objects; plotly.graph_objects.FigureWidget", ["jsonschema", "rfc3987_syntax"]),  # the control
])
def test_pictures_load_without_the_parsers_of_addresses(lines, loaded):
    pytest.importorskip("rfc3987_syntax")
    done = subprocess.run([sys.executable, "-c", f"{lines}\n{LOADED}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == loaded


def test_afterwards_the_modules_can_be_imported_again(monkeypatch):
    for name in IDLE:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(KeyError), quick_start():
        assert all(sys.modules[name] is None for name in IDLE)
        with pytest.raises(ImportError):
            __import__(IDLE[0])
        raise KeyError
    assert not any(name in sys.modules for name in IDLE)


def test_a_module_that_is_loaded_already_stays(monkeypatch):
    monkeypatch.setitem(sys.modules, IDLE[0], sys)
    with quick_start():
        assert __import__(IDLE[0]) is sys
    assert sys.modules[IDLE[0]] is sys
