"""Pictures and figures of grids, and GridExplorer, without a browser."""

import math
import re
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch

pytest.importorskip("anywidget", reason="the course extra is not installed")

from ponita_edu.geometry import Grid, make_grid, random_rotations
from ponita_edu.geometry.grid_families import PLATONIC_SIZES
from ponita_edu.viz import grids
from ponita_edu.viz.grids import (
    DEGREES,
    FAMILIES,
    LEBEDEV,
    SIZES,
    GridExplorer,
    cell_edges,
    cell_mesh,
    choose_grid,
    grid_scene,
    quality_html,
    tilt,
    voronoi_cells,
)
from ponita_edu.viz.items import Lines, Mesh, Points, Sphere

SOME = [("fibonacci", 4), ("fibonacci", 20), ("repulsion", 13), ("cube", 8), ("dodecahedron", 20), ("octahedron", 6),
        ("lebedev", 26)]


def points_of(name, n):
    return choose_grid(name, n).points.numpy()


@pytest.fixture(scope="module")
def shared():
    return GridExplorer()


@pytest.fixture
def widget(shared):
    shared.reset()
    yield shared
    assert shared.error_box.value == ""


def drawn(widget, side):
    """All coordinates and colour values of one of the two live pictures in one row."""
    traces = widget.pictures[side].data
    keys = ("x", "y", "z", "intensity")
    return np.concatenate([np.ravel(t[k]) for t in traces for k in keys if k in t and t[k] is not None])


def same(a, b):
    return a.shape == b.shape and np.allclose(a, b, atol=1e-6, equal_nan=True)


# ------------------------------------------------------------------------------------------------------------- cells
@pytest.mark.parametrize(("name", "n"), SOME)
def test_cells_obey_eulers_formula(name, n):
    points = points_of(name, n)
    corners, regions = voronoi_cells(points)
    edges = cell_edges(points)
    assert len(corners) - len(edges) + len(regions) == 2 and len(regions) == len(points)
    assert sum(map(len, regions)) == 2 * len(edges)  # every border has two sides
    assert len(corners) - (len(edges) - 1) + len(regions) != 2  # negative control: one border lost would be noticed


@pytest.mark.parametrize(("name", "corners"), [("octahedron", 8), ("cube", 6), ("icosahedron", 20),
                                               ("dodecahedron", 12), ("tetrahedron", 4)])
def test_cells_of_a_platonic_solid_have_the_corners_of_its_dual(name, corners):
    assert len(voronoi_cells(points_of(name, 0))[0]) == corners


@pytest.mark.parametrize(("name", "n"), SOME)
def test_borders_are_arcs_of_great_circles_halfway_between_two_points(name, n):
    points = points_of(name, n)
    for arc in cell_edges(points):
        assert np.abs(np.linalg.norm(arc, axis=1) - 1).max() < 1e-12
        assert np.linalg.matrix_rank(arc, tol=1e-9) == 2  # in a plane through the centre
        nearest = np.sort(arc @ points.T, axis=1)
        assert np.abs(nearest[:, -1] - nearest[:, -2]).max() < 1e-9
    inside = np.sort(points @ points.T, axis=1)  # negative control: the points themselves are not halfway
    assert (inside[:, -1] - inside[:, -2]).min() > 1e-2


@pytest.mark.parametrize(("name", "n"), SOME)
def test_mesh_covers_each_cell_and_nothing_else(name, n):
    points = points_of(name, n)
    vertices, triangles, owner = cell_mesh(points)
    assert np.abs(np.linalg.norm(vertices, axis=1) - 1).max() < 1e-12
    cosines = vertices @ points.T
    assert (cosines.max(axis=1) - cosines[np.arange(len(vertices)), owner]).max() < 1e-9
    assert (owner[triangles] == owner[triangles[:, :1]]).all()
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    found = np.bincount(owner[triangles[:, 0]], weights=area)
    assert np.allclose(found, choose_grid(name, n).voronoi_areas(), rtol=0.02)  # flat triangles are a little smaller
    assert 4 * math.pi * 0.98 < area.sum() < 4 * math.pi


