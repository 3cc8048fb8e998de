"""Scenes: what goes in is what both backends draw, in place and fast; wrong input says what to mend."""

import base64
import io
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("plotly", reason="the course extra is not installed")
pytest.importorskip("anywidget", reason="the course extra is not installed")

from ponita_edu.viz import Scene, display, draw_plotly, png, shapes, show, theme
from ponita_edu.viz.items import Points

ALT = "a picture for the test"


def scene_with_all(shift: float = 0.0) -> Scene:
    rng = np.random.default_rng(0)
    p = rng.normal(size=(5, 3)) + shift
    vertices, triangles = shapes.unit_sphere(1)
    return (
        Scene(ALT, limit=3, axes=True)
        .points(p, hover=list("abcde"), name="points")
        .points(p, values=p[:, 0], label="x")
        .arrows(p, rng.normal(size=(5, 3)), name="arrows")
        .lines([p[:2], p[2:]], dash=True)
        .sphere()
        .mesh(vertices + shift, triangles, values=vertices[:, 2], label="f")
        .balls(p[:2], 0.2, [theme.BLUE, theme.GREEN])
        .rods(p[:1], p[1:2])
        .labels(p[:1], ["here"])
    )


# ----------------------------------------------------------------------------------------------------------- shapes
def test_unit_sphere_is_closed_and_faces_outwards():
    points, faces = shapes.unit_sphere(2)
    edges = {frozenset(e) for f in faces for e in ((f[0], f[1]), (f[1], f[2]), (f[2], f[0]))}
    assert len(points) - len(edges) + len(faces) == 2  # Euler
    corners = points[faces]
    volume = np.linalg.det(corners).sum() / 6  # signed: only outward triangles count in full
    assert 0.94 * 4 / 3 * np.pi < volume < 4 / 3 * np.pi
    assert np.linalg.det(corners).min() > 0


def test_cones_have_their_tips_and_bases_where_asked():
    tips, axes = np.array([[1.0, 2, 3]]), np.array([[0.0, 0, 0.5]])
    vertices, faces = shapes.cones(tips, axes, np.array([0.2]), sides=8)
    assert np.array_equal(vertices[0], tips[0])
    assert np.allclose(vertices[1:, 2], 2.5)
    assert np.allclose(np.linalg.norm(vertices[2:, :2] - tips[0, :2], axis=1), 0.2)
    corners = (vertices - [1, 2, 2.75])[faces]
    assert np.linalg.det(corners).min() > 0  # outwards, as seen from inside the cone


def test_balls_and_rods_keep_to_their_radii():
    centres = np.array([[0.0, 0, 0], [5, 0, 0]])
    vertices, faces = shapes.balls(centres, np.array([1.0, 2.0]), level=1)
    far = np.linalg.norm(vertices.reshape(2, -1, 3) - centres[:, None], axis=-1)
    assert np.allclose(far, [[1.0], [2.0]]) and faces.max() == len(vertices) - 1
    vertices, _ = shapes.rods(centres[[0, 0]], centres[[1, 1]], np.array([0.3, 0.1]))
    assert np.allclose(np.linalg.norm(vertices[:, 1:], axis=1).reshape(2, -1), [[0.3], [0.1]])
    assert set(np.round(vertices[:, 0], 9)) == {0.0, 5.0}


def test_a_scene_without_bodies_is_drawn_without_their_names():
    none = np.zeros((0, 3))
    scene = Scene(ALT).balls(np.eye(3), 0.2, name="some").balls(none, 0.1, name="none").rods(none, none, 0.1)
    assert [t.get_text() for t in scene.matplotlib().axes[0].get_legend().get_texts()] == ["some"]
    assert [(len(t.x) > 0, t.showlegend, t.color is None) for t in scene.plotly().data] == [
        (True, True, False), (False, False, False), (False, False, False)]


# ------------------------------------------------------------------------------------------------------------ theme
def test_colour_scale_has_its_stops_at_the_limits_and_white_at_zero():
    colours = theme.scale_colours(np.array([-2.0, 0.0, 2.0, 99.0]), (-2.0, 2.0))
    assert np.allclose(colours[[0, 2, 3]], [theme.rgb(theme.BLUE), theme.rgb(theme.VERMILLION), theme.rgb("#d55e00")])
    assert colours[1].min() > 0.95


