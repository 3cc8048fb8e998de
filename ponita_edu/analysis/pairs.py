r"""Pairs of points in the six spaces, and the motion that maps one pair on another (notebooks 01 and 02).

A point is a position p with k unit vectors fixed to it: none in Rⁿ, one orientation in Rⁿ×Sⁿ⁻¹, the n columns of a
rotation in SE(n). A motion (R, b) maps p to R p + b and a unit vector o to R o.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from ponita_edu.geometry.groups import Motion, random_rotations

GROUPS = ("SE", "E")


@dataclass(frozen=True)
class Space:
    """`dim` of positions, `columns` unit vectors per point; `family` "o_s = o_t" or "p_s = p_t": only such pairs."""

    key: str
    title: str
    dim: int
    columns: int
    family: str = ""

    @property
    def group(self) -> str:
        """The group whose orbits of pairs are the classes."""
        return f"SE({self.dim})"


SPACES = {
    space.key: space
    for space in (
        Space("r2", "R²", 2, 0),
        Space("r3", "R³", 3, 0),
        Space("r2s1", "R²×S¹", 2, 1),
        Space("r3s2", "R³×S²", 3, 1),
        Space("se2", "SE(2)", 2, 2),
        Space("se3", "SE(3)", 3, 3),
    )
}
# The pairs that the two steps of the separable layer form.
FAMILIES = {
    space.key: space
    for space in (
        Space("r3s2_spatial", "R³×S², o_s = o_t", 3, 1, "o_s = o_t"),
        Space("r3s2_spherical", "R³×S², p_s = p_t", 3, 1, "p_s = p_t"),
    )
}


def get_space(key: str) -> Space:
    """Look a space up by its key. Raises ValueError on an unknown one."""
    found = SPACES.get(key) or FAMILIES.get(key)
    if found is None:
        raise ValueError(f"space must be one of {', '.join((*SPACES, *FAMILIES))}; got {key!r}.")
    return found


@dataclass(frozen=True, eq=False)
class Pair:
    r"""A receiver t and a sender s, or a batch of pairs; `Pair.make` builds one from positions and orientations.

    `frame_t`, `frame_s` hold the k unit vectors of an end as columns.
    Raises: ValueError on wrong shapes, another dtype than float64, NaN, or columns that are not orthonormal in 1e-6.
    """

    space: str
    pos_t: Float64[Tensor, "*batch d"]
    pos_s: Float64[Tensor, "*batch d"]
    frame_t: Float64[Tensor, "*batch d k"]
    frame_s: Float64[Tensor, "*batch d k"]

    def __post_init__(self) -> None:
        space = get_space(self.space)
        batch = self.pos_t.shape[:-1]
        shapes = {"pos": (*batch, space.dim), "frame": (*batch, space.dim, space.columns)}
        for name in ("pos_t", "pos_s", "frame_t", "frame_s"):
            x, want = getattr(self, name), shapes[name[:-2]]
            if tuple(x.shape) != want:
                raise ValueError(
                    f"{name} must have shape {list(want)} for a pair in {space.title}; got {list(x.shape)}."
                )
            if x.dtype != torch.float64:
                raise ValueError(f"{name} must be float64; got {x.dtype}. Use {name}.to(torch.float64).")
            if not bool(torch.isfinite(x).all()):
                raise ValueError(f"{name} must be finite; it holds NaN or infinity. Remove those pairs first.")
        for name in ("frame_t", "frame_s"):
            frame = getattr(self, name).detach()
            worst = (frame.mT @ frame - torch.eye(space.columns, dtype=frame.dtype)).abs()
            improper = space.columns == space.dim and bool((torch.linalg.det(frame) < 0).any())
            if (worst.numel() and float(worst.max()) > 1e-6) or improper:
                wanted = "rotations (determinant +1)" if space.columns > 1 else "unit vectors"
                raise ValueError(
                    f"{name} must hold {wanted}; the worst |FᵀF − I| is {float(worst.max()):.2g}. "
                    "Use random_rotations, or torch.nn.functional.normalize."
                )

    @staticmethod
    def make(
        space: str, pos_t: Tensor, pos_s: Tensor, ori_t: Tensor | None = None, ori_s: Tensor | None = None
    ) -> "Pair":
        """Pair from positions [*, d] and orientations: none in Rⁿ, [*, d] in Rⁿ×Sⁿ⁻¹, matrices [*, d, d] in SE(n).

        Leading axes broadcast. Raises: ValueError as `Pair`, and if orientations are missing or not wanted.
        """
        columns, d = get_space(space).columns, get_space(space).dim
        if (ori_t is None) != (columns == 0) or (ori_s is None) != (columns == 0):
            wanted = {0: "no orientations", 1: "a unit vector at each end"}.get(columns, "a rotation at each end")
            raise ValueError(f"ori_t and ori_s: a pair in {get_space(space).title} has {wanted}.")
        frames = [
            pos_t.new_zeros(d, 0) if o is None else o.unsqueeze(-1) if columns == 1 else o for o in (ori_t, ori_s)
        ]
        batch = torch.broadcast_shapes(pos_t.shape[:-1], pos_s.shape[:-1], *(f.shape[:-2] for f in frames))
        pos_t, pos_s = (p.expand(*batch, p.shape[-1]) for p in (pos_t, pos_s))
        frame_t, frame_s = (f.expand(*batch, *f.shape[-2:]) for f in frames)
        return Pair(space, pos_t, pos_s, frame_t, frame_s)

    @property
    def r(self) -> Float64[Tensor, "*batch d"]:
        """p_s − p_t."""
        return self.pos_s - self.pos_t

    @property
    def ori_t(self) -> Float64[Tensor, "*batch d"]:
        """The receiver's orientation (the first column of a frame)."""
        return self.frame_t[..., 0]

    @property
    def ori_s(self) -> Float64[Tensor, "*batch d"]:
        """The sender's orientation."""
        return self.frame_s[..., 0]

    @property
    def vectors(self) -> Float64[Tensor, "*batch d m"]:
        """r and all unit vectors as columns: what is left of the pair when translations are divided out."""
        return torch.cat((self.r.unsqueeze(-1), self.frame_t, self.frame_s), dim=-1)

    @property
    def coordinates(self) -> Float64[Tensor, "*batch c"]:
        """Everything in one row: both positions, all unit vectors."""
        return torch.cat((self.pos_t, self.pos_s, self.frame_t.flatten(-2), self.frame_s.flatten(-2)), dim=-1)

    def __getitem__(self, index) -> "Pair":
        return Pair(self.space, self.pos_t[index], self.pos_s[index], self.frame_t[index], self.frame_s[index])

    def expand(self, *batch: int) -> "Pair":
        """The same pair many times, or broadcast to a larger batch."""
        pos = [p.expand(*batch, p.shape[-1]) for p in (self.pos_t, self.pos_s)]
        return Pair(self.space, *pos, *(f.expand(*batch, *f.shape[-2:]) for f in (self.frame_t, self.frame_s)))

    def moved(self, motion: Motion) -> "Pair":
        """Both ends moved. A reflection of a pair in SE(n) is refused: it maps rotations to non-rotations."""
        pos_t, pos_s = motion.on_points(self.pos_t), motion.on_points(self.pos_s)
        return Pair(self.space, pos_t, pos_s, motion.rotation @ self.frame_t, motion.rotation @ self.frame_s)


