"""The command line: ``ponita-edu train | sweep | evaluate | sample | simulate | queue | doctor | lab | app``.

Settings come from the preset, then from ``--config FILE.yaml``, then from options, the later ones winning.
"""

import os
import sys
from collections.abc import Sequence

from ponita_edu import __version__, commands
from ponita_edu.tasks.settings import choose

COMMANDS = {  # each is a function of `commands`
    "train": "train a network on a task and test it",
    "sweep": "many training runs that differ in a few settings, on a cluster or here",
    "evaluate": "test a trained network",
    "sample": "make molecules with a trained generator",
    "simulate": "make data of your own",
    "queue": "the full runs: which are missing, and the next pieces of them",
    "doctor": "check the installation",
    "lab": "open the course in JupyterLab",
    "app": "serve the explorers to a class, without code",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 if all went well, 2 after an error that is the user's to repair, 130 after Ctrl-C, 141 if nobody read on.
    """
    if getattr(sys.stdout, "errors", "") == "strict":  # on Windows a file or a pipe often cannot hold Å or ±
        sys.stdout.reconfigure(errors="backslashreplace")
    argv = list(sys.argv[1:] if argv is None else argv)
    # Idle threads of torch (not imported yet) shall sleep, not spin: five times faster where others compute too.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        code = _dispatch(argv)
        print(end="", flush=True)
        return code
    except BrokenPipeError:  # `| head` has seen enough; what is left would be written at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError) as error:
        if os.environ.get("PONITA_EDU_DEBUG") == "1":
            raise
        text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        print(f"ponita-edu: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ponita-edu: stopped.", file=sys.stderr)
        return 130


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: ponita-edu COMMAND ...\n\n" + "\n".join(f"  {c:9} {text}" for c, text in COMMANDS.items())
              + "\n\n`ponita-edu COMMAND --help` says more; --version prints the version.")
        return 0
    if argv[0] == "--version":
        print(f"ponita_edu {__version__}")
        return 0
    command = choose("command", argv[0], COMMANDS)
    return getattr(commands, command)(argv[1:])


if __name__ == "__main__":
    sys.exit(main())
