"""Checkpoints: numbers in safetensors, the rest in JSON, whole or not there at all. No pickle anywhere.

A checkpoint is a folder with ``state.safetensors`` and ``state.json``; the JSON holds a SHA-256 checksum of both.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ponita_edu.paths import draft_beside

STATE, INFO = "state.safetensors", "state.json"
KEEP = 2  # checkpoints of a run: the newest, and the one before in case it is damaged


def write(folder: Path, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> Path:
    """Write a checkpoint under a passing name, then give it its own in one step; an older one of that name goes.

    Raises:
        OSError: if the disk is full or the folder may not be written to. What was there before is still there.
    """
    numbers = safetensors.torch.save({k: t.detach().cpu().contiguous() for k, t in tensors.items()})
    text = {**info, "sha256": _checksum(numbers, info)}
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_beside(folder)
    former = draft.with_suffix(".old.tmp")
    try:
        draft.mkdir()
        for name, content in ((STATE, numbers), (INFO, json.dumps(text, indent=1).encode())):
            with open(draft / name, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():
            folder.rename(former)
        draft.rename(folder)
    finally:
        for left in (draft, former):
            shutil.rmtree(left, ignore_errors=True)
    return folder


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the JSON of a checkpoint.

    Raises:
        ValueError: if it is not there, or truncated, or edited.
    """
    if not (folder / INFO).is_file():
        raise ValueError(f"{folder} is not a checkpoint: it has no {INFO}. Give a folder that a training run wrote.")
    try:
        info = json.loads((folder / INFO).read_bytes())
        numbers = (folder / STATE).read_bytes()
        if info.pop("sha256") != _checksum(numbers, info):
            raise ValueError("its content does not match its checksum")
        return safetensors.torch.load(numbers), info
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0][:150]
        raise ValueError(f"the checkpoint {folder} is damaged ({why}). Use another, or train again.") from None


def save_step(folder: Path, step: int, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> Path:
    """Write the checkpoint of a step; keep it and the one before.

    Raises:
        OSError: see ``write``.
    """
    tidy(folder, "step-")
    path = write(folder / f"step-{step:09d}", tensors, {**info, "step": step})
    after = [p for p in _steps(folder) if p.name > path.name]  # damaged, or the run would have gone on from there
    for old in (*after, *_steps(folder)[len(after) + KEEP:]):
        shutil.rmtree(old, ignore_errors=True)
    return path


def tidy(folder: Path, *names: str) -> None:
    """Delete what a process that was killed while it wrote files or folders of these names has left."""
    for left in (p for name in names for p in folder.glob(f".{name}*.tmp")):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def newest(folder: Path, say: Callable[[str], None]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint of a run that can be read; damaged ones are reported by ``say``. None if there is none.

    Raises:
        ValueError: if there are checkpoints, but all are damaged.
    """
    found = _steps(folder)
    for path in found:
        try:
            return read(path)
        except ValueError as error:
            say(f"{error} Trying the one before." if path != found[-1] else str(error))
    if found:
        raise ValueError(f"none of the {len(found)} checkpoints in {folder} can be read. Delete that folder to train "
                         "from the beginning.")
    return None


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file as a whole or not at all, with a line for each innermost list or object."""
    draft = draft_beside(path)
    try:
        draft.write_text(_lines(json.loads(json.dumps(content))) + "\n", encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _lines(content: Any, depth: int = 0) -> str:
    """What ``json.dumps`` would write, laid out so that a table is a line a row: smaller, and a change shows as one."""
    inner = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(inner, list) or not any(isinstance(part, list | dict) for part in inner):
        return json.dumps(content)
    names = [f"{json.dumps(name)}: " for name in content] if isinstance(content, dict) else [""] * len(inner)
    start, opened, closed = "\n" + " " * depth, *("{}" if isinstance(content, dict) else "[]")
    rows = (f"{start} {name}{_lines(part, depth + 1)}" for name, part in zip(names, inner, strict=True))
    return f"{opened}{','.join(rows)}{start}{closed}"


def _steps(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("step-*") if p.name[5:].isdigit()), reverse=True)


def _checksum(numbers: bytes, info: Mapping[str, Any]) -> str:
    rest = json.dumps(json.loads(json.dumps(info)), sort_keys=True)
    return hashlib.sha256(hashlib.sha256(numbers).digest() + rest.encode()).hexdigest()
