"""Where the weights and the operations of a network are, and what each of its steps computes (notebook 06)."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ponita_edu.data.graphs import Graphs
from ponita_edu.nn.conv import FiberConv, FullConv, SpatialConv
from ponita_edu.nn.ponita import Block, Ponita

_STEPS = {SpatialConv: "spatial convolution", FiberConv: "fiber convolution", FullConv: "full convolution"}


class Cost(NamedTuple):
    """A step of a network: what comes out of it, its learnt weights, and its operations in one forward pass."""

    name: str
    shape: tuple[int, ...]
    parameters: int
    flop: int  # in matrix products, a multiply-add counted as two; GELU, norms, sums over edges, directions are not


def cost_table(model: Ponita, graphs: Graphs) -> list[Cost]:
    """One row for each step of the network on this batch, in the order of the forward pass.

    Operations are read off torch's counter when a step starts and when it ends, so that their sum equals the total of
    the whole pass only if no step was forgotten. A convolution's bias counts to its last step.

    Raises:
        ValueError: if the graphs do not fit the network.
    """
    counts: list[int] = []  # the counter at every start and end of a step
    flop: dict[nn.Module, int] = {}
    shape: dict[nn.Module, tuple[int, ...]] = {}
    modules = [model.basis, *filter(None, [model.fiber_basis]), model.embed, *model.blocks, *_convolutions(model),
               *model.readouts]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        def start(module: nn.Module, _) -> None:
            counts.append(counter.get_total_flops())
            flop[module] = flop.get(module, 0) - counts[-1]

        def end(module: nn.Module, _, output: Tensor) -> None:
            counts.append(counter.get_total_flops())
            flop[module] += counts[-1]
            shape.setdefault(module, tuple(output.shape))  # the first call: the kernel basis is asked twice

        with _hooks(modules, start, end):
            prediction = model(graphs)
        rest = counter.get_total_flops() - counts[-1]

    def row(name: str, module: nn.Module) -> Cost:
        return Cost(name, shape[module], _count(module.parameters()), flop[module])

    points = shape[model.embed][:-1]
    rows = [Cost("lifting", (*points, model.embed.in_features), 0, counts[0]), row("kernel basis", model.basis)]
    if model.fiber_basis is not None:
        rows.append(row("fiber kernel basis", model.fiber_basis))
    rows.append(row("embedding", model.embed))
    for k, block in enumerate(model.blocks, start=1):
        steps = [row(f"block {k}: {_STEPS[type(m)]}", m) for m in _steps(block)]
        bias = _count(block.conv.parameters()) - sum(step.parameters for step in steps)
        steps[-1] = steps[-1]._replace(parameters=steps[-1].parameters + bias)
        rows += [*steps, Cost(f"block {k}: norm and MLP", shape[block],
                              _count(block.parameters()) - _count(block.conv.parameters()),
                              flop[block] - sum(step.flop for step in steps))]
    rows += [row(f"readout {k}", readout) for k, readout in enumerate(model.readouts, start=1)]
    numbers = sum(a[0].numel() for a in prediction)
    return [*rows, Cost("to scalars and vectors", (len(prediction.scalar), numbers), 0, rest)]


def total_flop(model: nn.Module, graphs: Graphs) -> int:
    """Operations of one forward pass, by torch's counter."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(graphs)
    return counter.get_total_flops()


def signals(model: Ponita, graphs: Graphs) -> dict[str, Float[Tensor, "points *N channels"]]:
    """The hidden features after the embedding, after each step of each block, and after each block.

    A convolution's last step is given without the bias, which a network adds before its norm.
    """
    kept: dict[nn.Module, Tensor] = {}
    with torch.no_grad(), _hooks([model.embed, *model.blocks, *_convolutions(model)], None,
                                 lambda module, _, output: kept.setdefault(module, output)):
        model(graphs)
    named = {"embedding": kept[model.embed]}
    for k, block in enumerate(model.blocks, start=1):
        named |= {f"block {k}: {_STEPS[type(m)]}": kept[m] for m in _steps(block)}
        named[f"block {k}"] = kept[block]
    return named


def _steps(block: Block) -> list[nn.Module]:
    return [m for m in block.conv.modules() if type(m) in _STEPS]


def _convolutions(model: Ponita) -> list[nn.Module]:
    return [step for block in model.blocks for step in _steps(block)]


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)


@contextmanager
def _hooks(modules: list[nn.Module], start: Callable | None, end: Callable) -> Iterator[None]:
    handles = [m.register_forward_hook(end) for m in modules]
    handles += [m.register_forward_pre_hook(start) for m in modules] if start else []
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
