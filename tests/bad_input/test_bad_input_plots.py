"""Charts refuse arrays that do not go together."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("ipywidgets")

from ponita_edu.viz.plots import plot_forces, plot_trajectories

TRUTH, PREDICTED, CHARGES = np.ones((2, 7, 5, 3)), np.ones((2, 5, 3)), np.ones((2, 5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((TRUTH[0], PREDICTED, CHARGES), r"truth must have shape \[sims, frames, particles, 3\], but has \[7, 5, 3\]"),
     ((TRUTH[:0], PREDICTED[:0], CHARGES[:0]), r"truth must have shape .* but has \[0, 7, 5, 3\]"),
     ((TRUTH, PREDICTED[:1], CHARGES), r"predicted must have shape \[2, 5, 3\] .* but has \[1, 5, 3\]"),
     ((TRUTH, PREDICTED, CHARGES[:, :4]), r"charges must have shape \[2, 5\] .* but has \[2, 4\]")],
)
def test_plot_trajectories_refuses_shapes_that_do_not_agree(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_trajectories(*arguments)


@pytest.mark.parametrize("shapes", [((3, 3), (2, 3)), ((2, 3), (3, 3)), ((3, 2), (3, 2)), ((3,), (3,))])
def test_plot_forces_refuses_shapes_that_do_not_agree(shapes):
    with pytest.raises(ValueError, match=r"truth and predicted must have shape \[3, 3\], .* but have \[\d.*\] and \["):
        plot_forces(*map(np.ones, shapes), np.array([6, 1, 1]))