@pytest.mark.parametrize("call, match", [
    (lambda: theme.rgb("red"), "'#rrggbb'"),
    (lambda: theme.scale_colours(np.zeros(2), (1.0, 1.0)), "limits must ascend"),
    (lambda: theme.scale_colours(np.zeros(2), (0.0, 1.0), "rainbow"), "diverging, sequential"),
], ids=["name of a colour", "equal limits", "unknown scale"])
def test_theme_refuses(call, match):
    with pytest.raises(ValueError, match=match):
        call()


# ----------------------------------------------------------------------------------------------------------- scenes
@pytest.mark.parametrize("build, match", [
    (lambda: Scene(""), "alt must say"),
    (lambda: Scene(ALT, dim=4), "dim must be 2 or 3"),
    (lambda: Scene(ALT, limit=-1), "limit must be positive"),
    (lambda: Scene(ALT).points([[0, 0]]), r"xyz must have shape \[n, 3\].*\[1, 2\]"),
    (lambda: Scene(ALT, dim=2).points([[0, 0, 0]]), r"xyz must have shape \[n, 2\]"),
    (lambda: Scene(ALT).points([[0, 0, float("nan")]]), "xyz must be finite, but row 0"),
    (lambda: Scene(ALT).points([[0, 0, 0]], colour=[theme.BLUE] * 2), "one for each of the 1 items"),
    (lambda: Scene(ALT).points([[0, 0, 0]], colour="blue"), "'#rrggbb'"),
    (lambda: Scene(ALT).points([[0, 0, 0]], hover=["a", "b"]), "hover must hold one text"),
    (lambda: Scene(ALT).points([[0, 0, 0]], values=[1, 2]), "values must hold one number per point"),
    (lambda: Scene(ALT, dim=2).balls([[0, 0]], 1.0), "balls need a scene of dim 3"),
    (lambda: Scene(ALT).field([0, 1], [0, 1], np.eye(2)), "field needs a scene of dim 2"),
    (lambda: Scene(ALT, dim=2).field([0, 1], [0, 1, 2], np.eye(2)), "one row per y"),
    (lambda: Scene(ALT, dim=2).field([0, 1], [0, 1], np.full((2, 2), np.nan)), "not be NaN everywhere"),
    (lambda: Scene(ALT, dim=2).field([0], [0, 1], [[1], [2]]), "at least 2 places each, .* hold 1 and 2"),
    (lambda: Scene(ALT, dim=2).mesh([[0, 0]], [[0, 0, 0]]), "mesh needs a scene of dim 3"),
    (lambda: Scene(ALT).mesh(np.eye(3), [[0, 1, 3]]), "indices below 3"),
    (lambda: Scene(ALT).mesh(np.eye(3), [[0, 1, -1]]), "not below 0, .* reach from -1 to 1"),
    (lambda: Scene(ALT).mesh(np.eye(3), [[0, 1, 2]], values=[0, 1, np.nan]), "values must be finite, but row 2"),
    (lambda: Scene(ALT).mesh(np.eye(3), [[0, 1, 2]], values=[1, 2]), r"one per vertex \(3\) or per triangle \(1\)"),
    (lambda: Scene(ALT).rods(np.eye(3), np.eye(3)[:1]), "one row per rod"),
    (lambda: Scene(ALT).labels([[0, 0, 0]], []), "texts must hold one text"),
])
def test_scene_refuses_what_it_cannot_draw(build, match):
    with pytest.raises(ValueError, match=match):
        build()


def test_scene_takes_tensors_with_gradients_and_keeps_float32():
    points = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    item = Scene(ALT).points(points).items[0]
    assert item.xyz.dtype == np.float32 and item.xyz.shape == (2, 3)


def test_limit_leaves_room_for_every_turn_of_the_content():
    corner = [[3.0, 4.0, 0.0]]
    assert Scene(ALT).points(corner).half_width == pytest.approx(1.08 * 5)
    assert Scene(ALT, centre=[0, 0, 0]).balls(corner, 2).half_width == pytest.approx(1.08 * 7)
    assert Scene(ALT).sphere(corner[0], 1).half_width == pytest.approx(1.08 * 6)
    assert Scene(ALT, dim=2).points([[3, 4]]).half_width == pytest.approx(1.08 * 4)  # nobody turns it


