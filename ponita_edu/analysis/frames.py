"""The same network on R³×SO(3): a frame, not just an orientation, at every point (notebook 05)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import make_grid
from ponita_edu.geometry.groups import polyhedral_rotations
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.conv import Pairs, SeparableConv
from ponita_edu.nn.kernels import kernel_basis
from ponita_edu.nn.ponita import Block, Ponita, Prediction
from ponita_edu.nn.seeds import seeded


def icosahedral_frames() -> Float[Tensor, "60 3 3"]:
    """60 frames R: their third columns are the icosahedron's 12 vertices, each with 5 evenly spaced in-plane turns.

    They are a turned copy of the rotation group of the icosahedron, which permutes them: a network on them is exactly
    equivariant to those 60 rotations.
    """
    axis = make_grid("icosahedron").points[0]
    first = torch.linalg.cross(axis, torch.tensor([1.0, 2.0, 3.0], dtype=axis.dtype))
    first = first / first.norm()
    return polyhedral_rotations("icosahedron") @ torch.stack((first, torch.linalg.cross(axis, first), axis), dim=1)


class FramePonita(nn.Module):
    """A network on features over R³×SO(3), with the blocks of ``Ponita`` and the layer separated in the same way.

    Spatial step: both ends carry the frame R, attributes Rᵀ r (complete for SE(3)). Rotational step: frames R_t and R_s
    at one place, attributes the 9 entries of R_tᵀ R_s. A vector v is lifted to its components Rᵀ v and read out as the
    mean of R y over the frames. Frames sample SO(3); the work grows in proportion to their number in the spatial step,
    and as its square in the rotational one.

    Args:
        config: as for ``Ponita``; space, conv, attributes, radius and attention stay at their defaults.
        frames: rotations [F, 3, 3] that sample SO(3) evenly.
        seed: of the initial weights; None draws from torch's global generator.
    """

    num_parameters = Ponita.num_parameters
    calibrate = Ponita.calibrate

    def __init__(self, config: PonitaConfig, frames: Float[Tensor, "F 3 3"] | None = None, seed: int | None = None):
        super().__init__()
        self.config = c = config
        with seeded(seed):
            self.basis, self.fiber_basis = (
                kernel_basis(attributes, c.hidden, c.basis, c.degree, c.distinct_monomials) for attributes in (3, 9))
            self.embed = nn.Linear(c.scalars_in + 3 * c.vectors_in, c.hidden, bias=False)
            self.blocks = nn.ModuleList(Block(SeparableConv(c.hidden, c.basis), c.hidden, c.widening, c.layer_scale)
                                        for _ in range(c.layers))
            self.readouts = nn.ModuleList(nn.Linear(c.hidden, c.scalars_out + 3 * c.vectors_out)
                                          for _ in range(c.layers if c.readout == "mean" else 1))
        self._exact = icosahedral_frames() if frames is None else frames
        self.register_buffer("frames", self._exact.to(self.embed.weight), persistent=False)

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        self.frames = self._exact.to(self.embed.weight)  # so that .double() does not leave rounded frames behind
        return self

    def forward(self, graphs: Graphs) -> Prediction:
        r = graphs.pos[graphs.source] - graphs.pos[graphs.target]
        turn = torch.einsum("fji,gjk->fgik", self.frames, self.frames).flatten(-2)
        weights = torch.full_like(self.frames[:, 0, 0], 1 / len(self.frames))
        pairs = Pairs(graphs.source, graphs.target, self.basis(torch.einsum("fji,ej->efi", self.frames, r)),
                      self.fiber_basis(turn), weights)
        h, hidden = self.embed(self._lift(graphs)), []
        for block in self.blocks:
            h = block(h, pairs)
            hidden.append(h)
        used = hidden if self.config.readout == "mean" else hidden[-1:]
        return self._project(sum(out(x) for out, x in zip(self.readouts, used, strict=True)) / len(used), graphs)

    def _lift(self, graphs: Graphs) -> Float[Tensor, "nodes F channels"]:
        features = graphs.x[:, None].expand(-1, len(self.frames), -1)
        if graphs.vec is None:
            return features
        return torch.cat((features, torch.einsum("fji,ncj->nfci", self.frames, graphs.vec).flatten(2)), dim=-1)

    def _project(self, signal: Float[Tensor, "nodes F channels"], graphs: Graphs) -> Prediction:
        scalar, parts = signal.split((self.config.scalars_out, 3 * self.config.vectors_out), dim=-1)
        scalar = scalar.mean(1)
        vector = torch.einsum("fij,nfcj->nci", self.frames, parts.unflatten(-1, (-1, 3))) / len(self.frames)
        if self.config.level == "graph":
            scalar, vector = (a.new_zeros(graphs.num_graphs, *a.shape[1:]).index_add(0, graphs.batch, a)
                              for a in (scalar, vector))
        return Prediction(scalar, vector)
