"""The command line: settings and their precedence, the result, going on, evaluating, simulating."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from ponita_edu import __version__, app, cli, lab
from ponita_edu.tasks import checkpoint, run, run_folder
from ponita_edu.tasks.nbody import NBodyTask
from ponita_edu.tasks.presets import PRESETS
from ponita_edu.tasks.settings import differences, read_yaml, replaced

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--data.train", "24", "--data.val", "8", "--data.test", "9", "--model.hidden", "8", "--model.layers", "2",
        "--model.basis", "8", "--model.grid", "octahedron", "--train.epochs", "4", "--train.batch_size", "6",
        "--train.accelerator", "cpu"]
KEY = "test_mse_dimensionless"


def call(capsys, *argv):
    """Exit status, standard output and standard error."""
    status = cli.main([str(a) for a in argv])
    return status, *capsys.readouterr()


def result_of(capsys, *argv):
    status, out, err = call(capsys, *argv, "--json")
    assert status == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, its folder and its JSON."""
    out = tmp_path_factory.mktemp("runs") / "a"
    assert cli.main(["train", "nbody", *TINY, "--out", str(out), "--seed", "3"]) == 0
    return out, json.loads((out / "result.json").read_text())


# --------------------------------------------------------------------------------------------------- settings
@pytest.fixture
def settings_of(monkeypatch):
    """The settings that a command line comes to, without a run."""

    def settings(*argv):
        seen = []
        monkeypatch.setattr(run, "train", lambda task, settings, out, started: seen.append((settings, out)))
        assert cli.main(["train", "nbody", *argv]) == 0
        return seen[0]

    return settings


def test_quick_is_the_default_preset(settings_of):
    settings, out = settings_of()
    assert settings == PRESETS["nbody"]["quick"]
    assert out == Path("runs/nbody-quick-seed0")


def test_command_line_wins_over_file_wins_over_preset(settings_of, tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("preset: paper\nmodel: {hidden: 64, layers: 3}\ntrain:\n  lr: 5e-4\n")
    for argv in (["--config", str(file), "--model.hidden", "32"], ["--model.hidden", "32", "--config", str(file)]):
        settings, _ = settings_of(*argv)
        assert settings.model.hidden == 32  # command line
        assert settings.model.layers == 3 and settings.train.lr == 5e-4  # file
        assert settings.model.basis == 256 and settings.preset == "paper"  # preset
    assert settings_of("--config", str(file), "--preset", "quick")[0].model.basis == 32


@pytest.mark.parametrize("lines", [("model.hidden: 64", "model: {layers: 2}"),
                                   ("model: {layers: 2}", "model.hidden: 64")])
def test_dotted_names_and_groups_of_a_file_go_together(settings_of, tmp_path, lines):
    (tmp_path / "s.yaml").write_text("\n".join(lines))
    model = settings_of("--config", str(tmp_path / "s.yaml"))[0].model
    assert (model.hidden, model.layers) == (64, 2)


def test_a_file_is_read_as_it_is_written(settings_of, tmp_path):
    (tmp_path / "s.yaml").write_text("train: &a {lr: 1e-3, seed: +7, augment: no, clip: ~, ema: 0.50}\n")
    train = settings_of("--config", str(tmp_path / "s.yaml"))[0].train
    assert (train.lr, train.seed, train.augment, train.clip, train.ema) == (1e-3, 7, False, None, 0.5)
    (tmp_path / "merged.yaml").write_text("one: &a {lr: 1e-3, seed: 1}\ntwo: {<<: *a, lr: 2e-3}\n")  # YAML's own way
    assert read_yaml(tmp_path / "merged.yaml")["two"] == {"lr": "2e-3", "seed": "1"}


def test_short_options_set_seed_and_budget(settings_of):
    settings, out = settings_of("--seed", "7", "--max-minutes", "1.5")
    assert settings.train.seed == 7 and settings.train.max_minutes == 1.5
    assert out.name == "nbody-quick-seed7"


def test_none_switches_a_setting_off(settings_of):
    settings, _ = settings_of("--preset", "paper", "--train.clip", "none", "--model.layer_scale=none")
    assert settings.train.clip is None and settings.model.layer_scale is None


def test_every_setting_has_an_option_with_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "nbody", "--help"])
    text = re.sub(r"\s+", " ", capsys.readouterr().out)

    def walk(settings, prefix=""):
        for f in fields(settings):
            value = getattr(settings, f.name)
            yield from walk(value, f"{prefix}{f.name}.") if is_dataclass(value) else [prefix + f.name]

    names = [n for n in walk(PRESETS["nbody"]["paper"]) if n != "preset"]
    assert len(names) > 30
    for name in names:
        assert re.search(rf"--{re.escape(name)} X [a-zA-Z0-9]", text), name


