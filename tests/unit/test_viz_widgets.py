"""The base of all widgets, the trajectory viewer and the molecule, without a browser."""

import numpy as np
import pytest
import torch
from traitlets import TraitError

pytest.importorskip("anywidget", reason="the course extra is not installed")

from ponita_edu.geometry.groups import random_rotations
from ponita_edu.molecules import aspirin, ethanol
from ponita_edu.viz.items import Balls, Lines, Points
from ponita_edu.viz.molecules import TurnMolecule, bonds, molecule_scene, turn
from ponita_edu.viz.scene import Scene
from ponita_edu.viz.trajectories import TrajectoryViewer, trajectory_scene
from ponita_edu.viz.widget import Explorer, slider


class Point(Explorer):
    explanation = "One point, for the test."

    def __init__(self):
        self.drawn = []
        super().__init__({"place": slider("place", 0, 0, 10), "height": slider("height", 1, 0, 10)})

    def scene(self):
        self.drawn.append(self.place.value)
        if self.place.value == 10:
            raise ValueError("place <10> is taken")
        return Scene("a single point", limit=10).points([[self.place.value, 0, self.height.value]])

    def report(self):
        return f"at {self.place.value:.0f}"


@pytest.fixture(autouse=True)
def closed():
    yield
    Point.close_all()  # one that shows an error would stop ``records`` of another test


# ------------------------------------------------------------------------------------------------------------- base
def test_control_moves_the_picture_and_the_report():
    widget = Point()
    widget.place.value = 3
    assert widget.pictures[0].data[0].x[0] == 3 and "at 3" in widget.report_box.value


def test_drawing_takes_one_thread_and_gives_the_others_back():
    class Counting(Point):
        def scene(self):
            self.threads = torch.get_num_threads()
            return super().scene()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        widget = Counting()
        assert widget.threads == 1 and torch.get_num_threads() == 3
        widget.place.value = 10  # an error
        assert widget.threads == 1 and torch.get_num_threads() == 3 and widget.error_box.value
    finally:
        torch.set_num_threads(before)


def test_reset_restores_all_controls_and_draws_once():
    widget = Point()
    widget.place.value, widget.height.value = 3, 4
    widget.drawn.clear()
    widget.reset_button.click()
    assert widget.values == {"place": 0, "height": 1} and widget.drawn == [0]


def test_error_is_shown_and_the_last_picture_stays():
    widget = Point()
    widget.place.value = 4
    widget.place.value = 10
    assert "ValueError" in widget.error_box.value and "place &lt;10&gt; is taken" in widget.error_box.value
    assert widget.pictures[0].data[0].x[0] == 4 and widget.report_box.value == ""  # no number of other values
    widget.place.value = 5
    assert widget.error_box.value == "" and widget.pictures[0].data[0].x[0] == 5 and "at 5" in widget.report_box.value


def test_change_during_a_drawing_is_drawn_last_and_not_nested():
    widget = Point()
    original, depth = widget.scene, []

    def scene():
        depth.append("in")
        if widget.place.value == 1:
            widget.place.value = 2  # as a person moves on while the drawing runs
            widget.place.value = 3
        result = original()
        depth.append("out")
        return result

    widget.scene = scene
    widget.place.value = 1
    assert depth == ["in", "out", "in", "out"]  # 1, then 3; 2 is skipped
    assert widget.pictures[0].data[0].x[0] == 3


def test_set_refuses_a_name_that_is_no_control():
    with pytest.raises(ValueError, match="colour, but the controls are place, height"):
        Point().set({"colour": 1})


def test_what_was_set_before_a_value_that_is_refused_is_shown():
    widget = Point()
    with pytest.raises(TraitError):
        widget.set({"place": 3, "height": "high"})
    assert widget.place.value == 3 == widget.pictures[0].data[0].x[0] and "at 3" in widget.report_box.value


def test_control_may_not_hide_what_the_base_has():
    class Clash(Point):
        def __init__(self):
            Explorer.__init__(self, {"scene": slider("place", 0, 0, 1)})

    with pytest.raises(ValueError, match="'scene'"):
        Clash()


def test_explanation_is_required():
    class Silent(Point):
        explanation = ""

    with pytest.raises(ValueError, match="What am I looking at"):
        Silent()


def test_printed_form_names_the_values_and_is_the_same_each_time():
    assert repr(Point()) == "Point(place=0.0, height=1.0)" == repr(Point())