# ----------------------------------------------------------------------------------------------------------- pictures
def test_scene_puts_the_points_and_the_areas_where_they_are():
    grid = make_grid("fibonacci", 20)
    scene = grid_scene(grid)
    mesh, lines, points = scene.items
    assert isinstance(mesh, Mesh) and isinstance(lines, Lines) and isinstance(points, Points)
    xyz = points.xyz / np.linalg.norm(points.xyz, axis=1, keepdims=True)
    assert np.allclose(xyz, grid.points, atol=1e-6)
    share = grid.voronoi_areas().numpy() * 20 / (4 * math.pi)
    assert np.allclose(np.unique(mesh.values), np.unique(share.astype(np.float32)))
    assert f"{share.min():.2f} to {share.max():.2f}" in scene.alt and "fibonacci, 20 points" in scene.alt


def test_rotation_of_a_scene_is_the_scene_of_the_rotated_grid():
    grid, rotation = make_grid("repulsion", 9), random_rotations(1, seed=1)[0]
    turned, wanted, plain = (s.items[-1].xyz for s in (
        grid_scene(grid, rotation=rotation), grid_scene(grid.rotated(rotation)), grid_scene(grid)))
    assert np.allclose(turned, wanted, atol=1e-6) and not np.allclose(plain, wanted, atol=1e-2)
    mesh = grid_scene(grid, rotation=rotation).items[0]
    nearest = (mesh.vertices @ (grid.points @ rotation.T).numpy().T).argmax(axis=1)
    share = grid.voronoi_areas().numpy() * 9 / (4 * math.pi)
    assert np.mean(np.abs(share[nearest] - mesh.values) < 1e-5) > 0.6  # the rest lies on borders


@pytest.mark.parametrize("grid", [make_grid("fibonacci", 2), make_grid("repulsion", 3),
                                  Grid.from_points(torch.nn.functional.pad(make_grid("circle", 5).points, (0, 1)))],
                         ids=repr)
def test_scene_of_points_in_a_plane_has_no_cells(grid):
    assert [type(item) for item in grid_scene(grid).items] == [Sphere, Points]


def test_table_says_what_the_grid_says():
    grid = make_grid("fibonacci", 12)
    text = re.sub(r"<[^>]+>", " ", quality_html({"spiral": grid, "solid": make_grid("icosahedron")}))
    words = re.split(r"\s{2,}", text.strip())
    after = {words[k]: words[k + 1 : k + 3] for k in range(2, len(words), 3)}
    assert words[:2] == ["spiral", "solid"] and after["points"] == ["12", "12"]
    assert after["|mean|"] == [f"{float(grid.mean.norm()):.4f}", "0"] and after["exact to degree"] == ["0", "5"]
    assert after["rotations that permute it"] == ["2", "60"]
    assert [after[f"error in degree {d}"][0] for d in DEGREES] == [f"{grid.quadrature_error(d):.4f}" for d in DEGREES]


@pytest.mark.parametrize(("family", "n", "found"), [
    ("fibonacci", 17, 17), ("repulsion", 7, 7), ("cube", 60, 8), ("icosahedron", 4, 12), ("lebedev", 4, 6),
    ("lebedev", 10, 6), ("lebedev", 11, 14), ("lebedev", 20, 14), ("lebedev", 33, 38), ("lebedev", 60, 50),
])  # fmt: skip
def test_choose_grid_takes_the_nearest_size(family, n, found):
    grid = choose_grid(family, n)
    assert len(grid) == found and grid.name == family
    assert choose_grid(family, n) is grid  # kept, so that figures are computed once


def test_tilt_is_a_turn_about_x_in_degrees():
    y, z = torch.eye(3, dtype=torch.float64)[1:]
    assert torch.allclose(tilt(90) @ y, z) and torch.allclose(tilt(0) @ y, y)


# ------------------------------------------------------------------------------------------------------------- widget
def test_number_of_points_changes_its_own_side_only(widget):
    before, report = [drawn(widget, k) for k in (0, 1)], widget.report()
    widget.left_n.value = 33
    assert not same(drawn(widget, 0), before[0]) and same(drawn(widget, 1), before[1])
    assert widget.pictures[0].layout.title.text == "fibonacci, 33 points" and widget.report() != report
    before = [drawn(widget, k) for k in (0, 1)]
    widget.right.value = "repulsion"
    widget.right_n.value = 10
    assert same(drawn(widget, 0), before[0]) and not same(drawn(widget, 1), before[1])


