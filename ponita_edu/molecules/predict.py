"""Properties of your own molecules by a network that was trained on QM9 (notebook 11).

The network knows relaxed molecules of H, C, N, O and F of up to nine heavy atoms; it answers for others too, badly.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray

from ponita_edu.data.qm9 import ELEMENTS
from ponita_edu.molecules.validity import rdkit
from ponita_edu.tasks.qm9 import QM9Network, pack_for
from ponita_edu.tasks.run import load_model

Atoms = tuple[Sequence[str], Float[ndarray, "_ 3"]]  # no name: molecules of one list differ in size
_NUMBER = {symbol: z for z, symbol in ELEMENTS.items()}


def predict(checkpoint: str | Path, molecules: str | Path | Sequence[str | Atoms]) -> Float64[ndarray, " molecules"]:
    """The property that a checkpoint was trained for, in the unit of ``data.qm9.UNITS`` (eV for energies).

    Args:
        checkpoint: folder of a qm9 run, of its model, or of one of its checkpoints.
        molecules: an .xyz file of one or more molecules; or a list whose entries are SMILES (hydrogens and a geometry
            are added by RDKit, which is not the geometry of QM9's method) or pairs of symbols and positions (Å).

    Raises:
        ValueError: if the checkpoint is of another task, or a molecule cannot be read or has other elements.
    """
    task, settings, network, _ = load_model(Path(checkpoint))
    if not isinstance(network, QM9Network):
        raise ValueError(f"checkpoint must be of the task qm9, but {checkpoint} is of {task}. Train one with "
                         "`ponita-edu train qm9`.")
    if isinstance(molecules, str | Path):
        read = read_xyz(molecules)
    else:
        read = [from_smiles(m) if isinstance(m, str) else m for m in molecules]
    if not read:
        raise ValueError("molecules must hold at least one molecule, but is empty. Give SMILES, or symbols with "
                         "positions.")
    numbers, pos = [], []
    for k, (symbols, places) in enumerate(read):
        other = sorted(set(symbols) - set(_NUMBER))
        places = np.asarray(places, np.float64)
        if other or places.shape != (len(symbols), 3) or not len(symbols):
            raise ValueError(f"molecules must consist of {', '.join(_NUMBER)}, each with a row of 3 in the positions, "
                             f"but number {k} has the symbols {''.join(symbols)[:40]!r} and positions of shape "
                             f"{list(places.shape)}. QM9 has no other elements; leave it out.")
        numbers += [_NUMBER[s] for s in symbols]
        pos.append(places)
    sizes = np.array([len(p) for p in pos])
    dtype = next(network.parameters()).dtype
    packed = pack_for(settings.model, np.array(numbers), np.concatenate(pos), sizes).to(torch.device("cpu"), dtype)
    network.eval()
    with torch.no_grad():
        return torch.cat([network.predict(packed.batch(i)) for i in torch.arange(len(sizes)).split(250)]).numpy()


def read_xyz(path: str | Path) -> list[Atoms]:
    """The molecules of an .xyz file: number of atoms, a comment line, and a line ``symbol x y z`` (Å) an atom,
    which more columns may follow. Extended XYZ whose ``Properties`` begin with others is refused.

    Raises:
        ValueError: if it cannot be read, with the number of the line at fault.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()  # a mark of Windows may stand before
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise ValueError(f"the file {path} cannot be read: {why}. Give an .xyz file, or a list of SMILES.") from None
    molecules, at = [], 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        try:
            atoms = int(lines[at])
            if atoms < 1:
                raise ValueError(f"{atoms} atoms")
            first, last = at + 2, at + 2 + atoms
            if last > len(lines):
                raise ValueError("the file ends before its last atom")
            columns = re.search(r"properties=\W?([\w:]+)", lines[at + 1], re.IGNORECASE)
            if columns and not columns[1].lower().startswith("species:s:1:pos:r:3"):  # forces, say, stand before places
                raise ValueError(f"its columns are {columns[1]}")
            rows = []
            for at in range(first, last):
                symbol, x, y, z, *_ = lines[at].split()
                rows.append((symbol, [float(x), float(y), float(z)]))
                if not np.isfinite(rows[-1][1]).all():
                    raise ValueError("a position is not finite")
        except ValueError as error:
            raise ValueError(f"the file {path} is no .xyz file at line {at + 1} ({error!s:.150}). Expected the number "
                             "of atoms, a comment line, and `symbol x y z` for each atom.") from None
        molecules.append((tuple(s for s, _ in rows), np.array([p for _, p in rows])))
        at = last
    return molecules


def from_smiles(smiles: str, seed: int = 0) -> Atoms:
    """A molecule with hydrogens, embedded and relaxed by RDKit (ETKDG, then the force field MMFF94).

    Raises:
        ValueError: if RDKit cannot read or embed it.
        ImportError: without RDKit (the extra ``chem``).
    """
    Chem = rdkit()
    from rdkit.Chem import AllChem

    with Chem.rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None or molecule.GetNumAtoms() == 0:
            raise ValueError(f"molecules must be SMILES or (symbols, positions), but {smiles!r} is no SMILES to RDKit. "
                             "For a file give its path alone, not in a list.")
        molecule = Chem.AddHs(molecule)
        if AllChem.EmbedMolecule(molecule, randomSeed=seed) != 0:
            raise ValueError(f"RDKit finds no geometry for {smiles!r}. Give symbols and positions instead.")
        if AllChem.MMFFHasAllMoleculeParams(molecule):
            AllChem.MMFFOptimizeMolecule(molecule, maxIters=2000)
    return tuple(a.GetSymbol() for a in molecule.GetAtoms()), molecule.GetConformer().GetPositions()
