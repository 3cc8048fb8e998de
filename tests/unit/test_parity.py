"""The network against an independent forward pass in numpy, and against recorded runs of public implementations."""

import shutil
from itertools import product
from pathlib import Path

import numpy as np
import parity
import pytest
import reference_numpy
import torch

from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry import make_grid
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita

RECORDED = Path(__file__).resolve().parents[2] / "../shared/reference/ponita"
F64 = torch.float64

# What each file of settings adds to the small network below; every formula of the network occurs at least once.
SETTINGS = {
    "bundle3d": dict(),
    "bundle3d_last_scale": dict(readout="last", layer_scale=0.3),
    "bundle3d_window": dict(radius=1.7),
    "bundle3d_conditioning": dict(conditioning=True),
    "bundle3d_attention": dict(attention=True),
    "bundle3d_distinct": dict(distinct_monomials=True, degree=3),
    "bundle3d_graph_uncentred": dict(level="graph", centred_readout=False),
    "bundle2d": dict(dim=2),
    "bundle2d_window_graph": dict(dim=2, radius=1.7, level="graph"),
    "positions3d": dict(space="positions", vectors_in=0, vectors_out=0),
    "positions2d_attention": dict(space="positions", vectors_in=0, vectors_out=0, dim=2, attention=True),
    "positions3d_window_conditioning": dict(space="positions", vectors_in=0, vectors_out=0, radius=1.7,
                                            conditioning=True),
    "edges3d": dict(space="edges"),
    "edges2d_graph": dict(space="edges", dim=2, level="graph"),
    "edges3d_radius": dict(space="edges", radius=1.7),
    "edges3d_conditioning_attention": dict(space="edges", conditioning=True, attention=True),
    "full3d_triple": dict(conv="full"),
    "full3d_e3": dict(conv="full", attributes="e3", radius=1.7),
    "full3d_se3": dict(conv="full", attributes="se3", layer_scale=0.5),
    "full2d_triple": dict(conv="full", dim=2),
    "full2d_se2": dict(conv="full", dim=2, attributes="se2", conditioning=True),
}


def batch_of_three(config, directed=True):
    """Clouds of 1, 3 and 4 points; about two thirds of all ordered pairs, self pairs too, are edges."""
    generator = torch.Generator().manual_seed(5)
    sizes = torch.tensor([1, 3, 4])
    batch = torch.arange(3).repeat_interleave(sizes)
    n = len(batch)
    pairs = [(i, j) for i, j in product(range(n), repeat=2) if batch[i] == batch[j]]
    if directed:
        kept = torch.rand(len(pairs), generator=generator) < 0.67
        pairs = [pair for pair, keep in zip(pairs, kept, strict=True) if keep]

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=F64)

    return Graphs(draw(n, config.dim), draw(n, config.scalars_in), torch.tensor(pairs).T, batch, num_graphs=3,
                  vec=draw(n, config.vectors_in, config.dim) if config.vectors_in else None,
                  cond=draw(n, 1) if config.conditioning else None)


def network(**settings):
    config = PonitaConfig(**dict(scalars_in=2, vectors_in=2, scalars_out=2, vectors_out=1, hidden=6, basis=7, layers=2,
                                 widening=2, degree=2) | settings)
    grid = None
    if config.space == "bundle":  # neither closed under o -> -o nor of mean 0, so that nothing cancels
        grid = make_grid("fibonacci", 5) if config.dim == 3 else make_grid("circle", 5)
    model = Ponita(config, grid, seed=1).double()
    generator = torch.Generator().manual_seed(2)
    for p in model.parameters():  # biases and scales start at special values
        p.data.add_(0.3 * torch.randn(p.shape, generator=generator, dtype=F64))
    return model


def numpy_forward(model, graphs, mistake=None):
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    arrays = {name: None if getattr(graphs, name) is None else getattr(graphs, name).numpy()
              for name in ("pos", "x", "vec", "cond", "edge_index", "batch")} | {"num_graphs": graphs.num_graphs}
    grid = None if model.grid is None else (model.grid.points.numpy(), model.grid.weights.numpy())
    return reference_numpy.forward(model.config, weights, arrays, grid, mistake)


def misfit(model, graphs, mistake=None):
    """Largest difference of an output from the numpy forward, relative to that output's size."""
    with torch.no_grad():
        ours = model(graphs)._asdict()
    theirs = numpy_forward(model, graphs, mistake)
    return max((float(np.abs(ours[k].numpy() - theirs[k]).max() / np.abs(theirs[k]).max())
                for k in ours if theirs[k].size), default=np.inf)


@pytest.mark.parametrize("directed", [True, False], ids=["directed", "mutual"])
@pytest.mark.parametrize("name", SETTINGS)
def test_network_equals_the_formulas_in_numpy(name, directed):
    model = network(**SETTINGS[name])
    assert misfit(model, batch_of_three(model.config, directed)) < 1e-10


