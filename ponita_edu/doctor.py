"""Check an installation and say how to repair each fault: ``ponita-edu doctor``."""

import json as jsonlib
import os
import platform
import re
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from ponita_edu import __version__
from ponita_edu.paths import VARIABLE, data_dir

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
GIB = 2**30
MIN_DISK_GIB = 2
MAKE_VENV = "run `make venv` in the checkout (conda: `conda env update -f environment.yml`)"


@dataclass(frozen=True)
class Check:
    """One line of the report. ``repair`` is empty if all is well; ``needed`` says if a fault is grave."""

    name: str
    ok: bool
    found: str
    repair: str = ""
    needed: bool = True


def installed(package: str) -> str | None:
    """The installed version of ``package`` without its build tag, or None."""
    try:
        return metadata.version(package).split("+")[0]
    except metadata.PackageNotFoundError:
        return None


def read_lock(path: Path = LOCK) -> dict[str, str]:
    """Package to version, for the lines of the lock that apply to this system.

    Raises:
        ValueError: if a line is not of the form ``name==version`` with an optional ``sys_platform`` marker.
    """
    pins = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        match = re.fullmatch(r"([a-z0-9-]+)==([^\s;]+)(?:\s*; sys_platform ([!=]=) \"(\w+)\")?", line)
        if match is None:
            raise ValueError(
                f"{path.name}, line {number}: got {line!r}; expected name==version, with "
                '`; sys_platform != "win32"` (or ==) after it at most. Make the file anew with `make lock`.'
            )
        name, version, relation, system = match.groups()
        if relation is None or (sys.platform == system) == (relation == "=="):
            pins[name] = version
    return pins


def check_python() -> Check:
    ok = sys.version_info >= (3, 11)
    repair = "" if ok else "install Python 3.11, 3.12 or 3.13"
    return Check("Python", ok, f"{platform.python_version()} ({sys.executable})", repair)


def check_pins(lock: Path = LOCK) -> Check:
    """Every pinned package against what is installed; other versions may work, but outputs may differ."""
    if not lock.is_file():
        return Check("pinned packages", True, "not compared: no requirements.lock here", needed=False)
    pins = read_lock(lock)
    wrong = [f"{n} {installed(n) or 'absent'} (pinned {v})" for n, v in pins.items() if installed(n) != v]
    found = f"{len(pins) - len(wrong)} of {len(pins)} as pinned"
    if wrong:
        found += ": " + ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    return Check("pinned packages", not wrong, found, MAKE_VENV if wrong else "", needed=False)


def check_library() -> Check:
    """The packages without which nothing runs."""
    absent = []
    for package in ("torch", "numpy", "scipy", "jaxtyping", "safetensors", "pyyaml", "tqdm"):
        if installed(package) is None:
            absent.append(package)
    if not (installed("lightning-fabric") or installed("lightning")):
        absent.append("lightning-fabric")
    if absent:
        repair = f"{MAKE_VENV}, or pip install {' '.join(absent)}"
        return Check("library", False, "absent: " + ", ".join(absent), repair)
    return Check("library", True, f"ponita_edu {__version__} and all that it imports")


def check_torch() -> list[Check]:
    """torch itself, the GPU, the rounding of float32 products and the number of threads."""
    try:
        import torch
    except Exception as error:  # a broken installation raises anything from ImportError to OSError
        return [Check("torch", False, f"import fails: {error}".splitlines()[0], MAKE_VENV)]

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU only, fine for the course"
    precision = torch.get_float32_matmul_precision()
    exact = precision == "highest"
    threads, cores = torch.get_num_threads(), available_cores()
    return [
        Check("torch", True, torch.__version__),
        Check("GPU", True, gpu, needed=False),
        Check(
            "TF32",
            exact,
            f"float32 products: {precision}" + (", TF32 off" if exact else ", TF32 may be used"),
            "" if exact else 'torch.set_float32_matmul_precision("highest") before equivariance is measured',
            needed=False,
        ),
        Check(
            "threads",
            threads <= cores,
            f"{threads} on {cores} cores",
            "" if threads <= cores else f"set OMP_NUM_THREADS={cores}",
            needed=False,
        ),
    ]


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def labextensions() -> list[Path]:
    """Where JupyterLab looks: with `pip install --user`, on Debian and on Colab not only below ``sys.prefix``."""
    from jupyter_core.paths import jupyter_path

    return [Path(folder) for folder in jupyter_path("labextensions")]


