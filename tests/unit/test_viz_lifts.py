"""Lifting a vector and reading it back as picture and numbers, and LiftExplorer, without a browser."""

import numpy as np
import pytest
import torch

pytest.importorskip("anywidget", reason="the course extra is not installed")

from ponita_edu.geometry import make_grid, random_rotations
from ponita_edu.geometry.grid_families import PLATONIC_SIZES
from ponita_edu.viz import Scene, draw_plotly, lifts, theme
from ponita_edu.viz.grids import FAMILIES
from ponita_edu.viz.items import Arrows, Balls, Lines, Mesh, Points
from ponita_edu.viz.lifts import ARROW, METHANE, LiftExplorer, lift_and_read, lift_scene

SPIRAL, SOLID = make_grid("fibonacci", 12), make_grid("icosahedron")
V = random_rotations(1, seed=4)[0][:, :1].T  # a unit vector, [1, 3]


@pytest.fixture(scope="module")
def shared():
    return LiftExplorer()


@pytest.fixture
def widget(shared):
    shared.reset()
    yield shared
    assert shared.error_box.value == ""


def drawn(widget):
    traces = widget.pictures[0].data
    keys = ("x", "y", "z", "intensity")
    return np.concatenate([np.ravel(t[k]) for t in traces for k in keys if k in t and t[k] is not None])


def same(a, b):
    return a.shape == b.shape and np.allclose(a, b, atol=1e-6, equal_nan=True)


def item(scene, kind, name=None):
    return next(i for i in scene.items if isinstance(i, kind) and name in (None, getattr(i, "name", None)))


# ------------------------------------------------------------------------------------------------------------ numbers
def test_methane_has_four_bonds_at_the_angles_of_a_tetrahedron():
    cosines = (METHANE @ METHANE.T)[~torch.eye(4, dtype=bool)]
    assert torch.allclose(cosines, torch.full_like(cosines, -1 / 3)) and METHANE.sum(0).abs().max() < 1e-15


def test_signal_is_the_component_along_each_direction():
    lifted = lift_and_read(METHANE, SPIRAL, leak=0.5)
    for k, o in enumerate(SPIRAL.points):
        assert torch.allclose(lifted.signal[k], torch.stack([v @ o for v in METHANE]) + 0.5)


def test_vector_comes_back_on_a_2_design_and_a_third_as_long_without_the_factor():
    assert lift_and_read(METHANE, SOLID).error < 1e-14
    assert lift_and_read(METHANE, SOLID, factor=False).error == pytest.approx(2 / 3)
    assert lift_and_read(METHANE, SPIRAL).error > 0.01  # negative control


def test_constant_leaks_three_times_itself_times_the_mean():
    plain, leaking = lift_and_read(V, SPIRAL), lift_and_read(V, SPIRAL, leak=2.0)
    assert torch.allclose(leaking.read - plain.read, 3 * 2.0 * SPIRAL.mean[None], atol=1e-14)
    assert lift_and_read(V, SOLID, leak=2.0).error < 1e-14
    centred = (lift_and_read(V, SPIRAL, leak=leak, centred=True).read for leak in (0.0, 2.0))
    assert torch.allclose(*centred, atol=1e-14)


def test_inverse_of_the_frame_needs_no_factor_and_mends_everything_but_the_leak():
    assert lift_and_read(V, SPIRAL, exact=True).error < 1e-12
    assert lift_and_read(V, SPIRAL, factor=False, exact=True).error < 1e-12
    assert lift_and_read(V, SPIRAL, leak=1.0, exact=True).error > 0.01
    assert lift_and_read(V, SPIRAL, leak=1.0, centred=True, exact=True).error < 1e-12


