r"""Rigid motions: the groups SE(d) and E(d) and how they act (notebook 01).

SO(d) is in `rotations`, the finite rotation groups in `finite_groups`; both are re-exported here.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ponita_edu.geometry.finite_groups import cyclic_rotations, permuting_rotations, polyhedral_rotations
from ponita_edu.geometry.rotations import (
    axis_angle,
    check_orthogonal,
    random_rotations,
    rotation_2d,
    to_axis_angle,
)

__all__ = [
    "Motion",
    "axis_angle",
    "cyclic_rotations",
    "permuting_rotations",
    "polyhedral_rotations",
    "random_rotations",
    "rotation_2d",
    "to_axis_angle",
]


@dataclass(frozen=True, eq=False)
class Motion:
    r"""Rigid motions x ↦ R x + b, one or a batch: an element of SE(d), or of E(d) if a determinant is −1.

    `g @ h` does h first: (R, b)(R', b') = (R R', R b' + b). Positions are rotated and shifted; orientations and
    vectors (velocities, forces) only rotated. Leading axes of a batch and of what it acts on broadcast.

    Raises: ValueError on a wrong shape or a matrix that is not orthogonal within 1e-5.
    """

    rotation: Float[Tensor, "*batch d d"]
    translation: Float[Tensor, "*batch d"]

    def __post_init__(self) -> None:
        dim = self.rotation.shape[-1] if self.rotation.ndim >= 2 else 0
        check_orthogonal("rotation", self.rotation, dim)
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

    def __getitem__(self, index: int | slice | Tensor | tuple | None) -> "Motion":
        """Pick from a batch as from a tensor: `g[3]` is one motion, `g[:, None]` acts on clouds [clouds, points, d].

        So `for g in Motion.random(5)` goes through the five.
        """
        return Motion(self.rotation[index], self.translation[index])

    def __matmul__(self, other: "Motion") -> "Motion":
        return Motion(self.rotation @ other.rotation, self.on_points(other.translation))

    def inverse(self) -> "Motion":
        """(R, b)⁻¹ = (Rᵀ, −Rᵀ b)."""
        back = self.rotation.mT.contiguous()
        return Motion(back, -_rotate(back, self.translation))

    def on_vectors(self, v: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """R v: free vectors (velocities, forces) are rotated and not shifted. The dtype of v is kept."""
        return self._act("v", v, shift=False)

    def on_orientations(self, o: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """R o."""
        return self._act("o", o, shift=False)

    def on_points(self, p: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """R p + b."""
        return self._act("p", p, shift=True)

    def _act(self, name: str, x: Tensor, shift: bool) -> Tensor:
        if x.ndim < 1 or x.shape[-1] != self.dim:
            raise ValueError(
                f"{name} must have {self.dim} components in its last axis for this motion; got shape {tuple(x.shape)}."
            )
        if not x.is_floating_point():
            raise ValueError(f"{name} must hold real numbers; got dtype {x.dtype}. Use {name}.to(torch.float64).")
        dtype = torch.promote_types(x.dtype, self.rotation.dtype)  # float32 data are moved in float64, then rounded
        moved = _rotate(self.rotation.to(x.device, dtype), x.to(dtype))
        return (moved + self.translation.to(x.device, dtype) if shift else moved).to(x.dtype)


def _rotate(rotation: Tensor, x: Tensor) -> Tensor:
    return x @ rotation.T if rotation.ndim == 2 else (rotation @ x.unsqueeze(-1)).squeeze(-1)
