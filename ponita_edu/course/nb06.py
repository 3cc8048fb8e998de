"""Checks of notebook 06: parts of the network, by formulas of their own, and mistakes that are easily made."""

from itertools import product

import torch

from ponita_edu.course.fresh import normal
from ponita_edu.course.verdict import Verdict, judge

__all__ = ["calibrate_kernel", "distinct_monomials", "graph_sums", "norm_channels", "two_layers", "update_block"]


# -------------------------------------------------------------------------------------------------------- monomials
def _monomials_inputs(rng):
    draw = torch.rand(2, generator=rng)
    return normal(rng, 5, 2 if draw[0] < 0.5 else 3), 2 if draw[1] < 0.5 else 3


def _exponents(d, degree):
    every = product(range(degree + 1), repeat=d)
    return sorted((e for e in every if 1 <= sum(e) <= degree), key=lambda e: (sum(e), [-k for k in e]))


def _monomials(a, degree):
    return torch.stack([(a ** torch.tensor(e)).prod(-1) for e in _exponents(a.shape[-1], degree)], dim=-1)


def _ordered(a, degree):
    blocks = [a]
    for _ in range(degree - 1):
        blocks.append((blocks[-1][..., :, None] * a[..., None, :]).flatten(-2))
    return torch.cat(blocks, dim=-1)


_MONOMIALS = (
    ("a product stands there once for every order of its factors, a1 a2 and a2 a1: 14 columns instead of 9", _ordered),
    ("products of different attributes are missing, only powers are there",
     lambda a, g: torch.cat([a**k for k in range(1, g + 1)], dim=-1)),
    ("only products of exactly `degree` factors are there, those of fewer are missing",
     lambda a, g: torch.stack([(a ** torch.tensor(e)).prod(-1) for e in _exponents(a.shape[-1], g) if sum(e) == g],
                              dim=-1)),
    ("the constant 1 is there; products start at degree 1",
     lambda a, g: torch.cat((torch.ones_like(a[..., :1]), _monomials(a, g)), dim=-1)),
    ("one degree too many", lambda a, g: _monomials(a, g + 1)),
)


def distinct_monomials(fn: object, seed: int | None = None) -> Verdict:
    """06.1: `fn(a, degree)` gives each product of 1 to `degree` attributes once, in any order."""
    return judge(fn, inputs=_monomials_inputs, reference=_monomials, mistakes=_MONOMIALS, seed=seed, view=_sorted)


def _sorted(columns, a, degree):
    return columns.sort(dim=-1).values  # the order of the columns is free


# ------------------------------------------------------------------------------------------------------------ basis
def _basis_inputs(rng):
    return normal(rng, 3, 4, 5), normal(rng, 6, 5), normal(rng, 6), normal(rng, 7, 6), normal(rng, 7)


def _gelu(z):
    return z * torch.special.ndtr(z)


def _two(first, second, bias=1.0):
    def layers(m, W1, b1, W2, b2):
        y = first(torch.einsum("...j,hj->...h", m, W1) + bias * b1)
        return second(torch.einsum("...h,kh->...k", y, W2) + bias * b2)
    return layers


_basis = _two(_gelu, _gelu)  # with torch's own Phi; the solution has torch's own GELU


def _tanh(z):
    return 0.5 * z * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (z + 0.044715 * z**3)))


def _same(z):
    return z


_BASIS = (
    ("the GELU is the approximation by tanh; the exact one is asked", _two(_tanh, _tanh)),
    ("the second GELU is missing", _two(_gelu, _same)),
    ("the first GELU is missing", _two(_same, _gelu)),
    ("it is a ReLU instead of a GELU", _two(torch.relu, torch.relu)),
    ("it is a SiLU instead of a GELU", _two(torch.nn.functional.silu, torch.nn.functional.silu)),
    ("the normal distribution function stands alone; GELU is z times it", _two(torch.special.ndtr, torch.special.ndtr)),
    ("the biases are missing", _two(_gelu, _gelu, bias=0.0)),
)


