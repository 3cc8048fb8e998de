"""Molecules built atom by atom from bond lengths, angles and dihedrals (notebooks 00 and 07).

Lengths in Å, angles in degrees, rounded textbook values: idealised shapes, not minima of any energy.
"""

from collections.abc import Sequence
from numbers import Real

import numpy as np
import torch

from ponita_edu.molecules.shapes import Molecule

TETRAHEDRAL = float(np.degrees(np.arccos(-1 / 3)))
# element; the atom it is bonded to, length; the atom and size of the angle; the atom and size of the dihedral
Row = tuple[str, int | None, Real, int | None, Real, int | None, Real]


def from_internal(name: str, rows: Sequence[Row]) -> Molecule:
    """Place atoms one after another, each by earlier ones (Z-matrix), and centre the whole.

    A dihedral of 0 puts the new atom on the side of the atom that it is measured from (cis), 180 opposite (trans). Its
    sign is IUPAC's: positive if, seen along the bond between them, the nearer atom turns clockwise onto the further.
    """
    places: list[np.ndarray] = []
    for _, to, length, by, angle, turn, dihedral in rows:
        places.append(_place(places, to, length, by, angle, turn, dihedral))
    positions = torch.tensor(np.array(places))
    return Molecule(name, tuple(row[0] for row in rows), positions - positions.mean(0))


def ethanol() -> Molecule:
    """CH3-CH2-OH: bond lengths 1.53 (C-C), 1.43 (C-O), 1.09 (C-H), 0.97 Å (O-H), tetrahedral angles."""
    t = TETRAHEDRAL
    return from_internal("ethanol", [
        ("C", None, 0, None, t, None, 0), ("C", 0, 1.53, None, t, None, 0), ("O", 1, 1.43, 0, t, None, 0),
        ("H", 2, 0.97, 1, t, 0, -65),
        ("H", 1, 1.09, 0, t, 2, -120), ("H", 1, 1.09, 0, t, 2, 120),
        ("H", 0, 1.09, 1, t, 2, -180), ("H", 0, 1.09, 1, t, 2, -60), ("H", 0, 1.09, 1, t, 2, 60)])


def aspirin() -> Molecule:
    """C9H8O4, 21 atoms: a benzene ring with a carboxyl group in its plane and, beside it, an ester group across it."""
    ring = [("C", k - 1, 1.39, k - 2, 120, k - 3, 0) for k in (3, 4, 5)]
    return from_internal("aspirin", [
        ("C", None, 0, None, 0, None, 0), ("C", 0, 1.39, None, 0, None, 0), ("C", 1, 1.39, 0, 120, None, 0), *ring,
        ("C", 0, 1.49, 1, 120, 2, -180), ("O", 6, 1.21, 0, 122, 1, -180), ("O", 6, 1.34, 0, 116, 1, 0),  # COOH
        ("H", 8, 0.97, 6, 107, 7, 0),
        ("O", 1, 1.40, 0, 120, 5, -180), ("C", 10, 1.36, 1, 118, 0, -90), ("O", 11, 1.20, 10, 123, 1, 0),  # OCOCH3
        ("C", 11, 1.50, 10, 111, 1, -180),
        *(("H", 13, 1.09, 11, TETRAHEDRAL, 10, dihedral) for dihedral in (-180, -60, 60)),
        *(("H", k, 1.08, k - 1, 120, k - 2, -180) for k in (2, 3, 4, 5))])


def _place(places: list, to: int | None, length: Real, by: int | None, angle: Real, turn: int | None,
           dihedral: Real) -> np.ndarray:
    if to is None:
        return np.zeros(3)
    if by is None:
        return places[to] + np.array([length, 0, 0])
    back = places[by] - places[to]
    back /= np.linalg.norm(back)
    side = np.array([0, 1.0, 0]) if turn is None else places[turn] - places[by]
    side = side - side @ back * back
    side /= np.linalg.norm(side)
    a, d = np.radians((angle, dihedral))
    out = np.cos(d) * side + np.sin(d) * np.cross(side, back)
    return places[to] + length * (np.cos(a) * back + np.sin(a) * out)
