"""Exact equivariance, to 1e-12 in float64: point clouds, grids that move too, grids that are mapped onto themselves.

Errors are max |f(g x) - g f(x)| / max(1, max |f(x)|): relative for large outputs, absolute for those below 1. The
weights are scaled up until outputs are of order 1 and vectors vary over the sphere, so that a break would show.
"""

import pytest
import torch

from ponita_edu.analysis.equivariance import EquivarianceError, assert_equivariant, equivariance_error
from ponita_edu.analysis.equivariance_table import random_clouds
from ponita_edu.data.edges import radius_edges
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry import Motion, axis_angle, make_grid, random_rotations, rotation_2d
from ponita_edu.nn.baselines import EGNN, EGNNConfig
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita, Prediction

F64 = torch.float64
TOL = 1e-12
BREAKS = 1e-6  # a claim that does not hold fails by far more than rounding
PLATONIC = {"tetrahedron": 12, "octahedron": 24, "cube": 24, "icosahedron": 60, "dodecahedron": 60}


def network(grid=None, **settings):
    config = PonitaConfig(**dict(scalars_in=1, vectors_in=1, scalars_out=2, vectors_out=2, hidden=16, basis=16,
                                 layers=2, degree=2) | settings)
    model = Ponita(config, grid, seed=0).double()
    for name, p in model.named_parameters():
        if "kernel" in name:
            p.data.mul_(2.0)
    return model


def batch(dim=3, seed=0, vectors=True):
    graphs = random_clouds((4, 1, 5), dim, seed)
    near = radius_edges(graphs.pos, graphs.batch, 2.5)  # not complete, with self loops
    return Graphs(graphs.pos, graphs.x, near, graphs.batch, vec=graphs.vec if vectors else None)


def error(model, graphs, motions, move_grid=False):
    report = equivariance_error(model, graphs, motions, move_grid)
    assert min(o.size for o in report.outputs.values()) > 1e-3, "an output that is 0 proves nothing"
    return report.excess()


# ---------------------------------------------------------------------------------------------------- point clouds
POINT_CLOUDS = {
    "positions_node": dict(space="positions", vectors_in=0, vectors_out=0),
    "positions_graph": dict(space="positions", vectors_in=0, vectors_out=0, level="graph", radius=2.5),
    "edges_node": dict(space="edges"),
    "edges_graph": dict(space="edges", level="graph", attention=True),
    "edges_radius": dict(space="edges", radius=2.0),
}


@pytest.mark.parametrize("name", POINT_CLOUDS)
def test_point_clouds_3d_are_equivariant_to_motions_and_reflections(name):
    settings = POINT_CLOUDS[name]
    assert error(network(**settings), batch(vectors="vectors_in" not in settings), "E") < TOL


@pytest.mark.parametrize("name", POINT_CLOUDS)
def test_point_clouds_2d_are_equivariant_to_motions(name):
    settings = POINT_CLOUDS[name]
    assert error(network(dim=2, **settings), batch(2, vectors="vectors_in" not in settings), "SE") < TOL


def test_positions_2d_are_equivariant_to_reflections_and_lifted_edges_2d_are_not():
    # the second 2D attribute is a signed component, which a mirror turns over
    assert error(network(dim=2, **POINT_CLOUDS["positions_node"]), batch(2, vectors=False), "E") < TOL
    assert error(network(dim=2, **POINT_CLOUDS["edges_node"]), batch(2), "E") > BREAKS


class PositionsMoveAlone:
    """A network whose velocities are frozen: what it gets is a batch of which only the positions were moved."""

    def __init__(self, model, graphs):
        self.model, self.vec = model, graphs.vec

    def __call__(self, graphs):
        return self.model(graphs._replace(vec=self.vec))


@pytest.mark.parametrize("space, move_grid", [("edges", False), ("bundle", True)])
def test_rotating_positions_but_not_velocities_breaks_equivariance(space, move_grid):
    model, graphs = network(space=space), batch()
    frozen = PositionsMoveAlone(model, graphs)
    if move_grid:
        frozen.grid, frozen.set_grid = model.grid, model.set_grid
    assert error(frozen, graphs, "SO", move_grid) > BREAKS
    assert error(model, graphs, "SO", move_grid) < TOL


