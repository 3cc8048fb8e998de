"""Make the frames of growing systems: alkanes, water clusters, peptides, C60 and its dimer, labelled with GFN2-xTB.

    pip install --target FOLDER tblite     # outside the project's environment: only this script needs it
    PYTHONPATH=FOLDER python tools/make_xtb_sizes.py
    PYTHONPATH=FOLDER python tools/make_xtb_sizes.py --check

The stored data were made with tblite 0.8.0, ASE 3.29.0 and RDKit 2026.9.1. Geometries come from Langevin dynamics at
300 K (BAOAB, step 2 fs, friction 5/ps, hydrogen of 3 u, as in ``make_xtb_md.py``) in the force field MMFF94, the same
for all sizes, since dynamics with xTB would take hours for 190 atoms; so they are no sample of xTB's own ensemble. C60
is ASE's, its atoms moved by 0.03 Å at random. Each geometry is centred and rounded to 10⁻³ Å and only then labelled:
the labels belong to the very numbers in the file, which are whole multiples of the units that stand in ``settings``.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.md.langevinbaoab import LangevinBAOAB
from rdkit import Chem
from rdkit.Chem import AllChem, rdForceFieldHelpers
from rdkit.Geometry import Point3D
from tblite.ase import TBLite

FILE = Path(__file__).resolve().parents[1] / "ponita_edu" / "assets" / "sizes_xtb.npz"
# family: SMILES of its n-th member, n for training, frames of each, n for tests of larger ones
FAMILIES = {
    "alkane": (lambda n: "C" * n, (1, 2, 3, 4, 5, 6), 40, (10, 16, 32, 64)),
    "water": (lambda n: ".".join("O" * n), (1, 2, 3, 4, 5, 6), 40, (12, 24, 40, 64)),
    "peptide": (lambda n: "CC(=O)" + "N[C@@H](C)C(=O)" * n + "NC", (0, 1, 2), 80, (4, 8, 12, 18)),
}  # fmt: skip
TESTS, EQUILIBRATION, EVERY, LENGTH, ENERGY, FORCE = 5, 500, 100, 1e-3, 1e-6, 1e-4  # -, steps, steps, Å, eV, eV/Å
DIMER = (8.5, 9.0, 9.5, 10.0, 10.5, 11.0, 12.0, 13.0, 15.0, 20.0)  # centre to centre, Å


class Mmff(Calculator):
    """RDKit's MMFF94 for ASE."""

    implemented_properties = ("energy", "forces")

    def __init__(self, mol: Chem.Mol):
        super().__init__()
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
        self.field = rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, properties, ignoreInterfragInteractions=False)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        flat, unit = self.atoms.positions.ravel().tolist(), units.kcal / units.mol
        self.results = {"energy": self.field.CalcEnergy(flat) * unit,
                        "forces": -np.reshape(self.field.CalcGrad(flat), (-1, 3)) * unit}