@pytest.mark.parametrize("view", [(0, 0), (35, 20), (-120, 55)])
def test_no_ball_is_cut_off_in_print(view):
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    image = np.asarray(Image.open(io.BytesIO(png(Scene(ALT, view=view).balls(corners, 0.3)))).convert("L"))
    edges = np.concatenate([image[:, :2].ravel(), image[:, -2:].ravel(), image[:2].ravel(), image[-2:].ravel()])
    assert edges.min() > 250 and image.min() < 100


def test_limit_fits_the_content_unless_given():
    assert Scene(ALT).arrows([[0, 0, 0]], [[0, 0, 5]]).half_width == pytest.approx(5.4)
    assert Scene(ALT, limit=2).arrows([[0, 0, 0]], [[0, 0, 5]]).half_width == 2


def test_one_path_and_many_paths_are_told_apart():
    path = np.zeros((4, 3))
    for paths, lengths in ((path, [4]), (path.tolist(), [4]), ([path, path[:2]], [4, 2]), (path[None], [4])):
        assert [len(p) for p in Scene(ALT).lines(paths).items[0].paths] == lengths
    assert len(Scene(ALT).lines(path, closed=True).items[0].paths[0]) == 5


# ----------------------------------------------------------------------------------------------------------- plotly
def test_arrow_ends_at_its_tip():
    line, head = Scene(ALT, limit=1).arrows([[0, 0, 0]], [[0, 0, 1]]).plotly().data
    tip = np.array([head.x[0], head.y[0], head.z[0]])
    assert np.allclose(tip, [0, 0, 1]) and max(head.z) == pytest.approx(1.0)
    assert line.z[0] == 0 and 0.8 < line.z[1] < 1.0  # the shaft does not stick out


def test_arrow_of_length_zero_is_drawn_without_nan():
    for trace in Scene(ALT, limit=1).arrows([[0, 0, 0]], [[0, 0, 0]]).plotly().data[1:]:
        assert np.isfinite(np.array(trace.x)).all()
    assert png(Scene(ALT, limit=1).arrows([[0, 0, 0]], [[0, 0, 0]]))


def test_many_things_of_one_kind_are_one_trace():
    many = np.random.default_rng(0).normal(size=(40, 3))
    assert len(Scene(ALT).arrows(many, many).plotly().data) == 2
    assert len(Scene(ALT).lines([many] * 30).plotly().data) == 1
    assert len(Scene(ALT).balls(many, 0.1).plotly().data) == 1


def test_update_in_place_equals_a_new_figure_and_keeps_the_camera():
    figure = draw_plotly.widget(scene_with_all())
    before, camera = [trace.uid for trace in figure.data], {"eye": {"x": 9.0, "y": 0.0, "z": 0.0}}
    figure.layout.scene.camera = camera
    scene_with_all(0.5).plotly(figure)
    fresh = scene_with_all(0.5).plotly()
    assert [trace.uid for trace in figure.data] == before  # the same traces
    for shown, new in zip(figure.data, fresh.data, strict=True):
        for key in ("x", "y", "z", "intensity"):
            if key in new:
                assert np.array_equal(np.asarray(shown[key], dtype=float), np.asarray(new[key], dtype=float),
                                      equal_nan=True)
    assert figure.layout.scene.camera.eye.x == 9.0
    assert not np.array_equal(fresh.data[1].x, scene_with_all().plotly().data[1].x)  # the control: it did move


def test_update_fits_a_scene_without_a_limit_as_a_new_figure_would():
    for scene in (Scene, lambda alt: Scene(alt, dim=2)):
        near, far = (scene(ALT).points(place * np.eye(3)[:, : scene(ALT).dim]) for place in (1, 5))
        figure = draw_plotly.widget(near)
        before, fresh = figure.to_dict()["layout"], far.plotly().to_dict()["layout"]
        far.plotly(figure)
        shown = figure.to_dict()["layout"]
        shown, fresh, before = (a.get("scene", a)["xaxis"]["range"] for a in (shown, fresh, before))
        assert shown == fresh and shown != before


