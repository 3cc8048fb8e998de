"""Does a trained force field conserve energy? `python -m ponita_edu.molecules.nve --out results/md17_nve.json`."""

import argparse
import math
import time
from importlib.resources import files
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from ponita_edu.data.md17 import load_md17
from ponita_edu.molecules.calculator import PonitaCalculator, drift, dynamics, relax
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts

CHECKPOINT = "assets/checkpoints/md17_ethanol"


def measure(checkpoint: str | Path, start: Atoms, seeds: int, ps: Real, kelvin: Real, fs: Real) -> dict[str, Any]:
    """Drift of the total energy of NVE runs from a relaxed geometry, one run a seed. Velocities at the start are those
    of twice ``kelvin``, since about half of the kinetic energy becomes potential energy.

    Returns:
        drift of each seed in meV/atom/ps, with mean and standard error; the largest excursion of the energy from its
        start in meV/atom; the mean temperature in K; and the furthest that an atom was from the centre in Å.

    Raises:
        ValueError: if a run explodes.
    """
    start = start.copy()
    start.calc = PonitaCalculator(checkpoint)
    relaxed, runs = relax(start, largest_force=0.02), []
    for seed in range(seeds):
        atoms = relaxed.copy()
        atoms.calc = start.calc
        runs.append(dynamics(atoms, ps, "nve", 2 * kelvin, fs, seed=seed))
    drifts = np.array([drift(run) for run in runs])
    atoms = len(start)
    return {
        "drift_meV_per_atom_per_ps": drifts.tolist(), "drift_mean": float(drifts.mean()),
        "drift_standard_error": float(drifts.std(ddof=1) / math.sqrt(seeds)) if seeds > 1 else None,
        "drift_largest": float(np.abs(drifts).max()),
        "energy_excursion_meV_per_atom": [1000 * float(np.abs(r.energy - r.energy[0]).max()) / atoms for r in runs],
        "temperature_K": [float(r.temperature.mean()) for r in runs],
        "furthest_atom_A": [float(np.linalg.norm(r.pos - r.pos.mean(1, keepdims=True), axis=-1).max()) for r in runs],
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m ponita_edu.molecules.nve", description=__doc__)
    parser.add_argument("--checkpoint", help="of an md17 run; default: the ethanol network of the package")
    parser.add_argument("--data", default="ethanol_xtb", help="its first frame, relaxed, is the start; file or name")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ps", type=float, default=5.0)
    parser.add_argument("--kelvin", type=float, default=300.0)
    parser.add_argument("--fs", type=float, default=0.5, help="time step")
    parser.add_argument("--out", help="JSON file to write")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    began, frames = time.monotonic(), load_md17(given.data)
    start = Atoms(frames.numbers.numpy(), frames.pos[0].numpy())
    checkpoint = given.checkpoint or str(files("ponita_edu") / CHECKPOINT)
    result = measure(checkpoint, start, given.seeds, given.ps, given.kelvin, given.fs)
    result |= {"unit": "meV/atom/ps", "settings": vars(given), "minutes": (time.monotonic() - began) / 60,
               "device": "cpu", "threads": 1, "command": "python -m ponita_edu.molecules.nve", **facts()}
    error = result["drift_standard_error"]
    print(f"energy drift {result['drift_mean']:+.4f}" + (f" ± {error:.4f}" if error is not None else "")
          + f" meV/atom/ps (mean and standard error of {given.seeds} runs of {given.ps} ps), largest "
          f"{result['drift_largest']:.4f}; mean temperature {np.mean(result['temperature_K']):.0f} K; furthest atom "
          f"{max(result['furthest_atom_A']):.2f} Å from the centre")
    if given.out:
        write_json(Path(given.out), result)
    return result


if __name__ == "__main__":
    main()
