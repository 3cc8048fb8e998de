"""The same products and sums in blocks that stay in cache, without keeping messages; exact up to rounding.

Everything here can be differentiated any number of times, by torch.autograd and one vector at a time. On a GPU there
is one block.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

ROWS: int = 2048  # of a block: a core's product of [2048, 256] x [256, 128] runs at full speed, of 50,000 rows at half
FEW: int = 600_000  # numbers in a layer's kernels, up to which torch's own operations are quicker than ours below
SLICED: int = 16384  # numbers in a run of edges, on average, from which on slices are quicker than gathering


def in_blocks(function: Callable[[Tensor], Tensor], x: Float[Tensor, "*rows a"], recompute: bool = False
              ) -> Float[Tensor, "*rows b"]:
    """function(x) for a function that acts row by row.

    Args:
        recompute: keep nothing of what lies between, make it again in the backward pass.
    """
    rows = x.flatten(0, -2) if x.dim() > 1 else x[None]
    count = 1 if x.is_cuda else max(1, round(len(rows) / ROWS))
    if not recompute and count == 1:
        return function(x)
    done = [checkpoint(function, part, use_reentrant=False, preserve_rng_state=False) if recompute else function(part)
            for part in _Split.apply(rows, max(1, -(-len(rows) // count)))]
    whole = _Cat.apply(*done)
    return whole.reshape(*x.shape[:-1], whole.shape[-1])  # -1 would be ambiguous without rows


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


def waited_for(ctx, others: int = 0) -> list[bool]:
    """Which tensors of a function somebody waits for the derivatives by; ``others`` arguments came before them.

    Forces are derivatives by positions and need none by the weights, which ``ctx.needs_input_grad`` would have:
    torch's own operations leave them out, and so do those that ask here.
    """
    def waits(node) -> bool:
        try:
            return torch._C._will_engine_execute_node(node)
        except RuntimeError:  # does not say it of a leaf that is asked for by name
            return True

    return [need and waits(node)
            for need, (node, _) in zip(ctx.needs_input_grad[others:], ctx.next_functions, strict=False)]


def products(x: Float[Tensor, "*rows a"], weights: Sequence[Float[Tensor, "_ a"]]) -> tuple[Tensor, ...]:
    """(x W_1^T, x W_2^T, ...): a block of rows is read once for all of them, in the derivative too."""
    return _Products.apply(x, *(w.to(x.dtype) for w in weights))  # autocast leaves products into given arrays alone


def worth_blocks(x: Float[Tensor, "*rows a"]) -> bool:
    """Whether blocks of rows pay: on a CPU, from two of them on."""
    return not x.is_cuda and x.numel() > ROWS * x.shape[-1]


class _Products(Function):
    @staticmethod
    def forward(ctx, x, *weights):
        ctx.save_for_backward(x, *weights)
        done = [x.new_empty(*x.shape[:-1], len(w)) for w in weights]
        for rows, *parts in zip(*(a.flatten(0, -2).split(ROWS) for a in (x, *done)), strict=True):
            for part, w in zip(parts, weights, strict=True):
                torch.mm(rows, w.t(), out=part)
        return tuple(done)

    @staticmethod
    def backward(ctx, *grads):
        x, *weights = ctx.saved_tensors
        by_x, *by_weights = waited_for(ctx)
        return (_SumOfProducts.apply(*grads, *weights) if by_x else None,
                *(g.flatten(0, -2).t() @ x.flatten(0, -2) if by_w else None
                  for g, by_w in zip(grads, by_weights, strict=True)))


class _SumOfProducts(Function):
    # g_1 W_1 + g_2 W_2 + ...
    @staticmethod
    def forward(ctx, *both):
        ctx.save_for_backward(*both)
        grads, weights = both[: len(both) // 2], both[len(both) // 2:]
        total = grads[0].new_empty(*grads[0].shape[:-1], weights[0].shape[1])
        for rows, *parts in zip(*(a.flatten(0, -2).split(ROWS) for a in (total, *grads)), strict=True):
            torch.mm(parts[0], weights[0], out=rows)
            for part, w in zip(parts[1:], weights[1:], strict=True):
                rows.addmm_(part, w)
        return total

    @staticmethod
    def backward(ctx, d):
        both = ctx.saved_tensors
        grads, weights = both[: len(both) // 2], both[len(both) // 2:]
        return *_Products.apply(d, *weights), *(g.flatten(0, -2).t() @ d.flatten(0, -2) for g in grads)


class Ways(NamedTuple):
    """Who gives to whom along each edge, in one way or in two (there and back), the second at turned orientations."""

    into: Int[Tensor, "ways edges"]
    out: Int[Tensor, "ways edges"]
    turn: Int[Tensor, " N"] | None  # its own inverse: -o for each o
    graphs: int  # of a batch in which each repeats the edges of the first; 1: one run of edges for all
    runs: list[tuple[slice, list[tuple[slice, slice]]]] | None  # edges, and what each way joins; None: do not use that

    def reversed(self) -> "Ways":
        runs = self.runs and [(edges, [(o, i) for i, o in joined]) for edges, joined in self.runs]
        return self._replace(into=self.out, out=self.into, runs=runs)


def ways(source: Int[Tensor, " edges"], target: Int[Tensor, " edges"], h: Float[Tensor, "points *N channels"],
         back: bool = False, turn: Int[Tensor, " N"] | None = None, graphs: int = 1) -> Ways:
    """From source to target, and ``back`` if edges stand for both, for ``h``, points of ``graphs`` graphs.

    With runs of edges if it pays to use them. A run are edges along which both ends climb node by node, so that all
    three, kernels and both ends, are slices. If all graphs of a batch have the same edges, a run goes through all of
    them. A complete graph of n nodes has n - 1 runs of pairs when they are listed by the difference of their nodes, as
    ``Graphs.mutual`` does.
    """
    into, out = torch.stack((source, target)), torch.stack((target, source))
    into, out = (into, out) if back else (into[:1], out[:1])
    edges = into.shape[1]
    if h.is_cuda or _few(edges, h):
        return Ways(into, out, turn, 1, None)
    both = first = torch.stack((into, out))
    equal = False
    if edges % graphs == len(h) % graphs == 0:
        each = both.unflatten(-1, (graphs, -1))
        first, nodes = each[:, :, 0], len(h) // graphs
        equal = torch.equal(each, each[:, :, :1] + nodes * torch.arange(graphs)[:, None])
    graphs, both = (graphs, first) if equal else (1, both)
    ends = 1 + (both.diff(dim=-1) != 1).flatten(0, 1).any(0).nonzero()[:, 0]
    if edges * h[0].numel() < SLICED * (1 + len(ends)):
        return Ways(into, out, turn, 1, None)
    cuts = [0, *ends.tolist(), both.shape[-1]]
    starts = both[:, :, cuts[:-1]].permute(2, 1, 0).tolist()  # of each run and way, where it comes from and goes to
    runs = [(slice(k, end), [(slice(i, i + end - k), slice(o, o + end - k)) for i, o in joined])
            for k, end, joined in zip(cuts[:-1], cuts[1:], starts, strict=True)]
    return Ways(into, out, turn, graphs, runs)


def edge_sum(kernel: Float[Tensor, "edges *N channels"], h: Float[Tensor, "points *N channels"], along: Ways
             ) -> Float[Tensor, "points *N channels"]:
    """y[j] = sum over ways w and edges e with out[w, e] = j of kernel[e] h[into[w, e]]; messages are not kept if many.

    One kernel may serve an edge in several ways. With a turn T the second way gives kernel[e, o] h[into, T o] to
    y[out, T o]. The derivative by the kernel is the product of what the edge joins, and that product's derivative is
    such a sum again. Runs of edges are slices; else edges are gathered in blocks, or all at once where they are few.
    """
    if h.is_cuda or not _few(len(kernel), h):
        return _EdgeSum.apply(kernel, h, along)
    if along.turn is None:  # all ways at once
        message = kernel * h.index_select(0, along.into.flatten()).unflatten(0, along.into.shape)
        return torch.zeros_like(h).index_add(0, along.out.flatten(), message.flatten(0, 1).to(h.dtype))
    there, back = (torch.zeros_like(h).index_add(0, o, (kernel * a.index_select(0, i)).to(h.dtype))
                   for a, i, o in zip(_sides(h, along), along.into, along.out, strict=True))
    return there + back.index_select(1, along.turn)


def edge_product(h: Float[Tensor, "points *N channels"], g: Float[Tensor, "points *N channels"], along: Ways
                 ) -> Float[Tensor, "edges *N channels"]:
    """The derivative of the sum of g y by the kernel, y as in ``edge_sum``."""
    if h.is_cuda or not _few(along.into.shape[1], h):
        return _EdgeProduct.apply(h, g, along)
    return sum(a.index_select(0, i) * b.index_select(0, o) for a, b, i, o in zip(
        _sides(h, along), _sides(g, along), along.into, along.out, strict=True))


class _EdgeSum(Function):
    @staticmethod
    def forward(ctx, kernel, h, along):
        ctx.save_for_backward(kernel, h)
        ctx.along = along
        given, total = _sides(h, along), torch.zeros_like(h)
        taken = [total] + [total if along.turn is None else torch.zeros_like(h) for _ in given[1:]]
        for edges, joined in _parts(kernel, along, given, taken):
            for a, b, i, o in joined:
                if along.runs:
                    b[:, o].addcmul_(a[:, i], edges)
                else:
                    b.index_add_(0, o, a.index_select(0, i).mul_(edges))
        return total if along.turn is None else total.add_(taken[1].index_select(1, along.turn))

    @staticmethod
    def backward(ctx, grad):
        (kernel, h), along = ctx.saved_tensors, ctx.along
        by_kernel, by_h = waited_for(ctx)
        return (_EdgeProduct.apply(h, grad, along) if by_kernel else None,
                _EdgeSum.apply(kernel, grad, along.reversed()) if by_h else None, None)


class _EdgeProduct(Function):
    # d[e] = sum over ways w of h[into[w, e]] g[out[w, e]]
    @staticmethod
    def forward(ctx, h, g, along):
        ctx.save_for_backward(h, g)
        ctx.along = along
        product = h.new_empty(along.into.shape[1], *h.shape[1:])
        for edges, joined in _parts(product, along, _sides(h, along), _sides(g, along)):
            for k, (a, b, i, o) in enumerate(joined):
                a, b = (a[:, i], b[:, o]) if along.runs else (a.index_select(0, i), b.index_select(0, o))
                if k == 0:
                    torch.mul(a, b, out=edges)
                else:
                    edges.addcmul_(a, b)
        return product

    @staticmethod
    def backward(ctx, grad):
        (h, g), along = ctx.saved_tensors, ctx.along
        by_h, by_g = waited_for(ctx)
        return (_EdgeSum.apply(grad, g, along.reversed()) if by_h else None,
                _EdgeSum.apply(grad, h, along) if by_g else None, None)


def _few(edges: int, h: Tensor) -> bool:
    return edges * h[:1].numel() <= FEW  # there may be no point at all


def _sides(h: Tensor, along: Ways) -> list[Tensor]:
    # what each way finds at the points
    return [h] * len(along.into) if along.turn is None else [h, h.index_select(1, along.turn)]


def _parts(x: Tensor, along: Ways, given: list[Tensor], taken: list[Tensor]) -> Iterator[tuple[Tensor, list[tuple]]]:
    # parts of x, and for each way the points on either side with where to look: slices for each run, else indices
    if along.runs:
        x, *sides = (a.unflatten(0, (along.graphs, -1)) for a in (x, *given, *taken))
        given, taken = sides[: len(given)], sides[len(given):]
        parts = ((x[:, edges], joined) for edges, joined in along.runs)
    else:  # so that a part has at most ROWS rows of channels
        step = len(x) if x.is_cuda else max(1, ROWS // max(1, x[:1].numel() // x.shape[-1]))
        parts = ((x[k : k + step], list(zip(along.into[:, k : k + step], along.out[:, k : k + step], strict=True)))
                 for k in range(0, len(x), max(step, 1)))
    for part, joined in parts:
        yield part, [(a, b, *ends) for a, b, ends in zip(given, taken, joined, strict=True)]


def fiber_sum(kernel: Float[Tensor, "N M channels"], y: Float[Tensor, "points M channels"]
              ) -> Float[Tensor, "points N channels"]:
    """z[i, p, c] = sum_o kernel[p, o, c] y[i, o, c], without turning the arrays about for a matrix product."""
    if y.is_cuda:
        return torch.einsum("poc,noc->npc", kernel, y)
    dtype = torch.promote_types(kernel.dtype, y.dtype)  # autocast may give either in bfloat16
    return _FiberSum.apply(kernel.to(dtype), y.to(dtype))


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
        by_kernel, by_y = waited_for(ctx)
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
        by_g, by_y = waited_for(ctx)
        return (_FiberSum.apply(grad, y) if by_g else None,
                _FiberSum.apply(grad.transpose(0, 1), g) if by_y else None)
