#!/usr/bin/env python
"""Coverage-guided fuzzing of the readers of files: a reader accepts its file or raises a ValueError of our own.

    python tools/fuzz_readers.py npz --minutes 10 [--out results/fuzz.json]

READER is one of npz, extxyz, csv (QM9), checkpoint and yaml (settings). An input is a finding if the reader raises
anything that is not raised by a line of ponita_edu, a message of over 600 characters, takes over 5 s of processor time,
or 256 MB of memory more than any input before. Each kind is kept once, in build/fuzz/READER/findings. Minutes are
processor time.
"""

import argparse
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = str(ROOT / "ponita_edu")
SPLIT = b"\n--8<--\n"  # between the parts of an input that stands for several files or members
SECONDS, GROWTH, MEMORY, LONGEST = 5, 256 << 20, 2 << 30, 600
AWKWARD = [b"-1", b"0", b"1e999", b"nan", b"9" * 20, b"\xff\xfe", b"\0", b"[", b"{", b"'", b"!!int ", b"&a ", b"*a"]
INSTRUMENTED = ["ponita_edu", "yaml", "ase.io", "ase.units", "zipfile", "csv", "json", "numpy.lib"]


class TooSlowError(BaseException):
    """An input took more processor time than any file of its size should. Readers may catch any Exception, not this."""


# --- the readers: the first byte of an input chooses among several ways in


def read_npz(data: bytes, folder: Path) -> None:
    """rMD17 frames or N-body simulations; the bytes are the file, or its members in a sound zip archive."""
    from ponita_edu.data.md17 import read_frames
    from ponita_edu.tasks.nbody import read_split

    way, body, path = _way(data, 4), data[1:], folder / "a.npz"
    names = ("charges", "loc_in", "vel_in", "loc_out") if way > 1 else ("nuclear_charges", "coords", "energies",
                                                                        "forces")
    if way % 2:
        with zipfile.ZipFile(path, "w") as file:
            for name, part in zip(names, body.split(SPLIT), strict=False):
                file.writestr(f"{name}.npy", part)
    else:
        path.write_bytes(body)
    (read_split if way > 1 else read_frames)(path)


def read_extxyz(data: bytes, folder: Path) -> None:
    """Frames in extended XYZ, read by ASE; or plain XYZ for a prediction."""
    from ponita_edu.data.md17 import read_frames
    from ponita_edu.molecules.predict import read_xyz

    path = folder / "a.xyz"
    path.write_bytes(data[1:])
    (read_xyz if _way(data, 2) else read_frames)(path)


def read_csv(data: bytes, folder: Path) -> None:
    """A file of QM9 with three molecules."""
    from ponita_edu.data import qm9_csv

    path = folder / "a.csv"
    path.write_bytes(data[1:])
    with mock.patch.multiple(qm9_csv, csv_files=lambda: [path], MOLECULES=3):
        qm9_csv.read_csv(progress=False)


def read_checkpoint(data: bytes, folder: Path) -> None:
    """A checkpoint's two files as they are, or with the checksum that goes with them."""
    from ponita_edu.tasks import checkpoint

    text, _, numbers = data[1:].partition(SPLIT)
    if _way(data, 2):
        try:
            json.loads(numbers[8:8 + int.from_bytes(numbers[:8], "little")])  # safetensors does, unseen by the guidance
        except (ValueError, RecursionError):
            pass
        try:
            info = json.loads(text)
            info["sha256"] = checkpoint._checksum(numbers, {k: v for k, v in info.items() if k != "sha256"})
            text = json.dumps(info).encode()
        except (ValueError, TypeError, AttributeError, RecursionError):
            pass
    (folder / checkpoint.INFO).write_bytes(text)
    (folder / checkpoint.STATE).write_bytes(numbers)
    checkpoint.read(folder)


def read_settings(data: bytes, folder: Path) -> None:
    """A config file for one of the tasks."""
    from ponita_edu.tasks.presets import PRESETS
    from ponita_edu.tasks.settings import read_yaml, replaced

    path = folder / "a.yaml"
    path.write_bytes(data[1:])
    content = read_yaml(path)
    for name in ("task", "preset"):
        content.pop(name, None)
    replaced(list(PRESETS.values())[_way(data, len(PRESETS))]["quick"], content)


READERS: dict[str, Callable[[bytes, Path], None]] = {
    "npz": read_npz, "extxyz": read_extxyz, "csv": read_csv, "checkpoint": read_checkpoint, "yaml": read_settings,
}


