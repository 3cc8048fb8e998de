"""Numerics: every gradient against differences, double backward at degenerate pairs, large energies, bits, threads."""

import copy

import pytest
import torch
from clouds import F64, cloud, shaken
from torch import nn

from ponita_edu.data.md17 import KCAL_PER_EV, Frames
from ponita_edu.geometry import make_grid
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.nn import Ponita, PonitaConfig, spaces
from ponita_edu.nn.forcefield import molecules
from ponita_edu.tasks import md17, presets, run, task, training
from ponita_edu.tasks.settings import replaced

GRID = make_grid("octahedron").rotated(random_rotations(1, 3, seed=3)[0])  # along no axis, where nothing is rounded
ONE_SIDED = make_grid("tetrahedron").rotated(random_rotations(1, 3, seed=3)[0])
NETWORKS = {
    "ponita": (dict(), GRID),
    "ponita, grid without antipodes": (dict(), ONE_SIDED),
    "ponita, full convolution": (dict(conv="full", attributes="se3"), ONE_SIDED),
    "ponita on edges": (dict(space="edges"), None),
    "pnita": (dict(space="positions"), None),
}


def network(name, dtype=F64, **more):
    settings, grid = NETWORKS[name]
    vectors = settings.get("space") != "positions"
    inout = dict(scalars_in=2, vectors_in=2 * vectors, scalars_out=1, vectors_out=int(vectors))
    config = PonitaConfig(**inout | dict(hidden=4, basis=4, layers=2, widening=2, degree=2) | settings | more)
    return shaken(Ponita(config, grid, seed=0).double()).to(dtype)


def crystal(name):
    """Three atoms of general position in a skew cell, with vectors where the network takes some."""
    random = torch.Generator().manual_seed(5)
    cell = torch.tensor([[[2.1, 0.2, -0.1], [0.5, 2.3, 0.3], [-0.4, 0.7, 2.6]]], dtype=F64)
    pos, x, vec = (torch.randn(3, *shape, generator=random, dtype=F64) for shape in ((3,), (2,), (2, 3)))
    graphs = molecules(pos, x, torch.zeros(3, dtype=torch.long), 2.4, cell)
    return graphs if name == "pnita" else graphs._replace(vec=vec)


def three(case, name):
    """Three atoms with self loops: in general position; two of them coincident; two along a direction of the grid; or
    one atom alone."""
    graphs = cloud(1 if case == "alone" else 3, 3, 11, vectors=0 if name == "pnita" else 2)
    pos = graphs.pos.clone()
    if case == "coincident":
        pos[1] = pos[0]
    if case == "parallel":
        pos[1] = pos[0] + 1.3 * (NETWORKS[name][1] or GRID).points[1]
    return graphs._replace(pos=pos)


CASES = ("alone", "coincident", "parallel")


def loss_of(model, graphs, cut=False):
    """A number that energies, vectors and forces enter, as in training; ``cut``: the forces as constants."""
    if not graphs.pos.requires_grad:
        graphs = graphs.requires_grad_()
    out = model(graphs)
    energy = out.scalar.sin().sum() + out.vector.square().sum()
    force = torch.autograd.grad(energy, graphs.pos, create_graph=True)[0]
    return (10 * (force.detach() if cut else force) - 1).square().sum() + energy


def inputs_of(model, graphs):
    """All that the loss can be differentiated by: the weights, and what describes the atoms."""
    fields = {name: getattr(graphs, name).clone().requires_grad_() for name in ("pos", "x", "vec", "cell")
              if getattr(graphs, name) is not None}
    return graphs._replace(**fields), dict(model.named_parameters()) | fields


def misfits(model, graphs, names=None, cut=False, step=1e-4, fixed=0):
    """For each tensor, how far its gradient is from differences of fourth order along a random direction, relative to
    the gradient's length; the first ``fixed`` atoms stay where they are."""
    graphs, inputs = inputs_of(model, graphs)
    inputs = {name: a for name, a in inputs.items() if names is None or name in names}
    gradients = torch.autograd.grad(loss_of(model, graphs, cut), list(inputs.values()), allow_unused=True)
    most = max(float(g.norm()) for g in gradients if g is not None)
    random, found = torch.Generator().manual_seed(1), {}
    for (name, tensor), gradient in zip(inputs.items(), gradients, strict=True):
        gradient = torch.zeros_like(tensor) if gradient is None else gradient
        way = torch.randn(tensor.shape, generator=random, dtype=F64)
        if name == "pos":
            way[:fixed] = 0
        way, start, values = way / way.norm().clamp(min=1e-9), tensor.detach().clone(), []
        for k in (2, 1, -1, -2):
            tensor.data = start + k * step * way
            values.append(loss_of(model, graphs).item())
        tensor.data = start
        slope = (8 * (values[1] - values[2]) - (values[0] - values[3])) / (12 * step)
        found[name] = abs(float((gradient * way).sum()) - slope) / max(float(gradient.norm()), 1e-3 * most, 1e-12)
    return found


