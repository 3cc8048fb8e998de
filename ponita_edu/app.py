"""Serve the explorers to a class as a site without code: ``python -m ponita_edu.app`` (what ``make app`` runs).

Every visitor's page has a kernel of its own, a child of one warm process. The site listens on this machine alone unless
``--ip`` says otherwise, and asks for the token in the address that is printed; keep that address in the class.
It speaks plain HTTP: on a network that you do not trust, put it behind a server that encrypts.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ponita_edu.lab import attend, check_address, check_installed, private_log
from ponita_edu.paths import data_dir

ASSETS = Path(__file__).parent / "assets" / "app"
HERE = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "", "::")


def environment(token: str, folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The server's environment: the token (not in the process list), our template, none of the user's settings."""
    return {
        **environ,
        "JUPYTER_TOKEN": token,
        "JUPYTER_PATH": str(ASSETS),
        **{f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")},
        # idle threads would spin, and a kernel needs one
        "OMP_NUM_THREADS": "1",
    }


def start(port: int, token: str, log: Path, *options: str) -> subprocess.Popen:
    """Start the server, its output going to ``log``. Pair it with ``lab.wait_until_ready`` and ``lab.stop``."""
    with log.open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "ponita_edu.serving", str(port), *options],
            env=environment(token, log.parent), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop the server in good order
        )


def main(argv: list[str] | None = None) -> int:
    """Start the site, print its address, open a browser where there is a display, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="ponita-edu app", description="Serve the explorers to a class, without code.")
    parser.add_argument("--port", type=int, default=8866, help="preferred port (default: 8866; 0: any)")
    parser.add_argument("--ip", default=HERE, help=f"address to listen on (default: {HERE}, this machine alone; "
                                                   "0.0.0.0: everyone who can reach it and knows the token)")
    parser.add_argument("--visitors", type=int, default=20, help="people at once, with up to three pages each (20)")
    parser.add_argument("--minutes", type=int, default=30, help="after which a page that nobody uses is stopped (30)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    args = parser.parse_args(argv)
    for name in ("visitors", "minutes"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, but is {getattr(args, name)}")
    try:
        check_installed("voila")
        check_address(args.ip)
        port, token, log = private_log(data_dir() / "app", "app", args.port)
    except ValueError as error:
        parser.error(str(error))

    options = ("--ip", args.ip, "--visitors", str(args.visitors), "--minutes", str(args.minutes))
    everywhere = args.ip in EVERYWHERE
    host = HERE if everywhere else f"[{args.ip}]" if ":" in args.ip else args.ip
    site = f"http://{host}:{port}"
    return attend(lambda: start(port, token, log, *options), port, log, f"{site}/?token={token}",
                  browser=not args.no_browser, name="The app", probe=f"{site}/login",
                  hint=f"For the class: the same with this machine's name instead of {HERE}." if everywhere else "")


if __name__ == "__main__":
    sys.exit(main())
