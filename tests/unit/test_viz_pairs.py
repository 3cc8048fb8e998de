"""The picture of a pair, its numbers and PairExplorer, without a browser."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip("anywidget", reason="the course extra is not installed")

from ponita_edu.analysis.alignment import best_motion
from ponita_edu.analysis.attribute_sets import ATTRIBUTE_SETS, get_set
from ponita_edu.analysis.pairs import SPACES, random_pairs, special_pairs
from ponita_edu.viz.items import Arrows, Lines, Points, Sphere
from ponita_edu.viz.pair_scenes import RICHEST, compare_numbers, pair_scene
from ponita_edu.viz.pairs import PairExplorer, frame_from_angles, motion_in_sight

FOUND = {"r2s1_cosine", "r3s2_triple", "r3s2_separable"}  # the incomplete ones
OFFERED = [name for name, s in ATTRIBUTE_SETS.items() if s.space in SPACES]


@pytest.fixture(scope="module")
def shared():
    return PairExplorer()


@pytest.fixture
def widget(shared):
    shared.reset()
    yield shared
    assert shared.error_box.value == ""


def one(space, seed=3):
    return random_pairs(space, 1, seed)[0]


def named(scene, name):
    return next(item for item in scene.items if getattr(item, "name", "") == name)


def drawn(widget):
    """All coordinates of the live picture in one row."""
    traces = widget.pictures[0].data
    return np.concatenate([np.ravel(t[k]) for t in traces for k in "xyz" if k in t and t[k] is not None])


def same(a, b):
    return a.shape == b.shape and np.allclose(a, b, atol=1e-5, equal_nan=True)


# ---------------------------------------------------------------------------------------------------------- pictures
@pytest.mark.parametrize("space", SPACES)
def test_pair_scene_puts_both_points_and_arrows_where_they_are(space):
    pair = one(space)
    scene = pair_scene(pair, limit=None)
    assert np.allclose(named(scene, "receiver t").xyz[0], pair.pos_t, atol=1e-6)
    assert np.allclose(named(scene, "sender s").xyz[0], pair.pos_s, atol=1e-6)
    arrows = [item for item in scene.items if isinstance(item, Arrows) and item.width in (3, 6)]
    assert sum(len(a.vector) for a in arrows) == 2 * SPACES[space].columns
    if SPACES[space].columns:
        direction = arrows[-1 if SPACES[space].columns == 1 else -2].vector[0]
        assert np.allclose(direction / np.linalg.norm(direction), pair.ori_s, atol=1e-5)


def test_orbit_in_r3s2_keeps_height_and_distance_from_the_axis():
    pair = one("r3s2")
    circle = named(pair_scene(pair), "orbit of s").paths[0] - pair.pos_t.numpy()
    along = circle @ pair.ori_t.numpy()
    across = np.linalg.norm(circle - along[:, None] * pair.ori_t.numpy(), axis=1)
    expected = get_set("r3s2_triple").attributes(pair)
    assert np.allclose(along, expected[0], atol=1e-5) and np.allclose(across, expected[1], atol=1e-5)
    assert len(np.unique(circle.round(3), axis=0)) == 48  # a circle and not one point


def test_orbit_is_a_sphere_in_r3_a_circle_in_r2_and_absent_under_a_trivial_stabiliser():
    sphere = next(i for i in pair_scene(one("r3")).items if isinstance(i, Sphere))
    assert sphere.radius == pytest.approx(float(one("r3").r.norm()))
    circle = named(pair_scene(one("r2")), "orbit of s")
    assert isinstance(circle, Lines)
    assert np.allclose(np.linalg.norm(circle.paths[0] - one("r2").pos_t.numpy(), axis=1), one("r2").r.norm(), atol=1e-5)
    for space in ("r2s1", "se2", "se3"):
        assert "orbit of s" not in [getattr(i, "name", "") for i in pair_scene(one(space)).items]


def test_alt_text_says_what_is_drawn():
    pair = one("r3s2")
    plain = pair_scene(pair, show_orbit=False).alt
    assert "orbit" not in plain and f"{float(pair.r.norm()):.2f} apart" in plain
    full = pair_scene(pair, other=one("r3s2", 4), before=pair, free=True).alt
    assert all(word in full for word in ("circle", "pale grey", "purple", "degrees"))


@pytest.mark.parametrize(("space", "case", "words"), [
    ("r3", "generic", "a sphere about"), ("r3", "r = 0", "the sender alone"), ("r2", "r = 0", "the sender alone"),
    ("r3s2", "r ∥ o_s", "a circle about"), ("r3s2", "r ∥ o_t", "its place, where its arrow turns"),
    ("r3s2", "o_s = o_t", "a circle about"), ("r3s2", "all on a line", "the sender alone"),
    ("se3", "generic", "the sender alone")])
def test_alt_text_knows_where_an_orbit_has_no_extent(space, case, words):
    pair = special_pairs(space)[case]
    alt = pair_scene(pair, other=pair).alt
    assert f"The sender's orbit is {words}" in alt
    assert ("an arrow of the same direction" in alt) == bool(pair.frame_s.shape[-1]) and "different" not in alt


def test_pair_scene_refuses_batches_and_mixed_spaces():
    with pytest.raises(ValueError, match=r"batch \[2\].*Index it"):
        pair_scene(random_pairs("r3s2", 2))
    with pytest.raises(ValueError, match="other must be a single pair in 'r3s2'; got 'se3'"):
        pair_scene(one("r3s2"), other=one("se3"))


# ----------------------------------------------------------------------------------------------------------- numbers
@pytest.mark.parametrize("name", OFFERED)
def test_compare_numbers_lists_the_set_and_then_what_it_lacks(name):
    pair = one(get_set(name).space)
    numbers = compare_numbers(get_set(name), pair, pair)
    assert [n.label for n in numbers if n.chosen] == list(get_set(name).labels)
    assert torch.allclose(torch.tensor([n.now for n in numbers if n.chosen]).double(), get_set(name).attributes(pair))
    assert set(get_set(RICHEST[pair.space]).labels) <= {n.label for n in numbers}
    assert all(n.stays for n in numbers)


def test_angle_changes_the_short_way_round():
    a, b = (random_pairs("r2s1", 40, seed) for seed in (1, 2))
    changes = [compare_numbers(get_set("r2s1"), a[i], b[i])[2].change for i in range(40)]
    assert max(map(abs, changes)) <= math.pi
    raw = get_set("r2s1").attributes(b)[:, 2] - get_set("r2s1").attributes(a)[:, 2]
    assert raw.abs().max() > math.pi  # the plain difference would go the long way
    assert np.allclose(np.cos(changes), raw.cos(), atol=1e-12)


def test_frame_from_angles_looks_where_it_says():
    frame = frame_from_angles(3, 90, 30, 70)
    assert torch.allclose(frame[:, 0], torch.tensor([0, math.sqrt(3) / 2, 0.5], dtype=torch.float64))
    assert torch.allclose(frame.T @ frame, torch.eye(3, dtype=torch.float64))
    assert not torch.allclose(frame, frame_from_angles(3, 90, 30, 0))
    assert torch.allclose(frame_from_angles(2, 90)[:, 0], torch.tensor([0.0, 1], dtype=torch.float64))


@pytest.mark.parametrize("space", SPACES)
def test_motion_in_sight_keeps_the_pair_in_the_picture(space):
    pair = one(space)
    for seed in range(20):
        moved = pair.moved(motion_in_sight(pair, seed))
        assert (0.5 * (moved.pos_t + moved.pos_s)).abs().max() <= 0.35 + 1e-12


# ------------------------------------------------------------------------------------------------------------ widget
MOVES = {
    "r2": ("x", "y", "show_orbit"),
    "r3": ("x", "y", "z", "show_orbit"),
    "r2s1": ("x", "y", "sender_azimuth", "receiver_azimuth"),
    "r3s2": ("x", "y", "z", "sender_azimuth", "sender_elevation", "receiver_azimuth", "receiver_elevation", "spin",
             "show_orbit"),
    "se2": ("x", "y", "sender_azimuth", "receiver_azimuth"),
    "se3": ("x", "y", "z", "sender_azimuth", "sender_elevation", "sender_roll", "receiver_azimuth",
            "receiver_elevation", "receiver_roll"),
}  # fmt: skip


@pytest.mark.parametrize("space", SPACES)
def test_each_control_changes_the_picture_and_hidden_ones_have_no_say(widget, space):
    widget.set({"space": space, "receiver_elevation": 20})
    positions = {"x", "y", "z"} | {f"{e}_{a}" for e in ("sender", "receiver") for a in ("azimuth", "elevation", "roll")}
    for name in sorted(positions | {"spin", "show_orbit"}):
        before, report = drawn(widget), widget.report()
        control = getattr(widget, name)
        control.value = not control.value if name == "show_orbit" else control.value + 5 * control.step
        visible = control.layout.display != "none"
        assert visible == (name in MOVES[space] or name == "show_orbit"), name
        if name in MOVES[space]:
            assert not same(before, drawn(widget)), name
            assert name == "show_orbit" or report != widget.report(), name
        else:
            assert same(before, drawn(widget)) and report == widget.report(), name


@pytest.mark.parametrize("name", OFFERED)
def test_random_motion_moves_the_picture_and_no_number(widget, name):
    widget.set({"space": get_set(name).space, "numbers": name})
    before = drawn(widget)
    widget.motion.click()
    start, now, words = widget.pairs()
    assert words == ("before", "moved") and not same(before, drawn(widget))
    assert all(n.stays for n in compare_numbers(get_set(name), start, now))
    assert "(rounding)" in widget.report() and "<b>+" not in widget.report()
    first = drawn(widget)
    widget.motion.click()
    assert not same(first, drawn(widget))  # another motion each time
    widget.back.click()
    assert same(before, drawn(widget))


@pytest.mark.parametrize("name", OFFERED)
def test_collision_is_found_for_incomplete_sets_and_for_no_complete_one(widget, name):
    widget.set({"space": get_set(name).space, "numbers": name})
    before = drawn(widget)
    widget.collide.click()
    pair, other, words = widget.pairs()
    if name not in FOUND:
        assert "No collision found" in widget.report() and "48 random starts" in widget.report()
        assert words is None and same(before, drawn(widget))
        return
    assert "Collision." in widget.report() and not same(before, drawn(widget))
    numbers = compare_numbers(get_set(name), pair, other)
    assert all(n.stays for n in numbers if n.chosen) and any(abs(n.change) > 1e-3 for n in numbers if not n.chosen)
    assert float(best_motion(pair, other, get_set(name).group)[1]) > 1e-3
    widget.x.value -= 0.1
    assert "Collision" not in widget.report()  # it belonged to another pair


def test_mirror_images_collide_for_the_four_numbers_only_where_they_count_as_different(widget):
    widget.numbers.value = "r3s2_e3"
    widget.mirror.value = True
    widget.collide.click()
    assert "Collision." in widget.report() and "Seen by: det" in widget.report()
    pair, other, _ = widget.pairs()
    assert float(best_motion(pair, other, "E")[1]) < 1e-9 < float(best_motion(pair, other, "SE")[1])


def test_spin_leaves_the_triple_and_moves_the_fourth_number_along_its_cosine(widget):
    fourth = []
    for angle in range(0, 360, 30):
        widget.spin.value = angle
        numbers = {n.label: n for n in compare_numbers(get_set("r3s2_triple"), widget.placed(), widget.spun())}
        assert all(n.stays for n in numbers.values() if n.chosen)
        fourth.append(numbers["r·o_s"].now)
    a = np.radians(np.arange(0, 360, 30))
    basis = np.stack((np.ones_like(a), np.cos(a), np.sin(a)), axis=1)
    weights, rest, *_ = np.linalg.lstsq(basis, np.array(fourth), rcond=None)
    assert rest[0] < 1e-25 and np.hypot(*weights[1:]) > 0.5
    circle = named(widget.scene(), "o_s spun").paths[0]
    tip = widget.spun().pos_s + 0.55 * widget.spun().ori_s
    assert np.linalg.norm(circle - tip.numpy(), axis=1).min() < 0.05


def test_reset_and_a_new_space_forget_motion_and_collision(widget):
    before = drawn(widget)
    widget.collide.click()
    widget.motion.click()
    assert "purple" in widget.report()
    widget.space.value = "r2s1"
    assert widget.numbers.value == "r2s1" and "purple" not in widget.report() and widget.pairs()[2] is None
    assert [t.type for t in widget.pictures[0].data if t.type.endswith("3d")] == []
    widget.reset_button.click()
    assert same(before, drawn(widget)) and widget.values["space"] == "r3s2"


def test_space_and_numbers_can_be_set_in_any_order(widget):
    widget.set({"numbers": "r2s1_cosine", "space": "r2s1"})
    assert (widget.space.value, widget.numbers.value) == ("r2s1", "r2s1_cosine")


def test_points_of_the_explorer_stay_in_the_picture(widget):
    widget.set({"x": 1.2, "y": 1.2, "z": 1.2})
    for _ in range(5):
        widget.motion.click()
        points = np.concatenate([i.xyz for i in widget.scene().items if isinstance(i, Points)])
        assert np.abs(points).max() < 1.75


def test_explorer_starts_in_the_space_and_set_that_are_asked_for():
    widget = PairExplorer("r2s1", "r2s1_cosine")
    assert widget.error_box.value == "" and widget.numbers.value == "r2s1_cosine" and widget.spun().space == "r2s1"
    with pytest.raises(ValueError, match="space must be one of"):
        PairExplorer("r4")
