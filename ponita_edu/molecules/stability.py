"""Is a cloud of atoms a molecule? Bonds by distance alone, and whether every atom has its valence (notebook 12).

Molecules lie one after another in flat arrays: molecule m has the atoms ``offsets[m]`` to ``offsets[m + 1] - 1``.

Source: lengths, margins and rule of Hoogeboom et al., arXiv 2203.17003 (EDM); the margins were tuned there so that as
many molecules of QM9 as possible come out stable.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

SYMBOLS = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F"}
VALENCE = {1: 1, 6: 4, 7: 3, 8: 2, 9: 1}
# Typical lengths (pm) of single, double and triple bonds, and how much longer a bond of each order may be.
LENGTHS = (
    {"HH": 74, "HC": 109, "HN": 101, "HO": 96, "HF": 92, "CC": 154, "CN": 147, "CO": 143, "CF": 135, "NN": 145,
     "NO": 140, "NF": 136, "OO": 148, "OF": 142, "FF": 142},
    {"CC": 134, "CN": 129, "CO": 120, "NN": 125, "NO": 121, "OO": 121},
    {"CC": 120, "CN": 116, "CO": 113, "NN": 110},
)
MARGINS = (10, 5, 3)


def _longest() -> np.ndarray:
    """Below which length (pm) a pair of atomic numbers has at least order 1, 2, 3: [3, 10, 10], -inf for never."""
    number = {symbol: z for z, symbol in SYMBOLS.items()}
    longest = np.full((3, 10, 10), -np.inf)
    for bound, lengths, margin in zip(longest, LENGTHS, MARGINS, strict=True):
        for (a, b), length in lengths.items():
            bound[number[a], number[b]] = bound[number[b], number[a]] = length + margin
    return longest


_LONGEST = _longest()
_VALENCE = np.array([VALENCE.get(z, 0) for z in range(10)])
_CHUNK = 1_000_000  # pairs at once


def bond_orders(numbers: Int[np.ndarray, "*molecules atoms"], pos: Float[np.ndarray, "*molecules atoms 3"]
                ) -> Int[np.ndarray, "*molecules atoms atoms"]:
    """Order 0, 1, 2 or 3 of the bond between all atoms of a molecule, or of several with equally many atoms.

    With d the distance: 1 if d < single + 10 pm; then 2 if d < double + 5 pm; then 3 if d < triple + 3 pm. No distance
    is too short: two atoms at one place are bonded.

    Args:
        numbers: atomic numbers, of H, C, N, O and F.
        pos: in Å; distances are taken in float64 from differences, since some lie 0.001 pm from a threshold.

    Raises:
        ValueError: on other elements, positions that are not finite, or shapes that do not fit.
    """
    numbers, pos = checked_molecules(numbers, pos)
    orders = np.zeros((*numbers.shape, numbers.shape[-1]), np.int8)
    i, j = np.triu_indices(numbers.shape[-1], 1)
    orders[..., i, j] = orders[..., j, i] = _orders(numbers, pos, i, j)
    return orders


@dataclass(frozen=True, eq=False)
class Stability:
    """Which atoms have the valence of their element, and which molecules consist of such atoms only."""

    valence: Int[np.ndarray, " atoms"]
    atoms: Bool[np.ndarray, " atoms"]
    molecules: Bool[np.ndarray, " molecules"]

    @property
    def atom_fraction(self) -> float:
        """Stable atoms among all atoms of the sample (not a mean over molecules)."""
        return float(self.atoms.mean())

    @property
    def molecule_fraction(self) -> float:
        """Molecules without an unstable atom among all."""
        return float(self.molecules.mean())


def stability(numbers: Int[np.ndarray, " atoms"], pos: Float[np.ndarray, "atoms 3"],
              offsets: Int[np.ndarray, " bounds"]) -> Stability:
    """Atom and molecule stability of many molecules at once.

    An atom is stable if the orders of its bonds to all others sum to H 1, C 4, N 3, O 2, F 1 exactly. Charged atoms
    (N+, O-) and some aromatic rings fail by construction: 0.64 % of the atoms of QM9 itself do.

    Raises:
        ValueError: see ``bond_orders``; also on offsets that do not ascend from 0 to the number of atoms.
    """
    numbers, pos = checked_molecules(numbers, pos)
    valence = np.zeros(len(numbers), np.int64)
    for _, atoms in by_size(check_offsets(offsets, len(numbers))):
        i, j = np.triu_indices(atoms.shape[1], 1)
        step = max(1, _CHUNK // max(len(i), 1))
        for part in (atoms[k:k + step] for k in range(0, len(atoms), step)):
            orders = _orders(numbers[part], pos[part], i, j)
            molecule, pair = bonds = np.nonzero(orders)
            for end in (i, j):
                np.add.at(valence, part[molecule, end[pair]], orders[bonds].astype(np.int64))
    stable = valence == _VALENCE[numbers]
    return Stability(valence, stable, np.logical_and.reduceat(stable, offsets[:-1]))


def by_size(offsets: Int[np.ndarray, " bounds"]
            ) -> Iterator[tuple[Int[np.ndarray, " molecules"], Int[np.ndarray, "molecules atoms"]]]:
    """For each number of atoms: which molecules have it, and the numbers of their atoms."""
    sizes = np.diff(offsets)
    for size in np.unique(sizes):
        molecules = np.flatnonzero(sizes == size)
        yield molecules, offsets[molecules][:, None] + np.arange(size)


def check_offsets(offsets: Shaped[np.ndarray, " bounds"], atoms: int) -> Int[np.ndarray, " bounds"]:
    """``offsets``, if they cut the atoms into molecules of at least one atom."""
    offsets = np.asarray(offsets)
    if (offsets.ndim != 1 or len(offsets) < 2 or offsets.dtype.kind not in "iu" or offsets[0] != 0
            or offsets[-1] != atoms or (np.diff(offsets) < 1).any()):
        raise ValueError(f"offsets must be whole numbers that ascend strictly from 0 to the number of atoms, {atoms}, "
                         f"but are {offsets.tolist()!s:.80}. For one molecule give [0, {atoms}].")
    return offsets


def _orders(numbers: np.ndarray, pos: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    square = 0.0
    for x in np.moveaxis(pos, -1, 0).copy():  # one coordinate after another, each in one piece of memory
        square = square + np.square(x[..., i] - x[..., j])
    pm = 100 * np.sqrt(square)
    orders = np.zeros(pm.shape, np.int8)
    near = np.nonzero(pm < _LONGEST.max())  # few; the others are no bonds, whatever their elements
    a, b = numbers[(*near[:-1], i[near[-1]])], numbers[(*near[:-1], j[near[-1]])]
    orders[near] = (pm[near] < _LONGEST[:, a, b]).sum(0)  # a bond of higher order is always the shorter one
    return orders


def checked_molecules(numbers: np.ndarray, pos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and, in float64, positions.

    Raises:
        ValueError: on other elements than H, C, N, O, F, positions that are not finite, or shapes that do not fit.
    """
    numbers, pos = np.asarray(numbers), np.asarray(pos, np.float64)
    if pos.shape != (*numbers.shape, 3) or numbers.dtype.kind not in "iu":
        raise ValueError(f"numbers must be whole numbers and pos have one row of 3 for each, but their shapes are "
                         f"{list(numbers.shape)} ({numbers.dtype}) and {list(pos.shape)}.")
    other = sorted(set(np.unique(numbers).tolist()) - set(SYMBOLS))
    if other:
        raise ValueError(f"numbers must be atomic numbers of H, C, N, O, F (1, 6, 7, 8, 9), but hold {other[:5]}. "
                         "The bond table knows no other elements; leave such molecules out.")
    if not np.isfinite(pos).all():
        raise ValueError("pos must be finite, but holds NaN or infinity. Discard such molecules first, and count them.")
    return numbers, pos
