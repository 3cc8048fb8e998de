"""Trained small, tested large: errors against the number of atoms (notebook 13)."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ponita_edu.viz import theme

ERRORS = {"energy_meV_per_atom": "energy error (meV/atom)", "forces_meV_per_A": "force error (meV/Å)"}


def plot_sizes(rows: Sequence[Mapping[str, Any]], largest_trained: Mapping[str, int] | None = None, title: str = ""
               ) -> Figure:
    """Energy error per atom and force error against atoms, a column for each family, a colour for each network.

    Args:
        rows: of ``large_systems.measure``: ``arm``, ``seed`` and ``sizes``. A pale dot for each seed, a line through
            the means.
        largest_trained: atoms of the largest member of a family in the training set; a dotted line.

    Raises:
        ValueError: if there is no row.
    """
    if not rows:
        raise ValueError("rows must hold at least one row of large_systems.measure, but is empty.")
    families = list(dict.fromkeys(size["family"] for row in rows for size in row["sizes"]))
    arms = dict(zip(dict.fromkeys(row["arm"] for row in rows), cycle(theme.PALETTE), strict=False))
    figure = Figure(figsize=(2.4 * len(families) + 1.2, 5.2), dpi=theme.DPI, layout="constrained")
    axes = figure.subplots(2, len(families), sharex="col", sharey="row", squeeze=False)
    for column, family in enumerate(families):
        for line, (error, words) in enumerate(ERRORS.items()):
            ax = axes[line, column]
            for arm, colour in arms.items():
                found: dict[int, list[float]] = {}
                for row in (r for r in rows if r["arm"] == arm):
                    for size in (s for s in row["sizes"] if s["family"] == family):
                        found.setdefault(size["atoms"], []).append(size[error])
                for atoms, values in found.items():
                    ax.loglog([atoms] * len(values), values, ".", color=colour, alpha=0.3, ms=5)
                ax.loglog(list(found), [np.mean(v) for v in found.values()], "o-", color=colour, ms=3, lw=1, label=arm)
            if largest_trained and family in largest_trained:
                ax.axvline(largest_trained[family], color="0.4", ls=":", lw=1)
            if column == 0:
                ax.set_ylabel(words)
        axes[0, column].set_title(family)
        axes[1, column].set_xlabel("atoms")
        axes[1, column].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes[1, column].xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes[1, column].xaxis.set_minor_formatter(NullFormatter())  # 6 × 10¹, 7 × 10¹, ... would lie on each other
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=len(arms))
    if title:
        figure.suptitle(title)
    return figure
