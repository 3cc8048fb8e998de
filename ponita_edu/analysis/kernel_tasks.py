"""Small tasks on which layers of different kinds are compared (notebook 05)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.analysis.frames import FramePonita
from ponita_edu.analysis.kernel_rank import Kernel
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.md17 import Frames
from ponita_edu.data.nbody import load_nbody, to_graphs
from ponita_edu.geometry.grids import Grid, make_grid
from ponita_edu.geometry.invariants import invariants_r3s2_e3
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.lifting import vector_to_sphere
from ponita_edu.nn.ponita import Ponita, Prediction

# Every network sees the same 12 orientations: they integrate polynomials of degree 5 exactly, which is what the kernel
# task needs, and keep the full convolution (144 pairs of orientations for each edge) affordable.
GRID = make_grid("icosahedron")


@dataclass(frozen=True, eq=False)
class Task:
    """Something to learn, and what a network predicts for it.

    Args:
        name: how tables call it.
        draw: (number of graphs, generator) -> a training batch.
        test: the test set, in batches.
        target: batch -> what is to be predicted.
        predict: (network, batch) -> the prediction, of the target's shape, differentiable in the weights.
        scalars_in, vectors_in, scalars_out, vectors_out, level: of a network that sees directions.
        scalars_out_positions: of the network on positions.
        layers: how many blocks the networks get.
        fields: whether networks map functions on the sphere to such functions, instead of scalars and vectors.
    """

    name: str
    draw: Callable[[int, torch.Generator], Graphs]
    test: tuple[Graphs, ...]
    target: Callable[[Graphs], Tensor]
    predict: Callable[[nn.Module, Graphs], Tensor]
    scalars_in: int = 0
    vectors_in: int = 0
    scalars_out: int = 1
    vectors_out: int = 0
    scalars_out_positions: int = 1
    level: str = "node"
    layers: int = 2
    fields: bool = False


def visible(model: nn.Module, graphs: Graphs) -> Graphs:
    """What a network can be told: if it has positions only, the squared lengths of vectors in their place."""
    if model.config.space != "positions" or graphs.vec is None:
        return graphs
    x = torch.cat((graphs.x, graphs.vec.square().sum(-1)), dim=-1)
    return Graphs(graphs.pos, x, graphs.edge_index, graphs.batch, graphs.num_graphs)


# ----------------------------------------------------------------------------------- a convolution with a known kernel
def lifted_field(component: Tensor) -> Tensor:
    """v·o + (v·o)² from v·o: a function on the sphere of degrees 0, 1 and 2, all in one channel."""
    return component + component**2


class FieldPonita(Ponita):
    """From the field v·o + (v·o)² of each node's vector v to a function on the grid: ``scalar`` is [nodes, N]."""

    def _lift(self, graphs: Graphs):
        points = super()._lift(graphs)
        return points._replace(features=lifted_field(points.features))

    def _project(self, signal: Tensor, points, graphs: Graphs) -> Prediction:
        return Prediction(signal[..., 0], graphs.pos[:, None, :0])


class FieldFrames(FramePonita):
    """The same on frames, whose third axes are the orientations: in-plane turns share their input, and are averaged."""

    def __init__(self, config: PonitaConfig, seed: int | None = None):
        super().__init__(replace(config, scalars_in=1, vectors_in=0), seed=seed)

    def _lift(self, graphs: Graphs) -> Tensor:
        return lifted_field(vector_to_sphere(graphs.vec, self.frames[:, :, 2]))

    def _project(self, signal: Tensor, graphs: Graphs) -> Prediction:
        same = (self.frames[:, :, 2] @ GRID.points.to(self.frames).T > 0.999).to(signal)
        return Prediction(signal[..., 0] @ (same / same.sum(0)), graphs.pos[:, None, :0])


def apply_kernel(kernel: Kernel, graphs: Graphs, ori_t: Float[Tensor, "N 3"], grid: Grid) -> Float[Tensor, "nodes N"]:
    """The full convolution of the nodes' fields: Σ_s ∫ K(r·o, r·o', o·o', |r|²) f_s(o') do', integrated on ``grid``."""
    pos, vec = graphs.pos.double(), graphs.vec.double()
    r = (pos[graphs.source] - pos[graphs.target])[:, None, None]
    values = kernel(invariants_r3s2_e3(r, ori_t[:, None], grid.points))
    field = lifted_field(vec[graphs.source, 0] @ grid.points.T)
    message = torch.einsum("eto,eo,o->et", values, field, grid.weights)
    return message.new_zeros(graphs.num_nodes, len(ori_t)).index_add(0, graphs.target, message)


