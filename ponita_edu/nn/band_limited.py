r"""Kernels and blocks that keep every function on the sphere of bounded degree (notebook 13, ``band_limit=L``).

    spherical kernel    κ(t) = Σ_{l≤L} k_l P_l(t)                                      degree L
    spatial kernel      k(r, o) = Σ_{l≤L} R_l(|r|) |r|^l P_l(r̂·o) / (1 + |r|²)^(l/2)    degree L
    block               h + g W₂ (u (v + γ)),  u, v = W z/|z|,  γ = GELU(mean over o of W z/|z|),  layer scale g

with z the convolution of h and |z|² its mean square over o and channels. As z is of degree L, u v and all h are of
degree 2L, k h of 3L, and κ k h of 4L. A grid that integrates degree 4L exactly then makes no error: the network is
equivariant to rounding for *every* rotation, with the grid where it is. Nonlinear functions are of invariants only, or
products of two functions; GELU of a function on the sphere, as in PONITA's blocks, has all degrees.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.nn.conv import Pairs
from ponita_edu.nn.kernels import RowWise

# points of Lebedev's smallest rule with positive weights that is exact to degree 4L
POINTS = {1: 14, 2: 38, 3: 86, 4: 110}


def legendre(t: Float[Tensor, "*batch"], squared: Float[Tensor, "*batch"], degree: int
             ) -> Float[Tensor, "*batch degrees"]:
    """s^l P_l(t/s) for l = 0 ... ``degree`` with s² given: polynomials in t and s², by the recurrence of P_l."""
    values = [torch.ones_like(t), t]
    for l in range(1, degree):  # noqa: E741
        values.append(((2 * l + 1) * t * values[-1] - l * squared * values[-2]) / (l + 1))
    return torch.stack(values[:degree + 1], dim=-1)


class FiberBasis(nn.Module):
    """P_0 ... P_L of the cosine between two orientations."""

    def __init__(self, degree: int):
        super().__init__()
        self.degree = degree

    def forward(self, cosine: Float[Tensor, "*pairs 1"]) -> Float[Tensor, "*pairs degrees"]:
        return legendre(cosine[..., 0], torch.ones_like(cosine[..., 0]), self.degree)


class SpatialSteps(nn.Module):
    """Functions of |r|, and of the condition if there is one, by a small network; in turn times the polynomial of each
    degree.

    Attributes are r.o and |r_perp|, then |r|^2 if it is given, then the condition. The network gives |r|^2: as a sum of
    squares it would lose a part of its second derivatives where r is parallel to o and |r_perp| has none.
    """

    def __init__(self, hidden: int, basis: int, degree: int, conditions: int = 0):
        super().__init__()
        self.degree, self.conditions = degree, conditions
        self.radial = nn.Sequential(nn.Linear(2 + conditions, hidden), nn.GELU(), nn.Linear(hidden, basis), nn.GELU(),
                                    nn.Linear(basis, basis))

    def forward(self, attributes: Float[Tensor, "*pairs attributes"]) -> Float[Tensor, "*pairs basis"]:
        along, across, more = attributes[..., 0], attributes[..., 1], attributes[..., 2:]
        if more.shape[-1] > self.conditions:
            squared, more = more[..., 0], more[..., 1:]
        else:
            squared = along * along + across * across
        length = torch.where(squared > 0, squared, 1.0).sqrt() * (squared > 0)  # a derivative of 0 at 0
        radial = self.radial(torch.cat((torch.stack((length, squared), -1), more), -1))
        degrees = torch.arange(self.degree + 1, device=along.device)
        angular = legendre(along, squared, self.degree) / (1 + squared[..., None]) ** (degrees / 2)
        return radial * angular[..., torch.arange(radial.shape[-1], device=along.device) % (self.degree + 1)]


def spatial_basis(hidden: int, basis: int, degree: int, conditions: int = 0) -> RowWise:
    """The map from attributes to basis functions that all layers share; see ``SpatialSteps``."""
    return RowWise(SpatialSteps(hidden, basis, degree, conditions))


class BandLimitedBlock(nn.Module):
    """h + g W₂ (u (v + γ)): products of two functions on the sphere, and gates γ from invariants."""

    def __init__(self, conv: nn.Module, channels: int, widening: int, layer_scale: float | None):
        super().__init__()
        self.conv = conv
        self.linear_1 = nn.Linear(channels, widening * channels)
        self.other = nn.Linear(channels, widening * channels)
        self.gate = nn.Linear(channels, widening * channels)
        self.linear_2 = nn.Linear(widening * channels, channels)
        self.layer_scale = None if layer_scale is None else nn.Parameter(torch.full((channels,), layer_scale))

    def forward(self, h: Float[Tensor, "points N channels"], pairs: Pairs) -> Float[Tensor, "points N channels"]:
        z, w = self.conv(h, pairs), pairs.weights[:, None]
        z = z * ((z.square() * w).sum(1).mean(-1) + 1e-5).rsqrt()[:, None, None]
        gate = nn.functional.gelu(self.gate((z * w).sum(1)))[:, None]
        update = self.linear_2(self.linear_1(z) * (self.other(z) + gate))
        return h + (update if self.layer_scale is None else self.layer_scale * update)
