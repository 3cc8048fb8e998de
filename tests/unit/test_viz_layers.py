"""Functions on the sphere through the layers of a network, the diagram, and LayerExplorer, without a browser."""

import numpy as np
import pytest
import torch

pytest.importorskip("anywidget", reason="the course extra is not installed")

from ponita_edu.analysis.cost import cost_table
from ponita_edu.data.graphs import Graphs, collate
from ponita_edu.geometry import make_grid, random_rotations
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.viz.architecture import architecture_alt, plot_architecture
from ponita_edu.viz.items import Arrows, Balls, Mesh, Points
from ponita_edu.viz.layers import READOUT, LayerExplorer, degree_shares, fine_grid, layer_scene, layers, refined

SIZE = dict(scalars_in=1, vectors_in=1, hidden=4, basis=6, layers=2)
MODEL = Ponita(PonitaConfig(**SIZE, scalars_out=1, vectors_out=1), make_grid("icosahedron"), seed=1).double()
RNG = torch.Generator().manual_seed(3)
POS, VEC = torch.randn(4, 3, generator=RNG).double(), torch.randn(4, 1, 3, generator=RNG).double()
CHARGES = torch.tensor([[1.0], [-1], [1], [-1]]).double()
GRAPH = Graphs(POS, CHARGES, vec=VEC, y_vec={"displacement": VEC[:, 0]})
STATE = layers(MODEL, GRAPH)


@pytest.fixture(scope="module")
def shared():
    return LayerExplorer(MODEL, GRAPH)


@pytest.fixture
def widget(shared):
    shared.reset()
    yield shared
    assert shared.error_box.value == ""


def drawn(widget):
    keys = ("x", "y", "z", "intensity")
    return np.concatenate([np.ravel(t[k]) for t in widget.pictures[0].data for k in keys
                           if k in t and t[k] is not None]).astype(float)


def same(a, b):
    return a.shape == b.shape and np.allclose(a, b, atol=1e-6, equal_nan=True)


def items(scene, kind, name=None):
    return [i for i in scene.items if isinstance(i, kind) and name in (None, getattr(i, "name", None))]


# ------------------------------------------------------------------------------------------------------------ numbers
def test_shares_tell_scalar_vector_and_finer_apart():
    grid = fine_grid()
    z = grid.points[:, 2]
    for f, wanted in ((0 * z + 2, (1, 0, 0)), (z, (0, 1, 0)), (3 * z**2 - 1, (0, 0, 1))):
        assert degree_shares(f[:, None], grid) == pytest.approx(torch.tensor(wanted).double(), abs=2e-3)
    mixed = degree_shares(torch.stack((1 + z, z**2), dim=1)[None], grid)
    assert mixed.sum() == pytest.approx(1, abs=1e-12) and mixed.min() > 0.01


def test_embedding_holds_scalars_and_vectors_and_convolutions_make_finer_functions():
    assert degree_shares(STATE.fine["embedding"], fine_grid())[2] < 1e-24
    assert degree_shares(STATE.fine["block 1: spatial convolution"], fine_grid())[2] > 1e-4


def test_last_step_is_what_the_network_reads_out():
    signal = STATE.own[READOUT]
    read = torch.einsum("noc,od->nd", signal, MODEL.grid.points) / 12
    torch.testing.assert_close(read, MODEL(GRAPH).vector[:, 0].detach(), atol=1e-12, rtol=0)
    torch.testing.assert_close(STATE.vector, read, atol=1e-12, rtol=0)
    assert not torch.allclose(torch.einsum("noc,od->nd", STATE.own["block 2"][..., :1], MODEL.grid.points) / 12, read)


def test_functions_turn_along_with_input_and_grid():
    R = random_rotations(1, seed=5)[0]
    turned = Ponita(MODEL.config, MODEL.grid.rotated(R), seed=1).double()
    after = layers(turned, GRAPH.rotate(R))
    still = layers(MODEL, GRAPH.rotate(R))
    for step, signal in STATE.own.items():
        torch.testing.assert_close(after.own[step], signal, atol=1e-12, rtol=0)
    assert (still.own["block 2"] - STATE.own["block 2"]).abs().max() > 1e-3  # negative control: the grid stayed


@pytest.mark.parametrize("config", [dict(space="edges", vectors_out=1), dict(), dict(vectors_out=1, level="graph"),
                                    dict(vectors_out=1, dim=2)])
def test_networks_without_functions_to_show_are_refused(config):
    model = Ponita(PonitaConfig(**SIZE, **config))
    for show in (refined, lambda m: layers(m, GRAPH), lambda m: LayerExplorer(m, GRAPH)):
        with pytest.raises(ValueError, match="vectors_out"):
            show(model)


def test_a_fine_copy_made_before_gives_the_same():
    again = layers(MODEL, GRAPH, refined(MODEL))
    assert all(torch.equal(again.fine[step], signal) for step, signal in STATE.fine.items())


# ----------------------------------------------------------------------------------------------------------- pictures
def test_sphere_and_discs_have_the_values_of_the_network():
    scene = layer_scene(STATE, "block 1", node=2, channel=3)
    assert np.allclose(items(scene, Mesh)[0].values, STATE.fine["block 1"][2, :, 3], atol=1e-6)
    assert np.allclose(items(scene, Mesh)[0].vertices, fine_grid().points, atol=1e-6)
    assert items(scene, Points)[-1].hover[5] == f"f(o) = {STATE.own['block 1'][2, 5, 3]:.3f}"


