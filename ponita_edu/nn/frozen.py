"""A force field for molecular dynamics: the same energies and forces, from tables and without autograd."""

import copy
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import gelu

from ponita_edu.data.graphs import Graphs
from ponita_edu.nn import spaces
from ponita_edu.nn.blocks import edge_product, edge_sum, fiber_sum, ways
from ponita_edu.nn.forcefield import ForceField, check_derivatives
from ponita_edu.nn.ponita import Block
from ponita_edu.nn.prediction import check_fits
from ponita_edu.nn.tables import KernelTable, Place, check_tabulates, fiber_kernels


class TableError(NamedTuple):
    """The largest differences between a field and its tables over some frames."""

    energy: float  # eV
    force: float  # eV/Å, of a component
    functions: int  # in the table


class FrozenField(ForceField):
    """A copy of a force field whose weights never change again: kernels from a table, derivatives by hand.

    The nodes' part of the network is computed as ever. Energy and forces belong together exactly: the forces are the
    gradient of the tabulated energy. ``field_with_tables`` also says how far that is from the field itself. For a
    single molecule and no training; how much time it saves is in results/tables.json (at 21 atoms at most a third:
    sixteen rows of a table with all kernels are about as much work as the small network, and the nodes' part stays).

    Args:
        field: with a PONITA network on the bundle or on positions.
        longest: largest distance between atoms that see each other, Å; not needed with a cutoff.
        spacing: of the table's lattice, Å; its error falls with the third power for forces, the fourth for energies.
        tolerance: see ``tables.KernelTable``.

    Raises:
        ValueError: on a network that has no such tables, or numbers out of range. When used: on a distance beyond
            ``longest``, and if second derivatives are asked for.
    """

    def __init__(self, field: ForceField, longest: float | None = None, spacing: float = 0.03, tolerance: float = 1e-6):
        super().__init__(field.network, field.elements.tolist(), field.cutoff)
        longest = check_tabulates(field.network, longest, spacing, tolerance)
        self.network = copy.deepcopy(field.network).requires_grad_(False).eval()
        self.load_state_dict(field.state_dict(), strict=True)
        self.table = KernelTable(self.network, longest, float(spacing), float(tolerance))
        self.register_buffer("fiber", fiber_kernels(self.network))
        with torch.no_grad():
            origin = self.network.basis(self.network.embed.weight.new_zeros(self.network.config.num_attributes))
            loops = torch.stack([block.conv.spatial.kernel(origin) for block in self.network.blocks])
        self.register_buffer("loop_kernels", loops)

    def forward(self, graphs: Graphs, create_graph: bool = False
                ) -> tuple[Float[Tensor, " graphs"], Float[Tensor, "nodes 3"]]:
        """See ``ForceField``."""
        if create_graph:
            raise ValueError("create_graph must be False, since tables have no second derivatives. Use the field that "
                             "they were made of, or differences of forces.")
        check_derivatives("forces", graphs)  # the tables' own are made by autograd
        with torch.no_grad(), torch.autocast(graphs.pos.device.type, enabled=False):
            return self._forward(graphs)

    def _forward(self, graphs: Graphs) -> tuple[Tensor, Tensor]:
        net, c = self.network, self.network.config
        check_fits(c, graphs, net.embed.weight)
        source, target, loops, shift = spaces.edges_of(graphs, net.shares)
        r = graphs.vectors(source, target, shift)
        x, by_r = self._attributes(r)
        place = self.table.place(x.flatten(0, 1))
        window, slope = self._window(r)
        weights = place.weights if slope is None else place.weights * window.repeat_interleave(x.shape[1])[:, None]
        functions, back = self.table.look_up(place.index, weights)
        kernels = functions if self.table.mixing is None else functions @ self.table.mixing.T
        kernels = kernels.unflatten(0, x.shape[:2]).split(c.hidden, dim=-1)

        h = net.embed(graphs.x)[:, None].expand(-1, x.shape[1], -1).contiguous()
        shared = loops is not None
        along = ways(source, target, h, shared, net.antipodes if shared else None, graphs.num_graphs)
        first = len(net.blocks) - len(net.readouts)  # block whose readout is the first one
        mean = h.new_ones(1) if net.grid is None else net.ori_weights
        energy, kept = 0.0, []
        for k, block in enumerate(net.blocks):
            y = self._spread(edge_sum(kernels[k], h, along), h, loops, k)
            y = (y if self.fiber is None else fiber_sum(self.fiber[k], y)) + block.conv.bias
            normed, *moments = torch.native_layer_norm(y, (c.hidden,), block.norm.weight, block.norm.bias,
                                                       block.norm.eps)
            inner = block.linear_1(normed)
            update = block.linear_2(gelu(inner))
            kept.append((h, y, moments, inner))
            h = h + (update if block.layer_scale is None else block.layer_scale * update)
            if k >= first:
                energy = energy + torch.einsum("no,o->n", net.readouts[k - first](h)[..., 0], mean) / len(net.readouts)
        energy = energy.new_zeros(graphs.num_graphs).index_add(0, graphs.batch, energy)

        g, by_kernels = torch.zeros_like(h), [None] * len(kept)
        for k in reversed(range(len(kept))):
            if k >= first:
                g = g + mean[:, None] * net.readouts[k - first].weight[0] / len(net.readouts)
            h, *inside = kept[k]
            d = self._back(net.blocks[k], g, *inside)
            d = d if self.fiber is None else fiber_sum(self.fiber[k].transpose(0, 1), d)
            by_kernels[k] = edge_product(h, d, along)
            if k:
                g = g + self._spread(edge_sum(kernels[k], d, along.reversed()), d, loops, k)
        by = torch.cat(by_kernels, -1).flatten(0, 1)
        by = back(by if self.table.mixing is None else by @ self.table.mixing)
        return energy, self._forces(graphs, (source, target), r, by.unflatten(0, x.shape[:2]), place, by_r,
                                    (window, slope))

    def _spread(self, y: Tensor, h: Tensor, loops: Tensor | None, k: int) -> Tensor:
        # what every node with a self loop gives itself
        if loops is None:
            return y
        if len(loops) == len(h):
            return y.addcmul_(self.loop_kernels[k], h)
        return y.index_add_(0, loops, self.loop_kernels[k] * h[loops])

    def _back(self, block: Block, g: Tensor, y: Tensor, moments: list[Tensor], inner: Tensor) -> Tensor:
        g = g if block.layer_scale is None else g * block.layer_scale
        g = torch.ops.aten.gelu_backward(g @ block.linear_2.weight, inner) @ block.linear_1.weight
        return torch.ops.aten.native_layer_norm_backward(g, y, block.norm.normalized_shape, *moments, block.norm.weight,
                                                         block.norm.bias, [True, False, False])[0]

    def _attributes(self, r: Tensor) -> tuple[Tensor, list[Tensor]]:
        # [edges, N, dim], and how each changes with r
        if self.network.grid is None:
            distance = r.norm(dim=-1)
            return distance[:, None, None], [(r / distance.clamp(min=1e-12)[:, None])[:, None]]
        ori = self.network.ori
        along = r @ ori.T
        across = r[:, None] - along[..., None] * ori
        length = across.norm(dim=-1)
        flat = length <= 8 * torch.finfo(r.dtype).eps * r.norm(dim=-1)[:, None]  # as in spatial_invariants
        way = (across / length.clamp(min=1e-30)[..., None]).masked_fill_(flat[..., None], 0.0)
        return torch.stack((along, length), -1), [ori.expand(len(r), -1, -1), way]

    def _window(self, r: Tensor) -> tuple[Tensor, Tensor | None]:
        # the window's value and its derivative by the distance; without one, no distance may be too long
        distance, radius = r.norm(dim=-1), self.table.radius
        if radius is None:
            far = float(distance.max()) if len(r) else 0.0
            if not far <= self.table.longest * (1 + 1e-6):
                raise ValueError(f"atoms are at a distance of {far:.4g} Å, but the tables of this field end at "
                                 f"{self.table.longest:.4g} Å. Make them with a larger `longest`.")
            return torch.ones_like(distance), None
        x = distance / radius
        value = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
        slope = (-168 * x**5 + 336 * x**6 - 168 * x**7) / radius
        return torch.where(x < 1, value, 0.0), torch.where(x < 1, slope, 0.0)

    def _forces(self, graphs: Graphs, edges: tuple[Tensor, Tensor], r: Tensor, by: Float[Tensor, "edges N knots"],
                place: Place, by_r: list[Tensor], window: tuple[Tensor, Tensor | None]) -> Tensor:
        value, slope = window  # ``by`` is the derivative of the energy by the weights with the window in them
        by_attributes = [(by * a.reshape(by.shape)).sum(-1) * value[:, None] for a in place.slopes]
        by_vector = sum((a[..., None] * way).sum(1) for a, way in zip(by_attributes, by_r, strict=True))
        if slope is not None:
            by_window = (by * place.weights.reshape(by.shape)).sum((1, 2))
            by_vector = by_vector + (by_window * slope / r.norm(dim=-1).clamp(min=1e-12))[:, None] * r
        return torch.zeros_like(graphs.pos).index_add_(0, edges[1], by_vector).index_add_(0, edges[0], -by_vector)


def field_with_tables(field: ForceField, frames: Graphs, longest: float | None = None, spacing: float = 0.03,
                      tolerance: float = 1e-6) -> tuple[FrozenField, TableError]:
    """A field's tables, and their largest error on ``frames`` against the field itself.

    Args:
        longest: see ``FrozenField``; None for the cutoff, or else 1.3 times the largest distance in the frames.

    Raises:
        ValueError: see ``FrozenField``.
    """
    config = getattr(field.network, "config", None)
    if longest is None and getattr(config, "radius", None) is None:
        source, target = frames.edge_index
        longest = 1.3 * float(frames.vectors(source, target, frames.shift).norm(dim=-1).max())
    new = FrozenField(field, longest, spacing, tolerance)
    (energy, forces), (energy_2, forces_2) = field.energy_and_forces(frames), new.energy_and_forces(frames)
    return new, TableError(float((energy - energy_2).abs().max()), float((forces - forces_2).abs().max()),
                           new.table.table.shape[1])
