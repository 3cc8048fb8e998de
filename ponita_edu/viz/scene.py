"""A picture as a value: points, arrows, lines and meshes, with the words for those who cannot see it.

A `Scene` knows nothing of a plotting library. The same scene is drawn by plotly (to turn it with the mouse) and by
matplotlib (for print), so a widget and its static twin cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import torch

from ponita_edu.viz import theme
from ponita_edu.viz.items import Arrows, Balls, Field, Item, Labels, Lines, Mesh, Points, Rods, Sphere, extent

Rows = Any  # what np.asarray turns into [n, dim]: an array, a tensor, a list of rows
Colours = str | Sequence[str]


@dataclass
class Scene:
    """A picture in 2D or 3D, built step by step: ``Scene("two points").points([[0, 0, 0], [1, 0, 0]])``.

    Args:
        alt: what the picture shows, for screen readers and for print. Required.
        title: line above the picture.
        dim: 2 or 3.
        limit: half the width of the shown cube or square; None fits it to the content. Give it in interactive
            pictures, or they jump.
        centre: its centre; None means the origin.
        view: azimuth and elevation of the eye, in degrees (3D). Only the start for an interactive picture.
        axes: draw the coordinate axes.

    Raises:
        ValueError: on an empty alt text, and in every method on rows of the wrong shape or not finite, or on lists
            (colours, hover, ...) of the wrong length.
    """

    alt: str
    title: str = ""
    dim: int = 3
    limit: Real | None = None
    centre: Rows = None
    view: tuple[Real, Real] = (35, 20)
    axes: bool = False
    items: list[Item] = field(default_factory=list, repr=False)

    def __post_init__(self):
        if not (isinstance(self.alt, str) and len(self.alt.strip()) >= 5):
            raise ValueError(f"alt must say in words what the picture shows, but is {self.alt!r}.")
        if self.dim not in (2, 3):
            raise ValueError(f"dim must be 2 or 3, but is {self.dim!r}.")
        if self.limit is not None and not self.limit > 0:
            raise ValueError(f"limit must be positive, but is {self.limit}. Use None to fit the picture.")
        centre = np.zeros((1, self.dim)) if self.centre is None else self.centre
        self.centre = self._rows("centre", centre)[0]

    # ------------------------------------------------------------------------------------------------ what to draw
    def points(self, xyz: Rows, colour: Colours = theme.BLUE, size: Any = 9.0, hover: Sequence[str] | None = None,
               values: Any = None, limits: tuple[Real, Real] | None = None, scale: str = "sequential",
               label: str = "", name: str = "") -> "Scene":
        """Discs at the rows of `xyz`; `size` (diameter in pixels) and `colour` may differ from point to point.

        With `values`, one number per point, the colour comes from the scale instead, with a bar named `label`.
        """
        xyz = self._rows("xyz", xyz)
        n = len(xyz)
        sizes = np.broadcast_to(as_array(size), (n,)).astype(np.float32)
        values = None if values is None else self._vector("values", values, n)
        limits = _limits(values, limits)
        return self._add(Points(xyz, _per_item("colour", colour, n), sizes, _texts("hover", hover, n), values, limits,
                                scale, label, name))

    def arrows(self, start: Rows, vector: Rows, colour: Colours = theme.BLUE, width: Real = 4.0,
               name: str = "") -> "Scene":
        """Arrows from the rows of `start` along those of `vector`; one row of `start` serves all."""
        vector = self._rows("vector", vector)
        start = np.broadcast_to(self._rows("start", start), vector.shape)
        return self._add(Arrows(start, vector, _per_item("colour", colour, len(vector)), width, name))

    def lines(self, paths: Rows | Sequence[Rows], colour: Colours = theme.GREY, width: Real = 3.0, dash: bool = False,
              closed: bool = False, name: str = "") -> "Scene":
        """Polylines: one [k, dim], or a list of them (k may differ)."""
        first = as_array(paths) if not isinstance(paths, (list, tuple)) else as_array(paths[0]) if paths else None
        single = first is not None and first.ndim == (2 if not isinstance(paths, (list, tuple)) else 1)
        paths = [self._rows("paths", path) for path in ([paths] if single else paths)]
        if closed:
            paths = [np.concatenate((path, path[:1])) for path in paths]
        return self._add(Lines(paths, _per_item("colour", colour, len(paths)), width, dash, name))

    def sphere(self, centre: Rows = None, radius: Real = 1.0, colour: str = theme.SKY, opacity: Real = 0.15
               ) -> "Scene":
        """A translucent sphere (3D) or disc (2D), the unit one at the origin if nothing is given."""
        centre = np.zeros(self.dim) if centre is None else as_array(centre)
        return self._add(Sphere(self._rows("centre", centre[None])[0], float(radius), colour, opacity))

    def mesh(self, vertices: Rows, triangles: Rows, values: Any = None, colour: str = theme.SKY,
             limits: tuple[Real, Real] | None = None, scale: str = "diverging", label: str = "",
             opacity: Real = 1.0, vertex_colours: Sequence[str] | None = None, name: str = "") -> "Scene":
        """Triangles (index rows into `vertices`), 3D only; `values` per vertex or per triangle colour them.

        With as many vertices as triangles, values are per vertex. Unless given, the limits are those of the values,
        made symmetric about 0 for the diverging scale.
        """
        if self.dim != 3:
            raise ValueError("mesh needs a scene of dim 3, but this one has dim 2. Use lines or points.")
        vertices, triangles = self._rows("vertices", vertices), as_array(triangles).astype(np.int32)
        low, high = (triangles.min(), triangles.max()) if triangles.size else (0, -1)
        if triangles.ndim != 2 or triangles.shape[1] != 3 or low < 0 or high >= len(vertices):
            raise ValueError(f"triangles must be rows of 3 indices below {len(vertices)} and not below 0, but have "
                             f"shape {triangles.shape} and reach from {low} to {high}.")
        if values is not None:
            values = as_array(values).astype(np.float32)
            if values.shape not in ((len(vertices),), (len(triangles),)):
                raise ValueError(f"values must be one per vertex ({len(vertices)}) or per triangle ({len(triangles)}), "
                                 f"but have shape {values.shape}.")
            values = _finite("values", values)
        limits = _limits(values, limits, symmetric=scale == "diverging")
        return self._add(Mesh(vertices, triangles, colour, _texts("vertex_colours", vertex_colours, len(vertices)),
                              values, limits, scale, label, opacity, name))

    def field(self, x: Any, y: Any, values: Any, limits: tuple[Real, Real] | None = None, scale: str = "diverging",
              label: str = "") -> "Scene":
        """A function of the plane as colours, 2D only: `values[j, i]` at (x[i], y[j]), both at equal steps.

        NaN stays white. Unless given, the limits are as for `mesh`.
        """
        if self.dim != 2:
            raise ValueError("field needs a scene of dim 2, but this one has dim 3. Use mesh.")
        x, y, values = (as_array(a).astype(np.float32) for a in (x, y, values))
        if x.ndim != 1 or y.ndim != 1 or values.shape != (len(y), len(x)) or not np.isfinite(values).any():
            raise ValueError(f"values must have one row per y and one column per x and not be NaN everywhere, but x, y "
                             f"and values have shapes {x.shape}, {y.shape} and {values.shape}.")
        if min(len(x), len(y)) < 2:
            raise ValueError("x and y must hold at least 2 places each, whose distance is the size of a cell, but hold "
                             f"{len(x)} and {len(y)}. Repeat the values at a second place.")
        limits = _limits(values[np.isfinite(values)], limits, symmetric=scale == "diverging")
        return self._add(Field(x, y, values, limits, scale, label))

    def balls(self, xyz: Rows, radius: Any, colour: Colours = theme.BLUE, hover: Sequence[str] | None = None,
              opacity: Real = 1.0, name: str = "") -> "Scene":
        """Solid balls, 3D only, radii in the unit of the space (discs in `points` have pixels)."""
        if self.dim != 3:
            raise ValueError("balls need a scene of dim 3, but this one has dim 2. Use points.")
        xyz = self._rows("xyz", xyz)
        radii = np.broadcast_to(as_array(radius), (len(xyz),)).astype(np.float32)
        return self._add(Balls(xyz, radii, _per_item("colour", colour, len(xyz)), _texts("hover", hover, len(xyz)),
                               opacity, name))

    def rods(self, start: Rows, end: Rows, radius: Any = 0.1, colour: str = theme.GREY) -> "Scene":
        """Solid cylinders from rows of `start` to rows of `end`, 3D only; one radius, or one for each."""
        if self.dim != 3:
            raise ValueError("rods need a scene of dim 3, but this one has dim 2. Use lines.")
        start, end = self._rows("start", start), self._rows("end", end)
        if start.shape != end.shape:
            raise ValueError(f"start and end must have one row per rod, but have {start.shape} and {end.shape}.")
        radii = np.broadcast_to(as_array(radius), (len(start),)).astype(np.float32)
        return self._add(Rods(start, end, radii, colour))

    def labels(self, xyz: Rows, texts: Sequence[str], colour: str = theme.BLACK) -> "Scene":
        """Words at the rows of `xyz`."""
        xyz = self._rows("xyz", xyz)
        return self._add(Labels(xyz, _texts("texts", texts, len(xyz)), colour))

    # -------------------------------------------------------------------------------------------------- drawing it
    def plotly(self, figure: Any = None) -> Any:
        """A plotly figure of it; a given figure is updated in place (only what changed), its camera stays."""
        from ponita_edu.viz import draw_plotly

        return draw_plotly.draw(self, figure)

    def matplotlib(self, ax: Any = None) -> Any:
        """A matplotlib figure of it, or the figure of the given axes, drawn there."""
        from ponita_edu.viz import draw_matplotlib

        return draw_matplotlib.draw(self, ax)

    @property
    def half_width(self) -> float:
        """`limit`, or what the content needs, in 3D from wherever it is seen."""
        if self.limit is not None:
            return float(self.limit)
        order = 2 if self.dim == 3 else np.inf  # a turned cube would show its corners
        reach = [(np.linalg.norm(xyz - self.centre, ord=order, axis=1) + around).max(initial=0.0)
                 for item in self.items for xyz, around in extent(item)]
        return 1.08 * max([float(r) for r in reach if r > 0], default=1.0)

    @property
    def painted(self) -> list[Item]:
        """The items in the order of painting, which matters in 2D only: discs lie below all else."""
        return sorted(self.items, key=lambda item: not isinstance(item, Sphere))

    # ------------------------------------------------------------------------------------------------- small parts
    def _add(self, item: Item) -> "Scene":
        self.items.append(item)
        return self

    def _rows(self, name: str, a: Rows) -> np.ndarray:
        a = as_array(a)
        if a.ndim == 1:
            a = a[None]
        if a.ndim != 2 or a.shape[1] != self.dim:
            raise ValueError(f"{name} must have shape [n, {self.dim}] in a scene of dim {self.dim}, but has "
                             f"{list(a.shape)}.")
        return _finite(name, a)

    def _vector(self, name: str, a: Any, n: int) -> np.ndarray:
        a = as_array(a)
        if a.shape != (n,):
            raise ValueError(f"{name} must hold one number per point ({n}), but has shape {list(a.shape)}.")
        return _finite(name, a)


def as_array(a: Any) -> np.ndarray:
    """An array of whatever came, tensors with a gradient included."""
    return a.detach().cpu().numpy() if isinstance(a, torch.Tensor) else np.asarray(a)


def _finite(name: str, a: np.ndarray) -> np.ndarray:
    # float32: no eye sees more, and figures that are stored or sent stay half as large
    a = a.astype(np.float32)
    if not np.isfinite(a).all():
        raise ValueError(f"{name} must be finite, but row {int(np.argwhere(~np.isfinite(a))[0][0])} is not.")
    return a


def _per_item(name: str, colour: Colours, n: int) -> list[str]:
    colours = [colour] * n if isinstance(colour, str) else list(colour)
    if len(colours) != n:
        raise ValueError(f"{name} must be one colour or one for each of the {n} items, but there are {len(colours)}.")
    for c in set(colours):
        theme.rgb(c)
    return colours


def _texts(name: str, texts: Sequence[str] | None, n: int) -> list[str] | None:
    if texts is None:
        return None
    if len(texts) != n:
        raise ValueError(f"{name} must hold one text for each of the {n} items, but holds {len(texts)}.")
    return [str(t) for t in texts]


def _limits(values: np.ndarray | None, limits: tuple[Real, Real] | None, symmetric: bool = False
            ) -> tuple[float, float] | None:
    if values is None or limits is not None:
        return limits
    low, high = float(values.min()), float(values.max())
    if symmetric:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return (low, high) if low < high else (low - 1.0, high + 1.0)