def _way(data: bytes, ways: int) -> int:
    return data[0] % ways if data else 0


# --- sound inputs to start from


def seeds(reader: str) -> list[bytes]:
    """Inputs that the reader accepts, one for each way in at least."""
    return {"npz": _npz_seeds, "extxyz": _xyz_seeds, "csv": _csv_seeds, "checkpoint": _checkpoint_seeds,
            "yaml": _yaml_seeds}[reader]()


def _npz_seeds() -> list[bytes]:
    import numpy as np

    def member(a: object) -> bytes:
        np.save(buffer := io.BytesIO(), a)
        return buffer.getvalue()

    def archive(arrays: dict, save: Callable) -> bytes:
        save(buffer := io.BytesIO(), **arrays)
        return buffer.getvalue()

    pos = np.arange(18.0).reshape(2, 3, 3)
    frames = {"nuclear_charges": np.array([8, 1, 1]), "coords": pos, "energies": np.arange(2.0), "forces": -pos}
    sims = {"charges": np.ones((2, 3)), "loc_in": pos, "vel_in": -pos, "loc_out": pos / 2}
    found = []
    for way, arrays in ((b"\0", frames), (b"\2", sims)):
        found += [way + archive(arrays, np.savez), way + archive(arrays, np.savez_compressed),
                  bytes([way[0] + 1]) + SPLIT.join(member(a) for a in arrays.values())]
    return found


def _xyz_seeds() -> list[bytes]:
    frame = (b'2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 pbc="F F F" note="a b" list=[1,2] ok=T\n'
             b"O 0 0 0 1 0 0\nH 0 0 1.5e0 -1 0 0\n")
    return [b"\0" + 2 * frame, b"\1" + b"2\n\nO 0 0 0\nH 0 0 1\n" * 2]


def _csv_seeds() -> list[bytes]:
    from ponita_edu.data.qm9_csv import COLUMNS

    names = ["Index", "N_atoms", "Elements", "XYZ_Ang", "Mulliken_pop", *COLUMNS.values()]
    row = ["2", "\"['O', 'H']\"", '"[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]"', '"[-0.5, 0.5]"', *12 * ["1.5"]]
    lines = [",".join(names), *(",".join([str(k), *row]) for k in (1, 2, 3))]
    return [b"\0" + "\n".join(lines).encode() + b"\n"]


def _checkpoint_seeds() -> list[bytes]:
    import torch

    from ponita_edu.tasks import checkpoint

    with tempfile.TemporaryDirectory() as folder:
        made = checkpoint.write(Path(folder) / "a", {"w": torch.arange(4.0), "n": torch.tensor([1])},
                                {"task": "nbody", "settings": {"seed": 1}})
        body = (made / checkpoint.INFO).read_bytes() + SPLIT + (made / checkpoint.STATE).read_bytes()
    return [b"\0" + body, b"\1" + body]


def _yaml_seeds() -> list[bytes]:
    texts = [p.read_bytes() for p in sorted((ROOT / "configs").glob("*.yaml"))]
    rich = b"model: &m {hidden: 8}\ntrain: {lr: 1e-3, epochs: 0x10, augment: no}\ndata: !!map {train: 1_000}\n"
    way = {"nbody": 0, "md17": 1, "qm9": 2}
    return [bytes([next((w for n, w in way.items() if n.encode() in text), 0)]) + text for text in (*texts, rich)]


# --- one input


def peak() -> int:
    """The most memory that this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def fault(reader: Callable[[bytes, Path], None], data: bytes, folder: Path) -> tuple[str, str] | None:
    """What is wrong with the reader's answer to these bytes, as (kind, traceback); None if all is well."""

    def stop(*_: object) -> None:
        raise TooSlowError(f"more than {SECONDS} s of processor time")

    before, held = signal.signal(signal.SIGPROF, stop), peak()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader(data, folder)
    except (Exception, TooSlowError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = isinstance(error, ValueError) and last.filename.startswith(PACKAGE)
        if not ours or len(str(error)) > LONGEST:
            where = f"{Path(last.filename).name}:{last.name}"
            long = " (long message)" if len(str(error)) > LONGEST else ""
            return f"{type(error).__name__}{long} in {where}", traceback.format_exc()[-4000:]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return (f"more than {GROWTH >> 20} MB of memory", "") if peak() - held > GROWTH else None


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a few flipped, cut out, doubled or replaced by awkward numbers; for where there is no atheris."""
    a = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        i, j = sorted(rng.randrange(len(a) + 1) for _ in range(2))
        j = min(j, i + 16)
        match rng.randrange(5):
            case 0 if i < len(a):
                a[i] ^= 1 << rng.randrange(8)
            case 1:
                del a[i:j]
            case 2:
                a[i:i] = a[i:j]
            case 3:
                del a[i:]
            case _:
                a[i:j] = rng.choice(AWKWARD)
    return bytes(a)


def decode_json_in_sight() -> None:
    """Let json decode by its Python code, and count that as covered: its C code is one step to the guidance."""
    import atheris

    parts = json.scanner.py_make_scanner, json.decoder.py_scanstring, json.decoder.JSONObject, json.decoder.JSONArray
    for part in parts:
        atheris.instrument_func(part)
    json.scanner.make_scanner, json.decoder.scanstring = parts[:2]
    json._default_decoder = json.JSONDecoder()


def limit_memory() -> None:
    """Let this process map ``MEMORY`` bytes more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, resource.RLIM_INFINITY))