# ------------------------------------------------------------------------------------- points and grid move together
BUNDLES = {
    "separable": dict(),
    "separable_graph_window": dict(level="graph", radius=2.5),
    "separable_attention": dict(attention=True, layer_scale=0.5, readout="last"),
    "full_triple": dict(conv="full"),
    "full_e3": dict(conv="full", attributes="e3"),
    "full_se3": dict(conv="full", attributes="se3"),
}
GRIDS_3D = {"fibonacci": 7, "repulsion": 9, "icosahedron": 12, "lebedev": 14}


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("family", GRIDS_3D)
def test_bundle_3d_is_equivariant_when_points_and_grid_move(name, family):
    model = network(make_grid(family, GRIDS_3D[family]), **BUNDLES[name])
    assert error(model, batch(), "SE", move_grid=True) < TOL


@pytest.mark.parametrize("settings", [dict(), dict(level="graph"), dict(conv="full"),
                                      dict(conv="full", attributes="se2")], ids=str)
@pytest.mark.parametrize("n", [5, 8])
def test_bundle_2d_is_equivariant_when_points_and_grid_move(settings, n):
    assert error(network(make_grid("circle", n), dim=2, **settings), batch(2), "SE", move_grid=True) < TOL


@pytest.mark.parametrize("name, holds", [("separable", True), ("full_triple", True), ("full_e3", True),
                                         ("full_se3", False)])
def test_reflections_break_only_the_attributes_that_see_handedness(name, holds):
    found = error(network(make_grid("fibonacci", 7), **BUNDLES[name]), batch(), "E", move_grid=True)
    assert found < TOL if holds else found > BREAKS


@pytest.mark.parametrize("settings, holds", [(dict(), False), (dict(conv="full", attributes="se2"), False)])
def test_reflections_break_the_signed_attributes_of_2d(settings, holds):
    assert error(network(make_grid("circle", 5), dim=2, **settings), batch(2), "E", move_grid=True) > BREAKS


@pytest.mark.parametrize("name", ["separable", "full_e3"])
def test_a_grid_that_is_left_behind_breaks_equivariance(name):
    model = network(make_grid("fibonacci", 7), **BUNDLES[name])
    assert error(model, batch(), "SO", move_grid=False) > BREAKS
    with pytest.raises(EquivarianceError, match="move_grid=True"):
        assert_equivariant(model, batch(), "SO", tol=TOL)


def test_bundle_is_invariant_to_translations_with_the_grid_in_place():
    generator = torch.Generator().manual_seed(0)
    shifts = Motion(torch.eye(3, dtype=F64).repeat(4, 1, 1), 10 * torch.randn(4, 3, dtype=F64, generator=generator))
    assert error(network(make_grid("fibonacci", 7)), batch(), shifts) < TOL

    def absolute(graphs):  # negative control: a network that looks at positions themselves
        return Prediction(graphs.pos.square().sum(1, keepdim=True), graphs.vec)

    assert error(absolute, batch(), shifts) > BREAKS


# ------------------------------------------------------------------------------------------ the grid's own symmetries
@pytest.mark.parametrize("conv", ["separable", "full"])
@pytest.mark.parametrize("solid", PLATONIC)
def test_bundle_on_a_platonic_grid_is_equivariant_to_each_rotation_of_the_solid(solid, conv):
    if conv == "full" and solid == "dodecahedron":
        graphs = random_clouds((3, 1))  # 400 pairs of orientations an edge
    else:
        graphs = batch()
    grid = make_grid(solid)
    rotations = grid.symmetries()[0]
    assert len(rotations) == PLATONIC[solid]
    assert error(network(grid, conv=conv, attributes="triple" if conv == "separable" else "e3"), graphs, "grid") < TOL


