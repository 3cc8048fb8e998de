r"""Rotations, rigid motions and finite rotation groups (notebook 01).

A rotation R acts on column vectors, x ↦ R x; on an array of rows that is `x @ R.T`. A motion is x ↦ R x + b.
A finite set of rotations is one tensor [k, d, d].
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

GROUP_ORDERS = {"tetrahedron": 12, "octahedron": 24, "icosahedron": 60}
_ORTHOGONAL_TOLERANCE = 1e-5


# --------------------------------------------------------------------------------------------------- rotations
def random_rotations(
    n: int,
    dim: int = 3,
    seed: int = 0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "n dim dim"]:
    r"""Draw n rotations uniformly (Haar measure) from SO(dim).

    2D: uniform angles. 3D: normalised Gaussian quaternions, uniform on S³, which covers SO(3) evenly.
    Other dimensions: QR of a Gaussian matrix with the signs of R's diagonal moved into Q, then one column flipped where
    det = −1.

    Args:
        seed: used when no generator is given; the global random state is never touched.
        dtype: of the result; numbers are drawn in float64.
    Raises: ValueError if n < 0, dim < 1 or dtype is not floating.
    """
    if n < 0 or dim < 1:
        raise ValueError(f"n must be at least 0 and dim at least 1; got n={n}, dim={dim}.")
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating type; got {dtype}. Use torch.float64.")
    generator = torch.Generator().manual_seed(seed) if generator is None else generator
    if dim == 2:
        rotations = rotation_2d(2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64))
    elif dim == 3:
        rotations = _from_quaternion(torch.randn(n, 4, generator=generator, dtype=torch.float64))
    else:
        q, r = torch.linalg.qr(torch.randn(n, dim, dim, generator=generator, dtype=torch.float64))
        rotations = q * torch.diagonal(r, dim1=-2, dim2=-1).sign().unsqueeze(-2)
        flip = torch.ones(n, dim, dtype=torch.float64)
        flip[:, 0] = torch.linalg.det(rotations).sign()
        rotations = rotations * flip.unsqueeze(-2)
    return rotations.to(dtype)


def _from_quaternion(q: Tensor) -> Tensor:
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def rotation_2d(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 2 2"]:
    """[[cos, −sin], [sin, cos]]: counter-clockwise by `angle` in radians."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((torch.stack((cos, -sin), dim=-1), torch.stack((sin, cos), dim=-1)), dim=-2)


def axis_angle(axis: Float[Tensor, "*#batch 3"], angle: Float[Tensor, "*#batch"]) -> Float[Tensor, "... 3 3"]:
    r"""Rotation about `axis` by `angle` radians, right-handed: R = I + sin φ K + (1 − cos φ) K², K x = axis × x.

    The axis is normalised here; leading axes of the two arguments broadcast.
    Raises: ValueError if an axis is (nearly) 0 or not finite.
    """
    length = axis.norm(dim=-1, keepdim=True)
    if axis.shape[-1:] != (3,) or not bool((torch.isfinite(length) & (length > 1e-12)).all()):
        raise ValueError(
            f"axis must hold finite non-zero vectors [..., 3]; got shape {tuple(axis.shape)}, least norm "
            f"{float(length.min()) if length.numel() else math.nan:.2g}. For no rotation use any axis and angle 0."
        )
    k = _cross_matrix(axis / length)
    sin, half = angle.sin()[..., None, None], (angle / 2).sin()[..., None, None]
    return torch.eye(3, dtype=k.dtype, device=k.device) + sin * k + 2 * half**2 * (k @ k)  # 1 − cos φ = 2 sin²(φ/2)


