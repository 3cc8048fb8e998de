"""What a task is to the training loop, and how its errors are measured."""

import math
import time
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.rotations import random_rotations

Fabric = Any  # Lightning's; only ``training.make_fabric`` imports it, which takes as long as torch itself


class Task(ABC):
    """What the loop must know. Data lie on the device, and graphs are picked by number."""

    selects: str  # the error that chooses the best weights
    evaluation_batch: int = 250  # graphs at once
    note: str = ""  # what a reader of a result should know

    @property
    def test_work(self) -> int:
        """How many graphs of the validation set take as long as the test."""
        return self.size("test")

    @abstractmethod
    def to(self, device: torch.device, dtype: torch.dtype) -> "Task":
        """The same task with its data on another device, in another dtype."""

    @abstractmethod
    def size(self, split: str) -> int:
        """Number of graphs in "train", "val" or "test"."""

    @abstractmethod
    def graphs(self, split: str, index: Int[Tensor, " graphs"]) -> Graphs:
        """Some graphs of a split with their targets."""

    @abstractmethod
    def loss(self, network: nn.Module, graphs: Graphs, random: torch.Generator) -> Float[Tensor, ""]:
        """What training makes small; ``random`` (on the CPU) is the only source of noise."""

    @abstractmethod
    def errors(self, network: nn.Module, graphs: Graphs) -> dict[str, Float[Tensor, " graphs"]]:
        """Errors of each graph by name, with units in the names; their means over a split are reported."""

    def final(self, network: nn.Module) -> dict[str, Any]:
        """What else is measured once on a trained network, beside the errors."""
        return {}

    def prepare(self, network: nn.Module, first: Graphs) -> None:
        """Once, before the first step: what the network takes over from the data. ``first`` is the first batch."""
        if hasattr(network, "calibrate"):
            network.calibrate(first)


def evaluate(task: Task, network: nn.Module, split: str, turns_seed: int | None = None, deadline: float = math.inf,
             fabric: Fabric | None = None) -> tuple[dict[str, float], int]:
    """Mean errors over a split, and over how many of its graphs: fewer if ``deadline`` (monotonic seconds) passes.

    Args:
        turns_seed: turn every graph by a random rotation first; an equivariant network keeps its error.
        fabric: share the work among its processes.
    """
    rank, world = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    parts = torch.arange(task.size(split), device=next(network.parameters()).device).split(task.evaluation_batch)
    sums: list[Tensor] = []
    names: list[str] = []
    network.eval()
    with torch.no_grad():
        for k in range(rank, max(len(parts), world), world):
            # with more processes than parts, some repeat the last part and count it as nothing
            index, share = parts[min(k, len(parts) - 1)], float(k < len(parts))
            graphs = task.graphs(split, index)
            if turns_seed is not None:
                turns = random_rotations(graphs.num_graphs, graphs.dim, generator=stream(turns_seed, 2, k))
                graphs = turned(graphs, turns.to(graphs.pos))
            errors = task.errors(network, graphs)
            names = list(errors)
            ones = torch.ones(len(index), device=index.device)
            sums.append(share * torch.stack([e.double().sum() for e in (*errors.values(), ones)]))
            if time.monotonic() > deadline:
                break
    network.train()
    total = torch.stack(sums).sum(0)
    if world > 1:
        total = fabric.all_reduce(total, reduce_op="sum")
    *values, count = total.tolist()
    return {name: value / count for name, value in zip(names, values, strict=True)}, int(count)


def stream(seed: int, *place: int) -> torch.Generator:
    """Random numbers that belong to a place in a run, independent of those of any other place."""
    number = np.random.SeedSequence((seed, *place)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(number) >> 1)


def turned(graphs: Graphs, turns: Float[Tensor, "graphs dim dim"]) -> Graphs:
    """Each graph turned by its rotation: ``Graphs.rotate`` without checks, which would wait for a GPU."""
    rows = turns[graphs.batch]

    def on(v: Tensor) -> Tensor:
        return torch.einsum("nij,n...j->n...i", rows if v.shape[0] == graphs.num_nodes else turns, v)

    return graphs._replace(pos=on(graphs.pos), vec=None if graphs.vec is None else on(graphs.vec),
                           y_vec={name: on(v) for name, v in graphs.y_vec.items()})
