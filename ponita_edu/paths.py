"""Where ponita_edu keeps what it computes or downloads."""

import os
from pathlib import Path

VARIABLE = "PONITA_EDU_DATA"


def data_dir() -> Path:
    """The data folder, created if need be: ``$PONITA_EDU_DATA``, or else the user's cache folder.

    Raises:
        ValueError: if the folder cannot be created, for example because a file is in its place.
    """
    chosen = os.environ.get(VARIABLE)
    if not chosen:
        import platformdirs  # only here, so that a bare GPU machine can do without it

        chosen = platformdirs.user_cache_dir("ponita_edu", appauthor=False)
    folder = Path(chosen).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"the data folder {folder} cannot be created ({error.strerror}); expected a folder that you may "
            f"write to. Set the environment variable {VARIABLE} to another folder."
        ) from error
    return folder
