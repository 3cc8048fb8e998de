"""Charts show the numbers that they are given."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("ipywidgets")

from ponita_edu.viz import theme
from ponita_edu.viz.plots import plot_forces, plot_parity, plot_trajectories

RNG = np.random.default_rng(0)
TRUTH, PREDICTED = RNG.normal(size=(2, 7, 5, 3)), RNG.normal(size=(2, 5, 3))
CHARGES = np.array([[1.0, -1, 1, 1, -1], [-1, -1, 1, -1, 1]])


def test_plot_trajectories_draws_ways_and_predicted_ends():
    figure = plot_trajectories(TRUTH, PREDICTED, CHARGES)
    assert len(figure.axes) == 2
    for k, axes in enumerate(figure.axes):
        ways = [line for line in axes.lines if len(line.get_xdata()) == 7]
        crosses = [line for line in axes.lines if line.get_marker() == "x"]
        np.testing.assert_array_equal([w.get_xydata() for w in ways], TRUTH[k].transpose(1, 0, 2)[..., :2])
        np.testing.assert_array_equal([c.get_xydata()[0] for c in crosses], PREDICTED[k, :, :2])
        assert [w.get_color() == theme.POSITIVE for w in ways] == (CHARGES[k] > 0).tolist()
        assert axes.get_title().endswith(f"{((PREDICTED[k] - TRUTH[k, -1]) ** 2).mean():.2g}")


def test_plot_parity_draws_the_points_and_their_mean_error():
    truth, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    axes = plot_parity(truth, predicted, "gap", "eV").axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), np.stack((truth, predicted), axis=1))
    assert axes.get_title() == "mean absolute error 0.5 eV" and "gap (eV)" in axes.get_xlabel()


@pytest.mark.parametrize("times", [0.0, 1.0, 5.0])
def test_plot_forces_shows_every_force_however_wrong(times):
    truth, numbers = RNG.normal(size=(6, 3)), np.array([6, 6, 8, 1, 1, 1])
    left, right = plot_forces(truth, times * truth, numbers).axes
    shown = np.concatenate([line.get_xydata() for line in left.lines[1:]])
    assert len(shown) == 18 and (np.abs(shown) < left.get_ylim()[1]).all() and left.get_xlim() == left.get_ylim()
    assert right.get_title() == f"MAE {1000 * np.abs((times - 1) * truth).mean():.1f} meV/Å"
