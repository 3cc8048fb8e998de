"""Checks of notebook 10: forces, their error, a step of dynamics, temperature, drift, rounding."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ponita_edu.course.fresh import normal, numpy_random, whole
from ponita_edu.course.verdict import Verdict, judge

__all__ = ["energy_drift", "force_mae", "forces", "shifted", "temperature", "verlet"]
Array = np.ndarray
KCAL = 4.184e6 / 6.02214076e23 / 1.602176634e-19  # one kcal/mol in meV
AMU, BOLTZMANN = 1.66053906660e-27, 1.380649e-23  # kg, J/K


def forces(fn: object, seed: int | None = None) -> Verdict:
    """10.1: `fn(energy, pos)` [molecules, atoms, 3]. The reference takes central differences."""

    def energy(pos: Tensor) -> Tensor:
        """A chain of unlike springs; one energy for each molecule."""
        bonds = (pos[:, 1:] - pos[:, :-1]).norm(dim=-1)
        stiff = torch.arange(1, pos.shape[1], dtype=pos.dtype)
        return ((bonds - 1.1) ** 2 * stiff).sum(1) + 0.2 * bonds.cos().prod(1)

    def reference(energy: Callable, pos: Tensor) -> Tensor:
        h, found = 1e-5, torch.empty_like(pos)
        with torch.no_grad():
            for atom in range(pos.shape[1]):
                for axis in range(3):
                    step = torch.zeros_like(pos)
                    step[:, atom, axis] = h
                    found[:, atom, axis] = (energy(pos - step) - energy(pos + step)) / (2 * h)
        return found

    def gradient(of: Callable) -> Callable:
        def answer(energy: Callable, pos: Tensor) -> Tensor:
            pos = pos.clone().requires_grad_()
            return torch.autograd.grad(of(energy(pos)), pos)[0]

        return answer

    return judge(
        fn,
        inputs=lambda generator: (energy, normal(generator, 3, 4, 3)),
        reference=reference,
        mistakes=[
            ("the sign is wrong, for a force points downhill", gradient(lambda e: e.sum())),
            ("it differentiates the mean energy of the batch and not the sum", gradient(lambda e: -e.mean())),
            ("it differentiates the first molecule's energy only", gradient(lambda e: -e[0])),
        ],
        tolerance=1e-6,
        seed=seed,
    )


def force_mae(fn: object, seed: int | None = None) -> Verdict:
    """10.2: `fn(found, wanted)` in meV/Å. The reference adds in plain Python, with constants of the SI."""

    def reference(a: Array, b: Array) -> float:
        return KCAL * math.fsum(abs(p - q) for p, q in zip(a.ravel(), b.ravel(), strict=True)) / a.size

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        wanted = 20 * random.normal(size=(6, 9, 3))
        return wanted + 0.2 + random.uniform(0.5, 2) * random.normal(size=wanted.shape), wanted

    def mean(a: Array, b: Array) -> float:
        return np.abs(a - b).mean()

    cancel = "errors of opposite sign cancel, and absolute values come first"
    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("it is in kcal/mol/Å, and one kcal/mol is 43.36 meV", mean),
            ("it is in eV/Å, so the factor 1000 is missing", lambda a, b: KCAL * mean(a, b) / 1000),
            ("it divides by 43.36 and must multiply", lambda a, b: mean(a, b) / KCAL),
            ("it takes kcal/mol for eV", lambda a, b: 1000 * mean(a, b)),
            ("it takes the length of each atom's error and not each component",
             lambda a, b: KCAL * np.linalg.norm(a - b, axis=-1).mean()),
            ("it is a root mean square", lambda a, b: KCAL * np.sqrt(((a - b) ** 2).mean())),
            (cancel, lambda a, b: KCAL * (a - b).mean()),
            (cancel, lambda a, b: KCAL * abs((a - b).mean())),
        ],
        tolerance=1e-4,
        seed=seed,
    )


def verlet(fn: object, seed: int | None = None) -> Verdict:
    """10.3: `fn(x, v, mass, force, dt)`, places and velocities. The reference is the same step as kick, drift, kick."""

    def reference(x: Array, v: Array, mass: Array, force: Callable, dt: float) -> tuple[Array, Array]:
        v = v + force(x) / mass[:, None] * (dt / 2)
        x = x + v * dt
        return x, v + force(x) / mass[:, None] * (dt / 2)

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        x, v = random.normal(size=(2, 4, 3))
        return x, v, random.uniform(1, 16, 4), lambda x: -3 * x - x**3, random.uniform(0.1, 0.3)

    def changed(half: float = 0.5, after: float = 0.5, before: float = 0.5, massless: bool = False) -> Callable:
        def answer(x: Array, v: Array, mass: Array, force: Callable, dt: float) -> tuple[Array, Array]:
            weight = 1.0 if massless else mass[:, None]
            new = x + dt * v + half * dt**2 * force(x) / weight
            return new, v + dt * (before * force(x) + after * force(new)) / weight

        return answer

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("the factor 1/2 in front of dt² is missing", changed(half=1.0)),
            ("places move without the force, so ½ dt² F/m is missing", changed(half=0.0)),
            ("the velocity takes the force before the step only", changed(before=1.0, after=0.0)),
            ("the velocity takes the force after the step only", changed(before=0.0, after=1.0)),
            ("the factor 1/2 in the mean of both forces is missing", changed(before=1.0, after=1.0)),
            ("the mass is missing", changed(massless=True)),
            ("velocities come first and places second", lambda *given: changed()(*given)[::-1]),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def temperature(fn: object, seed: int | None = None) -> Verdict:
    """10.4: `fn(mass, vel)` in K. The reference, in SI units, takes pairs: Σ m|v − V|² = Σ_{i<j} m m' |v − v'|² / M."""

    def reference(mass: Array, vel: Array) -> float:
        i, j = np.triu_indices(len(mass), 1)
        twice = AMU * 1e10 * (mass[i] * mass[j] * ((vel[i] - vel[j]) ** 2).sum(1)).sum() / mass.sum()  # J
        return twice / ((3 * len(mass) - 3) * BOLTZMANN)

    def kelvin(free: Callable, centre: str = "mass", factor: float = 1.0) -> Callable:
        def answer(mass: Array, vel: Array) -> float:
            weights = {"mass": mass / mass.sum(), "atoms": 0 * mass + 1 / len(mass), "none": 0 * mass}[centre]
            twice = AMU * 1e10 * (mass[:, None] * (vel - weights @ vel) ** 2).sum()
            return factor * twice / (free(len(mass)) * BOLTZMANN)

        return answer

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        mass = np.append(random.choice([1.008, 12.011, 15.999], whole(generator, 3, 8)), [1.008, 15.999])
        return mass, 0.02 * random.normal(size=(len(mass), 3)) / mass[:, None] ** 0.5 + 0.005 * random.normal(size=3)

    rest, heat = (lambda n: 3 * n - 3), "the motion of the centre of mass counts as heat"
    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("it counts 3n degrees of freedom, of which the centre of mass takes 3", kelvin(lambda n: 3 * n)),
            ("it counts 3n − 6 degrees of freedom, but the molecule may rotate", kelvin(lambda n: 3 * n - 6)),
            (heat, kelvin(rest, "none")),
            (heat + ", with 3n degrees of freedom", kelvin(lambda n: 3 * n, "none")),
            ("the plain mean of the velocities is subtracted, and must be weighed by mass", kelvin(rest, "atoms")),
            ("the factor 1/2 in the kinetic energy is missing", kelvin(rest, factor=2.0)),
            ("the factor 2 is missing, for each degree of freedom has kT/2", kelvin(rest, factor=0.5)),
        ],
        tolerance=1e-4,
        seed=seed,
    )


def energy_drift(fn: object, seed: int | None = None) -> Verdict:
    """10.5: `fn(time, energy, atoms)` in meV/atom/ps. The reference writes the slope with exact sums."""

    def reference(time: Array, energy: Array, atoms: int) -> float:
        t = time - math.fsum(time) / len(time)
        return 1e6 * math.fsum(t * (energy - energy[0])) / math.fsum(t * t) / atoms

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        time, slope = 5.0 + 5.0 * np.arange(200), random.choice((-1, 1)) * random.uniform(1, 3) * 1e-5
        return time, -150 + slope * time + 0.01 * random.normal(size=200), whole(generator, 5, 21)

    def per(factor: float) -> Callable:
        return lambda t, e, n: factor * reference(t, e, n)

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("it is not divided by the number of atoms", lambda t, e, n: reference(t, e, 1)),
            ("a factor 1000 is missing, for eV are 1000 meV and ps are 1000 fs", per(1e-3)),
            ("it is in eV and fs, so a factor of a million is missing", per(1e-6)),
            ("the sign is lost, and a drift may go down", lambda t, e, n: abs(reference(t, e, n))),
            ("it takes the last frame minus the first, which is mostly noise",
             lambda t, e, n: 1e6 * (e[-1] - e[0]) / (t[-1] - t[0]) / n),
            ("it says how far the energy strays, and not its slope", lambda t, e, n: 1000 * np.abs(e - e[0]).max() / n),
            ("the fitted line goes through the first frame, which has noise of its own",
             lambda t, e, n: 1e6 * ((t - t[0]) @ (e - e[0])) / ((t - t[0]) @ (t - t[0])) / n),
        ],
        tolerance=1e-6,
        seed=seed,
    )


def shifted(fn: object, seed: int | None = None) -> Verdict:
    """10.6: `fn(energies)`, float32 and rounded once. The reference adds exactly."""

    def reference(energies: Array) -> Array:
        return (energies - math.fsum(energies) / len(energies)).astype(np.float32)

    def cast(energies: Array) -> Array:
        return energies.astype(np.float32)

    return judge(
        fn,
        inputs=lambda generator: (-406_757.6 + 5 * numpy_random(generator).normal(size=300),),
        reference=reference,
        mistakes=[
            ("it casts to float32 before it subtracts the mean", lambda e: cast(e) - np.float32(e.mean())),
            ("it casts to float32 before it subtracts the mean", lambda e: cast(e) - cast(e).mean()),
            ("it casts to float32 before it subtracts the mean", lambda e: cast(cast(e) - e.mean())),
            ("the mean is not subtracted", cast),
            ("it divides by the spread, and only a shift was asked for", lambda e: cast((e - e.mean()) / e.std())),
        ],
        tolerance=1e-6,
        seed=seed,
    )
