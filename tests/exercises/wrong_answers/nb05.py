"""Wrong answers to notebook 05, as a reader might write them: check -> (words of the verdict, answer)."""

import math

import torch

from ponita_edu.geometry import axis_angle


def fiber_for_every_edge(nodes, edges, N, channels):
    full = edges * N**2 * channels
    return full, edges * N * channels + edges * N**2 * channels


def one_direction(nodes, edges, N, channels):
    return edges * N * channels, edges * N * channels + nodes * N**2 * channels


def all_pairs(nodes, edges, N, channels):
    return nodes**2 * N**2 * channels, nodes**2 * N * channels + nodes * N**2 * channels


def linear(a, b, bias=True):
    return torch.nn.Linear(a, b, bias=bias)


def count(*layers):
    return sum(p.numel() for layer in layers for p in layer.parameters())


def each_product_once(attributes, degree, hidden, basis, channels):
    columns = math.comb(attributes + degree, degree) - 1
    return count(linear(columns, hidden), linear(hidden, basis), linear(basis, channels, False))


def ordered(attributes, degree):
    return sum(attributes**k for k in range(1, degree + 1))


def no_biases(attributes, degree, hidden, basis, channels):
    return ordered(attributes, degree) * hidden + hidden * basis + basis * channels


def bias_at_the_end(attributes, degree, hidden, basis, channels):
    return count(linear(ordered(attributes, degree), hidden), linear(hidden, basis), linear(basis, channels))


def basis_only(attributes, degree, hidden, basis, channels):
    return count(linear(ordered(attributes, degree), hidden), linear(hidden, basis))


def overwrite(h, kernel, source, target):
    y = torch.zeros_like(h)
    y[target] = kernel * h[source]
    return y


def swapped(h, kernel, source, target):
    return torch.zeros_like(h).index_add(0, source, kernel * h[target])


def mean_over_senders(h, kernel, source, target):
    y, degree = torch.zeros_like(h), torch.zeros(len(h)).double()
    for s, t, k in zip(source, target, kernel, strict=True):
        y[t] += k * h[s]
        degree[t] += 1
    return y / degree.clamp(min=1)[:, None, None]


def receivers_features(h, kernel, source, target):
    return torch.zeros_like(h).index_add(0, target, kernel * h[target])


def with_residual(h, kernel, source, target):
    return h.clone().index_add(0, target, kernel * h[source])


def loop_per_node(nodes, N, opposites):
    pairs = nodes * (nodes - 1) * N
    return pairs // 2 + nodes if opposites else pairs + nodes


def loop_per_orientation(nodes, N, opposites):
    pairs = nodes * (nodes - 1) * N
    return N + (pairs // 2 if opposites else pairs)


def undirected(nodes, N, opposites):
    return math.comb(nodes, 2) * N + 1


def turned(kernel, r, o, axis, angles):
    return torch.stack([kernel(r, axis_angle(axis, a) @ o, axis) for a in angles])


def degrees(kernel, r, o, sender):
    return turned(kernel, r, o, sender, 15.0 * torch.arange(24).double()).mean()


def about_itself(kernel, r, o, sender):
    turns = [axis_angle(o, a) for a in 2 * math.pi * torch.arange(24).double() / 24]
    return torch.stack([kernel(r, R @ o, sender) for R in turns]).mean()


def about_r(kernel, r, o, sender):
    turns = [axis_angle(r / r.norm(), a) for a in 2 * math.pi * torch.arange(24).double() / 24]
    return torch.stack([kernel(r, R @ o, sender) for R in turns]).mean()


def twice_the_first(kernel, r, o, sender):
    return turned(kernel, r, o, sender, torch.linspace(0, 2 * math.pi, 24, dtype=torch.float64)).mean()


def half_way(kernel, r, o, sender):
    return turned(kernel, r, o, sender, math.pi * torch.arange(24).double() / 24).mean()


def added_up(kernel, r, o, sender):
    return turned(kernel, r, o, sender, 2 * math.pi * torch.arange(24).double() / 24).sum()


WRONG = {
    "multiply_adds": [
        ("once for every node", fiber_for_every_edge),
        ("for each edge, not N", one_direction),
        ("only the edges", all_pairs),
        ("second step, over directions, is missing", lambda n, e, N, C: (e * N * N * C, e * N * C)),
        ("exchanged", lambda n, e, N, C: (e * N * C + n * N * N * C, e * N * N * C)),
        ("differs", lambda n, e, N, C: (2 * e * N * N, 2 * (e * N + n * N * N))),
        ("wrong type", lambda n, e, N, C: (e * N * N) / (e * N + n * N * N)),
    ],
    "kernel_weights": [
        ("a1 a2 and a2 a1", each_product_once),
        ("biases of the two layers", no_biases),
        ("differs", lambda a, g, H, K, C: count(linear(a ** (g + 1) - a, H), linear(H, K), linear(K, C, False))),
        ("differs", lambda a, g, H, K, C: count(linear(14, H), linear(H, K), linear(K, C, False))),
        ("has no bias", bias_at_the_end),
        ("to the channels, is missing", basis_only),
        ("exactly `degree` factors", lambda a, g, H, K, C: count(linear(a**g, H), linear(H, K), linear(K, C, False))),
        ("constant 1", lambda a, g, H, K, C: (ordered(a, g) + 2) * H + (H + 1) * K + K * C),
    ],
    "gather_messages": [
        ("overwrite one another", overwrite),
        ("swapped", swapped),
        ("mean over the neighbours", mean_over_senders),
        ("carries the sender's", receivers_features),
        ("residual", with_residual),
        ("kernel is missing", lambda h, k, source, target: torch.zeros_like(h).index_add(0, target, h[source])),
        ("wrong shape", lambda h, k, source, target: k * h[source]),
    ],
    "mix_directions": [
        ("1/N of a mean", lambda y, kappa, w: torch.einsum("poc,noc->npc", kappa, y)),
        ("count alike", lambda y, kappa, w: torch.einsum("poc,noc->npc", kappa, y) / len(w)),
        ("transposed", lambda y, kappa, w: torch.einsum("opc,o,noc->npc", kappa, w, y)),
        ("where the result stands", lambda y, kappa, w: torch.einsum("poc,p,noc->npc", kappa, w, y)),
        ("do not mix", lambda y, kappa, w: torch.einsum("ooc,o,noc->noc", kappa, w, y)),
        ("wrong shape", lambda y, kappa, w: torch.einsum("poc,o,noc->nc", kappa, w, y)),
    ],
    "kernel_rows": [
        ("one for each node", loop_per_node),
        ("one row, not N", loop_per_orientation),
        ("this grid has none", undirected),
        ("nor are the loops", lambda n, N, opposites: n**2 * N),
        ("self loops are missing", lambda n, N, opposites: n * (n - 1) * N // (1 + opposites)),
        ("lets a pair and its reverse share", lambda n, N, opposites: (n**2 - n) * N + 1),
    ],
    "without_phi": [
        ("takes radians", degrees),
        ("counts twice", twice_the_first),
        ("half the way", half_way),
        ("not their mean", added_up),
        ("changes nothing", about_itself),
        ("goes round the sender's direction", about_r),
    ],
}
