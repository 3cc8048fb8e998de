"""N-body: where will five charged particles be in one unit of time (notebook 09)?

Input: charge (scalar) and velocity (vector) of each particle; output: one vector, its displacement. Loss and metric
are the mean squared error over all coordinates. Lengths and times of the simulation have no unit.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ponita_edu.data.cache import open_npz
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.nbody import (
    FRAME_IN,
    FRAME_OUT,
    NBodySplit,
    best_linear_extrapolation,
    linear_motion,
    load_nbody,
    no_motion,
    to_graphs,
)
from ponita_edu.data.nbody_simulator import DT, EVERY, InitialState, simulate
from ponita_edu.tasks.nbody_config import NBodyModel, NBodySettings
from ponita_edu.tasks.parts import network_of
from ponita_edu.tasks.task import Task

METRIC = "mse_dimensionless"
PICTURE = "trajectories.png"
SHOWN = 4  # simulations in the picture


class NBodyTask(Task):
    """The benchmark to the training loop; see ``tasks.task.Task``.

    Args:
        splits: "train", "val" and "test" for training; any of them for evaluation. Each has the same particles
            in all simulations.
    """

    selects = METRIC

    def __init__(self, splits: dict[str, NBodySplit]):
        self.splits = splits
        self._all = {name: to_graphs(split) for name, split in splits.items()}
        self._empty: dict[tuple[str, int], Graphs] = {}

    def to(self, device: torch.device, dtype: torch.dtype) -> "NBodyTask":
        """The same task with its data on another device, in another dtype."""
        new = NBodyTask.__new__(NBodyTask)
        new.splits, new._empty = self.splits, {}
        new._all = {name: g.to(dtype).to(device) for name, g in self._all.items()}
        return new

    def size(self, split: str) -> int:
        """Number of simulations."""
        return len(self.splits[split])

    def graphs(self, split: str, index: Int[Tensor, " graphs"]) -> Graphs:
        """Simulations as complete graphs, put together by indexing on the device; edges are made once a batch size."""
        whole, count = self._all[split], len(index)
        particles = whole.num_nodes // whole.num_graphs

        def pick(a: Tensor) -> Tensor:
            return a.reshape(whole.num_graphs, particles, *a.shape[1:])[index].flatten(0, 1)

        pos, x, vec = pick(whole.pos), pick(whole.x), pick(whole.vec)
        y_vec = {name: pick(v) for name, v in whole.y_vec.items()}
        if (split, count) not in self._empty:
            batch = torch.arange(count, device=index.device).repeat_interleave(particles)
            self._empty[split, count] = Graphs(pos, x, batch=batch, num_graphs=count, vec=vec)
            _ = self._empty[split, count].mutual  # worked out here, and shared by all batches of that size
        return self._empty[split, count]._replace(pos=pos, x=x, vec=vec, y_vec=y_vec)

    def loss(self, network: nn.Module, graphs: Graphs, random: torch.Generator) -> Float[Tensor, ""]:
        """Mean squared error over all coordinates."""
        return (network(graphs).vector[:, 0] - graphs.y_vec["displacement"]).square().mean()

    def errors(self, network: nn.Module, graphs: Graphs) -> dict[str, Float[Tensor, " graphs"]]:
        """The same for each simulation."""
        squares = (network(graphs).vector[:, 0] - graphs.y_vec["displacement"]).square()
        return {METRIC: squares.reshape(graphs.num_graphs, -1).mean(1)}


def load(settings: NBodySettings, progress: bool = True) -> NBodyTask:
    """The data of the settings, simulated and kept in the data folder if need be."""
    data = settings.data
    return NBodyTask(load_nbody(data.train, data.val, data.test, data.seed, progress=progress))


def build(model: NBodyModel, seed: int | None = None) -> nn.Module:
    """The network of the settings; see ``network_of``."""
    return network_of(model, seed, scalars_in=1, vectors_in=1, scalars_out=0, vectors_out=1)


def task_on(path: str | Path, settings: NBodySettings) -> NBodyTask:
    """The task with the simulations of a file as its test set; see ``read_split``."""
    return NBodyTask({"test": read_split(path)})


def baselines(task: NBodyTask, split: str = "test") -> dict[str, float]:
    """Errors of simple predictions on a split; the last is fitted to the training set where there is one."""
    test = task.splits[split]
    fitted = best_linear_extrapolation(task.splits.get("train", test), test)
    return {"no motion": no_motion(test).mse, "straight line": linear_motion(test).mse,
            f"best line (t = {fitted.t:.2f})": fitted.mse}


def read_split(path: str | Path) -> NBodySplit:
    """Simulations of your own to evaluate on: an .npz file by ``ponita-edu simulate``, or with the arrays ``charges``
    [sims, particles], ``loc_in``, ``vel_in`` and ``loc_out`` [sims, particles, 3], one unit of time apart.

    Raises:
        ValueError: if it cannot be read, lacks an array, or has no frames at t = 3.1 and 4.1.
    """
    try:
        with open_npz(path) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        why = error.strerror or "it is not an .npz file"
        raise ValueError(f"the data file {path} cannot be read: {why}. Give the path of an .npz file.") from None
    except Exception as error:  # numpy and zipfile raise many things on a damaged file
        raise ValueError(f"the data file {path} is damaged or no .npz file ({type(error).__name__}: "
                         f"{error!s:.150}). Make it anew, for example with `ponita-edu simulate nbody`.") from None
    if {"charges", "loc", "vel", "time"} <= arrays.keys():
        time, wanted = arrays["time"], [DT * EVERY * (frame + 1) for frame in (FRAME_IN, FRAME_OUT)]
        frames = [np.flatnonzero(np.isclose(time, t, rtol=0, atol=1e-9)) for t in wanted]
        if not all(len(f) for f in frames):
            raise ValueError(f"the data file {path} must have frames at times {wanted[0]:.1f} and {wanted[1]:.1f}, but "
                             f"has {len(time)} frames up to {time.max() if len(time) else 0:.2f}. Simulate long "
                             "enough, and store frames at these times (--every 100 of --dt 0.001 does).")
        start, end = (int(f[0]) for f in frames)
        loc, vel = arrays["loc"], arrays["vel"]
        arrays |= {"loc_in": loc[:, start], "vel_in": vel[:, start], "loc_out": loc[:, end]}
    missing = [n for n in ("charges", "loc_in", "vel_in", "loc_out") if n not in arrays]
    if missing:
        raise ValueError(f"the data file {path} lacks {', '.join(missing)}; it holds {', '.join(arrays) or 'nothing'}. "
                         "Make one with `ponita-edu simulate nbody`.")
    fields = {n: np.asarray(arrays[n]) for n in ("charges", "loc_in", "vel_in", "loc_out")}
    if any(a.dtype.kind not in "fiu" for a in fields.values()):
        raise ValueError(f"the data file {path} must hold numbers only. Make one with `ponita-edu simulate nbody`.")
    return NBodySplit(**{n: a.astype(np.float32) for n, a in fields.items()}, name="test", official=False)


def picture(task: NBodyTask, network: nn.Module, split: str = "test") -> Any:
    """A matplotlib figure of predicted against true ways of the first simulations of a split.

    Raises:
        ImportError: without matplotlib and the rest of the course extra.
    """
    from ponita_edu.viz.plots import plot_trajectories

    data = task.splits[split]
    shown = slice(0, min(SHOWN, len(data)))
    way = simulate(InitialState(data.charges[shown], data.loc_in[shown], data.vel_in[shown]),
                   steps=EVERY * (FRAME_OUT - FRAME_IN), every=EVERY // 5)
    graphs = task.graphs(split, torch.arange(len(data.charges[shown]), device=next(network.parameters()).device))
    with torch.no_grad():
        end = (graphs.pos + network(graphs).vector[:, 0]).reshape(*data.loc_in[shown].shape)
    truth = np.concatenate((data.loc_in[shown, None], way.loc), axis=1)
    return plot_trajectories(truth, end.double().cpu().numpy(), data.charges[shown])

