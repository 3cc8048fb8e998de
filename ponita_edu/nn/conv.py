"""Convolutions whose weights are shared over equivalence classes of point pairs (notebook 05)."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ponita_edu.nn.blocks import Ways, edge_sum, fiber_sum, in_blocks, ways
from ponita_edu.nn.chunks import Chunks


class Pairs(NamedTuple):
    """What the convolutions of a network share: who sends to whom, and the kernel basis of each pair.

    Features h are [points, channels] for point clouds and [points, N, channels] on the bundle, N orientations each.

    With ``loops`` given, every listed edge stands for itself and its reverse, which is the same class of pairs and so
    has the same kernel: attributes of (s -> t, o) equal those of (t -> s, -o). ``loops`` are the nodes with a self
    loop, all of one class, whose basis is ``loop_basis``, or of one class for each value of the condition, with a row
    of ``loop_basis`` for each node; ``antipodes`` gives -o for each o of the grid.
    """

    source: Int[Tensor, " edges"]
    target: Int[Tensor, " edges"]
    basis: Float[Tensor, "edges *N basis"]  # phi of the attributes; for a full convolution [edges, N, N, basis]
    fiber_basis: Float[Tensor, "N N basis"] | None = None
    weights: Float[Tensor, " N"] | None = None
    loops: Int[Tensor, " loops"] | None = None
    loop_basis: Float[Tensor, "*loops basis"] | None = None
    antipodes: Int[Tensor, " N"] | None = None
    graphs: int = 1  # of the batch
    along: Ways | None = None  # how edges join points, where it is known already
    chunks: Chunks | None = None  # if given, these edges too, and only the loops are listed here
    kernel: Float[Tensor, "edges *N channels"] | None = None  # of the layer that works, where it is known already


def along(pairs: Pairs, h: Float[Tensor, "points *N channels"]) -> Ways:
    """How a spatial convolution of h goes along the edges; the same for all layers."""
    if pairs.along is not None:
        return pairs.along
    shared = pairs.loops is not None  # a listed edge and its reverse are one class
    return ways(pairs.source, pairs.target, h, shared, pairs.antipodes if shared else None, pairs.graphs)


class SpatialConv(nn.Module):
    """Sum over neighbours, channel by channel, each orientation for itself.

        y[i, o, c] = sum over edges (s -> i) of k_c(a_{s i o}) h[s, o, c],   k = W phi

    Args:
        channels: channels of h.
        basis: number of basis functions phi.
        attention: weigh each message by softmax of l = key(h_s) . query(h_t) / sqrt(128) over the edges into a
            receiver, as public code has it: exp(l - m) / (1e-6 + sum of exp(l - m)), m the largest l of the whole
            batch. A receiver whose largest l lies far below m (14 and more) thus gets weights of a sum below 1, and a
            prediction depends on what else is in the batch.
    """

    def __init__(self, channels: int, basis: int, attention: bool = False):
        super().__init__()
        self.kernel = nn.Linear(basis, channels, bias=False)
        self.key_transform = nn.Linear(channels, 128) if attention else None
        self.query_transform = nn.Linear(channels, 128) if attention else None

    def forward(self, h: Float[Tensor, "points *N channels"], pairs: Pairs) -> Float[Tensor, "points *N channels"]:
        if pairs.chunks is not None:
            return self.forward(h, pairs._replace(chunks=None)) + pairs.chunks.sum(self, h)
        if pairs.loops is not None:
            return self._shared(h, pairs)
        kernel = self._kernel(pairs)
        if self.key_transform is not None:
            kernel = kernel * self._attention(h, pairs)
        return edge_sum(kernel, h, along(pairs, h))

    def _kernel(self, pairs: Pairs) -> Tensor:
        return in_blocks(self.kernel, pairs.basis) if pairs.kernel is None else pairs.kernel

    def _shared(self, h: Tensor, pairs: Pairs) -> Tensor:
        # One kernel for both directions of an edge, one for all self loops: the same sum with half the kernels.
        y = edge_sum(self._kernel(pairs), h, along(pairs, h))
        kernel = self.kernel(pairs.loop_basis)
        if kernel.dim() == 2 and h.dim() == 3:
            kernel = kernel[:, None]  # the same for all orientations
        if not h.is_cuda and torch.equal(pairs.loops, torch.arange(len(h))):
            return torch.addcmul(y, kernel, h)
        return y.index_add(0, pairs.loops, kernel * h.index_select(0, pairs.loops))

    def _attention(self, h: Tensor, pairs: Pairs) -> Float[Tensor, "edges *N 1"]:
        key, query = self.key_transform(h), self.query_transform(h)
        logits = (key[pairs.source] * query[pairs.target]).sum(-1, keepdim=True) / key.shape[-1] ** 0.5
        alpha = (logits - logits.detach().max()).exp() if logits.numel() else logits
        total = alpha.new_zeros(key[..., :1].shape).index_add(0, pairs.target, alpha)
        return alpha / (total[pairs.target] + 1e-6)


class FiberConv(nn.Module):
    """Sum over the orientations of each point, channel by channel.

        z[i, p, c] = sum_o w_o kappa_c(o_p . o_o) y[i, o, c],   w_o = 1/N on an equal-weight grid
    """

    def __init__(self, channels: int, basis: int):
        super().__init__()
        self.kernel = nn.Linear(basis, channels, bias=False)

    def forward(self, y: Float[Tensor, "points N channels"], pairs: Pairs) -> Float[Tensor, "points N channels"]:
        kernel = self.kernel(pairs.fiber_basis) * pairs.weights[:, None]
        return fiber_sum(kernel, y)


class PointConv(nn.Module):
    """Convolution on a point cloud (positions, or position-orientation points): a spatial step and a bias."""

    def __init__(self, channels: int, basis: int, attention: bool = False):
        super().__init__()
        self.spatial = SpatialConv(channels, basis, attention)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, h: Float[Tensor, "points channels"], pairs: Pairs) -> Float[Tensor, "points channels"]:
        return self.spatial(h, pairs) + self.bias


class SeparableConv(nn.Module):
    """Convolution on the bundle in two steps: over positions, then over orientations; and a bias.

    Both steps have attributes that name their classes completely: pairs with equal orientation, and pairs at the same
    position. Their composite is not every kernel on pairs of R^d x S^(d-1): see ``FullConv``.

    Source: arXiv 2310.02970, section 4.
    """

    def __init__(self, channels: int, basis: int, attention: bool = False, fiber_basis: int | None = None):
        super().__init__()
        self.spatial = SpatialConv(channels, basis, attention)
        self.fiber = FiberConv(channels, basis if fiber_basis is None else fiber_basis)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, h: Float[Tensor, "points N channels"], pairs: Pairs) -> Float[Tensor, "points N channels"]:
        return self.fiber(self.spatial(h, pairs), pairs) + self.bias


class FullConv(nn.Module):
    """Convolution on the bundle with one kernel of all attributes of a pair; N times the work of the separable one.

        z[i, p, c] = sum over edges (s -> i) of sum_o w_o k_c(a_{s o, i p}) h[s, o, c]
    """

    def __init__(self, channels: int, basis: int):
        super().__init__()
        self.kernel = nn.Linear(basis, channels, bias=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, h: Float[Tensor, "points N channels"], pairs: Pairs) -> Float[Tensor, "points N channels"]:
        kernel = self.kernel(pairs.basis) * pairs.weights[:, None]
        message = torch.einsum("epoc,eoc->epc", kernel, h.index_select(0, pairs.source))
        return torch.zeros_like(h).index_add(0, pairs.target, message.to(h.dtype)) + self.bias  # autocast: bfloat16