def _cross_matrix(v: Tensor) -> Tensor:
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def to_axis_angle(rotation: Float[Tensor, "*batch 3 3"]) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch"]]:
    r"""Unit axis and angle in [0, π] of rotations; the inverse of `axis_angle`.

    Goes through the quaternion, read from whichever of its four components is largest, so that no digits are lost
    near φ = 0 or π. At φ = 0 the axis is arbitrary (z is given), at φ = π it is defined up to sign.
    Raises: ValueError if a matrix is not a rotation.
    """
    _check_orthogonal("rotation", rotation, 3)
    if bool((torch.linalg.det(rotation) < 0).any()):
        raise ValueError("rotation must have determinant +1; a reflection has no axis and angle. Negate it first.")
    r = rotation
    trace = r.diagonal(dim1=-2, dim2=-1).sum(-1)
    # 4 q qᵀ of the quaternion q = (w, x, y, z), row by row, from the entries of R
    skew = torch.stack((r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]), dim=-1)
    eye = torch.eye(3, dtype=r.dtype, device=r.device)
    lower = r + r.mT + (1 - trace)[..., None, None] * eye
    top = torch.cat(((1 + trace).unsqueeze(-1), skew), dim=-1)
    outer = torch.cat((top.unsqueeze(-2), torch.cat((skew.unsqueeze(-1), lower), dim=-1)), dim=-2)
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    q = torch.take_along_dim(outer, largest[..., None, None], dim=-2).squeeze(-2)
    q = q / q.norm(dim=-1, keepdim=True)
    q = torch.where(q[..., :1] < 0, -q, q)
    sine = q[..., 1:].norm(dim=-1)
    angle = 2 * torch.atan2(sine, q[..., 0])
    z_axis = eye[2].expand_as(skew)
    still = (sine == 0).unsqueeze(-1)
    axis = torch.where(still, z_axis, q[..., 1:] / torch.where(still, torch.ones_like(still, dtype=r.dtype), sine.unsqueeze(-1)))
    return axis, angle


# ------------------------------------------------------------------------------------------------ finite groups
def cyclic_rotations(n: int) -> Float64[Tensor, "n 2 2"]:
    """The n rotations of the plane by 2πk/n, k = 0 … n−1. Raises ValueError if n < 1."""
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}.")
    return rotation_2d(2 * math.pi * torch.arange(n, dtype=torch.float64) / n)


def polyhedral_rotations(name: str) -> Float64[Tensor, "k 3 3"]:
    """All proper rotations of the tetrahedron (12), octahedron (24, also the cube's) or icosahedron (60, also the dodecahedron's).

    Made as the closure of two generators, in the frame of the Platonic grids; the identity comes first.
    Raises: ValueError on another name.
    """
    if name not in GROUP_ORDERS:
        raise ValueError(
            f"name must be one of {', '.join(GROUP_ORDERS)}; got {name!r}. "
            "The cube has the octahedron's rotations, the dodecahedron the icosahedron's."
        )
    third = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)  # 120° about (1, 1, 1)
    if name == "tetrahedron":
        other = torch.diag(torch.tensor([-1.0, -1, 1], dtype=torch.float64))  # 180° about z
    elif name == "octahedron":
        other = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)  # 90° about z
    else:
        vertex = torch.tensor([0.0, 1, (1 + math.sqrt(5)) / 2], dtype=torch.float64)
        other = axis_angle(vertex, torch.tensor(2 * math.pi / 5, dtype=torch.float64))  # 72° about a vertex
    return _closure(torch.stack((third, other)), GROUP_ORDERS[name])


def _closure(generators: Tensor, order: int) -> Tensor:
    """Multiply by the generators until nothing new appears."""
    group = [torch.eye(3, dtype=torch.float64)]
    for element in group:  # the list grows while it is read
        for generator in generators:
            product = generator @ element
            if all((product - known).abs().max() > 1e-6 for known in group):
                group.append(product)
        if len(group) > order:
            raise RuntimeError(f"the generators give more than {order} rotations")
    return torch.stack(group)


