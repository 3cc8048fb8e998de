"""The forward pass of PONITA a second time: numpy, float64, written from the formulas as plainly as possible.

It shares no code with ponita_edu.nn; only the names of weights and settings are the library's. Points are
h[point, orientation, channel]; point clouds have a single, meaningless orientation. ``mistake`` plants an error, so
that tests can show that a comparison would notice it.
"""

import math
from itertools import combinations_with_replacement, product

import numpy as np

MISTAKES = ("sign of r", "source and target swapped", "no 1/N", "tanh GELU", "residual forgotten", "biased readout")


def gelu(x, mistake=None):
    if mistake == "tanh GELU":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def monomials(a, degree, distinct):
    columns = []
    for k in range(1, degree + 1):
        tuples = combinations_with_replacement if distinct else product
        choices = tuples(range(a.shape[-1]), k) if distinct else tuples(range(a.shape[-1]), repeat=k)
        for choice in choices:
            column = np.ones(a.shape[:-1])
            for i in choice:
                column = column * a[..., i]
            columns.append(column)
    return np.stack(columns, axis=-1)


def basis(name, a, config, w, mistake):
    y = monomials(a, config.degree, config.distinct_monomials)
    y = gelu(y @ w[f"{name}.1.weight"].T + w[f"{name}.1.bias"], mistake)
    return gelu(y @ w[f"{name}.3.weight"].T + w[f"{name}.3.bias"], mistake)


def window(distance, radius):
    x = distance / radius
    return 1 - 28 * x**6 + 48 * x**7 - 21 * x**8 if x < 1 else 0.0


def spatial_pair(r, o):
    """r.o and what is orthogonal: a length in 3D, the component along the +90 degree turn of o in 2D."""
    along = r @ o
    if len(r) == 2:
        return [along, -r[0] * o[1] + r[1] * o[0]]
    return [along, np.linalg.norm(r - along * o)]


def full_pair(kind, r, o_t, o_s):
    if kind == "triple":
        return [*spatial_pair(r, o_t), o_t @ o_s]
    if kind == "se2":
        return [*spatial_pair(r, o_t), o_t @ o_s, o_t[0] * o_s[1] - o_t[1] * o_s[0]]
    four = [r @ o_t, r @ o_s, o_t @ o_s, r @ r]
    return four if kind == "e3" else [*four, np.linalg.det(np.stack((r, o_t, o_s)))]


def lift_edges(config, graph):
    """Points are edges s -> t of positive length; k sends to m if their nodes t_k -> t_m are joined or the same."""
    pos, batch = graph["pos"], graph["batch"]
    joined = sorted({(int(s), int(t)) for s, t in graph["edge_index"].T if s != t})
    points = [(s, t) for s, t in joined if np.linalg.norm(pos[s] - pos[t]) > 0]
    node = [t for _, t in points]
    ori = [(pos[s] - pos[t]) / np.linalg.norm(pos[s] - pos[t]) for s, t in points]
    edges = []
    for k, m in product(range(len(points)), repeat=2):
        a, b = node[k], node[m]
        if config.radius is None:
            linked = a == b or (a, b) in joined
        else:
            linked = batch[a] == batch[b] and np.linalg.norm(pos[a] - pos[b]) <= config.radius
        if linked:
            edges.append((k, m))
    return node, ori, edges


