"""Checkpoints are whole or not there, hold no pickle, and tell when they are damaged."""

import errno
import json
import os

import pytest
import torch
from safetensors.torch import load_file

from ponita_edu.tasks import checkpoint

TENSORS = {"a": torch.arange(6.0).reshape(2, 3).T, "count": torch.tensor(3), "d": torch.full((2,), 0.1).double()}
INFO = {"task": "nbody", "history": [{"step": 1, "loss": 0.1}], "best": float("inf")}


def save(folder, step, scale=1):
    return checkpoint.save_step(folder, step, {k: v * scale for k, v in TENSORS.items()}, INFO)


def same(tensors, scale=1):
    return tensors.keys() == TENSORS.keys() and all(
        torch.equal(tensors[k], v * scale) and tensors[k].dtype == (v * scale).dtype for k, v in TENSORS.items())


def test_read_gives_back_what_was_written(tmp_path):
    path = checkpoint.write(tmp_path / "new" / "model", TENSORS, INFO)
    tensors, info = checkpoint.read(path)
    assert same(tensors) and not same(tensors, 2)
    assert info == INFO


def test_all_of_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(checkpoint.os, "fsync", lambda number: sizes.append(os.fstat(number).st_size))
    path = checkpoint.write(tmp_path / "new" / "run" / "model", TENSORS, INFO)
    assert sizes == [(path / name).stat().st_size for name in ("state.safetensors", "state.json")]


def test_files_are_safetensors_and_json(tmp_path):
    path = checkpoint.write(tmp_path / "model", TENSORS, INFO)
    assert sorted(p.name for p in path.iterdir()) == ["state.json", "state.safetensors"]
    assert set(load_file(path / "state.safetensors")) == set(TENSORS)
    assert json.loads((path / "state.json").read_text())["task"] == "nbody"


@pytest.mark.parametrize("content", [
    3.5, "a", None, [], {}, [1, 2], {"a": 1}, [[1, 2], {"b": []}],
    {"rows": [{"x": 1e-300, "é\n": "[{"}, {}], "n": {"m": [[]]}},
])
def test_json_has_a_line_for_each_innermost_list_or_object(tmp_path, content):
    checkpoint.write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == content and list(tmp_path.iterdir()) == [tmp_path / "a.json"]

    def innermost(part):
        inner = list(part.values()) if isinstance(part, dict) else part
        deep = [p for p in inner if isinstance(p, list | dict)] if isinstance(inner, list) else []
        return [part] if not deep else [leaf for p in deep for leaf in innermost(p)]

    for leaf in innermost(content):
        assert any(line.strip().removesuffix(",").endswith(json.dumps(leaf)) for line in text.splitlines())


def test_json_is_laid_out_as_this_example_and_leaves_no_draft_where_it_cannot_be_written(tmp_path):
    checkpoint.write_json(tmp_path / "a.json", {"rows": [[1, 2], {"b": 3}], "n": 1})
    lines = ["{", ' "rows": [', "  [1, 2],", '  {"b": 3}', " ],", ' "n": 1', "}", ""]
    assert (tmp_path / "a.json").read_text().split("\n") == lines
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        checkpoint.write_json(tmp_path / "folder", 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "folder"]


def test_tidying_takes_drafts_of_these_names_only(tmp_path):
    for name in (".run.json.1.tmp", ".other.1.tmp", "run.json", ".run.json.1.bak"):
        (tmp_path / name).touch()
    (tmp_path / ".model.2.tmp" / "deep").mkdir(parents=True)
    checkpoint.tidy(tmp_path, "run.json", "model")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".other.1.tmp", ".run.json.1.bak", "run.json"]


def test_folders_of_other_names_are_no_checkpoints(tmp_path):
    save(tmp_path, 3)
    for name in ("step-copy", "step-x00000009", "step-000000009.old"):
        (tmp_path / name).mkdir()
    assert checkpoint.newest(tmp_path, pytest.fail)[1]["step"] == 3
    for step in (4, 5):
        save(tmp_path, step)
    assert len(list(tmp_path.iterdir())) == 5  # two checkpoints, and what is not ours


def test_save_step_keeps_the_newest_two(tmp_path):
    for step in (1, 20, 300):
        save(tmp_path, step, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000020", "step-000000300"]
    tensors, info = checkpoint.newest(tmp_path, pytest.fail)
    assert info["step"] == 300 and same(tensors, 300)


def test_write_replaces_a_checkpoint_of_the_same_name(tmp_path):
    save(tmp_path, 7)
    save(tmp_path, 7, 2)
    assert same(checkpoint.read(tmp_path / "step-000000007")[0], 2)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_checkpoint_that_is_left_behind_does_not_cost_the_one_before_the_newest(tmp_path):
    for step in (10, 20):
        save(tmp_path, step)
    damage_no_numbers(tmp_path / "step-000000020")
    for step in (11, 12):  # the run went on from step 10
        save(tmp_path, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000011", "step-000000012"]


def test_newest_is_none_where_there_is_nothing(tmp_path):
    assert checkpoint.newest(tmp_path / "absent", pytest.fail) is None
    (tmp_path / ".step-000000005.abc.tmp").mkdir()  # left by a process that was killed while writing
    assert checkpoint.newest(tmp_path, pytest.fail) is None
    save(tmp_path, 6)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000006"]


def damage_truncate_numbers(path):
    file = path / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-9])


def damage_flip_a_bit(path):
    file = path / "state.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def damage_truncate_json(path):
    file = path / "state.json"
    file.write_bytes(file.read_bytes()[:-20])


def damage_edit_json(path):
    file = path / "state.json"
    file.write_text(file.read_text().replace('"loss": 0.1', '"loss": 0.2'))


def damage_json_without_checksum(path):
    (path / "state.json").write_text("{}")


def damage_json_of_another_kind(path):
    (path / "state.json").write_text("[1, 2]")


def damage_no_numbers(path):
    (path / "state.safetensors").unlink()


def damage_binary_json(path):
    (path / "state.json").write_bytes(bytes(range(256)))


DAMAGES = [f for name, f in sorted(globals().items()) if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__.removeprefix("damage_"))
def test_damage_is_noticed_and_the_one_before_is_taken(tmp_path, damage):
    for step in (1, 2):
        save(tmp_path, step, step)
    damage(tmp_path / "step-000000002")
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.read(tmp_path / "step-000000002")
    said = []
    tensors, info = checkpoint.newest(tmp_path, said.append)
    assert info["step"] == 1 and same(tensors, 1)
    assert len(said) == 1 and "step-000000002 is damaged" in said[0]
    damage(tmp_path / "step-000000001")
    with pytest.raises(ValueError, match=r"none of the 2 checkpoints .* can be read. Delete that folder"):
        checkpoint.newest(tmp_path, said.append)
    assert [sentence.endswith("Trying the one before.") for sentence in said] == [True, True, False]


@pytest.mark.parametrize("at", [1, 2], ids=["numbers", "json"])
def test_full_disk_leaves_what_was_there(tmp_path, monkeypatch, at):
    save(tmp_path, 1)
    calls = []

    def fsync(number):
        calls.append(number)
        if len(calls) == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000001"]
    assert same(checkpoint.newest(tmp_path, pytest.fail)[0])


def test_read_says_what_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=r"is not a checkpoint: it has no state\.json"):
        checkpoint.read(tmp_path)
