"""From a network to a force field: an energy for each molecule, and forces that are its exact negative gradient."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int
from numpy import ndarray
from torch import Tensor, nn

from ponita_edu.data.edges import periodic_pairs, radius_edges
from ponita_edu.data.graphs import Graphs


def shift_and_scale(energy: Float64[Tensor, " frames"], forces: Float64[Tensor, "frames atoms 3"]
                    ) -> tuple[float, float]:
    """The mean energy and the root mean square force component."""
    scale = float(forces.square().mean().sqrt())
    if not scale > 0:
        raise ValueError("forces must not all be 0, since their size is the unit of the network. Check the data.")
    return float(energy.mean()), scale


def one_hot(numbers: Int[Tensor, " atoms"], elements: Int[Tensor, " elements"]) -> Bool[Tensor, "atoms elements"]:
    """A column for each element.

    Raises:
        ValueError: if one has no column.
    """
    same = numbers[:, None] == elements
    if not bool(same.any(1).all()):
        missing = sorted(set(numbers.tolist()) - set(elements.tolist()))
        raise ValueError(f"the molecule has elements {missing} (atomic numbers), for which the network has no column "
                         f"among {elements.tolist()}. Train one whose model.elements lists them.")
    return same


def molecules(pos: Float[Tensor, "nodes 3"], x: Float[Tensor, "nodes elements"], batch: Int[Tensor, " nodes"],
              cutoff: float | None, cell: Float[Tensor, "graphs 3 3"] | None = None,
              pbc: Bool[Tensor, "*#graphs #dim"] | bool = True) -> Graphs:
    """A batch of molecules, atoms joined up to the cutoff (Å), or all of them if it is None; self loops always.

    With a cell (lattice vectors as rows, Å) also images of atoms up to the cutoff, which must be given then.
    """
    if cell is not None:
        if cutoff is None:
            raise ValueError("cutoff must be a distance if there is a periodic cell, since images have no end, but is "
                             "None. Train a force field with model.cutoff, or set pbc to False.")
        none = torch.empty((2, 0), dtype=torch.long, device=pos.device)
        open_ = Graphs(pos, x, none, batch, cell=cell, shift=none.new_empty(0, 3))
        return open_.joined_by(periodic_pairs(pos, batch, cutoff, cell, pbc))
    edges = None if cutoff is None else radius_edges(pos, batch, cutoff)
    return Graphs(pos, x, edge_index=edges, batch=batch)


def check_derivatives(name: str, graphs: Graphs) -> None:
    """Raise a ValueError inside ``torch.inference_mode``, or on a batch that was made there."""
    if torch.is_inference_mode_enabled() or graphs.pos.is_inference():
        raise ValueError(f"{name} are derivatives, which torch.inference_mode rules out. Use torch.no_grad, which "
                         "they allow, and make the batch outside of inference_mode.")


class ForceField(nn.Module):
    r"""Energy and forces of molecules, with a network that gives one scalar for each graph.

        E = scale * sum over atoms of e_i + shift,     F_j = -dE/dx_j

    Energy and force share ``scale`` (eV/Å; the network's own energy is in Å), so that F stays the gradient of E: the
    field is conservative. It is as invariant as its network: exactly for point clouds, approximately for a bundle
    with a fixed grid. Shift and scale are kept in float64 whatever the network computes in.

    Args:
        network: gives a ``Prediction`` whose ``scalar`` is [graphs, 1]; its input scalars are the elements, one-hot.
        elements: atomic numbers, one column each.
        cutoff: atoms up to this distance (Å) are neighbours; None joins all atoms of a molecule. The network should
            have the same radius for its window, or energies jump at the cutoff.

    Raises:
        ValueError: on elements that are none or repeat, and an element that has no column or was not trained on.

    Source: arXiv 2310.02970 (rMD17); the scale that both share is the root mean square of the training forces.
    """

    def __init__(self, network: nn.Module, elements: Sequence[int] | ndarray, cutoff: float | None = None):
        super().__init__()
        elements = [int(z) for z in elements]
        if not elements or len(set(elements)) < len(elements) or min(elements) < 1:
            raise ValueError(f"elements must be distinct atomic numbers, but are {elements}.")
        self.network, self.cutoff = network, cutoff
        self.register_buffer("elements", torch.tensor(elements))
        self.register_buffer("trained", torch.zeros(len(elements), dtype=torch.bool))
        self.register_buffer("shift", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def _apply(self, fn, recurse: bool = True):
        exact = self.shift, self.scale
        super()._apply(fn, recurse)
        self.shift, self.scale = (a.to(self.elements.device) for a in exact)
        return self

    @torch.no_grad()
    def normalise(self, shift: float, scale: float, numbers: Int[Tensor, " atoms"]) -> None:
        """Take over shift (eV), scale (eV/Å) and the elements of the training data."""
        self.shift.fill_(shift)
        self.scale.fill_(scale)
        self.trained.copy_(self.one_hot(numbers).any(0))

    def one_hot(self, numbers: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms elements"]:
        """A column for each element."""
        return one_hot(numbers.to(self.elements.device), self.elements).to(next(self.parameters()).dtype)

    def check_trained(self, numbers: Int[Tensor, " atoms"]) -> None:
        """Raise a ValueError if an element was not in the training data."""
        known = self.elements[self.trained].tolist()
        new = sorted(set(numbers.tolist()) - set(known))
        if new:
            raise ValueError(f"the molecule has elements {new} (atomic numbers), but the network was trained on "
                             f"{known} only. Use molecules of the same elements, or train anew.")

    def calibrate(self, graphs: Graphs) -> None:
        """See ``Ponita.calibrate``; other networks need none."""
        if hasattr(self.network, "calibrate"):
            self.network.calibrate(graphs)

    def forward(self, graphs: Graphs, create_graph: bool = False
                ) -> tuple[Float[Tensor, " graphs"], Float[Tensor, "nodes 3"]]:
        """(E - shift) / scale in Å and F / scale without unit, in the precision of the network; also under no_grad.

        Args:
            create_graph: keep what is needed to differentiate the forces, for training or second derivatives.

        Raises:
            ValueError: inside ``torch.inference_mode``, which rules out derivatives.
        """
        check_derivatives("forces", graphs)
        with torch.enable_grad(), torch.autocast(graphs.pos.device.type, enabled=False):
            if not (create_graph and graphs.pos.requires_grad):  # else the caller differentiates by its own positions
                graphs = graphs.requires_grad_()
            energy = self.network(graphs).scalar[:, 0]
            forces = -torch.autograd.grad(energy.sum(), graphs.pos, create_graph=create_graph)[0]
        return (energy, forces) if create_graph else (energy.detach(), forces.detach())

    def stress(self, graphs: Graphs) -> Float64[Tensor, "graphs 3 3"]:
        r"""How the energy grows with a strain of the cell and all in it, in eV/Å³.

            sigma = 1/V dE/d epsilon,   x -> (1 + epsilon) x for atoms and lattice vectors,   at epsilon = 0

        Symmetric for an invariant network; for a bundle with a fixed grid up to the grid's error, so it is made so.

        In the precision of the network, also under no_grad.

        Raises:
            ValueError: without a cell of positive volume, and inside ``torch.inference_mode``.
        """
        check_derivatives("stresses", graphs)
        volume = None if graphs.cell is None else torch.linalg.det(graphs.cell.double()).abs()
        if volume is None or not bool((volume > 0).all()):
            raise ValueError("stress needs a cell of positive volume in each graph. Give all three lattice vectors.")
        with torch.enable_grad(), torch.autocast(graphs.pos.device.type, enabled=False):
            strain = graphs.pos.new_zeros(graphs.num_graphs, 3, 3).requires_grad_()
            moved = graphs.pos + torch.einsum("nij,nj->ni", strain[graphs.batch], graphs.pos)
            cell = graphs.cell + graphs.cell @ strain.mT
            energy = self.network(graphs._replace(pos=moved, cell=cell)).scalar.sum()
            by_strain = torch.autograd.grad(energy, strain)[0].double() * self.scale
        return (by_strain + by_strain.mT) / (2 * volume[:, None, None])

    def energy_and_forces(self, graphs: Graphs) -> tuple[Float64[Tensor, " graphs"], Float64[Tensor, "nodes 3"]]:
        """Energies in eV and forces in eV/Å, in float64 (computed in the network's precision, then scaled)."""
        energy, forces = self(graphs)
        return energy.double() * self.scale + self.shift, forces.double() * self.scale