def two_layers(fn: object, seed: int | None = None) -> Verdict:
    """06.2: `fn(m, W1, b1, W2, b2)` is GELU(W2 GELU(W1 m + b1) + b2) for each row of m."""
    return judge(fn, inputs=_basis_inputs, reference=_basis, mistakes=_BASIS, seed=seed)


# ------------------------------------------------------------------------------------------------------------- norm
def _norm_inputs(rng):
    return 2 * normal(rng, 3, 4, 5) + normal(rng, 5), normal(rng, 5), normal(rng, 5)


def _norm(z, gain, offset):
    return torch.nn.functional.layer_norm(z, z.shape[-1:], gain, offset)


def _norm_by(dims=(-1,), divide=lambda var: (var + 1e-5).sqrt(), unbiased=False, centre=True):
    def wrong(z, gain, offset):
        centred = z - z.mean(dims, keepdim=True)
        return (centred if centre else z) / divide(z.var(dims, unbiased=unbiased, keepdim=True)) * gain + offset
    return wrong


_NORM = (
    ("the variance is the unbiased one, with C - 1; the norm divides by C", _norm_by(unbiased=True)),
    ("it runs over directions and channels together; each direction is normalised for itself", _norm_by(dims=(-2, -1))),
    ("it runs over the directions; it belongs over the channels", _norm_by(dims=(-2,))),
    ("it runs over the particles; it belongs over the channels", _norm_by(dims=(0,))),
    ("it divides by the variance; the standard deviation is its root", _norm_by(divide=lambda var: var + 1e-5)),
    ("1e-5 is missing under the root", _norm_by(divide=torch.sqrt)),
    ("1e-5 is added after the root; it belongs under it", _norm_by(divide=lambda var: var.sqrt() + 1e-5)),
    ("the mean is not taken out", _norm_by(centre=False)),
    ("gain and offset are missing", lambda z, gain, offset: _norm(z, torch.ones_like(gain), torch.zeros_like(offset))),
)


def norm_channels(fn: object, seed: int | None = None) -> Verdict:
    """06.3: `fn(z, gain, offset)` is the layer norm over channels of z [n, N, C], with 1e-5."""
    return judge(fn, inputs=_norm_inputs, reference=_norm, mistakes=_NORM, seed=seed)


# ------------------------------------------------------------------------------------------------------------ block
def _block_inputs(rng):
    return (normal(rng, 3, 4, 2), normal(rng, 3, 4, 2), normal(rng, 8, 2), normal(rng, 8), normal(rng, 2, 8),
            normal(rng, 2), 0.1 + torch.rand(2, generator=rng, dtype=torch.float64))


def _mlp(u, W1, b1, W2, b2):
    return _two(_gelu, _same)(u, W1, b1, W2, b2)


def _block(h, u, W1, b1, W2, b2, scale):
    return torch.stack([h[i] + scale * _mlp(u[i], W1, b1, W2, b2) for i in range(len(h))])  # particle by particle


_BLOCK = (
    ("the residual h is missing", lambda h, u, W1, b1, W2, b2, g: g * _mlp(u, W1, b1, W2, b2)),
    ("u is added instead of h: the residual goes around the convolution and the norm too",
     lambda h, u, W1, b1, W2, b2, g: u + g * _mlp(u, W1, b1, W2, b2)),
    ("the layer scale multiplies the residual too", lambda h, u, W1, b1, W2, b2, g: g * (h + _mlp(u, W1, b1, W2, b2))),
    ("the layer scale is missing", lambda h, u, W1, b1, W2, b2, g: h + _mlp(u, W1, b1, W2, b2)),
    ("the last bias stands outside the layer scale",
     lambda h, u, W1, b1, W2, b2, g: h + g * _mlp(u, W1, b1, W2, 0 * b2) + b2),
    ("the MLP ends with a GELU; its last layer is linear",
     lambda h, u, W1, b1, W2, b2, g: h + g * _gelu(_mlp(u, W1, b1, W2, b2))),
    ("the MLP acts on h; it acts on u, the output of convolution and norm",
     lambda h, u, W1, b1, W2, b2, g: h + g * _mlp(h, W1, b1, W2, b2)),
)


