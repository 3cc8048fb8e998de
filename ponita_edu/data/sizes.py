"""Molecules and clusters that grow: alkanes, water, peptides, C60; GFN2-xTB, in the package (notebook 13)."""

import json
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ponita_edu.data.cache import open_npz

ELEMENTS = (1, 6, 7, 8)
SHIPPED = Path(str(files("ponita_edu"))) / "assets" / "sizes_xtb.npz"


class SizedFrame(NamedTuple):
    """A geometry with its labels: Å, eV, eV/Å.

    ``split`` is ``train``, ``test`` or ``dimer`` (the interaction of two C60, and one C60 alone); ``n`` counts the
    units of the family: carbon atoms of an alkane, molecules of a water cluster, residues of a peptide, balls.
    """

    split: str
    family: str
    n: int
    numbers: Int64[Tensor, " atoms"]
    pos: Float64[Tensor, "atoms 3"]
    energy: float
    forces: Float64[Tensor, "atoms 3"]


def load_sizes(path: Path = SHIPPED) -> list[SizedFrame]:
    """All frames, as ``tools/make_xtb_sizes.py`` wrote them.

    Args:
        path: of the file.

    Raises:
        ValueError: if the file is missing or has other arrays.
    """
    try:
        with open_npz(path) as data:
            names, atoms, numbers, pos, energy, forces = (
                data[k] for k in ("names", "atoms", "numbers", "pos", "energy", "forces"))
            settings = json.loads(str(data["settings"]))
    except (OSError, KeyError, ValueError) as problem:
        raise ValueError(f"{path} must be a file of tools/make_xtb_sizes.py, but cannot be read: {problem}. Leave path "
                         "out for the frames in the package.") from problem
    unit, ends = settings["units"], np.cumsum(atoms, dtype=np.int64)
    frames = []
    for name, count, end, steps in zip(names, atoms, ends, energy, strict=True):
        split, family, n = str(name).split()
        rows = slice(int(end) - int(count), int(end))
        frames.append(SizedFrame(split, family, int(n), torch.from_numpy(numbers[rows].astype(np.int64)),
                                 torch.from_numpy(pos[rows] * unit["pos"]), float(steps * unit["energy"]),
                                 torch.from_numpy(forces[rows] * unit["forces"])))
    return frames


def dimer_distances() -> list[float]:
    """Distances between the centres of the two C60 of the frames ``dimer``, Å, in their order."""
    with open_npz(SHIPPED) as data:
        return json.loads(str(data["settings"]))["dimer_distances_A"]
