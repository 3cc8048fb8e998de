"""A network on the whole sphere, taken apart: what each block integrates, and what a coarse grid makes of it.

A fine Lebedev grid stands for the sphere. Further directions ride along with weight 0: they receive what the network
would have there, and disturb nothing. See ``orientation_bound``.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from ponita_edu.analysis.sphere_spectra import degree_power
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import Grid
from ponita_edu.nn.ponita import Ponita


class BlockOnSphere(NamedTuple):
    """y = the spatial step, [nodes, directions, channels]; κ(t): [t] -> [t, channels]."""

    y: Float64[Tensor, "nodes directions channels"]
    kernel: Callable[[Tensor], Tensor]


class OnSphere(NamedTuple):
    """What a network does on a fine grid; ``added`` is the root mean square of what was added to one block's z."""

    grid: Grid
    blocks: tuple[BlockOnSphere, ...]
    signal: Float64[Tensor, "rows directions outputs"]
    outputs: dict[str, Tensor]
    added: float = 0.0


def on_sphere(model: Ponita, graphs: Graphs, fine: Grid, coarse: Grid | None = None, disturb: int | None = None
              ) -> OnSphere:
    """Run a copy of a network in float64 on a fine grid.

    Args:
        coarse: directions that ride along, after those of the fine grid.
        disturb: the block in which the sum over the coarse grid takes the place of that over the fine one.
    """
    model, graphs = copy.deepcopy(model).double().eval().requires_grad_(False), graphs.to(torch.float64)
    points, weights = fine.points, fine.weights
    if coarse is not None:
        points, weights = torch.cat((points, coarse.points)), torch.cat((weights, torch.zeros(len(coarse)).double()))
    model.set_grid(Grid(points, weights, "sphere"))
    ys, signals, added = [None] * len(model.blocks), [], [0.0]

    def watch(k: int):
        def hook(module, inputs, output):
            ys[k] = output
        return hook

    def other_sum(module, inputs, output):
        y = ys[disturb][:, len(fine):]
        z = _sum(kernels[disturb], points, coarse, y) + module.bias
        added[0] = float(((z - output)[:, :len(fine)].square() * fine.weights[:, None]).sum(1).mean().sqrt())
        return z

    kernels = [_kernel(model, block.conv.fiber.kernel) for block in model.blocks]
    for k, block in enumerate(model.blocks):
        block.conv.spatial.register_forward_hook(watch(k))
        if k == disturb:
            block.conv.register_forward_hook(other_sum)
    for readout in model.readouts:
        readout.register_forward_hook(lambda module, inputs, output: signals.append(output))
    outputs = {key: value for key, value in model(graphs)._asdict().items() if value.numel()}
    signal = sum(signals) / len(signals)
    if model.config.level == "graph":
        signal = signal.new_zeros(graphs.num_graphs, *signal.shape[1:]).index_add(0, graphs.batch, signal)
    blocks = tuple(BlockOnSphere(y, kernel) for y, kernel in zip(ys, kernels, strict=True))
    return OnSphere(fine, blocks, signal, outputs, added[0])


def quadrature_offsets(model: Ponita, graphs: Graphs, fine: Grid, coarse: Sequence[Grid],
                       probes: Float64[Tensor, "probes 3"]) -> list[Float64[Tensor, "grids nodes probes channels"]]:
    """For each block Σ_i w_i κ(p·o_i) y(o_i) over each coarse grid minus the same over the fine one, at probes p.

    The block's input is that of the whole sphere. The coarse grids must be of one size.
    """
    together = Grid(torch.cat([g.points for g in coarse]), torch.cat([g.weights for g in coarse]) / len(coarse))
    offsets = []
    for y, kernel in on_sphere(model, graphs, fine, together).blocks:
        parts = y[:, len(fine):].unflatten(1, (len(coarse), -1)).unbind(1)
        whole = _sum(kernel, probes, fine, y[:, :len(fine)])
        pairs = zip(coarse, parts, strict=True)
        offsets.append(torch.stack([_sum(kernel, probes, grid, part) - whole for grid, part in pairs]))
    return offsets


def readout_power(sphere: OnSphere, output: str, grid: Grid, degree: int) -> tuple[Float64[Tensor, "degrees"], float]:
    """Mean power of what the readout integrates, f or (f − mean f) o, and the mean square of the output."""
    value, scalars = sphere.outputs[output], sphere.signal.shape[-1]
    if "vector" in sphere.outputs:
        scalars -= sphere.outputs["vector"].shape[1]
    if output == "scalar":
        f = sphere.signal[..., :scalars].transpose(1, 2)
    else:
        f = sphere.signal[..., scalars:].transpose(1, 2)
        f = (f - f @ grid.weights[:, None])[..., None, :] * grid.points.T
    parts = degree_power(f, grid, degree).flatten(0, -2).mean(0)
    rest = float((f.square() @ grid.weights).mean() - parts.sum())
    return torch.cat((parts, torch.tensor([max(rest, 0.0)], dtype=torch.float64))), float(value.square().mean())


def _kernel(model: Ponita, last: torch.nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda t: last(model.fiber_basis(t[..., None]))


def _sum(kernel: Callable[[Tensor], Tensor], p: Tensor, grid: Grid, y: Tensor) -> Tensor:
    return torch.einsum("pic,nic->npc", kernel(p @ grid.points.T) * grid.weights[:, None], y)
