"""The 175 molecules of QM9 with at most five C, N, O and F atoms, which come with ponita_edu (notebook 12).

``python -m ponita_edu.data.qm9_small`` makes the file anew from all of QM9. Data: see ``data.qm9``.
"""

from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from ponita_edu.data.cache import write_npz
from ponita_edu.data.qm9 import QM9, load_qm9

HEAVY_ATOMS = 5
FILE = "assets/qm9_small.npz"
_PARTS = ("train", "val", "test")


def load_small() -> tuple[QM9, dict[str, Int[ndarray, " rows"]]]:
    """The molecules (float32 positions as in QM9, target ``alpha`` only), and the rows of each in EDM's parts."""
    with files("ponita_edu").joinpath(FILE).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        a = dict(arrays)
    data = QM9(index=a["index"], sizes=a["sizes"].astype(np.int64), numbers=a["numbers"], pos=a["pos"],
               charges=np.zeros(len(a["pos"]), np.float32), targets={"alpha": a["alpha"]}, subset=True)
    return data, {part: np.flatnonzero(a["part"] == k) for k, part in enumerate(_PARTS)}


def heavy_atoms(data: QM9) -> Int[ndarray, " molecules"]:
    """How many C, N, O and F atoms each molecule has."""
    return data.counts[:, 1:].sum(1)


def cut_from(data: QM9) -> dict[str, ndarray]:
    """The arrays of the file, cut from all of QM9."""
    rows = np.flatnonzero(heavy_atoms(data) <= HEAVY_ATOMS)
    part = np.zeros(len(data), np.int8)
    for k, name in enumerate(_PARTS):
        part[data.splits("edm")[name]] = k
    atoms = np.concatenate([np.arange(*data.offsets[row:row + 2]) for row in rows])
    return {"index": data.index[rows], "sizes": data.sizes[rows].astype(np.int8), "part": part[rows],
            "numbers": data.numbers[atoms], "pos": data.pos[atoms].astype(np.float32),
            "alpha": data.targets["alpha"][rows]}


if __name__ == "__main__":
    write_npz(Path(str(files("ponita_edu").joinpath(FILE))), cut_from(load_qm9()))
