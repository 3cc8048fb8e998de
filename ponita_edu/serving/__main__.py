"""``JUPYTER_TOKEN=... python -m ponita_edu.serving PORT``: the server of the app; see `ponita_edu.app`."""

import argparse

from ponita_edu.quick import quick_start
from ponita_edu.serving.mother_process import FORKS, mother


def main() -> None:
    """Start the mother of all kernels, and while she imports what she needs, the server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--ip", default="127.0.0.1")
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--minutes", type=int, default=30)
    args = parser.parse_args()
    if FORKS:
        mother.begin()
    with quick_start():
        from ponita_edu.serving.server import serve

    serve(args.port, args.ip, args.visitors, args.minutes)


if __name__ == "__main__":
    main()
