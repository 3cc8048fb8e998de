"""Checks of notebook 09: best line, Coulomb's law, a step in time, the error, Galilei. Arrays of numpy, float64."""

from collections.abc import Callable

import numpy as np
import torch

from ponita_edu.course.fresh import numpy_random
from ponita_edu.course.verdict import Verdict, judge

__all__ = ["best_time", "coulomb", "galilean", "nbody_mse", "nbody_step"]
Array = np.ndarray


def best_time(fn: object, seed: int | None = None) -> Verdict:
    """09.1: `fn(vel, moved)` is t of the best line. The reference is numpy's least squares."""

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        vel = 0.3 + random.normal(size=(20, 5, 3))
        return vel, 0.2 + 0.7 * vel + 0.3 * random.normal(size=vel.shape)

    return judge(
        fn,
        inputs=inputs,
        reference=lambda v, m: np.linalg.lstsq(v.reshape(-1, 1), m.ravel(), rcond=None)[0][0],
        mistakes=[
            ("source and target are swapped, for it divides by ⟨Δx, Δx⟩", lambda v, m: (v * m).sum() / (m * m).sum()),
            ("it is a mean of one t for each system", lambda v, m: ((v * m).sum((1, 2)) / (v * v).sum((1, 2))).mean()),
            ("it is a mean of ratios, which slow particles spoil", lambda v, m: (m / v).mean()),
            ("the fitted line does not go through 0", lambda v, m: np.polyfit(v.ravel(), m.ravel(), 1)[0]),
            ("it is a ratio of lengths, blind to directions", lambda v, m: np.linalg.norm(m) / np.linalg.norm(v)),
            ("it is a correlation, which has no unit of time",
             lambda v, m: (v * m).sum() / np.sqrt((v * v).sum() * (m * m).sum())),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def coulomb(fn: object, seed: int | None = None) -> Verdict:
    """09.2: `fn(charges, x, most)` [n, 3]. The reference differentiates the energy Σ q q / d, then cuts."""

    def reference(charges: Array, x: Array, most: float) -> Array:
        place, q = torch.from_numpy(x).requires_grad_(), torch.from_numpy(charges)
        i, j = np.triu_indices(len(x), 1)
        (q[i] * q[j] / (place[i] - place[j]).norm(dim=1)).sum().backward()
        return (-place.grad).clamp(-most, most).numpy()

    def pairs(charges: Array, x: Array, power: int = 3) -> Array:
        r = x[:, None] - x
        d = np.linalg.norm(r, axis=-1) + np.diag(np.full(len(x), np.inf))
        return (np.outer(charges, charges) / d**power)[..., None] * r

    def shortened(force: Array, most: float) -> Array:
        return force * np.minimum(1, most / np.linalg.norm(force, axis=1, keepdims=True))

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        x = random.normal(size=(5, 3))
        for near, other in ((1, 0), (2, 0), (4, 3)):  # close enough for the cut
            x[near] = x[other] + 0.04 * random.normal(size=3)
        return random.choice([-1.0, 1.0], 5) * random.choice([1, 2], 5), x, random.uniform(80, 120)

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("the sign is wrong, for equal charges repel", lambda q, x, c: np.clip(-pairs(q, x).sum(1), -c, c)),
            ("r is divided by d², but has length d itself", lambda q, x, c: np.clip(pairs(q, x, 2).sum(1), -c, c)),
            ("it cuts the force as a whole and not each component", lambda q, x, c: shortened(pairs(q, x).sum(1), c)),
            ("it cuts each pair and not their sum", lambda q, x, c: np.clip(pairs(q, x), -c, c).sum(1)),
            ("nothing is cut", lambda q, x, c: pairs(q, x).sum(1)),
            ("the particle's own charge is missing", lambda q, x, c: np.clip(pairs(q, x).sum(1) / q[:, None], -c, c)),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def nbody_step(fn: object, seed: int | None = None) -> Verdict:
    """09.3: `fn(x, v, force, dt)`, places and velocities. Forces −K x are linear, so a step is one matrix."""

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        half = random.normal(size=(6, 6))
        x, v = random.normal(size=(2, 2, 3))
        return x, v, lambda x: -(half @ half.T @ x.ravel()).reshape(x.shape), random.uniform(0.05, 0.15)

    def reference(x: Array, v: Array, force: Callable, dt: float) -> tuple[Array, Array]:
        one = np.eye(6)
        stiff = -np.stack([force(row.reshape(2, 3)).ravel() for row in one], axis=1)
        matrix = np.block([[one - dt**2 * stiff, dt * one], [-dt * stiff, one]])
        return tuple((matrix @ np.concatenate((x.ravel(), v.ravel()))).reshape(2, 2, 3))

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("places move with the old velocities", lambda x, v, F, dt: (x + dt * v, v + dt * F(x))),
            ("places move before the velocities", lambda x, v, F, dt: (x + dt * v, v + dt * F(x + dt * v))),
            ("dt is missing where velocities change", lambda x, v, F, dt: (x + dt * (v + F(x)), v + F(x))),
            ("dt is missing where places change", lambda x, v, F, dt: (x + v + dt * F(x), v + dt * F(x))),
            ("it adds ½ dt² F to the places, as another method does",
             lambda x, v, F, dt: (x + dt * v + dt**2 / 2 * F(x), v + dt * F(x))),
            ("velocities come first and places second", lambda x, v, F, dt: (v + dt * F(x), x + dt * (v + dt * F(x)))),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def nbody_mse(fn: object, seed: int | None = None) -> Verdict:
    """09.4: `fn(predicted, now, later)`, the benchmark's error. The reference is a norm."""

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        now, later = random.normal(size=(2, 7, 5, 3))
        return later - now + random.uniform(0.2, 2) * random.normal(size=now.shape), now, later

    return judge(
        fn,
        inputs=inputs,
        reference=lambda s, a, b: np.linalg.norm(s - (b - a)) ** 2 / s.size,
        mistakes=[
            ("a displacement is compared with a place", lambda s, a, b: ((s - b) ** 2).mean()),
            ("it adds x, y and z, and their mean was asked for", lambda s, a, b: 3 * ((s + a - b) ** 2).mean()),
            ("it adds up all of a system, and the mean was asked for", lambda s, a, b: 15 * ((s + a - b) ** 2).mean()),
            ("it is the root of the mean square", lambda s, a, b: np.sqrt(((s + a - b) ** 2).mean())),
            ("it takes absolute values and no squares", lambda s, a, b: np.abs(s + a - b).mean()),
            ("it is a mean distance and no mean square", lambda s, a, b: np.linalg.norm(s + a - b, axis=-1).mean()),
            ("the displacement goes from later to now", lambda s, a, b: ((s - a + b) ** 2).mean()),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def galilean(fn: object, seed: int | None = None) -> Verdict:
    """09.5: `fn(network, x, v)` must know Galilei's symmetry. The reference takes the systems one by one."""

    def network(x: Array, v: Array) -> Array:
        """Not linear; systems do not see one another."""
        return np.tanh(v) * v + np.sin(x) - 0.3 * v**2

    def reference(network: Callable, x: Array, v: Array) -> Array:
        winds = [sum(one) / len(one) for one in v]
        return np.stack([network(a[None], b[None] - w)[0] + w for a, b, w in zip(x, v, winds, strict=True)])

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        return network, random.normal(size=(4, 5, 3)), random.normal(size=(4, 5, 3)) + random.normal(size=(4, 1, 3))

    def moving(axis: int | tuple, back: float = 1.0) -> Callable:
        def answer(network: Callable, x: Array, v: Array) -> Array:
            mean = v.mean(axis=axis, keepdims=True)
            return network(x, v - mean) + back * mean

        return answer

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("the mean velocity is not added to the answer", moving(1, 0.0)),
            ("the mean goes over the whole batch, and each system has its own", moving((0, 1))),
            ("the mean goes over x, y and z, and must go over the particles", moving(2)),
            ("the mean velocity is subtracted from the answer and not added", moving(1, -1.0)),
            ("the network still sees the common velocity", lambda network, x, v: network(x, v)),
        ],
        tolerance=1e-9,
        seed=seed,
    )