# ----------------------------------------------------------------------------------------------------------- pictures
def test_sphere_and_discs_have_the_colours_of_the_same_function():
    lifted = lift_and_read(METHANE, SPIRAL, leak=0.3)
    for channel in (0, 2):
        scene = lift_scene(lifted, channel)
        mesh = item(scene, Mesh)
        assert np.allclose(mesh.values, mesh.vertices @ METHANE[channel].numpy() + 0.3, atol=1e-5)
        assert mesh.limits == pytest.approx((-1.3, 1.3))
        discs = [i for i in scene.items if isinstance(i, Points)][-1]
        wanted = theme.scale_colours(lifted.signal[:, channel].numpy(), (-1.3, 1.3))
        assert np.allclose([theme.rgb(c) for c in discs.colours], wanted, atol=1 / 255)
    other = item(lift_scene(lifted, 1), Mesh).values
    assert not np.allclose(other, mesh.values)


def test_arrow_ends_in_its_bubble_if_and_only_if_the_vector_came_back():
    for grid, back in ((SOLID, True), (SPIRAL, False)):
        scene = lift_scene(lift_and_read(METHANE, grid, leak=2.0))
        arrows, bubbles, lines = item(scene, Arrows), item(scene, Balls), item(scene, Lines)
        gap = np.abs(arrows.start + arrows.vector - bubbles.xyz).max()
        assert (gap < 1e-6) == back
        assert np.allclose([path[1] for path in lines.paths], bubbles.xyz)
        assert np.allclose(bubbles.xyz, (1 + ARROW) * METHANE.numpy(), atol=1e-6)
        assert np.allclose(np.linalg.norm(arrows.start, axis=1), 1)  # it stands on the sphere


def test_length_of_an_arrow_is_that_of_its_vector():
    scene = lift_scene(lift_and_read(V, SOLID, factor=False))
    assert np.linalg.norm(item(scene, Arrows).vector) == pytest.approx(ARROW / 3, rel=1e-5)


def test_a_vector_that_vanished_stands_nowhere_and_harms_nothing():
    lifted = lifts.Lifted(SOLID, V, 0.0, lift_and_read(V, SOLID).signal, torch.zeros(1, 3, dtype=torch.float64))
    assert np.allclose(item(lift_scene(lifted), Arrows).vector, 0) and lifted.error == 1


def test_a_vector_of_length_zero_is_lifted_to_the_colour_of_zero_and_comes_back():
    lifted = lift_and_read(torch.zeros(1, 3, dtype=torch.float64), SPIRAL)
    scene = lift_scene(lifted)
    assert lifted.error == 0 and "misses the original by 0.0 percent" in scene.alt
    assert np.allclose(item(scene, Mesh).values, 0) and item(scene, Mesh).limits == (-1, 1)
    assert 0.1 < lift_and_read(lifted.vectors, SPIRAL, leak=2.0).error < 1  # of a leak, the absolute error


def test_alt_text_names_grid_and_error():
    lifted = lift_and_read(V, SPIRAL, leak=2.0)
    assert "12 points (fibonacci)" in lift_scene(lifted).alt
    assert f"{100 * lifted.error:.1f} percent" in lift_scene(lifted).alt


# ------------------------------------------------------------------------------------------------------------- widget
LEAKING = {"leak": 1.0}
BONDS = {"what": "the 4 bonds of methane"}
MOVES = [({}, "azimuth", 200), ({}, "height", -40), ({}, "n", 30), ({}, "leak", 2), ({}, "factor", False),
         (LEAKING, "centred", True), ({}, "exact", True), ({}, "what", BONDS["what"]), (BONDS, "channel", 2),
         *(({}, "family", family) for family in FAMILIES if family != "fibonacci")]


@pytest.mark.parametrize(("state", "control", "value"), MOVES)
def test_each_control_changes_picture_and_report(widget, state, control, value):
    widget.set(state)
    before, report = drawn(widget), widget.report_box.value
    getattr(widget, control).value = value
    assert not same(drawn(widget), before) and widget.report_box.value != report
    widget.set({control: widget._start[control]} | state)
    assert same(drawn(widget), before) and widget.report_box.value == report


