"""Pictures of generated molecules say what the stability rule says; the viewer shows the chosen moment."""

import numpy as np
import pytest

from ponita_edu.data.qm9_small import load_small
from ponita_edu.molecules.stability import stability
from ponita_edu.viz.generation import DiffusionViewer, Frame, diffusion_scene, formula, gallery, sample_scene
from ponita_edu.viz.items import Balls, Rods


@pytest.fixture(scope="module")
def data():
    return load_small()[0]


def molecule(data, row):
    atoms = slice(*data.offsets[row:row + 2])
    return data.numbers[atoms].astype(np.int64), data.pos[atoms].astype(np.float64)


def halos(scene):
    return sum(len(item.xyz) for item in scene.items if isinstance(item, Balls) and item.opacity < 1)


def test_halos_are_the_atoms_without_their_valence(data):
    numbers, pos = molecule(data, 40)
    assert halos(sample_scene(numbers, pos)) == 0
    for shift in (0.3, 1.0):
        moved = pos.copy()
        moved[-1] += shift
        bad = ~stability(numbers, moved, np.array([0, len(numbers)])).atoms
        scene = sample_scene(numbers, moved)
        assert halos(scene) == bad.sum() > 0 and f"{bad.sum()} without their valence" in scene.alt


def test_rods_are_bonds_with_one_rod_for_each_order(data):
    for row, orders in ((0, 4), (3, 5)):  # methane: 4 single bonds; acetylene: two single, one triple
        scene = sample_scene(*molecule(data, row))
        assert sum(len(item.start) for item in scene.items if isinstance(item, Rods)) == orders
    assert formula(molecule(data, 0)[0]) == "CH4" and formula(molecule(data, 3)[0]) == "C2H2"


def test_gallery_titles_give_the_verdict(data):
    figure = gallery(data.numbers, data.pos.astype(np.float64), data.offsets, columns=3, rows=1)
    stable = stability(data.numbers, data.pos, data.offsets).molecules[:3]
    assert ["not" not in axes.get_title() for axes in figure.axes] == stable.tolist()
    few = gallery(data.numbers[:5], data.pos[:5].astype(np.float64), np.array([0, 5]), columns=2, rows=1)
    assert [axes.get_title() for axes in few.axes] == ["CH4, stable", ""]


def test_viewer_shows_the_moment_and_holds_still_when_told(data):
    numbers, pos = molecule(data, 40)
    pos = pos - pos.mean(0)
    noise = np.random.default_rng(0).normal(size=pos.shape)
    noise -= noise.mean(0)
    viewer = DiffusionViewer([Frame(numbers, pos + s * noise, f"sigma {s}") for s in (0.0, 0.5, 2.0)])
    first, width = viewer.report_box.value, viewer.scene().limit
    traces = viewer.pictures[0].data
    assert f"stable atoms: {len(pos)} of {len(pos)}" in first and "sigma 0.0" in first
    viewer.step.value = 2
    assert all(a is b for a, b in zip(viewer.pictures[0].data, traces, strict=True))  # changed in place, none anew
    assert len(traces[0].x) > 0 and any(trace.name == "without its valence" and len(trace.x) for trace in traces)
    assert "sigma 2.0" in viewer.report_box.value and viewer.scene().limit > width and viewer.error_box.value == ""
    viewer.still.value = True
    assert viewer.scene().limit == width and f"width of the picture: {2 * width:.1f} Å" in viewer.report_box.value
    assert diffusion_scene(viewer.frame).title == "sigma 2.0"
    viewer.reset()
    assert viewer.report_box.value == first
    with pytest.raises(ValueError, match="at least two moments, but holds 1"):
        DiffusionViewer([Frame(numbers, pos, "alone")])
