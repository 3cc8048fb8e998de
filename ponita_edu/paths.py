"""Where ponita_edu keeps what it computes or downloads, and paths that a user gives."""

import os
from pathlib import Path

VARIABLE = "PONITA_EDU_DATA"


def data_dir() -> Path:
    """The data folder, created if need be: ``$PONITA_EDU_DATA``, or else the user's cache folder.

    Raises:
        ValueError: if the folder cannot be created, for example because a file is in its place, or begins with the ~ of
            a user who is not known.
    """
    chosen = os.environ.get(VARIABLE)
    if not chosen:
        import platformdirs  # only here, so that a bare GPU machine can do without it

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
