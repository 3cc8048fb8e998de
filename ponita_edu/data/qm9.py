"""QM9: 130,831 small organic molecules with twelve computed properties each (notebook 11).

Molecules of up to nine C, N, O and F atoms and their hydrogens at the minimum of their energy, B3LYP/6-31G(2df,p); the
3,054 uncharacterised ones of GDB9 are left out. Data: Ramakrishnan et al., Scientific Data 1 (2014) 140022, CC0, as
contained in the package qm9pack. Lengths in Å; ``UNITS`` lists the units of the targets.

Energies come in two kinds that are never mixed. U0, U, H and G of published tables are *atomisation* energies, the
total minus that of the free atoms, named ``U0_atom`` ... here; the total ones are named ``U0_total`` ...
"""

import hashlib
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int
from numpy import ndarray

from ponita_edu.data.cache import checksum, read_npz, write_npz
from ponita_edu.data.qm9_csv import COLUMNS, read_csv
from ponita_edu.paths import data_dir as default_data_dir
from ponita_edu.paths import expanded

ELEMENTS = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F"}  # by atomic number, in the order of the one-hot input
EV_PER_HARTREE = 27.211386246
ENERGIES = ("U0", "U", "H", "G")
# Energies of free atoms in hartree at the same level of theory: rows as ENERGIES, columns as ELEMENTS.
FREE_ATOMS = np.array([
    [-0.500273, -37.846772, -54.583861, -75.064579, -99.718730],
    [-0.498857, -37.845355, -54.582445, -75.063163, -99.717314],
    [-0.497912, -37.844411, -54.581501, -75.062219, -99.716370],
    [-0.510927, -37.861317, -54.598897, -75.079532, -99.733544],
])
_NOT_EV = {"mu": "D", "alpha": "bohr^3", "r2": "bohr^2", "Cv": "cal/(mol K)"}
PUBLISHED = ("mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0_atom", "U_atom", "H_atom", "G_atom", "Cv")
UNITS = {name: _NOT_EV.get(name, "eV") for name in (*PUBLISHED, *(f"{e}_total" for e in ENERGIES))}
VERSION = 1  # of the cache; raise it whenever the numbers in it change
_ARRAYS = ("index", "sizes", "numbers", "pos", "charges", *COLUMNS)
SUBSET = "assets/qm9_subset.npz"


@dataclass(frozen=True, eq=False)
class QM9:
    """Molecules one after another: atoms of molecule m are rows ``offsets[m]`` to ``offsets[m + 1]``.

    Args:
        index: GDB number of each molecule, ascending.
        sizes: number of atoms of each molecule.
        numbers: atomic number of each atom.
        pos: positions, Å.
        charges: Mulliken charge of each atom, e.
        targets: by the names of ``UNITS``, in these units.
        subset: whether this is the embedded subset, whose errors are not to be compared with published ones.
    """

    index: Int[ndarray, " molecules"]
    sizes: Int[ndarray, " molecules"]
    numbers: Int[ndarray, " atoms"]
    pos: Float[ndarray, "atoms 3"]
    charges: Float[ndarray, " atoms"]
    targets: dict[str, Float64[ndarray, " molecules"]] = field(repr=False)
    subset: bool = False

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        kind = "the embedded subset" if self.subset else "all of QM9"
        return f"QM9({len(self):,} molecules, {len(self.pos):,} atoms, {self.pos.dtype}, {kind})"

    @cached_property
    def offsets(self) -> Int[ndarray, " molecules_and_end"]:
        """First atom of each molecule, and the number of all atoms at the end."""
        return np.concatenate(([0], np.cumsum(self.sizes, dtype=np.int64)))

    @cached_property
    def counts(self) -> Int[ndarray, "molecules 5"]:
        """How many H, C, N, O, F each molecule has."""
        return count_elements(self.numbers, self.sizes)

    def molecule(self, row: int | np.integer) -> tuple[tuple[str, ...], Float[ndarray, "atoms 3"]]:
        """Element symbols and positions (Å) of one molecule."""
        atoms = slice(*self.offsets[row : row + 2])
        return tuple(ELEMENTS[int(z)] for z in self.numbers[atoms]), self.pos[atoms]

    def splits(self, name: str = "dimenet") -> dict[str, Int[ndarray, " rows"]]:
        """Rows of "train", "val" and "test", in the published order.

        ``dimenet`` (110,000, 10,000, 10,831) is that of property prediction, ``edm`` (100,000, 17,748, 13,083) that
        of generation. The subset keeps each molecule in the part that it has in the whole set.

        Raises:
            ValueError: on another name.
        """
        if name not in ("dimenet", "edm"):
            raise ValueError(f"name must be 'dimenet' or 'edm', but is {name!r}. Properties: 'dimenet'.")
        first, second, seed = (110_000, 120_000, 42) if name == "dimenet" else (100_000, 117_748, 0)
        rows = np.random.RandomState(seed).permutation(130_831)
        parts = dict(zip(("train", "val", "test"), np.split(rows, (first, second)), strict=True))
        if not self.subset:
            return parts
        own = _subset_file()["rows"]  # of the whole set, ascending
        return {part: np.searchsorted(own, rows[np.isin(rows, own)]) for part, rows in parts.items()}


