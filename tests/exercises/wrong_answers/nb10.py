"""Wrong answers to notebook 10, as a reader might write them: check -> (words of the verdict, answer)."""

import numpy as np
import torch


def uphill(energy, pos):
    pos = pos.clone().requires_grad_()
    energy(pos).sum().backward()
    return pos.grad


def of_the_mean(energy, pos):
    pos = pos.clone().requires_grad_()
    return -torch.autograd.grad(energy(pos).mean(), pos)[0]


def of_the_first(energy, pos):
    pos = pos.clone().requires_grad_()
    return -torch.autograd.grad(energy(pos)[0], pos)[0]


def not_scalar(energy, pos):
    pos = pos.clone().requires_grad_()
    return -torch.autograd.grad(energy(pos), pos)[0]


def stepper(half=0.5, massless=False, new_force=True):
    def answer(x, v, mass, force, dt):
        m = 1 if massless else mass.reshape(-1, 1)
        a = force(x) / m
        x = x + v * dt + half * a * dt * dt
        b = force(x) / m if new_force else a
        return x, v + (a + b) / 2 * dt

    return answer


def kelvin(mass, vel, free, drift=True, half=0.5):
    if drift:
        vel = vel - (mass[:, None] * vel).sum(0) / mass.sum()
    kinetic = half * np.sum(mass * np.sum(vel**2, axis=1)) * 103.642697
    return 2 * kinetic / (free * 8.617333e-5)


WRONG = {
    "forces": [
        ("downhill", uphill),
        ("mean energy of the batch", of_the_mean),
        ("first molecule's energy", of_the_first),
        ("grad can be implicitly created only for scalar outputs", not_scalar),
    ],
    "force_mae": [
        ("one kcal/mol is 43.36 meV", lambda found, wanted: np.mean(np.abs(found - wanted))),
        ("in eV/Å", lambda found, wanted: np.mean(np.abs(found - wanted)) / 23.0605),
        ("must multiply", lambda found, wanted: np.mean(np.abs(found - wanted)) / 43.3641),
        ("length of each atom's error",
         lambda found, wanted: 43.3641 * np.mean(np.sqrt(np.sum((found - wanted) ** 2, axis=2)))),
        ("root mean square", lambda found, wanted: 43.3641 * np.sqrt(np.mean((found - wanted) ** 2))),
        ("cancel", lambda found, wanted: 43.3641 * abs(np.mean(found) - np.mean(wanted))),
    ],
    "verlet": [
        ("in front of dt² is missing", stepper(half=1)),
        ("½ dt² F/m is missing", stepper(half=0)),
        ("before the step only", stepper(new_force=False)),
        ("mass is missing", stepper(massless=True)),
        ("velocities come first", lambda *given: tuple(reversed(stepper()(*given)))),
        ("it raised ValueError", lambda x, v, mass, force, dt: (x + v * dt + force(x) / mass * dt**2 / 2, v)),
    ],
    "temperature": [
        ("3n degrees of freedom", lambda mass, vel: kelvin(mass, vel, 3 * len(mass))),
        ("3n − 6", lambda mass, vel: kelvin(mass, vel, 3 * len(mass) - 6)),
        ("centre of mass counts as heat", lambda mass, vel: kelvin(mass, vel, 3 * len(mass) - 3, drift=False)),
        ("weighed by mass", lambda mass, vel: kelvin(mass, vel - vel.mean(0), 3 * len(mass) - 3, drift=False)),
        ("1/2 in the kinetic energy", lambda mass, vel: kelvin(mass, vel, 3 * len(mass) - 3, half=1)),
    ],
    "energy_drift": [
        ("number of atoms", lambda time, energy, atoms: 1e6 * np.polyfit(time, energy - energy[0], 1)[0]),
        ("1000 fs", lambda time, energy, atoms: 1000 * np.polyfit(time, energy - energy[0], 1)[0] / atoms),
        ("mostly noise",
         lambda time, energy, atoms: (energy[-1] - energy[0]) * 1000 / ((time[-1] - time[0]) / 1000) / atoms),
        ("sign is lost", lambda time, energy, atoms: abs(1e6 * np.polyfit(time, energy, 1)[0]) / atoms),
        ("strays", lambda time, energy, atoms: 1000 * abs(energy - energy[0]).max() / atoms),
        ("million", lambda time, energy, atoms: np.polyfit(time, energy - energy[0], 1)[0] / atoms),
    ],
    "shifted": [
        ("before it subtracts", lambda energies: np.float32(energies) - np.float32(np.mean(energies))),
        ("before it subtracts", lambda energies: np.float32(energies) - np.float32(energies).mean()),
        ("mean is not subtracted", lambda energies: np.float32(energies)),
        ("only a shift", lambda energies: np.float32((energies - energies.mean()) / energies.std())),
        ("wrong dtype", lambda energies: energies - energies.mean()),
    ],
}
