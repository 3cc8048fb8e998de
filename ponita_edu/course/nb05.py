"""Checks of notebook 05: parts of the convolution, by formulas of their own, and mistakes that are easily made."""

from itertools import product
from math import comb

import torch
from torch import nn

from ponita_edu.course.fresh import normal
from ponita_edu.course.verdict import Verdict, judge
from ponita_edu.geometry import axis_angle, make_grid
from ponita_edu.nn.kernels import kernel_basis

__all__ = ["gather_messages", "kernel_rows", "kernel_weights", "mix_directions", "multiply_adds", "without_phi"]


# ---------------------------------------------------------------------------------------------------- multiply_adds
def _count_inputs(rng):
    nodes = int(torch.randint(3, 6, (1,), generator=rng))
    return nodes, 2 * nodes + 1, *torch.randint(3, 6, (2,), generator=rng).tolist()


def _count(nodes, edges, N, channels):
    # one loop for each sum of the formula, counted
    full = sum(1 for _ in product(range(edges), range(N), range(N), range(channels)))
    places = sum(1 for _ in product(range(edges), range(N), range(channels)))
    return full, places + sum(1 for _ in product(range(nodes), range(N), range(N), range(channels)))


_COUNT = (
    ("the second step is counted for every edge; it happens once for every node",
     lambda nodes, edges, N, C: (edges * N * N * C, edges * (N + N * N) * C)),
    ("the second step, over directions, is missing", lambda nodes, edges, N, C: (edges * N * N * C, edges * N * C)),
    ("the full convolution sums over pairs of directions: N² for each edge, not N",
     lambda nodes, edges, N, C: (edges * N * C, (edges * N + nodes * N * N) * C)),
    ("the two are exchanged", lambda *args: _count(*args)[::-1]),
    ("every pair of nodes is counted; only the edges have messages",
     lambda nodes, edges, N, C: (nodes**2 * N * N * C, (nodes**2 * N + nodes * N * N) * C)),
)


def multiply_adds(fn: object, seed: int | None = None) -> Verdict:
    """05.1: `fn(nodes, edges, N, channels)` counts those of a full and of a separable layer."""
    return judge(fn, inputs=_count_inputs, reference=_count, mistakes=_COUNT, seed=seed)


# --------------------------------------------------------------------------------------------------- kernel_weights
def _weights_inputs(rng):
    return *torch.randint(2, 5, (2,), generator=rng).tolist(), *torch.randint(3, 9, (3,), generator=rng).tolist()


def _weights(attributes, degree, hidden, basis, channels):
    # build it and count
    network = nn.Sequential(kernel_basis(attributes, hidden, basis, degree), nn.Linear(basis, channels, bias=False))
    return sum(p.numel() for p in network.parameters())


def _weights_of(columns, bias=1, last=0):
    return lambda a, g, H, K, C: (columns(a, g) + bias) * H + (H + bias) * K + (K + last) * C


def _ordered(a, g):
    return sum(a**k for k in range(1, g + 1))


_WEIGHTS = (
    ("each product is counted once; the basis keeps every ordered one, a1 a2 and a2 a1: for two attributes and degree "
     "3 these are 14 columns, not 9", _weights_of(lambda a, g: comb(a + g, g) - 1)),
    ("only products of exactly `degree` factors are counted; those of fewer are there too",
     _weights_of(lambda a, g: a**g)),
    ("the biases of the two layers are missing", _weights_of(_ordered, bias=0)),
    ("the last map, from the basis to the channels, has no bias", _weights_of(_ordered, last=1)),
    ("the last map, from the basis to the channels, is missing",
     lambda a, g, H, K, C: _weights_of(_ordered)(a, g, H, K, 0)),
    ("the constant 1 is counted as a column; products start at degree 1", _weights_of(lambda a, g: _ordered(a, g) + 1)),
)


def kernel_weights(fn: object, seed: int | None = None) -> Verdict:
    """05.2: `fn(attributes, degree, hidden, basis, channels)` counts a kernel's learnt weights."""
    return judge(fn, inputs=_weights_inputs, reference=_weights, mistakes=_WEIGHTS, seed=seed)


