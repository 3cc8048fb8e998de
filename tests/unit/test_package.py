"""The package as others get it: wheel and sdist, in an environment without this checkout, without the course extra."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = metadata.version("ponita_edu")
ROOMS = ("geometry", "data", "nn", "tasks", "analysis", "molecules")
FOR_ASE = ("ponita_edu.molecules.calculator", "ponita_edu.molecules.nve")  # ASE is the extra chem
SAMPLE = ("unit/test_groups.py", "unit/test_invariants.py", "unit/test_checkpoint.py", "unit/test_qm9_data.py")
IN_PLACE = ("test_doctor.py", "test_open_questions.py")  # about a whole environment; about results/
pytestmark = pytest.mark.slow


def files_of(folder: Path, prefix: str = "") -> set[str]:
    return {prefix + p.relative_to(folder).as_posix() for p in folder.rglob("*")
            if p.is_file() and "__pycache__" not in p.parts}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist and the wheel made from it, built by ``python -m build`` from a copy of what it needs."""
    pytest.importorskip("build", reason="the dev extra is not installed")
    source = tmp_path_factory.mktemp("source")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    for folder in ("ponita_edu", "tests", "notebooks", "tools"):  # the last three are there to be left out
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    done = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", source],
                          capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return source / "dist"


@pytest.fixture(scope="module")
def clean(built, tmp_path_factory) -> Path:
    """The Python of a new environment: our wheel, and the pinned packages without the checkout that is among them.

    A line of a .pth file adds a folder, but runs no .pth file in it, and so not that of the editable checkout.
    """
    folder = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = next(p for p in (folder / "bin" / "python", folder / "Scripts" / "python.exe") if p.exists())
    wheel = next(built.glob("*.whl"))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    place = next(folder.rglob("site-packages"))
    (place / "pinned.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run(python: Path, *argv: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run([python, *argv], cwd=cwd, env=env, capture_output=True, text=True)


def test_wheel_holds_the_package_with_its_data_and_nothing_else(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {n for n in wheel.namelist() if not n.endswith("/")}
        entry = wheel.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
        about = wheel.read(next(n for n in names if n.endswith("METADATA"))).decode()
    package = {n for n in names if ".dist-info/" not in n}
    assert package == files_of(ROOT / "ponita_edu", "ponita_edu/")
    assert {"ponita_edu/assets/qm9_small.npz", "ponita_edu/assets/checkpoints/molecules/state.safetensors",
            "ponita_edu/assets/viewer.js", "ponita_edu/py.typed"} <= package
    assert "ponita-edu = ponita_edu.cli:main" in entry
    assert [n for n in names if n.endswith("LICENSE")] and f"Version: {VERSION}" in about
    assert {r.split(";")[0].strip() for r in re.findall(r"Requires-Dist: (.*)", about)} >= {
        str(Requirement(r)) for r in PROJECT["dependencies"]}


def test_sdist_holds_what_the_wheel_is_made_of_and_no_notebook(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {m.name.partition("/")[2] for m in sdist.getmembers() if m.isfile()}
    assert files_of(ROOT / "ponita_edu", "ponita_edu/") <= names
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert [n for n in names if n.startswith(("notebooks/", "tests/", "tools/"))] == []


def test_installed_wheel_passes_tests_away_from_the_checkout(clean, tmp_path):
    """A sample; with WHEEL_TESTS=all every file of library tests that does not look for the checkout (5 minutes)."""
    all_of_them = os.environ.get("WHEEL_TESTS") == "all"

    def meant(path: Path) -> bool:
        if all_of_them:
            return path.name not in IN_PLACE and ".parents[" not in path.read_text()
        return f"{path.parent.name}/{path.name}" in SAMPLE

    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns(
        "__pycache__", "bad_input", "browser", "exercises", "notebooks"))
    files = [path.relative_to(tmp_path) for folder in ("unit", "equivariance")
             for path in sorted((tmp_path / "tests" / folder).glob("test_*.py")) if meant(path)]
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = tests\nmarkers = slow: takes long\n")
    where = run(clean, "-c", "import ponita_edu; print(ponita_edu.__file__)", cwd=tmp_path).stdout.strip()
    assert Path(where).is_relative_to(clean.parents[1])
    how = ["-n", "2"] if all_of_them else ["-m", "not slow"]
    done = run(clean, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *how, *files,
               cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    print(f"{passed} tests passed with the installed wheel")
    assert passed > (1000 if all_of_them else 30)
    script = clean.parent / "ponita-edu"
    assert run(script, "--version", cwd=tmp_path).stdout == f"ponita_edu {VERSION}\n"


BLOCKED = """
import importlib, json, sys
blocked, modules = json.loads(sys.argv[1]), json.loads(sys.argv[2])

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for module in modules:
    importlib.import_module(module)
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & set(blocked), loaded & set(blocked)
"""


def modules_of(package: Path, rooms: tuple[str, ...]) -> list[str]:
    paths = sorted(p for room in rooms for p in (package / room).rglob("*.py"))
    names = [".".join(p.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__") for p in paths]
    return [name for name in names if name not in FOR_ASE]


def test_without_the_course_extra_every_module_of_the_library_loads(tmp_path):
    """What the extra brings is hidden; modules of ``viz`` need it, so that they show that the hiding works."""
    dists = {Requirement(r).name.lower() for r in PROJECT["optional-dependencies"]["course"]}
    kept = {Requirement(r).name.lower() for r in PROJECT["dependencies"]}
    hidden = sorted(name for name, owners in metadata.packages_distributions().items()
                    if {o.lower() for o in owners} & dists and not {o.lower() for o in owners} & kept)
    assert {"jupyterlab", "IPython", "ipywidgets", "plotly", "matplotlib", "voila", "tornado"} <= set(hidden)
    modules = modules_of(ROOT / "ponita_edu", ROOMS)
    assert len(modules) > 100
    for names, code in (([*modules, "ponita_edu.cli", "ponita_edu.commands", "ponita_edu.doctor", "ponita_edu.lab"], 0),
                        (["ponita_edu.viz.draw_plotly"], 1), (["ponita_edu.viz.widget"], 1)):
        done = subprocess.run([sys.executable, "-c", BLOCKED, json.dumps(hidden), json.dumps(names)], cwd=tmp_path,
                              capture_output=True, text=True)
        assert done.returncode == code, done.stderr[-2000:]
        assert code == 0 or "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_every_module_compiles_and_the_command_answers_on_newer_pythons(version, tmp_path):
    """Where such a Python is: it need not have torch."""
    here = (shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    found = next((p for p in here if p and run(Path(p), "--version", cwd=tmp_path).returncode == 0), None)
    if found is None:
        pytest.skip(f"no Python {version} on this machine")
    target = tmp_path / "ponita_edu"
    shutil.copytree(ROOT / "ponita_edu", target, ignore=shutil.ignore_patterns("__pycache__", "assets"))
    done = run(Path(found), "-W", "error", "-m", "compileall", "-q", target, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run(Path(found), "-m", "ponita_edu.cli", "--version", cwd=tmp_path).stdout.startswith("ponita_edu ")
    (target / "broken.py").write_text("def f(:\n")
    assert run(Path(found), "-m", "compileall", "-q", target, cwd=tmp_path).returncode == 1
