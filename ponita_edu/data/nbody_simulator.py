r"""Charged particles in free space: drawing them, moving them, and their energy (notebook 09).

The system is that of the N-body benchmark (EGNN, arXiv:2102.09844, after NRI, arXiv:1802.04687): particles of unit
mass with charges q = ±1, and on particle i the force

    F_i = Σ_{j≠i} q_i q_j (x_i − x_j) / |x_i − x_j|³,        each component then clipped to [−100, 100].

The clip is the only regulariser. It depends on the axes, so the rare close encounters break rotation symmetry and
the conservation of momentum and energy. The benchmark's reflecting wall at |x| = 5 touches initial positions only,
and none of the 14,000 simulations of seed 43 starts there: it is left out. Lengths, times and masses have no unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from tqdm.auto import tqdm

from ponita_edu.data.coulomb import pair_distances

DT = 0.001
STEPS = 4900  # the benchmark's run: 49 frames, one every 100 steps
EVERY = 100
BLOCK = 1024  # simulations moved together: many enough to hide the cost of a numpy call, few enough for the cache


@dataclass(frozen=True, eq=False)
class InitialState:
    """Where a number of simulations start.

    Args:
        charges, loc, vel: charges, positions and velocities of the particles of each simulation.

    Raises:
        ValueError: on wrong shapes, fewer than two particles, values that are not finite, or two particles of a
            simulation in the same place (their force is not defined).
    """

    charges: Float[ndarray, "sims particles"]
    loc: Float[ndarray, "sims particles 3"]
    vel: Float[ndarray, "sims particles 3"]

    def __post_init__(self):
        check_shapes(self.charges, loc=self.loc, vel=self.vel)
        for name in ("charges", "loc", "vel"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        together = (pair_distances(self.loc) == 0).any(axis=1)
        if together.any():
            raise ValueError(f"loc must keep the particles of a simulation apart, but two coincide in simulation "
                             f"{int(together.argmax())}. Move one of them.")

    def __len__(self) -> int:
        return len(self.charges)

    def __getitem__(self, index: slice | Sequence[int] | ndarray) -> "InitialState":
        return InitialState(self.charges[index], self.loc[index], self.vel[index])


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Stored frames of a number of simulations; ``time[k]`` belongs to ``loc[:, k]`` and ``vel[:, k]``.

    The velocity of a frame is the one that carried the particle there, before the kick of that place.
    """

    charges: Float[ndarray, "sims particles"]
    loc: Float[ndarray, "sims frames particles 3"]
    vel: Float[ndarray, "sims frames particles 3"]
    time: Float[ndarray, " frames"]


def draw_initial_states(
    n: int, seed: int = 43, particles: int = 5, charges: Sequence[float] = (-1.0, 1.0), frames: int = STEPS // EVERY
) -> InitialState:
    """Draw simulations one after another from numpy's legacy generator, as the benchmark does.

    Per simulation: charges, each value equally likely; positions N(0, s²) with s = (particles/5)^(1/3); velocities
    of uniform direction and speed 0.5; then two arrays of measurement noise for ``frames`` stored frames, which the
    benchmark multiplies by zero. They are drawn and dropped, for without them the second simulation would differ.
    The first n of a longer list are the list of n, and the generator's stream is frozen by numpy for good (NEP 19).

    Raises:
        ValueError: if a count is not positive, the seed is not in [0, 2³²), or ``charges`` is empty or not finite.
    """
    check_count("n", n)
    check_count("particles", particles, least=2)
    check_count("frames", frames, least=0)
    check_count("seed", seed, least=0, most=2**32 - 1)
    values = np.asarray(charges)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ValueError(f"charges must be a list of finite numbers, but is {charges!r}. Use for example (-1.0, 1.0).")
    rng = np.random.RandomState(seed)
    scale = (particles / 5) ** (1 / 3)
    # equal shares as `rng.choice(values, particles, p=shares)` draws them, without its checks at each of 7,000 calls:
    # by inverting the distribution function, from which numpy's choice without p would differ
    below = np.full(values.size, 1 / values.size).cumsum()
    below /= below[-1]
    q, x, v = np.empty((n, particles)), np.empty((n, 3, particles)), np.empty((n, 3, particles))
    for i in range(n):
        q[i] = values[below.searchsorted(rng.random_sample(particles), side="right")]
        x[i] = rng.randn(3, particles) * scale
        v[i] = rng.randn(3, particles)
        rng.randn(2, frames, 3, particles)
    v = v * 0.5 / np.sqrt((v**2).sum(axis=1, keepdims=True))
    return InitialState(q, x.swapaxes(1, 2).copy(), v.swapaxes(1, 2).copy())


