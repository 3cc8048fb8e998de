"""Charts: arrays in, matplotlib figures out."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ponita_edu.viz import theme


def plot_trajectories(
    truth: Float[np.ndarray, "sims frames particles 3"],
    predicted: Float[np.ndarray, "sims particles 3"],
    charges: Float[np.ndarray, "sims particles"],
) -> Figure:
    """Ways of charged particles, seen along z, with the places predicted for their ends; a panel a simulation.

    Args:
        truth: positions, the first frame being the network's input and the last what it should predict.
        predicted: positions at the last frame.
        charges: their signs choose the colours.

    Raises:
        ValueError: if the shapes do not agree.
    """
    truth, predicted, charges = (np.asarray(a, dtype=np.float64) for a in (truth, predicted, charges))
    if truth.ndim != 4 or truth.shape[3] != 3 or 0 in truth.shape:
        raise ValueError(f"truth must have shape [sims, frames, particles, 3], but has {list(truth.shape)}.")
    sims, _, particles, _ = truth.shape
    for name, a, wanted in (("predicted", predicted, (sims, particles, 3)), ("charges", charges, (sims, particles))):
        if a.shape != wanted:
            raise ValueError(f"{name} must have shape {list(wanted)} to go with truth, but has {list(a.shape)}.")
    figure = Figure(figsize=(3.2 * sims, 3.7), dpi=theme.DPI, layout="constrained")
    for k, axes in enumerate(np.atleast_1d(figure.subplots(1, sims))):
        for i in range(particles):
            colour = theme.POSITIVE if charges[k, i] > 0 else theme.NEGATIVE
            axes.plot(*truth[k, :, i, :2].T, color=colour, lw=1.6)
            axes.plot(*truth[k, 0, i, :2], "o", ms=5, mfc="white", mec=colour)
            axes.plot(*truth[k, -1, i, :2], "o", ms=6, color=colour)
            axes.plot(*np.stack((truth[k, -1, i, :2], predicted[k, i, :2])).T, color=theme.GREY, lw=0.8)
            axes.plot(*predicted[k, i, :2], "x", ms=8, mew=1.8, color=theme.BLACK)
        error = float(((predicted[k] - truth[k, -1]) ** 2).mean())
        axes.set_title(f"simulation {k}, MSE {error:.2g}", fontsize=10)
        axes.set_aspect("equal", adjustable="datalim")
        axes.tick_params(labelsize=8)
        axes.set_xlabel("x", fontsize=9)
        axes.set_ylabel("y" if k == 0 else "", fontsize=9)
    signs = [Line2D([], [], color=c, marker="o", ms=6, label=f"true way, charge {s}")
             for s, c in (("+", theme.POSITIVE), ("−", theme.NEGATIVE))]
    marks = [Line2D([], [], color=theme.GREY, marker="o", mfc="white", ls="", label="start"),
             Line2D([], [], color=theme.BLACK, marker="x", ms=8, mew=1.8, ls="", label="predicted end")]
    figure.legend(handles=signs + marks, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure
