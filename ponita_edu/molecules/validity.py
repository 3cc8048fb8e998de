"""Does RDKit accept a generated molecule, and is it a new one (notebook 12)? Needs RDKit (the extra ``chem``).

A molecule is told to RDKit as elements and the bonds of ``stability.bond_orders``, without charges. Missing valences
are then filled silently with hydrogen: only too many bonds, or rings that cannot be kekulised, make it invalid. So
every stable molecule is valid, not conversely, and one that fell into pieces counts as valid.

Source: the protocol of EDM, arXiv 2203.17003.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ponita_edu.molecules.stability import bond_orders, by_size, check_offsets


@dataclass(frozen=True)
class Validity:
    """Canonical SMILES of each molecule's largest fragment (None: invalid), and its number of fragments (or 0)."""

    smiles: tuple[str | None, ...]
    fragments: tuple[int, ...]

    @property
    def valid(self) -> float:
        """Valid molecules among all."""
        return sum(s is not None for s in self.smiles) / len(self.smiles)

    @property
    def distinct(self) -> frozenset[str]:
        """The different SMILES."""
        return frozenset(s for s in self.smiles if s is not None)

    @property
    def unique(self) -> float:
        """Different SMILES among the valid molecules; 0 if there are none."""
        return len(self.distinct) / max(1, sum(s is not None for s in self.smiles))

    @property
    def valid_and_unique(self) -> float:
        """Different SMILES among all molecules: validity times uniqueness."""
        return len(self.distinct) / len(self.smiles)

    def novel(self, known: Iterable[str]) -> float:
        """Share of the different SMILES that ``known`` lacks; 0 if there are none.

        Args:
            known: SMILES of the training set **from this module**: other spellings would look new.
        """
        return len(self.distinct - set(known)) / max(1, len(self.distinct))


def validity(numbers: Int[np.ndarray, " atoms"], pos: Float[np.ndarray, "atoms 3"],
             offsets: Int[np.ndarray, " bounds"]) -> Validity:
    """Validity, uniqueness and SMILES of many molecules, laid out as for ``stability.stability``.

    Raises:
        ValueError: on arrays that ``stability`` refuses.
        ImportError: without RDKit.
    """
    Chem = rdkit()
    found: list[tuple[str | None, int]] = [(None, 0)] * (len(check_offsets(offsets, len(numbers))) - 1)
    with Chem.rdBase.BlockLogs():
        for molecules, atoms in by_size(offsets):
            for m, n, orders in zip(molecules, numbers[atoms], bond_orders(numbers[atoms], pos[atoms]), strict=True):
                found[m] = smiles_of(n, orders)
    return Validity(*zip(*found, strict=True))


def smiles_of(numbers: Int[np.ndarray, " atoms"], orders: Int[np.ndarray, "atoms atoms"]) -> tuple[str | None, int]:
    """SMILES of the largest fragment (the first of several) and number of fragments; (None, 0) if invalid."""
    Chem = rdkit()
    molecule = to_rdkit(numbers, orders)
    try:
        Chem.SanitizeMol(molecule)
        fragments = Chem.GetMolFrags(molecule, asMols=True)
        largest = max(fragments, key=lambda f: f.GetNumAtoms())
        Chem.SanitizeMol(largest)
    except ValueError:  # RDKit's errors of sanitising are ValueErrors
        return None, 0
    return Chem.MolToSmiles(largest), len(fragments)


def to_rdkit(numbers: Int[np.ndarray, " atoms"], orders: Int[np.ndarray, "atoms atoms"],
             pos: Float[np.ndarray, "atoms 3"] | None = None):
    """An RDKit molecule of elements, bonds and, if given, positions; not sanitised."""
    Chem = rdkit()
    kinds = (None, Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)
    molecule = Chem.RWMol()
    for z in numbers.tolist():
        molecule.AddAtom(Chem.Atom(z))
    for i, j in np.argwhere(np.triu(orders)).tolist():
        molecule.AddBond(i, j, kinds[orders[i, j]])
    if pos is not None:
        conformer = Chem.Conformer(len(numbers))
        conformer.SetPositions(np.asarray(pos, np.float64))
        molecule.AddConformer(conformer)
    return molecule


def rdkit():
    """RDKit's ``Chem``, imported when it is needed first.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        from rdkit import Chem
    except ImportError:
        raise ImportError("validity and SMILES need RDKit. Install it with pip install 'ponita_edu[chem]'.",
                          name="rdkit") from None
    return Chem
