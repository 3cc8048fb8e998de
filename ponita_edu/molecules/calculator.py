"""A trained force field in ASE: energies, forces, molecular dynamics, relaxation and vibrations (notebook 10).

It needs ASE: pip install 'ponita_edu[chem]'.

Forces are the exact negative gradient of the energy, so the dynamics conserve energy up to the integrator. With a fixed
grid of orientations the energy itself changes a little when the molecule turns, hence angular momentum does too.
"""

import copy
from numbers import Real
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, ZeroRotation
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.stress import full_3x3_to_voigt_6_stress
from ase.vibrations import Vibrations
from jaxtyping import Float
from numpy import ndarray

from ponita_edu.nn.forcefield import ForceField, molecules
from ponita_edu.nn.frozen import FrozenField, TableError, field_with_tables
from ponita_edu.tasks.run import load_model


class PonitaCalculator(Calculator):
    """Energies in eV and forces in eV/Å; in a periodic cell also the stress in eV/Å³.

    With a cutoff in the force field, neighbours are found anew for every geometry. A periodic cell, in any of its
    directions, needs a cutoff.

    Args:
        checkpoint: folder of an md17 run, of its model or of one of its checkpoints; or a ``ForceField``, of which a
            copy is used.
        dtype: precision of the network.
        tables: take kernels from tables (``nn.frozen``), made when the first geometry comes: True for tables up to the
            cutoff, or, without one, to 1.3 times the largest distance in that geometry; a number for a distance in Å.
            Beyond it there is a ValueError. ``table_error`` then says how far the first energy and forces are from
            those of the network.

    Raises:
        ValueError: if it is not the checkpoint of a force field; when used, on elements that it was not trained on, on
            periodic cells without a cutoff, and on lattice vectors that do not span them.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - ASE's name and type

    def __init__(self, checkpoint: str | Path | ForceField, dtype: torch.dtype = torch.float32,
                 tables: bool | Real = False):
        super().__init__()
        if isinstance(checkpoint, ForceField):
            field = copy.deepcopy(checkpoint)
        else:
            task, _, field, _ = load_model(Path(checkpoint))
            if not isinstance(field, ForceField):
                raise ValueError(f"checkpoint must be of a force field, but {checkpoint} is of the task {task}. "
                                 "Train one with `ponita-edu train md17`.")
        self.field = field.to(dtype).eval()
        self.tables = tables
        self.table_error: TableError | None = None
        self._frozen: FrozenField | None = None
        self._numbers: ndarray | None = None

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=all_changes) -> None:
        """ASE's entry point."""
        super().calculate(atoms, properties, system_changes)
        numbers = self.atoms.numbers
        if self._numbers is None or not np.array_equal(numbers, self._numbers):
            z = torch.from_numpy(numbers.astype(np.int64))
            self.field.check_trained(z)
            self._x, self._numbers, self._graphs = self.field.one_hot(z), numbers.copy(), None
        pos = torch.from_numpy(self.atoms.positions - self.atoms.positions.mean(0)).to(self._x)
        if self._graphs is None or self.field.cutoff is not None or self.atoms.pbc.any():
            batch = torch.zeros(len(pos), dtype=torch.long, device=pos.device)
            periodic = self.atoms.pbc.any()
            cell = torch.from_numpy(self.atoms.cell.array)[None].to(self._x) if periodic else None
            self._graphs = molecules(pos, self._x, batch, self.field.cutoff, cell, torch.from_numpy(self.atoms.pbc))
        graphs = self._graphs._replace(pos=pos)
        if self.tables and self._frozen is None:
            longest = None if self.tables is True else float(self.tables)
            self._frozen, self.table_error = field_with_tables(self.field, graphs, longest)
        energy, forces = (self._frozen or self.field).energy_and_forces(graphs)
        self.results = {"energy": float(energy), "free_energy": float(energy), "forces": forces.cpu().numpy()}
        if "stress" in properties:
            if not self.atoms.pbc.all():
                raise PropertyNotImplementedError("stress needs a cell that is periodic in all directions.")
            self.results["stress"] = full_3x3_to_voigt_6_stress(self.field.stress(graphs)[0].cpu().numpy())


class Run(NamedTuple):
    """A stretch of molecular dynamics, frame by frame."""

    time: Float[ndarray, " frames"]  # ps
    pos: Float[ndarray, "frames atoms 3"]  # Å
    vel: Float[ndarray, "frames atoms 3"]  # Å/ps
    energy: Float[ndarray, " frames"]  # total, eV
    # K, of the kinetic energy over all 3 N degrees of freedom. In NVE, where centre of mass and rotation rest, a mean
    # of T stands for 3 N/(3 N - 6) T in the others
    temperature: Float[ndarray, " frames"]


