"""The pieces of a training run: objective, order of the data, learning rate, optimiser, network."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import make_grid
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.nn.baselines import EGNN, EGNNConfig
from ponita_edu.nn.ponita import Ponita, PonitaConfig
from ponita_edu.tasks.config import TrainConfig
from ponita_edu.tasks.nbody_config import NBodyModel
from ponita_edu.tasks.task import Task, stream, turned


class Batch:
    """Which graphs, and the rotations to turn them by.

    A plain class on purpose: Fabric would round the numbers in a tuple or a dataclass to its working precision.
    """

    def __init__(self, index: Tensor, turns: Tensor | None):
        self.index, self.turns = index, turns

    def graphs(self, task: Task) -> Graphs:
        """The graphs themselves, turned."""
        graphs = task.graphs("train", self.index)
        return graphs if self.turns is None else turned(graphs, self.turns)


class Objective(nn.Module):
    """A batch in, its loss out: one module, so that Fabric and DDP see one forward and one backward pass."""

    def __init__(self, task: Task, network: nn.Module):
        super().__init__()
        self.task, self.network = task, network

    def forward(self, batch: Batch, random: torch.Generator) -> Float[Tensor, ""]:
        with torch.autocast(batch.index.device.type, enabled=False):  # positions are turned in full precision
            graphs = batch.graphs(self.task)
        return self.task.loss(self.network, graphs, random)


class Epoch:
    """The batches of one epoch: which graphs, in which order, turned how."""

    def __init__(self, number: int, size: int, dim: int, config: TrainConfig, like: Tensor):
        self.number, self.batch = number, config.batch_size
        random = stream(config.seed, 0, number)
        self.order = torch.randperm(size, generator=random).to(like.device)
        self.turns = random_rotations(size, dim, generator=random).to(like) if config.augment else None

    def part(self, k: int, rank: int = 0, world: int = 1) -> Batch:
        """Batch k, or the share that one of several processes has in it."""
        mine = slice(k * self.batch + rank, (k + 1) * self.batch, world)
        return Batch(self.order[mine], None if self.turns is None else self.turns[mine])


def lr_factor(epoch: int | float, config: TrainConfig) -> float:
    """Share of the largest learning rate: (1 + cos(pi e/E))/2, and times (e + 1e-6)/(W + 1e-6) while e <= W."""
    cosine = 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
    return cosine * min(1.0, (epoch + 1e-6) / (config.warmup_epochs + 1e-6))


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Adam:
    """Adam with weight decay on the weights of linear maps only, not on biases, norms and layer scales."""
    decayed = {id(m.weight) for m in network.modules() if isinstance(m, nn.Linear)}
    groups = [{"params": [p for p in network.parameters() if (id(p) in decayed) == linear],
               "weight_decay": config.weight_decay if linear else 0.0} for linear in (True, False)]
    return torch.optim.Adam([g for g in groups if g["params"]], lr=config.lr, fused=True)


def network_of(model: NBodyModel, seed: int | None = None, radius: float | None = None, level: str = "node",
               distance_gain: float = 1.0, **inout: int) -> nn.Module:
    """The network of the settings, with numbers of scalars and vectors in and out as in ``PonitaConfig``.

    Args:
        distance_gain: of an EGNN; see ``EGNNConfig``.

    Raises:
        ValueError: on settings that do not go together.
    """
    if model.method == "egnn":
        return EGNN(EGNNConfig(**inout, hidden=model.hidden, layers=model.layers, level=level,
                               distance_gain=distance_gain), seed=seed)
    bundle = model.method == "ponita"
    config = PonitaConfig(
        **inout, space="bundle" if bundle else model.method, hidden=model.hidden, basis=model.basis,
        layers=model.layers, widening=model.widening, degree=model.degree, layer_scale=model.layer_scale,
        readout=model.readout, level=level, radius=radius,
    )
    return Ponita(config, make_grid(model.grid, model.orientations) if bundle else None, seed=seed)