@pytest.mark.parametrize("preset", ["quick", "paper"])
@pytest.mark.parametrize("task", ["nbody", "md17"])
def test_config_files_are_the_presets(task, preset):
    content = read_yaml(ROOT / "configs" / f"{task}_{preset}.yaml")
    assert content.pop("task") == task and content.pop("preset") == preset
    other = PRESETS[task]["paper" if preset == "quick" else "quick"]
    assert differences(replaced(PRESETS[task][preset], content), PRESETS[task][preset]) == []
    named = differences(replaced(other, content), PRESETS[task][preset])  # what the file leaves to its preset
    assert all(n.split(" ")[0] in ("preset", "train.checkpoint_minutes", "train.max_minutes", "train.threads")
               for n in named)


def test_paper_preset_is_the_published_protocol():
    s = PRESETS["nbody"]["paper"]
    m, t = s.model, s.train
    assert (m.layers, m.hidden, m.basis, m.degree, m.orientations, m.widening) == (5, 128, 256, 3, 16, 4)
    assert (m.layer_scale, m.readout, m.method) == (1e-6, "mean", "ponita")
    assert (t.lr, t.weight_decay, t.clip) == (1e-3, 1e-10, 0.5)
    assert (t.warmup_epochs, t.epochs, t.batch_size) == (10, 10_000, 100)
    assert (t.schedule, t.augment, t.validate_every, t.ema) == ("epoch", True, 5, None)
    assert (s.data.train, s.data.val, s.data.test, s.data.seed) == (3000, 2000, 2000, 43)


def test_config_files_are_plain_yaml():
    for file in (ROOT / "configs").glob("*.yaml"):
        assert isinstance(yaml.safe_load(file.read_text()), dict), file


# ------------------------------------------------------------------------------------------------------- runs
def test_train_reports_the_result(trained):
    out, result = trained
    assert {"task", "preset", "metrics", "minutes", "checkpoint", "commit", "versions", "device", "seed",
            "parameters", "baselines"} <= result.keys()
    assert result["task"] == "nbody" and result["preset"] == "quick" and result["seed"] == 3
    assert result["complete"] and result["steps"] == 16
    assert 0 < result["metrics"][KEY] < 1
    weights = load_file(Path(result["checkpoint"]) / "state.safetensors")
    assert result["parameters"] == sum(w.numel() for n, w in weights.items() if not n.startswith("ori"))
    assert result["versions"]["ponita_edu"] == __version__
    assert {"checkpoints", "log.csv", "model", "result.json", "run.json"} <= {p.name for p in out.iterdir()}


