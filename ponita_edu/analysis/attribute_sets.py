r"""Sets of numbers that name the class of a pair, or fail to; and the way back from numbers to a pair (notebook 02).

A set is *complete* for G if two pairs have equal numbers exactly when an element of G maps one on the other. What is
said here in the field `complete` is tested by `bijectivity`, which never looks at that field.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from ponita_edu.analysis.pairs import Pair, Space, get_space
from ponita_edu.geometry import invariants as inv
from ponita_edu.geometry.groups import rotation_2d

_ROUNDING = (
    64 * torch.finfo(torch.float64).eps
)  # squares below this, relative to the square they are the rest of, are 0


@dataclass(frozen=True, eq=False)
class AttributeSet:
    """Named numbers of a pair; `group` is "SE" or "E", the group whose classes they are meant to name.

    `compute` maps a Pair to [*, n]; `rebuild` maps [*, n] to one pair that has these numbers. `angles`: the columns
    that are angles modulo 2π.
    """

    name: str
    space: str
    group: str
    labels: tuple[str, ...]
    compute: Callable[[Pair], Tensor]
    rebuild: Callable[[Tensor], Pair]
    complete: bool
    angles: tuple[int, ...] = ()

    def attributes(self, pair: Pair) -> Float64[Tensor, "*batch n"]:
        """The numbers. Raises ValueError if the pair lives in another space."""
        if pair.space != self.space:
            raise ValueError(f"pair must lie in {self.space!r} for the set {self.name!r}; got one in {pair.space!r}.")
        return self.compute(pair)

    def smooth(self, attributes: Float64[Tensor, "*batch n"]) -> Float64[Tensor, "*batch m"]:
        """The same information without jumps: every angle as its cosine and sine."""
        columns = [
            torch.stack((x.cos(), x.sin()), dim=-1) if i in self.angles else x.unsqueeze(-1)
            for i, x in enumerate(attributes.unbind(-1))
        ]
        return torch.cat(columns, dim=-1)

    @property
    def group_name(self) -> str:
        """SE(2), E(3), …"""
        return f"{self.group}({self.place.dim})"

    @property
    def place(self) -> Space:
        """The space as an object."""
        return get_space(self.space)


def representative(attribute_set: AttributeSet, attributes: Float64[Tensor, "*batch n"]) -> Pair:
    r"""A canonical pair rebuilt from the numbers alone: receiver at 0, looking along the last axis (in 2D the first).

    For a complete set it is the only one up to a motion. An incomplete set leaves a choice: the triple puts o_s into
    the half-plane of r, the cosine takes Δθ ≥ 0. Pairs closer than about 1e-7 to a plane or a line come back flat if
    only Gram numbers are given, as a square root halves the digits there.

    Raises: ValueError if the numbers belong to no pair (a cosine beyond ±1, a negative length, …).
    """
    if attributes.shape[-1:] != (len(attribute_set.labels),):
        raise ValueError(
            f"attributes must end in an axis of {len(attribute_set.labels)} ({', '.join(attribute_set.labels)}) for "
            f"{attribute_set.name!r}; got shape {list(attributes.shape)}."
        )
    if attributes.dtype != torch.float64 or not bool(torch.isfinite(attributes).all()):
        raise ValueError(f"attributes must be finite float64; got {attributes.dtype}, or NaN or infinity in it.")
    return attribute_set.rebuild(attributes)


# ---------------------------------------------------------------------------------------------- numbers to pairs
def _root(square: Tensor, whole: Tensor, what: str) -> Tensor:
    """√square, 0 where it is rounding of `whole`; refuses what is clearly negative."""
    bound = whole.detach().abs().clamp(min=1e-300)
    if bool((square < -1e-9 * bound).any()):
        raise ValueError(
            f"attributes belong to no pair: {what} would be {float(square.min()):.3g}, below 0. "
            "Check their order and units."
        )
    return torch.where(square > _ROUNDING * bound, square, 0.0).sqrt()


def _zeros(like: Tensor, d: int) -> Tensor:
    return torch.zeros(*like.shape[:-1], d, dtype=torch.float64)


def _axis(like: Tensor, d: int, i: int) -> Tensor:
    axis = _zeros(like, d)
    axis[..., i] = 1.0
    return axis


def _refuse_negative(length: Tensor, what: str) -> None:
    if bool((length < 0).any()):
        raise ValueError(
            f"attributes belong to no pair: {what} is a length and must be ≥ 0; got {float(length.min()):.3g}."
        )


def _from_length(d: int) -> Callable[[Tensor], Pair]:
    def rebuild(a: Tensor) -> Pair:
        _refuse_negative(a, "|r|")
        return Pair.make(f"r{d}", _zeros(a, d), a * _axis(a, d, 0))

    return rebuild


def _unit_at(cosine: Tensor) -> Tensor:
    """(sin β, 0, cos β)."""
    sine = _root(1 - cosine.square(), torch.ones_like(cosine), "1 − (o_t·o_s)²")
    return torch.stack((sine, torch.zeros_like(sine), cosine.clamp(-1.0, 1.0)), dim=-1)


def _from_r2s1(a: Tensor) -> Pair:
    ori_s = torch.stack((a[..., 2].cos(), a[..., 2].sin()), dim=-1)
    return Pair.make("r2s1", _zeros(a, 2), a[..., :2], _axis(a, 2, 0), ori_s)


def _from_r2s1_cosine(a: Tensor) -> Pair:
    ori_s = _unit_at(a[..., 2])[..., [2, 0]]  # Δθ ≥ 0; −Δθ has the same cosine
    return Pair.make("r2s1", _zeros(a, 2), a[..., :2], _axis(a, 2, 0), ori_s)


def _from_triple(a: Tensor) -> Pair:
    _refuse_negative(a[..., 1], "|r_⊥|")
    r = torch.stack((a[..., 1], torch.zeros_like(a[..., 1]), a[..., 0]), dim=-1)
    return Pair.make("r3s2", _zeros(a, 3), r, _axis(a, 3, 2), _unit_at(a[..., 2]))


def _from_separable(a: Tensor) -> Pair:
    swapped = _from_triple(a)
    return Pair.make("r3s2", swapped.pos_t, swapped.pos_s, swapped.ori_s, swapped.ori_t)


def _from_gram(a: Tensor, determinant: Tensor | None = None) -> Pair:
    """o_t = e_z, o_s = (sin β, 0, cos β), r = (ρ cos φ, ρ sin φ, z); the numbers give ρ sin β (cos φ, sin φ) and so φ.

    As ρ is read from |r|² alone, r keeps its length even where sin β is small and φ is lost in rounding.
    """
    along_t, along_s, cosine, squared = a[..., :4].unbind(-1)
    ori_s = _unit_at(cosine)
    across = squared - along_t.square()
    radius = _root(across, squared, "|r|² − (r·o_t)²")
    toward = along_s - along_t * cosine  # ρ sin β cos φ
    gram = ori_s[..., 0].square() * across - toward.square()
    side = _root(gram, squared, "the Gram determinant")  # |det[r, o_t, o_s]| = ρ sin β |sin φ|
    if determinant is not None:
        if bool(((determinant.square() - gram).abs() > 1e-6 * squared).any()):
            raise ValueError("attributes belong to no pair: det² must be the Gram determinant of r, o_t, o_s.")
        side = determinant
    phi = torch.atan2(side, toward)
    r = torch.stack((radius * phi.cos(), radius * phi.sin(), along_t), dim=-1)
    return Pair.make("r3s2", _zeros(a, 3), r, _axis(a, 3, 2), ori_s)


def _from_se2(a: Tensor) -> Pair:
    eye = torch.eye(2, dtype=torch.float64)
    return Pair.make("se2", _zeros(a, 2), a[..., :2], eye, rotation_2d(a[..., 2]))


def _from_se3(a: Tensor) -> Pair:
    eye = torch.eye(3, dtype=torch.float64)
    return Pair.make("se3", _zeros(a, 3), a[..., :3], eye, a[..., 3:].unflatten(-1, (3, 3)))


def _from_spatial(a: Tensor) -> Pair:
    pair = _from_triple(torch.cat((a, torch.ones_like(a[..., :1])), dim=-1))  # o_t·o_s = 1
    return Pair.make("r3s2_spatial", pair.pos_t, pair.pos_s, pair.ori_t, pair.ori_s)


def _from_spherical(a: Tensor) -> Pair:
    return Pair.make("r3s2_spherical", _zeros(a, 3), _zeros(a, 3), _axis(a, 3, 2), _unit_at(a[..., 0]))


# ------------------------------------------------------------------------------------------------------- the sets
def _on_orientations(function: Callable[..., Tensor]) -> Callable[[Pair], Tensor]:
    return lambda pair: function(pair.r, pair.ori_t, pair.ori_s)


def _separable(pair: Pair) -> Tensor:
    """What a product k(r·o_s, |r_⊥|) κ(o_s·o_t) sees: a spatial step with o_s, then a turn to o_t."""
    turn = inv.orientation_invariants(pair.ori_t, pair.ori_s)
    return torch.cat((inv.spatial_invariants(pair.r, pair.ori_s), turn), dim=-1)


_PLANE = ("r·o_t", "r·o_t^⊥")
_GRAM = ("r·o_t", "r·o_s", "o_t·o_s", "|r|²")
_MATRIX = tuple(f"(R_tᵀR_s)_{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3))

ATTRIBUTE_SETS = {
    s.name: s
    for s in (
        AttributeSet("r2", "r2", "SE", ("|r|",), lambda p: inv.invariants_r2(p.r), _from_length(2), True),
        AttributeSet("r3", "r3", "SE", ("|r|",), lambda p: inv.invariants_r3(p.r), _from_length(3), True),
        AttributeSet(
            "r2s1", "r2s1", "SE", (*_PLANE, "θ_s − θ_t"), _on_orientations(inv.invariants_r2s1), _from_r2s1, True, (2,)
        ),
        AttributeSet(
            "r2s1_cosine", "r2s1", "SE", (*_PLANE, "o_t·o_s"), _on_orientations(inv.invariants_r2s1_cosine),
            _from_r2s1_cosine, False,
        ),
        # arXiv 2310.02970 calls the triple bijective for SE(3); it is too small even for E(3).
        AttributeSet(
            "r3s2_triple", "r3s2", "E", ("r·o_t", "|r_⊥|", "o_t·o_s"), _on_orientations(inv.invariants_r3s2_triple),
            _from_triple, False,
        ),
        AttributeSet("r3s2_separable", "r3s2", "E", ("r·o_s", "|r_⊥|", "o_t·o_s"), _separable, _from_separable, False),
        AttributeSet("r3s2_e3", "r3s2", "E", _GRAM, _on_orientations(inv.invariants_r3s2_e3), _from_gram, True),
        AttributeSet(
            "r3s2_se3", "r3s2", "SE", (*_GRAM, "det[r, o_t, o_s]"), _on_orientations(inv.invariants_r3s2_se3),
            lambda a: _from_gram(a, a[..., 4]), True,
        ),
        AttributeSet(
            "se2", "se2", "SE", ("(R_tᵀr)_1", "(R_tᵀr)_2", "θ_s − θ_t"),
            lambda p: inv.invariants_se2(p.r, p.frame_t, p.frame_s), _from_se2, True, (2,),
        ),
        AttributeSet(
            "se3", "se3", "SE", ("(R_tᵀr)_1", "(R_tᵀr)_2", "(R_tᵀr)_3", *_MATRIX),
            lambda p: inv.invariants_se3(p.r, p.frame_t, p.frame_s), _from_se3, True,
        ),
        AttributeSet(
            "spatial_step", "r3s2_spatial", "SE", ("r·o", "|r_⊥|"), lambda p: inv.spatial_invariants(p.r, p.ori_t),
            _from_spatial, True,
        ),
        AttributeSet(
            "spherical_step", "r3s2_spherical", "SE", ("o_t·o_s",),
            lambda p: inv.orientation_invariants(p.ori_t, p.ori_s), _from_spherical, True,
        ),
    )
}  # fmt: skip


def get_set(name: str) -> AttributeSet:
    """Look a set up by its name. Raises ValueError on an unknown one."""
    if name not in ATTRIBUTE_SETS:
        raise ValueError(f"attribute_set must be one of {', '.join(ATTRIBUTE_SETS)}; got {name!r}.")
    return ATTRIBUTE_SETS[name]
