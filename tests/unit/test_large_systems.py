"""Systems that grow: the frames, exact claims of cutoff networks with controls, errors by size, the picture."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from ponita_edu.analysis import large_systems as ls
from ponita_edu.data.sizes import SizedFrame, dimer_distances, load_sizes

FRAMES = load_sizes()
CUT, COMPLETE = "positions, cutoff", "positions, complete graph"


def first(family, n, split="test"):
    return next(f for f in FRAMES if (f.split, f.family, f.n) == (split, family, n))


# -------------------------------------------------------------------------------------------------------------- frames
def test_frames_are_whole_and_training_ones_small():
    assert len(FRAMES) == 876 and max(len(f.numbers) for f in FRAMES) == 194
    assert max(len(f.numbers) for f in FRAMES if f.split == "train") == 32
    for f in FRAMES:
        assert f.pos.shape == f.forces.shape == (len(f.numbers), 3) and f.pos.mean(0).abs().max() < 1e-3
    assert len(first("alkane", 64).numbers) == 194 and sorted(set(first("water", 64).numbers.tolist())) == [1, 8]


def test_forces_of_a_frame_add_up_to_nothing_and_turn_nothing():
    for f in FRAMES:
        assert f.forces.sum(0).abs().max() < 1e-4 * len(f.numbers)
        assert torch.linalg.cross(f.pos, f.forces).sum(0).abs().max() < 5e-3 * len(f.numbers)
    assert max(float(f.forces.abs().max()) for f in FRAMES) > 1  # control: they are not small


def test_dimer_binds_and_its_interaction_dies_out():
    *pairs, single = [f for f in FRAMES if f.split == "dimer"]
    energy = dict(zip(dimer_distances(), (f.energy - 2 * single.energy for f in pairs), strict=True))
    assert min(energy.values()) < -0.2 and abs(energy[20.0]) < 0.02 < abs(energy[10.0])


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", pos=np.zeros(3))
    for name in ("other.npz", "none.npz"):
        with pytest.raises(ValueError, match="must be a file of tools"):
            load_sizes(tmp_path / name)


# -------------------------------------------------------------------------------------------------------- exact claims
@pytest.mark.parametrize("arm", ["positions, cutoff", "bundle, cutoff"])
def test_two_far_systems_are_the_sum_of_each(arm):
    field, a, b = ls.make_field(arm), first("peptide", 1), first("water", 3)
    assert ls.consistency(field, a, b) < 1e-11
    assert ls.consistency(field, a, b, gap=2.0) > 1e-6  # controls: near ones are not,
    assert ls.consistency(field, a, b, constant=5.0) == pytest.approx(5.0)  # nor with a constant,
    assert ls.consistency(ls.make_field(COMPLETE), a, b) > 1e-6  # nor complete graphs


def chain(count):
    pos = torch.zeros(count, 3, dtype=torch.float64)
    pos[:, 0] = 1.5 * torch.arange(count)
    return SizedFrame("test", "chain", count, torch.full((count,), 6), pos, 0.0, torch.zeros_like(pos))


def test_forces_further_than_twice_the_reach_do_not_change_and_nearer_ones_do():
    reach = 2 * ls.LAYERS * ls.CUTOFF
    changes = ls.locality(ls.make_field(CUT), chain(30))
    assert len(changes) == 29 and max(c for d, c in changes if d > reach) < 1e-10
    assert max(c for d, c in changes if d < ls.CUTOFF) > 1e-3
    assert max(c for d, c in ls.locality(ls.make_field(COMPLETE), chain(30)) if d > reach) > 1e-6  # control


def test_field_sees_nothing_of_a_ball_further_than_the_cutoff():
    for _, apart, _, bound in ls.dimer_curve(ls.make_field(CUT), FRAMES):
        assert abs(bound) < 1e-9 if apart > ls.CUTOFF else abs(bound) > 1e-7


# -------------------------------------------------------------------------------------------------------------- errors
def test_references_make_energies_small_and_no_shift_is_used():
    task = ls.SizesTask(FRAMES, ls.CUTOFF)
    frame = first("alkane", 64)
    assert abs(frame.energy) > 4000 and abs(frame.energy - task.reference(frame.numbers)) < 10
    field = ls.make_field(CUT)
    task.prepare(field, task.graphs("train", torch.arange(8)))
    assert float(field.shift) == 0 and float(field.scale) == pytest.approx(task.scale)
    with pytest.raises(ValueError, match="split 'train'"):
        ls.SizesTask([frame], ls.CUTOFF)


def test_training_helps_systems_larger_than_any_it_saw():
    wet = [f for f in FRAMES if f.split != "train" or f.family == "water"]
    row = ls.measure(CUT, wet, steps=100, most=40)
    assert {s["atoms"] for s in row["sizes"]} == {3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 22, 32, 36}
    large = next(s for s in row["sizes"] if s["atoms"] == 36)
    assert large["forces_meV_per_A"] < 0.9 * large["rule_forces_meV_per_A"], large
    assert row["consistency_eV"]["20 Å apart"] < 1e-9 and len(row["dimer"]) == 10


def test_refuses_an_unknown_arm():
    with pytest.raises(ValueError, match="arm must be one of positions"):
        ls.make_field("bundle, 10 Å")


def test_command_writes_what_the_notebook_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(ls, "measure", lambda arm, frames, steps, seed, most: {
        "arm": arm, "seed": seed, "processor_seconds": 1.0, "sizes": [], "consistency_eV": {}, "steps": steps})
    out = tmp_path / "large.json"
    ls.main(["--steps", "3", "--seeds", "0", "1", "--arms", CUT, "--out", str(out)])
    content = json.loads(out.read_text())
    assert [r["seed"] for r in content["rows"]] == [0, 1] and content["rows"][0]["steps"] == 3
    assert {"commit", "versions", "command", "time_and_memory"} <= content.keys()


# ------------------------------------------------------------------------------------------------------------- picture
def test_picture_has_a_column_for_each_family_and_a_mean_over_seeds():
    plot_sizes = pytest.importorskip("ponita_edu.viz.sizes", reason="the course extra is not installed").plot_sizes

    def row(arm, seed, error):
        return {"arm": arm, "seed": seed, "sizes": [
            {"family": family, "atoms": atoms, "energy_meV_per_atom": error, "forces_meV_per_A": 10 * error}
            for family in ("alkane", "water") for atoms in (3, 30)]}

    figure = plot_sizes([row("a", 0, 1.0), row("a", 1, 3.0), row("b", 0, 5.0)], {"water": 18})
    assert len(figure.axes) == 4 and figure.axes[0].get_title() == "alkane"
    means = [line for line in figure.axes[0].lines if line.get_label() == "a"]
    assert np.allclose(means[0].get_ydata(), 2) and list(means[0].get_xdata()) == [3, 30]
    with pytest.raises(ValueError, match="at least one row"):
        plot_sizes([])

    narrow = row("a", 0, 1.0)
    narrow["sizes"][2]["atoms"], narrow["sizes"][3]["atoms"] = 60, 120  # as C60 and two of them
    figure = plot_sizes([narrow])
    figure.draw_without_rendering()
    for axes in figure.axes[2:]:
        low, high = axes.get_xlim()
        labels = [label for minor in (False, True) for place, label in zip(
            axes.xaxis.get_ticklocs(minor=minor), axes.xaxis.get_ticklabels(minor=minor), strict=True)
            if low <= place <= high and label.get_text()]
        spans = sorted((box.x0, box.x1) for box in (label.get_window_extent() for label in labels))
        assert spans and all(left[1] < right[0] for left, right in pairwise(spans))