# ----------------------------------------------------------------------------------------------------------- gather
def _gather_inputs(rng):
    source = torch.tensor([0, 1, 2, 3, 0, 1, 4, 2])
    target = torch.tensor([1, 2, 0, 0, 0, 0, 3, 2])  # several edges end at node 0, none at 4
    return normal(rng, 5, 3, 2), normal(rng, 8, 3, 2), source, target


def _gather(h, kernel, source, target):
    hits = (target == torch.arange(len(h))[:, None]).to(h)  # [n, E]
    sends = (source[:, None] == torch.arange(len(h))).to(h)  # [E, n]
    return torch.einsum("je,eoc,es,soc->joc", hits, kernel, sends, h)


def _overwritten(h, kernel, source, target):
    y = torch.zeros_like(h)
    for e in range(len(source)):
        y[target[e]] = kernel[e] * h[source[e]]
    return y


def _mean_of(h, kernel, source, target):
    count = torch.bincount(target, minlength=len(h)).clamp(min=1)
    return _gather(h, kernel, source, target) / count[:, None, None]


_GATHER = (
    ("source and target are swapped: messages run from source to target",
     lambda h, k, source, target: _gather(h, k, target, source)),
    ("edges with the same target overwrite one another; use index_add, which adds up", _overwritten),
    ("it is a mean over the neighbours; the layer has their sum", _mean_of),
    ("the message takes the receiver's features; it carries the sender's",
     lambda h, k, source, target: _gather(h, k, target, target)),
    ("the kernel is missing: neighbours are only added up",
     lambda h, k, source, target: _gather(h, torch.ones_like(k), source, target)),
    ("the node's own features are added; that is the block's residual, not the convolution",
     lambda h, k, source, target: h + _gather(h, k, source, target)),
)


def gather_messages(fn: object, seed: int | None = None) -> Verdict:
    """05.3: `fn(h, kernel, source, target)` is the spatial step, [n, N, C]."""
    return judge(fn, inputs=_gather_inputs, reference=_gather, mistakes=_GATHER, seed=seed)


# -------------------------------------------------------------------------------------------------------------- mix
def _mix_inputs(rng):
    weights = 0.2 + torch.rand(6, generator=rng, dtype=torch.float64)
    return normal(rng, 4, 6, 3), normal(rng, 6, 6, 3), weights / weights.sum()


def _mix(y, kappa, weights):
    z = torch.zeros_like(y)
    for o, w in enumerate(weights):
        z = z + w * kappa[:, o] * y[:, o, None]  # [N, C] times [n, 1, C]
    return z


_MIX = (
    ("the weights are missing, and with them the 1/N of a mean", lambda y, k, w: _mix(y, k, torch.ones_like(w))),
    ("all directions count alike; use the grid's weights", lambda y, k, w: _mix(y, k, torch.full_like(w, 1 / len(w)))),
    ("the kernel is transposed: kappa[p, o] leads from o to p, and o is summed over",
     lambda y, k, w: _mix(y, k.transpose(0, 1), w)),
    ("the weight is that of p, where the result stands; the sum runs over o",
     lambda y, k, w: w[:, None] * _mix(y, k, torch.ones_like(w))),
    ("the kernel is taken at p = o only, so directions do not mix",
     lambda y, k, w: y * torch.einsum("ppc->pc", k) * w[:, None]),
)


def mix_directions(fn: object, seed: int | None = None) -> Verdict:
    """05.4: `fn(y, kappa, weights)` is the spherical step, [n, N, C]."""
    return judge(fn, inputs=_mix_inputs, reference=_mix, mistakes=_MIX, seed=seed)


# ------------------------------------------------------------------------------------------------------ kernel_rows
def _rows_inputs(rng):
    opposites = bool(torch.rand((), generator=rng) < 0.5)
    return int(torch.randint(3, 7, (), generator=rng)), 12 if opposites else 20, opposites


