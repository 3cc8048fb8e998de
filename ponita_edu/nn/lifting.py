"""Scalars and vectors as functions on the sphere, and back (notebook 04)."""

import torch
from jaxtyping import Float
from torch import Tensor


def scalar_to_sphere(scalar: Float[Tensor, "nodes channels"], ori: Float[Tensor, "N dim"]
                     ) -> Float[Tensor, "nodes N channels"]:
    """A scalar becomes a constant signal: f(o) = s."""
    return scalar[:, None, :].expand(-1, ori.shape[0], -1)


def vector_to_sphere(vector: Float[Tensor, "nodes channels dim"], ori: Float[Tensor, "N dim"]
                     ) -> Float[Tensor, "nodes N channels"]:
    """A vector becomes its component along each orientation: f(o) = v . o."""
    return torch.einsum("ncd,od->noc", vector, ori)


def sphere_to_scalar(signal: Float[Tensor, "nodes N channels"], weights: Float[Tensor, " N"]
                     ) -> Float[Tensor, "nodes channels"]:
    """The mean over the sphere: s = sum_o w_o f(o), with weights that sum to 1."""
    return torch.einsum("noc,o->nc", signal, weights)


def sphere_to_vector(
    signal: Float[Tensor, "nodes N channels"],
    ori: Float[Tensor, "N dim"],
    weights: Float[Tensor, " N"],
    centred: bool = False,
    exact: bool = False,
) -> Float[Tensor, "nodes channels dim"]:
    r"""The first moment over the sphere: v = sum_o w_o f(o) o.

    Reading out a lifted vector gives M v with the frame operator M = sum_o w_o o o^T, which is v/d on a good grid.

    Args:
        signal: f(o), a number per node, orientation and channel.
        ori, weights: the grid, weights summing to 1.
        centred: subtract the mean of f first, so that a constant signal does not leak into the vector on a grid
            whose own mean is not 0.
        exact: multiply by the inverse of the (centred) frame operator, so that a lifted vector comes back unharmed.

    Source: arXiv 2310.02970, section 3; the two corrections are derived in notebook 04.
    """
    if centred:
        ori = ori - torch.einsum("o,od->d", weights, ori)  # the same as centring the signal, and cheaper
    vector = torch.einsum("noc,o,od->ncd", signal, weights, ori)
    if exact:
        frame = torch.einsum("o,od,oe->de", weights, ori, ori)
        vector = torch.linalg.solve(frame, vector.transpose(1, 2)).transpose(1, 2)
    return vector
