"""One pass over the CSV files of the package qm9pack: 130,831 molecules in about ten seconds.

The files are read directly, since the package's own import fails with current setuptools. Its columns of coordinates
are written as Python lists; all brackets and quotes are dropped and the rest is read as one long list of numbers.
"""

import csv
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from numpy import ndarray
from tqdm import tqdm

MOLECULES = 130_831
FILES = ("qm9_part1.csv", "qm9_part2.csv", "qm9_part3.csv")
# our name: column, in the units of the file (hartree for energies)
COLUMNS = {
    "mu": "Dipole_debye", "alpha": "Polarizability_bohr3", "homo": "HOMO_au", "lumo": "LUMO_au",
    "gap": "HOMO_LUMO_gap_au", "r2": "R2_bohr2", "zpve": "ZPVE_au", "U0": "InternalEnergy_0K_au",
    "U": "InternalEnergy_298K_au", "H": "Enthalphy_298K_au", "G": "GibbsFreeEnergy_298K_au",
    "Cv": "Heatcapacity_Cv_cal_mol_K",
}
_CHUNK = 2000  # molecules read at once
_DROP = str.maketrans("", "", "[]' ")
_NUMBERS = np.zeros(128, np.int8)
_NUMBERS[[ord(s) for s in "HCNOF"]] = 1, 6, 7, 8, 9


def csv_files() -> list[Path]:
    """The three CSV files of the installed package.

    Raises:
        ValueError: if qm9pack is not installed, or its files are missing.
    """
    try:
        folder = Path(str(distribution("qm9pack").locate_file("qm9pack/data")))
    except PackageNotFoundError:
        raise ValueError("QM9 needs the package qm9pack, which is not installed. Install it with `pip install "
                         "'ponita_edu[chem]'`, or use load_subset(), which needs nothing.") from None
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"the package qm9pack lacks {', '.join(missing)}. Install it anew with `pip install "
                         "--force-reinstall qm9pack`.")
    return [folder / name for name in FILES]


def read_csv(dtype: str = "float64", progress: bool = True) -> dict[str, ndarray]:
    """The arrays of all molecules in the order of the files, which is that of their GDB numbers.

    Returns:
        ``index`` [molecules], ``sizes`` [molecules]; ``numbers`` [atoms] (int8), ``pos`` [atoms, 3] (Å, ``dtype``),
        ``charges`` [atoms] (Mulliken, e); and each of ``COLUMNS`` [molecules] as in the file, in float64.

    Raises:
        ValueError: if the files are not there, or hold something else than QM9.
    """
    paths = csv_files()
    try:
        arrays = _read(paths, dtype, progress)
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(f"the files of qm9pack cannot be read ({type(error).__name__}: {error!s:.150}). Install it "
                         "anew with `pip install --force-reinstall qm9pack`.") from error
    atoms = int(arrays["sizes"].sum(dtype=np.int64))
    if not (len(arrays["index"]) == MOLECULES and (arrays["numbers"] > 0).all() and (arrays["sizes"] > 0).all()
            and len(arrays["numbers"]) == len(arrays["pos"]) == len(arrays["charges"]) == atoms
            and all(np.isfinite(a).all() for a in arrays.values())):
        raise ValueError(f"the files of qm9pack hold {len(arrays['index'])} molecules with {len(arrays['pos'])} atoms, "
                         f"but {MOLECULES} with {atoms} were expected, all numbers finite. Install qm9pack 1.0.3.")
    return arrays


def _read(paths: list[Path], dtype: str, progress: bool) -> dict[str, ndarray]:
    parts: dict[str, list[ndarray]] = {}
    with tqdm(total=MOLECULES, desc="reading QM9", unit="molecule", disable=None if progress else True) as bar:
        for rows in _chunks(paths):
            columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
            part = {
                "index": np.array(columns["Index"], np.int32), "sizes": np.array(columns["N_atoms"], np.int8),
                "numbers": _NUMBERS[np.frombuffer("".join(columns["Elements"]).translate(_DROP).replace(",", "")
                                                  .encode(), np.uint8)],
                "pos": _floats(columns["XYZ_Ang"]).reshape(-1, 3).astype(dtype),
                "charges": _floats(columns["Mulliken_pop"]).astype(np.float32),
            } | {name: np.array(columns[column], np.float64) for name, column in COLUMNS.items()}
            for name, a in part.items():
                parts.setdefault(name, []).append(a)
            bar.update(len(rows) - 1)
    if not parts:
        raise ValueError("no molecule in them")
    return {name: np.concatenate(a) for name, a in parts.items()}


def _chunks(paths: list[Path]) -> Iterator[list[list[str]]]:
    # lists of a header and rows
    for path in paths:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader)
            rows = [header]
            for row in reader:
                rows.append(row)
                if len(rows) > _CHUNK:
                    yield rows
                    rows = [header]
            if len(rows) > 1:
                yield rows


def _floats(lists: tuple[str, ...]) -> ndarray:
    # bytes and `map`, which take half the time of text and of numpy's own conversion
    return np.fromiter(map(float, ",".join(lists).encode().translate(None, b"[]' ").split(b",")), np.float64)
