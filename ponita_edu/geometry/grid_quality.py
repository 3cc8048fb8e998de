r"""Quality figures of weighted points on S¹ and S² (numpy arrays in, numbers out; `Grid` calls them)."""

import numpy as np
from scipy.spatial import ConvexHull, SphericalVoronoi
from scipy.special import sph_harm_y

_FLAT = 1e-9  # singular values below this: the points lie in a plane


def separation(points: np.ndarray) -> float:
    """Smallest angle between two points in radians; π for a single point."""
    if len(points) == 1:
        return float(np.pi)
    return float(2 * np.arcsin(np.clip(_distances(points).min() / 2, 0, 1)))


def energy(points: np.ndarray) -> float:
    """Mean over pairs of 1/|o_i − o_j|; infinite for coincident points, 0 for a single one."""
    if len(points) == 1:
        return 0.0
    with np.errstate(divide="ignore"):
        return float((1 / _distances(points)).mean())


def covering_radius(points: np.ndarray) -> float:
    """Largest angle from any direction to its nearest point.

    In 3D the farthest direction is the normal n of a face of the convex hull (a Voronoi vertex), at angle arccos of
    the face's distance from the origin. If all points lie on a plane at distance c, it is π − arccos c, on the
    plane's far side. If the hull lies to one side of the origin, as it does for points of half a sphere, it may also
    be opposite to the place of an edge that is nearest to the origin. On the circle: half the largest gap.
    """
    if points.shape[1] == 2:
        return float(_gaps(points)[1].max() / 2)
    normal, distance = _common_plane(points)
    if normal is not None:
        order = _gaps(_across(points, normal))[0]
        edges = np.stack((order, np.roll(order, 1)), axis=1)
        return max(float(np.pi - np.arccos(np.clip(distance, -1, 1))), _opposite_to_an_edge(points, edges))
    hull = ConvexHull(points)
    radius = float(np.arccos(np.clip(-hull.equations[:, 3], -1, 1)).max())
    edges = hull.simplices[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    return max(radius, _opposite_to_an_edge(points, edges)) if hull.equations[:, 3].max() > 0 else radius


def voronoi_areas(points: np.ndarray) -> np.ndarray:
    """Area of each Voronoi cell (sum 4π), or arc length on the circle (sum 2π). Points must be distinct."""
    if len(points) > 1 and _distances(points).min() < 1e-12:
        raise ValueError("points must be distinct for Voronoi cells; two of them coincide. Remove the duplicate.")
    if points.shape[1] == 2:
        return _lunes(points)
    normal, _ = _common_plane(points)
    if normal is None:
        return SphericalVoronoi(points).calculate_areas()
    # Points on one circle: every cell is a lune between two half-planes through the circle's axis.
    return 2 * _lunes(_across(points, normal))


def quadrature_error(points: np.ndarray, weights: np.ndarray, degree: int) -> float:
    r"""Integration error of harmonics of one degree l ≥ 1, all of which integrate to 0.

    3D: ε_l = √( 4π/(2l+1) Σ_m |Σ_i w_i Y_lm(o_i)|² ), by the addition theorem equal to √( Σ_ij w_i w_j P_l(o_i·o_j) ).
    2D: |Σ_i w_i e^{ilθ_i}|. Both are unchanged by rotating the grid, 0 for an exact rule and 1 for a single point.

    Raises: ValueError if degree is not a whole number ≥ 1.
    """
    if isinstance(degree, bool) or not isinstance(degree, (int, np.integer)) or degree < 1:
        raise ValueError(f"degree must be a whole number, at least 1 (degree 0 is Σ w = 1); got {degree!r}.")
    if points.shape[1] == 2:
        angle = np.arctan2(points[:, 1], points[:, 0])
        return float(abs((weights * np.exp(1j * degree * angle)).sum()))
    polar = np.arctan2(np.hypot(points[:, 0], points[:, 1]), points[:, 2])
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    orders = np.arange(-degree, degree + 1)[:, None]
    # The harmonics, not the double sum over P_l: there, rounding of 1e-16 under the root would read as 1e-8.
    integrals = (weights * sph_harm_y(int(degree), orders, polar, azimuth)).sum(axis=1)
    return float(np.sqrt(4 * np.pi / (2 * degree + 1) * (np.abs(integrals) ** 2).sum()))


def _distances(points: np.ndarray) -> np.ndarray:
    """|o_i − o_j| for i < j."""
    first, second = np.triu_indices(len(points), 1)
    return np.linalg.norm(points[first] - points[second], axis=1)


def _common_plane(points: np.ndarray) -> tuple[np.ndarray | None, float]:
    """Unit normal and distance from the origin of a plane that holds all points; (None, 0) if there is none.

    One or two points lie in many planes: the farthest from the origin is meant.
    """
    centre = points.mean(axis=0)
    _, size, axes = np.linalg.svd(points - centre, full_matrices=True)
    flat = [axes[k] for k in range(3) if k >= len(size) or size[k] < _FLAT]
    if not flat:
        return None, 0.0
    inside = np.array(flat)  # normals of the affine hull
    towards = inside.T @ (inside @ centre)  # foot of the perpendicular from the origin
    distance = float(np.linalg.norm(towards))
    return (towards / distance if distance > _FLAT else inside[0]), distance


def _across(points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """[N, 2]: the points seen along the normal."""
    return points @ np.linalg.svd(normal[None])[2][1:].T


def _opposite_to_an_edge(points: np.ndarray, edges: np.ndarray) -> float:
    """Angle to the nearest point from the direction opposite to the edge [i, j] whose middle is nearest to 0."""
    middles = points[edges].mean(axis=1)  # of unit vectors, so no other place of an edge is nearer
    middle = middles[np.linalg.norm(middles, axis=1).argmin()]
    length = np.linalg.norm(middle)
    return float(np.arccos(np.clip((points @ -middle).max() / length, -1, 1))) if length > _FLAT else 0.0


def _gaps(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of the points around the origin and the angle from each to the next."""
    angle = np.arctan2(points[:, 1], points[:, 0])
    order = np.argsort(angle)
    return order, np.diff(angle[order], append=angle[order[0]] + 2 * np.pi)


def _lunes(points: np.ndarray) -> np.ndarray:
    """Angle around the origin that is nearest to each point: half the gap on either side."""
    order, gap = _gaps(points)
    width = np.empty(len(points))
    width[order] = (gap + np.roll(gap, 1)) / 2
    return width
