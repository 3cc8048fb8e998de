"""What training does to the approximate claim: N-body networks with and without random rotations (notebook 07)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

import ponita_edu
from ponita_edu.analysis.equivariance import equivariance_error
from ponita_edu.analysis.equivariance_table import errors_on
from ponita_edu.analysis.kernel_tasks import Task, nbody_task
from ponita_edu.analysis.laws import Law, fit_law
from ponita_edu.analysis.layer_comparison import test_errors, train
from ponita_edu.data.graphs import Graphs, collate
from ponita_edu.geometry.grids import make_grid
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita
from ponita_edu.nn.prediction import Prediction
from ponita_edu.nn.seeds import seeded
from ponita_edu.tasks.run import load_model

BATCH, RATE = 25, 3e-3
QUICK = Path(ponita_edu.__file__).parent / "assets" / "checkpoints" / "nbody_quick"
# How the training systems lie, and which network learns from them.
ARMS = {
    "turned at random": "bundle",
    "as they come": "bundle",
    "all in one pose": "bundle",
    "all in one pose, lifted edges": "edges",
    "all in one pose, coordinates": "coordinates",  # negative control: a network that knows its axes
}


class OnCoordinates(nn.Module):
    """Displacements of five particles from bare numbers: charges, centred positions, velocities. It knows its axes."""

    config = SimpleNamespace(space="coordinates")

    def __init__(self, seed: int, hidden: int = 128):
        super().__init__()
        with seeded(seed):
            self.net = nn.Sequential(nn.Linear(35, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
                                     nn.Linear(hidden, 15))

    def calibrate(self, graphs: Graphs) -> None:
        """It has no kernels."""

    def forward(self, graphs: Graphs) -> Prediction:
        place = graphs.pos.reshape(-1, 5, 3)
        numbers = graphs.x.reshape(-1, 5), (place - place.mean(1, keepdim=True)).flatten(1), graphs.vec.reshape(-1, 15)
        return Prediction(graphs.x[:, :0], self.net(torch.cat(numbers, dim=1)).reshape(-1, 1, 3))


def in_one_pose(graphs: Graphs) -> Graphs:
    """Each system turned so that its first particle flies along x, and its second one in the half plane z = 0, y > 0.

    The pose turns along with a system, so it carries no information: only a network that knows its axes is helped.
    """
    first = torch.searchsorted(graphs.batch, torch.arange(graphs.num_graphs))
    u, v = graphs.vec[first, 0], graphs.vec[first + 1, 0]
    x = torch.nn.functional.normalize(u, dim=-1)
    y = torch.nn.functional.normalize(v - (v * x).sum(-1, keepdim=True) * x, dim=-1)
    return graphs.rotate(torch.stack((x, y, torch.linalg.cross(x, y)), dim=-2))


def task_for(arm: str, train_size: int, test_size: int) -> Task:
    """The N-body task of notebook 05, its training and test systems lying as the arm says."""
    task = nbody_task(train_size, test_size)
    if arm == "turned at random":
        return replace(task, draw=lambda count, rng: _turned(task.draw(count, rng), rng))
    if arm == "as they come":
        return task
    return replace(task, draw=lambda count, rng: in_one_pose(task.draw(count, rng)),
                   test=tuple(map(in_one_pose, task.test)))


def fresh_network(arm: str, seed: int) -> Ponita | OnCoordinates:
    """As wide as the quick preset's, untrained."""
    if ARMS[arm] == "coordinates":
        return OnCoordinates(seed)
    config = PonitaConfig(scalars_in=1, vectors_in=1, scalars_out=0, vectors_out=1, space=ARMS[arm], hidden=32,
                          basis=32, layers=3)
    return Ponita(config, make_grid("icosahedron") if ARMS[arm] == "bundle" else None, seed=seed)


def trained_network(arm: str, seed: int, steps: int, train_size: int, test_size: int) -> Ponita | OnCoordinates:
    """A network as wide as the quick preset's, trained for so many steps of 25 systems.

    Raises:
        ValueError: on an unknown arm.
    """
    if arm not in ARMS:
        raise ValueError(f"arm must be one of {', '.join(ARMS)}, but is {arm!r}.")
    model = fresh_network(arm, seed)
    train(model, task_for(arm, train_size, test_size), steps, BATCH, RATE, seed)
    return model


def trained_rows(seeds: Sequence[int] = (0,), steps: int = 40, train_size: int = 300, test_size: int = 200,
                 arms: Sequence[str] = tuple(ARMS)) -> list[dict[str, Any]]:
    """For each arm and seed: test MSE as the test systems lie (``mse``) and turned at random (``mse_turned``); relative
    error of equivariance of the displacements with the grid in place, before (``untrained``) and after training."""
    rows = []
    for arm in arms:
        task = task_for(arm, train_size, test_size)
        turned = replace(task, test=tuple(_turned(g, torch.Generator().manual_seed(0)) for g in task.test))
        for seed in seeds:
            model = trained_network(arm, seed, steps, train_size, test_size)
            rows.append({
                "arm": arm, "seed": seed,
                **{name: test_errors(model, t)[0] for name, t in (("mse", task), ("mse_turned", turned))},
                **{name: equivariance_error(m, task.test[0], "SO").outputs["vector"].median
                   for name, m in (("untrained", fresh_network(arm, seed)), ("trained", model))},
            })
    return rows


def finer_grids(sizes: Sequence[int] = (14, 26, 50), test_size: int = 200, groups: int = 3, systems: int = 5
                ) -> list[Law]:
    """Trained on 12 orientations, used on Lebedev grids of more: error of equivariance, and test MSE, against N.

    The network is the one that comes with the package, the quick preset of notebook 09 (3,000 steps, systems turned at
    random); its weights never change. The first curve is measured on several ``groups`` of so many test ``systems``, in
    place of several networks.
    """
    model = load_model(QUICK)[2]
    task = task_for("as they come", 1, test_size)
    test = collate(task.test)
    batches = [_systems(test, range(k * systems, (k + 1) * systems)) for k in range(groups)]
    error, mse = [], []
    for size in sizes:
        grid = make_grid("lebedev", size)
        error.append([errors_on(grid, [model], batch)["vector"][0] for batch in batches])
        mse.append([test_errors(model, task)[0]])
    return [fit_law("error of equivariance", sizes, error), fit_law("test MSE", sizes, mse)]


def _turned(graphs: Graphs, rng: torch.Generator) -> Graphs:
    return graphs.rotate(random_rotations(graphs.num_graphs, generator=rng).to(graphs.pos))


def _systems(graphs: Graphs, numbers: range) -> Graphs:
    keep = (graphs.batch >= numbers.start) & (graphs.batch < numbers.stop)
    return Graphs(graphs.pos[keep], graphs.x[keep], batch=graphs.batch[keep] - numbers.start, vec=graphs.vec[keep])
