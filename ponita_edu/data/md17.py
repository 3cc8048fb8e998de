"""Frames of one molecule with energies and forces: rMD17, our own xTB frames, and files of your own (notebook 10).

rMD17: ten molecules, about 100,000 frames each, PBE/def2-SVP (Christensen and von Lilienfeld 2020,
doi:10.6084/m9.figshare.12672038). Everything is kept in float64: at −4·10⁵ kcal/mol, the total energy of aspirin, two
neighbouring float32 numbers are 0.03 kcal/mol = 1.4 meV apart, about as much as the published errors.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy import ndarray
from torch import Tensor

from ponita_edu.data.cache import open_npz
from ponita_edu.data.rmd17_files import MOLECULES, rmd17_file
from ponita_edu.paths import expanded

KCAL_PER_EV = 1.602176634e-19 * 6.02214076e23 / 4184  # 1 eV in kcal/mol, 23.0605…, by the definitions of the SI
EMBEDDED = ("ethanol_xtb", "aspirin_xtb")
PUBLISHED_FRAMES = 100_000  # the split looks no further
_NPZ = {"numbers": "nuclear_charges", "pos": "coords", "energy": "energies", "forces": "forces"}
_XYZ = {"numbers": "species", "pos": "pos", "energy": "energy", "forces": "forces"}
_MOST_COLUMNS = 1_000  # in a line of extended XYZ
_SHAPE = {"numbers": "[atoms]", "pos": "[frames, atoms, 3]", "energy": "[frames]", "forces": "[frames, atoms, 3]"}


@dataclass(frozen=True, eq=False)
class Frames:
    """Geometries of one molecule, the same atoms in the same order in every one, with their labels.

    Args:
        numbers: atomic numbers, 1 to 118.
        pos: positions in Å.
        energy: energies in kcal/mol, of any zero.
        forces: F = −∂E/∂pos in kcal/mol/Å.
        name: what the frames are called in tables and results.

    Raises:
        ValueError: on wrong dtypes or shapes, no frames, values that are not finite, elements that do not exist.
    """

    numbers: Int64[Tensor, " atoms"]
    pos: Float64[Tensor, "frames atoms 3"]
    energy: Float64[Tensor, " frames"]
    forces: Float64[Tensor, "frames atoms 3"]
    name: str

    def __post_init__(self):
        for name, dtype in zip(_SHAPE, (torch.int64, *3 * [torch.float64]), strict=True):
            a = getattr(self, name)
            if not isinstance(a, Tensor) or a.dtype != dtype:
                raise ValueError(f"{name} must be a tensor of {dtype}, but is {getattr(a, 'dtype', type(a).__name__)}. "
                                 "Use torch.from_numpy(...), and read energies in double precision from the start.")
        _check_arrays({name: getattr(self, name).numpy(force=True) for name in _SHAPE}, {name: name for name in _SHAPE})

    def __len__(self) -> int:
        return len(self.energy)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> "Frames":
        """Some of the frames, as ``Frames`` again: one number, a slice, numbers or a mask."""
        if isinstance(index, Sequence):
            index = torch.as_tensor(index)
        rows = torch.arange(len(self))[index].reshape(-1)
        return Frames(self.numbers, self.pos[rows], self.energy[rows], self.forces[rows], self.name)

    def __repr__(self) -> str:
        return f"Frames({self.name!r}, {len(self):,} frames of {len(self.numbers)} atoms, kcal/mol and Å)"


def load_md17(name_or_path: str | Path) -> Frames:
    """Frames by name or from a file.

    Args:
        name_or_path: "ethanol_xtb" (1,000 frames) or "aspirin_xtb" (500): GFN2-xTB at 500 K, part of the package
            and NOT rMD17; one of the ten molecules of rMD17 ("ethanol", …), downloaded at first use
            (:func:`ponita_edu.data.rmd17_files.rmd17_file`); or a file for :func:`read_frames`. Write ./ethanol for
            a file of that name.

    Raises:
        ValueError: if there is neither such a name nor such a file, or the file is wrong.
        ConnectionError: if nothing can be downloaded; says which file to put where.
    """
    name = str(name_or_path)
    if name in MOLECULES:
        return read_frames(rmd17_file(name))
    if name in EMBEDDED:
        return read_frames(Path(str(files("ponita_edu") / "assets" / "md17" / f"{name}.npz")))
    return read_frames(name_or_path)


def read_frames(path: str | Path) -> Frames:
    r"""Read an rMD17 npz or an extended XYZ file; the content decides, not the name.

    npz: ``nuclear_charges`` [atoms], ``coords`` [frames, atoms, 3] in Å, ``energies`` [frames] in kcal/mol and
    ``forces`` [frames, atoms, 3] in kcal/mol/Å; more arrays may be there, pickled objects are refused.
    Extended XYZ, read by ASE, packed (.gz, .bz2, .xz) or not: in each frame ``energy=`` in eV and the columns species,
    pos in Å, forces in eV/Å, at most 1,000 columns.
    Energies and forces are converted to kcal/mol (1 eV = 23.0605… kcal/mol).

    Raises:
        ValueError: naming file, field and repair: unreadable or damaged, a field missing, pickled, not numeric, not
            finite, of wrong shape; unknown elements; other atoms, or an order of atoms, that changes between frames;
            a periodic cell.
    """
    path = expanded(path, "the data")
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ValueError(f"the data {str(path)!r} cannot be read ({error.strerror}); expected an rMD17 npz or an "
                         "extended XYZ file, or a name of "
                         f"{', '.join(EMBEDDED + MOLECULES)}. Check the path.") from error
    if not start:
        raise ValueError(f"{path} is empty; expected an rMD17 npz or an extended XYZ file. Copy it again.")
    npz = start[:4] == b"PK\x03\x04" or path.suffix == ".npz"
    try:
        arrays = _read_npz(path) if npz else _read_xyz(path)
        _check_arrays(arrays, _NPZ if npz else _XYZ)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    spacing = np.spacing(np.abs(arrays["energy"]).max())
    if arrays["energy"].dtype.itemsize < 8 and spacing > 1e-4:
        warnings.warn(f"{path}: the energies were stored in {arrays['energy'].dtype}, so that they are rounded to "
                      f"{spacing:.2g} kcal/mol; write them in float64", RuntimeWarning, stacklevel=2)
    unit = 1.0 if npz else KCAL_PER_EV
    return Frames(
        torch.from_numpy(arrays["numbers"].astype(np.int64)), torch.from_numpy(arrays["pos"].astype(np.float64)),
        torch.from_numpy(arrays["energy"].astype(np.float64) * unit),
        torch.from_numpy(arrays["forces"].astype(np.float64) * unit), path.stem,
    )


def published_split(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The split behind the published table: 950 training, 50 validation frames and all others for the test.

    Of the first 100,000 rows, every 100th (0, 100, …) is a candidate, and every 20th of the 1,000 candidates
    (0, 2000, …) validates. These are not the splits of the archive (:func:`read_split`).

    Raises:
        ValueError: if ``count`` is too small for 1,000 candidates.
    """
    if count <= 99_900:
        raise ValueError(f"count must be over 99,900 frames for the published split, but is {count:,}; only whole "
                         "rMD17 files have as many. Use split_by_numbers(count, train, val, seed).")
    rows = torch.arange(min(count, PUBLISHED_FRAMES))
    return rows[(rows % 100 == 0) & (rows % 2000 != 0)], rows[::2000], rows[rows % 100 != 0]