def test_finer_part_of_the_embedding_is_nothing_and_later_is_something():
    for step, nothing in (("embedding", True), ("block 2", False)):
        mesh = items(layer_scene(STATE, step, 1, 2, finer=True), Mesh)[0]
        assert (np.abs(mesh.values).max() < 1e-3 * mesh.limits[1]) == nothing


def test_others_stand_where_they_are_seen_and_the_arrow_ends_at_the_prediction():
    scene = layer_scene(STATE, READOUT, node=1)
    others = items(scene, Balls)[0].xyz
    for ball, j in zip(others, (0, 2, 3), strict=True):
        r = (POS[j] - POS[1]) / (POS[j] - POS[1]).norm()
        assert np.allclose(ball / np.linalg.norm(ball), r, atol=1e-6)
    arrow = items(scene, Arrows, "predicted")[0]
    length = STATE.vector[1].norm()
    assert np.allclose(arrow.vector / np.linalg.norm(arrow.vector), STATE.vector[1] / length, atol=1e-5)
    assert items(scene, Balls, "true end") and not items(layer_scene(STATE, "block 1"), Arrows, "predicted")


def test_alt_texts_say_step_and_shapes():
    assert "channel 3" in layer_scene(STATE, "block 1", channel=3).alt
    rows = cost_table(MODEL, GRAPH)
    assert "[4, 12, 4]" in architecture_alt(MODEL, rows) and "2 blocks" in architecture_alt(MODEL, rows)


def test_diagram_has_the_shapes_of_this_batch():
    model = Ponita(MODEL.config, make_grid("fibonacci", 9), seed=0).double()
    words = [text.get_text() for text in plot_architecture(model, GRAPH).axes[0].texts]
    for shape in ("[4, 9, 2]", "[4, 9, 4]", "[16, 9, 2]", "[16, 9, 6]", "[9, 9, 6]", "[4, 4]", "block, 2 times"):
        assert any(shape in w for w in words), shape
    assert not any("[4, 12, 4]" in w for w in words)
    with pytest.raises(ValueError, match="separable"):
        plot_architecture(Ponita(PonitaConfig(**SIZE, space="edges")), GRAPH)


def test_diagram_of_a_network_for_graphs_has_nodes_in_and_graphs_out():
    pair = collate([GRAPH._replace(y_vec={})] * 2)
    config = PonitaConfig(**SIZE, scalars_out=1, vectors_out=1, level="graph", readout="last")
    words = [text.get_text() for text in plot_architecture(Ponita(config, seed=0).double(), pair).axes[0].texts]
    for shape in ("x [8, 1]\nv [8, 1, 3]", "pos [8, 3]", "1 scalar\n1 vector\n[2, 4]"):
        assert any(shape in w for w in words), shape
    assert "readout" in words and not any("mean" in w for w in words)  # one, of the last block
    with pytest.raises(ValueError, match="no band_limit, but has 2"):
        plot_architecture(Ponita(PonitaConfig(**SIZE, scalars_out=1, band_limit=2)), GRAPH)


# ------------------------------------------------------------------------------------------------------------- widget
@pytest.mark.parametrize(("state", "control", "value"), [
    ({}, "step", 3), ({"step": 2}, "channel", 2), ({"step": 3}, "particle", 2), ({"step": 3}, "turn", 90),
    ({"step": 7}, "particle", 3)])
def test_each_control_changes_picture_and_report(widget, state, control, value):
    widget.set(state)
    before, report = drawn(widget), widget.report_box.value
    getattr(widget, control).value = value
    assert not same(drawn(widget), before) and widget.report_box.value != report
    widget.set({control: widget._start[control]} | state)
    assert same(drawn(widget), before) and widget.report_box.value == report


def test_switch_changes_the_picture_only(widget):
    widget.step.value = 3
    before, report = drawn(widget), widget.report_box.value
    widget.finer.value = True
    assert not same(drawn(widget), before) and widget.report_box.value == report


def test_channel_has_no_say_at_the_readout(widget):
    widget.step.value = 7
    assert widget.name() == READOUT and widget.channel.disabled
    before = drawn(widget)
    widget.channel.value = 2
    assert same(drawn(widget), before)
    widget.step.value = 0
    assert not widget.channel.disabled and "[4, 12, 4]" in widget.report()


def test_turning_by_a_full_circle_changes_nothing_and_by_less_something(widget):
    widget.step.value = 6
    before = drawn(widget)
    widget.turn.value = 360
    assert same(drawn(widget), before)
    widget.turn.value = 120
    assert not same(drawn(widget), before)
    assert 1e-6 < widget.off() < 0.5 and f"{100 * widget.off():.1f} %" in widget.report()
    widget.turn.value = 0
    assert widget.off() == 0


def test_a_particle_alone_at_rest_without_charge_has_numbers_that_can_be_told():
    widget = LayerExplorer(MODEL, Graphs(POS[:1], 0 * CHARGES[:1], vec=0 * VEC[:1]))
    widget.turn.value = 30
    assert widget.off() == 0 and widget.state().own["embedding"].abs().max() == 0
    assert "nan" not in widget.report() + widget.scene().alt and "-0.0" not in widget.report()


def test_prediction_is_exact_for_a_turn_that_the_grid_does_not_notice(monkeypatch):
    symmetry = MODEL.grid.symmetries()[0][7]
    widget = LayerExplorer(MODEL, GRAPH)  # one of its own: functions are kept by angle
    monkeypatch.setattr("ponita_edu.viz.layers._turn", lambda degrees: symmetry if degrees else torch.eye(3).double())
    widget.turn.value = 45
    assert widget.off() < 1e-12 and (STATE.vector - widget.state().vector).abs().max() > 1e-3