def test_train_draws_the_picture(trained):
    pytest.importorskip("matplotlib")
    pytest.importorskip("ipywidgets")
    content = (trained[0] / "trajectories.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and 5_000 < len(content) < 200_000


def test_same_command_repeats_the_result_with_json_last(trained, capsys):
    out, before = trained
    result = result_of(capsys, "train", "nbody", *TINY, "--out", out, "--seed", 3)
    for name in ("metrics", "minutes", "steps", "parameters"):
        assert result[name] == before[name], name


def test_table_has_the_method_beside_the_baselines(trained, capsys):
    out, result = trained
    _, text, _ = call(capsys, "train", "nbody", *TINY, "--out", out, "--seed", 3)
    for name, error in {**result["baselines"], "ponita": result["metrics"][KEY]}.items():
        assert re.search(rf"^{re.escape(name)} +{error:.4f}\b", text, re.M), name
    assert len(result["baselines"]) == 3


def test_cut_run_goes_on_to_the_same_weights(trained, capsys, tmp_path):
    argv = ["train", "nbody", *TINY, "--seed", 3, "--out", tmp_path / "cut"]
    first = result_of(capsys, *argv, "--max-minutes", "0.0001")
    assert not first["complete"] and first["steps"] == 1
    second = result_of(capsys, *argv)
    assert second["complete"] and second["metrics"] == trained[1]["metrics"]
    a, b = (load_file(p / "model" / "state.safetensors") for p in (trained[0], tmp_path / "cut"))
    assert all((a[k] == b[k]).all() for k in a)


def test_folder_of_a_run_of_other_settings_is_refused_and_left_alone(trained, capsys):
    out, _ = trained
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    status, _, err = call(capsys, "train", "nbody", *TINY, "--out", out, "--seed", 3, "--train.lr", "0.5")
    assert status == 2 and "holds a run of other settings (train.lr 0.003 -> 0.5)" in err
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}


@pytest.mark.parametrize("method", ["edges", "egnn"])
def test_other_methods_train(method, capsys, tmp_path):
    out = tmp_path / method
    result = result_of(capsys, "train", "nbody", *TINY, "--model.method", method, "--out", out)
    rows = (out / "log.csv").read_text().splitlines()
    assert result["method"] == method
    assert float(rows[-1].split(",")[3]) != float(rows[1].split(",")[3])  # it moved
    assert result_of(capsys, "evaluate", out)["metrics"][KEY] == pytest.approx(result["metrics"][KEY], rel=1e-6)


# ------------------------------------------------------------------------------------- evaluate, simulate, rest
def test_evaluate_gives_the_error_of_the_run(trained, capsys, tmp_path):
    out, result = trained
    newest = max((out / "checkpoints").iterdir())
    for k, place in enumerate((out, out / "model", newest)):
        found = result_of(capsys, "evaluate", place, "--out", tmp_path / str(k))
        assert found["metrics"][KEY] == result["metrics"][KEY]
        assert json.loads((tmp_path / str(k) / "result.json").read_text()) == found
    turned = found["metrics"]["rotated_" + KEY]
    assert turned != result["metrics"][KEY] and turned == pytest.approx(result["metrics"][KEY], rel=0.2)


def test_evaluate_on_a_file_counts_its_simulations(trained, capsys, tmp_path):
    file = tmp_path / "mine.npz"
    made = result_of(capsys, "simulate", "nbody", "--n", 6, "--seed", 5, "--out", file, "--steps", 4100)
    assert (made["simulations"], made["frames"]) == (6, 41)
    result = result_of(capsys, "evaluate", trained[0], "--data", file)
    assert result["test_graphs"] == 6 and result["data"] == str(file)
    with np.load(file, allow_pickle=False) as data:
        still = ((data["loc"][:, 40] - data["loc"][:, 30]) ** 2).mean()
    assert result["baselines"]["no motion"] == pytest.approx(still, rel=1e-5)
    assert result["metrics"][KEY] != trained[1]["metrics"][KEY]


def test_evaluate_with_a_spent_budget_still_answers(trained, capsys):
    result = result_of(capsys, "evaluate", trained[0], "--max-minutes", "1e-9")
    assert result["test_graphs"] == 9 and result["metrics"][KEY] == trained[1]["metrics"][KEY]


def test_evaluate_says_how_much_of_the_test_set_it_had_time_for(trained, capsys, monkeypatch):
    assert result_of(capsys, "evaluate", trained[0])["note"] == ""
    monkeypatch.setattr(NBodyTask, "evaluation_batch", 4)
    status, out, _ = call(capsys, "evaluate", trained[0], "--max-minutes", "1e-9", "--json")
    result = json.loads(out.splitlines()[-1])
    assert status == 0 and result["test_graphs"] == 4 and result["metrics"][KEY] != trained[1]["metrics"][KEY]
    assert "the first 4 of 9 test graphs, and turned for the first 4; the simple rules are tested on all" in out
    assert result["note"] in out.splitlines()


