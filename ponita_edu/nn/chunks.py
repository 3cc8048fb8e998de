"""Sums over edges, a limited number of edges at a time: memory is that of the nodes, whatever the number of edges.

A kernel value per edge, orientation and channel is by far the largest array of a network on many points. Here a few
edges are taken, everything that belongs to them is made, added to the nodes and forgotten; the derivative makes it
again. It costs the kernel basis anew for every layer and in every pass.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd import Function

from ponita_edu.data.edges import MutualEdges
from ponita_edu.data.graphs import Graphs
from ponita_edu.nn.blocks import waited_for


class Chunk(NamedTuple):
    """Some edges of a batch, and the nodes that they touch."""

    nodes: Int[Tensor, " touched"]
    graphs: Graphs  # of these nodes and edges


class Chunks:
    """The edges of a batch in chunks, and how a convolution is summed over them.

    Args:
        graphs: the batch.
        size: edges at a time; a pair and its reverse that share a kernel count as one.
        share: whether pairs and reverses may share kernels.
        pairs: what a convolution needs to know of a small batch.
        basis: the module whose weights ``pairs`` uses.
    """

    def __init__(self, graphs: Graphs, size: int, share: bool, pairs: Callable[[Graphs], NamedTuple], basis: nn.Module):
        self._pairs, self._basis, self._graphs = pairs, basis, graphs
        mutual = graphs.mutual if share else None
        source, target, shift = ((graphs.source, graphs.target, graphs.shift) if mutual is None else
                                 (mutual.source, mutual.target, mutual.shift))
        if mutual is not None and shift is None:  # edges of few nodes together
            source, order = source.sort(stable=True)
            target = target[order]
        none = torch.empty(0, dtype=torch.long, device=source.device)
        self.rest = _joined(graphs, none, none, shift[:0] if shift is not None else None,
                            None if mutual is None else mutual.loops)
        self._list = []
        for k in range(0, len(source), size):
            part = slice(k, k + size)
            nodes, place = torch.unique(torch.stack((source[part], target[part])), return_inverse=True)
            small = graphs._replace(pos=graphs.pos[nodes].detach(), x=graphs.x[nodes, :0], batch=graphs.batch[nodes],
                                    vec=None, cond=None, y={}, y_vec={})
            self._list.append(Chunk(nodes, _joined(small, *place, None if shift is None else shift[part],
                                                   None if mutual is None else none)))

    def sum(self, conv: nn.Module, h: Float[Tensor, "nodes *N channels"]) -> Float[Tensor, "nodes *N channels"]:
        """What ``conv`` gives for all edges in the chunks; ``rest``, the batch without them, is left to the caller."""
        kind = h.device.type
        asked = dict(dtype=torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))  # by the caller
        graphs, weights = self._graphs, [*conv.parameters(), *self._basis.parameters()]
        per_node = [h, graphs.pos] + ([] if graphs.cond is None else [graphs.cond])
        cell = [] if graphs.cell is None else [graphs.cell]

        def one(chunk: Chunk, *tensors: Tensor) -> tuple[Tensor]:
            h, pos, *more = tensors
            cond = None if graphs.cond is None else more.pop(0)
            small = chunk.graphs._replace(pos=pos, cond=cond, cell=more[0] if cell else None)
            with torch.autocast(kind, cache_enabled=False, **asked):  # derivatives are made when that is over
                return (conv.forward(h, self._pairs(small)),)

        tensors = (*per_node, *cell, *weights)
        piece = _Piece(one, (True,) * len(per_node) + (False,) * (len(cell) + len(weights)), (0,))
        return _Sum.apply(piece, self._list, *tensors)[0]


def _joined(graphs: Graphs, source: Tensor, target: Tensor, shift: Tensor | None, loops: Tensor | None) -> Graphs:
    # by edges as they are, or, with loops, by pairs that stand for both directions
    if loops is not None:
        return graphs.joined_by(MutualEdges(source, target, loops, shift))
    graphs = graphs._replace(edge_index=torch.stack((source, target)), shift=shift)
    object.__setattr__(graphs, "_mutual", None)
    return graphs


class _Piece(NamedTuple):
    function: Callable[..., tuple[Tensor, ...]]  # of a chunk and tensors, those per node cut down to its nodes
    per_node: tuple[bool, ...]  # for each tensor
    like: Sequence[int]  # the tensor that each output has the shape of

    def derivative(self, wanted: list[int]) -> "_Piece":
        """The same for the product of output gradients and derivatives by the ``wanted`` tensors."""
        count = len(self.per_node)

        def function(chunk: Chunk, *tensors: Tensor) -> tuple[Tensor, ...]:
            again = torch.is_grad_enabled()  # only inside of a further derivative
            with torch.enable_grad():
                inputs = [a if i not in wanted or a.requires_grad else a.detach().requires_grad_()
                          for i, a in enumerate(tensors[:count])]
                found = torch.autograd.grad(self.function(chunk, *inputs), [inputs[i] for i in wanted],
                                            tensors[count:], create_graph=again, allow_unused=True)
            return tuple(torch.zeros_like(inputs[i]) if a is None else a for i, a in zip(wanted, found, strict=True))

        return _Piece(function, self.per_node + tuple(self.per_node[i] for i in self.like), wanted)


class _Sum(Function):
    # sum of a piece over chunks; its derivative is a sum of the piece's derivative, so there is one of any order
    @staticmethod
    def forward(ctx, piece, chunks, *tensors):
        ctx.save_for_backward(*tensors)
        ctx.piece, ctx.chunks = piece, chunks
        totals = [torch.zeros_like(tensors[i]) for i in piece.like]
        for chunk in chunks:
            parts = piece.function(chunk, *(a.index_select(0, chunk.nodes) if node else a
                                            for a, node in zip(tensors, piece.per_node, strict=True)))
            for total, part, i in zip(totals, parts, piece.like, strict=True):
                if piece.per_node[i]:
                    total.index_add_(0, chunk.nodes, part.detach())
                else:
                    total.add_(part.detach())
        return tuple(totals)

    @staticmethod
    def backward(ctx, *grads):
        wanted = [i for i, waits in enumerate(waited_for(ctx, others=2)) if waits]
        found = iter(_Sum.apply(ctx.piece.derivative(wanted), ctx.chunks, *ctx.saved_tensors, *grads))
        return None, None, *(next(found) if i in wanted else None for i in range(len(ctx.saved_tensors)))
