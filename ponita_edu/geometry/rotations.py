r"""Rotations: drawing them uniformly, building them from axis and angle, and reading these back.

A rotation R acts on column vectors, x ↦ R x; on an array of rows that is `x @ R.T`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

ORTHOGONAL_TOLERANCE = 1e-5


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
        raise ValueError(f"n must be at least 0 and dim at least 1; got n={n}, dim={dim}. Try n=1, dim=3.")
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


def axis_angle(axis: Float[Tensor, "*#batch 3"], angle: Float[Tensor, "*#batch"]) -> Float[Tensor, "*batch 3 3"]:
    r"""Rotation about `axis` by `angle` radians, right-handed: R = I + sin φ K + (1 − cos φ) K², K x = axis × x.

    The axis is normalised here; leading axes of the two arguments broadcast.
    Raises: ValueError if an axis is (nearly) 0 or not finite.
    """
    length = axis.norm(dim=-1, keepdim=True) if axis.ndim else axis
    if axis.ndim < 1 or axis.shape[-1] != 3 or not bool((torch.isfinite(length) & (length > 1e-12)).all()):
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
    check_orthogonal("rotation", rotation, 3)
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
    return torch.where(still, z_axis, q[..., 1:] / torch.where(still, 1.0, sine.unsqueeze(-1))), angle


def check_orthogonal(name: str, matrix: Tensor, dim: int) -> None:
    """Raise a ValueError that names the argument unless every matrix is dim × dim and orthogonal within 1e-5."""
    if matrix.ndim < 2 or dim < 1 or matrix.shape[-2:] != (dim, dim):
        size = dim or "d"
        raise ValueError(f"{name} must be square matrices [..., {size}, {size}]; got shape {tuple(matrix.shape)}.")
    if not matrix.is_floating_point():
        raise ValueError(f"{name} must hold real numbers; got dtype {matrix.dtype}. Use {name}.to(torch.float64).")
    identity = torch.eye(dim, dtype=matrix.dtype, device=matrix.device)
    worst = float((matrix @ matrix.mT - identity).detach().abs().max()) if matrix.numel() else 0.0
    if not worst <= ORTHOGONAL_TOLERANCE:  # also true for NaN
        raise ValueError(
            f"{name} must be orthogonal; |R Rᵀ − I| reaches {worst:.2g}, allowed is {ORTHOGONAL_TOLERANCE:g}. "
            "Make one with random_rotations or axis_angle, or orthonormalise yours (torch.linalg.qr)."
        )
