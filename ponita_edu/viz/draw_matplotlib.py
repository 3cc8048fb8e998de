"""A `Scene` for print: every body is cut in flat pieces, which are painted from the farthest to the nearest.

matplotlib's own 3D axes sort whole collections, so that a bond behind an atom may be painted over it; sorting the
pieces of all bodies together gives what the turnable picture gives.
"""

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ponita_edu.viz import shapes, theme
from ponita_edu.viz.items import Arrows, Balls, Field, Item, Labels, Lines, Mesh, Points, Rods, Sphere

SIZE = 4.6  # inches
SHORT = 0.06  # longest piece of a line, as a share of half the width, so that pieces sort well
DASH = 0.045
SUN = np.array([0.4, 0.5, 0.77])  # towards the light: right, up, out of the paper


class Pieces(NamedTuple):
    """Flat pieces with equally many corners each; a piece of a line has two."""

    depth: Float[np.ndarray, " pieces"]
    corners: Float[np.ndarray, "pieces corners 2"]
    face: Float[np.ndarray, "pieces 4"]  # red, green, blue, opacity
    edge: Float[np.ndarray, "pieces 4"]
    width: Float[np.ndarray, " pieces"]  # of the edge, in points


def draw(scene, ax: Axes | None = None) -> Figure:
    """Draw a scene; see `Scene.matplotlib`."""
    if ax is None:
        ax = Figure(figsize=(SIZE, SIZE), dpi=theme.DPI, layout="constrained").add_subplot()
    half = scene.half_width
    eye = _eye(scene)
    pixel = 2.1 * half / (SIZE * theme.DPI)  # in units of the space
    pieces = [piece for item in scene.painted for piece in _pieces(item, scene, eye, pixel)]
    if scene.axes:
        tips = 0.95 * half * np.eye(scene.dim)
        paths = [np.stack((scene.centre, scene.centre + tip)) for tip in tips]
        pieces += _pieces(Lines(paths, [theme.GREY] * scene.dim, 1.5, False, ""), scene, eye, pixel)
        _write(ax, 1.04 * tips @ eye.T, list("xyz"), theme.GREY)
    if pieces:
        ax.add_collection(_painted(pieces, sort=scene.dim == 3))
    for item in scene.items:
        if isinstance(item, Labels):
            _write(ax, (item.xyz - scene.centre) @ eye.T, item.texts, item.colour)
        if isinstance(item, Field):
            x, y = (np.array([a[0], a[-1]]) + (a[1] - a[0]) * np.array([-0.5, 0.5]) for a in (item.x, item.y))
            ax.imshow(item.values, origin="lower", extent=(*x, *y), cmap=_colours(item), vmin=item.limits[0],
                      vmax=item.limits[1], zorder=0)
        if isinstance(item, (Points, Mesh, Field)) and item.values is not None:
            _bar(ax, item)
    ax.set(xlim=(-1.02 * half, 1.02 * half), ylim=(-1.02 * half, 1.02 * half), aspect="equal")
    ax.axis("off")
    if scene.title:
        ax.set_title(scene.title, fontsize=11, loc="left")
    _legend(ax, scene)
    return ax.figure


def _painted(pieces: list[Pieces], sort: bool) -> PathCollection:
    depth, face, edge, width = (np.concatenate([getattr(p, name) for p in pieces])
                                for name in ("depth", "face", "edge", "width"))
    # matplotlib makes the paths of an array many times faster than one by one
    paths = [path for p in pieces for path in PolyCollection(p.corners).get_paths()]
    order = np.argsort(depth, kind="stable") if sort else np.arange(len(depth))
    return PathCollection([paths[k] for k in order], facecolors=face[order], edgecolors=edge[order],
                          linewidths=width[order], capstyle="round")


def _eye(scene) -> np.ndarray:
    """Rows: right, up and (3D) towards the eye."""
    if scene.dim == 2:
        return np.eye(2)
    azimuth, elevation = np.radians(scene.view)
    out = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    return np.stack((right, np.cross(out, right), out))


