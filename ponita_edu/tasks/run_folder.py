"""The folder of a run: one process at a time, one set of settings and data, and nothing left of a refused command."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ponita_edu.paths import expanded
from ponita_edu.tasks import checkpoint
from ponita_edu.tasks.config import FREE
from ponita_edu.tasks.settings import differences, replaced, to_dict

RUN, RESULT, MODEL = "run.json", "result.json", "model"


@contextmanager
def run_folder(task: str, settings: Any, out: Path) -> Iterator[None]:
    """The folder of a run for this process alone; made if it is not there, and gone again if nothing came of the run.

    Raises:
        ValueError: if another process uses it, if it holds another run, one on other data or other files, or if it
            cannot be written to.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    make_folder(out)
    with _alone_in(out):
        new = False
        try:
            new = _open_run(task, settings, out)
            yield
        except BaseException:  # data that cannot be read, for instance: a refused command leaves nothing behind
            if (made or new) and {p.name for p in out.iterdir()} <= {RUN}:
                (out / RUN).unlink(missing_ok=True)
                with suppress(OSError):  # somebody else has put something there
                    for folder in made:
                        folder.rmdir()
            raise


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    # the system's lock on the folder ends with the process, however that ends; Windows has none
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"--out {folder} is in use by another process. Wait for it, or choose another "
                             "folder.") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def _open_run(task: str, settings: Any, out: Path) -> bool:
    """Begin the run in a folder, or check that the one in it has the same settings and data; whether it is a new run.

    Raises:
        ValueError: if it holds another run, one on other data, or other files.
    """
    checkpoint.tidy(out, RUN, RESULT, MODEL)
    fixed = replace(settings, train=replace(settings.train, **{k: getattr(type(settings.train)(), k) for k in FREE}))
    content = {"task": task, "settings": to_dict(fixed)}
    source = expanded(getattr(settings.data, "source", os.devnull), "data.source")
    if source.is_file():  # of the user's own, who may exchange it
        content["data_sha256"] = hashlib.sha256(source.read_bytes()).hexdigest()
    if (out / RUN).exists():
        try:
            before = json.loads((out / RUN).read_text(encoding="utf-8"))
            same = replaced(fixed, before["settings"])
            differ = [f"task {before['task']} -> {task}"] if before["task"] != task else differences(same, fixed)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"--out {out} has a {RUN} that cannot be read ({error!s:.150}). "
                             "Choose another folder.") from None
        if differ:
            raise ValueError(f"--out {out} holds a run of other settings ({'; '.join(differ[:4])}). "
                             "Choose another folder, or delete that one.")
        if content.get("data_sha256") != before.get("data_sha256", content.get("data_sha256")):
            raise ValueError(f"data.source {source} is not the file that the run in --out {out} began with. Put that "
                             "one back, or choose another folder.")
        return False
    strange = sorted(p.name for p in out.iterdir())
    if strange:
        raise ValueError(f"--out {out} holds other files ({', '.join(strange[:3])}). Choose an empty or a new folder.")
    checkpoint.write_json(out / RUN, content)
    return True


@contextmanager
def room_in(out: Path) -> Iterator[None]:
    """Say where a file could not be written, and what to do.

    Raises:
        OSError: with that sentence.
    """
    try:
        yield
    except OSError as error:
        raise OSError(f"a file could not be written in {out} ({error.strerror}). Make room there; the same command "
                      "then finishes.") from None


def make_folder(out: Path) -> None:
    """Make a folder that can be written to.

    Raises:
        ValueError: if it cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".probe.tmp"
        probe.touch()
        checkpoint.tidy(out, "probe")
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written to ({error.strerror}). Choose another folder.") from None
