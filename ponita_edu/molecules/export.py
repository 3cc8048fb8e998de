"""Molecules to files that other programs read: XYZ (elements and places) and SDF (bonds too, needs RDKit)."""

from io import StringIO
from pathlib import Path
from uuid import uuid4

import numpy as np
from jaxtyping import Float, Int

from ponita_edu.molecules.stability import SYMBOLS, bond_orders, check_offsets
from ponita_edu.molecules.validity import rdkit, to_rdkit

FORMATS = (".sdf", ".xyz")


def check_target(path: str | Path, overwrite: bool = False) -> Path:
    """``path`` as a place to write molecules to, before the work of making them.

    Raises:
        ValueError: on another ending than .sdf or .xyz, a folder that is not there, a file that is, or for .sdf without
            RDKit.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"the file {path} must end in {' or '.join(FORMATS)}, but ends in {path.suffix!r}.")
    if not path.parent.is_dir():
        raise ValueError(f"the folder of {path} does not exist. Make it first, or choose another.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise ValueError(f"{path} exists already. Choose another name, or allow overwriting.")
    if path.suffix.lower() == ".sdf":
        try:
            rdkit()
        except ImportError as error:
            raise ValueError(f"{path} needs bonds. {error} Or write an .xyz file.") from None
    return path


def write_molecules(path: str | Path, numbers: Int[np.ndarray, " atoms"], pos: Float[np.ndarray, "atoms 3"],
                    offsets: Int[np.ndarray, " bounds"], overwrite: bool = False) -> Path:
    """Write molecules (laid out as for ``stability.stability``) to an .sdf or .xyz file, whole or not at all.

    SDF holds the bonds of ``stability.bond_orders``, and places with four decimals only (Å): bonds near a threshold may
    change if they are found anew from the file. XYZ holds all digits.

    Raises:
        ValueError: see ``check_target`` and ``bond_orders``.
    """
    path = check_target(path, overwrite)
    parts = [slice(a, b) for a, b in zip(check_offsets(offsets, len(numbers)), offsets[1:], strict=False)]
    make = _sdf if path.suffix.lower() == ".sdf" else to_xyz
    draft = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        draft.write_text(make([(numbers[p], pos[p]) for p in parts]), encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def to_xyz(molecules: list[tuple[np.ndarray, np.ndarray]]) -> str:
    blocks = []
    for k, (numbers, pos) in enumerate(molecules):
        rows = [f"{SYMBOLS[int(z)]} " + " ".join(repr(float(x)) for x in p)
                for z, p in zip(numbers, pos, strict=True)]
        blocks.append("\n".join((str(len(numbers)), f"Properties=species:S:1:pos:R:3 molecule={k}", *rows)))
    return "\n".join(blocks) + "\n"


def _sdf(molecules: list[tuple[np.ndarray, np.ndarray]]) -> str:
    buffer = StringIO()
    writer = rdkit().SDWriter(buffer)
    writer.SetKekulize(False)  # bonds are single, double and triple already, and over-valent atoms would be an error
    for k, (numbers, pos) in enumerate(molecules):
        molecule = to_rdkit(numbers, bond_orders(numbers, pos), pos)
        molecule.SetProp("_Name", f"molecule {k}")
        writer.write(molecule)
    writer.close()
    return buffer.getvalue()
