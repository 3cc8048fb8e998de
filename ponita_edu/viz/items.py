"""What a `Scene` is made of: plain values, in float32, checked by the scene's methods."""

from dataclasses import dataclass
from numbers import Real

import numpy as np

HEAD = 0.11  # length of an arrow's head, as a share of half the picture's width


@dataclass(frozen=True)
class Points:
    """Discs of a given diameter in pixels; coloured one by one, or by `values` on a colour scale."""

    xyz: np.ndarray
    colours: list[str]
    sizes: np.ndarray
    hover: list[str] | None
    values: np.ndarray | None
    limits: tuple | None
    scale: str
    label: str
    name: str


@dataclass(frozen=True)
class Arrows:
    """Arrows from `start` to `start + vector`."""

    start: np.ndarray
    vector: np.ndarray
    colours: list[str]
    width: Real
    name: str

    def heads(self, half_width: Real) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tips, axes (from the base of the head to its tip) and radii; short arrows get short heads."""
        length = np.linalg.norm(self.vector, axis=1, keepdims=True)
        size = np.minimum(HEAD * half_width, 0.5 * length)
        return self.start + self.vector, size * self.vector / np.maximum(length, 1e-12), 0.38 * size[:, 0]


@dataclass(frozen=True)
class Lines:
    """Open polylines (a closed one repeats its first point)."""

    paths: list[np.ndarray]
    colours: list[str]
    width: Real
    dash: bool
    name: str


@dataclass(frozen=True)
class Mesh:
    """Triangles of one colour, of a colour per vertex, or coloured by `values` per vertex or per triangle."""

    vertices: np.ndarray
    triangles: np.ndarray
    colour: str
    vertex_colours: list[str] | None
    values: np.ndarray | None
    limits: tuple | None
    scale: str
    label: str
    opacity: Real
    name: str


@dataclass(frozen=True)
class Field:
    """A function on a rectangle of the plane as colours: `values[j, i]` at (`x[i]`, `y[j]`), NaN left white."""

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    limits: tuple
    scale: str
    label: str


@dataclass(frozen=True)
class Sphere:
    """A translucent sphere (a circle in 2D)."""

    centre: np.ndarray
    radius: Real
    colour: str
    opacity: Real


@dataclass(frozen=True)
class Balls:
    """Solid balls, radii in the unit of the space."""

    xyz: np.ndarray
    radii: np.ndarray
    colours: list[str]
    hover: list[str] | None
    opacity: Real
    name: str


@dataclass(frozen=True)
class Rods:
    """Thin solid cylinders between pairs of points, e.g. bonds."""

    start: np.ndarray
    end: np.ndarray
    radii: np.ndarray
    colour: str


@dataclass(frozen=True)
class Labels:
    """Words at places."""

    xyz: np.ndarray
    texts: list[str]
    colour: str


Item = Points | Arrows | Lines | Mesh | Field | Sphere | Balls | Rods | Labels


def extent(item: Item) -> list[tuple[np.ndarray, Real | np.ndarray]]:
    """Points that must lie inside the picture, with the radius of what is around each."""
    match item:
        case Arrows():
            return [(item.start, 0), (item.start + item.vector, 0)]
        case Lines():
            return [(path, 0) for path in item.paths]
        case Mesh():
            return [(item.vertices, 0)]
        case Field():
            return [(np.array([[item.x.min(), item.y.min()], [item.x.max(), item.y.max()]]), 0)]
        case Sphere():
            return [(item.centre[None], item.radius)]
        case Balls():
            return [(item.xyz, item.radii)]
        case Rods():
            return [(item.start, item.radii), (item.end, item.radii)]
        case _:
            return [(item.xyz, 0)]
