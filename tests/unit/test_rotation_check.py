"""RotationCheck: claims that hold, numbers that belong to the controls, and the networks it asks."""

import random
import re

import numpy as np
import pytest
import torch

pytest.importorskip("anywidget", reason="the course extra is not installed")

from ponita_edu.analysis import molecule_networks
from ponita_edu.analysis.molecule_networks import (
    KINDS,
    as_graphs,
    elastic_energy,
    elastic_task,
    energy_and_forces,
    fit,
    jiggled,
    trained,
    untrained,
)
from ponita_edu.analysis.rotation_check import MoleculeNetwork, claim, nearest_symmetry, permutes, reflections
from ponita_edu.geometry import Grid, make_grid, random_rotations
from ponita_edu.molecules import Molecule, aspirin, ethanol
from ponita_edu.viz import rotation_check
from ponita_edu.viz.items import Arrows, Balls
from ponita_edu.viz.molecules import turn
from ponita_edu.viz.rotation_check import RotationCheck, back_scene, motion, percent

MOLECULE = jiggled(aspirin())
GRID = make_grid("icosahedron")
TURN = motion(40, 25)
GRIDS = {kind: GRID if config.space == "bundle" else None for kind, config in KINDS.items()}


@pytest.fixture(scope="module")
def networks():
    return {kind: MoleculeNetwork(MOLECULE, kind, grid=GRIDS[kind]) for kind in KINDS}


def error(network, rotation, move_grid=False):
    t = turn(network, MOLECULE.positions, rotation, move_grid)
    return max(t.scalar_error, t.vector_error)


# ------------------------------------------------------------------------------------------------------------- claims
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("move_grid", [False, True])
@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize("snap", [False, True])
def test_exact_claims_hold_to_rounding_and_others_fail_by_orders_of_magnitude(networks, kind, move_grid, reflect, snap):
    rotation = motion(40, 25, reflect)
    if snap:
        rotation = nearest_symmetry(GRID, rotation)
    made, _ = claim(networks[kind], rotation, move_grid)
    if made == "exact":
        assert error(networks[kind], rotation, move_grid) < 1e-12
    else:
        assert error(networks[kind], rotation, move_grid) > 1e-5


def test_which_claim_is_made():
    bundle, edges, signed = (MoleculeNetwork(MOLECULE, k, grid=GRIDS[k]) for k in ("bundle", "lifted edges",
                                                                                    "full, signed"))
    own = GRID.symmetries()[0][7]
    assert claim(edges, TURN, False)[0] == "exact"
    assert [claim(bundle, r, m)[0] for r, m in ((TURN, False), (TURN, True), (own, False), (-own, False))] == [
        "approximate", "exact", "exact", "exact"]
    assert claim(signed, motion(0, 0, True), True)[0] == "none"


def test_nearest_symmetry_is_a_symmetry_and_the_nearest():
    own = GRID.symmetries()[0]
    small = motion(3, 2)
    for k in (0, 5, 31):
        assert torch.equal(nearest_symmetry(GRID, own[k] @ small), own[k])
        assert torch.equal(nearest_symmetry(GRID, -own[k] @ small), -own[k])
    assert nearest_symmetry(make_grid("fibonacci", 9), motion(40, 0, True)) is None
    assert permutes(GRID, own[5]) and not permutes(GRID, own[5] @ small)


@pytest.mark.parametrize("name, n, count", [("tetrahedron", 4, 12), ("repulsion", 5, 6), ("cube", 8, 24),
                                            ("fibonacci", 9, 0)])
def test_reflections_are_found_whether_or_not_the_grid_holds_its_antipodes(name, n, count):
    grid = make_grid(name, n)
    found = reflections(grid)
    assert len(found) == count and all(permutes(grid, m) and torch.linalg.det(m) < 0 for m in found)
    wanted = motion(40, 0, True)
    nearest = nearest_symmetry(grid, wanted)
    assert (nearest is None) == (count == 0)
    if count:
        assert torch.equal(nearest, min(found, key=lambda m: float((m - wanted).norm())))