# --- the runs


def child(name: str, work: Path, minutes: float) -> None:
    """Fuzz in this process until the processor time is spent, and write what happened to ``work``."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        import ase.io.extxyz  # noqa: F401
        import yaml  # noqa: F401

        import ponita_edu.data.md17
        import ponita_edu.data.qm9_csv
        import ponita_edu.molecules.predict
        import ponita_edu.tasks.checkpoint
        import ponita_edu.tasks.nbody
        import ponita_edu.tasks.presets  # noqa: F401
    decode_json_in_sight()
    begin, kinds, runs = time.process_time(), {}, 0
    findings = work / "findings"
    with tempfile.TemporaryDirectory() as folder:

        def one(data: bytes) -> None:
            nonlocal runs
            runs += 1
            found = fault(READERS[name], data, Path(folder))
            if found and found[0] not in kinds:
                kinds[found[0]] = f"{len(kinds):02}"
                (findings / kinds[found[0]]).write_bytes(data)
                (findings / f"{kinds[found[0]]}.txt").write_text("\n".join(found))
            if runs % 64 == 0 and time.process_time() - begin > 60 * minutes:
                minute = round((time.process_time() - begin) / 60, 2)
                (work / "done.json").write_text(json.dumps({"runs": runs, "minutes": minute, "peak_mib": peak() >> 20,
                                                            "findings": sorted(kinds)}))
                sys.stderr.flush()
                os._exit(0)

        corpus = work / "corpus"
        for k, seed in enumerate(seeds(name)):
            (corpus / f"seed{k}").write_bytes(seed)
        for seed in seeds(name):  # sound files must be accepted, or nothing below means anything
            READERS[name](seed, Path(folder))
        words = work / "words"
        words.write_text("".join('"' + "".join(f"\\x{b:02x}" for b in word) + '"\n' for word in AWKWARD))
        limit_memory()
        settings = f"-dict={words}", "-max_len=8192", "-timeout=900", "-rss_limit_mb=0"
        atheris.Setup([sys.argv[0], str(corpus), *settings], one)
        atheris.Fuzz()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--minutes", type=float, default=10, help="of processor time (10)")
    parser.add_argument("--out", type=Path, help="JSON file whose entry of this reader is replaced")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.child:
        child(given.reader, given.child, given.minutes)
    work = ROOT / "build" / "fuzz" / given.reader
    shutil.rmtree(work, ignore_errors=True)
    for name in ("corpus", "findings"):
        (work / name).mkdir(parents=True)
    command = [sys.executable, __file__, given.reader, "--minutes", str(given.minutes), "--child", str(work)]
    with open(work / "log", "w") as log:
        code = subprocess.run(command, stderr=log, stdout=log, env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode
    text = (work / "log").read_text(errors="replace")
    if not (work / "done.json").exists():
        print(f"{given.reader}: the process ended with {code} after {text[-3000:]}")
        return 1
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
    result = json.loads((work / "done.json").read_text())
    result |= dict(zip(("covered_edges", "features", "corpus"), map(int, covered[-1]), strict=True))
    print(f"{given.reader}: {json.dumps(result)}")
    if given.out:
        from ponita_edu.tasks.checkpoint import write_json
        from ponita_edu.tasks.run import facts

        before = json.loads(given.out.read_text()) if given.out.exists() else {}
        about = "Coverage-guided fuzzing of the readers of files: python tools/fuzz_readers.py READER --out FILE"
        write_json(given.out, before | {"about": about, given.reader: result | {"device": "cpu"} | facts()})
    return 1 if result["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