def test_update_is_one_message_with_what_differs_and_arrays_in_one_piece(monkeypatch):
    figure, sent = draw_plotly.widget(scene_with_all()), []
    monkeypatch.setattr(figure, "_send_update_msg", lambda **message: sent.append(message))

    def arrays(value):
        if isinstance(value, dict | list):
            return [a for v in (value.values() if isinstance(value, dict) else value) for a in arrays(v)]
        return [value] if isinstance(value, np.ndarray) else []

    scene_with_all().plotly(figure)
    assert sent == []  # nothing differs
    moved = scene_with_all(0.5)
    moved.title, moved.limit = "moved", 4
    moved.plotly(figure)
    assert len(sent) == 1
    assert sent[0]["relayout_data"]["title.text"] == "moved"
    assert sent[0]["relayout_data"]["scene.xaxis.range"][1] - sent[0]["relayout_data"]["scene.xaxis.range"][0] == 8
    assert "i" not in sent[0]["restyle_data"] and "lighting" not in sent[0]["restyle_data"]  # these stay
    found = arrays(sent[0]["restyle_data"])
    assert len(found) > 20 and all(a.flags.c_contiguous for a in found)  # others cannot be sent
    points = next(item for item in moved.painted if isinstance(item, Points))
    assert not points.xyz[:, 0].flags.c_contiguous  # the control: they are columns at first


def test_the_page_is_not_told_the_numbers_of_changes():
    numbers = {"_last_trace_edit_id", "_last_layout_edit_id"}
    assert not numbers & set(draw_plotly.Picture().keys) and "_py2js_update" in draw_plotly.Picture().keys
    assert numbers < set(draw_plotly.FigureWidget().keys)  # the control


def test_plotlys_script_has_all_that_ours_asks_of_it():
    theirs, ours = draw_plotly.BUNDLE.read_text(encoding="utf-8"), draw_plotly.Picture._esm
    assert re.search(r"export\{\w+ as FigureModel,\w+ as FigureView,\w+ as default\}", theirs)
    for report in ("_sendTraceDeltas", "_sendLayoutDelta"):
        assert f"{report}(" in theirs and report in ours
    changes = set(re.findall(r'on\("change:_py2js_(\w+)"', theirs))
    assert changes == set(re.findall(r'"(\w+)"', ours.split("CHANGES = [")[1].split("]")[0])) and len(changes) == 9
    question = re.search(r"known\.set\(act, /(.+?)/\.test", ours)[1]
    for script in (theirs, (draw_plotly.BUNDLE.parent / "plotly.min.js").read_text(encoding="utf-8")):
        assert len(re.findall(question, script)) == 1  # in the loop of a 3D scene, and nowhere else


def test_update_to_another_kind_of_picture_replaces_the_traces():
    figure = draw_plotly.widget(Scene(ALT).points(np.eye(3)))
    Scene(ALT).points(np.eye(3)).balls(np.eye(3), 0.1).plotly(figure)
    assert [trace.type for trace in figure.data] == ["scatter3d", "mesh3d"]
    Scene(ALT).plotly(figure)
    assert len(figure.data) == 0


def test_update_drops_a_property_that_is_gone():
    figure = draw_plotly.widget(Scene(ALT).points(np.eye(3), hover=list("abc")))
    Scene(ALT).points(np.eye(3)).plotly(figure)
    assert figure.data[0].hovertext is None


def test_update_of_thirty_traces_passes_by_plotlys_own():
    """Counted in calls inside plotly; benchmarks/bench_bounds.py has the milliseconds."""
    def scene(shift: float) -> Scene:
        picture = Scene(ALT, limit=3)
        for k in range(30):
            picture.points(np.random.default_rng(k).normal(size=(20, 3)) + shift)
        return picture

    def calls(work) -> int:
        count = 0

        def seen(frame, event, _):
            nonlocal count
            count += event == "call" and frame.f_code.co_filename.startswith(inside)

        sys.setprofile(seen)
        try:
            work()
        finally:
            sys.setprofile(None)
        return count

    inside, moved = str(draw_plotly.BUNDLE.parents[1]), scene(0.1)
    figure, traces = draw_plotly.widget(scene(0)), [trace.to_plotly_json() for trace in moved.plotly().data]
    ours, plotlys = calls(lambda: moved.plotly(figure)), calls(lambda: figure.update(data=traces))
    assert 0 < ours < plotlys / 20