def _pieces(item: Item, scene, eye: np.ndarray, pixel: Real) -> list[Pieces]:
    def seen(xyz: np.ndarray) -> np.ndarray:
        p = (xyz - scene.centre) @ eye.T
        return p if scene.dim == 3 else np.concatenate((p, np.zeros((len(p), 1))), axis=1)

    half = scene.half_width
    match item:
        case Points():
            colours = ([theme.rgb(c) for c in item.colours] if item.values is None
                       else theme.scale_colours(item.values, item.limits, item.scale))
            return _discs(seen(item.xyz), item.sizes * pixel / 2, _rgba(colours), (1.0, 1.0, 1.0, 1.0), 0.5)
        case Lines():
            return [piece for path, c in zip(item.paths, item.colours, strict=True)
                    for piece in _line(seen(path), theme.rgb(c), item.width, half, item.dash)]
        case Arrows():
            tips, axes, radii = item.heads(half)
            pieces = []
            for a, b, c in zip(seen(item.start), seen(tips - 0.9 * axes), item.colours, strict=True):
                pieces += _line(np.stack((a, b)), theme.rgb(c), item.width, half, False)
            if scene.dim == 2:
                side = radii[:, None] * np.stack((-axes[:, 1], axes[:, 0]), 1) / np.maximum(
                    np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
                corners = np.stack([seen(p) for p in (tips, tips - axes + side, tips - axes - side)], axis=1)
                colours = _rgba([theme.rgb(c) for c in item.colours])
                return pieces + _flat(corners, colours, colours, 0.5)
            vertices, faces = shapes.cones(tips, axes, radii)
            return pieces + _triangles(seen(vertices), faces, _repeated(item.colours, len(faces)))
        case Mesh():
            colour = np.broadcast_to(theme.rgb(item.colour), (len(item.triangles), 3))
            if item.values is not None:
                values = item.values
                if len(values) == len(item.vertices):
                    values = values[item.triangles].mean(1)
                colour = theme.scale_colours(values, item.limits, item.scale)
            elif item.vertex_colours is not None:
                colour = np.stack([theme.rgb(c) for c in item.vertex_colours])[item.triangles].mean(1)
            return _triangles(seen(item.vertices), item.triangles, colour, item.opacity, shade=item.values is None)
        case Sphere():
            rgb = [theme.rgb(item.colour)]
            return _discs(seen(item.centre[None]), np.array([item.radius]), _rgba(rgb, 1.5 * item.opacity),
                          _rgba(rgb, 0.8), 0.8, 96)
        case Balls() if item.opacity < 1:
            rgb = [theme.rgb(c) for c in item.colours]
            return _discs(seen(item.xyz), item.radii, _rgba(rgb, item.opacity), _rgba(rgb, 0.9), 0.8)
        case Balls():
            vertices, faces = shapes.balls(item.xyz, item.radii)
            return _triangles(seen(vertices), faces, _repeated(item.colours, len(faces)))
        case Rods():
            starts, ends = _cut(item.start, item.end)
            vertices, faces = shapes.rods(starts, ends, np.resize(item.radii, len(starts)))
            return _triangles(seen(vertices), faces, _repeated([item.colour], len(faces)))
    return []


def _repeated(colours: list[str], faces: int) -> np.ndarray:
    return np.repeat(np.array([theme.rgb(c) for c in colours]).reshape(-1, 3), faces // max(len(colours), 1), axis=0)


def _cut(start: np.ndarray, end: np.ndarray, parts: int = 6) -> tuple[np.ndarray, np.ndarray]:
    step = (end - start) / parts
    return tuple(np.concatenate([start + (k + extra) * step for k in range(parts)]) for extra in (0, 1))


def _rgba(rgb: Any, opacity: Real = 1.0) -> np.ndarray:
    rgb = np.array(rgb, dtype=float).reshape(-1, 3)
    return np.concatenate((rgb, np.full((len(rgb), 1), float(opacity))), axis=1)


def _flat(corners: np.ndarray, face: np.ndarray, edge: Any, width: Real) -> list[Pieces]:
    """Pieces of corners [pieces, corners, 3], the last number the depth."""
    n = len(corners)
    if n == 0:
        return []
    return [Pieces(corners[..., 2].mean(1), corners[..., :2], face, np.broadcast_to(edge, (n, 4)),
                   np.full(n, float(width)))]


def _discs(centres: np.ndarray, radii: np.ndarray, face: np.ndarray, edge: Any, width: Real, sides: int = 28
           ) -> list[Pieces]:
    angle = 2 * np.pi * np.arange(sides) / sides
    circle = np.stack((np.cos(angle), np.sin(angle), 0 * angle), axis=1)
    return _flat(centres[:, None] + radii[:, None, None] * circle, face, edge, width)


def _line(path: np.ndarray, rgb: np.ndarray, width: Real, half: Real, dash: bool) -> list[Pieces]:
    length = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))))
    step = (DASH if dash else SHORT) * half
    count = max(int(np.ceil(length[-1] / step)), 1)
    # the given corners stay corners
    at = np.unique(np.concatenate((np.linspace(0, length[-1], count + 1), [] if dash else length)))
    dense = np.stack([np.interp(at, length, path[:, k]) for k in range(3)], axis=1)
    ends = np.stack((dense[:-1], dense[1:]), axis=1)[:: 2 if dash else 1]
    colour = np.broadcast_to(_rgba(rgb), (len(ends), 4))
    return _flat(ends, colour, colour, 0.72 * width)


def _triangles(vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, opacity: Real = 1.0, shade: bool = True
               ) -> list[Pieces]:
    corners = vertices[faces]
    if shade:
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        normal *= np.where(normal[:, 2:] < 0, -1, 1)
        bright = 0.62 + 0.45 * np.clip(normal @ SUN, 0, None)[:, None]
        colours = np.clip(colours * bright, 0, 1)
    rgba = _rgba(colours, opacity)
    # a hair line closes the seams between neighbours
    return _flat(corners, rgba, rgba * [1, 1, 1, float(opacity == 1)], 0.4)


def _write(ax: Axes, places: np.ndarray, texts: list[str], colour: str) -> None:
    for place, text in zip(places, texts, strict=False):
        ax.text(place[0], place[1], text, color=colour, fontsize=10, ha="center", va="center",
                path_effects=[withStroke(linewidth=2.5, foreground=theme.WHITE)])  # whatever lies behind


def _colours(item: Points | Mesh | Field) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("scale", theme.SCALES[item.scale])


def _bar(ax: Axes, item: Points | Mesh | Field) -> None:
    bar = ax.figure.colorbar(ScalarMappable(Normalize(*item.limits), _colours(item)), ax=ax, shrink=0.6, pad=0.01)
    bar.set_label(item.label)
    bar.outline.set_visible(False)


def _legend(ax: Axes, scene) -> None:
    handles = []
    for item in scene.items:
        if getattr(item, "name", "") and not (isinstance(item, Balls) and len(item.xyz) == 0):
            colour = item.colour if isinstance(item, Mesh) else item.colours[0] if item.colours else theme.GREY
            style = {"color": colour, "label": item.name}
            dot = isinstance(item, (Points, Balls, Mesh))
            dash = isinstance(item, Lines) and item.dash
            handles.append(Line2D([], [], marker="o" if dot else None, ls="" if dot else "--" if dash else "-",
                                  lw=2.5, **style))
    if handles:
        ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=min(len(handles), 3),
                  fontsize=9, frameon=False)
