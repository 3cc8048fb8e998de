"""Damaged files of every kind: sound ones spoilt at random, and each input that fuzzing found to be trouble.

``python tools/fuzz_readers.py READER`` searches further, guided by coverage; what it finds comes into ``FOUND``.
"""

import importlib.util
import io
import random
from pathlib import Path

import numpy as np
import pytest

from ponita_edu.data import cache, md17, sizes
from ponita_edu.tasks import nbody, qm9
from ponita_edu.tasks.presets import PRESETS

spec = importlib.util.spec_from_file_location("fuzz_readers", Path(__file__).parents[2] / "tools/fuzz_readers.py")
fuzz = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)


def members(*changed):
    """The members of an rMD17 npz, the first ones replaced."""
    whole = next(s for s in fuzz.seeds("npz") if s[0] == 1)[1:].split(fuzz.SPLIT)
    return b"\1" + fuzz.SPLIT.join([*changed, *whole[len(changed) :]])


def header(text):
    """An .npy file with this header and nothing else."""
    np.save(buffer := io.BytesIO(), np.zeros(1))
    start = buffer.getvalue()[:8]
    return start + len(text).to_bytes(2, "little") + text.encode()


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(9 * [f'*{a}'])}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
CSV = fuzz.seeds("csv")[0]
FOUND = {  # reader and input; each once raised an error that was not ours, took memory or time without bounds
    "member that is no npy": ("npz", members(b"12")),
    "header of 8 TB": ("npz", members(header("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,), }"))),
    "header that is no Python": ("npz", members(header("{'descr': '<f8', ("))),
    "npy named npz": ("npz", b"\0" + header("{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }")),
    "split of no npz": ("npz", b"\2PK\x03\x04"),
    "frame of -2 atoms": ("extxyz", b"\1-2\n\n"),
    "frame of 10^10 atoms": ("extxyz", b"\00010000000000\nenergy=1\nH 0 0 0\n"),
    "10^30 columns": ("extxyz", b"\0002\nProperties=species:S:1" + 30 * b"0" + b":pos:R:3\nH 0 0 0\nH 0 0 1\n"),
    "10^6 columns in parts": ("extxyz", b"\0001\nProperties=" + b":".join(1000 * [b"a:S:1000"]) + b"\nH 0 0 0\n"),
    "columns that cancel": ("extxyz", b"\0002\nProperties=a:S:-9999999999:b:S:9999999999\nH 0 0 0\nH 0 0 1\n"),
    "long word for a number": ("extxyz", b"\0" + fuzz.seeds("extxyz")[0][1:].replace(b"1.5e0", 5000 * b"\0")),
    "long word in plain xyz": ("extxyz", b"\0011\n\nH 0 0 " + 5000 * b"x"),
    "csv without a line": ("csv", b"\0"),
    "csv of names only": ("csv", CSV.splitlines()[0]),
    "csv without a column": ("csv", CSV.replace(b"N_atoms", b"N")),
    "csv with an umlaut": ("csv", CSV.replace(b"'H'", "'Ä'".encode())),
    "csv with a giant field": ("csv", CSV.replace(b"0.0", 200_000 * b"0")),
    "csv with -2 atoms": ("csv", CSV.replace(b",2,", b",-2,", 1)),
    "csv that is not finite": ("csv", CSV.replace(b"-0.5", b"nan", 1)),
    "yaml date in no calendar": ("yaml", b"\0model: 2001-99-99"),
    "yaml tag without its value": ("yaml", b"\0model: !!bool x"),
    "yaml timestamp of words": ("yaml", b"\0model: !!timestamp x"),
    "yaml of a billion laughs": ("yaml", b"\0" + LAUGHS.encode() + b"model: {hidden: *i}\n"),
    "yaml of laughs as a group": ("yaml", b"\0" + LAUGHS.encode() + b"model: *i\n"),
    "yaml name that is a number": ("yaml", b"\0model: {1: 2}"),
    "yaml long name": ("yaml", b"\0model: {" + 5000 * b"x" + b": 2}"),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_fuzzing_found_is_refused_in_one_sentence_of_ours(name, tmp_path):
    reader, data = FOUND[name]
    assert fuzz.fault(fuzz.READERS[reader], data, tmp_path) is None
    with pytest.raises(ValueError):
        fuzz.READERS[reader](data, tmp_path)


@pytest.mark.parametrize("reader", fuzz.READERS)
def test_sound_files_are_read_and_spoilt_ones_refused_by_us(reader, tmp_path):
    rng, refused = random.Random(0), 0
    for seed in fuzz.seeds(reader):
        fuzz.READERS[reader](seed, tmp_path)
        for _ in range(400 // len(fuzz.seeds(reader))):
            data = seed[:1] + fuzz.mutated(seed[1:], rng)
            assert fuzz.fault(fuzz.READERS[reader], data, tmp_path) is None, data
            try:
                fuzz.READERS[reader](data, tmp_path)
            except ValueError:
                refused += 1
    assert refused > 50


def test_foreign_long_and_slow_answers_are_faults(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)

    def foreign(data, folder):
        int("x")

    def slow(data, folder):
        while True:
            pass

    def patient(data, folder):
        try:
            slow(data, folder)
        except Exception as error:
            raise ValueError("slow") from error

    def own_but_endless(data, folder):
        from ponita_edu.tasks.presets import PRESETS
        from ponita_edu.tasks.settings import replaced

        replaced(PRESETS["nbody"]["quick"], {"train": {"lr": "x"}}, prefix=700 * "y")

    assert fuzz.fault(foreign, b"", tmp_path)[0] == "ValueError in test_fuzz_readers.py:foreign"
    for reader in (slow, patient):
        assert fuzz.fault(reader, b"", tmp_path)[0].startswith("TooSlowError")
    assert "long message" in fuzz.fault(own_but_endless, b"", tmp_path)[0]


def test_an_input_that_takes_memory_is_a_fault(tmp_path, monkeypatch):
    for growth, found in ((fuzz.GROWTH, None), (fuzz.GROWTH + 1, ("more than 256 MB of memory", ""))):
        monkeypatch.setattr(fuzz, "peak", iter((1 << 30, (1 << 30) + growth)).__next__)  # before and after
        assert fuzz.fault(lambda data, folder: None, b"", tmp_path) == found


READERS = {  # of an .npz file that a user may have from anywhere, and the arrays that each looks for
    "rMD17": (md17.load_md17, md17._NPZ.values()),
    "N-body": (nbody.read_split, ("charges", "loc_in", "vel_in", "loc_out")),
    "QM9": (lambda path: qm9.task_on(path, PRESETS["qm9"]["quick"]), ("numbers", "pos", "sizes")),
    "sizes": (sizes.load_sizes, ("names", "atoms", "numbers", "pos", "energy", "forces", "settings")),
    "cache": (lambda path: cache.read_npz(path, ["a"]), ("a", "sha256")),
}


@pytest.mark.parametrize("read, names", READERS.values(), ids=list(READERS))
def test_an_archive_that_would_fill_the_memory_is_refused_unread(tmp_path, monkeypatch, read, names):
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, **{name: np.zeros(100_000) for name in names})
    assert path.stat().st_size < 10_000 < 800_000 * len(names)
    monkeypatch.setattr(cache, "LARGEST", 500_000)
    with pytest.raises(ValueError, match="bytes once unpacked, of at most 500,000"):
        read(path)
    monkeypatch.setattr(cache, "LARGEST", 10**9)  # the control: then it is read, and refused for what it holds
    with pytest.raises(ValueError) as refused:
        read(path)
    assert "once unpacked" not in str(refused.value)
