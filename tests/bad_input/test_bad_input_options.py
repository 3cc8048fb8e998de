"""Every option of every command gets a wrong value; every callable that promises an error has a case.

The lists are made from the parsers, the settings and the docstrings, so that a new option or function is in them.
"""

import ast
import re
from pathlib import Path

import pytest

from ponita_edu import arguments, cli, commands
from ponita_edu.tasks import nbody, run
from ponita_edu.tasks.presets import PRESETS
from ponita_edu.tasks.settings import options

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ponita_edu"
CHECKPOINTS = PACKAGE / "assets" / "checkpoints"
START = {  # what a command needs before its options
    "train": ["nbody"], "sweep": ["nbody", "--vary", "train.seed=0"],
    "evaluate": [str(CHECKPOINTS / "nbody_quick")], "sample": [str(CHECKPOINTS / "qm9_gen_quick"), "--out", "m.xyz"],
    "simulate": ["nbody", "--out", "a.npz"], "queue": ["run"], "doctor": [],
}
WRONG = {  # where "x" might be right
    "--out": "file/in/the/way", "--config": "absent.yaml", "--data": "absent.npz", "--vary": "train.seed",
    "--slurm": "partition", "--work": "file", "--results": "file",
}
LATER = {  # looked at when the data are loaded, or when a run is opened
    "data.source", "model.condition", "evaluate --out", "queue --work", "queue --results",
}
HUGE_AND_TINY = ("nan", "inf", "-inf", "-1", "1e30", "1e-30", "")


class AcceptedError(Exception):
    """The command would now begin."""


@pytest.fixture(autouse=True)
def nothing_begins(tmp_path, monkeypatch):
    def accepted(*args, **options):
        raise AcceptedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PONITA_EDU_DEBUG", raising=False)
    monkeypatch.setattr(run, "run_folder", accepted)
    (tmp_path / "file").write_text("in the way")


def answer(argv, capsys, tmp_path) -> str:
    """What a refused command says; "" if it would have begun. Nothing else may happen, on the disk neither."""
    try:
        code = cli.main(argv)
    except AcceptedError:
        return ""
    err = capsys.readouterr().err
    assert code == 2 and err.startswith("ponita-edu: ") and "Traceback" not in err and len(err) < 900, (argv, code, err)
    assert [p.name for p in tmp_path.rglob("*")] == ["file"], argv
    return err


def options_of(command: str, monkeypatch) -> list[str]:
    """The long names of the options that take a value."""
    seen = []

    def look(self, argv):
        seen.extend(max(a.option_strings, key=len) for a in self._actions if a.option_strings and a.nargs != 0)
        raise ValueError("looked")

    with monkeypatch.context() as patch:
        patch.setattr(arguments.Parser, "read", look)
        with pytest.raises(ValueError, match="looked"):
            getattr(commands, command)(START[command])
    return seen


@pytest.mark.parametrize("command", [c for c in START if c != "train"])
def test_every_option_of_a_command_refuses_a_wrong_value(command, capsys, tmp_path, monkeypatch):
    for name in options_of(command, monkeypatch):
        if "." in name or f"{command} {name}" in LATER:  # names with a dot are settings, the same as of train
            continue
        value = WRONG.get(name, "x")
        said = answer([command, *START[command], name, value], capsys, tmp_path)
        assert name.strip("-") in said or value in said or value.split("/")[0] in said, (name, said)


def numbers_of(task: str) -> set[str]:
    return {name for name, default, _ in options(PRESETS[task]["quick"])
            if isinstance(default, int | float | None) and not isinstance(default, bool)}


@pytest.mark.parametrize("task", PRESETS)
def test_every_setting_refuses_another_type_and_survives_extreme_numbers(task, capsys, tmp_path):
    others = list(PRESETS)[:list(PRESETS).index(task)]
    numbers = numbers_of(task) - set().union(*map(numbers_of, others))  # settings of the same name are one class's
    for name, _, _ in options(PRESETS[task]["quick"]):
        if name == "preset":
            continue
        said = answer(["train", task, f"--{name}", "no such value"], capsys, tmp_path)
        assert name in LATER or said, name
        for value in HUGE_AND_TINY if name in numbers else ():
            said = answer(["train", task, f"--{name}={value}"], capsys, tmp_path)
            assert said or value not in ("nan", "") or name in LATER, (name, value)  # which are no numbers


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory")], ids=["Python", "torch"])
def test_a_model_beyond_the_memory_is_refused_in_a_sentence(error, capsys, tmp_path, monkeypatch):
    def build(*args, **options):
        raise error

    monkeypatch.setattr(nbody, "build", build)
    said = answer(["train", "nbody"], capsys, tmp_path)
    assert f"needs more memory than there is ({type(error).__name__}: {error})" in said and "smaller numbers" in said


# --- callables whose docstring promises an error

ELSEWHERE = {  # reached through another name, in the file that is named
    **dict.fromkeys(("pairs_of", "choose", "read_yaml", "evaluate_checkpoint", "run_folder", "make_folder",
                     "sample_to_file", "check_target"), "the command line: test_bad_input_cli.py and above"),
    **dict.fromkeys(("jobs", "check_cluster", "submit", "remember"), "ponita-edu sweep: tests/unit/test_sweep.py"),
    **dict.fromkeys(("csv_files", "read_csv"), "test_fuzz_readers.py; tests/unit/test_qm9_data.py"),
    "check_whole": "the settings of networks: test_bad_input_network.py",
    "checked_molecules": "bond_orders, stability and pack: test_bad_input_molecules.py",
    "our_name": "load_public_state_dict: test_bad_input_network.py",
    "open_npz": "every reader of .npz files: test_fuzz_readers.py",
    "judge": "a check on what is no function: test_bad_input_course.py",
    "read_npz": "load_nbody on a damaged cache: tests/unit/test_nbody_data.py",
    "check_file": "fetch on a file put by hand: tests/unit/test_download.py",
}


def promising(source: str) -> set[str]:
    """Public functions and classes whose docstring has a section Raises that names ValueError."""
    nodes = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name[0] != "_"]
    return {n.name for n in nodes if re.search(r"Raises:\s+ValueError", ast.get_docstring(n) or "")}


def names_in(source: str) -> set[str]:
    """All names that some code uses, imports or calls as a method."""
    nodes = list(ast.walk(ast.parse(source)))
    return ({n.id for n in nodes if isinstance(n, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}
            | {a.name for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names})


def test_every_callable_that_promises_an_error_has_a_case():
    used = set().union(*(names_in(p.read_text()) for p in Path(__file__).parent.glob("*.py")))
    cases = {name for p in (ROOT / "tests" / "unit").glob("*.py") if "raises(ValueError" in p.read_text()
             for name in names_in(p.read_text())}
    missing = {f"{p.relative_to(PACKAGE)}:{name}" for p in PACKAGE.rglob("*.py") for name in promising(p.read_text())
               if name not in used | cases}
    assert {name for name in missing if name.split(":")[1] not in ELSEWHERE} == set()


def test_a_promise_without_a_case_is_seen():
    source = "".join(f'def {f}():\n    """Raises:\n    ValueError: x."""\n\n' for f in ("kept", "_own"))
    assert promising(source) == {"kept"} and promising('def f():\n    """Nothing."""') == set()
    assert names_in("from a import kept\nb.c()") == {"kept", "b", "c"}