def test_evaluate_refuses_an_edited_model(trained, capsys, tmp_path):
    shutil.copytree(trained[0] / "model", tmp_path / "model")
    file = tmp_path / "model" / "state.json"
    file.write_text(file.read_text().replace('"hidden": 8', '"hidden": 9'))
    status, _, err = call(capsys, "evaluate", tmp_path / "model")
    assert status == 2 and "does not match its checksum" in err


def test_evaluate_does_not_replace_the_result_of_a_run(trained, capsys):
    before = (trained[0] / "result.json").read_bytes()
    status, _, err = call(capsys, "evaluate", trained[0], "--out", trained[0])
    assert status == 2 and "holds a training run" in err
    assert (trained[0] / "result.json").read_bytes() == before


def test_simulate_does_not_replace_a_file_unasked(capsys, tmp_path):
    file = tmp_path / "mine.npz"
    argv = ["simulate", "nbody", "--n", "2", "--steps", "100", "--out", file]
    assert call(capsys, *argv)[0] == 0
    before = file.read_bytes()
    status, _, err = call(capsys, *argv, "--seed", "1")
    assert status == 2 and "mine.npz exists already" in err and file.read_bytes() == before
    assert call(capsys, *argv, "--seed", "1", "--overwrite")[0] == 0 and file.read_bytes() != before


def test_doctor_answers_in_json(capsys):
    status, out, _ = call(capsys, "doctor", "--json")
    report = json.loads(out.splitlines()[-1])
    assert report["ok"] == (status == 0) and len(report["checks"]) > 5


def test_version_and_help_are_quick_and_import_no_torch():
    code = ("import sys; from ponita_edu.cli import main; main(['--version']); main(['--help']);"
            "main(['train', 'nbdy']); print('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert lines[0] == f"ponita_edu {__version__}" and lines[-1] == "False", done.stderr
    assert all(any(line.split()[:1] == [command] for line in lines) for command in cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_of_the_list_says_how_it_is_used(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0 and capsys.readouterr().out.startswith(f"usage: ponita-edu {command}")


@pytest.mark.parametrize("argv", [["train", "qm9-gen", "--help"], ["queue"]])
def test_an_output_that_has_no_angstrom_gets_its_code(argv):
    done = subprocess.run([sys.executable, "-m", "ponita_edu.cli", *argv], capture_output=True, timeout=60,
                          env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and rb"\xc5" in done.stdout, done.stderr


def test_a_reader_that_has_gone_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "ponita_edu.cli", "queue"], stdout=writer, stderr=subprocess.PIPE,
                          timeout=60)
    os.close(writer)
    assert done.returncode == 141 and not done.stderr


@pytest.mark.parametrize("command, module", [("lab", lab), ("app", app)])
def test_lab_and_app_are_given_the_options_that_follow_them(command, module, monkeypatch):
    monkeypatch.setattr(module, "main", lambda argv: 7 if argv == ["--port", "0"] else 0)
    assert cli.main([command, "--port", "0"]) == 7


@pytest.mark.parametrize("module, said", [("ponita_edu.analysis.laws", "-m ponita_edu.analysis.laws"),
                                          (None, "benchmarks/bench.py")])
def test_result_files_name_the_command_without_its_place(monkeypatch, module, said):
    spec = module and SimpleNamespace(name=module)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "benchmarks/bench.py"), "--arms", "a b", "--out", "/here/x.json"])
    assert run.command_line() == f"python {said} --arms 'a b'"


# ------------------------------------------------------------------------------------------------- the run's folder
MD17 = ["train", "md17", "--data.train", "20", "--data.val", "10", "--model.method", "positions", "--model.hidden", "8",
        "--model.layers", "1", "--model.basis", "8", "--train.epochs", "1", "--train.batch_size", "10",
        "--train.accelerator", "cpu"]
FRAMES = ROOT / "ponita_edu" / "assets" / "md17"


@pytest.mark.parametrize("wrong", [["--data", "nosuch.xyz"], ["--data", "ethanol_xtb", "--train.batch_size", "21"]],
                         ids=["no data", "batch too large"])