def simulate(
    initial: InitialState,
    steps: int = STEPS,
    every: int = EVERY,
    dt: float = DT,
    max_force: float | None = None,
    block: int = BLOCK,
    progress: bool = False,
) -> Trajectory:
    """Move all simulations by semi-implicit Euler steps, v += dt F(x), then x += dt v, in float64.

    Frame k is the state after step every·(k+1), so the initial state itself is not among them. Only additions,
    products, quotients and square roots are used, which IEEE arithmetic fixes to the last bit: results depend
    neither on ``block`` nor, for given initial states, on the machine. That matters, as one in twenty of the
    benchmark's simulations is chaotic.

    Args:
        initial: where they start.
        steps, every: number of steps, and of steps from one stored frame to the next.
        dt: duration of a step.
        max_force: largest component of a force, ``None`` for 0.1/dt as in the benchmark (100); ``inf`` for no clip.
        block: how many simulations are moved together.
        progress: whether to show a progress bar.

    Raises:
        ValueError: if a number is not positive, or ``every`` is larger than ``steps``.
    """
    if not isinstance(initial, InitialState):
        raise ValueError(f"initial must be an InitialState, but is a {type(initial).__name__}. Use "
                         "draw_initial_states(n) or InitialState(charges, loc, vel).")
    check_count("steps", steps)
    check_count("every", every, most=steps)
    check_count("block", block)
    _check_positive("dt", dt)
    max_force = 0.1 / dt if max_force is None else max_force
    _check_positive("max_force", max_force, finite=False)
    sims, particles = initial.charges.shape
    frames = steps // every
    loc, vel = np.empty((2, sims, frames, particles, 3))
    with tqdm(total=sims * frames * every, unit="step", unit_scale=True, desc="N-body", disable=not progress) as bar:
        for first in range(0, sims, block):
            part = slice(first, first + block)
            _simulate_block(initial[part], every, dt, max_force, loc[part], vel[part], bar)
    time = dt * every * np.arange(1, frames + 1)
    return Trajectory(initial.charges, loc, vel, time)


