"""EGNN against its equations, its size, and what it can and cannot tell apart (equivariance: tests/equivariance)."""

import math

import numpy as np
import pytest
import torch
from clouds import F64, cloud, hard_batch

from ponita_edu.data.edges import without_self_loops
from ponita_edu.data.graphs import Graphs
from ponita_edu.nn.baselines import EGNN, EGNNConfig


def network(**settings):
    model = EGNN(EGNNConfig(**dict(scalars_in=2, vectors_in=2, scalars_out=1, vectors_out=1, hidden=5, layers=3)
                            | settings), seed=0).double()
    generator = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.data.add_(0.2 * torch.randn(p.shape, generator=generator, dtype=F64))
    return model


def silu(x):
    return x / (1 + np.exp(-x))


def mlp(w, name, x, last=False):
    """Two linear layers, SiLU between them and, if asked, at the end."""
    y = silu(x @ w[f"{name}.0.weight"].T + w[f"{name}.0.bias"])
    y = y @ w[f"{name}.2.weight"].T + w.get(f"{name}.2.bias", 0)
    return silu(y) if last else y


def egnn_in_numpy(model, graphs, mistake=None):
    """The paper's equations 3 to 7, node by node."""
    c, w = model.config, {k: v.detach().numpy() for k, v in model.named_parameters()}
    start, x, vec = (a.numpy() for a in (graphs.pos, graphs.x, graphs.vec))
    edges = [(int(s), int(t)) for s, t in graphs.edge_index.T if s != t]
    features = [[math.sqrt(v @ v) for v in vec[i]] + ([] if c.edge_products else list(x[i])) for i in range(len(x))]
    h = np.array(features) @ w["embed.weight"].T + w["embed.bias"]
    pos = start.copy()
    for layer in range(c.layers):
        total, move = np.zeros_like(h), np.zeros_like(pos)
        for s, t in edges:
            a = [((start[s] - start[t]) ** 2).sum(), *(x[s] * x[t] if c.edge_products else [])]
            squared = ((pos[s] - pos[t]) ** 2).sum()
            m = mlp(w, f"layers.{layer}.edge.0", np.array([*h[t], *h[s], squared, *a]), last=True)
            total[t] += m
            neighbours = 1 if mistake == "sum" else sum(1 for e in edges if e[1] == t)
            direction = pos[s] - pos[t] if mistake == "sign" else pos[t] - pos[s]
            move[t] += direction * mlp(w, f"layers.{layer}.coordinate", m) / neighbours
        if mistake != "no velocity":
            move += np.einsum("nv,nvd->nd", mlp(w, f"layers.{layer}.velocity", h), vec)
        h = h + mlp(w, f"layers.{layer}.node", np.concatenate((h, total), axis=1))
        pos = pos + move
    return mlp(w, "readout", h), (pos - start)[:, None]


@pytest.mark.parametrize("edge_products", [False, True])
@pytest.mark.parametrize("dim", [2, 3])
def test_egnn_equals_the_papers_equations(dim, edge_products):
    model, graphs = network(edge_products=edge_products), hard_batch(dim, mutual=False)
    with torch.no_grad():
        out = model(graphs)
    for ours, theirs in zip(out, egnn_in_numpy(model, graphs), strict=True):
        assert np.abs(ours.numpy() - theirs).max() < 1e-12 * max(1, np.abs(theirs).max())


@pytest.mark.parametrize("mistake", ["sum", "sign", "no velocity"])
def test_comparison_of_egnn_notices_a_planted_mistake(mistake):
    model, graphs = network(), hard_batch(3)
    wrong = egnn_in_numpy(model, graphs, mistake)[1]
    assert np.abs(model(graphs).vector.detach().numpy() - wrong).max() > 1e-4