def random_pairs(space: str, n: int, seed: int = 0, scale: float = 1.0) -> Pair:
    """n pairs: Gaussian positions of that scale, uniform orientations; a family's condition holds exactly."""
    found, generator = get_space(space), torch.Generator().manual_seed(seed)
    pos_t, pos_s = (scale * torch.randn(n, found.dim, generator=generator, dtype=torch.float64) for _ in range(2))
    frame_t, frame_s = (random_rotations(n, found.dim, generator=generator)[..., : found.columns] for _ in range(2))
    pos_s = pos_t if found.family == "p_s = p_t" else pos_s
    return Pair(space, pos_t, pos_s, frame_t, frame_t if found.family == "o_s = o_t" else frame_s)


def special_pairs(space: str) -> dict[str, Pair]:
    """A generic pair and the degenerate ones, in a tilted position; lengths of order 1."""
    found = get_space(space)
    d = found.dim
    move = Motion.random(1, d, seed=7)[0]
    r = torch.tensor([0.8, 0.5, -0.4], dtype=torch.float64)[:d]
    zero = torch.zeros(d, dtype=torch.float64)
    frame_t, frame_s = random_rotations(2, d, seed=5)

    def pair(r: Tensor, frame_t: Tensor, frame_s: Tensor) -> Pair:
        return Pair(space, zero, r, frame_t[:, : found.columns], frame_s[:, : found.columns]).moved(move)

    if found.family == "o_s = o_t":
        along = 0.9 * frame_t[:, 0]
        cases = {
            "generic": (r, frame_t, frame_t),
            "r = 0": (zero, frame_t, frame_t),
            "r ∥ o": (along, frame_t, frame_t),
        }
    elif found.family == "p_s = p_t":
        cases = {"generic": (zero, frame_t, frame_s), "o_s = o_t": (zero, frame_t, frame_t)}
    elif found.columns == 1:
        cases = _special_orientations(d, r, zero, frame_t, frame_s)
    else:
        cases = {"generic": (r, frame_t, frame_s), "r = 0": (zero, frame_t, frame_s)}
        if found.columns:
            cases |= {"R_s = R_t": (r, frame_t, frame_t), "same point": (zero, frame_t, frame_t)}
    return {name: pair(*parts) for name, parts in cases.items()}


def _special_orientations(d: int, r: Tensor, zero: Tensor, frame_t: Tensor, frame_s: Tensor) -> dict[str, tuple]:
    cases = {
        "generic": (r, frame_t, frame_s),
        "r = 0": (zero, frame_t, frame_s),
        "r ∥ o_t": (0.9 * frame_t[:, 0], frame_t, frame_s),
        "r ∥ o_s": (0.9 * frame_s[:, 0], frame_t, frame_s),
        "o_s = o_t": (r, frame_t, frame_t),
        "all on a line": (0.9 * frame_t[:, 0], frame_t, frame_t),
        "r = 0, o_s = o_t": (zero, frame_t, frame_t),
    }
    if d == 3:
        cases["in a plane"] = (0.7 * frame_t[:, 0] - 0.6 * frame_s[:, 0], frame_t, frame_s)
    return cases
