"""Forces with weights that stay as they are: kernels from a table, derivatives written out.

A separable network has one kernel for each layer and channel, all of them functions of the same two numbers
(r.o, |r_perp|), on positions of |r| alone. They are tabulated on a lattice, and a cubic B-spline through it gives them
anywhere: its second derivatives are continuous, so forces have no kinks. Where few combinations of the kernels tell
nearly all (on positions), only these principal ones are kept.
"""

import copy
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.linalg import solve_banded
from torch import Tensor, nn

from ponita_edu.geometry.invariants import orientation_invariants
from ponita_edu.nn.kernels import cutoff_window, is_plain
from ponita_edu.nn.ponita import Ponita

SPARE = 12  # lattice points beyond the range; the end of a spline is felt 0.27 times as much at each further point
ROWS = 32768  # of the lattice, worked out at once
SAMPLES = 20000  # lattice points that principal functions are found from
FEW = 100  # principal functions that are quicker than all kernels
# of the four cubic B-splines that reach into a cell (columns), powers of the place in it (rows)
CUBIC = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6


class Place(NamedTuple):
    """Where attributes lie in a lattice: what is summed, how much of each, and how that changes with each attribute."""

    index: Int[Tensor, "rows knots"]
    weights: Float[Tensor, "rows knots"]
    slopes: list[Float[Tensor, "rows knots"]]


