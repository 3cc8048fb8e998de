"""Spherical grids: points, Voronoi cells and quality figures, and a widget that compares two (notebook 03)."""

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import SphericalVoronoi
from torch import Tensor

from ponita_edu.analysis.grids import grid_row
from ponita_edu.geometry.grids import GRID_NAMES, PLATONIC_SIZES, Grid, make_grid
from ponita_edu.geometry.groups import axis_angle
from ponita_edu.viz import theme
from ponita_edu.viz.scene import Scene, as_array
from ponita_edu.viz.shapes import unit_sphere
from ponita_edu.viz.widget import Explorer, choice, slider, switch

FAMILIES = tuple(name for name in GRID_NAMES if name != "circle")
LEBEDEV = (6, 14, 26, 38, 50)
DEGREES = range(1, 9)  # of the harmonics whose integration errors are listed


def cell_edges(points: Float[np.ndarray, "n 3"], steps: int = 7) -> list[Float[np.ndarray, "steps 3"]]:
    """The borders of the Voronoi cells as arcs of great circles."""
    cells = SphericalVoronoi(points)
    cells.sort_vertices_of_regions()
    sides = {tuple(sorted((a, b))) for region in cells.regions for a, b in zip(region, np.roll(region, -1), strict=True)}
    t = np.linspace(0, 1, steps)[:, None]
    arcs = [(1 - t) * cells.vertices[a] + t * cells.vertices[b] for a, b in sorted(sides)]
    return [arc / np.linalg.norm(arc, axis=1, keepdims=True) for arc in arcs]


def grid_scene(grid: Grid, cells: bool = True, title: str = "") -> Scene:
    """The points of a grid on the sphere and their Voronoi cells, coloured by area relative to the mean."""
    points = as_array(grid.points)
    share = as_array(grid.voronoi_areas()) * len(grid) / (4 * math.pi)
    words = f"{grid.name}, {len(grid)} points"
    scene = Scene(alt=f"Sphere with the grid {words}; its Voronoi cells have {share.min():.2f} to {share.max():.2f} "
                      "times the mean area.", title=title or words, limit=1.15)
    if cells:
        vertices, triangles = unit_sphere(4)
        middle = vertices[triangles].mean(axis=1)
        nearest = (middle @ points.T).argmax(axis=1)
        scene.mesh(0.975 * vertices, triangles, values=share[nearest], limits=(0.5, 1.5), label="cell area / mean")
        if len(grid) >= 4:
            scene.lines(cell_edges(points), theme.GREY, 2, name="cell borders")
    else:
        scene.sphere()
    hover = [f"point {i}, weight {w:.4f}, cell {a:.2f} of the mean"
             for i, (w, a) in enumerate(zip(grid.weights.tolist(), share, strict=True))]
    return scene.points(points, theme.BLACK, 8, hover=hover, name="orientations")


def quality_html(grids: dict[str, Grid]) -> str:
    """The quality figures of some grids as an HTML table, a column for each."""
    rows = {name: _row(grid) for name, grid in grids.items()}
    lines = [
        ("points", [str(r["N"]) for r in rows.values()]),
        ("separation", [f"{r['separation']:.1f}°" for r in rows.values()]),
        ("covering radius", [f"{r['covering']:.1f}°" for r in rows.values()]),
        ("energy", [f"{r['energy']:.4f}" for r in rows.values()]),
        ("|mean|", [_small(r["mean"]) for r in rows.values()]),
        ("frame error", [_small(r["frame_error"]) for r in rows.values()]),
        ("exact to degree", [str(r["exact_degree"]) for r in rows.values()]),
        ("rotations that permute it", [str(r["symmetries"]) for r in rows.values()]),
    ] + [(f"error in degree {d}", [_small(g.quadrature_error(d)) for g in grids.values()]) for d in DEGREES]
    head = "".join(f"<th scope='col' style='padding:0 6px'>{name}</th>" for name in rows)
    body = "".join(f"<tr><th scope='row' style='text-align:left;font-weight:normal'>{label}</th>"
                   + "".join(f"<td style='text-align:right;padding:0 6px'>{v}</td>" for v in values) + "</tr>"
                   for label, values in lines)
    return f"<table style='font-size:12px'><tr><td></td>{head}</tr>{body}</table>"


@lru_cache(maxsize=256)
def choose_grid(family: str, n: int, seed: int = 0) -> Grid:
    """The grid of a family whose size is nearest to ``n``; Platonic solids have but one, Lebedev rules a few."""
    if family in PLATONIC_SIZES:
        return make_grid(family)
    if family == "lebedev":
        n = min(LEBEDEV, key=lambda size: (abs(size - n), size))
    return make_grid(family, n, seed=seed)


def tilt(degrees: float) -> Float[Tensor, "3 3"]:
    """The rotation about the x-axis by an angle in degrees."""
    return axis_angle(torch.tensor([1.0, 0, 0], dtype=torch.float64),
                      torch.tensor(math.radians(degrees), dtype=torch.float64))


class GridExplorer(Explorer):
    """Two grids side by side, with their quality figures."""

    explanation = ("Two grids of directions. Black: the directions. Each coloured cell holds all directions that are "
                   "nearer to its black point than to any other; white cells have the mean area, orange ones more, "
                   "blue ones less. The table: how far apart the nearest two points are, how far the worst direction "
                   "is from the grid, what a constant leaks into a vector (|mean|), what a vector loses on its way to "
                   "the sphere and back (frame error), and the error of the grid as an integration rule, degree by "
                   "degree. Rotating a grid changes none of these numbers.")

    def __init__(self, left: tuple[str, int] = ("fibonacci", 20), right: tuple[str, int] = ("dodecahedron", 20)):
        super().__init__({
            "left": choice("left grid", list(FAMILIES), left[0]),
            "left_n": slider("left points", left[1], 4, 60),
            "right": choice("right grid", list(FAMILIES), right[0]),
            "right_n": slider("right points", right[1], 4, 60),
            "angle": slider("rotate by", 0, 0, 180, 5, "degrees"),
            "cells": switch("show Voronoi cells", True),
        })

    def grids(self) -> tuple[Grid, Grid]:
        """The two grids for the present values, before they are rotated."""
        return (choose_grid(self.left.value, int(self.left_n.value)),
                choose_grid(self.right.value, int(self.right_n.value)))

    def scene(self) -> tuple[Scene, Scene]:
        left, right = (grid.rotated(tilt(self.angle.value)) for grid in self.grids())
        return grid_scene(left, self.cells.value), grid_scene(right, self.cells.value)

    def report(self) -> str:
        left, right = self.grids()  # rotating them would change no figure, and cost time
        return quality_html({"left": left, "right": right})


_row = lru_cache(maxsize=256)(grid_row)


def _small(x: float) -> str:
    return "0" if x < 1e-12 else f"{x:.4f}" if x >= 1e-3 else f"{x:.0e}"
