"""How many orientations are enough: errors expected from spectra beside measured ones (notebook 13)."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ponita_edu.viz import theme

MARKERS = {"fibonacci": "o", "repulsion": "s", "lebedev": "D", "octahedron": "^", "cube": "P", "icosahedron": "v",
           "dodecahedron": "X"}


def plot_expected(networks: Mapping[str, Sequence[Any]], title: str = "") -> Figure:
    """Measured against expected relative error: a colour for each network, a marker for each family of grids.

    On the line both are equal; in the grey band they differ by less than a factor of 2.

    Args:
        networks: by name, rows as in ``orientation_bound.NetworkRow``, or dictionaries with its fields.

    Raises:
        ValueError: if there is no row.
    """
    if not any(networks.values()):
        raise ValueError("networks must hold at least one row of orientation_bound.network_rows, but holds none.")
    figure = Figure(figsize=(6.4, 4.6), dpi=theme.DPI, layout="constrained")
    axes = figure.subplots()
    seen: dict[str, None] = {}
    for (name, rows), colour in zip(networks.items(), cycle(theme.PALETTE), strict=False):
        for row in (r if isinstance(r, Mapping) else r._asdict() for r in rows):
            axes.loglog(row["predicted"], row["measured"], MARKERS.get(row["grid"], "."), color=colour, ms=5, alpha=0.7)
            seen[row["grid"]] = None
        axes.plot([], [], "o", color=colour, label=name)
    for grid in seen:
        axes.plot([], [], MARKERS.get(grid, "."), color="0.4", label=grid)
    ends = np.array([min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])])
    axes.plot(ends, ends, color="0.4", lw=1)
    axes.fill_between(ends, ends / 2, ends * 2, color="0.5", alpha=0.15, lw=0)
    axes.set(xlabel="expected from spectra", ylabel="measured error of equivariance", title=title, xlim=ends, ylim=ends)
    figure.legend(fontsize=8, loc="outside right upper")
    return figure


def plot_spectra(powers: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Power by degree l ≥ 1 on logarithmic axes, with the power l⁻⁵ of a kink for comparison.

    Args:
        powers: by label, S_l for l = 0, 1, ...

    Raises:
        ValueError: if there is no spectrum, or one without a degree above 0.
    """
    if not powers or any(len(p) < 2 for p in powers.values()):
        raise ValueError("powers must hold at least one spectrum with degrees 0 and 1, but they have "
                         f"{[len(p) for p in powers.values()]} degrees.")
    figure = Figure(figsize=(6.4, 4.2), dpi=theme.DPI, layout="constrained")
    axes, top = figure.subplots(), 0.0
    for (label, power), colour, marker in zip(powers.items(), cycle(theme.PALETTE), cycle("osD^vP"), strict=False):
        degrees = np.arange(1, len(power))
        axes.loglog(degrees, power[1:], marker + "-", color=colour, ms=4, lw=1, label=label)
        top = max(top, max(power[1:]))
    longest = np.arange(3, max(map(len, powers.values())))
    axes.loglog(longest, top * (longest / 2.0) ** -5, "--", color="0.4", lw=1, label="l⁻⁵")
    axes.set(xlabel="degree l", ylabel="power", title=title, ylim=(1e-12 * top, 3 * top))
    axes.legend(fontsize=8)
    return figure