def test_flat_scene_is_drawn_by_both_backends():
    scene = (Scene(ALT, dim=2, limit=2, axes=True).points([[0, 0], [1, 1]], name="p").arrows([[0, 0]], [[1, 0]])
             .sphere().lines([[0, 0], [1, 1]]).labels([[0, 1]], ["up"]))
    assert {trace.type for trace in scene.plotly().data} == {"scatter"}
    assert scene.plotly().layout.yaxis.scaleanchor == "x"
    assert png(scene)


def test_field_has_its_last_row_on_top_in_both_backends():
    scene = Scene(ALT, dim=2, limit=2).field([-1, 1], [-1, 1], [[-1.0, -1.0], [1.0, np.nan]])
    (trace,) = scene.plotly().data
    assert (trace.y[1], trace.z[1][0], trace.zmin, trace.zmax) == (1, 1, -1, 1) and trace.z[1][1] is None
    image = np.asarray(Image.open(io.BytesIO(png(scene))).convert("RGB")).astype(int)
    upper, lower = (theme.rgb(c) * 255 for c in (theme.SCALES["diverging"][-1], theme.SCALES["diverging"][0]))
    rows = [np.argwhere(np.abs(image - c).max(-1) < 6)[:, 0] for c in (upper, lower)]
    assert min(map(len, rows)) > 500 and np.median(rows[0]) < np.median(rows[1])


# ------------------------------------------------------------------------------------------------------- matplotlib
def centre_colour(scene: Scene) -> np.ndarray:
    """Mean colour around the middle of the picture."""
    picture = np.asarray(Image.open(io.BytesIO(png(scene))).convert("RGB"), dtype=float) / 255
    coloured = np.argwhere(picture.min(axis=2) < 0.95)
    middle = coloured.mean(0).astype(int)
    return picture[middle[0] - 3 : middle[0] + 4, middle[1] - 3 : middle[1] + 4].mean((0, 1))


@pytest.mark.parametrize("view", [(0.0, 0.0), (35.0, 20.0), (200.0, -40.0)])
def test_near_body_hides_the_far_one(view):
    azimuth, elevation = np.radians(view)
    eye = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    for near, far in ((theme.BLUE, theme.VERMILLION), (theme.VERMILLION, theme.BLUE)):
        scene = Scene(ALT, limit=3, view=view).balls([eye, -eye], 0.8, [near, far])
        seen = centre_colour(scene)
        assert (seen[2] > seen[0]) == (near == theme.BLUE)


def test_all_kinds_are_printed_small():
    assert len(png(scene_with_all())) < 60_000


def test_several_scenes_stand_side_by_side():
    one, two = (Image.open(io.BytesIO(png(p))) for p in (scene_with_all(), [scene_with_all()] * 2))
    assert two.width > 1.7 * one.width and two.height == one.height


def test_four_scenes_stand_in_two_rows():
    two, four = (Image.open(io.BytesIO(png([scene_with_all()] * n))) for n in (2, 4))
    assert four.width == two.width and four.height == 2 * two.height


# ------------------------------------------------------------------------------------------------------------- show
@pytest.fixture
def shown(monkeypatch):
    calls = []
    monkeypatch.setattr(display, "display", lambda data, raw: calls.append(data))
    return calls


def test_show_gives_one_image_with_its_words(shown):
    show(Scene('arrows <in> "3D"').arrows([[0, 0, 0]], [[1, 0, 0]]))
    (data,) = shown
    assert set(data) == {"text/html", "text/plain"} and data["text/plain"] == 'arrows <in> "3D"'
    assert 'alt="arrows &lt;in&gt; &quot;3D&quot;"' in data["text/html"]
    picture = base64.b64decode(re.search("base64,([^\"]+)", data["text/html"])[1])
    assert Image.open(io.BytesIO(picture)).format == "PNG" and len(picture) < 60_000


def test_show_of_a_figure_needs_words(shown):
    figure = Scene(ALT).points(np.eye(3)).matplotlib()
    with pytest.raises(ValueError, match="alt must say"):
        show(figure)
    with pytest.raises(ValueError, match="alt must say"):
        show(figure, alt=" ")
    assert shown == []
    show(figure, alt="three points on the axes")
    assert len(shown) == 1
