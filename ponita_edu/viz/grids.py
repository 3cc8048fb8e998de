"""Spherical grids: points, Voronoi cells and quality figures, and a widget that compares two (notebook 03)."""

import atexit
import math
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from numbers import Real

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import SphericalVoronoi
from torch import Tensor

from ponita_edu.analysis.grids import grid_row
from ponita_edu.geometry.grids import GRID_NAMES, PLATONIC_SIZES, Grid, make_grid
from ponita_edu.geometry.groups import axis_angle
from ponita_edu.viz import theme
from ponita_edu.viz.scene import Scene, as_array
from ponita_edu.viz.widget import Explorer, choice, slider, switch

FAMILIES = tuple(name for name in GRID_NAMES if name != "circle")
LEBEDEV = (6, 14, 26, 38, 50)
SIZES = range(4, 61)
DEGREES = range(2, 9)  # of the harmonics whose integration errors are listed; that of degree 1 is |mean|
BACKGROUND = True  # whether `warm_up` works; the app's processes share what one of them has made
PAUSE = 1.5  # s without a move after which it works
AREAS = (0.5, 1.5)  # of cells, relative to their mean: the ends of the colour scale
SCALE = (f"<div style='font-size:13px'>area of a cell, relative to the mean<br>{AREAS[0]} "
         f"<span style='display:inline-block;width:170px;height:11px;border:1px solid {theme.GREY};"
         "vertical-align:middle;background:"
         f"linear-gradient(to right,{','.join(theme.SCALES['diverging'])})'></span> {AREAS[1]}</div>")


def voronoi_cells(points: Float[np.ndarray, "n 3"]
                  ) -> tuple[Float[np.ndarray, "corners 3"], list[Int[np.ndarray, " around"]]]:
    """Corners of the Voronoi cells, each once, and for each point the numbers of its own, in order around it.

    The points must not all lie in one plane.
    """
    cells = SphericalVoronoi(points)
    cells.sort_vertices_of_regions()
    # where more than three cells meet, scipy lists the corner several times
    same = (cells.vertices @ cells.vertices.T > 1 - 1e-12).argmax(axis=1)
    kept, number = np.unique(same, return_inverse=True)
    regions = [number[region] for region in cells.regions]
    return cells.vertices[kept], [region[region != np.roll(region, 1)] for region in regions]


def cell_edges(points: Float[np.ndarray, "n 3"], spacing: Real = 6.0) -> list[Float[np.ndarray, "steps 3"]]:
    """The borders of the Voronoi cells as arcs of great circles, each once, in steps of at most ``spacing`` degrees."""
    corners, regions = voronoi_cells(points)
    sides = {(min(a, b), max(a, b)) for region in regions for a, b in zip(region, np.roll(region, 1), strict=True)}
    return [_arc(corners[a], corners[b], spacing) for a, b in sorted(sides)]


def cell_mesh(points: Float[np.ndarray, "n 3"], spacing: Real = 8.0
              ) -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "triangles 3"], Int[np.ndarray, " vertices"]]:
    """The cells as triangles on the sphere, in rings around each point, and for each vertex the number of its point."""
    corners, regions = voronoi_cells(points)
    vertices, triangles, owner, used = [], [], [], 0
    for k, (point, region) in enumerate(zip(points, regions, strict=True)):
        sides = zip(corners[region], corners[np.roll(region, -1)], strict=True)
        border = np.concatenate([_arc(a, b, spacing)[:-1] for a, b in sides])
        rings = max(1, math.ceil(math.degrees(math.acos(np.clip((border @ point).min(), -1, 1))) / spacing))
        t = (np.arange(1, rings + 1) / rings)[:, None, None]
        disc = np.concatenate((point[None], ((1 - t) * point + t * border).reshape(-1, 3)))  # from the inside out
        here, m = np.arange(len(border)), len(border)
        there = np.roll(here, -1)
        faces = [np.stack((np.zeros_like(here), 1 + here, 1 + there), 1)]
        for ring in range(1, rings):
            inner, outer = 1 + (ring - 1) * m, 1 + ring * m
            faces += [np.stack((inner + here, outer + here, outer + there), 1),
                      np.stack((inner + here, outer + there, inner + there), 1)]
        vertices.append(disc / np.linalg.norm(disc, axis=1, keepdims=True))
        triangles.append(np.concatenate(faces) + used)
        owner.append(np.full(len(disc), k))
        used += len(disc)
    return np.concatenate(vertices), np.concatenate(triangles), np.concatenate(owner)


def _arc(a: np.ndarray, b: np.ndarray, spacing: Real) -> np.ndarray:
    steps = max(1, math.ceil(math.degrees(math.acos(np.clip(a @ b, -1, 1))) / spacing))
    t = np.linspace(0, 1, steps + 1)[:, None]
    chord = (1 - t) * a + t * b
    return chord / np.linalg.norm(chord, axis=1, keepdims=True)


@lru_cache(maxsize=256)
def _drawn(grid: Grid) -> tuple[np.ndarray, tuple | None, list[np.ndarray]]:
    """Cell areas relative to their mean, and mesh and borders of the cells, if there are any. For `grid_scene`."""
    points = as_array(grid.points)
    share = as_array(grid.voronoi_areas()) * len(grid) / (4 * math.pi)
    if np.linalg.matrix_rank(points - points.mean(axis=0), tol=1e-9) < 3:
        return share, None, []
    return share, cell_mesh(points), cell_edges(points)