def test_grid_with_unequal_weights_is_permuted_only_with_its_weights():
    lebedev = make_grid("lebedev", 14)
    assert permutes(lebedev, motion(90, 0)) and not permutes(lebedev, motion(45, 0))
    points = make_grid("octahedron").points
    heavy_x = Grid.from_points(points, torch.where(points[:, 0].abs() > 0.5, 0.2, 0.15))
    about_x, about_z = motion(0, 90), motion(90, 0)
    assert all(permutes(make_grid("octahedron"), turn) for turn in (about_x, about_z))
    assert permutes(heavy_x, about_x) and not permutes(heavy_x, about_z)
    assert len(reflections(make_grid("octahedron"))) == 24 and len(reflections(heavy_x)) == 8  # of a square prism


# ----------------------------------------------------------------------------------------------------------- networks
def test_first_answer_is_kept_and_is_that_of_a_fresh_network(networks):
    network = networks["bundle"]
    first = network(MOLECULE.positions, torch.eye(3))
    network(MOLECULE.positions @ TURN.T, TURN)  # moves the grid in between
    assert network(MOLECULE.positions, torch.eye(3)) is first
    again = MoleculeNetwork(MOLECULE, "bundle", grid=GRID)(MOLECULE.positions.clone(), torch.eye(3))
    assert again[0] == first[0] and torch.equal(again[1], first[1])


def test_network_refuses_what_it_cannot_have():
    with pytest.raises(ValueError, match="kind must be one of"):
        MoleculeNetwork(MOLECULE, "plain")
    with pytest.raises(ValueError, match="grid must be given"):
        MoleculeNetwork(MOLECULE, "bundle")
    with pytest.raises(ValueError, match="grid must be None"):
        MoleculeNetwork(MOLECULE, "lifted edges", grid=GRID)
    with pytest.raises(ValueError, match="holds U"):
        as_graphs(Molecule("u", ("U",), torch.zeros(1, 3, dtype=torch.float64)))


def test_forces_of_a_network_on_positions_are_minus_the_derivative():
    graphs = as_graphs(MOLECULE)
    model = untrained("positions only", graphs)
    _, forces = energy_and_forces(model, graphs)
    step = torch.zeros_like(graphs.pos)
    step[4, 1] = 1e-5
    up, down = (energy_and_forces(model, graphs._replace(pos=graphs.pos + s))[0].detach() for s in (step, -step))
    assert float((down - up) / 2e-5) == pytest.approx(float(forces[4, 1]), rel=1e-6)


def test_elastic_energy_is_zero_at_rest_and_known_for_one_spring():
    rest = torch.tensor([[0.0, 0, 0], [1.5, 0, 0]], dtype=torch.float64)
    stretched = rest * torch.tensor([1.2, 1, 1])
    assert float(elastic_energy(rest[None], rest)) == 0
    assert float(elastic_energy(stretched[None], rest)) == pytest.approx(0.5 * 10 * np.exp(-1) * 0.3**2)
    turned = aspirin().positions @ TURN.T
    assert float(elastic_energy(turned[None], aspirin().positions)) < 1e-20


def test_elastic_targets_turn_with_the_molecule_and_training_lowers_the_error():
    task = elastic_task(aspirin(), test=8)
    graphs = task.test[0]
    assert graphs.y_vec["forces"].reshape(8, 21, 3).sum(1).abs().max() < 1e-4  # springs push nothing as a whole
    few, more = (fit("positions only", steps=steps)[1] for steps in (2, 40))
    assert more < 0.8 * few


def test_trained_weights_are_there_and_beat_untrained_ones():
    task = elastic_task(aspirin(), test=8)
    for kind in KINDS:
        after = molecule_networks.test_errors(trained(kind).float(), task)[1]
        before = molecule_networks.test_errors(untrained(kind, as_graphs(aspirin())).float(), task)[1]
        assert after < 0.6 < before, kind