@pytest.mark.parametrize("name", ["edges3d", "edges3d_radius", "edges2d_graph"])
def test_lifted_edges_equal_the_formulas_where_points_coincide(name):
    # the edge between them has no direction and makes no point, but their other points still send to each other
    model = network(**SETTINGS[name])
    graphs = batch_of_three(model.config, directed=False)
    pos = graphs.pos.clone()
    pos[5] = pos[4]
    assert misfit(model, graphs._replace(pos=pos)) < 1e-10


@pytest.mark.parametrize("grid", [make_grid("octahedron"), make_grid("lebedev", 14)], ids=lambda g: g.name)
def test_network_equals_the_formulas_where_reversed_pairs_share_a_kernel(grid):
    model = network()
    model.set_grid(grid)
    graphs = batch_of_three(model.config, directed=False)
    assert model.antipodes is not None and graphs.mutual is not None  # so that sharing takes place
    assert misfit(model, graphs) < 1e-10
    model.antipodes = torch.arange(len(grid))  # negative control: -o is not o
    assert misfit(model, graphs) > 1e-3


@pytest.mark.parametrize("mistake", reference_numpy.MISTAKES)
def test_comparison_notices_a_planted_mistake(mistake):
    model = network()
    assert misfit(model, batch_of_three(model.config), mistake) > 1e-5


@pytest.mark.parametrize("name, mistake", [
    ("full3d_e3", "sign of r"), ("full3d_e3", "no 1/N"), ("edges3d", "sign of r"),
    ("edges3d", "source and target swapped"), ("bundle2d", "sign of r"), ("bundle2d", "source and target swapped"),
    ("positions3d", "source and target swapped"), ("positions3d", "tanh GELU"),
])
def test_comparison_notices_a_planted_mistake_in_other_spaces(name, mistake):
    model = network(**SETTINGS[name])
    assert misfit(model, batch_of_three(model.config), mistake) > 1e-6


@pytest.mark.parametrize("name", ["bundle3d", "bundle2d", "positions3d", "edges3d", "full3d_e3"])
def test_calibration_rescales_kernels_by_the_ratios_of_standard_deviations(name):
    model = network(**SETTINGS[name])
    graphs = batch_of_three(model.config)
    wanted = numpy_forward(model, graphs)["sd"]
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    stds = model.calibrate(graphs)
    assert np.abs(stds.numpy() - wanted).max() < 1e-10 * wanted.max()
    steps = ["kernel"] if name == "full3d_e3" else ["spatial.kernel", "fiber.kernel"][: wanted.shape[1] - 1]
    for k, p in model.named_parameters():
        factor = 1.0
        for j, step in enumerate(steps):
            if k.endswith(f"conv.{step}.weight"):
                layer = int(k.split(".")[1])
                factor = wanted[layer, j] / wanted[layer, j + 1]
        assert torch.allclose(p, before[k] * factor, rtol=1e-10, atol=0)


# -------------------------------------------------------------------------------------------------- recorded runs
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="recorded runs not beside the checkout (../shared)")


@recorded
def test_network_equals_all_recorded_runs_of_public_code(capsys):
    failed = parity.main(str(RECORDED))
    lines = capsys.readouterr().out.splitlines()
    assert failed == 0, "\n".join(lines)
    assert len(lines) == len(list(RECORDED.glob("*.npz"))) + 1  # one line a file, and the sum


@recorded
@pytest.mark.parametrize("array, change", [("out/vector", 1e-8), ("grad/pos", 1e-8), ("act/layer0/norm_out", 1e-8),
                                           ("graph/edge_index", 1), ("act/something_new", 0)])
def test_parity_program_notices_a_changed_or_unknown_array(tmp_path, capsys, array, change):
    with np.load(RECORDED / "pyg_a_bundle3d_vec_node_f64.npz", allow_pickle=False) as file:
        arrays = dict(file)
    old = arrays.get(array, np.zeros(3))
    arrays[array] = old + change * (1 if old.dtype.kind == "i" else np.abs(old).max())
    np.savez(tmp_path / "changed.npz", **arrays)
    assert parity.main(str(tmp_path)) == 1
    assert array in capsys.readouterr().out


@recorded
def test_parity_program_goes_on_after_a_file_that_cannot_be_run(tmp_path, capsys):
    (tmp_path / "a_broken.npz").write_bytes(b"not an archive")
    shutil.copy(RECORDED / "grids.npz", tmp_path / "b_good.npz")
    assert parity.main(str(tmp_path)) == 1
    out = capsys.readouterr().out
    assert "MISS a_broken.npz" in out and "ok   b_good.npz" in out


def test_parity_program_says_that_a_folder_is_empty(tmp_path, capsys):
    assert parity.main(str(tmp_path)) != 0
    assert "no .npz files" in capsys.readouterr().out