def test_a_refused_run_leaves_nothing_and_the_corrected_command_works(capsys, tmp_path, wrong):
    out = tmp_path / "runs" / "mine"
    status, _, err = call(capsys, *MD17, *wrong, "--out", out)
    assert status == 2 and "Traceback" not in err and not out.parent.exists()
    assert call(capsys, *MD17, "--data", "ethanol_xtb", "--out", out)[0] == 0


def test_a_run_does_not_go_on_with_other_data_of_the_same_name(capsys, tmp_path):
    mine, command = tmp_path / "mine.npz", [*MD17, "--data", tmp_path / "mine.npz", "--out", tmp_path / "a"]
    shutil.copy(FRAMES / "ethanol_xtb.npz", mine)
    before = result_of(capsys, *command)
    with np.load(FRAMES / "ethanol_xtb.npz") as arrays:
        np.savez(mine, **{k: v for k, v in arrays.items() if k != "energies"}, energies=arrays["energies"] + 1)
    status, _, err = call(capsys, *command)
    assert status == 2 and re.search(r"data\.source .*mine\.npz is not the file .* began with\. Put that one back", err)
    assert json.loads((tmp_path / "a" / "result.json").read_text()) == before
    shutil.copy(FRAMES / "ethanol_xtb.npz", mine)
    assert call(capsys, *command)[0] == 0


def test_two_processes_do_not_share_a_folder(capsys, tmp_path):
    out = tmp_path / "a"
    out.mkdir()
    with run_folder._alone_in(out):
        status, _, err = call(capsys, *MD17, "--data", "ethanol_xtb", "--out", out)
    assert status == 2 and "is in use by another process. Wait for it" in err
    assert call(capsys, *MD17, "--data", "ethanol_xtb", "--out", out)[0] == 0


QUICK = PRESETS["nbody"]["quick"]


def left_by(out, error=ValueError, work=lambda: None, settings=QUICK, task="nbody"):
    """A run that fails after some work; what it leaves in the folder, None without one."""
    with pytest.raises(error), run_folder.run_folder(task, settings, out):
        assert (out / "run.json").exists()
        work()
        raise error
    return sorted(p.name for p in out.iterdir()) if out.exists() else None


def test_a_run_that_comes_to_nothing_takes_only_what_it_made(tmp_path):
    mine, out = tmp_path / "mine", tmp_path / "a" / "b" / "c"
    mine.mkdir()
    for error in (ValueError, KeyboardInterrupt):
        assert left_by(mine, error) == []  # a folder that was there stays
        assert left_by(out, error) is None and [p.name for p in tmp_path.iterdir()] == ["mine"]
    assert left_by(out, work=(tmp_path / "a" / "note").touch) is None
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["note"]  # nor what somebody else has put there
    assert left_by(out, work=(out / "checkpoints").mkdir) == ["checkpoints", "run.json"]
    with run_folder.run_folder("nbody", QUICK, mine):  # which goes well
        pass
    for error in (ValueError, KeyboardInterrupt):
        assert left_by(mine, error) == ["run.json"]  # and is not lost when it is taken up again


def test_a_folder_belongs_to_one_task_and_to_settings_that_bear_on_the_result(tmp_path):
    out = tmp_path / "a"
    out.mkdir()
    (out / ".run.json.9.tmp").touch()  # of a process that was killed
    with run_folder.run_folder("nbody", QUICK, out):
        pass
    before = (out / "run.json").read_bytes()
    free = dict(max_minutes=3.0, checkpoint_minutes=9.0, accelerator="cpu", devices=2, num_nodes=2, strategy="ddp",
                threads=3)
    with run_folder.run_folder("nbody", replace(QUICK, train=replace(QUICK.train, **free)), out):
        pass
    later = replace(QUICK, train=replace(QUICK.train, seed=QUICK.train.seed + 1))
    seeds = f"{QUICK.train.seed} -> {later.train.seed}"
    for task, settings, words in (("nbody", later, rf"other settings \(train\.seed {seeds}\)"),
                                  ("md17", QUICK, r"other settings \(task nbody -> md17\)")):
        with pytest.raises(ValueError, match=words), run_folder.run_folder(task, settings, out):
            pytest.fail("it was let in")
        assert (out / "run.json").read_bytes() == before and len(list(out.iterdir())) == 1
    for text in ("{", "[1]", "{}", '{"task": "nbody"}'):
        (out / "run.json").write_text(text)
        with pytest.raises(ValueError, match=r"has a run\.json that cannot be read"), \
                run_folder.run_folder("nbody", QUICK, out):
            pytest.fail("it was let in")
        assert (out / "run.json").read_text() == text