def start(smiles: str, rng: np.random.Generator) -> Atoms:
    """A geometry that MMFF94 has relaxed; separate molecules are set on a grid, each turned at random."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    count = smiles.count(".") + 1
    single = mol if count == 1 else Chem.AddHs(Chem.MolFromSmiles(smiles.split(".")[0]))
    seed = int(rng.integers(2**31 - 1))
    if AllChem.EmbedMolecule(single, randomSeed=seed) < 0:
        AllChem.EmbedMolecule(single, randomSeed=seed, useRandomCoords=True)
    if count > 1:
        sites = np.stack(np.meshgrid(*[np.arange(-3.0, 4.0)] * 3), -1).reshape(-1, 3) * 3.1
        sites = sites[np.argsort(np.linalg.norm(sites - 0.3, axis=1), kind="stable")][:count]
        home = single.GetConformer().GetPositions()
        conformer = Chem.Conformer(mol.GetNumAtoms())
        for site, members in zip(sites, Chem.GetMolFrags(mol), strict=True):
            turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            for k, position in zip(members, home @ turn + site, strict=True):
                conformer.SetAtomPosition(k, Point3D(*position))
        mol.AddConformer(conformer)
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=500, ignoreInterfragInteractions=False)
    atoms = Atoms([a.GetSymbol() for a in mol.GetAtoms()], positions=mol.GetConformer().GetPositions())
    atoms.set_masses([3.0 if z == 1 else None for z in atoms.numbers])
    atoms.calc = Mmff(mol)
    return atoms


def geometries(smiles: str, frames: int, seed: list[int]) -> list[Atoms]:
    """Frames of a trajectory at 300 K."""
    rng = np.random.default_rng(seed)
    atoms, kept = start(smiles, rng), []
    md = LangevinBAOAB(atoms, 2 * units.fs, temperature_K=300, T_tau=200 * units.fs, rng=rng)
    md.run(EQUILIBRATION)
    for _ in range(frames):
        md.run(EVERY)
        kept.append(atoms.copy())
    return kept


def label(atoms: Atoms, accuracy: float = 0.1) -> tuple[float, np.ndarray]:
    """Energy in eV and forces in eV/Å of GFN2-xTB, from a fresh start."""
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=accuracy, cache_api=False)
    return atoms.get_potential_energy(), atoms.get_forces()


def dimer(distance: float) -> Atoms:
    """Two C60 at a distance between their centres along x."""
    one, other = molecule("C60"), molecule("C60")
    other.translate((distance, 0, 0))
    return one + other


def wanted():
    """(split, family, n, geometry) of every frame, in a fixed order."""
    for f, (family, (smiles, small, frames, large)) in enumerate(FAMILIES.items()):
        for n in small:
            for trajectory in range(4):
                yield from (("train", family, n, a) for a in geometries(smiles(n), frames // 4, [f, n, trajectory]))
            yield from (("test", family, n, a) for a in geometries(smiles(n), TESTS, [f, n, 100]))
        for n in large:
            yield from (("test", family, n, a) for a in geometries(smiles(n), TESTS, [f, n, 100]))
    rng = np.random.default_rng(60)
    for n, still in ((1, molecule("C60")), (2, dimer(10.0))):
        for _ in range(TESTS):
            moved = still.copy()
            moved.positions += 0.03 * rng.normal(size=moved.positions.shape)
            yield "test", "C60", n, moved
    yield from (("dimer", "C60", 2, dimer(distance)) for distance in DIMER)
    yield "dimer", "C60", 1, molecule("C60")


def make(out: Path) -> None:
    """Make all frames and write ``out``."""
    began, rows = time.process_time(), []
    for split, family, n, atoms in wanted():
        steps = np.round((atoms.positions - atoms.positions.mean(0)) / LENGTH).astype(np.int32)
        energy, forces = label(Atoms(atoms.numbers, steps * LENGTH))
        rows.append((f"{split} {family} {n}", len(atoms), atoms.numbers, steps, round(energy / ENERGY),
                     np.round(forces / FORCE).astype(np.int32)))
        if len(rows) % 50 == 0:
            print(len(rows), rows[-1][0], f"{(time.process_time() - began) / 60:.2f} min", flush=True)
    names, atoms, numbers, steps, energies, forces = zip(*rows, strict=True)
    settings = {
        "level": "GFN2-xTB", "geometries": "MMFF94, Langevin at 300 K", "seeds": "[family, n, trajectory]",
        "units": {"pos": LENGTH, "energy": ENERGY, "forces": FORCE}, "dimer_distances_A": DIMER,
        "versions": {name: version(name) for name in ("tblite", "ase", "rdkit", "numpy")},
        "cpu_minutes": round((time.process_time() - began) / 60, 2),
    }  # fmt: skip
    np.savez_compressed(
        out, names=np.array(names), atoms=np.array(atoms, np.int16), numbers=np.concatenate(numbers).astype(np.uint8),
        pos=np.concatenate(steps), energy=np.array(energies, np.int64), forces=np.concatenate(forces),
        settings=np.array(json.dumps(settings)))
    print(json.dumps(settings, indent=1), len(rows), "frames", out.stat().st_size, "bytes")


def check(path: Path, samples: int) -> None:
    """Label stored frames again, ten times tighter."""
    data = np.load(path, allow_pickle=False)
    unit, first = json.loads(str(data["settings"]))["units"], np.concatenate(([0], np.cumsum(data["atoms"])))
    worst = {"energy": 0.0, "forces": 0.0}
    for row in np.linspace(0, len(first) - 2, samples).astype(int):
        part = slice(first[row], first[row + 1])
        atoms = Atoms(data["numbers"][part], data["pos"][part] * unit["pos"])
        energy, forces = label(atoms, 0.01)
        off = abs(energy - data["energy"][row] * unit["energy"])
        worst["energy"] = max(worst["energy"], off)
        worst["forces"] = max(worst["forces"], np.abs(forces - data["forces"][part] * unit["forces"]).max())
    print(f"{samples} frames labelled again: energies within {worst['energy']:.1e} eV, forces within "
          f"{worst['forces']:.1e} eV/Å")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--check", action="store_true", help="check the file that is there instead")
    parser.add_argument("--samples", type=int, default=20, help="frames that --check labels again")
    args = parser.parse_args()
    check(args.out, args.samples) if args.check else make(args.out)
