"""Make the embedded frames: molecular dynamics of ethanol and aspirin with GFN2-xTB.

    pip install --target FOLDER tblite     # outside the project's environment: only this script needs it
    PYTHONPATH=FOLDER python tools/make_xtb_md.py ethanol --frames 1000 --every 70
    PYTHONPATH=FOLDER python tools/make_xtb_md.py aspirin --frames 500 --every 60
    PYTHONPATH=FOLDER python tools/make_xtb_md.py ethanol --check --samples 60

The stored data were made with tblite 0.8.0, ASE 3.29.0 and RDKit 2026.9.1 (start geometries). Langevin dynamics at
500 K in the BAOAB splitting (Leimkuhler and Matthews 2013, doi:10.1063/1.4802990), friction 5/ps, 5 ps dropped at the
start. Masses do not enter the distribution of positions, so hydrogen weighs 3 u here and the step may be 2 fs. Each
kept geometry is centred, rounded to 10⁻⁶ Å and only then labelled, converged 100 times tighter than the dynamics: the
labels belong to the very numbers in the file. The file has the arrays and units of rMD17, rows in order of time, and
"settings" (JSON text): how it was made, and how far its frames are independent.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.langevinbaoab import LangevinBAOAB
from rdkit import Chem
from rdkit.Chem import AllChem
from tblite.ase import TBLite

from ponita_edu.data.md17 import KCAL_PER_EV, read_frames

# SMILES and torsions to watch; atoms count in the order of the SMILES, then the hydrogens
MOLECULES = {
    "ethanol": ("CCO", {"methyl": (3, 0, 1, 2), "hydroxyl": (0, 1, 2, 8)}),
    "aspirin": ("CC(=O)Oc1ccccc1C(=O)O", {"acetyl methyl": (13, 0, 1, 3), "ester": (4, 3, 1, 0),
                "ester to ring": (1, 3, 4, 5), "carboxyl to ring": (4, 9, 10, 11), "hydroxyl": (11, 10, 12, 20)}),
}  # fmt: skip
ASSETS = Path(__file__).resolve().parents[1] / "ponita_edu" / "assets" / "md17"
TEMPERATURE, STEP, FRICTION, EQUILIBRATION, HYDROGEN, DECIMALS = 500.0, 2.0, 0.005, 2500, 3.0, 6  # K, fs, 1/fs, -, u, -


def start(smiles: str) -> tuple[Atoms, np.ndarray]:
    """A geometry from RDKit with heavy hydrogens, and its bonds [bonds, 2]."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=0)
    AllChem.MMFFOptimizeMolecule(mol)
    atoms = Atoms([a.GetSymbol() for a in mol.GetAtoms()], positions=mol.GetConformer().GetPositions())
    atoms.set_masses([HYDROGEN if z == 1 else None for z in atoms.numbers])
    return atoms, np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()])


