"""The same products and sums in blocks that stay in cache, without keeping messages; exact up to rounding.

Everything here can be differentiated any number of times. On a GPU there is one block.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

ROWS: int = 2048  # of a block: a core's product of [2048, 256] x [256, 128] runs at full speed, of 50,000 rows at half


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


def edge_sum(kernel: Float[Tensor, "edges *N channels"], h: Float[Tensor, "points *N channels"],
             into: Int[Tensor, "ways edges"], out: Int[Tensor, "ways edges"]) -> Float[Tensor, "points *N channels"]:
    """y[j] = sum over ways w and edges e with out[w, e] = j of kernel[e] h[into[w, e]]; no message is kept.

    One kernel may serve an edge in several ways (there and back). The derivative by the kernel is the product of what
    the edge joins, and that product's derivative is such a sum again.
    """
    return _EdgeSum.apply(kernel, h, into, out)


class _EdgeSum(Function):
    @staticmethod
    def forward(ctx, kernel, h, into, out):
        ctx.save_for_backward(kernel, h, into, out)
        y = torch.zeros_like(h)
        for part in _parts(kernel):
            for i, o in zip(into, out, strict=True):
                y.index_add_(0, o[part], h.index_select(0, i[part]).mul_(kernel[part]))
        return y

    @staticmethod
    def backward(ctx, grad):
        kernel, h, into, out = ctx.saved_tensors
        by_kernel, by_h = ctx.needs_input_grad[:2]
        return (_EdgeProduct.apply(h, grad, into, out) if by_kernel else None,
                _EdgeSum.apply(kernel, grad, out, into) if by_h else None, None, None)


class _EdgeProduct(Function):
    # d[e] = sum over ways w of h[into[w, e]] g[out[w, e]]
    @staticmethod
    def forward(ctx, h, g, into, out):
        ctx.save_for_backward(h, g, into, out)
        product = h.new_empty(into.shape[1], *h.shape[1:])
        for part in _parts(product):
            torch.mul(h.index_select(0, into[0, part]), g.index_select(0, out[0, part]), out=product[part])
            for i, o in zip(into[1:], out[1:], strict=True):
                product[part].addcmul_(h.index_select(0, i[part]), g.index_select(0, o[part]))
        return product

    @staticmethod
    def backward(ctx, grad):
        h, g, into, out = ctx.saved_tensors
        by_h, by_g = ctx.needs_input_grad[:2]
        return (_EdgeSum.apply(grad, g, out, into) if by_h else None,
                _EdgeSum.apply(grad, h, into, out) if by_g else None, None, None)


def _parts(x: Tensor) -> list[slice]:
    # of the first axis, so that a part has at most ROWS rows of channels
    step = len(x) if x.is_cuda else max(1, ROWS // max(1, x[:1].numel() // x.shape[-1]))
    return [slice(k, k + step) for k in range(0, len(x), max(step, 1))]