def split_by_numbers(count: int, train: int, val: int, seed: int | None = 0) -> tuple[Tensor, Tensor, Tensor]:
    """``train`` and ``val`` frames, and all others for the test, drawn by ``seed`` or in file order if that is None.

    One seed draws one order, training frames first: with another ``train``, the smaller set is part of the larger.

    Raises:
        ValueError: if a part is empty (a test set may be) or there are not as many frames.
    """
    for name, part in (("train", train), ("val", val)):
        if isinstance(part, bool) or not isinstance(part, int) or part < 1:
            raise ValueError(f"{name} must be a whole number of frames, at least 1, but is {part!r}.")
    if train + val > count:
        raise ValueError(f"train + val must be at most the {count:,} frames there are, but {train} + {val} = "
                         f"{train + val:,}. Use fewer.")
    order = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)
    return tuple(torch.from_numpy(part) for part in np.split(order, [train, train + val]))


def read_split(path: str | Path, count: int) -> Tensor:
    """Rows from one file of the archive's folder ``splits`` (index_train_01.csv, …): one whole number a line.

    Raises:
        ValueError: if the file cannot be read, or does not hold distinct whole numbers from 0 to ``count`` − 1.
    """
    try:
        rows = [int(line) for line in Path(path).read_text("ascii").split()]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must hold one whole number a line, but cannot be read ({error}).") from error
    if not rows or min(rows) < 0 or max(rows) >= count or len(set(rows)) < len(rows):
        held = f"{len(rows)} from {min(rows)} to {max(rows)}" if rows else "none"
        raise ValueError(f"{path} must hold at least one row, none twice, from 0 to {count - 1:,}, but holds {held}. "
                         "Was it made for other data?")
    return torch.tensor(rows)


def _read_npz(path: Path) -> dict[str, ndarray]:
    # A damaged file makes numpy and zipfile fail in any way, down to MemoryError and TokenError.
    arrays = {}
    try:
        file = open_npz(path)
        names = list(file.files)
    except Exception as error:
        raise ValueError(f"it is no npz file, or a damaged one ({error!s:.150}). Copy or download it again.") from error
    with file:
        missing = [key for key in _NPZ.values() if key not in names]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing; found {', '.join(names) or 'nothing':.150}. "
                             "Name the arrays as rMD17 does.")
        for name, key in _NPZ.items():
            try:
                arrays[name] = file[key]
                if not isinstance(arrays[name], ndarray):  # numpy hands out the bytes of what is no .npy
                    raise ValueError("it does not begin as an .npy file")
            except Exception as error:
                raise ValueError(f"{key} cannot be read ({error!s:.150}). Save it as a plain array of numbers, without "
                                 "pickled objects, or copy the file again.") from error
    return arrays


