"""Wrong answers to notebook 06, as a reader might write them: check -> (words of the verdict, answer)."""

from itertools import combinations_with_replacement, product

import torch
from torch.nn.functional import gelu, relu, silu


def columns(a, tuples):
    return torch.stack([a[:, list(t)].prod(1) for t in tuples], dim=1)


def ordered(a, degree):
    return columns(a, [t for k in range(1, degree + 1) for t in product(range(a.shape[1]), repeat=k)])


def powers(a, degree):
    return torch.cat([a.pow(k) for k in range(1, degree + 1)], dim=1)


def last_degree(a, degree):
    return columns(a, combinations_with_replacement(range(a.shape[1]), degree))


def from_zero(a, degree):
    # torch's product of no factors is 1
    every = [t for k in range(degree + 1) for t in combinations_with_replacement(range(a.shape[1]), k)]
    return torch.stack([torch.stack([a[:, j] for j in t]).prod(0) if t else torch.ones(len(a)).double() for t in every],
                       dim=1)


def mlp(first, second=lambda z: z):
    return lambda m, W1, b1, W2, b2: second(first(m @ W1.T + b1) @ W2.T + b2)


def tanh_gelu(z):
    return gelu(z, approximate="tanh")


def phi_alone(z):
    return 0.5 * (1 + torch.erf(z / 2**0.5))


def norm(z, gain, offset, dim=-1, eps=1e-5, unbiased=False):
    return (z - z.mean(dim, keepdim=True)) / (z.var(dim, unbiased=unbiased, keepdim=True) + eps).sqrt() * gain + offset


def torch_default(z, gain, offset):
    return (z - z.mean(-1, keepdim=True)) / (z.var(-1, keepdim=True) + 1e-5) ** 0.5 * gain + offset


def by_variance(z, gain, offset):
    return (z - z.mean(-1, keepdim=True)) / (z.var(-1, keepdim=True, unbiased=False) + 1e-5) * gain + offset


def eps_outside(z, gain, offset):
    return (z - z.mean(-1, keepdim=True)) / (z.std(-1, keepdim=True, unbiased=False) + 1e-5) * gain + offset


def no_gain(z, gain, offset):
    return torch.nn.functional.layer_norm(z, gain.shape)


def scaled(h, u, W1, b1, W2, b2, scale):
    return scale * (h + mlp(gelu)(u, W1, b1, W2, b2))


def bias_last(h, u, W1, b1, W2, b2, scale):
    return h + scale * (gelu(u @ W1.T + b1) @ W2.T) + b2


def in_place(h, u, W1, b1, W2, b2, scale):
    h += scale * mlp(gelu)(u, W1, b1, W2, b2)
    return h


def each_channel(weight, h, y):
    return weight * (h.flatten(0, 1).std(0) / y.flatten(0, 1).std(0))[:, None]


def rms(weight, h, y):
    return weight * h.pow(2).mean().sqrt() / y.pow(2).mean().sqrt()


def mean_of_graph(signal, weights, batch, graphs):
    s = torch.einsum("noc,o->nc", signal, weights)
    return torch.stack([s[batch == g].mean(0).nan_to_num() for g in range(graphs)])


def add_directions(signal, weights, batch, graphs):
    return torch.zeros(graphs, signal.shape[-1]).double().index_add(0, batch, signal.sum(1))


def average_directions(signal, weights, batch, graphs):
    return torch.zeros(graphs, signal.shape[-1]).double().index_add(0, batch, signal.mean(1))


def existing_graphs(signal, weights, batch, graphs):
    s = torch.einsum("noc,o->nc", signal, weights)
    return torch.stack([s[batch == g].sum(0) for g in batch.unique()])


def assign(signal, weights, batch, graphs):
    out = torch.zeros(graphs, signal.shape[-1]).double()
    for i, g in enumerate(batch):
        out[g] = weights @ signal[i]
    return out


WRONG = {
    "distinct_monomials": [
        ("once for every order", ordered),
        ("only powers", powers),
        ("exactly `degree` factors", last_degree),
        ("constant 1", from_zero),
        ("wrong shape", lambda a, degree: a.prod(dim=1)),
    ],
    "two_layers": [
        ("approximation by tanh", mlp(tanh_gelu, tanh_gelu)),
        ("second GELU is missing", mlp(gelu)),
        ("first GELU is missing", mlp(lambda z: z, gelu)),
        ("ReLU", mlp(relu, relu)),
        ("SiLU", mlp(silu, silu)),
        ("stands alone", mlp(phi_alone, phi_alone)),
        ("biases are missing", lambda m, W1, b1, W2, b2: gelu(gelu(m @ W1.T) @ W2.T)),
        ("it raised", lambda m, W1, b1, W2, b2: gelu(gelu(m @ W1 + b1) @ W2 + b2)),
    ],
    "norm_channels": [
        ("unbiased", torch_default),
        ("directions and channels together", lambda z, g, b: norm(z, g, b, dim=(1, 2))),
        ("over the directions", lambda z, g, b: norm(z, g, b, dim=1)),
        ("over the particles", lambda z, g, b: norm(z, g, b, dim=0)),
        ("divides by the variance", by_variance),
        ("missing under the root", lambda z, g, b: norm(z, g, b, eps=0)),
        ("after the root", eps_outside),
        ("gain and offset", no_gain),
    ],
    "update_block": [
        ("residual h is missing", lambda h, u, W1, b1, W2, b2, scale: scale * mlp(gelu)(u, W1, b1, W2, b2)),
        ("u is added instead of h", lambda h, u, W1, b1, W2, b2, scale: u + scale * mlp(gelu)(u, W1, b1, W2, b2)),
        ("multiplies the residual", scaled),
        ("layer scale is missing", lambda h, u, W1, b1, W2, b2, scale: h + mlp(gelu)(u, W1, b1, W2, b2)),
        ("outside the layer scale", bias_last),
        ("last layer is linear", lambda h, u, W1, b1, W2, b2, scale: h + scale * mlp(gelu, gelu)(u, W1, b1, W2, b2)),
        ("acts on u", lambda h, u, W1, b1, W2, b2, scale: h + scale * mlp(gelu)(h, W1, b1, W2, b2)),
    ],
    "calibrate_kernel": [
        ("upside down", lambda weight, h, y: weight * y.std() / h.std()),
        ("ratio of variances", lambda weight, h, y: weight * h.var() / y.var()),
        ("factor of its own", each_channel),
        ("about 0", rms),
        ("spread 1", lambda weight, h, y: weight / y.std()),
        ("wrong type", lambda weight, h, y: float(h.std() / y.std())),
    ],
    "graph_sums": [
        ("energies add up", mean_of_graph),
        ("directions are added up", add_directions),
        ("use the grid's weights", average_directions),
        ("row of zeros", existing_graphs),
        ("overwrites", assign),
        ("each graph has its own sum", lambda signal, weights, *_: torch.einsum("noc,o->c", signal, weights)),
    ],
}
