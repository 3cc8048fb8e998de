r"""Spectra of functions on the sphere, and of kernels: how much of their mean square lies in each degree (notebook 13).

With Ŷ_lm orthonormal for the mean over the sphere, (1/4π) ∫ Ŷ_lm Ŷ_l'm' do = δ, and f = Σ_lm f_lm Ŷ_lm, the power of
degree l is S_l = Σ_m f_lm², and Σ_l S_l = mean f². Power does not change when f is turned. A kernel κ(t), t = o·o', has
κ = Σ_l k_l P_l with k_l = (2l+1)/2 ∫ κ P_l dt, and power k_l²/(2l+1).
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.special import eval_legendre, sph_harm_y
from torch import Tensor

from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import Grid
from ponita_edu.nn.ponita import Ponita


def harmonics(points: Float64[Tensor, "points 3"], degree: int) -> Float64[Tensor, "points harmonics"]:
    """Real Ŷ_lm of degrees 0 to ``degree``, ordered by l and then m = −l ... l, at unit vectors."""
    x, y, z = points.numpy().T
    polar, azimuth = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    columns = []
    for l in range(degree + 1):  # noqa: E741
        values = np.sqrt(4 * np.pi) * sph_harm_y(l, np.arange(l + 1)[:, None], polar, azimuth)
        values[1:] *= np.sqrt(2)
        columns += [*values.imag[:0:-1], *values.real]
    return torch.from_numpy(np.stack(columns, axis=1))


def by_degree(squares: Float[Tensor, "*batch harmonics"]) -> Float[Tensor, "*batch degrees"]:
    """Sums over m for each l."""
    degree = round(squares.shape[-1] ** 0.5)
    of = torch.repeat_interleave(torch.arange(degree), 2 * torch.arange(degree) + 1)
    return squares.new_zeros(*squares.shape[:-1], degree).index_add(-1, of, squares)


def degree_power(values: Float[Tensor, "*batch points"], grid: Grid, degree: int) -> Float[Tensor, "*batch degrees"]:
    """S_l for l = 0 ... ``degree`` of functions given on a grid.

    Right as far as the grid is exact: on a Lebedev rule of degree D for all l up to D − (degree of the function).
    """
    return by_degree((values @ (grid.weights[:, None] * harmonics(grid.points, degree)).to(values)).square())


def legendre_power(kernel: Callable[[Tensor], Tensor], degree: int, nodes: int = 200) -> Float64[Tensor, "degrees *c"]:
    """k_l²/(2l+1) for l = 0 ... ``degree`` of a kernel [t] -> [t, *c], by Gauss and Legendre's rule."""
    t, w = np.polynomial.legendre.leggauss(nodes)
    l = np.arange(degree + 1)[:, None]  # noqa: E741
    projector = torch.from_numpy((2 * l + 1) / 2 * w * eval_legendre(l, t))
    size = torch.from_numpy(2 * l[:, 0] + 1.0)
    coefficients = torch.tensordot(projector, kernel(torch.from_numpy(t)).double(), dims=1)
    return coefficients.square() / size.reshape(-1, *[1] * (coefficients.dim() - 1))


def bandwidth(power: Float[Tensor, " degrees"], share: float = 0.99) -> int:
    """The least L with Σ_{1≤l≤L} S_l ≥ share · Σ_{l≥1} S_l: what lies in degree 0 is integrated by any grid.

    Raises:
        ValueError: if there is no power above degree 0, or share is not between 0 and 1.
    """
    total = float(power[1:].sum())
    if not 0 < share < 1 or not total > 0:
        raise ValueError(f"power must hold something above degree 0, and share lie between 0 and 1, but they are "
                         f"{total:.3g} and {share}.")
    return 1 + int((power[1:].cumsum(0) < share * total).sum())


def fiber_power(model: Ponita, degree: int = 20) -> Float64[Tensor, "blocks degrees"]:
    """Legendre power of the spherical kernels κ(o·o') of each block, summed over channels."""
    basis = model.fiber_basis
    return torch.stack([legendre_power(lambda t, conv=block.conv: conv.fiber.kernel(basis(t[:, None])), degree).sum(-1)
                        for block in model.blocks]).detach()


def spatial_power(model: Ponita, graphs: Graphs, degree: int = 20) -> Float64[Tensor, "blocks degrees"]:
    """Legendre power of the spatial kernels as functions of the angle t between r and o, at the lengths |r| of a batch.

    k(r·o, |r_⊥|) = k(|r| t, |r| √(1 − t²)); mean over the edges (self loops left out), sum over channels.
    """
    length = graphs.vectors(graphs.source, graphs.target, graphs.shift).norm(dim=-1)
    length = length[length > 0].unique()
    pick = length[torch.linspace(0, len(length) - 1, 12).round().long()]
    result = []
    for block in model.blocks:
        def kernel(t: Tensor, conv: torch.nn.Module = block.conv) -> Tensor:
            attributes = torch.stack((t[:, None] * pick, (1 - t * t).sqrt()[:, None] * pick), dim=-1)
            return conv.spatial.kernel(model.basis(attributes))

        result.append(legendre_power(kernel, degree).mean(1).sum(-1).detach())
    return torch.stack(result)
