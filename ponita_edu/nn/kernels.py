"""From invariant attributes to the basis that every kernel is a linear combination of (notebook 05)."""

from itertools import combinations_with_replacement, pairwise, product

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.nn.blocks import in_blocks


class Monomials(nn.Module):
    r"""All monomials of total degree 1 to ``degree`` in the attributes: a_i, a_i a_j, a_i a_j a_k, ...

    Public code keeps a column for each *ordered* tuple (a_1 a_2 and a_2 a_1 both: 14 columns of rank 9 for two
    attributes and degree 3); ``distinct=True`` keeps each monomial once. The functions that a linear layer on top can
    form are the same; what differs is their initial scale and the pace at which they are learnt.

    Note: "degree 3" of the paper's first code is "degree 2" of its minimal version; here it counts what it says.

    Source: arXiv 2310.02970, appendix on the polynomial embedding.
    """

    def __init__(self, dim: int, degree: int, distinct: bool = False):
        super().__init__()
        if dim < 1 or degree < 1:
            raise ValueError(f"dim and degree must be at least 1, but are {dim} and {degree}.")
        tuples = combinations_with_replacement if distinct else product
        blocks = [list(tuples(range(dim), degree)) if distinct else list(tuples(range(dim), repeat=degree))
                  for degree in range(1, degree + 1)]
        self.monomials = [m for block in blocks for m in block]  # tuples of attribute numbers, one per column
        self.dim, self.degree = dim, degree
        for k, (lower, block) in enumerate(pairwise(blocks)):
            column = {m: j for j, m in enumerate(lower)}
            # A monomial of degree k + 1 is one of degree k times its last factor: one product per column.
            self.register_buffer(f"parent_{k}", torch.tensor([column[m[:-1]] for m in block]), persistent=False)
            self.register_buffer(f"factor_{k}", torch.tensor([m[-1] for m in block]), persistent=False)

    def __len__(self) -> int:
        return len(self.monomials)

    def forward(self, attributes: Float[Tensor, "*pairs dim"]) -> Float[Tensor, "*pairs monomials"]:
        blocks = [attributes]
        for k in range(self.degree - 1):
            parent, factor = getattr(self, f"parent_{k}"), getattr(self, f"factor_{k}")
            blocks.append(blocks[-1][..., parent] * attributes[..., factor])
        return torch.cat(blocks, dim=-1)


class RowWise(nn.Sequential):
    """Steps that act row by row, done in blocks of rows; with ``recompute`` nothing between them is kept.

    ``window`` multiplies the result, one number a row.
    """

    recompute = False

    def forward(self, x: Float[Tensor, "*rows a"], window: Float[Tensor, "*rows"] | None = None
                ) -> Float[Tensor, "*rows b"]:
        steps = super().forward
        if window is None:
            return in_blocks(steps, x, self.recompute)
        return in_blocks(lambda rows: steps(rows[..., :-1]) * rows[..., -1:], torch.cat((x, window[..., None]), dim=-1),
                         self.recompute)


def kernel_basis(attributes: int, hidden: int, basis: int, degree: int, distinct: bool = False) -> RowWise:
    """The map from attributes to basis functions that all layers share.

        phi(a) = GELU(W_2 GELU(W_1 monomials(a) + b_1) + b_2),   [*pairs, attributes] -> [*pairs, basis]

    A layer's depthwise kernel is k(a) = W phi(a), one row of W for each channel.

    Source: arXiv 2310.02970, section 4.
    """
    monomials = Monomials(attributes, degree, distinct)
    return RowWise(monomials, nn.Linear(len(monomials), hidden), nn.GELU(), nn.Linear(hidden, basis), nn.GELU())


def is_plain(m: nn.Module) -> bool:
    """Whether a map is a matrix and nothing else; work by hand would pass over adapters, parametrisations and hooks."""
    return type(m) is nn.Linear and not (
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks)


def cutoff_window(distance: Float[Tensor, "*pairs"], radius: float) -> Float[Tensor, "*pairs"]:
    """A smooth window that is 1 at distance 0 and 0 from the cutoff radius on.

        u(x) = 1 - 28 x^6 + 48 x^7 - 21 x^8  for x = distance / radius < 1, else 0

    Its first and second derivatives vanish at the cutoff, so energies and forces stay continuous.

    Args:
        distance: in the length unit of the data.
        radius: the cutoff, in the same unit.

    Source: Gasteiger et al., arXiv 2003.03123 (the polynomial envelope with p = 6).
    """
    x = (distance / radius).clamp(max=1)  # exactly 0 there; powers of far distances would overflow in the derivative
    return 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
