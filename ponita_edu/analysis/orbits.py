r"""Stabilisers, orbits and dimensions, computed by automatic differentiation (notebook 01).

The orbit of a pair x under G is {g x}. Its dimension is the rank of the derivative of g ↦ g x at the identity; the pair
space has the rank of its own chart; their difference is how many numbers a name of the class needs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ponita_edu.analysis.pairs import SPACES, Pair, get_space, random_pairs
from ponita_edu.geometry.grids import make_grid
from ponita_edu.geometry.groups import Motion, axis_angle

RANK_TOLERANCE = 1e-8  # singular values above this times max(1, largest) count; lengths should be of order 1
_STABILISERS = {(2, 0): "trivial", (2, 1): "SO(2)", (3, 0): "trivial", (3, 1): "SO(2)", (3, 3): "SO(3)"}


def rank(matrix: Float64[Tensor, "*batch rows columns"]) -> Int64[Tensor, " *batch"]:
    """Number of singular values above RANK_TOLERANCE · max(1, largest)."""
    values = torch.linalg.svdvals(matrix)
    if values.shape[-1] == 0:
        return torch.zeros(matrix.shape[:-2], dtype=torch.int64)
    return (values > RANK_TOLERANCE * values[..., :1].clamp(min=1.0)).sum(-1)


def generators(dim: int) -> Float64[Tensor, "k dim dim"]:
    """Skew matrices that generate rotations: 1 in the plane; about x, y, z in space."""
    if dim == 2:
        return torch.tensor([[[0.0, -1.0], [1.0, 0.0]]], dtype=torch.float64)
    x, y, z = torch.eye(3, dtype=torch.float64)
    return torch.stack([torch.outer(b, a) - torch.outer(a, b) for a, b in ((y, z), (z, x), (x, y))])


def shifted(pair: Pair, delta: Float64[Tensor, "*batch k"], exact: bool = False) -> Pair:
    """The pair displaced on its own manifold by δ = (δp_t, δp_s, ω_t, ω_s); frames turn by exp ω (or I + ω).

    A family's condition is kept: for o_s = o_t (p_s = p_t) the sender's ω (δp) is the receiver's.
    """
    space, turns = get_space(pair.space), len(generators(pair.pos_t.shape[-1]))
    step_t, step_s, turn_t, turn_s = delta.split((space.dim, space.dim, turns, turns), dim=-1)
    step_s = step_t if space.family == "p_s = p_t" else step_s
    turn_s = turn_t if space.family == "o_s = o_t" else turn_s
    frames = []
    for frame, turn in ((pair.frame_t, turn_t), (pair.frame_s, turn_s)):
        skew = torch.einsum("...k,kij->...ij", turn, generators(space.dim))
        frames.append(torch.linalg.matrix_exp(skew) @ frame if exact else frame + skew @ frame)
    return Pair(pair.space, pair.pos_t + step_t, pair.pos_s + step_s, *frames)


def derivative(
    function: Callable[[Tensor], Tensor], batch: tuple[int, ...], inputs: int
) -> tuple[Float64[Tensor, "*batch outputs"], Float64[Tensor, "*batch outputs inputs"]]:
    """Value and Jacobian at 0 of a function of [*batch, inputs] that treats every row by itself."""
    zero = torch.zeros(*batch, inputs, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        value = function(zero) + 0.0 * zero.sum()  # linked to `zero` even if the function is constant
        rows = [torch.autograd.grad(value[..., i].sum(), zero, retain_graph=True)[0] for i in range(value.shape[-1])]
    return value.detach(), torch.stack(rows, dim=-2)


def _chart_size(pair: Pair) -> int:
    d = pair.pos_t.shape[-1]
    return 2 * (d + len(generators(d)))


def attribute_jacobian(
    attributes: Callable[[Pair], Tensor], pair: Pair
) -> tuple[Float64[Tensor, "*batch outputs"], Float64[Tensor, "*batch outputs k"]]:
    """Attributes and their derivative along the pair manifold, in the chart of `shifted`."""
    return derivative(lambda delta: attributes(shifted(pair, delta)), pair.pos_t.shape[:-1], _chart_size(pair))


def pair_dimension(pair: Pair) -> Int64[Tensor, " *batch"]:
    """Dimension of the space of pairs: rank of the derivative of the coordinates in the chart."""
    return rank(attribute_jacobian(lambda moved: moved.coordinates, pair)[1])


def orbit_dimension(pair: Pair) -> Int64[Tensor, " *batch"]:
    """Dimension of the orbit of each pair under SE(d): rank of d/dg of g·pair at the identity (E(d) has the same)."""
    d = pair.pos_t.shape[-1]
    basis = generators(d)

    def act(parameters: Tensor) -> Tensor:
        step, turn = parameters.split((d, len(basis)), dim=-1)
        moving = torch.eye(d, dtype=torch.float64) + torch.einsum("...k,kij->...ij", turn, basis)
        positions = [(moving @ p.unsqueeze(-1)).squeeze(-1) + step for p in (pair.pos_t, pair.pos_s)]
        frames = [(moving @ frame).flatten(-2) for frame in (pair.frame_t, pair.frame_s)]
        return torch.cat((*positions, *frames), dim=-1)

    return rank(derivative(act, pair.pos_t.shape[:-1], d + len(basis))[1])


def attribute_rank(attributes: Callable[[Pair], Tensor], pair: Pair) -> Int64[Tensor, " *batch"]:
    """Rank of the attributes' derivative along the pair manifold: how many independent numbers they are, near there."""
    return rank(attribute_jacobian(attributes, pair)[1])


