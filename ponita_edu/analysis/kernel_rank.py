r"""What a separable layer can represent of a full kernel, and what it cannot (notebook 05).

Write (x_s, o') for the sender, (x_t, o) for the receiver and r = x_s − x_t. An E(3)-invariant kernel is a function of
r·o, r·o', o·o' and |r|². A separable layer with C channels between one input and one output first goes over the
positions, with the sender's orientation, and then over the orientations at the receiver:

    z(x_t, o) = Σ_c a_c ∫ κ_c(o·o') Σ_s k_c(r·o', |r_⊥|) f(x_s, o') do',     r_⊥ = r − (r·o') o',

so its kernel is Σ_c a_c k_c(r·o', |r_⊥|) κ_c(o·o'). Stand at the sender with the z axis along o'. Then r has cylinder
coordinates (r·o', |r_⊥|, φ_r), o has the polar cosine o·o' and the azimuth φ_o, and the pair is named by four numbers:
r·o', |r_⊥|, o·o' and φ = φ_o − φ_r, the last of which enters through

    r·o = (r·o')(o·o') + |r_⊥| √(1 − (o·o')²) cos φ.

The volume element factorises in them: |r_⊥| d(r·o') d|r_⊥| × d(o·o') × dφ. So in the mean square over all r and o:

1. **Lost, whatever C is**: no separable kernel depends on φ. Expand K = Σ_m K_m(r·o', |r_⊥|; o·o') √2 cos mφ. The
   terms m ≥ 1 have mean 0 over φ and are orthogonal to every separable kernel; what is left is K_0, the mean of K over
   φ with the other three numbers held fixed. Of K = P_l(r̂·o) G(|r|), for instance, the addition theorem leaves
   K_0 = P_l(r̂·o') P_l(o·o') G(|r|): the share 1/(2l + 1) of its squared norm, and rank 1.
2. **Gained with every channel**: K_0 is a matrix, its rows the arguments (r·o', |r_⊥|) of the spatial step, its columns
   the argument o·o' of the spherical step. C channels are a matrix of rank C, the best of which leaves the squares
   of the singular values from number C + 1 on (Eckart and Young).

Three kernels that are not bound by 1:

* **Full convolution with the triple** (r·o, |r_⊥ to o|, o·o'): the same picture seen from the receiver. It loses the
  terms m ≥ 1 of the azimuth about o (``end="receiver"``), and represents the others without a limit on the rank.
* **Frames** (features on R³×SO(3), separable): k_c(R'ᵀ r) κ_c(R'ᵀ R) knows both azimuths, so it has the terms m ≥ 1
  too, at the price of two channels each, because cos m(φ_o − φ_r) = cos mφ_o cos mφ_r + sin mφ_o sin mφ_r.
* **Two separable layers**: the first, acting within each point only (r = 0), followed by a second, has the kernel
  ∫ κ₁(o'·s) k₂(r·s, |r_⊥|) κ₂(s·o) ds. With Legendre polynomials in place of the three factors this is one product of
  spherical harmonics of degrees (l', L, l) in o', r̂, o coupled to an invariant, with a factor that vanishes only where
  parity or the triangle rule forbid the invariant anyway. These span all E(3)-invariant kernels: two layers with enough
  channels can do what one cannot (``two_layer_error``), nonlinearities between them aside. Kernels that change sign
  under reflection (det[r, o', o]) stay out of reach at any depth.

A lost share of the kernel need not be a lost part of the output. An input of a single degree l' (a lifted scalar, a
lifted vector) couples with κ_l k_L to everything that l' can couple to, so one separable layer loses nothing on it.
What it cannot do is to treat the degrees in one channel differently. The triple can do less: on a lifted vector, its
kernel gives (v·o) A(r·o, |r|) and never (v·r) B(r·o, |r|).

Source: the layer is that of arXiv 2310.02970; the analysis is this course's.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from numpy.polynomial.legendre import leggauss, legvander
from torch import Tensor

from ponita_edu.geometry.grids import make_grid

Kernel = Callable[[Float[Tensor, "*pairs 4"]], Float[Tensor, "*pairs"]]  # of (r·o, r·o', o·o', |r|²), receiver first


class SeparableError(NamedTuple):
    """Shares of the squared norm of a kernel that its best separable approximation leaves out."""

    lost: float  # terms that depend on the azimuth: independent of the number of channels
    truncated: float  # of what does not, the part beyond the given rank

    @property
    def relative(self) -> float:
        """Relative L2 error, √(lost + truncated)."""
        return math.sqrt(self.lost + self.truncated)


def random_kernel(bandwidth: float, seed: int = 0, terms: int = 64) -> Kernel:
    """A random smooth full kernel.

        K = exp(−|r|²/2) √(2/terms) Σ_j c_j cos(w_j · (r·o, r·o', o·o') + b_j),   c ~ N(0, 1), w ~ N(0, bandwidth²)

    with b uniform in [0, 2π): for many terms a Gaussian process of correlation length 1/bandwidth in the three numbers,
    under an envelope. Lengths are in units of the envelope's width.

    Raises:
        ValueError: if ``bandwidth`` is negative or not finite, or there are no terms.
    """
    if not 0 <= bandwidth < math.inf or terms < 1:
        raise ValueError(f"bandwidth must be a number of at least 0 and terms at least 1, but they are {bandwidth} and "
                         f"{terms}. Use random_kernel(1.0).")
    rng = torch.Generator().manual_seed(seed)
    w = bandwidth * torch.randn(terms, 3, generator=rng, dtype=torch.float64)
    c = torch.randn(terms, generator=rng, dtype=torch.float64)
    b = 2 * math.pi * torch.rand(terms, generator=rng, dtype=torch.float64)

    def kernel(a: Float[Tensor, "*pairs 4"]) -> Float[Tensor, "*pairs"]:
        return (-a[..., 3] / 2).exp() * ((a[..., :3] @ w.T + b).cos() @ c) * math.sqrt(2 / terms)

    return kernel


def crossed_kernel(a: Float[Tensor, "*pairs 4"]) -> Float[Tensor, "*pairs"]:
    """A kernel that needs r·o and r·o' together: e^{−|r|²/2} (r·o − (r·o')(o·o')) (r·o' − (r·o)(o·o')).

    The first bracket has mean 0 over the azimuth about o', the second over the one about o: the separable layer loses
    7/9 of its squared norm, and so does the triple. A polynomial of degree 3 in o and in o', so grids integrate it.
    """
    t, s, cosine, square = a.unbind(-1)
    return (-square / 2).exp() * (t - s * cosine) * (s - t * cosine)


def polynomial_kernel(seed: int = 0, degree: int = 2) -> Kernel:
    """A random kernel that is a polynomial of at most this degree in each of o and o', so that grids integrate it.

    Drawn evenly, with normal coefficients in an orthonormal basis, from the functions

        exp(−|r|²/2) (r·o)^i (r·o')^j (o·o')^k,   i + k ≤ degree, j + k ≤ degree   (14 for degree 2)
    """
    powers = torch.tensor([(i, j, k) for k in range(degree + 1) for i in range(degree + 1 - k)
                           for j in range(degree + 1 - k)])

    def functions(a: Float[Tensor, "*pairs 4"]) -> Float[Tensor, "*pairs functions"]:
        return (-a[..., 3:] / 2).exp() * (a[..., None, :3] ** powers).prod(-1)

    rows, columns, values = _tabulate(functions, "sender", 12, 5.0)
    weighted = values.flatten(0, 1) * (rows[:, None] * columns).sqrt()[..., None, None]
    triangle = torch.linalg.qr(weighted.flatten(0, 2)).R  # functions @ triangle^-1 are orthonormal
    rng = torch.Generator().manual_seed(seed)
    normal = torch.randn(len(powers), 1, generator=rng, dtype=torch.float64)
    c = torch.linalg.solve_triangular(triangle, normal, upper=True)
    return lambda a: (functions(a) @ c)[..., 0]


def shares(kernel: Kernel, end: str = "sender", nodes: int = 24, reach: float = 6.0) -> Float[Tensor, "orders ranks"]:
    r"""The squared singular values of every K_m of a kernel, as shares of its squared norm (module docstring).

    Row m, in descending order, sums to the share of the order m in the azimuth; all rows together sum to 1.

    Args:
        kernel: a function of the last axis (r·o, r·o', o·o', |r|²), o the receiver's orientation.
        end: whose orientation is the axis: ``sender`` (the separable layer) or ``receiver`` (the full convolution with
            the triple).
        nodes: quadrature points for each of the four numbers: Gauss–Legendre in |r|, in the cosine of the angle from
            the axis to r and in o·o'; midpoints in φ. Double them to see that they suffice.
        reach: the kernel must have decayed at this |r|, in its own length unit.

    Raises:
        ValueError: on an unknown end, or a kernel that is 0 or not finite.
    """
    if end not in ("sender", "receiver"):
        raise ValueError(f"end must be 'sender' or 'receiver', but is {end!r}.")
    rows, columns, values = _tabulate(kernel, end, nodes, reach)
    phi = (torch.arange(nodes, dtype=torch.float64) + 0.5) * math.pi / nodes
    order = torch.arange(nodes, dtype=torch.float64)
    wave = (order[:, None] * phi).cos() * math.sqrt(2) / nodes  # the discrete cosine transform: Parseval holds exactly
    wave[0] /= math.sqrt(2)
    by_order = torch.einsum("mp,dapq->mdaq", wave, values.transpose(2, 3)).flatten(1, 2)
    weighted = rows.sqrt()[:, None] * by_order * columns.sqrt()
    squares = torch.linalg.svdvals(weighted).square()
    total = squares.sum()
    if not bool(total > 0) or not bool(torch.isfinite(total)):
        raise ValueError(f"kernel must be finite and not 0 everywhere, but its squared norm is {float(total)}.")
    return squares / total


def separable_error(kernel: Kernel, rank: int, nodes: int = 24, reach: float = 6.0) -> SeparableError:
    """How well the best separable kernel with ``rank`` channels approximates a full kernel in the mean square.

    Arguments as for ``shares``.

    Raises:
        ValueError: if ``rank`` is negative.
    """
    if rank < 0:
        raise ValueError(f"rank must be a number of channels, at least 0, but is {rank}.")
    return best_separable(shares(kernel, "sender", nodes, reach), rank)


def best_separable(share: Float[Tensor, "orders ranks"], rank: int) -> SeparableError:
    """``separable_error`` from the table that ``shares`` gives, so that many ranks cost one decomposition."""
    return SeparableError(float(share[1:].sum()), float(share[0, rank:].sum()))


def best_on_frames(share: Float[Tensor, "orders ranks"], rank: int) -> float:
    """Relative L2 error of the best separable kernel on R³×SO(3) with ``rank`` channels."""
    each = torch.cat((share[0], (share[1:] / 2).flatten().repeat_interleave(2))).sort(descending=True).values
    return math.sqrt(float(each[rank:].sum()))


def two_layer_error(kernel: Kernel, degree: int, nodes: int = 24, reach: float = 6.0) -> float:
    r"""Relative L2 error of the best kernel of two stacked separable layers, with degrees up to ``degree`` in o' and o.

    Any number of channels. At every |r| the kernel is projected on the functions

        B(r̂, o', o) = ∫ P_l'(o'·s) P_L(r̂·s) P_l(s·o) ds,   l', l ≤ degree,

    which are orthogonal for different (l', L, l) because they transform differently when one vector is turned alone.
    """
    if not 0 <= degree <= 7:
        raise ValueError(f"degree must be from 0 to 7, but is {degree}.")  # the rule below is exact to degree 29
    rows, columns, values = _tabulate(kernel, "sender", nodes, reach)
    r_hat, o = _directions(nodes)
    grid = make_grid("lebedev", 302)
    at_sender = torch.from_numpy(legvander(grid.points[:, 2].numpy(), degree))  # the sender's orientation is the z axis
    at_receiver = torch.from_numpy(legvander((o @ grid.points.T).numpy(), degree))
    at_r = torch.from_numpy(legvander((r_hat @ grid.points.T).numpy(), 2 * degree))
    radial = rows.reshape(nodes, nodes).sum(1)
    angular = (rows.reshape(nodes, nodes)[0] / rows[:nodes].sum())[:, None, None] * columns[:, None] / nodes
    found = torch.zeros((), dtype=torch.float64)
    for a in range(degree + 1):
        for b in range(degree + 1):
            for c in range(abs(a - b), a + b + 1, 2):
                basis = torch.einsum("s,us,qps->uqp", grid.weights * at_sender[:, a], at_r[..., c], at_receiver[..., b])
                norm = (angular * basis.square()).sum()
                found += (radial * torch.einsum("duqp,uqp->d", values, angular * basis).square()).sum() / norm
    total = torch.einsum("d,duqp,uqp->", radial, values.square(), angular.expand(values.shape[1:]))
    return math.sqrt(max(0.0, 1 - float(found / total)))


def _directions(nodes: int) -> tuple[Float[Tensor, "u 3"], Float[Tensor, "q p 3"]]:
    # r in the half plane y = 0, x > 0, and o on the half sphere of azimuths 0 to π: the other half is its mirror image.
    cosine = torch.from_numpy(leggauss(nodes)[0])
    sine = (1 - cosine**2).sqrt()
    phi = (torch.arange(nodes, dtype=torch.float64) + 0.5) * math.pi / nodes
    r_hat = torch.stack((sine, 0 * sine, cosine), dim=-1)
    o = torch.stack((sine[:, None] * phi.cos(), sine[:, None] * phi.sin(), cosine[:, None].expand(-1, nodes)), dim=-1)
    return r_hat, o


def _tabulate(kernel: Kernel, end: str, nodes: int, reach: float
              ) -> tuple[Float[Tensor, " rows"], Float[Tensor, " q"], Float[Tensor, "d u q p *functions"]]:
    """Weights of (|r|, cosine to r), weights of o·o', and the kernel there and at every azimuth."""
    x, w = (torch.from_numpy(a) for a in leggauss(nodes))
    length, length_weight = reach * (x + 1) / 2, w * (x + 1) ** 2  # d³r is |r|² d|r| du up to a constant
    r_hat, o = _directions(nodes)
    along = (length[:, None] * x)[:, :, None, None]
    across = length[:, None, None, None] * torch.einsum("ui,qpi->uqp", r_hat, o)  # r along the other orientation
    first, second = (across, along) if end == "sender" else (along, across)
    parts = (first, second, x[:, None], length[:, None, None, None] ** 2)
    attributes = torch.stack([p.expand(across.shape) for p in parts], dim=-1)
    values = torch.stack([kernel(shell) for shell in attributes])  # shell by shell, to spare memory
    return (length_weight[:, None] * w).flatten(), w, values