class _EndingFile(io.TextIOWrapper):
    """A text file that refuses to be read on and on after its end.

    ASE reads as many lines as a frame claims atoms before it looks at one of them, minutes for a claim of 10⁸.
    """

    _empty = 0

    def readline(self, *size: int) -> str:
        line = super().readline(*size)
        self._empty = 0 if line else self._empty + 1
        if self._empty > 9:
            raise ValueError("the file ends before the last atom of a frame")
        return line


def _few_columns(comment: str) -> dict[str, Any]:
    """A frame's comment line by ASE, which would go on to make a converter for each column that it names."""
    from ase.io.extxyz import key_val_str_to_dict

    info = key_val_str_to_dict(comment)
    if (named := sum(abs(int(n)) for n in str(info.get("Properties")).split(":")[2::3])) > _MOST_COLUMNS:
        raise ValueError(f"Properties names {named} columns, more than {_MOST_COLUMNS:,}")
    return info


def _read_xyz(path: Path) -> dict[str, ndarray]:
    try:
        from ase.io import iread
        from ase.io.formats import open_with_compression
    except ImportError as error:
        raise ValueError("it is no npz file, and to read extended XYZ, ASE is needed; install the extra chem, "
                         "or write an npz as rMD17 has it.") from error
    with open_with_compression(str(path), "rb") as packed, _EndingFile(packed, encoding="utf-8-sig") as file:
        return _xyz_frames(iread(file, index=":", format="extxyz", properties_parser=_few_columns))


def _xyz_frames(source: Iterator[Any]) -> dict[str, ndarray]:
    frames = []
    while True:
        number = len(frames)
        try:
            atoms = next(source)
        except StopIteration:
            break
        except Exception as error:  # ASE fails in many ways: KeyError for an element, XYZError, ValueError, IndexError
            what = f"species {error} is no element" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"frame {number} cannot be read as extended XYZ ({what:.150}). Expected a line with the "
                             "number of atoms, a line with energy= and Properties=species:S:1:pos:R:3:forces:R:3, "
                             "and one line per atom.") from error
        results = {} if atoms.calc is None else atoms.calc.results
        for key, shape in (("energy", ()), ("forces", atoms.positions.shape)):
            if key in results and np.shape(results[key]) != shape:
                raise ValueError(f"{key} must have shape {list(shape)} in frame {number}, but has "
                                 f"{list(np.shape(results[key]))}. Write one energy, and three forces per atom.")
            if key not in results:
                names = ", ".join([*atoms.info, *atoms.arrays])
                raise ValueError(f"{key} missing in frame {number}; found {names:.150}. "
                                 f"Rename what holds it to {key} (in eV and eV/Å).")
        if atoms.pbc.any():
            raise ValueError(f"pbc must be F F F, but is {atoms.pbc} in frame {number}: periodic cells are not "
                             "supported. For a molecule in a box, set pbc=\"F F F\".")
        if frames and not np.array_equal(atoms.numbers, frames[0][0]):
            raise ValueError("species must be the same in every frame, in the same order, but change at frame "
                             f"{number}. Write one file per molecule.")
        frames.append((atoms.numbers, atoms.positions, results["energy"], results["forces"]))
    if not frames:
        raise ValueError("it holds no frame. Write it again.")
    numbers, pos, energy, forces = zip(*frames, strict=True)
    return {"numbers": numbers[0], "pos": np.array(pos), "energy": np.array(energy), "forces": np.array(forces)}


def _check_arrays(arrays: dict[str, ndarray], names: dict[str, str]) -> None:
    """Refuse what no molecule has, by the field's name in its file."""
    for key, a in arrays.items():
        if a.dtype.kind not in ("iu" if key == "numbers" else "iuf"):
            raise ValueError(f"{names[key]} must hold {'whole' if key == 'numbers' else 'real'} numbers, but holds "
                             f"{a.dtype}. Convert it first.")
    atoms, frames = (len(np.atleast_1d(arrays[key])) for key in ("numbers", "energy"))
    wanted = {"numbers": (atoms,), "pos": (frames, atoms, 3), "energy": (frames,), "forces": (frames, atoms, 3)}
    for key, shape in wanted.items():
        if arrays[key].shape != shape or 0 in shape:
            raise ValueError(f"{names[key]} must have shape {_SHAPE[key]}, {list(shape)} here (at least one frame and "
                             f"one atom), but has {list(arrays[key].shape)}.")
        if not np.isfinite(arrays[key]).all():
            bad = np.argwhere(~np.isfinite(arrays[key]))[0].tolist()
            raise ValueError(f"{names[key]} must be finite, but is {arrays[key][tuple(bad)]} at {bad}. "
                             "Leave that frame out, or compute it again.")
    if arrays["numbers"].min() < 1 or arrays["numbers"].max() > 118:
        raise ValueError(f"{names['numbers']} must be atomic numbers from 1 to 118, but holds "
                         f"{sorted(set(arrays['numbers'].tolist()) - set(range(1, 119)))}.")