@dataclass(frozen=True, eq=False)
class Stabiliser:
    """Motions that keep one point: rotations about `centre` with `generators` [k, d, d]; for k = 0 the identity."""

    name: str
    centre: Float64[Tensor, " d"]
    generators: Float64[Tensor, "k d d"]

    def motion(self, parameters: Float64[Tensor, "*batch k"]) -> Motion:
        """x ↦ c + exp(Σ s_i K_i)(x − c); with k = 1 the parameter is an angle in radians."""
        if parameters.shape[-1] != len(self.generators):
            raise ValueError(f"parameters must end in an axis of {len(self.generators)}; got {list(parameters.shape)}.")
        skew = torch.einsum("...k,kij->...ij", parameters, self.generators)
        rotation = torch.linalg.matrix_exp(skew)
        return Motion(rotation, self.centre - rotation @ self.centre)


def stabiliser(space: str, position: Tensor, orientation: Tensor | None = None) -> Stabiliser:
    """Stabiliser of a point under SE(d), found as the kernel of the derivative of g ↦ g·point at the identity.

    The orientation is a unit vector [d] in Rⁿ×Sⁿ⁻¹, a rotation [d, d] in SE(n), absent in Rⁿ.
    Raises: ValueError as `Pair.make`.
    """
    point = Pair.make(space, position, position, orientation, orientation)
    d = point.pos_t.shape[-1]
    basis = generators(d)
    # Seen from the point itself only rotations can keep it: find those that keep its vectors.
    moved = torch.stack([(turn @ point.frame_t).flatten() for turn in basis], dim=-1)
    kept = basis
    if moved.numel():
        _, values, vh = torch.linalg.svd(moved)
        full = torch.zeros(len(basis), dtype=torch.float64)
        full[: len(values)] = values
        kept = torch.einsum("nk,kij->nij", vh[full <= RANK_TOLERANCE], basis)
    if len(kept) == 1 and d == 3:  # right-handed about the orientation, not against it
        axis = torch.stack((kept[0, 2, 1], kept[0, 0, 2], kept[0, 1, 0]))
        kept = kept * torch.sign(axis @ point.frame_t[:, 0])
    return Stabiliser(_STABILISERS[d, len(kept)], position, kept)


def orbit(pair: Pair, n: int = 64) -> Pair:
    """n pairs: one receiver, and its sender moved by the receiver's stabiliser.

    In R³×S² the sender runs on a circle about the receiver's axis and its orientation turns with it; in R² the circle
    and in R³ the sphere (Fibonacci points) of radius |r|; with a trivial stabiliser the sender stays (1 pair).
    """
    space = get_space(pair.space)
    receiver = None if space.columns == 0 else pair.ori_t if space.columns == 1 else pair.frame_t
    keeping = stabiliser(pair.space, pair.pos_t, receiver)
    if len(keeping.generators) == 0:
        return pair.expand(1)
    if len(keeping.generators) == 1:
        motion = keeping.motion(2 * torch.pi * torch.arange(n, dtype=torch.float64)[:, None] / n)
    else:
        towards = make_grid("fibonacci", n).points
        start = pair.r / pair.r.norm().clamp(min=1e-300)
        motion = _about(pair.pos_t, _turn_onto(start, towards))
    moved = pair.expand(n).moved(motion)
    return Pair(pair.space, pair.pos_t.expand(n, -1), moved.pos_s, pair.frame_t.expand(n, -1, -1), moved.frame_s)


def _about(centre: Tensor, rotation: Tensor) -> Motion:
    return Motion(rotation, centre - rotation @ centre)


def _turn_onto(start: Tensor, towards: Tensor) -> Tensor:
    """Rotations that take one direction to others: half a turn about the bisector; any axis across if opposite."""
    bisector = start + towards
    across = torch.linalg.cross(start, torch.eye(3, dtype=torch.float64)[start.abs().argmin()])
    opposite = bisector.norm(dim=-1, keepdim=True) < 1e-6
    return axis_angle(
        torch.where(opposite, across, bisector), torch.full((len(towards),), torch.pi, dtype=torch.float64)
    )


def dimension_table() -> list[dict[str, object]]:
    """One row per space: its dimension and stabiliser, those of pairs and of generic orbits, the numbers needed."""
    rows = []
    for key, space in SPACES.items():
        pairs = random_pairs(key, 20, seed=1)
        one = pairs[0]
        receiver = None if space.columns == 0 else one.ori_t if space.columns == 1 else one.frame_t
        pair_dim, orbit_dim = (int(f(pairs).median()) for f in (pair_dimension, orbit_dimension))
        rows.append(
            {
                "space": space.title,
                "group": space.group,
                "dimension": pair_dim // 2,
                "stabiliser": stabiliser(key, one.pos_t, receiver).name,
                "pairs": pair_dim,
                "orbit": orbit_dim,
                "numbers needed": pair_dim - orbit_dim,
            }
        )
    return rows