def _simulate_block(
    start: InitialState, every: int, dt: float, max_force: float, loc: ndarray, vel: ndarray, bar: tqdm
) -> None:
    """Fill ``loc`` and ``vel`` [sims, frames, particles, 3]; arrays inside are [xyz, particles · sims].

    Particles stand in a ring: group k holds the pairs (i, i+k), and each pair's force serves both (Newton's third
    law), once as it is and once shifted by k with the other sign. Time is counted in steps, so that a velocity is
    a displacement per step and a force carries dt².
    """
    sims, n = start.charges.shape
    shifts = range(1, n // 2 + 1)
    ring = np.empty((3, (n + n // 2) * sims))  # the first n//2 particles once more behind the last
    x, again, first = ring[:, : n * sims], ring[:, n * sims :], ring[:, : (n // 2) * sims]
    x[:] = start.loc.transpose(2, 1, 0).reshape(3, -1)
    step = start.vel.transpose(2, 1, 0).reshape(3, -1) * dt
    # for even n each pair at half a ring's distance is met twice, hence half its charge
    weights = [start.charges * np.roll(start.charges, -k, axis=1) * (0.5 if 2 * k == n else 1.0) for k in shifts]
    qq = np.concatenate(weights, axis=1).T.reshape(-1) * (dt * dt)
    limit = max_force * (dt * dt)

    d = np.empty((3, len(qq)))
    square, r2, r3, force = np.empty_like(qq), np.empty_like(qq), np.empty_like(qq), np.empty_like(x)
    groups = np.split(d, len(shifts), axis=1)
    others = [ring[:, k * sims : (k + n) * sims] for k in shifts]
    # force and shifted group, overlapping in two pieces as the ring closes
    pieces = [
        (force[:, k * sims :], g[:, : (n - k) * sims], force[:, : k * sims], g[:, (n - k) * sims :])
        for k, g in zip(shifts, groups, strict=True)
    ]
    for frame in range(loc.shape[1]):
        for _ in range(every):
            again[:] = first
            for other, g in zip(others, groups, strict=True):
                np.subtract(x, other, out=g)
            np.multiply(d[0], d[0], out=r2)
            for axis in (1, 2):
                np.multiply(d[axis], d[axis], out=square)
                np.add(r2, square, out=r2)
            np.sqrt(r2, out=r3)
            np.multiply(r3, r2, out=r3)
            np.divide(qq, r3, out=r3)
            np.multiply(d, r3, out=d)
            np.subtract(groups[0][:, sims:], groups[0][:, :-sims], out=force[:, sims:])
            np.subtract(groups[0][:, :sims], groups[0][:, -sims:], out=force[:, :sims])
            for g, (later, before_later, earlier, before_earlier) in zip(groups[1:], pieces[1:], strict=True):
                np.add(force, g, out=force)
                np.subtract(later, before_later, out=later)
                np.subtract(earlier, before_earlier, out=earlier)
            np.minimum(force, limit, out=force)
            np.maximum(force, -limit, out=force)
            np.add(step, force, out=step)
            np.add(x, step, out=x)
        loc[:, frame] = x.reshape(3, n, sims).transpose(2, 1, 0)
        vel[:, frame] = step.reshape(3, n, sims).transpose(2, 1, 0) / dt
        bar.update(sims * every)


def trajectory(
    start: InitialState | int = 43, frames: int = STEPS // EVERY, every: int = EVERY, dt: float = DT
) -> Trajectory:
    """A run to look at: of a given state, or of the first simulation of a seed (43 is the benchmark's).

    Args:
        start: initial state, or seed.
        frames: number of stored frames.
        every: steps from one to the next; small values give a smooth film.
        dt: duration of a step.
    """
    check_count("frames", frames)
    if not isinstance(start, InitialState):
        start = draw_initial_states(1, seed=start)
    return simulate(start, steps=frames * every, every=every, dt=dt)


def check_shapes(charges: ndarray, **vectors: ndarray) -> None:
    """Raise unless all are finite, ``charges`` [sims, particles] and each of the others [sims, particles, 3]."""
    shape = np.shape(charges)
    if len(shape) != 2 or shape[0] < 1 or shape[1] < 2:
        raise ValueError(f"charges must have shape [simulations, particles] with at least two particles, but has "
                         f"{list(shape)}. Use charges[None] for a single simulation.")
    for name, a in {"charges": charges, **vectors}.items():
        wanted = shape if name == "charges" else (*shape, 3)
        if np.shape(a) != wanted:
            raise ValueError(f"{name} must have shape {list(wanted)} to go with charges of shape {list(shape)}, "
                             f"but has {list(np.shape(a))}. Axes are simulation, particle, xyz.")
        if np.asarray(a).dtype.kind not in "fiu":
            raise ValueError(f"{name} must hold real numbers, but has dtype {np.asarray(a).dtype}. "
                             f"Use np.asarray({name}, dtype=float).")
        if not np.isfinite(a).all():
            raise ValueError(f"{name} must be finite, but {int((~np.isfinite(a)).sum())} of {np.size(a)} values are "
                             "not. Drop those simulations.")


def check_count(name: str, value: int, least: int = 1, most: int | None = None) -> None:
    is_count = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_count or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" + ("" if most is None else f" and at most {most}")
        raise ValueError(f"{name} must be a whole number {bounds}, but is {value!r}. Choose one in that range.")


def _check_positive(name: str, value: float, finite: bool = True) -> None:
    is_real = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
    if not is_real or not value > 0 or (finite and not np.isfinite(value)):
        raise ValueError(f"{name} must be a positive {'finite ' if finite else ''}number, but is {value!r}. "
                         "Choose one above zero.")