def test_egnn_has_the_published_number_of_parameters_on_nbody():
    # hidden 64, 4 layers, speed as node feature, charge product and squared distance on edges: 134,020
    model = EGNN(EGNNConfig(scalars_in=1, vectors_in=1, vectors_out=1, edge_products=True), seed=0)
    hidden = 64
    edge = (2 * hidden + 1 + 2) * hidden + hidden + hidden * hidden + hidden
    node = 2 * hidden * hidden + hidden + hidden * hidden + hidden
    coordinate, velocity = hidden * hidden + hidden + hidden, hidden * hidden + hidden + hidden + 1
    assert model.num_parameters == 2 * hidden + 4 * (edge + node + coordinate + velocity)
    assert 130_000 < model.num_parameters < 138_000


def test_edge_products_cannot_tell_all_signs_flipped_and_node_features_can():
    graphs = cloud(4, 3, 0)
    flipped = graphs._replace(x=-graphs.x)
    assert torch.equal(network(edge_products=True)(flipped).vector, network(edge_products=True)(graphs).vector)
    assert (network()(flipped).vector - network()(graphs).vector).abs().max() > 1e-4
    one = graphs.x.clone()
    one[0] *= -1  # but a single sign matters
    model = network(edge_products=True)
    assert (model(graphs._replace(x=one)).vector - model(graphs).vector).abs().max() > 1e-4


def test_self_loops_are_left_out():
    graphs = cloud(4, 3, 0)
    bare = graphs._replace(edge_index=without_self_loops(graphs.edge_index))
    assert bare.edge_index.shape[1] == graphs.edge_index.shape[1] - 4
    for a, b in zip(network()(graphs), network()(bare), strict=True):
        assert (a - b).abs().max() < 1e-13


def test_a_free_particle_moves_along_its_velocity():
    vec = torch.tensor([[[1.0, 2, 3], [2, 4, 6]]], dtype=F64)
    alone = Graphs(torch.zeros(1, 3, dtype=F64), torch.ones(1, 2, dtype=F64), vec=vec)
    moved = network()(alone).vector[0, 0]
    assert torch.linalg.cross(moved, alone.vec[0, 0]).abs().max() < 1e-14 and moved.norm() > 1e-3


def test_without_features_and_velocities_distances_alone_decide():
    model = EGNN(EGNNConfig(scalars_in=0, vectors_in=0, scalars_out=1, vectors_out=1, hidden=5), seed=0).double()
    graphs = cloud(4, 2, 0, vectors=0)
    graphs = graphs._replace(x=graphs.x[:, :0])
    out, far = model(graphs), model(graphs._replace(pos=2 * graphs.pos))
    assert out.scalar.shape == (4, 1) and out.vector.shape == (4, 1, 2)
    assert (out.scalar - far.scalar).abs().max() > 1e-6


def test_graph_outputs_are_sums_over_nodes():
    graphs = hard_batch(3)
    nodes, whole = network()(graphs), network(level="graph")(graphs)
    for k in range(graphs.num_graphs):
        assert torch.allclose(whole.scalar[k], nodes.scalar[graphs.batch == k].sum(0), atol=1e-13)
        assert torch.allclose(whole.vector[k], nodes.vector[graphs.batch == k].sum(0), atol=1e-13)


def test_egnn_weights_come_from_the_seed_and_leave_the_global_state_alone():
    state = torch.get_rng_state()
    first, again, other = (EGNN(EGNNConfig(), seed=seed).embed.weight for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_distance_gain_multiplies_the_weights_of_squared_distances_and_nothing_else():
    settings = dict(scalars_in=2, vectors_in=0, scalars_out=1, vectors_out=1, hidden=5, layers=2)
    plain, gained = (EGNN(EGNNConfig(**settings, distance_gain=gain), seed=0).state_dict() for gain in (1.0, 10.0))
    for name, weight in plain.items():
        expected = weight.clone()
        if name.endswith("edge.0.0.weight"):
            assert weight.shape == (5, 2 * 5 + 2)
            expected[:, 10:] *= 10
        torch.testing.assert_close(gained[name], expected)
