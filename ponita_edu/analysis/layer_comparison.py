"""Networks of equal size with layers of different kinds: error, time, memory and operations (notebook 05)."""

import time
from bisect import bisect_left
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ponita_edu.analysis.frames import FramePonita
from ponita_edu.analysis.kernel_tasks import GRID, FieldFrames, FieldPonita, Task, visible
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.invariants import spatial_invariants
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita

KINDS = {
    "positions": "positions only (PNITA), attribute |r|",
    "separable": "separable on R³×S², 12 orientations",
    "triple": "full on R³×S² with r·o, |r_⊥|, o·o'",
    "complete": "full on R³×S² with r·o, |r_⊥|, o·o', r·o'",
    "e3": "full on R³×S² with r·o, r·o', o·o', |r|²",
    "frames": "separable on R³×SO(3), 60 frames",
}
FULL = ("triple", "complete", "e3")


class ExtendedPonita(Ponita):
    """Full convolution with the triple and r·o', complete for E(3) like ``e3``; no attribute grows faster than |r|."""

    def _lift(self, graphs: Graphs):
        points = super()._lift(graphs)
        r = graphs.pos[graphs.source] - graphs.pos[graphs.target]
        across = spatial_invariants(r[:, None, None], self.ori[:, None])[..., 1:]
        across = across.expand(*points.attributes.shape[:-1], 1)
        return points._replace(attributes=torch.cat((points.attributes[..., :3], across), dim=-1))


class FieldExtended(FieldPonita, ExtendedPonita):
    """The same from fields to fields."""


class Row(NamedTuple):
    """A network of one kind after training with one seed, or without (then the error is None)."""

    task: str
    kind: str
    layers: int
    seed: int
    steps: int
    batch: int
    rate: float
    hidden: int
    parameters: int
    error: float | None  # root mean square error on the test batch / root mean square of its target
    mse: float | None  # mean squared error on the test batch, in the target's unit
    milliseconds: float | None  # processor time of the fastest training step
    saved_bytes: int  # what autograd keeps for the backward pass of one training batch, weights left out
    flop: int  # operations in the matrix products of one training step, a multiply-add counted as two


def make_network(kind: str, task: Task, hidden: int, layers: int | None = None, seed: int = 0) -> nn.Module:
    """A network of one of the ``KINDS`` for a task; 2 · hidden basis functions, cubic monomials, widening 2."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, but is {kind!r}.")
    positions = kind == "positions"
    config = PonitaConfig(
        scalars_in=task.scalars_in + (task.vectors_in if positions else 0),
        vectors_in=0 if positions else task.vectors_in,
        scalars_out=task.scalars_out_positions if positions else task.scalars_out,
        vectors_out=0 if positions else task.vectors_out,
        space="positions" if positions else "bundle", conv="full" if kind in FULL else "separable",
        attributes="e3" if kind in ("complete", "e3") else "triple", hidden=hidden, basis=2 * hidden,
        layers=task.layers if layers is None else layers, widening=2, distinct_monomials=True, level=task.level)
    if positions:
        return Ponita(config, seed=seed)
    if kind == "frames":
        return (FieldFrames if task.fields else FramePonita)(config, seed=seed)
    fields, extended = task.fields, kind == "complete"
    network = (FieldExtended if extended else FieldPonita) if fields else (ExtendedPonita if extended else Ponita)
    return network(config, GRID, seed=seed)


def equal_size(kind: str, task: Task, parameters: int, layers: int | None = None) -> int:
    """The number of hidden channels with which a network has about so many parameters.

    Raises:
        ValueError: if none comes within 5 %.
    """
    def count(hidden: int) -> int:
        return make_network(kind, task, hidden, layers).num_parameters

    above = bisect_left(range(1024), parameters, lo=5, key=count)
    counts = {hidden: count(hidden) for hidden in (above - 1, above)}
    best = min(counts, key=lambda hidden: abs(counts[hidden] - parameters))
    if abs(counts[best] - parameters) > 0.05 * parameters:
        raise ValueError(f"parameters must be within reach of a network of kind {kind!r} to 5 %, but {parameters} is "
                         f"not: the nearest is {counts[best]}, with {best} channels. Ask for more parameters.")
    return best


def train(model: nn.Module, task: Task, steps: int, batch: int, rate: float, seed: int = 0) -> float:
    """Adam on the mean squared error, the rate falling linearly to 0; returns the fastest step's milliseconds."""
    rng = torch.Generator().manual_seed(seed)
    model.calibrate(visible(model, task.draw(batch, rng)))
    optimiser = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1 / steps, steps)
    times = []
    for _ in range(steps):
        graphs = task.draw(batch, rng)
        start = time.process_time()
        optimiser.zero_grad()
        (task.predict(model, graphs) - task.target(graphs)).square().mean().backward()
        optimiser.step()
        schedule.step()
        times.append(time.process_time() - start)
    return 1000 * min(times)  # of the processor: others who use the machine only ever add to it


def test_errors(model: nn.Module, task: Task) -> tuple[float, float]:
    """Mean squared error on the test set, and the root of its ratio to the mean square of the target."""
    wrong, size = (sum(float(a.square().sum()) for a in parts) for parts in zip(*(
        (task.predict(model, g).detach() - task.target(g), task.target(g)) for g in task.test), strict=True))
    return wrong / sum(task.target(g).numel() for g in task.test), (wrong / size) ** 0.5


def cost_of_step(model: nn.Module, task: Task, graphs: Graphs) -> tuple[int, int]:
    """Bytes that autograd keeps for the backward pass (weights left out), and operations of a training step."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(a: Tensor) -> Tensor:  # autograd holds what it is given, so no address is used twice
        storage = a.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return a

    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda a: a):
            loss = (task.predict(model, graphs) - task.target(graphs)).square().mean()
        loss.backward()
    model.zero_grad()
    return sum(kept.values()), counter.get_total_flops()


def compare(task: Task, kind: str, seed: int, parameters: int, steps: int, batch: int, rate: float,
            layers: int | None = None) -> Row:
    """Train one network and measure it; ``steps=0`` measures memory and operations only."""
    hidden = equal_size(kind, task, parameters, layers)
    model = make_network(kind, task, hidden, layers, seed)
    saved, flop = cost_of_step(model, task, task.draw(batch, torch.Generator().manual_seed(seed)))
    milliseconds = mse = error = None
    if steps:
        milliseconds = train(model, task, steps, batch, rate, seed)
        mse, error = test_errors(model, task)
    return Row(task.name, kind, model.config.layers, seed, steps, batch, rate, hidden, model.num_parameters, error, mse,
               milliseconds, saved, flop)
