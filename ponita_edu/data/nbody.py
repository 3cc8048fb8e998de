"""The N-body benchmark's data set: five charged particles, where will they be in one unit of time (notebook 09)?

Input: positions, velocities and charges at frame 30 (step 3100, t = 3.1); target: positions at frame 40 (step 4100,
t = 4.1). 10,000 training, 2,000 validation and 2,000 test simulations are drawn one after another from seed 43; the
published methods train on the first 3,000 (EGNN, arXiv:2102.09844; SEGNN, arXiv:2110.02905; PONITA, arXiv:2310.02970).
Nothing after frame 40 is used, so the simulations stop there; nor are the 7,000 that nobody trains on moved at all.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from ponita_edu.data.cache import checksum, read_npz, write_npz
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.nbody_simulator import (
    DT,
    EVERY,
    STEPS,
    Trajectory,
    check_count,
    check_shapes,
    draw_initial_states,
    simulate,
)
from ponita_edu.paths import data_dir as default_data_dir
from ponita_edu.paths import expanded, output_file, writing

DRAWN = {"train": 10_000, "val": 2_000, "test": 2_000}
FRAME_IN, FRAME_OUT = 30, 40
SEED = 43
VERSION = 1  # of the file; raise it whenever the numbers in it change
_ARRAYS = ("charges", "loc_in", "vel_in", "loc_out")


@dataclass(frozen=True, eq=False)
class NBodySplit:
    """One of the three parts of the data set.

    Args:
        charges: ±1.
        loc_in, vel_in: positions and velocities at frame 30.
        loc_out: positions at frame 40, one unit of time later.
        name: "train", "val" or "test".
        official: whether this is the published split, of full size and from seed 43. Errors on any other one are
            not to be compared with published ones.

    Raises:
        ValueError: on wrong shapes, or values that are not finite.
    """

    charges: Float[ndarray, "sims particles"]
    loc_in: Float[ndarray, "sims particles 3"]
    vel_in: Float[ndarray, "sims particles 3"]
    loc_out: Float[ndarray, "sims particles 3"]
    name: str
    official: bool

    def __post_init__(self):
        check_shapes(self.charges, loc_in=self.loc_in, vel_in=self.vel_in, loc_out=self.loc_out)

    def __len__(self) -> int:
        return len(self.charges)

    def __repr__(self) -> str:
        kind = "the official split" if self.official else "NOT the official split"
        return f"NBodySplit({self.name!r}, {len(self):,} simulations, {self.loc_in.dtype}, {kind})"


def load_nbody(
    train: int = 3000,
    val: int = 2000,
    test: int = 2000,
    seed: int = SEED,
    data_dir: str | Path | None = None,
    dtype: str = "float32",
    progress: bool = True,
) -> dict[str, NBodySplit]:
    """The data set as {"train", "val", "test"}, from the cache, or else simulated (seconds) and cached.

    A smaller size takes the first simulations of each official part, so ``train=300, val=200, test=200`` is a
    subset of the data set; ``official`` is then False. The file keeps float64 and a SHA-256 checksum of its content
    in itself. It is replaced as a whole, so that several processes may load at once; one that is damaged or altered
    is reported and made anew. If the folder cannot be written to, a warning says so, and nothing is kept.

    Args:
        train, val, test: how many simulations, at most 10,000, 2,000 and 2,000.
        seed: of the generator, 43 for the benchmark.
        data_dir: folder of the cache, ``None`` for :func:`ponita_edu.paths.data_dir`.
        dtype: "float32", as the published methods read it, or "float64".
        progress: whether to show a progress bar while simulating.

    Raises:
        ValueError: if a size or the seed is out of range, the dtype is another one, or ``data_dir`` is a file.
    """
    sizes = {"train": train, "val": val, "test": test}
    for name, size in sizes.items():
        check_count(name, size, most=DRAWN[name])
    check_count("seed", seed, least=0, most=2**32 - 1)
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', but is {dtype!r}. Use 'float32' for training.")
    folder = default_data_dir() if data_dir is None else expanded(data_dir, "data_dir")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"data_dir must be a folder, but {folder} is a file. Choose another place.")
    path = folder / f"nbody_v{VERSION}_seed{seed}_{train}_{val}_{test}.npz"
    arrays = _read_cache(path, sizes)
    if arrays is None:
        arrays = _make_arrays(sizes, seed, progress)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_npz(path, arrays | {"sha256": np.array(checksum(arrays))})
        except OSError as error:
            warnings.warn(f"the N-body data set could not be kept in {folder} ({error.strerror}), so it will be "
                          "simulated again next time; choose a folder you may write to by data_dir or by "
                          "the environment variable PONITA_EDU_DATA", RuntimeWarning, stacklevel=2)
    return {
        name: NBodySplit(
            **{key: arrays[f"{name}_{key}"].astype(dtype) for key in _ARRAYS},
            name=name, official=seed == SEED and size == (3000 if name == "train" else DRAWN[name]),
        )
        for name, size in sizes.items()
    }


def to_graphs(split: NBodySplit, indices: Sequence[int] | ndarray | Tensor | slice | None = None) -> Graphs:
    """Simulations as one batch of complete graphs with self loops, ready for the network.

    ``x`` holds the charge, ``vec`` the velocity, and ``y_vec["displacement"]`` the target x(4.1) − x(3.1): a
    displacement turns with the points and ignores translations, which a target position would not.

    Args:
        split: part of the data set.
        indices: which simulations, in which order; ``None`` for all.

    Raises:
        ValueError: if an index is not a whole number from 0 to len(split) − 1, or there is none.
    """
    pick = slice(None) if indices is None else indices
    if isinstance(pick, slice):
        if len(range(len(split))[pick]) == 0:
            raise ValueError(f"indices must pick at least one of the {len(split)} simulations, but {pick} picks none. "
                             "Use None for all.")
    else:
        pick = np.asarray(pick)
        if pick.ndim != 1 or pick.size == 0 or pick.dtype.kind not in "iu":
            raise ValueError(f"indices must be a list of at least one whole number, but has shape {list(pick.shape)} "
                             f"and dtype {pick.dtype}. Use for example range(100), or None for all simulations.")
        if pick.min() < 0 or pick.max() >= len(split):
            raise ValueError(f"indices must be from 0 to {len(split) - 1}, but are from {pick.min()} to {pick.max()}. "
                             f"This {split.name} split holds {len(split)} simulations.")
    charges, loc, vel, target = (torch.from_numpy(getattr(split, key)[pick]) for key in _ARRAYS)
    sims, particles = charges.shape
    return Graphs(
        pos=loc.reshape(-1, 3), x=charges.reshape(-1, 1), vec=vel.reshape(-1, 1, 3),
        batch=torch.arange(sims).repeat_interleave(particles), num_graphs=sims,
        y_vec={"displacement": (target - loc).reshape(-1, 3)},
    )


class Baseline(NamedTuple):
    """The prediction x + t v: the time t, and its mean squared error over all coordinates."""

    t: float
    mse: float


def no_motion(split: NBodySplit) -> Baseline:
    """Predict that nothing moves: mean of (x_out − x_in)²."""
    return linear_motion(split, 0.0)


def linear_motion(split: NBodySplit, t: float = 1.0) -> Baseline:
    """Predict straight lines at constant speed for a time t: mean of (x_out − x_in − t v)²."""
    moved = split.loc_out.astype(np.float64) - split.loc_in
    return Baseline(t, float(((moved - t * split.vel_in) ** 2).mean()))


def best_linear_extrapolation(train: NBodySplit, test: NBodySplit | None = None) -> Baseline:
    """Straight lines for the time that fits ``train`` best, t = ⟨v, x_out − x_in⟩ / ⟨v, v⟩; the error on ``test``.

    Args:
        train: where t is fitted.
        test: where the error is measured, ``None`` for ``train`` itself.
    """
    vel = train.vel_in.astype(np.float64)
    t = float((vel * (train.loc_out.astype(np.float64) - train.loc_in)).sum() / (vel**2).sum())
    return linear_motion(train if test is None else test, t)


def simulate_to_file(
    out: str | Path,
    n: int,
    seed: int = SEED,
    particles: int = 5,
    charges: Sequence[float] = (-1.0, 1.0),
    steps: int = STEPS,
    every: int = EVERY,
    dt: float = DT,
    max_force: float | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Trajectory:
    """Draw and simulate a set of your own and write it: charges, loc, vel and time (see ``Trajectory``).

    The numbers of the run are kept with it, as JSON text under "settings". The defaults are the benchmark's. The
    initial states depend on ``n``, ``seed``, ``particles`` and ``charges`` alone, so that runs compare.

    Raises:
        ValueError: if ``out`` does not end in .npz, cannot be written, or exists and ``overwrite`` is not set; if
            ``dt`` makes numbers that are not finite; and whatever :func:`draw_initial_states` and :func:`simulate` find
            wrong.
        MemoryError: if the frames take more memory than there is.
    """
    output_file(out, (".npz",), overwrite)
    for name, value, least in (("n", n, 1), ("particles", particles, 2), ("steps", steps, 1)):
        check_count(name, value, least)
    check_count("every", every, most=steps)
    try:  # whether there is room, before the initial states are drawn, which may take hours
        np.empty((2, n, steps // every, particles, 3))
    except ValueError as error:  # more than numpy can count
        raise MemoryError(str(error)) from None
    start = draw_initial_states(n, seed, particles, charges)
    with np.errstate(all="ignore"):  # all numbers are looked at below
        result = simulate(start, steps, every, dt, max_force, progress=progress)
    finite = np.isfinite(result.loc).all((1, 2, 3)) & np.isfinite(result.vel).all((1, 2, 3))
    finite &= np.isfinite(result.time).all()
    if not finite.all():
        raise ValueError(f"dt must keep all numbers finite, but {dt:g} does not in {int((~finite).sum())} of {n} "
                         f"simulations; nothing was written. Choose one nearer to {DT}.")
    settings = {"n": n, "seed": seed, "particles": particles, "charges": list(charges), "steps": steps,
                "every": every, "dt": dt, "max_force": 0.1 / dt if max_force is None else max_force}
    with writing(out):  # once more, as it may have been made by somebody else meanwhile
        write_npz(output_file(out, (".npz",), overwrite), vars(result) | {"settings": np.array(json.dumps(settings))})
    return result


def _make_arrays(sizes: dict[str, int], seed: int, progress: bool) -> dict[str, ndarray]:
    # All that lie before are drawn, so that the stream of random numbers stays in step; what is used gets moved.
    start = {name: sum(list(DRAWN.values())[:k]) for k, name in enumerate(DRAWN)}
    drawn = draw_initial_states(start["test"] + sizes["test"], seed)
    used = np.concatenate([start[name] + np.arange(size) for name, size in sizes.items()])
    run = simulate(drawn[used], steps=EVERY * (FRAME_OUT + 1), progress=progress)
    fields = (run.charges, run.loc[:, FRAME_IN], run.vel[:, FRAME_IN], run.loc[:, FRAME_OUT])
    cuts = np.cumsum(list(sizes.values()))[:-1]
    return {
        f"{name}_{key}": part
        for key, a in zip(_ARRAYS, fields, strict=True)
        for name, part in zip(sizes, np.split(a, cuts), strict=True)
    }


def _read_cache(path: Path, sizes: dict[str, int]) -> dict[str, ndarray] | None:
    if not path.exists():
        return None
    try:
        return read_npz(path, [f"{name}_{key}" for key in _ARRAYS for name in sizes])
    except ValueError as error:
        fault = str(error)
    warnings.warn(f"the cached data set {path} is damaged ({fault}); simulating it again", RuntimeWarning, stacklevel=3)
    return None