# --------------------------------------------------------------------------------------------------- gradients
@pytest.mark.parametrize("name", ["ponita", "pnita"])
def test_gradients_by_weights_positions_features_vectors_and_cell_equal_differences(name):
    model, graphs = network(name, radius=2.4), crystal(name)
    found = misfits(model, graphs)
    assert {"pos", "x", "cell"} <= set(found) and ("vec" in found) == (name == "ponita")
    assert len(found) > 25 and max(found.values()) < 1e-7, found
    # controls: forces that are constants to training, and a network whose positions only half count
    off = misfits(model, graphs, cut=True)
    assert sum(x > 1e-4 for x in off.values()) > 0.8 * len(off)
    lift = model._lift

    def half(graphs):
        points = lift(graphs)
        return points._replace(attributes=0.5 * points.attributes + 0.5 * points.attributes.detach())

    model._lift = half
    assert min(misfits(model, graphs, ("pos", "cell")).values()) > 1e-3


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NETWORKS)
def test_double_backward_where_pairs_are_degenerate(name, case):
    """Finite in both precisions. Equal to differences where there is a derivative: by weights and features, and by the
    place of the third atom, which leaves the pair as it is."""
    model, graphs = network(name), three(case, name)
    for dtype in (F64, torch.float32):
        rounded = copy.deepcopy(model).to(dtype)
        at, inputs = inputs_of(rounded, graphs.to(dtype))
        gradients = torch.autograd.grad(loss_of(rounded, at), list(inputs.values()), allow_unused=True)
        assert all(bool(torch.isfinite(g).all()) for g in gradients if g is not None)
    weights = [n for n, p in model.named_parameters() if p.numel() > 1][::4]
    pair = 1 if case == "alone" else 2
    found = misfits(model, graphs, {*weights, "x", "vec", "pos"}, fixed=pair)
    if name == "ponita on edges" and case == "coincident":  # edges of length 0 are left out: no lifted network there
        found.pop("pos")
    assert max(found.values()) < 1e-7, found


def test_double_backward_needs_norms_that_are_guarded(monkeypatch):
    """Negative control: plain norms are not finite at self loops."""

    def plain(r, o):
        along = (r * o).sum(-1)
        return torch.stack((along, (r - along[..., None] * o).norm(dim=-1)), dim=-1)

    monkeypatch.setattr(spaces, "spatial_invariants", plain)
    model, graphs = network("ponita"), three("alone", "ponita").requires_grad_()
    model.share_classes = False  # else self loops are known to be of one class
    assert not bool(torch.isfinite(torch.autograd.grad(loss_of(model, graphs), graphs.pos)[0]).all())


# ------------------------------------------------------------------------------------------------------- energies
FRAMES, OFFSET = 100_000, -1e5  # eV; neighbouring float32 numbers are 7.8 meV apart there


def springs():
    """Two atoms whose distance varies, E = 10 (d - 1.2)^2 - 1e5 in eV and Å."""
    d = 1.2 + 0.1 * torch.randn(FRAMES, generator=torch.Generator().manual_seed(0), dtype=F64)
    pos, forces = torch.zeros(FRAMES, 2, 3, dtype=F64), torch.zeros(FRAMES, 2, 3, dtype=F64)
    pos[:, 1, 0] = d
    forces[:, 1, 0] = -20 * (d - 1.2)
    forces[:, 0] = -forces[:, 1]
    energy = OFFSET + 10 * (d - 1.2).square()
    return Frames(torch.tensor([6, 8]), pos, energy * KCAL_PER_EV, forces * KCAL_PER_EV, "springs")


class Truth(nn.Module):
    """What no network can better: the springs themselves, in the precision of the task."""

    def __init__(self, shift, scale):
        super().__init__()
        self.shift, self.scale = torch.tensor(shift, dtype=F64), torch.tensor(scale, dtype=F64)
        self.one = nn.Parameter(torch.ones(1))

    def check_trained(self, numbers):
        pass

    def forward(self, graphs):
        r = (graphs.pos[1::2] - graphs.pos[::2])[:, 0]
        slope = torch.zeros_like(graphs.pos)
        slope[1::2, 0], slope[::2, 0] = -20 * (r - 1.2), 20 * (r - 1.2)
        return ((10 * (r - 1.2).square() + (OFFSET - self.shift)) / self.scale).float(), slope / float(self.scale)