@pytest.mark.parametrize(("side", "family"), list(product((0, 1), FAMILIES)))
def test_family_changes_picture_and_table(widget, side, family):
    name, n = (("left", "left_n"), ("right", "right_n"))[side]
    widget.set({name: "fibonacci", n: 25})
    before, report = drawn(widget, side), widget.report()
    getattr(widget, name).value = family
    if family == "fibonacci":
        assert same(drawn(widget, side), before) and widget.report() == report
        return
    assert not same(drawn(widget, side), before) and widget.report() != report
    assert f"{family}, {len(choose_grid(family, 25))} points" == widget.pictures[side].layout.title.text
    assert getattr(widget, n).disabled == (family in PLATONIC_SIZES)


def test_rotation_turns_both_pictures_and_changes_no_figure(widget):
    before, report = [drawn(widget, k) for k in (0, 1)], widget.report_box.value
    widget.angle.value = 40
    assert not any(same(drawn(widget, k), before[k]) for k in (0, 1)) and widget.report_box.value == report
    points = widget.scene()[0].items[-1].xyz / 1.03
    assert np.allclose(points, widget.grids()[0].points @ tilt(40).T, atol=1e-5)


def test_cells_can_be_hidden_and_their_scale_is_shown_once(widget):
    assert "linear-gradient" in widget.report() and len([t for t in widget.pictures[0].data if t.type == "mesh3d"]) == 1
    widget.cells.value = False
    meshes = [t for f in widget.pictures for t in f.data if t.type == "mesh3d"]
    assert len(meshes) == 2 and all(t.intensity is None for t in meshes)  # plain spheres
    widget.cells.value = True
    meshes = [t for f in widget.pictures for t in f.data if t.type == "mesh3d"]
    assert all(t.intensity is not None and not t.showscale for t in meshes)


def test_reset_restores_pictures_and_table(widget):
    before, report = [drawn(widget, k) for k in (0, 1)], widget.report_box.value
    widget.set({"left": "cube", "right": "lebedev", "right_n": 50, "angle": 30})
    assert widget.report_box.value != report
    widget.reset_button.click()
    assert all(same(drawn(widget, k), before[k]) for k in (0, 1)) and widget.report_box.value == report
    assert not widget.left_n.disabled and widget.right_n.disabled


def test_error_is_shown_and_the_pictures_stay(monkeypatch):
    widget = GridExplorer()
    before = [drawn(widget, k) for k in (0, 1)]

    def fail(*_):
        raise RuntimeError("forces stay at <0.1>")

    with monkeypatch.context() as patch:
        patch.setattr(grids, "choose_grid", fail)
        widget.left_n.value = 30
    assert "RuntimeError" in widget.error_box.value and "&lt;0.1&gt;" in widget.error_box.value
    assert all(same(drawn(widget, k), before[k]) for k in (0, 1))
    widget.left_n.value = 31
    assert widget.error_box.value == "" and widget.pictures[0].layout.title.text == "fibonacci, 31 points"


def test_every_size_is_in_reach_and_made_ahead_in_the_background():
    GridExplorer()
    assert grids.warm_up() is grids.warm_up()  # one thread, however many widgets
    grids.warm_up().join(timeout=120)
    misses = choose_grid.cache_info().misses
    assert [len(choose_grid("repulsion", n)) for n in SIZES] == list(SIZES)
    assert choose_grid.cache_info().misses == misses  # none had to be made now
    assert set(LEBEDEV) <= set(SIZES)


def test_no_grids_are_made_ahead_while_a_widget_is_moved(monkeypatch):
    made = []
    monkeypatch.setattr(grids, "repulsion_grids", lambda: (made.append(k) for k in range(5)))
    monkeypatch.setattr(grids.Explorer, "asked", math.inf)
    thread = grids.warm_up.__wrapped__()
    thread.join(timeout=0.5)
    assert thread.is_alive() and made == [0]  # it finishes what it is at
    grids.Explorer.asked = 0.0
    thread.join(timeout=60)
    assert made == list(range(5))


def test_pictures_share_the_width_of_their_place():
    widget = GridExplorer()
    for width in (548, 800, 200):
        widget._ruler.width = width  # as the page reports it
        widths = [figure.layout.width for figure in widget.pictures]
        assert widths[0] == widths[1] == max(width // 2 - 8, 150)
    heights = [figure.layout.height for figure in widget.pictures]
    assert heights == [150, 150]


def test_script_that_ends_while_grids_are_made_ends_well():
    code = "from ponita_edu.viz.grids import warm_up; thread = warm_up(); print(thread.is_alive())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr  # alive: it had work left