def dynamics(atoms: Atoms, ps: Real, ensemble: str = "nve", kelvin: Real = 300, fs: Real = 0.5, every: int = 10,
             seed: int = 0, friction: Real = 0.01, warm: bool = True) -> Run:
    """Molecular dynamics of ``atoms`` (in place), which have a calculator.

    NVE: velocity Verlet. NVT: Langevin with ``friction`` in 1/fs, which moves the centre of mass too.

    Args:
        ps: duration.
        fs: time step; hydrogen's stretch takes 9 fs, so 0.5 is safe.
        every: steps from one stored frame to the next.
        seed: of the velocities and of the thermostat.
        warm: draw velocities from a Maxwell distribution of ``kelvin``, without drift or rotation of the molecule.

    Raises:
        ValueError: on an unknown ensemble or numbers out of range, and if the molecule explodes (an atom further from
            the centre than all at the start by 100 Å, or numbers that are not finite).
    """
    if ensemble not in ("nve", "nvt"):
        raise ValueError(f"ensemble must be 'nve' or 'nvt', but is {ensemble!r}.")
    for name, value in dict(ps=ps, fs=fs, every=every, kelvin=kelvin, friction=friction).items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be positive and finite, but is {value}.")
    random = np.random.default_rng(seed)
    if warm:
        spread = np.sqrt(units.kB * kelvin * atoms.get_masses())[:, None]
        atoms.set_momenta(spread * random.normal(size=(len(atoms), 3)))
        if len(atoms) > 1:
            Stationary(atoms)
            ZeroRotation(atoms)
        else:  # all of its motion is drift
            atoms.set_momenta(np.zeros((1, 3)))
    step = fs * units.fs
    if ensemble == "nve":
        engine = VelocityVerlet(atoms, step)
    else:
        engine = Langevin(atoms, step, temperature_K=kelvin, friction=friction / units.fs, rng=random,
                          fixcm=False)  # with it, ASE's thermostat is wrong for few atoms: 760 K instead of 300 for 3
    frames = []

    def extent() -> float:
        return np.linalg.norm(atoms.positions - atoms.get_center_of_mass(), axis=1).max()

    farthest = extent() + 100

    def store() -> None:
        if not extent() < farthest:
            raise ValueError(f"the molecule has exploded after {engine.nsteps * fs / 1000:.3f} ps: an atom is "
                             f"{extent():.3g} Å from the centre. Use a smaller time step, start from a "
                             "geometry like those of the training data, or train the network longer.")
        frames.append((engine.nsteps * fs / 1000, atoms.positions.copy(),
                       atoms.get_velocities() * 1000 * units.fs, atoms.get_total_energy(), atoms.get_temperature()))

    engine.attach(store, interval=every)  # called at step 0 too
    engine.run(round(1000 * ps / fs))
    return Run(*(np.array(a) for a in zip(*frames, strict=True)))


def drift(run: Run) -> float:
    """Slope of the total energy, in meV per atom and ps, by least squares over the whole run.

    Raises:
        ValueError: on a run of a single frame, which has no slope.
    """
    if len(run.time) < 2:
        raise ValueError(f"run must have at least two frames, but has {len(run.time)}. Run longer, or store frames "
                         "more often (a smaller `every`).")
    return 1000 * float(np.polyfit(run.time, run.energy - run.energy[0], 1)[0]) / run.pos.shape[1]


def relax(atoms: Atoms, largest_force: Real = 0.01, steps: int = 500) -> Atoms:
    """A copy of ``atoms`` in the nearest minimum of the energy, with the same calculator.

    Raises:
        ValueError: if forces (eV/Å) are not below ``largest_force`` after so many steps of BFGS.
    """
    relaxed = atoms.copy()
    relaxed.calc = atoms.calc
    if not BFGS(relaxed, logfile=None).run(fmax=largest_force, steps=steps):
        raise ValueError(f"forces are not below {largest_force} eV/Å after {steps} steps. Allow more steps, or start "
                         "from a geometry like those of the training data.")
    return relaxed


def vibrations(atoms: Atoms, folder: str | Path, delta: Real = 0.01) -> Float[ndarray, " modes"]:
    """Harmonic wavenumbers in 1/cm of a relaxed molecule, ascending; imaginary ones are negative.

    Args:
        folder: for ASE's intermediate files, a new or empty one.
        delta: displacement of the atoms in Å; forces at ± delta give the second derivatives.

    Raises:
        ValueError: if the folder holds files.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"folder {folder} holds files, which ASE might take for its own. Choose a new one.")
    work = Vibrations(atoms, name=str(folder), delta=delta)
    work.run()
    found = work.get_frequencies()
    return np.sort(np.where(np.abs(found.imag) > np.abs(found.real), -np.abs(found.imag), found.real))