# ------------------------------------------------------------------------------------------------------------- scenes
def test_error_arrows_start_at_the_first_answer_and_have_its_size(networks):
    t = turn(networks["bundle"], MOLECULE.positions, TURN)
    scene = back_scene(MOLECULE, t, TURN, magnify=10)
    bubbles = [i for i in scene.items if isinstance(i, Balls)][-1].xyz
    back, wrong = [i for i in scene.items if isinstance(i, Arrows)]
    assert np.allclose(wrong.start, bubbles, atol=1e-5)
    assert np.allclose(bubbles + wrong.vector / 10, back.start + back.vector, atol=1e-5)
    length = np.linalg.norm(bubbles - MOLECULE.positions.numpy())
    assert np.linalg.norm(wrong.vector / 10) / length == pytest.approx(t.vector_error, rel=1e-4)


def test_rounding_is_said_and_its_size_too():
    assert percent(3e-15) == "rounding (3e-15)" and percent(0.0512) == "5.1 %"


# ------------------------------------------------------------------------------------------------------------- widget
def numbers(html):
    return re.findall(r"-?\d+\.\d{6}", html)


def test_report_is_never_that_of_other_controls():
    widget, rng = RotationCheck(), random.Random(0)
    choices = {"turn_z": range(0, 360, 5), "tilt_x": range(-90, 91, 5), "network": list(KINDS), "n": (6, 12, 17),
               "family": ("fibonacci", "icosahedron", "lebedev"), "move_grid": (True, False), "snap": (True, False),
               "reflect": (True, False)}
    for _ in range(25):
        name = rng.choice(list(choices))
        getattr(widget, name).value = rng.choice(list(choices[name]))
        kind, grid = widget.network.value, widget.grid()
        fresh = MoleculeNetwork(widget._molecule, kind, grid=grid)  # nothing kept from before
        t = turn(fresh, widget._molecule.positions, widget.motion_now()[0], widget.move_grid.value)
        shown = [float(x) for x in numbers(widget.report_box.value)]
        assert shown == pytest.approx([t.before, t.after], abs=2e-6) and widget.error_box.value == ""
        assert f"turned {widget.turn_z.value:g}° about z" in widget.report_box.value


def test_report_goes_when_there_is_an_error(monkeypatch):
    widget = RotationCheck()
    assert numbers(widget.report_box.value)
    monkeypatch.setattr(rotation_check, "turn", lambda *_: 1 / 0)
    widget.turn_z.value = 75
    assert widget.report_box.value == "" and "ZeroDivisionError" in widget.error_box.value


def test_widget_works_without_trained_weights_and_for_another_molecule(monkeypatch, tmp_path):
    monkeypatch.setattr(rotation_check, "WEIGHTS", tmp_path / "none")
    for widget in (RotationCheck(), RotationCheck(jiggled(ethanol()))):
        assert widget.trained_weights.disabled
        widget.set({"trained_weights": True, "turn_z": 90})
        assert ", untrained" in widget.report_box.value and widget.error_box.value == ""
    monkeypatch.setattr(molecule_networks, "WEIGHTS", tmp_path / "none")
    assert trained("bundle") is None
    with pytest.raises(ValueError, match="trained weights are missing"):
        MoleculeNetwork(MOLECULE, "bundle", True, GRID)


def test_a_grid_that_a_full_network_cannot_afford_is_replaced_and_named():
    widget = RotationCheck()
    widget.network.value = "full"
    assert "icosahedron, 12 directions" in widget.report_box.value
    widget.set({"family": "fibonacci", "n": 60})
    assert "fibonacci, 14 directions" in widget.report_box.value and not widget.n.disabled
    widget.network.value = "lifted edges"
    assert "no grid" in widget.report_box.value and widget.n.disabled and widget.family.disabled


def test_random_rotation_of_the_molecule_is_not_the_identity():
    # negative control of all the above: the answers do change
    network = MoleculeNetwork(MOLECULE, "bundle", grid=GRID)
    t = turn(network, MOLECULE.positions, random_rotations(1, seed=1)[0])
    assert float((t.vectors - network.before[1]).norm() / t.expected.norm()) > 0.3
