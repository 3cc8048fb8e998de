r"""Distances, forces and energies of charged particles of unit mass (notebook 09); no unit anywhere.

Plain formulas, a few lines each. The simulator computes the same forces another way, and tests compare the two.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def pair_distances(loc: Float[ndarray, "*batch particles dim"]) -> Float[ndarray, "*batch pairs"]:
    """|x_i − x_j| of the pairs i < j, in the order of ``np.triu_indices``."""
    i, j = np.triu_indices(loc.shape[-2], 1)
    return np.sqrt(((loc[..., i, :] - loc[..., j, :]) ** 2).sum(axis=-1))


def forces(
    charges: Float[ndarray, "*#batch particles"], loc: Float[ndarray, "*batch particles dim"], max_force: float = 100.0
) -> Float[ndarray, "*batch particles dim"]:
    """F_i = Σ_{j≠i} q_i q_j (x_i − x_j)/|x_i − x_j|³, each component clipped to [−max_force, max_force].

    The clip depends on the axes: it does not commute with rotations. ``max_force=np.inf`` leaves Coulomb's law.
    """
    r = loc[..., :, None, :] - loc[..., None, :, :]
    cubed = (r**2).sum(axis=-1) ** 1.5 + np.diag(np.full(loc.shape[-2], np.inf))  # no force on itself
    strength = charges[..., :, None] * charges[..., None, :] / cubed
    return np.clip((strength[..., None] * r).sum(axis=-2), -max_force, max_force)


def kinetic_energy(vel: Float[ndarray, "*batch particles dim"]) -> Float[ndarray, "*batch"]:
    """½ Σ_i |v_i|²."""
    return 0.5 * (vel**2).sum(axis=(-2, -1))


def potential_energy(
    charges: Float[ndarray, "*#batch particles"], loc: Float[ndarray, "*batch particles dim"]
) -> Float[ndarray, "*batch"]:
    """Σ_{i<j} q_i q_j / |x_i − x_j|."""
    i, j = np.triu_indices(loc.shape[-2], 1)
    return (charges[..., i] * charges[..., j] / pair_distances(loc)).sum(axis=-1)
