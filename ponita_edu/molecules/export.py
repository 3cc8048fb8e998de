"""Molecules to files that other programs read: XYZ (elements and places) and SDF (bonds too, needs RDKit)."""

from io import StringIO
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from ponita_edu.molecules.stability import SYMBOLS, bond_orders, check_offsets
from ponita_edu.molecules.validity import rdkit, to_rdkit
from ponita_edu.paths import draft_beside, output_file, writing

FORMATS = (".sdf", ".xyz")


def check_target(path: str | Path, overwrite: bool = False) -> Path:
    """``path`` as a place to write molecules to, before the work of making them.

    Raises:
        ValueError: see ``paths.output_file``; or for .sdf without RDKit.
    """
    target = output_file(path, FORMATS, overwrite)
    if _is_sdf(path):
        try:
            rdkit()
        except ImportError as error:
            raise ValueError(f"{path} needs bonds. {error} Or write an .xyz file.") from None
    return target


def write_molecules(path: str | Path, numbers: Int[np.ndarray, " atoms"], pos: Float[np.ndarray, "atoms 3"],
                    offsets: Int[np.ndarray, " bounds"], overwrite: bool = False) -> Path:
    """Write molecules (laid out as for ``stability.stability``) to an .sdf or .xyz file, whole or not at all.

    SDF holds the bonds of ``stability.bond_orders``, and places with four decimals only (Å): bonds near a threshold may
    change if they are found anew from the file. XYZ holds all digits.

    Raises:
        ValueError: see ``check_target`` and ``bond_orders``.
    """
    target = check_target(path, overwrite)
    parts = [slice(a, b) for a, b in zip(check_offsets(offsets, len(numbers)), offsets[1:], strict=False)]
    text = (_sdf if _is_sdf(path) else to_xyz)([(numbers[p], pos[p]) for p in parts])
    draft = draft_beside(target)
    with writing(path):
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    return target


def _is_sdf(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".sdf"


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
