"""Diffusion of molecules: what the two parametrisations (``tasks.edm``, ``tasks.karras``) share (notebook 12).

A state z [atoms, 3 + F] holds for each atom of each molecule its position (Å) and F features. All positions lie in the
subspace in which every molecule has its centre of mass (all masses equal) in the origin: data, noise and the networks'
outputs are projected onto it. There a density can be invariant to rotations; one that is invariant to translations
does not exist on the whole space. A molecule of n atoms has 3 (n - 1) position coordinates.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ponita_edu.data.graphs import Graphs

ELEMENTS = (1, 6, 7, 8, 9)  # H, C, N, O, F: the classes, in this order
TYPE_FACTOR = 4.0  # one-hot types are divided by it, so that places are settled before elements


State = Float[Tensor, "atoms channels"]


class Layout:
    """Which atoms make up which molecule; all atoms of a molecule are joined.

    Args:
        graphs: a batch whose edges and numbers of graphs count; its positions and features do not.
    """

    def __init__(self, graphs: Graphs):
        self.graphs = graphs
        self.batch: Int[Tensor, " atoms"] = graphs.batch

    @classmethod
    def of_sizes(cls, sizes: Int[Tensor, " molecules"], like: Tensor) -> "Layout":
        """Molecules with these numbers of atoms, on the device and in the dtype of ``like``.

        Raises:
            ValueError: if there is no molecule, or one without atoms.
        """
        if sizes.dim() != 1 or sizes.numel() == 0 or sizes.is_floating_point() or int(sizes.min()) < 1:
            raise ValueError(f"sizes must be whole numbers of atoms, each at least 1, but are {sizes.tolist()!s:.80}.")
        batch = torch.arange(len(sizes)).repeat_interleave(sizes).to(like.device)
        nothing = like.new_zeros(len(batch), 3)
        return cls(Graphs(nothing, nothing[:, :0], batch=batch, num_graphs=len(sizes)))

    @cached_property
    def sizes(self) -> Int[Tensor, " molecules"]:
        """Number of atoms of each molecule."""
        return torch.bincount(self.batch, minlength=self.graphs.num_graphs)

    def total(self, values: Float[Tensor, "atoms columns"]) -> Float[Tensor, " molecules"]:
        """Sum over the atoms of each molecule and all columns."""
        return values.new_zeros(self.graphs.num_graphs).index_add(0, self.batch, values.sum(1))

    def centred(self, z: State) -> State:
        """z with the mean position of each molecule moved to the origin, features as they are."""
        pos = z[:, :3]
        mean = pos.new_zeros(self.graphs.num_graphs, 3).index_add(0, self.batch, pos) / self.sizes[:, None]
        return torch.cat((pos - mean[self.batch], z[:, 3:]), dim=1)

    def noise(self, features: int, random: torch.Generator, like: Tensor) -> State:
        """Standard normal noise, that of the positions in their subspace; drawn on the CPU, whatever the device."""
        drawn = torch.randn(len(self.batch), 3 + features, generator=random, dtype=like.dtype)
        return self.centred(drawn.to(like.device))

    def per_atom(self, values: Float[Tensor, " molecules"], like: Tensor) -> Float[Tensor, "atoms 1"]:
        """A number of each molecule as a column with one row per atom."""
        return values.to(like)[self.batch, None]


Denoise = Callable[[Layout, Tensor, Tensor], Tensor]
"""(layout, scaled state [atoms, 3 + F], noise level [molecules]) -> network output [atoms, 3 + F], centred."""


class Step(NamedTuple):
    """A state on the way from noise to molecules, and what the network takes the end of the way to be."""

    state: State
    guess: State


class Diffusion(ABC):
    """Noise is added to a molecule by a formula, and taken away step by step by a network."""

    features: int  # F
    steps: int  # of the sampler, unless told otherwise

    @abstractmethod
    def encode(self, layout: Layout, pos: Float[Tensor, "atoms 3"], types: Int[Tensor, " atoms"]
               ) -> State:
        """Positions (Å) and types (numbers in ``ELEMENTS``) as a state."""

    @abstractmethod
    def loss(self, denoise: Denoise, layout: Layout, data: State, random: torch.Generator
             ) -> Float[Tensor, " molecules"]:
        """What training makes small, for each molecule, at random noise levels."""

    @abstractmethod
    def path(self, denoise: Denoise, layout: Layout, noise: Callable[[], Tensor], steps: int | None = None
             ) -> Iterator[Step]:
        """The states from pure noise to the sample, which is the last one.

        Args:
            noise: each call gives new standard normal noise [atoms, 3 + F], centred. It is the only randomness, so
                noise turned by a rotation, and a network turned along, give the same path, turned.
            steps: fewer than ``self.steps`` are faster and worse.
        """

    def types(self, z: State) -> Int[Tensor, " atoms"]:
        """The most likely type of each atom of a sample."""
        return z[:, 3:3 + len(ELEMENTS)].argmax(1)


def one_hot(types: Int[Tensor, " atoms"], like: Tensor) -> Float[Tensor, "atoms elements"]:
    """The types as a state holds them."""
    return torch.nn.functional.one_hot(types, len(ELEMENTS)).to(like) / TYPE_FACTOR
