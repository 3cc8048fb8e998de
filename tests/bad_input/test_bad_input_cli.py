"""Wrong command lines: a message that names argument, value and repair, exit status 2, nothing written."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ponita_edu import cli
from ponita_edu.data import nbody


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    (tmp_path / "broken.yaml").write_text("train:\n  lr: [1\n")
    (tmp_path / "typo.yaml").write_text("model:\n  hiden: 64\n")
    (tmp_path / "flat.yaml").write_text("model: 64\n")
    (tmp_path / "task.yaml").write_text("task: qm9\n")
    (tmp_path / "twice.yaml").write_text("model:\n  hidden: 8\nmodel:\n  layers: 2\n")
    (tmp_path / "inner.yaml").write_text("train: {lr: 1e-3, lr: 2e-3}\n")
    (tmp_path / "dotted.yaml").write_text("model.hidden: 8\nmodel: {hidden: 9}\n")
    (tmp_path / "value.yaml").write_text("model.hidden: 8\nmodel: 9\n")
    (tmp_path / "colon.yaml").write_text("train:\n  max_minutes: 1:30\n")
    (tmp_path / "octal.yaml").write_text("train:\n  seed: 010\n")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "python.yaml").write_text("train: !!python/object/apply:os.system ['true']\n")
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("dear diary")


TRAIN = ("train", "nbody")
CASES = [
    # command line, what the message must say
    (["trian"], r"command 'trian' is not known; did you mean train\?"),
    (["train"], r"required: task"),
    (["train", "nbdy"], r"task 'nbdy' is not known; did you mean nbody\?"),
    ([*TRAIN, "--preset", "quik"], r"preset 'quik' is not known; did you mean quick\? Known: quick, paper"),
    ([*TRAIN, "--preset"], r"--preset: expected one argument"),
    ([*TRAIN, "--model.hiden", "64"], r"--model.hiden is not an option .*; did you mean --model.hidden\?"),
    ([*TRAIN, "--train.learning_rate=1"], r"--train.learning_rate is not an option"),
    ([*TRAIN, "extra"], r"extra is not an option"),
    ([*TRAIN, "--model.hidden", "many"], r"model.hidden must be a whole number, but is 'many'"),
    ([*TRAIN, "--model.hidden", "2.5"], r"model.hidden must be a whole number, but is '2.5'"),
    ([*TRAIN, "--model.method", "egn"], r"model.method 'egn' is not known; did you mean egnn\?"),
    ([*TRAIN, "--train.lr", "fast"], r"train.lr must be a number, but is 'fast'"),
    ([*TRAIN, "--train.lr", "nan"], r"train.lr must be a number, but is 'nan'"),
    ([*TRAIN, "--train.lr", "inf"], r"train.lr must be above 0, but is inf"),
    ([*TRAIN, "--train.lr", "-1"], r"train.lr must be above 0, but is -1"),
    ([*TRAIN, "--train.lr", "0"], r"train.lr must be above 0, but is 0"),
    ([*TRAIN, "--train.epochs", "0"], r"train.epochs must be at least 1, but is 0"),
    ([*TRAIN, "--train.epochs", "1e400"], r"train.epochs must be a whole number"),
    ([*TRAIN, "--train.batch_size", "-5"], r"train.batch_size must be at least 1, but is -5"),
    ([*TRAIN, "--train.ema", "1.5"], r"train.ema must be at least 0 and at most 1, but is 1.5"),
    ([*TRAIN, "--train.augment", "maybe"], r"train.augment must be true or false, but is 'maybe'"),
    ([*TRAIN, "--train.schedule", "steps"], r"train.schedule 'steps' is not known; did you mean step\?"),
    ([*TRAIN, "--train.precision", "16-mixed"], r"train.precision '16-mixed' is not known"),
    ([*TRAIN, "--train.devices", "3"], r"train.batch_size must be a multiple of the number of processes, 3, but is 25"),
    ([*TRAIN, "--train.accelerator", "gpuu"], r"train.accelerator 'gpuu'.* do not go together"),
    ([*TRAIN, "--train.strategy", "ddp_spawn"], r"train.strategy 'ddp_spawn' starts its processes .*Choose ddp\."),
    ([*TRAIN, "--train.strategy", "ddp_notebook"], r"train.strategy 'ddp_notebook' starts .*Choose ddp\."),
    ([*TRAIN, "--train.strategy", "teamwork"], r"train.strategy 'teamwork' do not go together"),
    ([*TRAIN, "--data.train", "20000"], r"data.train must be at least 1 and at most 10000, but is 20000"),
    ([*TRAIN, "--data.train", "20"], r"train.batch_size must be at most data.train, 20, but is 25"),
    ([*TRAIN, "--model.layers", "0"], r"model.layers must be at least 1, but is 0"),
    ([*TRAIN, "--model.readout", "sum"], r"model.readout 'sum' is not known. Known: mean, last"),
    ([*TRAIN, "--model.grid", "soccer"], r"name must be a known grid; got 'soccer'"),
    ([*TRAIN, "--model.grid", "fibonacci"], r"n must be a whole number of points"),
    ([*TRAIN, "--model.grid", "cube", "--model.orientations", "9"], r"n must be 8 \(or left out\) for the cube"),
    ([*TRAIN, "--seed", "-1"], r"train.seed must be at least 0, but is -1"),
    ([*TRAIN, "--seed", "abc"], r"train.seed must be a whole number, but is 'abc'"),
    ([*TRAIN, "--max-minutes", "0"], r"train.max_minutes must be above 0, but is 0"),
    ([*TRAIN, "--max-minutes", "soon"], r"train.max_minutes must be a number or none, but is 'soon'"),
    ([*TRAIN, "--config", "absent.yaml"], r"config file absent.yaml cannot be read: No such file"),
    ([*TRAIN, "--config", "."], r"config file . cannot be read: Is a directory"),
    ([*TRAIN, "--config", "list.yaml"], r"config file list.yaml must hold `name: value` lines, but is a list"),
    ([*TRAIN, "--config", "broken.yaml"], r"config file broken.yaml is not YAML \(line 3\)"),
    ([*TRAIN, "--config", "binary.yaml"], r"config file binary.yaml (cannot be read|is not YAML)"),
    ([*TRAIN, "--config", "python.yaml"], r"config file python.yaml is not YAML"),
    ([*TRAIN, "--config", "typo.yaml"], r"model.hiden is not a setting; did you mean model.hidden\?"),
    ([*TRAIN, "--config", "flat.yaml"], r"model must hold settings of its own .*, but is 64"),
    ([*TRAIN, "--config", "twice.yaml"], r"twice.yaml has model twice \(line 3\)\. Write each name once"),
    ([*TRAIN, "--config", "inner.yaml"], r"inner.yaml has lr twice \(line 1\)"),
    ([*TRAIN, "--config", "dotted.yaml"], r"model.hidden is given twice"),
    ([*TRAIN, "--config", "value.yaml"], r"model is given twice"),
    ([*TRAIN, "--config", "colon.yaml"], r"train.max_minutes must be a number or none, but is '1:30'. .* such as 1.5"),
    ([*TRAIN, "--config", "octal.yaml"], r"octal.yaml has the number 010 \(line 2\)\. .*leave the 0 in front out"),
    ([*TRAIN, "--seed", "1", "--train.seed", "2"], r"--seed and --train.seed are the same setting"),
    ([*TRAIN, "--config", "task.yaml"], r"task.yaml is not for the task nbody"),
    ([*TRAIN, "--out", "file"], r"--out file cannot be written to"),
    ([*TRAIN, "--out", "file/run"], r"--out file/run cannot be written to \(Not a directory\)"),
    ([*TRAIN, "--out", "full"], r"--out full holds other files \(diary.txt\)"),
    (["evaluate"], r"required: checkpoint"),
    (["evaluate", "absent"], r"checkpoint absent does not exist"),
    (["evaluate", "full"], r"full is not a checkpoint: it has no state.json"),
    (["evaluate", "full", "--seed", "x"], r"--seed must be a whole number, but is 'x'"),
    (["evaluate", "full", "--seed", "-2"], r"--seed must be at least 0, but is -2"),
    (["evaluate", "full", "--max-minutes", "-2"], r"--max-minutes must be above 0, but is -2"),
    (["evaluate", "full", "--dta", "x"], r"--dta is not an option .*; did you mean --data\?"),
    (["simulate", "nbody"], r"required: --out"),
    (["simulate", "planets", "--out", "a.npz"], r"system 'planets' is not known. Known: nbody"),
    (["simulate", "nbody", "--out", "a.txt"], r"out must be a file name ending in .npz"),
    (["simulate", "nbody", "--out", "no/a.npz"], r"out must be a file name ending in .npz in a folder that exists"),
    (["simulate", "nbody", "--out", "a.npz", "--n", "0"], r"n must be a whole number of at least 1, but is 0"),
    (["simulate", "nbody", "--out", "a.npz", "--n", "lots"], r"--n must be a whole number, but is 'lots'"),
    (["simulate", "nbody", "--out", "a.npz", "--particles", "1"], r"particles must be a whole number of at least 2"),
    (["simulate", "nbody", "--out", "a.npz", "--dt", "0"], r"--dt must be above 0, but is 0"),
    (["simulate", "nbody", "--out", "a.npz", "--steps", "5"], r"every must be a whole number .* at most 5, but is 100"),
    (["simulate", "nbody", "--out", "a.npz", "--dt", "1e300"], r"dt must keep all numbers finite, but 1e\+300"),
    (["simulate", "nbody", "--out", "a.npz", "--dt", "1e-320"], r"finite.* in 100 of 100 .* nothing was written"),
    (["doctor", "--jsn"], r"--jsn is not an option .*; did you mean --json\?"),
]


@pytest.mark.parametrize(("argv", "message"), CASES, ids=[" ".join(a)[:60] for a, _ in CASES])
def test_error_names_argument_value_and_repair(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("PONITA_EDU_DEBUG", raising=False)
    before = {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")}
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert "Traceback" not in err and len(err) < 500 and err.startswith("ponita-edu: ")
    assert {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")} == before


GENERATOR = str(Path(cli.__file__).parent / "assets" / "checkpoints" / "qm9_gen_quick")
TOO_LARGE = [  # more than any machine has, and more than 64 bits can count
    ["simulate", "nbody", "--n", "1000000000000000", "--steps", "10", "--every", "5"],
    ["simulate", "nbody", "--steps", "1000000000000000", "--every", "1"],
    ["simulate", "nbody", "--n", "3000000000000000000"],
    ["simulate", "nbody", "--particles", "100000000000000000000"],
    ["sample", GENERATOR, "-n", "1000000000000000000"],
    ["sample", GENERATOR, "-n", "100000000000000000000"],
    ["sample", GENERATOR, "-n", "100000000000000000000", "--atoms", "9"],
    ["sample", GENERATOR, "-n", "2", "--batch", "100000000000000000000"],
    ["sample", GENERATOR, "-n", "2", "--steps", "100000000000000000000"],
]


@pytest.mark.parametrize("argv", TOO_LARGE, ids=lambda argv: " ".join(argv[2:]))
def test_numbers_beyond_the_memory_are_named(argv, capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("PONITA_EDU_DEBUG", raising=False)
    assert cli.main([*argv, "--out", "a.npz" if argv[0] == "simulate" else "a.xyz"]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert re.match(rf"ponita-edu: {argv[0]} with .*needs more memory than there is \(.*\)\. Choose smaller", err), err
    assert all(f"{name} {value}" in err for name, value in pairwise(argv[2:]) if name[0] == "-") and len(err) < 500
    assert list(tmp_path.glob("a.*")) == []


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried\nto allocate")])
def test_memory_that_ends_later_is_said_too_and_no_other_error(error, capsys, monkeypatch):
    def end(*args, **options):
        raise error

    monkeypatch.setattr(nbody, "simulate", end)
    argv = ["simulate", "nbody", "--n", "2", "--out", "a.npz"]
    assert cli.main(argv) == 2
    assert "needs more memory than there is (" in capsys.readouterr().err
    error = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        cli.main(argv)


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("PONITA_EDU_DEBUG", "1")
    with pytest.raises(ValueError, match="command 'trian' is not known"):
        cli.main(["trian"])


def write_bad_data(folder):
    rng = np.random.default_rng(0)
    good = {"charges": np.ones((3, 5)), **{n: rng.normal(size=(3, 5, 3)) for n in ("loc_in", "vel_in", "loc_out")}}
    frames = rng.normal(size=(3, 2, 5, 3))
    files = {
        "lacks": {k: v for k, v in good.items() if k != "vel_in"},
        "nan": {**good, "loc_in": np.where(good["loc_in"] > 1, np.nan, good["loc_in"])},
        "shape": {**good, "loc_out": good["loc_out"][:, :4]},
        "text": {**good, "charges": np.full((3, 5), "plus")},
        "none": {k: v[:0] for k, v in good.items()},
        "between": {"charges": good["charges"], "loc": frames, "vel": frames, "time": np.array([3.1, 4.9])},
        "short": {"charges": good["charges"], "loc": frames, "vel": frames, "time": np.array([0.1, 0.2])},
    }
    for name, arrays in files.items():
        np.savez(folder / f"{name}.npz", **arrays)
    np.savez(folder / "pickled.npz", charges=np.array([{"a": 1}], dtype=object))
    content = (folder / "nan.npz").read_bytes()
    (folder / "cut.npz").write_bytes(content[: len(content) // 2])
    (folder / "noise.npz").write_bytes(bytes(range(256)) * 4)
    (folder / "empty.npz").write_bytes(b"")


DATA = {
    "lacks": r"lacks vel_in; it holds charges, loc_in, loc_out",
    "nan": r"loc_in must be finite",
    "shape": r"loc_out must have shape \[3, 5, 3\]",
    "text": r"must hold numbers only",
    "none": r"(charges|loc_in) must",
    "between": r"but has 2 frames up to 4.90. Simulate long enough, and store frames at these times \(--every 100",
    "short": r"must have frames at times 3.1 and 4.1, but has 2 frames up to 0.20",
    "pickled": r"is damaged or no .npz file",
    "cut": r"is damaged or no .npz file",
    "noise": r"is damaged or no .npz file",
    "empty": r"is damaged or no .npz file",
    "absent": r"cannot be read: No such file",
}


@pytest.mark.parametrize("name", DATA)
def test_data_file_is_refused_with_the_field(name, tmp_path):
    from ponita_edu.tasks.nbody import read_split

    write_bad_data(tmp_path)
    with pytest.raises(ValueError, match=DATA[name]) as error:
        read_split(tmp_path / f"{name}.npz")
    assert len(str(error.value)) < 500
