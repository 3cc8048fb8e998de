"""Batches that tests share: everything that goes wrong in a batch of point clouds, in one."""

import torch

from ponita_edu.data.edges import complete_edges
from ponita_edu.data.graphs import Graphs, collate

F64 = torch.float64


def cloud(n, dim, seed, edges=None, vectors=2, cond=False, self_loops=True):
    """n standard normal points with two scalars, and vectors; all joined unless edges are given."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=F64)

    pos, x, vec, noise = draw(n, dim), draw(n, 2), draw(n, 2, dim), draw(n, 1)
    if edges is None:
        edges = complete_edges(torch.zeros(n, dtype=torch.long), self_loops)
    else:
        edges = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T
    return Graphs(pos, x, edges, vec=vec[:, :vectors] if vectors else None, cond=noise if cond else None,
                  y={"energy": x[:1, 0], "charge": x[:, 1]}, y_vec={"velocity": vec[:, 0], "dipole": vec[:1, 0]})


def hard_parts(dim, mutual=True, vectors=2, cond=False):
    """Graphs of different sizes: a plain one; a single node with a self loop, and one without any edge; one with a
    node that no edge touches, and without self loops; one in which two points coincide."""
    bent = [(0, 1), (1, 0), (1, 2), (2, 1)] if mutual else [(0, 1), (2, 1), (2, 0)]
    parts = [
        cloud(4, dim, 0, vectors=vectors, cond=cond),
        cloud(1, dim, 1, vectors=vectors, cond=cond),
        cloud(1, dim, 2, edges=[], vectors=vectors, cond=cond),
        cloud(4, dim, 3, edges=bent, vectors=vectors, cond=cond),
        cloud(3, dim, 4, vectors=vectors, cond=cond),
    ]
    same = parts[-1].pos.clone()
    same[1] = same[0]
    parts[-1] = parts[-1]._replace(pos=same)
    return parts


def hard_batch(dim, mutual=True, vectors=2, cond=False):
    """``hard_parts`` side by side."""
    return collate(hard_parts(dim, mutual, vectors, cond))


def shaken(model):
    """The network with no weight at a special value, such as 0 or 1."""
    for p in model.parameters():
        p.data.add_(0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())).to(p))
    return model


def answers(network, graphs):
    """[scalars, vectors, forces], and the gradients by weights and by positions of a loss on them: training's needs."""
    graphs = graphs.requires_grad_()
    out = network(graphs)
    energy = out.scalar.sin().sum() + out.vector.square().sum()
    force = torch.autograd.grad(energy, graphs.pos, create_graph=True)[0]
    loss = (force - 0.1).square().sum() + energy
    *weights, pos = torch.autograd.grad(loss, [*network.parameters(), graphs.pos], allow_unused=True)
    return [*out, force], torch.cat([a.flatten() for a in weights if a is not None]), pos.flatten()
