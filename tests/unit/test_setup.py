"""The set-up: one list of versions in three files, the Makefile's scripts, the sanitising of notebooks."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import first_calls
import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import ponita_edu
from ponita_edu import doctor

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(r) for group in (PROJECT["dependencies"], *EXTRAS.values()) for r in group]
PINS = doctor.read_lock(ROOT / "requirements.lock")
NOT_PINNED = re.compile(r"triton|nvidia-.*|cuda-.*|pip")

# modules that are about ASE, and of no use without it (extra chem)
FOR_ASE = ("calculator.py", "nve.py")

needs_make = pytest.mark.skipif(
    shutil.which("make") is None or sys.platform == "win32", reason="make and bash are not on this system"
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def unmet(requirements: list[Requirement], pins: dict[str, str]) -> list[str]:
    """The requirements that ``pins`` does not meet."""
    return [str(r) for r in requirements if pins.get(canonical(r.name), "0.dev0") not in r.specifier]


# --- pyproject.toml, requirements.lock and environment.yml agree


def test_lock_meets_every_requirement_of_pyproject():
    assert unmet(REQUIREMENTS, PINS) == []


def test_unmet_finds_a_missing_and_a_wrong_pin():
    pins = {name: version for name, version in PINS.items() if name != "scipy"} | {"torch": "1.0"}
    assert {Requirement(r).name for r in unmet(REQUIREMENTS, pins)} == {"scipy", "torch"}


def test_lock_holds_all_that_its_packages_need():
    """From the project's requirements, follow the installed metadata: every step stays within the lock."""
    todo, seen = [(r, "") for r in REQUIREMENTS], set()
    while todo:
        requirement, extra = todo.pop()
        name = canonical(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if not applies or NOT_PINNED.fullmatch(name):
            continue
        assert name in PINS, f"{name} is needed, but not pinned: make lock"
        assert requirement.specifier.contains(PINS[name]), f"{requirement} is not met by {PINS[name]}"
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                todo += [(Requirement(r), wanted) for r in metadata.requires(name) or []]
    assert len(seen) > len(REQUIREMENTS)


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_lock_suits_every_python_that_we_admit(python):
    """A pin may want a newer patch release than the one it was made with: hold it back in the Makefile."""
    wanted = {name: metadata.metadata(name)["Requires-Python"] for name in PINS}
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    assert {name: w for name, w in wanted.items() if w and python not in SpecifierSet(w)} == {}


def test_lock_pins_no_cuda_build():
    assert [name for name in PINS if NOT_PINNED.fullmatch(name)] == []
    assert [version for version in PINS.values() if "+" in version] == []


def test_environment_yml_takes_its_versions_from_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert environment["name"] == "ponita_edu"
    assert pip == "pip" and packages == {"pip": ["-r requirements.lock", "-e ."]}
    assert Requirement("python" + PROJECT["requires-python"]).specifier.contains(python.split("=")[1] + ".0")


@pytest.mark.skipif(
    not (Path(sys.prefix) / ".installed").is_file(), reason="not an environment of `make venv`"
)
def test_installed_versions_equal_the_lock():
    assert {name: doctor.installed(name) for name in PINS} == PINS


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert ponita_edu.__version__ == citation["version"] == metadata.version("ponita_edu")


def test_import_ponita_edu_loads_no_torch():
    code = "import ponita_edu, sys; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def imported(source: str, anywhere: bool) -> set[str]:
    """Top-level names of the packages that a module imports: when it is itself imported, or ``anywhere`` in it."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree)) if anywhere else tree.body
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"ponita_edu"}


def test_imported_tells_top_level_from_inner_imports():
    source = "import numpy.linalg, os\nfrom scipy import stats\ndef f():\n    import rdkit.Chem\n"
    assert imported(source, anywhere=False) == {"numpy", "scipy"}
    assert imported(source, anywhere=True) == {"numpy", "scipy", "rdkit"}


def test_every_import_is_declared():
    """Modules load with the library's own dependencies; viz/ and serving/ may need the course extra, functions any."""
    distribution = {k: {canonical(d) for d in ds} for k, ds in metadata.packages_distributions().items()}
    distribution["lightning"] = {"lightning-fabric"}  # the same Fabric under its other name
    declared = {canonical(r.name) for r in REQUIREMENTS}
    library = {canonical(Requirement(r).name) for r in PROJECT["dependencies"]}
    course = library | {canonical(Requirement(r).name) for r in EXTRAS["course"]}
    for path in (ROOT / "ponita_edu").rglob("*.py"):
        source = path.read_text()
        loaded = course if {"viz", "serving"} & set(path.parts) else library
        if path.name in FOR_ASE:
            loaded = library | {"ase"}
        for name in imported(source, anywhere=False):
            assert distribution.get(name, set()) & loaded, f"{path.name} loads {name}: declare it in pyproject.toml"
        for name in imported(source, anywhere=True):
            assert distribution.get(name, set()) & declared, f"{path.name} imports {name}: declare it in pyproject.toml"


def test_shape_checks_are_on_in_make_unit(request):
    if not request.config.getoption("jaxtyping_packages"):
        pytest.skip("run without --jaxtyping-packages")
    from jaxtyping import TypeCheckError

    with pytest.raises(TypeCheckError):
        doctor.read_lock("not a path")


def test_shapes_of_the_first_calls_in_each_test_are_checked(monkeypatch):
    from beartype import beartype
    from jaxtyping import Float, TypeCheckError

    monkeypatch.setattr(first_calls, "CALLS", 2)

    @first_calls.first_calls(typechecker=beartype)
    def twice(x: Float[torch.Tensor, " n"]) -> Float[torch.Tensor, " n"]:
        return torch.cat((x, x))  # of another shape than it says

    for _ in range(2):  # two tests
        for _ in range(2):
            with pytest.raises(TypeCheckError):
                twice(torch.ones(3))
        assert len(twice(torch.ones(3))) == 6  # the third call in a test is not looked at
        first_calls.calls.clear()


# --- make venv


@needs_make
@pytest.mark.parametrize("changed", [None, "requirements.lock", "pyproject.toml"])
def test_make_venv_installs_only_after_a_change(tmp_path, changed):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (1e9, 1e9))
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / ".installed").touch()
    if changed:
        os.utime(tmp_path / changed, (4e9, 4e9))
    planned = subprocess.run(
        ["make", "-n", "venv", "VENV=venv"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ("tools/make_venv.sh" in planned.stdout) == (changed is not None)


@needs_make
@pytest.mark.parametrize(
    "python, expected", [("", "No Python 3.11 or newer"), ("/no/python", "PYTHON=/no/python")]
)
def test_make_venv_without_python_says_what_to_install(tmp_path, python, expected):
    bash = shutil.which("bash")
    done = subprocess.run(
        [bash, ROOT / "tools/make_venv.sh", tmp_path / "venv", python],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and expected in done.stderr
    assert not (tmp_path / "venv").exists()


# --- make test, with a stand-in for the environment's python


@pytest.fixture
def run_stages(tmp_path):
    """Run tools/run_tests.sh in a small project; its python notes its arguments and exits with ``code``."""

    def run(*stages: str, code: int = 0, tests: tuple[str, ...] = (), note: str = '"$@"') -> tuple[int, str, str]:
        for test in tests:
            (tmp_path / test).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / test).touch()
        python = tmp_path / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\necho {note} >> {tmp_path}/calls\nexit {code}\n")
        python.chmod(0o755)
        done = subprocess.run(
            [ROOT / "tools/run_tests.sh", "venv", *stages], cwd=tmp_path, capture_output=True, text=True
        )
        calls = tmp_path / "calls"
        return done.returncode, done.stdout, calls.read_text() if calls.exists() else ""

    return run


@needs_make
def test_run_tests_checks_shapes_in_unit_and_not_in_bad_input(run_stages):
    code, out, calls = run_stages(
        "unit",
        "bad_input",
        tests=("tests/unit/test_a.py", "tests/more/test_b.py", "tests/bad_input/test_c.py"),
    )
    unit, bad_input = calls.splitlines()
    assert code == 0 and "== bad_input: ok, 0 min" in out and "== bad_input (so far: unit 0 min" in out
    assert "--jaxtyping-packages" in unit and "tests/unit/" in unit and "tests/more/" in unit
    assert "--jaxtyping-packages" not in bad_input and "bad_input" not in unit


@needs_make
def test_run_tests_keeps_bytecode_where_the_environment_forbids_it(run_stages, monkeypatch):
    """uv installs none, so every process would compile all that it imports."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    code, _, calls = run_stages("lint", note='"$PYTHONDONTWRITEBYTECODE$OMP_NUM_THREADS"')
    assert code == 0 and calls.splitlines() == ["1", "1"]  # the threads alone


@needs_make
@pytest.mark.parametrize("code", [1, 5])
def test_run_tests_stops_at_the_first_failure(run_stages, code):
    result, out, calls = run_stages("lint", "unit", code=code, tests=("tests/unit/test_a.py",))
    assert result == code and f"== lint: FAILED (exit {code})" in out
    assert len(calls.splitlines()) == 1


@needs_make
@pytest.mark.parametrize("stage", ["bad_input", "notebooks", "browser"])
def test_run_tests_passes_a_stage_without_files_and_says_so(run_stages, stage):
    code, out, calls = run_stages(stage)
    assert (code, calls) == (0, "") and "no test files in this stage yet" in out


@needs_make
@pytest.mark.parametrize(
    "stage, file", [("bad_input", "tests/bad_input/test_a.py"), ("notebooks", "notebooks/a.ipynb")]
)
def test_run_tests_fails_where_files_hold_no_test(run_stages, stage, file):
    assert run_stages(stage, code=5, tests=(file,))[0] == 5


# --- notebooks: what nbval may overlook, and what it may not


def sanitized(text: str) -> str:
    from nbval.plugin import get_sanitize_patterns

    for pattern, replacement in get_sanitize_patterns((ROOT / "tests/notebooks/sanitize.cfg").read_text()):
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize(
    "one, other",
    [
        ("<Grid at 0x7f10aa20>", "<Grid at 0x55e0b1c4d5f0>"),
        ("trained in 12.3 s", "trained in 9.87 s"),
        ("  10%|#   | 1/10 [00:01<00:09, 1.0it/s]", "  10%|#   | 1/10 [00:02<00:18, 2.0s/it]"),
        ('"model_id": "0123456789abcdef0123456789abcdef"', '"model_id": "fedcba9876543210fedcba9876543210"'),
        ("1b671a64-40d5-491e-99b0-da01ff1f3341", "9c858901-8a57-4791-81fe-4c455b099bc9"),
        ("made 2026-11-23 13:01:37", "made 2027-01-02 03:04:05"),
        ("torch 2.13.0+cpu", "torch 2.13.0+cu130"),
        ("3dmolviewer_16998877665544332", "3dmolviewer_17001122334455667"),
    ],
)
def test_sanitizing_removes_what_differs_between_runs(one, other):
    assert one != other and sanitized(one) == sanitized(other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("error 3.1e-16", "error 2.0e-03"),
        ("MSE 0.0193", "MSE 0.0912"),
        ("below 1e-12: True", "below 1e-12: False"),
        ("shape (12, 3)", "shape (20, 3)"),
        ("energy -3.2 meV", "energy -3.3 meV"),
        ("torch 2.13.0", "torch 2.12.0"),
    ],
)
def test_sanitizing_keeps_numbers_and_verdicts(one, other):
    assert sanitized(one) != sanitized(other)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_a_clone_without_history_is_below_20_mb(tmp_path):
    copy = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--depth", "1", ROOT.as_uri(), str(copy)], check=True)
    size = sum(path.lstat().st_size for path in copy.rglob("*") if not path.is_dir())
    assert (copy / "README.md").exists() and (copy / ".git").exists()
    assert size < 20e6, f"{size / 1e6:.1f} MB"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_a_clone_on_windows_has_the_line_ends_that_bash_and_make_want(tmp_path):
    copy = tmp_path / "clone"
    subprocess.run(["git", "-c", "core.autocrlf=true", "clone", "-q", "--depth", "1", ROOT.as_uri(), str(copy)],
                   check=True)
    for name in ("tools/make_venv.sh", "tools/run_tests.sh", ".ci/run", "Makefile", "requirements.lock"):
        assert b"\r" not in (copy / name).read_bytes(), name