def test_the_users_own_file_is_known_by_its_content(tmp_path):
    file, out = tmp_path / "mine.npz", tmp_path / "a"
    file.write_bytes(b"one")
    quick = PRESETS["md17"]["quick"]
    settings = replace(quick, data=replace(quick.data, source=str(file)))
    with run_folder.run_folder("md17", settings, out):
        pass
    begun = json.loads((out / "run.json").read_text())
    assert begun["data_sha256"] == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"two")
    with pytest.raises(ValueError, match="is not the file"), run_folder.run_folder("md17", settings, out):
        pytest.fail("it was let in")
    (out / "run.json").write_text(json.dumps({k: v for k, v in begun.items() if k != "data_sha256"}))
    with run_folder.run_folder("md17", settings, out):  # begun by a version that did not look
        pass


def test_a_run_that_is_refused_before_anything_is_written_leaves_no_folder(tmp_path):
    quick = PRESETS["md17"]["quick"]
    settings = replace(quick, data=replace(quick.data, source="~nobody-of-this-name/a.npz"))
    with pytest.raises(ValueError, match=r"data\.source"), run_folder.run_folder("md17", settings, tmp_path / "a"):
        pytest.fail("it was let in")
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    opened, flock = set(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None, fcntl.flock

    def none(handle, kind):
        assert kind == fcntl.LOCK_EX | fcntl.LOCK_NB
        raise OSError(errno.ENOLCK, "No locks available")

    for instead in (none, flock):
        monkeypatch.setattr(fcntl, "flock", instead)
        with run_folder.run_folder("nbody", QUICK, tmp_path / "a"):
            pass
    assert opened is None or set(os.listdir("/proc/self/fd")) == opened  # and the folder is let go


@pytest.mark.parametrize("name", ["result.json", "trajectories.png", "state.json"])
def test_evaluating_replaces_no_file(capsys, trained, tmp_path, name):
    (tmp_path / name).write_text("mine")
    status, _, err = call(capsys, "evaluate", trained[0], "--out", tmp_path)
    assert status == 2 and f"holds {name}, which would be lost" in err
    assert (tmp_path / name).read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_checkpoints_that_do_not_go_with_the_settings_are_named(capsys, tmp_path, trained):
    out = tmp_path / "a"
    shutil.copytree(trained[0], out)
    newest = max((out / "checkpoints").iterdir())
    tensors, info = checkpoint.read(newest)
    kept = {k: v for k, v in tensors.items() if not k.startswith("network.")}
    later = {**info, "state": {**info["state"], "scheduler": 1}}
    for content in ((kept, info), (tensors, later), (tensors, {k: v for k, v in info.items() if k != "state"})):
        checkpoint.write(newest, *content)
        status, _, err = call(capsys, "train", "nbody", *TINY, "--out", out, "--seed", "3")
        assert status == 2 and re.search(r"do not go with these settings .* another version .* delete that folder", err)
    checkpoint.write(newest, tensors, info)
    assert call(capsys, "train", "nbody", *TINY, "--out", out, "--seed", "3")[0] == 0


def test_a_full_disk_at_the_end_is_told_with_the_folder(capsys, tmp_path, monkeypatch):
    write = checkpoint.write_json

    def full(path, content):
        if path.name == "result.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_json", full)
        status, _, err = call(capsys, *MD17, "--data", "ethanol_xtb", "--out", tmp_path / "a")
    assert status != 0 and re.search(r"could not be written in .*a \(No space left on device\)\. Make room there", err)
    assert call(capsys, *MD17, "--data", "ethanol_xtb", "--out", tmp_path / "a")[0] == 0
