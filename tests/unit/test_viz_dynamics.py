"""The moving molecule, and the spectrum of its velocities."""

import numpy as np
import pytest

from ponita_edu.molecules.calculator import Run
from ponita_edu.molecules.spectrum import LIGHT, vibration_spectrum
from ponita_edu.viz.dynamics import MoleculePlayer, moment_scene, reach
from ponita_edu.viz.items import Arrows, Balls, Lines

SYMBOLS = ("C", "O")


def vibrating(wavenumber=1000.0, frames=400, fs=1.0):
    """Two atoms that swing along x, one frame a femtosecond, as a whole far from the origin."""
    time = np.arange(frames) * fs / 1000
    phase = 2 * np.pi * wavenumber * LIGHT * time
    pos, vel = np.zeros((frames, 2, 3)), np.zeros((frames, 2, 3))
    pos[:, 1, 0] = 1.2
    for k, (sign, mass) in enumerate(((1, 12.0), (-1, 16.0))):
        pos[:, k, 0] += sign * 0.5 / mass * np.sin(phase) + 7
        vel[:, k, 0] = sign * 0.5 / mass * np.cos(phase)
    return Run(time, pos, vel, np.linspace(0, 0.002, frames), np.full(frames, 300.0))


def test_a_spectrum_peaks_at_the_wavenumber_of_a_vibration_and_nowhere_else():
    run = vibrating(1000.0)
    k, power = vibration_spectrum(run.time, run.vel, np.array([12.0, 16.0]))
    assert abs(k[power.argmax()] - 1000.0) < 1 / (LIGHT * run.time[-1])
    assert power[np.abs(k - 1000) > 300].max() < 1e-3
    assert np.ptp(k) == pytest.approx(0.5 / (LIGHT * 1e-3))  # to the Nyquist limit of one frame a femtosecond


def test_a_heavier_atom_weighs_more_in_a_spectrum():
    slow, fast = vibrating(500.0), vibrating(2000.0)
    vel = np.stack((slow.vel[:, 0], fast.vel[:, 0]), axis=1)  # atom 0 slow, atom 1 fast, equally far
    k, power = vibration_spectrum(slow.time, vel, np.array([1.0, 16.0]))
    low, high = (power[np.abs(k - c) < 200].max() for c in (500, 2000))
    assert high == 1.0 and low == pytest.approx(1 / 16, rel=0.1)


@pytest.mark.parametrize("time", [np.array([0.0, 1, 3] * 8), np.arange(8.0), -np.arange(400) / 1000])
def test_a_spectrum_refuses_steps_that_are_not_equal_or_too_few(time):
    with pytest.raises(ValueError, match="equal steps"):
        vibration_spectrum(time, np.zeros((len(time), 2, 3)), np.ones(2))


def test_a_moment_shows_the_atoms_around_the_mean_place_of_the_run():
    run = vibrating()
    scene = moment_scene(SYMBOLS, run, 13, velocities=True, trail=5)
    balls = next(item for item in scene.items if isinstance(item, Balls))
    assert np.abs(balls.xyz - (run.pos[13] - run.pos.mean((0, 1)))).max() < 1e-6
    lines = next(item for item in scene.items if isinstance(item, Lines))
    assert [len(path) for path in lines.paths] == [6, 6]
    arrows = next(item for item in scene.items if isinstance(item, Arrows))
    assert np.abs(arrows.vector - 0.03 * run.vel[13]).max() < 1e-6
    assert "13 fs" in scene.alt and scene.half_width == reach(run) < 2  # though the molecule is at x = 7
    with pytest.raises(ValueError, match="from 0 to 399, but is 400"):
        moment_scene(SYMBOLS, run, 400)


def test_the_player_tells_the_numbers_of_its_moment():
    widget = MoleculePlayer(SYMBOLS, vibrating(frames=101))
    widget.frame.value = 100
    assert widget.error_box.value == "" and "100.0 fs" in widget.report_box.value
    assert "+1.000 meV" in widget.report_box.value and "300 K" in widget.report_box.value
    with pytest.raises(ValueError, match="frames of 3 atoms"):
        MoleculePlayer(("C", "O", "H"), vibrating())