def _rows(nodes, N, opposites):
    # make a cloud and look how many rows differ
    ori = (make_grid("icosahedron") if opposites else make_grid("fibonacci", N)).points
    pos = torch.randn(nodes, 3, generator=torch.Generator().manual_seed(nodes), dtype=torch.float64)
    r = (pos[:, None] - pos).reshape(-1, 1, 3)
    along = (r * ori).sum(-1)
    across = (r - along[..., None] * ori).norm(dim=-1)
    return len(torch.unique(torch.stack((along, across), dim=-1).flatten(0, 1).round(decimals=8) + 0.0, dim=0))


_ROWS = (
    ("pairs and their reverses are not shared, nor are the loops", lambda n, N, opposites: n * n * N),
    ("all self loops are one class; here there is one for each node",
     lambda n, N, opposites: n * (n - 1) * N // (2 if opposites else 1) + n),
    ("a self loop has r = 0 in every direction: one row, not N",
     lambda n, N, opposites: n * (n - 1) * N // (2 if opposites else 1) + N),
    ("the self loops are missing: one more row", lambda n, N, opposites: n * (n - 1) * N // (2 if opposites else 1)),
    ("a pair and its reverse share a row only at opposite directions, and this grid has none",
     lambda n, N, opposites: n * (n - 1) * N // 2 + 1),
    ("a grid with opposites lets a pair and its reverse share", lambda n, N, opposites: n * (n - 1) * N + 1),
)


def kernel_rows(fn: object, seed: int | None = None) -> Verdict:
    """05.5: `fn(nodes, N, opposites)` counts the classes of a fully connected cloud with loops."""
    return judge(fn, inputs=_rows_inputs, reference=_rows, mistakes=_ROWS, seed=seed)


# ------------------------------------------------------------------------------------------------------ without_phi
def _phi_inputs(rng):
    c = normal(rng, 4)
    r, o, sender = normal(rng, 3, 3)

    def kernel(r, o, sender):
        a, b, cosine = (r * o).sum(-1), (r * sender).sum(-1), (o * sender).sum(-1)
        return c[0] * a + c[1] * a**2 + c[2] * a * b * cosine + c[3] * b + 1
    return kernel, r, o / o.norm(), sender / sender.norm()


def _phi(kernel, r, o, sender):
    # Only a = r.o changes as o goes round. Its part along the sender stays, the rest swings as a cosine of
    # amplitude A, whose mean is 0 and whose square has the mean A²/2: three samples hold a polynomial of degree 2.
    along = (o @ sender) * sender
    u = o - along
    v = torch.linalg.cross(sender, u)
    return torch.stack([kernel(r, along + x * u + (1 - x * x) ** 0.5 * s * v, sender)
                        for x, s in ((1, 0), (-0.5, 1), (-0.5, -1))]).mean()


def _around(axis_of, angles, reduce=torch.mean):
    def wrong(kernel, r, o, sender):
        turns = axis_angle(axis_of(r, o, sender).expand(len(angles), 3), angles)
        return reduce(kernel(r, turns @ o, sender))
    return wrong


_TURNS = 2 * torch.pi * torch.arange(24, dtype=torch.float64) / 24
_PHI = (
    ("angles are in degrees; `axis_angle` takes radians", _around(lambda r, o, sender: sender, _TURNS.rad2deg())),
    ("the last angle is a full turn, so that the first direction counts twice",
     _around(lambda r, o, sender: sender, torch.linspace(0, 2 * torch.pi, 24, dtype=torch.float64))),
    ("o is turned about r; it goes round the sender's direction", _around(lambda r, o, sender: r / r.norm(), _TURNS)),
    ("nothing is averaged: turning o about itself changes nothing", lambda kernel, *pair: kernel(*pair)),
    ("it is the sum over the angles, not their mean", _around(lambda r, o, sender: sender, _TURNS, torch.sum)),
    ("the sender's direction is turned about o: the mean over the other end",
     lambda kernel, r, o, sender: kernel(r, o, axis_angle(o.expand(24, 3), _TURNS) @ sender).mean()),
    ("it goes only half the way round", _around(lambda r, o, sender: sender, _TURNS / 2)),
)


def without_phi(fn: object, seed: int | None = None) -> Verdict:
    """05.6: `fn(kernel, r, o, sender)` is the mean over 24 turns of o about the sender's direction."""
    return judge(fn, inputs=_phi_inputs, reference=_phi, mistakes=_PHI, seed=seed)
