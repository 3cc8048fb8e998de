"""Wrong answers to notebook 09, as a reader might write them: check -> (words of the verdict, answer)."""

import numpy as np


def force(charges, x, power=3):
    total = np.zeros_like(x)
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j:
                r = x[i] - x[j]
                total[i] += charges[i] * charges[j] * r / np.linalg.norm(r) ** power
    return total


def cut_each_pair(charges, x, most):
    total = np.zeros_like(x)
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j:
                r = x[i] - x[j]
                total[i] += (charges[i] * charges[j] * r / np.linalg.norm(r) ** 3).clip(-most, most)
    return total


def cut_the_length(charges, x, most):
    total = force(charges, x)
    for row in total:
        length = np.linalg.norm(row)
        if length > most:
            row *= most / length
    return total


def euler(x, v, force, dt):
    return x + v * dt, v + force(x) * dt


def places_first(x, v, force, dt):
    x = x + v * dt
    return x, v + force(x) * dt


def no_dt(x, v, force, dt):
    v = v + force(x)
    return x + v * dt, v


def taylor(x, v, force, dt):
    return x + v * dt + 0.5 * force(x) * dt**2, v + force(x) * dt


def step_in_place(x, v, force, dt):
    v += dt * force(x)
    x += dt * v
    return x, v


def wrong_mean(axis):
    def answer(network, x, v):
        u = np.mean(v, axis=axis, keepdims=True)
        return network(x, v - u) + u

    return answer


WRONG = {
    "best_time": [
        ("source and target are swapped", lambda vel, moved: np.sum(vel * moved) / np.sum(moved**2)),
        ("one t for each system",
         lambda vel, moved: np.mean([np.sum(a * b) / np.sum(a**2) for a, b in zip(vel, moved, strict=True)])),
        ("does not go through 0", lambda vel, moved: np.polyfit(vel.reshape(-1), moved.reshape(-1), 1)[0]),
        ("blind to directions", lambda vel, moved: np.sqrt((moved**2).mean() / (vel**2).mean())),
        ("slow particles", lambda vel, moved: np.mean(moved / vel)),
    ],
    "coulomb": [
        ("equal charges repel", lambda q, x, most: np.clip(-force(q, x), -most, most)),
        ("has length d itself", lambda q, x, most: np.clip(force(q, x, 2), -most, most)),
        ("as a whole", cut_the_length),
        ("cuts each pair", cut_each_pair),
        ("nothing is cut", lambda q, x, most: force(q, x)),
        ("own charge is missing", lambda q, x, most: np.clip(force(q, x) / q[:, None], -most, most)),
    ],
    "nbody_step": [
        ("with the old velocities", euler),
        ("before the velocities", places_first),
        ("dt is missing where velocities change", no_dt),
        ("½ dt² F", taylor),
        ("in place", step_in_place),
        ("velocities come first", lambda x, v, force, dt: (v + dt * force(x), x + dt * v + dt**2 * force(x))),
    ],
    "nbody_mse": [
        ("compared with a place", lambda predicted, now, later: np.mean((predicted - later) ** 2)),
        ("adds x, y and z", lambda predicted, now, later: np.mean(np.sum((now + predicted - later) ** 2, axis=-1))),
        ("adds up all of a system", lambda predicted, now, later: np.sum((now + predicted - later) ** 2) / len(now)),
        ("root of the mean square", lambda predicted, now, later: np.mean((now + predicted - later) ** 2) ** 0.5),
        ("a mean distance", lambda predicted, now, later: np.linalg.norm(now + predicted - later, axis=2).mean()),
    ],
    "galilean": [
        ("not added to the answer", lambda network, x, v: network(x, v - v.mean(1, keepdims=True))),
        ("over the whole batch", wrong_mean((0, 1))),
        ("over x, y and z", wrong_mean(-1)),
        ("still sees the common velocity", lambda network, x, v: network(x, v)),
    ],
}