def permuting_rotations(
    points: Float64[Tensor, "n dim"], weights: Float64[Tensor, "n"], tolerance: float = 1e-9
) -> tuple[Float64[Tensor, "k dim dim"], Int64[Tensor, "k n"]]:
    r"""All proper rotations that permute weighted unit vectors on S¹ or S², identity first, with the permutations.

    `points @ R.T == points[perm]` within `tolerance`. A rotation is fixed by where it sends one point (2D) or two
    points that are not on a line (3D), so every equal-looking pair is tried; pairs that occur seldom are tried first.

    Raises: ValueError in 3D if all points lie on one line, as infinitely many rotations then keep them.
    """
    p, w = points.numpy(), weights.numpy()
    rotations, permutations = [], []
    for candidate in _candidate_rotations(p, w, tolerance):
        moved = p @ candidate.T
        target = (moved @ p.T).argmax(axis=1)
        if np.linalg.norm(p[target] - moved, axis=1).max() > 10 * tolerance:
            continue
        refined = _nearest_rotation(p[target].T @ p)  # all points at once: less rounding than from two
        same = np.abs(p[target] - p @ refined.T).max() <= tolerance and np.abs(w[target] - w).max() <= tolerance
        if same and len(np.unique(target)) == len(p):
            rotations.append(refined)
            permutations.append(target)
    order = sorted(range(len(rotations)), key=lambda k: (permutations[k] != np.arange(len(p))).any())
    return torch.tensor(np.array(rotations)[order]), torch.tensor(np.array(permutations)[order])


def _candidate_rotations(p: np.ndarray, w: np.ndarray, tolerance: float):
    label = np.searchsorted(np.sort(w), w - tolerance)  # points of equal weight share a label
    rarest = min(np.unique(label), key=lambda k: (label == k).sum())
    first_images = np.flatnonzero(label == rarest)
    i = first_images[0]
    if p.shape[1] == 2:
        for k in first_images:
            cos, sin = p[i] @ p[k], p[i, 0] * p[k, 1] - p[i, 1] * p[k, 0]
            yield np.array([[cos, -sin], [sin, cos]])
        return
    gram = p @ p.T
    not_aligned = np.flatnonzero(np.abs(gram[i]) < 1 - 1e-6)
    if not len(not_aligned):
        raise ValueError(
            f"all {len(p)} points lie on one line, so infinitely many rotations about it keep them; "
            "symmetries need at least two directions that are not opposite."
        )
    rows = gram[first_images]

    def images(j: int) -> np.ndarray:
        return np.argwhere((np.abs(rows - gram[i, j]) <= 10 * tolerance) & (label == label[j]))

    j = min(not_aligned, key=lambda k: len(images(k)))
    frame = _frame_of(p[i], p[j])
    for row, second in images(j):
        yield _frame_of(p[first_images[row]], p[second]) @ frame.T