def load_qm9(data_dir: str | Path | None = None, progress: bool = True) -> QM9:
    """All of QM9 from the cache (54 MB), or else read from the package qm9pack and cached.

    Positions are float32, as networks take them; ``read_qm9`` gives float64. The file holds a checksum and is
    replaced as a whole. One that is damaged is reported and made anew; if the folder cannot be written to, a warning
    says so, and nothing is kept.

    Args:
        data_dir: folder of the cache, None for :func:`ponita_edu.paths.data_dir`.
        progress: whether to show a progress bar while reading.

    Raises:
        ValueError: if there is no cache and qm9pack is not installed, or ``data_dir`` is a file.
    """
    folder = default_data_dir() if data_dir is None else expanded(data_dir, "data_dir")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"data_dir must be a folder, but {folder} is a file. Choose another place.")
    path = folder / f"qm9_v{VERSION}.npz"
    if path.exists():
        try:
            return _assemble(read_npz(path, _ARRAYS))
        except ValueError as error:
            warnings.warn(f"the cached data set {path} is damaged ({error}); reading QM9 again", RuntimeWarning,
                          stacklevel=2)
    arrays = read_csv("float32", progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_npz(path, arrays | {"sha256": np.array(checksum(arrays))})
    except OSError as error:
        warnings.warn(f"QM9 could not be kept in {folder} ({error.strerror}), so it will be read again next time; "
                      "choose a folder you may write to by data_dir or by the environment variable PONITA_EDU_DATA",
                      RuntimeWarning, stacklevel=2)
    return _assemble(arrays)


def read_qm9(dtype: str = "float64", progress: bool = True) -> QM9:
    """All of QM9 straight from the package's files, without the cache, positions in any precision."""
    return _assemble(read_csv(dtype, progress))


def load_subset() -> QM9:
    """2,000 molecules that come with ponita_edu: 1,200, 200 and 600 drawn at random from the DimeNet parts.

    Positions are rounded to 0.001 Å and charges to 0.001 e, to be small; targets are as in the whole set.
    """
    arrays = dict(_subset_file())
    del arrays["rows"], arrays["about"]
    arrays["pos"] = (arrays["pos"] * 1e-3).astype(np.float32)
    arrays["charges"] = (arrays["charges"] * 1e-3).astype(np.float32)
    return _assemble(arrays, subset=True)


def count_elements(numbers: Int[ndarray, " atoms"], sizes: Int[ndarray, " molecules"]) -> Int[ndarray, "molecules 5"]:
    """How many H, C, N, O, F each molecule has."""
    kind = np.searchsorted(list(ELEMENTS), numbers)
    molecule = np.repeat(np.arange(len(sizes)), sizes)
    return np.bincount(5 * molecule + kind, minlength=5 * len(sizes)).reshape(-1, 5)


def fingerprint(rows: Int[ndarray, " rows"]) -> str:
    """The first 16 digits of the SHA-256 of ordered row numbers (little-endian int64)."""
    return hashlib.sha256(np.ascontiguousarray(rows, "<i8").tobytes()).hexdigest()[:16]


def _assemble(arrays: dict[str, ndarray], subset: bool = False) -> QM9:
    counts = count_elements(arrays["numbers"], arrays["sizes"])
    targets = {}
    for name in COLUMNS:
        if name in ENERGIES:
            free = counts @ FREE_ATOMS[ENERGIES.index(name)]
            targets[f"{name}_atom"] = (arrays[name] - free) * EV_PER_HARTREE
            targets[f"{name}_total"] = arrays[name] * EV_PER_HARTREE
        else:
            targets[name] = arrays[name] * (EV_PER_HARTREE if UNITS[name] == "eV" else 1.0)
    fixed = {name: arrays[name] for name in ("index", "numbers", "pos", "charges")}
    return QM9(**fixed, sizes=arrays["sizes"].astype(np.int64), targets=targets, subset=subset)


def _subset_file() -> dict[str, ndarray]:
    with files("ponita_edu").joinpath(SUBSET).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