def kernel_task(kernel: Kernel, test_graphs: int = 100, nodes: int = 4, layers: int = 1) -> Task:
    """Learn the convolution with a given kernel: every node carries a function on the sphere, and receives one.

    Positions and vectors are standard normal, drawn afresh at every step, so that the test error is due to what the
    network can represent and how well it is optimised, not to too little data. One layer by default: two separable ones
    have every kernel within reach (see ``kernel_rank``). Targets are scaled to root mean square 1.
    """
    scale = 1.0

    def draw(count: int, rng: torch.Generator) -> Graphs:
        pos, vec = (torch.randn(count * nodes, *shape, generator=rng) for shape in ((3,), (1, 3)))
        graphs = Graphs(pos, pos[:, :0], batch=torch.arange(count).repeat_interleave(nodes), vec=vec)
        field = apply_kernel(kernel, graphs, GRID.points, GRID).float() / scale
        return Graphs(pos, pos[:, :0], graphs.edge_index, graphs.batch, vec=vec, y={"field": field})

    scale = float(draw(1000, torch.Generator().manual_seed(10_000)).y["field"].square().mean().sqrt())
    return Task(
        "kernel", draw, tuple(draw(50, torch.Generator().manual_seed(10_001 + k)) for k in range(test_graphs // 50)),
        lambda g: g.y["field"], lambda model, g: model(visible(model, g)).scalar.expand(-1, len(GRID)),
        vectors_in=1, layers=layers, fields=True)


# --------------------------------------------------------------------------------------------------- charged particles
def nbody_task(train: int = 3000, test: int = 300) -> Task:
    """Where five charged particles are one unit of time later, on the benchmark's first ``train`` simulations.

    Target: the displacement. A network on positions has two scalars a_i and b_i for each particle, and no vector: it
    predicts ∂(Σ_j a_j)/∂p_i + b_i v_i, which is equivariant.
    """
    data = load_nbody(train=train, val=1, test=test, progress=False)

    def predict(model: nn.Module, graphs: Graphs) -> Tensor:
        if model.config.space != "positions":
            return model(graphs).vector[:, 0]
        graphs = graphs.requires_grad_()
        a, b = model(visible(model, graphs)).scalar.unbind(-1)
        gradient, = torch.autograd.grad(a.sum(), graphs.pos, create_graph=True)
        return gradient + b[:, None] * graphs.vec[:, 0]

    return Task(
        "N-body", lambda count, rng: to_graphs(data["train"], torch.randint(train, (count,), generator=rng)),
        tuple(to_graphs(data["test"], k) for k in torch.arange(test).split(100)),
        lambda g: g.y_vec["displacement"], predict,
        scalars_in=1, vectors_in=1, scalars_out=0, vectors_out=1, scalars_out_positions=2)


# -------------------------------------------------------------------------------------------------------------- forces
def cluster_energy(pos: Float[Tensor, "graphs atoms 3"], kind: Float[Tensor, "graphs atoms"]
                   ) -> Float[Tensor, " graphs"]:
    r"""A smooth potential of pairs and angles, for clusters of two kinds of atoms (kind 0 or 1).

        E = Σ_{i<j} [(1 − e^{−1.5 (r_ij − ρ_ij)})² − 1] + Σ_j Σ_{i<k} λ (cos θ_ijk − c_j)² e^{−(r_ij² + r_jk²)/2}

    with ρ_ij = 1.2 + 0.2 (kind_i + kind_j), c = −1/3 for kind 0 and −0.8 for kind 1 at the corner j, and λ = 4. In
    reduced units: no molecule is meant, but bonds, bends and species matter as in one.
    """
    r = pos[:, :, None] - pos[:, None]
    off = ~torch.eye(pos.shape[1], dtype=torch.bool)
    length = torch.where(off, r.square().sum(-1), 1.0).sqrt()
    rest = 1.2 + 0.2 * (kind[:, :, None] + kind[:, None])
    pairs = ((1 - (-1.5 * (length - rest)).exp()) ** 2 - 1) * off
    near = (-length.square() / 2).exp() * off
    cosine = torch.einsum("bjix,bjkx->bjik", r, r) / (length[..., None] * length[:, :, None])
    bend = (cosine + 1 / 3 + (0.8 - 1 / 3) * kind[..., None, None]) ** 2 * off
    return pairs.sum((1, 2)) / 2 + 2 * torch.einsum("bjik,bji,bjk->b", bend, near, near)


def force_task(train: int = 2000, test: int = 100, atoms: int = 5) -> Task:
    """Forces on random clusters of atoms under ``cluster_energy``; networks predict −∂E/∂p of an energy of their own.

    Positions are standard normal, with no two atoms closer than 1: pairs and angles then contribute alike. Forces are
    scaled to root mean square 1.
    """
    rng = torch.Generator().manual_seed(10_002)
    pos = torch.randn(40 * (train + test), atoms, 3, generator=rng, dtype=torch.float64)
    far = torch.cdist(pos, pos) + 10 * torch.eye(atoms, dtype=torch.float64)
    pos = pos[far.amin((1, 2)) > 1][:train + test].requires_grad_()
    kind = torch.randint(2, pos.shape[:2], generator=rng).double()
    force = -torch.autograd.grad(cluster_energy(pos, kind).sum(), pos)[0]
    pos, kind, force = pos.detach().float(), kind.float()[..., None], (force / force.square().mean().sqrt()).float()
    return _force_task("forces", pos, kind, force, train)


def molecule_task(frames: Frames, train: int = 800) -> Task:
    """Forces on one molecule: ``train`` frames to learn from, drawn at random (always the same), the others to test.

    Forces are scaled to root mean square 1; atoms are told apart by the element only.
    """
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(10_003))
    pos, force = frames.pos[order].float(), (frames.forces / frames.forces.square().mean().sqrt())[order].float()
    x = (frames.numbers[:, None] == frames.numbers.unique()).to(pos).expand(len(frames), -1, -1)
    return _force_task("molecule", pos, x, force, train)


def _force_task(name: str, pos: Tensor, x: Tensor, force: Tensor, train: int) -> Task:
    frames, atoms, _ = pos.shape

    def pick(index: Tensor) -> Graphs:
        return Graphs(pos[index].flatten(0, 1), x[index].flatten(0, 1),
                      batch=torch.arange(len(index)).repeat_interleave(atoms), num_graphs=len(index),
                      y_vec={"force": force[index].flatten(0, 1)})

    def predict(model: nn.Module, graphs: Graphs) -> Tensor:
        graphs = graphs.requires_grad_()
        return -torch.autograd.grad(model(graphs).scalar.sum(), graphs.pos, create_graph=True)[0]

    return Task(name, lambda count, rng: pick(torch.randint(train, (count,), generator=rng)),
                tuple(pick(k) for k in torch.arange(train, frames).split(20)), lambda g: g.y_vec["force"], predict,
                scalars_in=x.shape[-1], level="graph")