@pytest.mark.parametrize(("state", "control", "value"), [({}, "channel", 2), ({"family": "cube"}, "n", 40)])
def test_controls_that_have_no_say_are_switched_off(widget, state, control, value):
    widget.set(state)
    before, report = drawn(widget), widget.report_box.value
    assert getattr(widget, control).disabled
    getattr(widget, control).value = value
    assert same(drawn(widget), before) and widget.report_box.value == report


def test_controls_are_switched_on_where_they_have_a_say(widget):
    for family in FAMILIES:
        widget.family.value = family
        assert widget.n.disabled == (family in PLATONIC_SIZES)
    widget.what.value = BONDS["what"]
    assert not widget.channel.disabled


def test_report_gives_the_chosen_vector_and_the_error(widget):
    widget.set({**BONDS, "channel": 3, "leak": 1.5})
    lifted = widget.lifted()
    assert f"error {100 * lifted.error:.3g} %" in widget.report() and "vector 4 of 4" in widget.report()
    for x in (*lifted.vectors[3].tolist(), *lifted.read[3].tolist()):
        assert f"{x:.3f}" in widget.report()
    widget.set({"leak": 0, "family": "octahedron"})
    assert "0 (rounding)" in widget.report()


def test_no_number_is_minus_zero(widget):
    widget.set({"azimuth": 360, "height": 90, "family": "octahedron", "leak": 3, "centred": True})
    hover = [word for i in widget.scene().items for word in getattr(i, "hover", None) or []]
    assert float(widget.vectors()[0, 1]) < 0  # by rounding: it would be shown as −0.000
    assert len(hover) == 6 and "-0.000" not in widget.report() + " ".join(hover)


def test_vector_points_where_the_sliders_say(widget):
    widget.set({"azimuth": 90, "height": 0})
    assert torch.allclose(widget.vectors(), torch.tensor([[0.0, 1, 0]], dtype=torch.float64), atol=1e-15)
    widget.height.value = 90
    assert torch.allclose(widget.vectors(), torch.tensor([[0.0, 0, 1]], dtype=torch.float64), atol=1e-15)


def test_methane_is_turned_rigidly(widget):
    widget.set({**BONDS, "azimuth": 75, "height": -20})
    turned = widget.vectors()
    assert torch.allclose(turned @ turned.T, METHANE @ METHANE.T) and not torch.allclose(turned, METHANE, atol=1e-2)
    assert torch.det(turned[:3]) == pytest.approx(float(torch.det(METHANE[:3])))  # and not reflected


def test_reset_restores_picture_and_report(widget):
    before, report = drawn(widget), widget.report_box.value
    widget.set({**BONDS, "family": "cube", "leak": 1, "exact": True})
    assert not same(drawn(widget), before)
    widget.reset_button.click()
    assert same(drawn(widget), before) and widget.report_box.value == report


def test_error_is_shown_and_the_picture_stays(monkeypatch):
    widget = LiftExplorer()
    before = drawn(widget)

    def fail(*_):
        raise RuntimeError("no such <grid>")

    with monkeypatch.context() as patch:
        patch.setattr(lifts, "choose_grid", fail)
        widget.n.value = 30
    assert "RuntimeError" in widget.error_box.value and "&lt;grid&gt;" in widget.error_box.value
    assert same(drawn(widget), before)
    widget.n.value = 31
    assert widget.error_box.value == "" and "31 points" in widget.pictures[0].layout.title.text


def test_picture_with_a_bar_of_colours_is_lower_so_that_its_scene_is_not_cut():
    widget = LiftExplorer()
    assert draw_plotly.has_bar(widget.pictures[0])
    widget._ruler.width = 400
    layout = widget.pictures[0].layout
    assert layout.height == layout.width - theme.BAR
    assert not draw_plotly.has_bar(Scene("three points").points([[0, 0, 0]]).plotly())  # the control
