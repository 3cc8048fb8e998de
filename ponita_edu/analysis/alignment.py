r"""`align`: the motion that maps one pair of points on another, or none (notebook 02).

It works on coordinates alone and knows nothing of attributes, so it can judge them.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from ponita_edu.analysis.pairs import GROUPS, Pair
from ponita_edu.geometry.groups import Motion

TOLERANCE = 1e-9
_FLAT = 1e-12  # a column with a smaller part off the first axis, relative to its length, counts as parallel to it


def align(pair: Pair, other: Pair, group: str = "SE", tolerance: float = TOLERANCE) -> Motion | None:
    """A motion g of SE(d) or E(d) with g·pair = other within `tolerance`, or None if there is none.

    Where many motions do (all on a line, r = 0 in Rⁿ), one of them. One pair each; for batches take `best_motion`.
    Raises: ValueError as `best_motion`, and if batches are given.
    """
    if pair.pos_t.ndim != 1 or other.pos_t.ndim != 1:
        raise ValueError(
            f"pair and other must be single pairs; got batches {list(pair.pos_t.shape[:-1])} and "
            f"{list(other.pos_t.shape[:-1])}. Index them (pairs[0]) or use best_motion."
        )
    motion, residual = best_motion(pair, other, group)
    return motion if float(residual) <= tolerance else None


def best_motion(pair: Pair, other: Pair, group: str = "SE") -> tuple[Motion, Float64[Tensor, " *batch"]]:
    r"""Motions that map `pair` on `other` if any motion does, and what is then left over; batches broadcast.

    Gram-Schmidt with pivots: the longest of the columns (r, o_t, o_s, …) gives the first axis, the column farthest
    from it the second, the cross product the third; the same columns are used on both sides, so Q maps one frame on
    the other. Stable to rounding however nearly degenerate the pair is. For "E" the mirrored Q is tried as well and
    taken only where it is better. The residual is the largest error of a coordinate of g·pair against `other`,
    divided by max(1, |r|). If it is not ≈ 0 no motion maps the one on the other; g is then not a least-squares fit.

    Raises: ValueError if the spaces differ, or `group` is neither "SE" nor "E", or "E" is asked for pairs in SE(n).
    """
    if pair.space != other.space:
        raise ValueError(f"pair and other must lie in one space; got {pair.space!r} and {other.space!r}.")
    if group not in GROUPS:
        raise ValueError(f"group must be 'SE' (rotations) or 'E' (and reflections); got {group!r}.")
    if group == "E" and pair.frame_t.shape[-1] == pair.pos_t.shape[-1]:
        raise ValueError(f"group must be 'SE' for pairs in {pair.space!r}: a reflection of a rotation is none.")
    batch = torch.broadcast_shapes(pair.pos_t.shape[:-1], other.pos_t.shape[:-1])
    pair, other = pair.expand(*batch), other.expand(*batch)
    rotation, residual = _rotation(pair, other, 1.0)
    if group == "E":
        mirrored, second = _rotation(pair, other, -1.0)
        better = second < residual - _FLAT
        rotation = torch.where(better[..., None, None], mirrored, rotation)
        residual = torch.where(better, second, residual)
    translation = other.pos_t - (rotation @ pair.pos_t.unsqueeze(-1)).squeeze(-1)
    return Motion(rotation, translation), residual


def superposed(other: Pair, pair: Pair) -> Pair:
    """`other` moved: its receiver onto that of `pair`, its sender into the same half-plane of the receiver's axis.

    For a picture of two pairs that no motion maps on each other: what still differs is what their numbers do not see.
    """

    def receiver(p: Pair) -> Pair:
        toward = p.r
        if p.frame_t.shape[-1]:
            axis = p.ori_t
            flat = p.frame_t.shape[-1] > 1 or p.pos_t.shape[-1] == 2  # these frames leave nothing to turn
            toward = torch.zeros_like(axis) if flat else toward - (toward * axis).sum(-1, keepdim=True) * axis
        toward = torch.where(_length(toward) > _FLAT, _unit(toward), 0.0)
        return Pair(p.space.split("_")[0], p.pos_t, p.pos_t + toward, p.frame_t, p.frame_t)

    return other.moved(best_motion(receiver(other), receiver(pair), "SE")[0])


def _rotation(pair: Pair, other: Pair, sign: float) -> tuple[Tensor, Tensor]:
    a, b = pair.vectors, other.vectors
    first = a.square().sum(-2).argmax(-1, keepdim=True)
    axes_a, axes_b = [_unit(_column(a, first))], [_unit(_column(b, first))]
    if a.shape[-2] == 3:
        off_a = a - axes_a[0].unsqueeze(-1) * (axes_a[0].unsqueeze(-2) @ a)
        second = off_a.square().sum(-2).argmax(-1, keepdim=True)
        for axes, columns in ((axes_a, a), (axes_b, b)):
            axes.append(_across(axes[0], _column(columns, second)))
        last_a, last_b = (torch.linalg.cross(*axes) for axes in (axes_a, axes_b))
    else:
        last_a, last_b = (torch.stack((-axes[0][..., 1], axes[0][..., 0]), dim=-1) for axes in (axes_a, axes_b))
    frame_a = torch.stack((*axes_a, last_a), dim=-1)
    frame_b = torch.stack((*axes_b, sign * last_b), dim=-1)
    rotation = frame_b @ frame_a.mT
    length = _length(a[..., 0]).squeeze(-1).clamp(min=1.0)
    return rotation, (rotation @ a - b).abs().flatten(-2).amax(-1) / length


def _column(columns: Tensor, index: Tensor) -> Tensor:
    return torch.take_along_dim(columns, index.unsqueeze(-2), dim=-1).squeeze(-1)


def _length(x: Tensor) -> Tensor:
    return x.square().sum(-1, keepdim=True).sqrt()  # several times as fast as norm() on short axes


def _unit(x: Tensor) -> Tensor:
    """x/|x|; the first coordinate axis where x = 0."""
    length = _length(x)
    axis = torch.zeros_like(x)
    axis[..., 0] = 1.0
    return torch.where(length > 0, x / length.clamp(min=1e-300), axis)


def _across(axis: Tensor, x: Tensor) -> Tensor:
    """The direction of x's part perpendicular to `axis`; any perpendicular one where x is parallel to it or 0."""
    length = _length(x)
    x = x - (x * axis).sum(-1, keepdim=True) * axis
    least = torch.nn.functional.one_hot(axis.abs().argmin(-1), 3).to(axis.dtype)
    x = _unit(torch.where(_length(x) <= _FLAT * length, least, x))
    return _unit(x - (x * axis).sum(-1, keepdim=True) * axis)  # once more: cancellation leaves a part along the axis