# ----------------------------------------------------------------------------------------------------- trajectories
FRAMES, BODIES = 7, 3
TRUE = np.cumsum(np.random.default_rng(0).normal(size=(FRAMES, BODIES, 3)), axis=0)
CHARGES = np.array([1.0, -1.0, 1.0])


def items(scene, kind):
    return [item for item in scene.items if isinstance(item, kind)]


def test_trajectory_scene_puts_particles_where_they_are():
    scene = trajectory_scene(TRUE, CHARGES, 4)
    shown = np.concatenate([item.xyz for item in items(scene, Balls)])
    assert np.allclose(shown, TRUE[4, [0, 2, 1]], atol=1e-6)  # positive ones first
    assert all(len(path) == 5 for path in items(scene, Lines)[0].paths)


def test_trail_shortens_the_way():
    (lines,) = items(trajectory_scene(TRUE, CHARGES, 4, trail=2), Lines)
    assert all(len(path) == 3 for path in lines.paths)


def test_prediction_is_joined_to_the_moment_that_it_is_for():
    last = TRUE[-1] + 0.1
    scene = trajectory_scene(TRUE, CHARGES, 2, {"last": last, "way": TRUE + 0.2})
    points, way = items(scene, Points)
    assert np.allclose(points.xyz, last, atol=1e-6) and np.allclose(way.xyz, TRUE[2] + 0.2, atol=1e-6)
    ends = np.stack([path[1] for path in items(scene, Lines)[1].paths])
    assert np.allclose(ends, TRUE[-1], atol=1e-6)
    assert f"{np.sqrt(3) * 0.1:.2f} from the true place" in scene.alt


def test_every_prediction_is_drawn_however_many_there_are():
    names = [f"network {k}" for k in range(6)]
    scene = trajectory_scene(TRUE, CHARGES, 2, {name: TRUE[0] for name in names})
    assert [item.name for item in items(scene, Points)] == names


def test_a_particle_alone_at_rest_has_a_picture():
    assert trajectory_scene(TRUE[:1, :1], CHARGES[:1], 0).limit == 1


@pytest.mark.parametrize("arguments, match", [
    ((TRUE[0], CHARGES, 0), "true must have shape"),
    ((TRUE, CHARGES[:2], 0), "charges must hold one number for each of the 3"),
    ((TRUE, CHARGES, 7), "frame must be from 0 to 6"),
    ((TRUE, CHARGES, -1), "frame must be from 0 to 6"),
    ((TRUE, CHARGES, 0, {"net": TRUE[:2]}), r"predictions\['net'\] must have shape"),
])
def test_trajectory_scene_refuses(arguments, match):
    with pytest.raises(ValueError, match=match):
        trajectory_scene(*arguments)


def test_viewer_follows_time_and_choice_and_stands_still():
    viewer = TrajectoryViewer(TRUE, CHARGES, {"still": TRUE[0], "exact": TRUE[-1]}, times=np.linspace(0, 1, FRAMES))
    assert viewer.error_box.value == ""
    ranges = viewer.pictures[0].layout.scene.xaxis.range
    viewer.time.value = 6
    assert viewer.pictures[0].layout.title.text == "t = 1.00"
    assert viewer.pictures[0].layout.scene.xaxis.range == ranges
    viewer.prediction.value = "exact"
    assert [item.name for item in items(viewer.scene(), Points)] == ["exact"]
    report = viewer.report()
    assert "exact: 0.0000" in report and f"still: {((TRUE[0] - TRUE[-1]) ** 2).mean():.4f}" in report


def test_prediction_has_the_same_colour_alone_and_among_others():
    viewer = TrajectoryViewer(TRUE, CHARGES, {"still": TRUE[0], "exact": TRUE[-1]})
    both = {item.name: item.colours[0] for item in items(viewer.scene(), Points)}
    viewer.prediction.value = "exact"
    assert {item.name: item.colours[0] for item in items(viewer.scene(), Points)} == {"exact": both["exact"]}
    assert both["still"] != both["exact"]


def test_viewer_refuses_times_of_another_length():
    with pytest.raises(ValueError, match="one number for each of the 7 frames"):
        TrajectoryViewer(TRUE, CHARGES, times=np.zeros(3))