def autocorrelation(series: np.ndarray) -> np.ndarray:
    """C(k)/C(0) of a real or complex series about its mean, for lags k below a quarter of its length."""
    z = series - series.mean()
    c = np.array([(z[: len(z) - k].conj() * z[k:]).mean().real for k in range(len(z) // 4)])
    return c / c[0]


def correlation_time(series: np.ndarray) -> float:
    """1 + 2 Σ C(k)/C(0) in frames, summed up to the first window of five such times (Sokal): 1 if independent."""
    tau = 2 * np.cumsum(autocorrelation(series)) - 1
    return float(tau[np.argmax(np.arange(len(tau)) >= 5 * tau)])


def label(atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy and forces in kcal/mol(/Å), tightly converged from a fresh start, so that no order of frames matters."""
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.01, cache_api=False)
    return atoms.get_potential_energy() * KCAL_PER_EV, atoms.get_forces() * KCAL_PER_EV


def make(molecule: str, frames: int, every: int, seed: int, out: Path) -> None:
    """Run the dynamics and write ``out``."""
    smiles, torsions = MOLECULES[molecule]
    atoms, bonds = start(smiles)
    rng, begun = np.random.default_rng(seed), time.process_time()
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    md = LangevinBAOAB(atoms, STEP * units.fs, temperature_K=TEMPERATURE, T_tau=units.fs / FRICTION, rng=rng)
    md.run(EQUILIBRATION)
    rows, angles, kinetic = [], [], []
    for frame in range(frames):
        md.run(every)
        kinetic.append(atoms.get_temperature())
        kept = Atoms(atoms.numbers, np.round(atoms.positions - atoms.positions.mean(0), DECIMALS))
        longest = np.linalg.norm(np.diff(kept.positions[bonds], axis=1), axis=-1).max()
        if longest > 2.0:
            raise SystemExit(f"frame {frame}: a bond is {longest:.2f} Å long, the molecule falls apart")
        rows.append((kept.positions, *label(kept)))
        angles.append([kept.get_dihedral(*quad) for quad in torsions.values()])
        if frame % 50 == 0:
            print(f"{molecule} {frame}/{frames}, {(time.process_time() - begun) / 60:.2f} min", flush=True)
    coords, energies, forces = (np.array(a) for a in zip(*rows, strict=True))
    phases = np.exp(1j * np.radians(angles))
    settings = {
        "molecule": molecule, "smiles": smiles, "level": "GFN2-xTB (not rMD17)", "temperature_K": TEMPERATURE,
        "thermostat": "Langevin, BAOAB", "friction_per_ps": 1000 * FRICTION, "step_fs": STEP,
        "hydrogen_mass_u": HYDROGEN, "equilibration_ps": EQUILIBRATION * STEP / 1000,
        "between_frames_fs": every * STEP, "seed": seed,
        "versions": {name: version(name) for name in ("tblite", "ase", "rdkit", "numpy")},
        "kinetic_temperature_K": round(float(np.mean(kinetic)), 1),
        "correlation_time_in_frames": {"energy": round(correlation_time(energies), 2)}
        | {name: round(correlation_time(phases[:, k]), 2) for k, name in enumerate(torsions)},
        "cpu_minutes": round((time.process_time() - begun) / 60, 2),
    }  # fmt: skip
    np.savez_compressed(out, nuclear_charges=atoms.numbers.astype(np.uint8), coords=coords, energies=energies,
                        forces=forces, settings=np.array(json.dumps(settings)))
    print(json.dumps(settings, indent=1), out.stat().st_size, "bytes")


def check(path: Path, samples: int) -> None:
    """Label some stored geometries again, and compare forces with five-point differences of the energy.

    Also the temperature of the positions, ⟨|∇V|²⟩ / (k_B ⟨∇²V⟩), mean over all frames by mean over samples, and the
    temperature T (1 − ⟨h² ∂²V/∂q² / 4m⟩) that BAOAB's momenta must seem to have at the step h (they alone are off).
    """
    data, h = read_frames(path), 0.01
    masses = start(MOLECULES[path.stem.removesuffix("_xtb")][0])[0].get_masses()
    relabelled, differences, wrong_sign, laplacians, squared_steps = [], [], [], [], []
    for row in np.linspace(0, len(data) - 1, samples).astype(int):
        atoms = Atoms(data.numbers.numpy(), data.pos[row].numpy())
        energy, forces = label(atoms)
        laplacians.append(0.0)
        relabelled.append((abs(energy - data.energy[row].item()), np.abs(forces - data.forces[row].numpy()).max()))
        for atom, axis in np.ndindex(len(atoms), 3):
            shifted = {}
            for k in (-2, -1, 1, 2):
                moved = atoms.copy()
                moved.positions[atom, axis] += k * h
                shifted[k] = label(moved)[0]
            slope = (8 * (shifted[1] - shifted[-1]) - (shifted[2] - shifted[-2])) / (12 * h)
            curve = (16 * (shifted[1] + shifted[-1]) - (shifted[2] + shifted[-2]) - 30 * energy) / (12 * h**2)
            laplacians[-1] += curve
            squared_steps.append(curve / KCAL_PER_EV / masses[atom] * (STEP * units.fs) ** 2)
            differences.append(abs(slope + forces[atom, axis]))
            wrong_sign.append(abs(slope - forces[atom, axis]))
    energy, force = np.max(relabelled, axis=0)
    print(f"{path.name}: {samples} frames labelled again: energies within {energy:.1e} kcal/mol, forces within "
          f"{force:.1e} kcal/mol/Å\nforces against differences of the energy: worst {max(differences):.1e}, "
          f"rms {np.sqrt(np.mean(np.square(differences))):.1e} kcal/mol/Å (with the wrong sign {max(wrong_sign):.0f})")
    squares = (data.forces**2).sum((1, 2)).numpy()
    scale = 1 / (units.kB * KCAL_PER_EV * np.mean(laplacians))
    print(f"temperature of the positions: {squares.mean() * scale:.0f} K, standard error "
          f"{squares.std() * np.sqrt(correlation_time(squares) / len(squares)) * scale:.0f} K from the forces and "
          f"{np.std(laplacians) / np.mean(laplacians) / np.sqrt(samples) * TEMPERATURE:.0f} K from the curvatures\n"
          f"temperature of BAOAB's momenta by theory: {TEMPERATURE * (1 - np.mean(squared_steps) / 4):.0f} K")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("molecule", choices=MOLECULES)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--every", type=int, default=70, help="steps between kept frames")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=ASSETS)
    parser.add_argument("--check", action="store_true", help="check the file that is there instead")
    parser.add_argument("--samples", type=int, default=12, help="frames that --check labels again")
    args = parser.parse_args()
    file = args.folder / f"{args.molecule}_xtb.npz"
    if args.check:
        check(file, args.samples)
    else:
        make(args.molecule, args.frames, args.every, args.seed, file)
