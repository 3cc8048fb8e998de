"""The same products and sums in blocks that stay in cache, without keeping messages; exact up to rounding.

Everything here can be differentiated any number of times. On a GPU there is one block.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

ROWS: int = 2048  # of a block: a core's product of [2048, 256] x [256, 128] runs at full speed, of 50,000 rows at half
SLICED: int = 8192  # numbers in a slice, from which on an edge of all graphs at once is quicker than gathering


def in_blocks(function: Callable[[Tensor], Tensor], x: Float[Tensor, "*rows a"], recompute: bool = False
              ) -> Float[Tensor, "*rows b"]:
    """function(x) for a function that acts row by row.

    Args:
        recompute: keep nothing of what lies between, make it again in the backward pass.
    """
    rows = x.flatten(0, -2) if x.dim() > 1 else x[None]
    if not recompute and (x.is_cuda or len(rows) <= ROWS):
        return function(x)
    done = [checkpoint(function, part, use_reentrant=False, preserve_rng_state=False) if recompute else function(part)
            for part in _Split.apply(rows, max(1, len(rows) if x.is_cuda else ROWS))]
    return _Cat.apply(*done).reshape(*x.shape[:-1], -1)


class _Split(Function):
    # torch's own split and cat fill a whole array with zeros for each part when they are differentiated twice
    @staticmethod
    def forward(ctx, x, rows):
        return x.split(rows)

    @staticmethod
    def backward(ctx, *grads):
        return _Cat.apply(*grads), None


class _Cat(Function):
    @staticmethod
    def forward(ctx, *parts):
        ctx.rows = len(parts[0])  # the last part may have fewer
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad):
        return _Split.apply(grad, max(1, ctx.rows))


class Ways(NamedTuple):
    """Who gives to whom along each edge, in one way or in two (there and back), the second at turned orientations."""

    into: Int[Tensor, "ways edges"]
    out: Int[Tensor, "ways edges"]
    turn: Int[Tensor, " N"] | None  # its own inverse: -o for each o
    step: int  # nodes of each graph if every graph of the batch repeats the edges of the first one, else 0
    first: int  # edges of the first graph

    def reversed(self) -> "Ways":
        return self._replace(into=self.out, out=self.into)


def ways(into: Int[Tensor, "ways edges"], out: Int[Tensor, "ways edges"], h: Float[Tensor, "points *N channels"],
         turn: Int[Tensor, " N"] | None = None, graphs: int = 1) -> Ways:
    """The ways for ``h``; slices are for a batch of several ``graphs`` with equal edges, and enough numbers in each."""
    first = into.shape[1] // graphs
    if 1 < graphs and first * graphs == into.shape[1] > 0 and not h.is_cuda and graphs * h[0].numel() >= SLICED:
        both = torch.stack((into, out)).unflatten(-1, (graphs, first))
        steps = both[:, :, 1:] - both[:, :, :-1]
        step = int(steps[0, 0, 0, 0])
        if step > 0 and bool((steps == step).all()):
            return Ways(into, out, turn, step, first)
    return Ways(into, out, turn, 0, first)


def edge_sum(kernel: Float[Tensor, "edges *N channels"], h: Float[Tensor, "points *N channels"], along: Ways
             ) -> Float[Tensor, "points *N channels"]:
    """y[j] = sum over ways w and edges e with out[w, e] = j of kernel[e] h[into[w, e]]; no message is kept.

    One kernel may serve an edge in several ways. With a turn T the second way gives kernel[e, o] h[into, T o] to
    y[out, T o]. The derivative by the kernel is the product of what the edge joins, and that product's derivative is
    such a sum again. Where the graphs of a batch have equal edges, all that are first (second, ...) in their graph are
    taken at once, from slices; else in blocks, by gathering.
    """
    return _EdgeSum.apply(kernel, h, along)


class _EdgeSum(Function):
    @staticmethod
    def forward(ctx, kernel, h, along):
        ctx.save_for_backward(kernel, h)
        ctx.along = along
        sides, y = _sides(h, along.turn), [torch.zeros_like(h) for _ in range(1 if along.turn is None else 2)]
        for at, part in _at(kernel, along):
            for w, (i, o) in enumerate(at):
                source, total = sides[min(w, len(y) - 1)], y[min(w, len(y) - 1)]
                if along.step:
                    total[o].addcmul_(source[i], kernel[part])
                else:
                    total.index_add_(0, o, source.index_select(0, i).mul_(kernel[part]))
        return y[0] if along.turn is None else y[0].add_(y[1].index_select(1, along.turn))

    @staticmethod
    def backward(ctx, grad):
        (kernel, h), along = ctx.saved_tensors, ctx.along
        by_kernel, by_h = ctx.needs_input_grad[:2]
        return (_EdgeProduct.apply(h, grad, along) if by_kernel else None,
                _EdgeSum.apply(kernel, grad, along.reversed()) if by_h else None, None)


class _EdgeProduct(Function):
    # d[e] = sum over ways w of h[into[w, e]] g[out[w, e]]
    @staticmethod
    def forward(ctx, h, g, along):
        ctx.save_for_backward(h, g)
        ctx.along = along
        product = h.new_empty(along.into.shape[1], *h.shape[1:])
        h_sides, g_sides = _sides(h, along.turn), _sides(g, along.turn)
        for at, part in _at(product, along):
            for w, (i, o) in enumerate(at):
                a, b = h_sides[min(w, len(h_sides) - 1)], g_sides[min(w, len(h_sides) - 1)]
                a, b = (a[i], b[o]) if along.step else (a.index_select(0, i), b.index_select(0, o))
                if w == 0:
                    torch.mul(a, b, out=product[part])
                else:
                    product[part].addcmul_(a, b)
        return product

    @staticmethod
    def backward(ctx, grad):
        (h, g), along = ctx.saved_tensors, ctx.along
        by_h, by_g = ctx.needs_input_grad[:2]
        return (_EdgeSum.apply(grad, g, along.reversed()) if by_h else None,
                _EdgeSum.apply(grad, h, along) if by_g else None, None)


def _sides(h: Tensor, turn: Tensor | None) -> tuple[Tensor, ...]:
    return (h,) if turn is None else (h, h.index_select(1, turn))


def _at(x: Tensor, along: Ways) -> Iterator[tuple[list, slice]]:
    # per part of the edges: where each way takes from and gives to, and which edges they are
    if along.step:
        last = along.into.shape[1] // along.first * along.step
        pairs = torch.stack((along.into[:, :along.first], along.out[:, :along.first]), -1).transpose(0, 1).tolist()
        for edge, at in enumerate(pairs):
            yield [tuple(slice(k, k + last, along.step) for k in pair) for pair in at], slice(edge, None, along.first)
    else:
        step = len(x) if x.is_cuda else max(1, ROWS // max(1, x[:1].numel() // x.shape[-1]))
        for part in (slice(k, k + step) for k in range(0, len(x), max(step, 1))):
            yield list(zip(along.into[:, part], along.out[:, part], strict=True)), part


def fiber_sum(kernel: Float[Tensor, "N M channels"], y: Float[Tensor, "points M channels"]
              ) -> Float[Tensor, "points N channels"]:
    """z[i, p, c] = sum_o kernel[p, o, c] y[i, o, c], without turning the arrays about for a matrix product."""
    return torch.einsum("poc,noc->npc", kernel, y) if y.is_cuda else _FiberSum.apply(kernel, y)


class _FiberSum(Function):
    @staticmethod
    def forward(ctx, kernel, y):
        ctx.save_for_backward(kernel, y)
        z = y[:, 0, None] * kernel[:, 0]
        for o in range(1, kernel.shape[1]):
            z.addcmul_(y[:, o, None], kernel[:, o])
        return z

    @staticmethod
    def backward(ctx, grad):
        kernel, y = ctx.saved_tensors
        by_kernel, by_y = ctx.needs_input_grad
        return (_FiberProduct.apply(grad, y) if by_kernel else None,
                _FiberSum.apply(kernel.transpose(0, 1), grad) if by_y else None)


class _FiberProduct(Function):
    # d[p, o, c] = sum_i g[i, p, c] y[i, o, c]
    @staticmethod
    def forward(ctx, g, y):
        ctx.save_for_backward(g, y)
        g, y = (a.flatten(1).t().contiguous().unflatten(0, a.shape[1:]) for a in (g, y))  # [N, channels, points]
        return torch.bmm(g.transpose(0, 1), y.permute(1, 2, 0)).permute(1, 2, 0).contiguous()

    @staticmethod
    def backward(ctx, grad):
        g, y = ctx.saved_tensors
        by_g, by_y = ctx.needs_input_grad
        return (_FiberSum.apply(grad, y) if by_g else None,
                _FiberSum.apply(grad.transpose(0, 1), g) if by_y else None)
