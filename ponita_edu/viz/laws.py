"""Power laws as matplotlib figures (notebook 07)."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ponita_edu.analysis.laws import Law
from ponita_edu.viz import theme


def plot_laws(laws: Sequence[Law], xlabel: str, ylabel: str = "error of equivariance", title: str = "") -> Figure:
    """Errors in per cent along x, logarithmic axes: a pale dot for each network, the median, the fitted power of x.

    Args:
        laws: their labels, with slope and standard error, are the legend.

    Raises:
        ValueError: if there is none.
    """
    if not laws:
        raise ValueError("laws must hold at least one law, but is empty.")
    figure = Figure(figsize=(6.4, 4.2), dpi=theme.DPI, layout="constrained")
    axes = figure.subplots()
    for law, colour, marker in zip(laws, cycle(theme.PALETTE), cycle("osD^vP"), strict=False):
        x, errors = np.asarray(law.x, dtype=np.float64), np.asarray(law.errors)
        for network in errors.T:
            axes.loglog(x, network, ".", color=colour, alpha=0.25, ms=4)
        axes.loglog(x, law.medians, marker, color=colour, ms=5, label=str(law))
        middle = np.exp(np.log(errors).mean() + law.slope * (np.log(x) - np.log(x).mean()))
        axes.loglog(x, middle, color=colour, lw=1)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    for axis, factor, unit in ((axes.xaxis, 1, ""), (axes.yaxis, 100, " %")):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda v, _, factor=factor, unit=unit: f"{factor * v:g}{unit}"))
        axis.set_minor_formatter(NullFormatter())
    figure.legend(fontsize=8, loc="outside lower center", ncols=2 if len(laws) > 2 else 1)
    return figure