@pytest.mark.parametrize("solid", ["tetrahedron", "octahedron", "icosahedron"])
def test_rotations_that_are_not_of_the_solid_break_equivariance(solid):
    angle = torch.tensor([0.3, 1.0], dtype=F64)
    axes = torch.tensor([[0.0, 0.0, 1.0], [1.0, 2.0, 3.0]], dtype=F64)
    assert error(network(make_grid(solid)), batch(), axis_angle(axes, angle)) > BREAKS


def test_quarter_turns_are_of_the_octahedron_and_not_of_the_tetrahedron():
    quarter = axis_angle(torch.tensor([0.0, 0.0, 1.0], dtype=F64), torch.tensor(torch.pi / 2, dtype=F64))
    assert error(network(make_grid("octahedron")), batch(), quarter) < TOL
    assert error(network(make_grid("tetrahedron")), batch(), quarter) > BREAKS


@pytest.mark.parametrize("conv", ["separable", "full"])
@pytest.mark.parametrize("n", [3, 4, 8])
def test_bundle_on_a_circle_is_equivariant_to_its_n_turns(n, conv):
    model = network(make_grid("circle", n), dim=2, conv=conv)
    assert len(model.grid.symmetries()[0]) == n
    assert error(model, batch(2), "grid") < TOL
    assert error(model, batch(2), rotation_2d(torch.tensor([torch.pi / n], dtype=F64))) > BREAKS


# ------------------------------------------------------------------------------------------------------ permutations
@pytest.mark.parametrize("model", [network(make_grid("fibonacci", 7)), network(make_grid("fibonacci", 7), conv="full"),
                                   network(space="edges"), network(make_grid("octahedron"), level="graph")],
                         ids=["separable", "full", "edges", "graph"])
def test_reordering_the_nodes_reorders_the_outputs(model):
    graphs = batch()
    generator = torch.Generator().manual_seed(3)
    order = torch.cat([(graphs.batch == b).nonzero()[:, 0][torch.randperm(int((graphs.batch == b).sum()),
                                                                          generator=generator)] for b in range(3)])
    assert not torch.equal(order, torch.arange(len(order)))
    with torch.no_grad():
        out, permuted = model(graphs), model(graphs.permuted(order))
    if model.config.level == "node":
        assert (permuted.scalar - out.scalar).abs().max() > BREAKS  # negative control: the order does matter
        out = Prediction(out.scalar[order], out.vector[order])
    assert (permuted.scalar - out.scalar).abs().max() < TOL
    assert (permuted.vector - out.vector).abs().max() < TOL


# -------------------------------------------------------------------------------------------------------- other models
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("settings", [dict(), dict(edge_products=True), dict(scalars_out=2, level="graph"),
                                      dict(scalars_out=1, vectors_out=0)], ids=str)
def test_egnn_is_equivariant_to_motions_and_reflections(dim, settings):
    assert error(EGNN(EGNNConfig(hidden=16, **settings), seed=0), batch(dim), "E") < TOL


class EGNNOfCoordinates(EGNN):
    """Negative control: the first coordinate is taken for a scalar feature."""

    def forward(self, graphs):
        return super().forward(graphs._replace(x=graphs.pos[:, :1]))


def test_an_egnn_that_is_fed_coordinates_is_not_equivariant():
    assert error(EGNNOfCoordinates(EGNNConfig(hidden=16), seed=0), batch(), "E") > BREAKS


def forces(graphs):
    """Minus the gradient of a sum of pair energies: a network of somebody else's, which returns a dict."""
    moving = graphs.requires_grad_()
    r = moving.pos[moving.source] - moving.pos[moving.target]
    energy = (-r.square().sum(1)).exp().sum()
    force = -torch.autograd.grad(energy, moving.pos)[0]
    return {"energy": energy, "forces": force, "where": moving.pos + force}


KINDS = {"energy": "invariant", "forces": "vector", "where": "point"}


