r"""Invariant attributes of a pair of points: numbers that a motion of space cannot change (notebook 02).

A pair is a receiver t and a sender s with r = p_s − p_t. "Complete for G" means: two pairs have equal numbers
if and only if an element of G maps one on the other, so that the numbers *name* the class of the pair.

`spatial_invariants`, `orientation_invariants` and `safe_norm` are for inner loops: they never look at values
(no synchronisation with a GPU). The `invariants_*` functions are the public door and refuse bad input; they work on
whole batches, so do not wrap them in `torch.func.vmap`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_UNIT_TOLERANCE = 1e-3


# ---------------------------------------------------------------------------------------------- inner functions
def safe_norm(x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    r"""|x| over the last axis, whose first and second derivatives at x = 0 are 0 instead of NaN.

    The value is the plain √(Σ x²) with nothing added under the root. The norm has no derivative at 0; 0 is the
    mean of its one-sided derivatives and the choice that keeps forces on coincident points finite. Derivatives
    are also 0 where they would overflow (|x| below 1.1e-19 in float32, 1.5e-154 in float64).
    """
    return _norm_without_kink(x, 0.0)


def _norm_without_kink(x: Tensor, below: Tensor | float) -> Tensor:
    """|x| with derivative 0 where |x|² ≤ `below`, or where |x|⁻², which occurs in the second one, would overflow."""
    squared = x.square().sum(-1)
    flat = (squared <= below) | (squared <= torch.finfo(x.dtype).tiny)
    # Two wheres: one on the value is not enough, as 0 · inf = NaN would still flow back through the unused branch.
    smooth = torch.where(flat, torch.ones_like(squared), squared).sqrt()
    return torch.where(flat, squared.detach().sqrt(), smooth)


def spatial_invariants(r: Float[Tensor, "*#batch d"], ori: Float[Tensor, "*#batch d"]) -> Float[Tensor, "*batch 2"]:
    r"""Attributes of a pair whose two ends share one orientation o (the spatial step of the separable layer).

    3D: (r·o, |r − (r·o) o|).   2D: (r·o, r·o^⊥) with o^⊥ = (−o_y, o_x), a signed component.

    Complete on pairs with o_s = o_t: for E(3) (and SE(3): such a pair equals its mirror image) in 3D, for SE(2) in
    2D. At r ∥ o, where |r_⊥| has a kink, its derivatives are taken as 0 (up to rounding: 8 ulp of |r|).

    Args:
        r: p_s − p_t in the length unit of the data, d = 2 or 3.
        ori: unit vectors (not checked); the leading axes of r and ori broadcast.
    Source: arXiv 2310.02970; the second 2D attribute is the signed form.
    """
    along = (r * ori).sum(-1)
    if ori.shape[-1] == 2:
        return torch.stack((along, r[..., 1] * ori[..., 0] - r[..., 0] * ori[..., 1]), dim=-1)
    rounding = (8 * torch.finfo(along.dtype).eps) ** 2 * r.detach().square().sum(-1)
    across = _norm_without_kink(r - along.unsqueeze(-1) * ori, rounding)
    return torch.stack((along, across), dim=-1)


def orientation_invariants(
    ori_t: Float[Tensor, "*#batch d"], ori_s: Float[Tensor, "*#batch d"]
) -> Float[Tensor, "*batch 1"]:
    r"""(o_t·o_s,): attribute of two orientations at one place (the spherical step of the separable layer).

    Complete for O(d) on pairs with r = 0; for SO(3) as well, for SO(2) not (it confuses ±Δθ). A cosine, unchecked.
    """
    return (ori_t * ori_s).sum(-1, keepdim=True)


# ------------------------------------------------------------------------------------------------ positions only
def invariants_r2(r: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 1"]:
    """(|r|,) for pairs of R². Complete for E(2) and SE(2) on every pair.

    Raises: ValueError on a wrong last axis or NaN.
    """
    _check_vector("r", r, 2)
    return safe_norm(r).unsqueeze(-1)


def invariants_r3(r: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 1"]:
    """(|r|,) for pairs of R³. Complete for E(3) and SE(3) on every pair.

    Raises: ValueError on a wrong last axis or NaN.
    """
    _check_vector("r", r, 3)
    return safe_norm(r).unsqueeze(-1)


# ---------------------------------------------------------------------------------- positions with an orientation
def invariants_r2s1(
    r: Float[Tensor, "*#batch 2"], ori_t: Float[Tensor, "*#batch 2"], ori_s: Float[Tensor, "*#batch 2"]
) -> Float[Tensor, "*batch 3"]:
    r"""(r·o_t, r·o_t^⊥, θ_s − θ_t) for pairs of R²×S¹, the angle in (−π, π].

    Complete for SE(2) on every pair, r = 0 included (there the angle alone names the class). A reflection changes
    the sign of the last two. The angle jumps by 2π at opposite orientations; its cosine and sine do not.

    Args: r = p_s − p_t (length unit of the data), unit vectors at receiver and sender; leading axes broadcast.
    Raises: ValueError on a wrong last axis, NaN, or an orientation that is not a unit vector within 1e-3.
    Source: arXiv 2310.02970.
    """
    _check_pair(r, ori_t, ori_s, 2)
    return _join(spatial_invariants(r, ori_t), _turn(ori_t, ori_s).unsqueeze(-1))


def invariants_r2s1_cosine(
    r: Float[Tensor, "*#batch 2"], ori_t: Float[Tensor, "*#batch 2"], ori_s: Float[Tensor, "*#batch 2"]
) -> Float[Tensor, "*batch 3"]:
    r"""(r·o_t, r·o_t^⊥, o_t·o_s): the variant that public implementations of arXiv 2310.02970 compute in 2D.

    Invariant under SE(2) but **not complete**: turning the sender by +Δθ or −Δθ gives the same numbers. Smooth, and
    complete where o_s = ±o_t. Arguments and errors as for `invariants_r2s1`.
    """
    _check_pair(r, ori_t, ori_s, 2)
    return _join(spatial_invariants(r, ori_t), orientation_invariants(ori_t, ori_s))


def invariants_r3s2_triple(
    r: Float[Tensor, "*#batch 3"], ori_t: Float[Tensor, "*#batch 3"], ori_s: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3"]:
    r"""(r·o_t, |r − (r·o_t) o_t|, o_t·o_s) for pairs of R³×S²: the paper's attributes, cosine instead of angle.

    Invariant under E(3), **not complete** on generic pairs: three numbers for a four-dimensional orbit space. With
    the triple fixed, r·o_s still takes any value of an interval: r = (1,0,1), o_t = (0,0,1) and o_s = (±1,0,0) share
    (1, 1, 0). Complete for E(3) on the pairs of the separable layer (o_s = ±o_t or r = 0) and wherever r ∥ o_t.

    Args: r = p_s − p_t (length unit of the data), unit vectors at receiver and sender; leading axes broadcast.
    Raises: ValueError on a wrong last axis, NaN, or an orientation that is not a unit vector within 1e-3.
    Source: arXiv 2310.02970.
    """
    _check_pair(r, ori_t, ori_s, 3)
    return _join(spatial_invariants(r, ori_t), orientation_invariants(ori_t, ori_s))


def invariants_r3s2_e3(
    r: Float[Tensor, "*#batch 3"], ori_t: Float[Tensor, "*#batch 3"], ori_s: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 4"]:
    r"""(r·o_t, r·o_s, o_t·o_s, |r|²) for pairs of R³×S²: all that varies in the Gram matrix of (r, o_t, o_s).

    Complete for E(3) on every pair, because vectors are determined by their Gram matrix up to O(3). Polynomials, so
    smooth everywhere. Complete for SE(3) only where r, o_t, o_s lie in one plane: elsewhere a pair and its mirror
    image share the four numbers. Arguments and errors as for `invariants_r3s2_triple`.
    Source: this setting is treated in arXiv 2504.03299.
    """
    _check_pair(r, ori_t, ori_s, 3)
    squared = r.square().sum(-1, keepdim=True)
    cosine = orientation_invariants(ori_t, ori_s)
    return _join((r * ori_t).sum(-1, keepdim=True), (r * ori_s).sum(-1, keepdim=True), cosine, squared)


def invariants_r3s2_se3(
    r: Float[Tensor, "*#batch 3"], ori_t: Float[Tensor, "*#batch 3"], ori_s: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 5"]:
    r"""(r·o_t, r·o_s, o_t·o_s, |r|², det[r, o_t, o_s]) for pairs of R³×S².

    Complete for SE(3) on every pair. The square of the determinant is the Gram determinant, a function of the first
    four, so only its sign is new: it tells a pair from its mirror image. We return the determinant and not its sign
    because the determinant is a polynomial (the sign jumps); it is 0 on planar pairs, which equal their mirror image.
    Arguments and errors as for `invariants_r3s2_triple`. Source: arXiv 2504.03299.
    """
    four = invariants_r3s2_e3(r, ori_t, ori_s)
    (rx, ry, rz), (tx, ty, tz), (sx, sy, sz) = (v.unbind(-1) for v in (r, ori_t, ori_s))
    determinant = rx * (ty * sz - tz * sy) + ry * (tz * sx - tx * sz) + rz * (tx * sy - ty * sx)
    return _join(four, determinant.unsqueeze(-1))


# ------------------------------------------------------------------------------------------- positions with a frame
def invariants_se2(
    r: Float[Tensor, "*#batch 2"], frame_t: Float[Tensor, "*#batch 2 2"], frame_s: Float[Tensor, "*#batch 2 2"]
) -> Float[Tensor, "*batch 3"]:
    r"""(R_tᵀ r, angle of R_tᵀ R_s in (−π, π]) for pairs of SE(2): the group element g_t⁻¹ g_s itself.

    Complete for SE(2) on every pair. The same numbers as `invariants_r2s1` with o = first column of R.
    Raises: ValueError on a wrong shape, NaN, or a frame that is not a rotation within 1e-3.
    """
    _check_vector("r", r, 2)
    _check_frame("frame_t", frame_t, 2)
    _check_frame("frame_s", frame_s, 2)
    turn = _turn(frame_t[..., 0], frame_s[..., 0]).unsqueeze(-1)
    return _join((frame_t.mT @ r.unsqueeze(-1)).squeeze(-1), turn)


def invariants_se3(
    r: Float[Tensor, "*#batch 3"], frame_t: Float[Tensor, "*#batch 3 3"], frame_s: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch 12"]:
    r"""(R_tᵀ r, R_tᵀ R_s row by row) for pairs of SE(3): the group element g_t⁻¹ g_s itself.

    Complete for SE(3) on every pair, smooth; 12 numbers for 6 dimensions because the matrix is given in full.
    Raises: ValueError on a wrong shape, NaN, or a frame that is not a rotation within 1e-3.
    """
    _check_vector("r", r, 3)
    _check_frame("frame_t", frame_t, 3)
    _check_frame("frame_s", frame_s, 3)
    return _join((frame_t.mT @ r.unsqueeze(-1)).squeeze(-1), (frame_t.mT @ frame_s).flatten(-2))


# ---------------------------------------------------------------------------------------------------------- helpers
def _turn(a: Tensor, b: Tensor) -> Tensor:
    """Signed angle from a to b in (−π, π]."""
    angle = torch.atan2(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], (a * b).sum(-1))
    return torch.where(angle <= -math.pi, angle + 2 * math.pi, angle)  # rounding can give −π


def _join(*parts: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*batch, part.shape[-1]) for part in parts], dim=-1)


def _check_vector(name: str, x: Tensor, dim: int) -> None:
    if x.ndim < 1 or x.shape[-1] != dim:
        raise ValueError(
            f"{name} must have {dim} components in its last axis; got shape {tuple(x.shape)}. "
            f"Give one row per pair, shape [pairs, {dim}]."
        )
    if not x.is_floating_point():
        raise ValueError(f"{name} must hold real numbers; got dtype {x.dtype}. Use {name}.to(torch.float64).")
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(
            f"{name} must be finite; {bad} of {x.numel()} entries are NaN or infinite. Remove those pairs first."
        )


def _check_pair(r: Tensor, ori_t: Tensor, ori_s: Tensor, dim: int) -> None:
    _check_vector("r", r, dim)
    for name, ori in (("ori_t", ori_t), ("ori_s", ori_s)):
        _check_vector(name, ori, dim)
        worst = float((ori.detach().norm(dim=-1) - 1).abs().max()) if ori.numel() else 0.0
        if worst > _UNIT_TOLERANCE:
            raise ValueError(
                f"{name} must hold unit vectors; the worst |norm − 1| is {worst:.2g} in shape {tuple(ori.shape)}. "
                f"Use torch.nn.functional.normalize({name}, dim=-1)."
            )


def _check_frame(name: str, frame: Tensor, dim: int) -> None:
    if frame.ndim < 2 or frame.shape[-2] != dim:
        raise ValueError(
            f"{name} must hold {dim}×{dim} rotation matrices in its last two axes; got shape {tuple(frame.shape)}. "
            f"Stack the matrices to shape [pairs, {dim}, {dim}]."
        )
    _check_vector(name, frame, dim)
    identity = torch.eye(dim, dtype=frame.dtype, device=frame.device)
    worst = float((frame.mT @ frame - identity).detach().abs().max()) if frame.numel() else 0.0
    if worst > _UNIT_TOLERANCE or bool((torch.linalg.det(frame) < 0).any()):
        raise ValueError(
            f"{name} must hold rotations (RᵀR = I, det R = 1); the worst |RᵀR − I| is {worst:.2g}, the least "
            f"determinant {float(torch.linalg.det(frame).min()):.3g}. Build frames with axis_angle or random_rotations."
        )