def test_energies_of_large_sets_far_from_zero_have_no_rounding_floor():
    """The mean of 100,000 energies near -1e5 eV is taken out in float64, before anything is cast to float32."""
    settings = replaced(presets.PRESETS["md17"]["paper"], {"model.method": "positions"})
    rows = torch.arange(FRAMES)
    whole = md17.Md17Task(springs(), {"train": rows, "val": rows, "test": rows[:10]}, settings)
    assert whole.shift == pytest.approx(OFFSET + 0.1, abs=1e-3) and float(whole.energy.float()[0]) % 0.0078125 == 0
    single = whole.to(torch.device("cpu"), torch.float32)
    truth = Truth(whole.shift, whole.scale)
    errors, frames = task.evaluate(single, truth, "val")
    assert frames == FRAMES
    assert errors[md17.ENERGY] < 1e-3 and errors[md17.METRIC] < 1e-2  # meV and meV/Å
    single.energy = single.energy.float().double()  # control: cast first
    assert task.evaluate(single, truth, "val")[0][md17.ENERGY] > 1


# ------------------------------------------------------------------------------------------- bits, threads, dtypes
TINY = {"model.hidden": 8, "model.layers": 1, "model.basis": 8, "model.grid": "octahedron", "train.batch_size": 4,
        "train.accelerator": "cpu", "train.epochs": 1, "train.max_minutes": "none"}
SMALL = {"data.train": 12, "data.val": 4, "data.test": 4}
RUNS = {"nbody": SMALL, "md17": SMALL | {"data.source": "ethanol_xtb", "data.split": "rows"},
        "qm9-gen": {"data.heavy_atoms": 3, "sample.molecules": 0}}


def trained(name, folder, **more):
    """Weights, as one vector, after one epoch."""
    settings = replaced(presets.PRESETS[name]["quick"], {k: str(v) for k, v in (TINY | RUNS[name] | more).items()})
    fabric, module = training.make_fabric(settings.train), run.module_of(name)
    folder.mkdir()
    model = module.build(settings.model, seed=settings.train.seed)
    training.fit(fabric, module.load(settings, progress=False), model, settings.train, folder, {})
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", RUNS)
def test_same_seed_same_bits_whatever_the_global_state(name, tmp_path):
    torch.manual_seed(1)
    first = trained(name, tmp_path / "a")
    torch.manual_seed(2)
    again, other = trained(name, tmp_path / "b"), trained(name, tmp_path / "c", **{"train.seed": 1})
    assert torch.equal(first, again) and not torch.equal(first, other)


def outputs(model, graphs):
    """Energies, vectors, forces, and the gradient of the loss by all weights."""
    graphs = graphs.requires_grad_()
    out = model(graphs)
    force = torch.autograd.grad(out.scalar.sum(), graphs.pos, retain_graph=True)[0]
    weights = torch.autograd.grad(loss_of(model, graphs), list(model.parameters()), allow_unused=True)
    return [*out, force, torch.cat([g.flatten() for g in weights if g is not None])]


def apart(a, b):
    pairs = [(x.double(), y.double()) for x, y in zip(a, b, strict=True) if x.numel()]
    return max(float(((x - y).norm() / x.norm()).detach()) for x, y in pairs)


@pytest.mark.parametrize("name, atoms, vectors", [("ponita", 24, 2), ("ponita on edges", 8, 2), ("pnita", 24, 0)])
def test_threads_and_precision_change_results_by_rounding_only(name, atoms, vectors):
    """1 against 2 threads: 1e-13 in float64, 1e-5 in float32. float32 against float64: 1e-5 for outputs and forces,
    1e-4 for the gradient by the weights."""
    model, graphs = network(name, hidden=32, basis=32), cloud(atoms, 3, 2, vectors=vectors)
    single, rounded = copy.deepcopy(model).float(), graphs.to(torch.float32)
    threads, results = torch.get_num_threads(), {}
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results[count] = outputs(model, graphs), outputs(single, rounded)
    finally:
        torch.set_num_threads(threads)
    (one, one_single), (two, two_single) = results[1], results[2]
    assert apart(one, two) < 1e-13 and apart(one_single, two_single) < 1e-5
    assert 0 < apart(one[:-1], one_single[:-1]) < 1e-5 and apart(one, one_single) < 1e-4
    moved = outputs(model, graphs._replace(pos=graphs.pos * (1 + 1e-4)))  # control: a change of 1e-4 is seen
    assert apart(one[:-1], moved[:-1]) > 1e-5