def update_block(fn: object, seed: int | None = None) -> Verdict:
    """06.4: `fn(h, u, W1, b1, W2, b2, scale)` is h + scale (W2 GELU(W1 u + b1) + b2)."""
    return judge(fn, inputs=_block_inputs, reference=_block, mistakes=_BLOCK, seed=seed)


# ------------------------------------------------------------------------------------------------------- calibrated
def _calibrated_inputs(rng):
    spread = 0.5 + 3 * torch.rand(4, generator=rng, dtype=torch.float64)
    return normal(rng, 4, 6), 1 + normal(rng, 5, 3, 4), 2 + spread * normal(rng, 5, 3, 4)


def _sd(x, *dims):
    return torch.var(x, dims or None, keepdim=bool(dims)).sqrt()


def _calibrated(weight, h, y):
    def square(x):  # sum of squares about the mean; numbers are equally many in h and y
        return (x * x).sum() - x.sum() ** 2 / x.numel()
    return weight * (0.5 * (square(h).log() - square(y).log())).exp()


_CALIBRATED = (
    ("the ratio is upside down: too large an output needs smaller weights", lambda w, h, y: w * _sd(y) / _sd(h)),
    ("it is the ratio of variances; weights act linearly, so take standard deviations",
     lambda w, h, y: w * (_sd(h) / _sd(y)) ** 2),
    ("each channel has a factor of its own; here one factor serves all",
     lambda w, h, y: w * (_sd(h, 0, 1) / _sd(y, 0, 1)).reshape(-1, 1)),
    ("the spread is taken about 0 instead of about the mean",
     lambda w, h, y: w * (h.square().mean() / y.square().mean()).sqrt()),
    ("the output gets spread 1; it should get that of h", lambda w, h, y: w / _sd(y)),
)


def calibrate_kernel(fn: object, seed: int | None = None) -> Verdict:
    """06.5: `fn(weight, h, y)` scales a kernel so that its output gets the spread of h."""
    return judge(fn, inputs=_calibrated_inputs, reference=_calibrated, mistakes=_CALIBRATED, seed=seed)


# ------------------------------------------------------------------------------------------------------------ total
def _total_inputs(rng):
    weights = 0.2 + torch.rand(4, generator=rng, dtype=torch.float64)
    graphs = int(torch.randint(4, 7, (), generator=rng))  # graph 1 is empty, and those after graph 3
    return normal(rng, 6, 4, 2), weights / weights.sum(), torch.tensor([0, 0, 0, 2, 2, 3]), graphs


def _total(signal, weights, batch, graphs):
    of_graph = (batch == torch.arange(graphs)[:, None]).to(signal)  # [graphs, n]
    return torch.einsum("gn,noc,o->gc", of_graph, signal, weights)


def _per_node(signal, weights, batch, graphs):
    nodes = torch.bincount(batch, minlength=graphs).clamp(min=1)
    return _total(signal, weights, batch, graphs) / nodes[:, None]


_TOTAL = (
    ("it is the mean over the nodes of a graph; energies add up, so it is their sum", _per_node),
    ("directions are added up; the readout is their mean, with weights that sum to 1",
     lambda s, w, batch, graphs: _total(s, torch.ones_like(w), batch, graphs)),
    ("all directions count alike; use the grid's weights",
     lambda s, w, batch, graphs: _total(s, torch.full_like(w, 1 / len(w)), batch, graphs)),
    ("a graph without nodes has no row; it should have a row of zeros",
     lambda s, w, batch, graphs: _total(s, w, batch, graphs)[batch.unique()]),
    ("all nodes are added up; each graph has its own sum",
     lambda s, w, batch, graphs: _total(s, w, batch, graphs).sum(0)),
    ("it is the last node of each graph that counts: index assignment overwrites, index_add adds up",
     lambda s, w, batch, graphs: torch.stack([(w @ s[batch == g][-1]) if (batch == g).any() else s.new_zeros(2)
                                              for g in range(graphs)])),
)


def graph_sums(fn: object, seed: int | None = None) -> Verdict:
    """06.6: `fn(signal, weights, batch, graphs)` is the mean over directions, summed over graphs."""
    return judge(fn, inputs=_total_inputs, reference=_total, mistakes=_TOTAL, seed=seed)
