"""Open the course in JupyterLab, on this machine only: ``python -m ponita_edu.lab`` (what ``make lab`` runs).

The server listens on 127.0.0.1 with a token of its own. Settings of the course (no news, no update checks,
whole notebooks in the page) come from a folder of this package; the user's own Jupyter settings still count.
"""

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from ponita_edu.paths import VARIABLE, data_dir

FIRST = "notebooks/00_start_here.ipynb"
SETTINGS = Path(__file__).parent / "assets" / "jupyter"
START_SECONDS = 90
# `python -m jupyterlab`, up to 3 s sooner
QUICKLY = "from ponita_edu.quick import quick_start\nwith quick_start():\n  from jupyterlab.labapp import main\nmain()"


def course_root(notebook: str = FIRST) -> Path:
    """The folder that holds ``notebook``: the current one, or the checkout that the package comes from.

    Raises:
        ValueError: if neither holds it.
    """
    places = (Path.cwd(), Path(__file__).resolve().parents[1])
    for root in places:
        if (root / notebook).is_file() and absolute(root, notebook).is_relative_to(root):
            return root
    raise ValueError(
        f"notebook {notebook!r} was not found in {places[0]} or {places[1]}; expected one of the course. "
        "Change into the checkout of ponita_edu (the folder that holds notebooks/) and try again."
    )


def absolute(root: Path, notebook: str) -> Path:
    """The whole path of ``notebook``, which may be seen from ``root``; JupyterLab shows nothing that lies outside."""
    return Path(os.path.abspath(root / notebook))


def check_installed(package: str) -> None:
    """Raise unless ``package``, which comes with the extra ``course``, is installed.

    Raises:
        ValueError: if it is not.
    """
    if find_spec(package) is None:
        raise ValueError(f"{package} is not installed. Install the extra `course`: pip install 'ponita_edu[course]'.")


def free_port(preferred: int = 8888) -> int:
    """``preferred`` if nothing listens there, or else a port that the system gives (always for 0)."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            if os.name == "posix":  # a port left a moment ago counts as free, as it does for the server
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise RuntimeError("no free port on 127.0.0.1")


def check_port(port: int) -> None:
    """Raise unless there can be such a port.

    Raises:
        ValueError: if it is not from 0 to 65535.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port must be from 0 (any) to 65535, but is {port}. Leave it out for the usual one.")


def check_address(ip: str) -> None:
    """Raise unless one can listen on this address.

    Raises:
        ValueError: if this machine has no such address.
    """
    try:
        found = socket.getaddrinfo(ip or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)  # port 0, which is any that is free
    except (OSError, UnicodeError) as error:  # a UnicodeError of what cannot be a name
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"--ip must be an address of this machine, but {ip!r} is none ({why}). Leave it out for this "
                         "machine alone, or give 0.0.0.0 for everyone.") from error


def has_display(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Whether a browser window can be shown; on Linux that takes X11 or Wayland."""
    return not platform.startswith("linux") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def command(root: Path, port: int) -> list[str]:
    """The command that starts the server."""
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": root,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": hasattr(os, "getuid") and os.getuid() == 0,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": None,
        "LabApp.extension_manager": "readonly",
    }
    return [sys.executable, "-c", QUICKLY, *(f"--{name}={value}" for name, value in options.items())]


def environment(token: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The server's environment: the token (not in the process list), our settings, our own workspaces."""
    paths = [str(SETTINGS), *filter(None, [environ.get("JUPYTER_CONFIG_PATH")])]
    return {
        **environ,
        "JUPYTER_TOKEN": token,
        "JUPYTER_CONFIG_PATH": os.pathsep.join(paths),
        "JUPYTERLAB_WORKSPACES_DIR": str(data_dir() / "jupyter" / "workspaces"),
    }


def start(root: Path, port: int, token: str, log: Path, extra: tuple[str, ...] = ()) -> subprocess.Popen:
    """Start the server, its output going to ``log``. Pair it with ``wait_until_ready`` and ``stop``."""
    with log.open("w") as output:
        return subprocess.Popen(
            [*command(root, port), *extra],
            env=environment(token),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop the server in good order
        )


def stop(server: subprocess.Popen) -> None:
    """Stop the server and its kernels, if it still runs."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_until_ready(server: subprocess.Popen, port: int, log: Path, name: str = "JupyterLab", url: str = "") -> None:
    """Return once the server answers at ``url``, by default its own API on this machine.

    Raises:
        RuntimeError: if it stops, or does not answer in time; the end of its log is in the message.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url or f"http://127.0.0.1:{port}/api", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    why = f"did not answer within {START_SECONDS} s" if server.poll() is None else "stopped"
    raise RuntimeError(f"{name} {why}. Run `ponita-edu doctor`; the end of {log}:\n{tail}")


def private_log(folder: Path, name: str, preferred: int) -> tuple[int, str, Path]:
    """A free port, a new token, and a log that others cannot read, since it holds the token.

    Raises:
        ValueError: if there can be no such port, or the log cannot be written.
    """
    check_port(preferred)
    port = free_port(preferred)
    log = folder / f"{name}-{port}.log"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        log.open("w").close()
    except OSError as error:
        raise ValueError(f"the log {log} cannot be written ({error.strerror}). Set the environment variable {VARIABLE} "
                         "to a folder that you may write to.") from error
    return port, secrets.token_hex(16), log


def attend(begin: Callable[[], subprocess.Popen], port: int, log: Path, url: str, browser: bool,
           name: str = "JupyterLab", probe: str = "", hint: str = "") -> int:
    """Start a server, print its address once it answers, open a browser where there is a display, wait for Ctrl-C.

    Args:
        begin: starts it.
        name, probe: see ``wait_until_ready``.
        hint: a line to print below the address.

    Returns:
        the exit code.
    """
    # told to stop, or the terminal was closed; SIGINT by name, as shells start background jobs deaf to it
    for number in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, number):
            signal.signal(getattr(signal, number), lambda *_: sys.exit(0))
    server = begin()
    try:
        wait_until_ready(server, port, log, name, probe)
        print("\n".join(filter(None, (f"Open {url}", hint, "Ctrl-C stops it."))), flush=True)
        if browser and has_display():
            webbrowser.open(url)
        return server.wait()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        stop(server)


def main(argv: list[str] | None = None) -> int:
    """Start the server, print its address, open a browser where there is a display, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="ponita-edu lab", description="Open the course in JupyterLab.")
    parser.add_argument("notebook", nargs="?", default=FIRST, help=f"which notebook (default: {FIRST})")
    parser.add_argument("--port", type=int, default=8888, help="preferred port (default: 8888; 0: any)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    args = parser.parse_args(argv)
    try:
        check_installed("jupyterlab")
        root = course_root(args.notebook)
        port, token, log = private_log(data_dir() / "jupyter", "lab", args.port)
    except ValueError as error:
        parser.error(str(error))

    place = quote(absolute(root, args.notebook).relative_to(root).as_posix())
    return attend(lambda: start(root, port, token, log), port, log,
                  f"http://127.0.0.1:{port}/lab/tree/{place}?token={token}", browser=not args.no_browser)


if __name__ == "__main__":
    sys.exit(main())