def grid_scene(grid: Grid, cells: bool = True, title: str = "", rotation: Float[Tensor, "3 3"] | None = None) -> Scene:
    """The points of a grid on the sphere and their Voronoi cells, coloured by area relative to the mean.

    Cells are left out if all points lie in one plane. A ``rotation`` turns the whole; faster than a rotated grid.
    """
    share, mesh, edges = _drawn(grid)
    turn = np.eye(3) if rotation is None else as_array(rotation).T
    words = f"{grid.name}, {len(grid)} points"
    scene = Scene(alt=f"Sphere with the grid {words}; its Voronoi cells have {share.min():.2f} to {share.max():.2f} "
                      "times the mean area.", title=title or words, limit=1.04)
    if cells and mesh is not None:
        vertices, triangles, owner = mesh
        scene.mesh(vertices @ turn, triangles, values=share[owner], limits=AREAS, label="cell area / mean")
        scene.lines([1.02 * arc @ turn for arc in edges], theme.GREY, 2)
    else:
        scene.sphere()
    hover = [f"point {i}, weight {w:.4f}, cell {a:.2f} of the mean"
             for i, (w, a) in enumerate(zip(grid.weights.tolist(), share, strict=True))]
    return scene.points(1.03 * as_array(grid.points) @ turn, theme.BLACK, 8, hover=hover)


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
    return f"<table style='font-size:13px;line-height:1.25'><tr><td></td>{head}</tr>{body}</table>"


@lru_cache(maxsize=256)
def choose_grid(family: str, n: int, seed: int = 0) -> Grid:
    """The grid of a family whose size is nearest to ``n``; Platonic solids have but one, Lebedev rules a few."""
    if family in PLATONIC_SIZES:
        return make_grid(family)
    if family == "lebedev":
        n = min(LEBEDEV, key=lambda size: (abs(size - n), size))
    return make_grid(family, n, seed=seed)


def repulsion_grids() -> Iterator[Grid]:
    """The repulsion grids of all sizes, those near 20 first: some take a fifth of a second, once."""
    for n in sorted(SIZES, key=lambda n: abs(n - 20)):
        grid = choose_grid("repulsion", n)
        _row(grid), _drawn(grid)
        yield grid


@lru_cache(maxsize=1)
def warm_up() -> threading.Thread:
    """Make the repulsion grids of all sizes once, in the background, while no widget is moved."""
    leaving = threading.Event()

    def work() -> None:
        for _ in repulsion_grids():
            while not leaving.wait(0.02) and time.monotonic() < Explorer.asked + PAUSE:
                pass  # whoever moves something comes first
            if leaving.is_set():
                break

    def leave() -> None:  # torch at work while Python ends would end it with SIGABRT
        leaving.set()
        thread.join()

    thread = threading.Thread(target=work if BACKGROUND else None, name="repulsion grids", daemon=True)
    thread.start()
    atexit.register(leave)
    return thread


def tilt(degrees: Real) -> Float[Tensor, "3 3"]:
    """The rotation about the x-axis by an angle in degrees."""
    return axis_angle(torch.tensor([1.0, 0, 0], dtype=torch.float64),
                      torch.tensor(math.radians(degrees), dtype=torch.float64))


class GridExplorer(Explorer):
    """Two grids side by side, with their quality figures."""

    explanation = ("Two grids of directions. Black: the directions. Each coloured cell holds all directions that are "
                   "nearer to its black point than to any other. The table: how far apart the nearest two points are, "
                   "how far the worst direction is from the grid, what a constant leaks into a vector (|mean|), what a "
                   "vector loses on its way to the sphere and back (frame error), and the error of the grid as an "
                   "integration rule, degree by degree. Rotating the grids changes none of these numbers.")

    def __init__(self, left: tuple[str, int] = ("fibonacci", 20), right: tuple[str, int] = ("dodecahedron", 20)):
        super().__init__({
            "left": choice("left grid", list(FAMILIES), left[0]),
            "left_n": slider("left points", left[1], SIZES[0], SIZES[-1]),
            "right": choice("right grid", list(FAMILIES), right[0]),
            "right_n": slider("right points", right[1], SIZES[0], SIZES[-1]),
            "angle": slider("rotate by", 0, 0, 180, 5, "degrees"),
            "cells": switch("show Voronoi cells", True),
        })
        warm_up()

    def grids(self) -> tuple[Grid, Grid]:
        """The two grids for the present values, before they are rotated."""
        return (choose_grid(self.left.value, round(self.left_n.value)),
                choose_grid(self.right.value, round(self.right_n.value)))

    def scene(self) -> tuple[Scene, Scene]:
        rotation = tilt(self.angle.value)
        return tuple(grid_scene(grid, self.cells.value, rotation=rotation) for grid in self.grids())

    def report(self) -> str:
        left, right = self.grids()  # rotating them would change no figure, and cost time
        return SCALE + quality_html({"left": left, "right": right})

    def _draw(self) -> None:
        for family, n in ((self.left, self.left_n), (self.right, self.right_n)):
            n.disabled = family.value in PLATONIC_SIZES  # their number of points is what it is
        super()._draw()
        for figure in self.pictures:
            for trace in figure.data:
                if trace.type == "mesh3d" and trace.showscale:
                    trace.showscale = False  # one scale for both stands above the table


_row = lru_cache(maxsize=256)(grid_row)


def _small(x: float) -> str:
    return "0" if x < 1e-12 else f"{x:.4f}" if x >= 1e-3 else f"{x:.0e}"
