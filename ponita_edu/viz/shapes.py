"""Triangle meshes of simple bodies, many in one mesh: balls, arrow heads, rods."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

Vertices = Float[np.ndarray, "vertices 3"]
Triangles = Int[np.ndarray, "triangles 3"]


@lru_cache
def unit_sphere(level: int = 2) -> tuple[Vertices, Triangles]:
    """A sphere of radius 1: an icosahedron whose triangles are split in four `level` times."""
    golden = (1 + 5**0.5) / 2
    base = np.array([(0, s, t * golden) for s in (1, -1) for t in (1, -1)])
    points = np.concatenate([np.roll(base, k, axis=1) for k in range(3)])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    near = points @ points.T > 0.4  # neighbours of the icosahedron; no other pair has a positive product
    np.fill_diagonal(near, False)
    n = len(points)
    faces = [(i, j, k) for i in range(n) for j in range(i) for k in range(j) if near[i, j] & near[j, k] & near[i, k]]
    # anticlockwise as seen from outside
    faces = [f if np.linalg.det(points[list(f)]) > 0 else f[::-1] for f in faces]
    for _ in range(level):
        points, faces = _split(points, faces)
    return points, np.array(faces)


def _split(points: np.ndarray, faces: list) -> tuple[np.ndarray, list]:
    points, middle = list(points), {}

    def between(i: int, j: int) -> int:
        key = (min(i, j), max(i, j))
        if key not in middle:
            middle[key] = len(points)
            points.append((points[i] + points[j]) / np.linalg.norm(points[i] + points[j]))
        return middle[key]

    parts = []
    for i, j, k in faces:
        a, b, c = between(i, j), between(j, k), between(k, i)
        parts += [(i, a, c), (a, j, b), (c, b, k), (a, b, c)]
    return np.array(points), parts


def balls(centres: Float[np.ndarray, "n 3"], radii: Float[np.ndarray, " n"], level: int = 2) -> tuple[
        Vertices, Triangles]:
    """Balls of the given radii in one mesh; ball b owns the vertices from b·V to (b+1)·V of V = vertices/n."""
    points, faces = unit_sphere(level)
    vertices = centres[:, None] + radii[:, None, None] * points
    return vertices.reshape(-1, 3), _repeat(faces, len(centres), len(points))


def cones(tips: Float[np.ndarray, "n 3"], axes: Float[np.ndarray, "n 3"], radii: Float[np.ndarray, " n"],
          sides: int = 12) -> tuple[Vertices, Triangles]:
    """Cones with the given tips; `axes` lead from the base to the tip. Also base-to-tip prisms' heads of arrows."""
    first, second = _frames(axes)
    angle = 2 * np.pi * np.arange(sides) / sides
    rim = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]
    base = tips - axes
    vertices = np.concatenate((tips[:, None], base[:, None], base[:, None] + radii[:, None, None] * rim), axis=1)
    here = np.arange(sides) + 2
    there = np.roll(here, -1)
    faces = np.concatenate((np.stack((np.zeros_like(here), here, there), 1),
                            np.stack((np.ones_like(here), there, here), 1)))
    return vertices.reshape(-1, 3), _repeat(faces, len(tips), sides + 2)


def rods(starts: Float[np.ndarray, "n 3"], ends: Float[np.ndarray, "n 3"], radii: Float[np.ndarray, " n"],
         sides: int = 10) -> tuple[Vertices, Triangles]:
    """Open cylinders between pairs of points (the ends stay hidden in balls)."""
    first, second = _frames(ends - starts)
    angle = 2 * np.pi * np.arange(sides) / sides
    rim = radii[:, None, None] * (np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None])
    vertices = np.concatenate((starts[:, None] + rim, ends[:, None] + rim), axis=1)
    here = np.arange(sides)
    there = np.roll(here, -1)
    faces = np.concatenate((np.stack((here, there, here + sides), 1),
                            np.stack((there, there + sides, here + sides), 1)))
    return vertices.reshape(-1, 3), _repeat(faces, len(starts), 2 * sides)


def _frames(axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors at right angles to each axis and to each other."""
    length = np.linalg.norm(axes, axis=1, keepdims=True)
    unit = np.where(length > 1e-9, axes, [[0, 0, 1.0]]) / np.where(length > 1e-9, length, 1)  # any frame for length 0
    helper = np.where(np.abs(unit[:, :1]) < 0.8, np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
    first = np.cross(unit, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return first, np.cross(unit, first)


def _repeat(faces: np.ndarray, copies: int, vertices: int) -> np.ndarray:
    return (faces + vertices * np.arange(copies)[:, None, None]).reshape(-1, 3)
