"""Charts: arrays in, matplotlib figures out."""

import itertools

import numpy as np
from jaxtyping import Float, Int
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


def plot_forces(
    truth: Float[np.ndarray, "atoms 3"], predicted: Float[np.ndarray, "atoms 3"], numbers: Int[np.ndarray, " atoms"]
) -> Figure:
    """Predicted against true force components in eV/Å, and a histogram of the errors in meV/Å, by element.

    Raises:
        ValueError: if the shapes do not agree.
    """
    if not (truth.shape == predicted.shape == (len(numbers), 3)):
        raise ValueError(f"truth and predicted must have shape [{len(numbers)}, 3], one row per number, but have "
                         f"{list(truth.shape)} and {list(predicted.shape)}.")
    figure = Figure(figsize=(8.4, 4.0), dpi=theme.DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    error = 1000 * (predicted - truth)
    edge = max(float(np.percentile(np.abs(error), 99)), 1e-9)
    limit = 1.05 * float(np.abs((truth, predicted)).max()) or 1.0  # a bad prediction must be seen, too
    left.plot([-limit, limit], [-limit, limit], color=theme.GREY, lw=0.8)
    for z, colour, mark in zip(sorted(set(numbers.tolist())), itertools.cycle(theme.PALETTE), itertools.cycle("os^Dv"),
                               strict=False):
        mine = numbers == z
        mae = float(np.abs(error[mine]).mean())
        left.plot(truth[mine].ravel(), predicted[mine].ravel(), mark, ms=3, alpha=0.6, color=colour, label=f"Z = {z}")
        right.hist(error[mine].ravel(), bins=np.linspace(-edge, edge, 41), histtype="step", lw=1.6, color=colour,
                   density=True, label=f"Z = {z}, MAE {mae:.1f}")
    left.set(xlabel="true force (eV/Å)", ylabel="predicted force (eV/Å)", xlim=(-limit, limit), ylim=(-limit, limit))
    right.set(xlabel="error (meV/Å)", ylabel="density", title=f"MAE {float(np.abs(error).mean()):.1f} meV/Å")
    for axes in (left, right):
        axes.legend(fontsize=9, frameon=False)
    return figure


def plot_parity(truth: Float[np.ndarray, " graphs"], predicted: Float[np.ndarray, " graphs"], name: str, unit: str
                ) -> Figure:
    """Predicted against true values, a point each, and the diagonal where they are equal."""
    figure = Figure(figsize=(4.6, 4.3), dpi=theme.DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot(truth, predicted, ".", ms=3, alpha=0.5, color=theme.BLUE)
    ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
    axes.plot(ends, ends, color=theme.GREY, lw=1)
    axes.set(xlabel=f"true {name} ({unit})", ylabel=f"predicted {name} ({unit})",
             title=f"mean absolute error {np.abs(predicted - truth).mean():.3g} {unit}")
    axes.set_aspect("equal")
    return figure
