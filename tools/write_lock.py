"""Print requirements.lock: the exact versions installed in the environment that runs this script.

`make lock` calls it in a fresh environment that holds torch and the package with all its extras.
"""

import platform
import re
from datetime import date
from importlib.metadata import distributions

# pip and the package itself are not pinned. CUDA libraries and triton come with torch where they are wanted,
# and differ from build to build.
SKIP = re.compile(r"pip|ponita-edu|triton|nvidia-.*|cuda-.*")

# Needed on Unix only, or to be had on Linux only. What other systems need besides (colorama, pywinpty, appnope), pip
# adds by itself.
MARKERS = {name: '; sys_platform != "win32"' for name in ("pexpect", "ptyprocess")} | {
    "atheris": '; sys_platform == "linux"'}

HEADER = f"""\
# Exact versions of the library and its course, chem, compare and dev extras: the notebooks ran with them.
# Do not edit; `make lock` writes this file. Made on {date.today()} with Python {platform.python_version()}.
# torch has no build tag: pip takes the CPU or the CUDA build of that version, whichever it is offered."""


def lines() -> list[str]:
    found = {}
    for dist in distributions():
        name = re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower()
        if not SKIP.fullmatch(name):
            found[name] = dist.version.split("+")[0]
    return [f"{name}=={version}{MARKERS.get(name, '')}" for name, version in sorted(found.items())]


if __name__ == "__main__":
    print(HEADER)
    print("\n".join(lines()))