def _frame_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Right-handed orthonormal columns from two directions."""
    b = b - (a @ b) * a
    b = b / np.linalg.norm(b)
    return np.stack((a, b, np.cross(a, b)), axis=1)


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    u, _, vt = np.linalg.svd(matrix)
    u[:, -1] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))
    return u @ vt


# ------------------------------------------------------------------------------------------------ rigid motions
@dataclass(frozen=True, eq=False)
class Motion:
    r"""Rigid motions x ↦ R x + b, one or a batch: an element of SE(d), or of E(d) if a determinant is −1.

    `g @ h` does h first: (R, b)(R', b') = (R R', R b' + b). Positions are rotated and shifted; orientations and
    vectors (velocities, forces) only rotated.

    Raises: ValueError on a wrong shape or a matrix that is not orthogonal within 1e-5.
    """

    rotation: Float[Tensor, "*batch d d"]
    translation: Float[Tensor, "*batch d"]

    def __post_init__(self) -> None:
        dim = self.rotation.shape[-1] if self.rotation.ndim >= 2 else 0
        _check_orthogonal("rotation", self.rotation, dim)
        if self.translation.shape != self.rotation.shape[:-1]:
            raise ValueError(
                f"translation must have shape {tuple(self.rotation.shape[:-1])} to go with rotation "
                f"{tuple(self.rotation.shape)}; got {tuple(self.translation.shape)}."
            )
        if not bool(torch.isfinite(self.translation).all()):
            raise ValueError("translation must be finite; it holds NaN or infinity.")

    @staticmethod
    def identity(dim: int, dtype: torch.dtype = torch.float64) -> "Motion":
        """The motion that does nothing."""
        return Motion(torch.eye(dim, dtype=dtype), torch.zeros(dim, dtype=dtype))

    @staticmethod
    def random(
        n: int, dim: int = 3, seed: int = 0, reflections: bool = False, translation_scale: float = 1.0
    ) -> "Motion":
        """n motions: Haar rotations (half of them times a mirror, if asked), Gaussian translations of that scale."""
        generator = torch.Generator().manual_seed(seed)
        rotation = random_rotations(n, dim, generator=generator)
        translation = translation_scale * torch.randn(n, dim, generator=generator, dtype=torch.float64)
        if reflections:
            mirror = torch.ones(n, dim, dtype=torch.float64)
            mirror[:, 0] = 1.0 - 2.0 * torch.randint(2, (n,), generator=generator)
            rotation = rotation * mirror.unsqueeze(-2)
        return Motion(rotation, translation)

    @property
    def dim(self) -> int:
        """Dimension of the space that is moved."""
        return self.rotation.shape[-1]

    @property
    def is_proper(self) -> bool:
        """True if no motion of the batch contains a reflection (all determinants are +1)."""
        return bool((torch.linalg.det(self.rotation) > 0).all())

    def __matmul__(self, other: "Motion") -> "Motion":
        return Motion(self.rotation @ other.rotation, self.on_vectors(other.translation) + self.translation)

    def inverse(self) -> "Motion":
        """(R, b)⁻¹ = (Rᵀ, −Rᵀ b)."""
        back = self.rotation.mT
        return Motion(back.contiguous(), -(back @ self.translation.unsqueeze(-1)).squeeze(-1))

    def __getitem__(self, index: int | slice | Tensor) -> "Motion":
        """One motion, or some, of a batch."""
        return Motion(self.rotation[index], self.translation[index])

    def on_vectors(self, v: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """R v: free vectors are rotated and not shifted."""
        return self._rotate("v", v)

    def on_orientations(self, o: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """R o."""
        return self._rotate("o", o)

    def on_points(self, p: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """R p + b."""
        return self._rotate("p", p) + self.translation

    def _rotate(self, name: str, x: Tensor) -> Tensor:
        if x.ndim < 1 or x.shape[-1] != self.dim:
            raise ValueError(f"{name} must have {self.dim} components in its last axis; got shape {tuple(x.shape)}.")
        return (self.rotation @ x.unsqueeze(-1)).squeeze(-1)


def _check_orthogonal(name: str, matrix: Tensor, dim: int) -> None:
    if matrix.ndim < 2 or dim < 1 or matrix.shape[-2:] != (dim, dim):
        size = dim or "d"
        raise ValueError(f"{name} must be square matrices [..., {size}, {size}]; got shape {tuple(matrix.shape)}.")
    if not matrix.is_floating_point():
        raise ValueError(f"{name} must hold real numbers; got dtype {matrix.dtype}. Use {name}.to(torch.float64).")
    identity = torch.eye(dim, dtype=matrix.dtype, device=matrix.device)
    worst = float((matrix @ matrix.mT - identity).detach().abs().max()) if matrix.numel() else 0.0
    if not worst <= _ORTHOGONAL_TOLERANCE:  # also true for NaN
        raise ValueError(
            f"{name} must be orthogonal; |R Rᵀ − I| reaches {worst:.2g}, allowed is {_ORTHOGONAL_TOLERANCE:g}. "
            "Make one with random_rotations or axis_angle, or orthonormalise yours (torch.linalg.qr)."
        )