def forward(config, w, graph, grid=None, mistake=None):
    """Outputs of the network on one batch.

    Args:
        config: any object with the fields of PonitaConfig.
        w: arrays by the library's names.
        graph: dict of arrays pos, x, edge_index, batch, num_graphs, and vec, cond or None.
        grid: (points [N, d], weights [N]) for the bundle.

    Returns:
        dict of scalar, vector, and sd [layers, 2 or 3]: standard deviations of h, y, z in each layer.
    """
    pos, dim = graph["pos"], config.dim
    if config.space == "edges":
        node, ori, edges = lift_edges(config, graph)
    else:
        node = list(range(len(pos)))
        edges = [(int(s), int(t)) for s, t in graph["edge_index"].T]
    on_bundle, full = config.space == "bundle", config.conv == "full"
    sphere, weight = grid if on_bundle else (np.zeros((1, dim)), np.ones(1))
    if mistake == "no 1/N":
        weight = np.ones(len(sphere))

    # features on points: scalars, then each vector's component along the orientation of the point
    h = np.zeros((len(node), len(sphere), config.scalars_in + config.vectors_in))
    for k, i in enumerate(node):
        for o in range(len(sphere)):
            direction = sphere[o] if on_bundle else ori[k] if config.space == "edges" else None
            vectors = [] if graph["vec"] is None else [v @ direction for v in graph["vec"][i]]
            h[k, o] = [*graph["x"][i], *vectors]

    # invariant attributes of every pair, and from them the kernel basis
    attributes, windows = [], []
    for s, t in edges:
        r = pos[node[s]] - pos[node[t]]
        if mistake == "sign of r":
            r = -r
        extra = [] if graph["cond"] is None else [graph["cond"][node[s], 0]]
        if config.space == "positions":
            a = [[np.linalg.norm(r), *extra]]
        elif config.space == "edges":
            a = [[*spatial_pair(r, ori[t]), ori[s] @ ori[t], *extra]]
        elif full:
            a = [[[*full_pair(config.attributes, r, o_t, o_s), *extra] for o_s in sphere] for o_t in sphere]
        else:
            a = [[*spatial_pair(r, o), *extra] for o in sphere]
        attributes.append(a)
        windows.append(1.0 if config.radius is None else window(np.linalg.norm(r), config.radius))
    if edges:
        phi = basis("basis", np.array(attributes), config, w, mistake)
        phi = phi * np.array(windows).reshape(-1, *[1] * (phi.ndim - 1))
    if on_bundle and not full:
        psi = basis("fiber_basis", (sphere @ sphere.T)[..., None], config, w, mistake)

    h = h @ w["embed.weight"].T
    signal, sd = [], []
    for layer in range(config.layers):
        at = f"blocks.{layer}."
        y = np.zeros_like(h)
        steps = [h.std(ddof=1)]
        if full:
            for e, (s, t) in enumerate(edges):
                kernel = phi[e] @ w[at + "conv.kernel.weight"].T  # [receiver's o, sender's o, channel]
                for p in range(len(sphere)):
                    for o in range(len(sphere)):
                        y[t, p] += weight[o] * kernel[p, o] * h[s, o]
            z = y
        else:
            for e, (s, t) in enumerate(edges):
                kernel = phi[e] @ w[at + "conv.spatial.kernel.weight"].T  # [o, channel]
                if config.attention:
                    kernel = kernel * attention(h, edges, w, at)[e]
                if mistake == "source and target swapped":
                    y[s] += kernel * h[t]
                else:
                    y[t] += kernel * h[s]
            steps.append(y.std(ddof=1))
            z = y
            if on_bundle:
                kernel = psi @ w[at + "conv.fiber.kernel.weight"].T
                z = np.einsum("poc,o,noc->npc", kernel, weight, y)
        if on_bundle:
            steps.append(z.std(ddof=1))
        sd.append(steps)
        z = z + w[at + "conv.bias"]
        centred = z - z.mean(-1, keepdims=True)
        u = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w[at + "norm.weight"] + w[at + "norm.bias"]
        u = gelu(u @ w[at + "linear_1.weight"].T + w[at + "linear_1.bias"], mistake)
        u = u @ w[at + "linear_2.weight"].T + w[at + "linear_2.bias"]
        if config.layer_scale is not None:
            u = u * w[at + "layer_scale"]
        h = u if mistake == "residual forgotten" else h + u
        if config.readout == "mean":
            signal.append(h @ w[f"readouts.{layer}.weight"].T + w[f"readouts.{layer}.bias"])
    if config.readout == "last":
        signal.append(h @ w["readouts.0.weight"].T + w["readouts.0.bias"])
    signal = sum(signal) / (1 if mistake == "biased readout" else len(signal))

    scalar = np.zeros((len(pos), config.scalars_out))
    vector = np.zeros((len(pos), config.vectors_out, dim))
    mean = weight @ sphere if config.centred_readout else np.zeros(dim)
    points_at = np.bincount(node, minlength=len(pos)) if config.space == "edges" else np.ones(len(pos))
    for k, i in enumerate(node):
        for o in range(len(sphere)):
            direction = ori[k] if config.space == "edges" else sphere[o] - mean
            share = weight[o] / points_at[i]
            scalar[i] += share * signal[k, o, : config.scalars_out]
            vector[i] += share * signal[k, o, config.scalars_out :, None] * direction
    if config.level == "graph":
        totals = [np.zeros((graph["num_graphs"], *a.shape[1:])) for a in (scalar, vector)]
        for i, b in enumerate(graph["batch"]):
            totals[0][b] += scalar[i]
            totals[1][b] += vector[i]
        scalar, vector = totals
    return {"scalar": scalar, "vector": vector, "sd": np.array(sd)}


def attention(h, edges, w, at):
    """alpha[e, o, 1]: softmax over the edges into one target, shifted by the batch's maximum, 1e-6 in the sum."""
    key, query = (h @ w[f"{at}conv.spatial.{name}_transform.weight"].T + w[f"{at}conv.spatial.{name}_transform.bias"]
                  for name in ("key", "query"))
    logits = np.array([(key[s] * query[t]).sum(-1) for s, t in edges]) / math.sqrt(128)
    alpha = np.exp(logits - logits.max())
    total = np.zeros(h.shape[:2])
    for e, (_, t) in enumerate(edges):
        total[t] += alpha[e]
    return np.array([alpha[e] / (total[t] + 1e-6) for e, (_, t) in enumerate(edges)])[..., None]
