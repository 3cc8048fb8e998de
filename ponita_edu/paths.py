"""Where ponita_edu keeps what it computes or downloads, and paths that a user gives."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

VARIABLE = "PONITA_EDU_DATA"


def data_dir() -> Path:
    """The data folder, created if need be: ``$PONITA_EDU_DATA``, or else the user's cache folder.

    Raises:
        ValueError: if the folder cannot be created, for example because a file is in its place, or begins with the ~ of
            a user who is not known; if it is not named, and platformdirs is not installed.
    """
    chosen = os.environ.get(VARIABLE)
    if not chosen:
        try:
            import platformdirs  # only here, so that a bare GPU machine can do without it
        except ImportError:
            raise ValueError("the user's cache folder cannot be found without the package platformdirs. Install it, or "
                             f"set the environment variable {VARIABLE} to a folder.") from None

        chosen = platformdirs.user_cache_dir("ponita_edu", appauthor=False)
    folder = expanded(chosen, VARIABLE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"the data folder {folder} cannot be created ({error.strerror}); expected a folder that you may "
            f"write to. Set the environment variable {VARIABLE} to another folder."
        ) from error
    return folder


def expanded(path: str | Path, name: str) -> Path:
    """``path`` with a ~ at its beginning replaced by the home folder, which the shell leaves alone in ``--out=~/x``.

    Args:
        name: what the path is called in the message.

    Raises:
        ValueError: if there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{name} {path} begins with the home folder of a user who is not known here. Check the path, "
                         f"or write .{os.sep}{path} for a file of that name.") from None


def output_file(path: str | Path, endings: tuple[str, ...], overwrite: bool = False) -> Path:
    """The file that ``--out`` names, found fit to be written, for a look before the work: a link is followed.

    Raises:
        ValueError: on another ending, a folder that is not there or may not be written to, or something in the place of
            the file: a folder, or a file unless ``overwrite`` is set.
    """
    path = expanded(path, "--out")
    with writing(path):
        target = Path(os.path.realpath(path))  # putting a file in the place of a link would leave the old file behind
        if path.suffix.lower() not in endings or not target.parent.is_dir():
            raise ValueError(f"--out must be a file name ending in {' or '.join(endings)} in a folder that exists, but "
                             f"is {str(path)!r}. Create the folder first, or choose another name.")
        if target.is_symlink() or (target.exists() and not target.is_file()):  # a link here is one of a ring of links
            raise ValueError(f"--out {path} is there already and is no file. Choose another name.")
        if target.exists() and not overwrite:
            raise ValueError(f"--out {path} exists already. Choose another name, or set --overwrite to replace it.")
        probe = draft_beside(target)
        probe.touch(exist_ok=False)
        probe.unlink()
    return target


def draft_beside(path: Path) -> Path:
    """A passing name in the folder of ``path``, for a file that gets its own name once it is whole."""
    return path.with_name(f".{path.name}.{uuid4().hex}.tmp")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """What the system says of a file whose name the user does not know, said of ``--out``.

    Raises:
        ValueError: on an OSError.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise ValueError(f"--out {path} cannot be written ({why}). Choose another place.") from error