def check_widgets(*folders: Path) -> Check:
    """JupyterLab 4, ipywidgets 8 with its Lab half, anywidget: versions that agree, and files in place."""
    versions = {p: installed(p) for p in ("jupyterlab", "ipywidgets", "jupyterlab-widgets", "anywidget")}
    if not any(versions.values()):
        return Check("widgets", True, "not installed (library without the course extra)", needed=False)
    found = ", ".join(f"{p} {v or 'absent'}" for p, v in versions.items())
    faults = [p for p, v in versions.items() if v is None]
    expected = {"jupyterlab": "4", "ipywidgets": "8", "jupyterlab-widgets": "3"}
    for package, major in expected.items():
        version = versions[package]
        if version is not None and version.split(".")[0] != major:
            faults.append(f"{package} {major}.* wanted")
    folders = folders or tuple(labextensions() if versions["jupyterlab"] else ())
    for extension in ("@jupyter-widgets/jupyterlab-manager", "anywidget"):
        if not any((folder / extension / "package.json").is_file() for folder in folders):
            faults.append(f"no {extension} in {', '.join(map(str, folders)) or 'JupyterLab'}")
    if faults:
        return Check("widgets", False, f"{found}; " + ", ".join(faults), MAKE_VENV)
    return Check("widgets", True, found)


def check_data() -> list[Check]:
    """The data folder can be written to and has room."""
    try:
        folder = data_dir()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        repair = f"set {VARIABLE} to a folder that you may write to"
        return [Check("data folder", False, str(error), repair)]
    free = shutil.disk_usage(folder).free / GIB
    enough = free >= MIN_DISK_GIB
    repair = "" if enough else f"free {MIN_DISK_GIB} GiB, or set {VARIABLE} to a folder on a larger disk"
    return [Check("data folder", True, str(folder)), Check("free disk", enough, f"{free:.1f} GiB", repair)]


def find_chromium() -> str | None:
    """The browser that the tests drive, if there is one; first the build without windows, which does less."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def check_chromium() -> Check:
    found = find_chromium()
    repair = "" if found else "only the browser tests want it; Debian: sudo apt-get install chromium"
    return Check("browser for tests", found is not None, found or "no Chromium found", repair, needed=False)


def checks() -> list[Check]:
    """All checks, in the order of the report."""
    return [
        check_python(),
        check_library(),
        check_pins(),
        *check_torch(),
        check_widgets(),
        *check_data(),
        check_chromium(),
    ]


def report(results: list[Check]) -> str:
    """The checks as a table; under each that fails, its repair."""
    width = max(len(c.name) for c in results)
    lines = []
    for c in results:
        mark = "ok" if c.ok else "FAULT" if c.needed else "note"
        lines.append(f"{mark:5}  {c.name:{width}}  {c.found}")
        if not c.ok:
            lines.append(f"{'':5}  {'':{width}}  -> {c.repair}")
    faults = sum(not c.ok and c.needed for c in results)
    lines.append("All that is needed is there." if not faults else f"{faults} to repair.")
    return "\n".join(lines)


def main(json: bool = False) -> int:
    """Print the report, as a table or as one JSON object; 0 if nothing needed is at fault, else 1."""
    results = checks()
    faults = any(not c.ok and c.needed for c in results)
    as_json = {"ok": not faults, "checks": [asdict(c) for c in results]}
    print(jsonlib.dumps(as_json) if json else report(results))
    return int(faults)


if __name__ == "__main__":
    sys.exit(main(json="--json" in sys.argv[1:]))
