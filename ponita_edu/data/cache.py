"""Files of arrays that are whole or not there at all, and say themselves whether they are sound."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy import ndarray
from numpy.lib.npyio import NpzFile

from ponita_edu.paths import draft_beside

LARGEST = 16 * 2**30  # bytes of all arrays of a file once unpacked; the largest of rMD17 has 0.2


def write_npz(path: Path, arrays: Mapping[str, ndarray]) -> None:
    """Write the arrays and put the file in its place at once: a reader sees all of it or what was there before."""
    draft = draft_beside(path)
    try:
        with open(draft, "xb") as file:
            np.savez(file, **arrays)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def open_npz(path: str | Path) -> NpzFile:
    """``np.load`` without pickled objects, of an archive whose arrays fit a machine; to be used with ``with``.

    Raises:
        ValueError: if the arrays take more than 16 GiB once unpacked (a small file can unpack to a thousandfold), or
            the file is none of several arrays.
    """
    file = np.load(path, allow_pickle=False)
    if not isinstance(file, NpzFile):
        raise ValueError("it is one array, not an .npz file of several")
    size = sum(member.file_size for member in file.zip.infolist())
    if size > LARGEST:
        file.close()
        raise ValueError(f"its arrays take {size:,} bytes once unpacked, of at most {LARGEST:,}")
    return file


def read_npz(path: Path, names: Iterable[str]) -> dict[str, ndarray]:
    """The named arrays of a file that holds their ``checksum`` as the array "sha256".

    Raises:
        ValueError: if the file is damaged or altered, in a few words.
    """
    try:
        with open_npz(path) as file:
            arrays = {name: file[name] for name in names}
            sound = checksum(arrays) == str(file["sha256"])
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if not sound:
        raise ValueError("its content does not match its checksum")
    return arrays


def checksum(arrays: Mapping[str, ndarray]) -> str:
    """SHA-256 of names, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name], dtype="<f8")  # the same bytes on every machine
        digest.update(f"{name}{a.shape}".encode())
        digest.update(a.tobytes())
    return digest.hexdigest()