def test_a_plain_function_with_forces_is_checked_in_one_line():
    report = assert_equivariant(forces, batch(), "E", tol=TOL, outputs=KINDS)
    assert {name: o.kind for name, o in report.outputs.items()} == KINDS


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_claim_about_reflections_is_tested_by_a_reflection_however_few_motions_there_are(count):
    def handed(graphs):
        return torch.linalg.det(graphs.pos[:3] - graphs.pos[3:6])[None]

    assert_equivariant(handed, batch(), "SE", tol=TOL, outputs="invariant", count=count)
    with pytest.raises(EquivarianceError, match="not equivariant"):
        assert_equivariant(handed, batch(), "E", tol=TOL, outputs="invariant", count=count)


@pytest.mark.parametrize("wrong", [{"forces": "invariant"}, {"where": "vector"}, {"forces": "point"}], ids=str)
def test_a_wrong_claim_about_an_output_is_found(wrong):
    with pytest.raises(EquivarianceError, match=next(iter(wrong))):
        assert_equivariant(forces, batch(), "E", tol=TOL, outputs=KINDS | wrong)


# ----------------------------------------------------------------------------------------------------- the tool itself
def test_the_check_leaves_model_grid_and_batch_as_they_were():
    grid = make_grid("icosahedron")
    model, graphs = network(grid).float().train(), batch().to(torch.float32)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    pos = graphs.pos.clone()
    report = equivariance_error(model, graphs, "E", move_grid=True)
    assert "float64" in report.numbers and report.excess() < TOL  # of a copy that was cast
    assert model.grid is grid and model.training and graphs.pos.dtype == torch.float32
    assert torch.equal(graphs.pos, pos) and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_model_that_is_no_module_gets_its_grid_back_even_after_a_failure():
    model = network(make_grid("icosahedron"))
    grid, calls = model.grid, []

    class Wrapped:
        def __init__(self):
            self.set_grid = model.set_grid

        @property
        def grid(self):
            return model.grid

        def __call__(self, graphs):
            calls.append(model.grid)
            if len(calls) == 3:
                raise KeyError("planted")
            return model(graphs)

    with pytest.raises(KeyError, match="planted"):
        equivariance_error(Wrapped(), batch(), "SO", move_grid=True)
    assert calls[2] is not grid and model.grid is grid


def test_the_report_says_what_was_measured():
    model, graphs = network(make_grid("icosahedron")), batch()
    text = str(equivariance_error(model, graphs, "E", move_grid=True, count=6))
    for part in ("Ponita", "6 random motions of E(3)", "R p + b", "v @ R.T", "moved too: an exact claim", "float64",
                 "scalar", "vector", "invariant"):
        assert part in text
    assert "approximate" in str(equivariance_error(model, graphs, "SE"))
    mirrored = Motion.random(20, 3, seed=1, reflections=True)
    count = int((torch.linalg.det(mirrored.rotation) < 0).sum())
    assert 0 < count < 20
    assert f"20 given motions, {count} of them" in str(equivariance_error(model, graphs, mirrored))


def test_errors_are_those_of_the_definition():
    graphs, motion = batch(), Motion.random(5, 3, seed=2)

    def skewed(graphs):  # vectors scaled along z: f(g x) - g f(x) is easy to write down
        return graphs.vec[:, 0] * torch.tensor([1.0, 1.0, 2.0], dtype=F64)

    found = equivariance_error(skewed, graphs, motion, outputs="vector").outputs["output"]
    v, scale = graphs.vec[:, 0], torch.diag(torch.tensor([1.0, 1.0, 2.0], dtype=F64))
    wanted = [(v @ R.T @ scale - v @ scale @ R.T) for R in motion.rotation]
    norms = torch.stack([w.norm() / (v @ scale).norm() for w in wanted])
    assert abs(found.largest - float(torch.stack(wanted).abs().max())) < TOL
    assert abs(found.median - float(norms.median())) < TOL and abs(found.worst - float(norms.max())) < TOL
    assert abs(found.size - float((v @ scale).abs().max())) < TOL


def test_rotations_in_float32_do_not_count_as_an_error_of_the_model():
    rounded = random_rotations(4, dtype=torch.float32)
    assert (rounded.double() @ rounded.double().mT - torch.eye(3, dtype=F64)).abs().max() > 1e-9
    assert error(network(space="edges"), batch(), rounded) < TOL