# -------------------------------------------------------------------------------------------------------- molecules
def test_ethanol_has_the_bonds_lengths_and_angles_that_it_says():
    molecule = ethanol()
    found = {frozenset((molecule.symbols[i], molecule.symbols[j])) for i, j in bonds(molecule.symbols,
                                                                                   molecule.positions)}
    assert len(bonds(molecule.symbols, molecule.positions)) == 8
    assert found == {frozenset("C"), frozenset("CO"), frozenset("OH"), frozenset("CH")}
    x = molecule.positions
    assert float((x[0] - x[1]).norm()) == pytest.approx(1.53) and float((x[1] - x[2]).norm()) == pytest.approx(1.43)
    for middle, ends in ((0, (1, 6, 7, 8)), (1, (0, 2, 4, 5)), (2, (1, 3))):
        u = torch.nn.functional.normalize(x[list(ends)] - x[middle], dim=-1)
        cosines = (u @ u.T)[~torch.eye(len(ends), dtype=bool)]
        assert torch.allclose(cosines, torch.full_like(cosines, -1 / 3), atol=1e-9)  # tetrahedral all round
    assert (torch.cdist(x, x) + torch.eye(9)).min() > 0.9


def test_aspirin_has_its_formula_its_bonds_and_a_flat_ring():
    molecule = aspirin()
    assert {e: molecule.symbols.count(e) for e in "CHO"} == {"C": 9, "H": 8, "O": 4}
    pairs = bonds(molecule.symbols, molecule.positions)
    kinds = ["".join(sorted(molecule.symbols[i] + molecule.symbols[j])) for i, j in pairs]
    assert {kind: kinds.count(kind) for kind in kinds} == {"CC": 8, "CH": 7, "CO": 5, "HO": 1}
    x = molecule.positions
    ring = x[:6] - x[:6].mean(0)
    assert torch.allclose(ring.norm(dim=-1), torch.full((6,), 1.39).double()) and torch.linalg.svdvals(ring)[2] < 1e-12
    apart = torch.cdist(x, x) + 9 * torch.eye(21)
    for i, j in pairs:
        apart[i, j] = apart[j, i] = 9.0
    assert apart.min() > 1.7  # no two atoms without a bond come closer than the hydrogens of the methyl group


def test_turn_finds_no_error_in_an_equivariant_function_and_one_in_another():
    x, rotation = ethanol().positions, random_rotations(1, seed=3)[0]
    good = turn(lambda p, _: (float(p.norm()), p * p.norm()), x, rotation)
    assert good.scalar_error < 1e-12 and good.vector_error < 1e-12
    bad = turn(lambda p, _: (float(p[:, 0].max()), p.abs()), x, rotation)
    assert bad.scalar_error > 1e-2 and bad.vector_error > 0.1
    assert turn(lambda p, _: (1.0, None), x, rotation).vector_error is None


def test_turn_hands_on_the_rotation_only_if_the_grid_turns_too():
    x, rotation = ethanol().positions, random_rotations(1, seed=3)[0]
    for grid_too in (False, True):
        seen = []
        turn(lambda p, r: (seen.append(r), (1.0, None))[1], x, rotation, grid_too)  # noqa: B023
        assert torch.equal(seen[0], torch.eye(3)) and torch.equal(seen[1], rotation) == grid_too


def test_molecule_widget_turns_and_reports():
    networks = {"good": lambda p, _: (float(p.norm()), p), "bad": lambda p, _: (float(p[0, 0]), p.abs())}
    widget = TurnMolecule(ethanol(), networks)
    before = np.array(widget.pictures[0].data[0].x)
    widget.angle.value = 90
    assert "0 % (rounding)" in widget.report() and not np.array_equal(before, widget.pictures[0].data[0].x)
    widget.network.value = "bad"
    assert "(rounding)" not in widget.report() and widget.error_box.value == ""
    assert "outside their bubbles" in widget.scene().alt


def test_arrows_of_length_zero_have_an_error_that_can_be_told():
    widget = TurnMolecule(ethanol(), {"still": lambda p, _: (1.0, 0 * p)})
    widget.angle.value = 90
    assert widget.turned().vector_error == 0 and "nan" not in widget.report()
    assert "Arrows end in their bubbles" in widget.scene().alt


def test_molecule_scene_refuses():
    with pytest.raises(ValueError, match="Xx"):
        molecule_scene(("Xx",), np.zeros((1, 3)), "an unknown atom")
    with pytest.raises(ValueError, match="one row for each of the 2"):
        molecule_scene(("H", "H"), np.zeros((1, 3)), "too few rows")
