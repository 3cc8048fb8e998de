"""One network asked about a molecule before and after a motion: which claim is made, and does it hold (notebook 07)?"""

from collections.abc import Callable
from functools import cached_property, lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from ponita_edu.analysis.molecule_networks import KINDS, as_graphs, energy_and_forces, trained, untrained
from ponita_edu.geometry.grids import Grid
from ponita_edu.molecules import Molecule

Answer = tuple[float, Float[Tensor, "atoms 3"]]


class MoleculeNetwork:
    """(positions [atoms, 3], motion of the grid [3, 3]) -> one number for the molecule, one vector for each atom.

    The answer about the molecule as it was given, grid in place, is worked out once. float64 throughout.

    Args:
        kind: one of ``molecule_networks.KINDS``.
        trained: take the trained weights that come with the package; they know aspirin only.
        grid: directions of a network that has them; None for one that has none.

    Raises:
        ValueError: on an unknown kind, a grid where there can be none, or missing weights.
    """

    def __init__(self, molecule: Molecule, kind: str, trained_weights: bool = False, grid: Grid | None = None):
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, but is {kind!r}.")
        self.molecule, self.kind, self.grid = molecule, kind, grid
        self.graphs = as_graphs(molecule)  # a motion changes no distance, so the edges stay
        model = trained(kind) if trained_weights else untrained(kind, self.graphs)
        if model is None:
            raise ValueError("the trained weights are missing. Make them with "
                             "`python -m ponita_edu.analysis.molecule_networks`, or use untrained networks.")
        self.model = model.eval().requires_grad_(False)
        self.has_grid = self.model.grid is not None
        if self.has_grid != (grid is not None):
            raise ValueError(f"grid must {'be given' if self.has_grid else 'be None'} for a network of kind {kind!r}.")

    def __call__(self, positions: Float[Tensor, "atoms 3"], grid_motion: Float[Tensor, "3 3"]) -> Answer:
        still = torch.equal(grid_motion, torch.eye(3, dtype=grid_motion.dtype))
        if still and positions is self.molecule.positions:
            return self.before
        return self._answer(positions, grid_motion, still)

    @cached_property
    def before(self) -> Answer:
        """About the molecule as it was given."""
        return self._answer(self.molecule.positions, torch.eye(3), still=True)

    def _answer(self, positions: Tensor, grid_motion: Tensor, still: bool) -> Answer:
        if self.has_grid:
            self.model.set_grid(self.grid if still else self.grid.rotated(grid_motion))
        energy, forces = energy_and_forces(self.model, self.graphs._replace(pos=positions))
        return float(energy.detach()), forces.detach()


# Networks are made once for each choice; a grid or molecule is known by its identity, so pass the same object again.
network_for: Callable[..., MoleculeNetwork] = lru_cache(maxsize=128)(MoleculeNetwork)


def permutes(grid: Grid, motion: Float[Tensor, "3 3"]) -> bool:
    """Whether an orthogonal matrix maps the grid on itself (to 1e-9), weights included."""
    distance, index = torch.cdist(grid.points @ motion.T, grid.points,
                                  compute_mode="donot_use_mm_for_euclid_dist").min(1)
    return bool((distance < 1e-9).all() and (grid.weights[index] - grid.weights).abs().max() < 1e-12)


def nearest_symmetry(grid: Grid, motion: Float[Tensor, "3 3"]) -> Float[Tensor, "3 3"] | None:
    """The symmetry S of the grid that is nearest to an orthogonal matrix R: the one with the largest tr(SᵀR).

    For a reflection, S is a reflection too; None if no reflection maps the grid on itself.
    """
    own = reflections(grid) if torch.linalg.det(motion) < 0 else grid.symmetries()[0]
    return own[torch.einsum("kij,ij->k", own, motion).argmax()] if len(own) else None


@lru_cache(maxsize=256)
def reflections(grid: Grid) -> Float[Tensor, "k 3 3"]:
    """All orthogonal matrices of determinant −1 that map the grid on itself, weights included; there may be none.

    Such a matrix is −Q with a rotation Q that swaps the grid and its antipodes, so Q is among the symmetries of both
    together. A tetrahedron has 12 although it does not hold its own antipodes.
    """
    new = torch.cdist(-grid.points, grid.points, compute_mode="donot_use_mm_for_euclid_dist").amin(1) > 1e-9
    both = Grid.from_points(torch.cat((grid.points, -grid.points[new])))
    found = -both.symmetries()[0]
    return found[[permutes(grid, matrix) for matrix in found]]


def claim(network: MoleculeNetwork, motion: Float[Tensor, "3 3"], move_grid: bool) -> tuple[str, str]:
    """What is claimed of a network under a motion: ``exact``, ``approximate`` or ``none``, and why."""
    if network.kind == "full, signed" and torch.linalg.det(motion) < 0:
        return "none", "this kernel tells left from right, so a mirror image is another molecule"
    if not network.has_grid:
        return "exact", "this network has no grid"
    if move_grid:
        return "exact", "the grid moves along"
    if permutes(network.grid, motion):
        return "exact", "this motion maps the grid on itself"
    return "approximate", "the grid stays, and this motion is none of its own"