class KernelTable(nn.Module):
    """All spatial kernels of a network on a lattice of their attributes.

    Args:
        model: a network with separable convolutions on the bundle or on positions.
        longest: largest distance; beyond the radius of the network's window, if it has one, everything is 0.
        spacing: of the lattice, in the unit of the positions.
        tolerance: what principal functions may miss of the kernels, root mean square relative to the kernels' own.
    """

    def __init__(self, model: Ponita, longest: float, spacing: float, tolerance: float):
        super().__init__()
        c = model.config
        low = (0.0,) if c.space == "positions" else (-longest, 0.0) if c.dim == 3 else (-longest, -longest)
        self.longest, self.radius, self.spacing = longest, c.radius, spacing
        self.start = tuple(a - SPARE * spacing for a in low)
        self.shape = tuple(ceil((longest - a) / spacing) + 1 + 2 * SPARE for a in low)
        axes = [a + spacing * torch.arange(n, dtype=torch.float64)
                for a, n in zip(self.start, self.shape, strict=True)]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)
        exact = copy.deepcopy(model.basis).double().cpu()
        weight = torch.cat([b.conv.spatial.kernel.weight for b in model.blocks]).detach().double().cpu()
        with torch.no_grad():
            combined, mixing = self._principal(exact, weight, points, tolerance)
            values = torch.cat([exact(part) @ combined for part in points.split(ROWS)])
        values = values.reshape(*self.shape, -1).numpy()
        for axis in range(len(self.shape)):
            values = np.moveaxis(_coefficients(np.moveaxis(values, axis, 0)), 0, axis)
        like = model.embed.weight
        self.register_buffer("table", torch.from_numpy(values.reshape(-1, values.shape[-1])).to(like))
        self.register_buffer("mixing", None if mixing is None else mixing.to(like))  # [kernels, functions]

    def _principal(self, basis: nn.Module, weight: Tensor, points: Tensor, tolerance: float
                   ) -> tuple[Tensor, Tensor | None]:
        # of all combinations of the kernels, those that vary most; or the kernels themselves, if that takes too many
        inside = points[points.norm(dim=-1) <= self.longest + self.spacing]
        inside = inside[:: max(1, len(inside) // SAMPLES)]
        phi = basis(inside)
        if self.radius is not None:
            phi = phi * cutoff_window(inside.norm(dim=-1), self.radius)[:, None]
        size, directions = torch.linalg.eigh(weight @ (phi.T @ phi / len(phi)) @ weight.T)
        missed = size.clamp(min=0).cumsum(0).sqrt() / size.sum().sqrt()
        kept = max(1, int((missed > tolerance).sum()))
        if kept > min(FEW, len(weight) // 2):
            return weight.T, None
        mixing = directions[:, -kept:].contiguous()
        return weight.T @ mixing, mixing

    def place(self, x: Float[Tensor, "rows dim"]) -> Place:
        """See ``Place``."""
        at = (x - x.new_tensor(self.start)) / self.spacing
        cell = at.floor()
        powers = torch.stack([(at - cell) ** k for k in range(4)], -1)  # [rows, dim, 4]
        first = (cell.long() - 1).clamp(min=0)
        first = torch.minimum(first, torch.tensor(self.shape, device=x.device) - 4)
        index = torch.zeros((len(x), 1), dtype=torch.long, device=x.device)
        values = [powers[:, axis] @ x.new_tensor(CUBIC) for axis in range(x.shape[1])]
        by_place = x.new_tensor(CUBIC[1:] * np.array([[1], [2], [3]]) / self.spacing)
        for axis, size in enumerate(self.shape):
            knots = first[:, axis, None] + torch.arange(4, device=x.device)
            index = (index[:, :, None] * size + knots[:, None]).flatten(1)

        def product(*parts: Tensor) -> Tensor:
            return parts[0] if len(parts) == 1 else (parts[0][:, :, None] * parts[1][:, None]).flatten(1)

        slopes = [product(*values[:axis], powers[:, axis, :3] @ by_place, *values[axis + 1:])
                  for axis in range(x.shape[1])]
        return Place(index, product(*values), slopes)

    def look_up(self, index: Int[Tensor, "rows knots"], weights: Float[Tensor, "rows knots"]
                ) -> tuple[Float[Tensor, "rows functions"], Callable[[Tensor], Tensor]]:
        """The tabulated functions; and what turns the derivative by them into that by the weights."""
        order = index[:, 0].argsort()  # neighbours in the table one after another: twice as fast
        inverse = order.argsort()
        with torch.enable_grad():
            sorted_weights = weights.index_select(0, order).detach().requires_grad_()
            found = nn.functional.embedding_bag(index.index_select(0, order), self.table, mode="sum",
                                                per_sample_weights=sorted_weights)

        def back(grad: Tensor) -> Tensor:
            by = torch.autograd.grad(found, sorted_weights, grad.index_select(0, order))[0]
            return by.index_select(0, inverse)

        return found.detach().index_select(0, inverse), back


def _coefficients(values: np.ndarray) -> np.ndarray:
    # of the B-splines that take these values on the lattice (first axis), level at the ends
    bands = np.tile([[1 / 6], [4 / 6], [1 / 6]], len(values))
    bands[1, [0, -1]] = 5 / 6
    return solve_banded((1, 1), bands, values.reshape(len(values), -1)).reshape(values.shape)


def check_tabulates(model: Ponita, longest: float | None, spacing: float, tolerance: float) -> float:
    """The largest distance of a table for ``model``; a ValueError if it can have none."""
    if not isinstance(model, Ponita):
        raise ValueError(f"tables are for a Ponita network, but it is a {type(model).__name__}. Use the field itself.")
    c = model.config
    if (c.conv, c.conditioning, c.attention, c.band_limit) != ("separable", False, False, None) or c.space == "edges":
        raise ValueError("tables are for separable convolutions on the bundle or on positions, without conditioning, "
                         f"attention or band limit, but the network has conv {c.conv!r}, space {c.space!r}, "
                         f"conditioning {c.conditioning}, attention {c.attention}, band_limit {c.band_limit}. Use the "
                         "network itself.")
    if (c.scalars_out, c.vectors_in, c.vectors_out) != (1, 0, 0) or c.level != "graph":
        raise ValueError("tables are for networks of one energy for each graph, but this one has "
                         f"{c.scalars_out} scalars and {c.vectors_out} vectors out for each {c.level}.")
    for name, m in model.named_modules():
        by_hand = name.split(".")[-1] in ("kernel", "linear_1", "linear_2") or name.startswith("readouts.")
        if by_hand and not is_plain(m):
            raise ValueError(f"tables are for a network's own maps, but {name} is a {type(m).__name__} or has hooks. "
                             "Merge adapters into the weights first, or use the network itself.")
    longest = c.radius if longest is None else longest
    for name, value in dict(longest=longest, spacing=spacing, tolerance=tolerance).items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise ValueError(f"{name} must be a positive, finite number, but is {value!r}."
                             + (" Give the largest distance that will occur." if name == "longest" else ""))
    return float(longest)


def fiber_kernels(model: Ponita) -> Float[Tensor, "layers N N channels"] | None:
    """The kernels of the fiber steps on the network's grid, with its weights; None on positions."""
    if model.fiber_basis is None:
        return None
    with torch.no_grad():
        phi = model.fiber_basis(orientation_invariants(model.ori[:, None], model.ori[None, :]))
        return torch.stack([b.conv.fiber.kernel(phi) * model.ori_weights[:, None] for b in model.blocks])
