"""Figures of the answers to open questions (notebook 13): dictionaries from results/, matplotlib figures out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ponita_edu.viz import theme

Rows = Sequence[dict[str, Any]]
KINDS = {"distinct": ("each monomial once", theme.BLUE, "o-"), "ordered": ("with duplicates", theme.VERMILLION, "s--"),
         "scaled": ("once, columns scaled", theme.GREEN, "D"), "bessel": ("Bessel", theme.PURPLE, ":"),
         "gaussian": ("Gaussian", theme.ORANGE, "-.")}


def plot_groups(rows: Rows) -> Figure:
    """Error of the network on invariants and of its control on coordinates, on data as trained and moved, by group.

    A dot a seed; logarithmic, 1 is the error of always saying the mean.
    """
    figure = Figure(figsize=(7.2, 3.8), dpi=theme.DPI, layout="constrained")
    axes = figure.subplots()
    series = (("network", "error", "invariants, as trained", theme.BLUE, "o", -0.24),
              ("network", "error_moved", "invariants, moved", theme.SKY, "D", -0.08),
              ("control_network", "error", "coordinates, as trained", theme.ORANGE, "s", 0.08),
              ("control_network", "error_moved", "coordinates, moved", theme.VERMILLION, "^", 0.24))
    for kind, key, label, colour, marker, offset in series:
        x = np.concatenate([np.full(len(r[kind][key]["values"]), k + offset) for k, r in enumerate(rows)])
        axes.semilogy(x, np.concatenate([r[kind][key]["values"] for r in rows]), marker, ms=5, color=colour,
                      alpha=0.8, label=label)
    axes.axhline(1.0, color=theme.GREY, lw=0.8, ls=":")
    axes.set_xticks(range(len(rows)), [r["group"] for r in rows])
    axes.set_ylabel("squared error / variance")
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def plot_degree(summary: Rows, conditioning: Rows) -> Figure:
    """Error against degree for each task, with 95 % intervals over seeds, and the condition of the feature matrix.

    Radial bases have no degree and are levels. Only the largest learning rate is drawn.
    """
    rate = max(r["rate"] for r in summary)
    tasks = list(dict.fromkeys(r["task"] for r in conditioning))
    figure = Figure(figsize=(3.1 * (len(tasks) + 1), 3.6), dpi=theme.DPI, layout="constrained")
    *panels, last = figure.subplots(1, len(tasks) + 1)
    for axes, task in zip(panels, tasks, strict=True):
        rows = [r for r in summary if r["task"] == task and r["rate"] == rate]
        for kind, (label, colour, style) in KINDS.items():
            mine = [r for r in rows if r["features"].split()[0] == kind]
            if kind in ("bessel", "gaussian"):
                for r in mine:
                    axes.axhline(r["error"], color=colour, ls=style, lw=1.4, label=label)
                    half = r["error_half"] or 0.0
                    axes.axhspan(r["error"] - half, r["error"] + half, color=colour, alpha=0.12)
            elif mine:
                axes.errorbar([int(r["features"].split()[1]) for r in mine], [r["error"] for r in mine],
                              [r["error_half"] or 0.0 for r in mine], fmt=style, ms=5, color=colour, capsize=2,
                              label=label)
        axes.set(xlabel="degree", ylabel="relative error", title=task, ylim=(0, None), xticks=range(1, 7))
        if axes is panels[0]:
            figure.legend(loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    for task, marker in zip(tasks, "os", strict=False):
        mine = [r for r in conditioning if r["task"] == task and r["features"].startswith("distinct")]
        for key, colour, words in (("condition", theme.BLACK, "as it is"), ("condition_scaled", theme.GREEN, "scaled")):
            last.semilogy([int(r["features"].split()[1]) for r in mine], [r[key] for r in mine], f"{marker}-",
                          color=colour, ms=4, lw=1, label=f"{task}, {words}")
    last.set(xlabel="degree", title="condition of the features", xticks=range(1, 7))
    last.legend(fontsize=7)
    return figure


def plot_classes(rows: Rows) -> Figure:
    """Kernel evaluations of each structure in three ways, and of its classes when turned off the grid."""
    straight = [r for r in rows if r["grid"] == "icosahedron" and not r["turned"]]
    turned = {r["structure"]: r for r in rows if r["grid"] == "icosahedron" and r["turned"]}
    figure = Figure(figsize=(7.2, 4.2), dpi=theme.DPI, layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(straight))[::-1]
    for way, label, colour, marker in (("all", "every pair", theme.BLACK, "o"),
                                       ("library", "reverses and loops shared (library)", theme.BLUE, "D"),
                                       ("classes", "all equal classes shared", theme.GREEN, "s")):
        axes.semilogx([r["evaluations"][way] for r in straight], place, marker, color=colour, ms=6, label=label)
    axes.semilogx([turned[r["structure"]]["evaluations"]["classes"] for r in straight], place, "x", ms=7, mew=1.6,
                  color=theme.VERMILLION, label="the same, turned off the grid")
    axes.set_yticks(place, [f"{r['structure']} ({r['atoms']})" for r in straight])
    axes.set_xlabel("kernel evaluations on 12 orientations (atoms in brackets)")
    axes.grid(axis="y", color=theme.LIGHT, lw=0.6)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure
