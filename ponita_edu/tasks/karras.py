r"""Diffusion with Karras preconditioning: noise of any width is added to the data, and a network with inputs and
targets of variance 1 at every width takes it away (notebook 12).

    y = data + σ ε,   D(y) = c_skip y + c_out F(c_in y, ln(σ)/4),   F the network, D the guess at the data,
    c_skip = s²/(σ² + s²),  c_out = σ s/√(σ² + s²),  c_in = 1/√(σ² + s²),

with s the root mean square of the data: one s for positions, another for types. Sampling integrates dy/dσ = (y - D)/σ.

Source: Karras et al., arXiv 2206.00364. PONITA's authors use this family for molecules in later code, with s = 1 for
both and a start at σ = 1, which is narrower than the data. Here s is measured, and the start has the width of data and
noise together.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ponita_edu.tasks.diffusion import ELEMENTS, TYPE_FACTOR, Denoise, Diffusion, Layout, State, Step, one_hot

# Every atom has one 1/4 among its five type features.
TYPE_RMS = 1 / (TYPE_FACTOR * len(ELEMENTS) ** 0.5)
CHURN_MOST = 2**0.5 - 1


class Karras(Diffusion):
    """See the module. Features: one-hot types over 4.

    Args:
        position_rms: s of the positions, in Å: 1.4 for QM9.
        log_sigma: mean and standard deviation of ln σ in training (σ in Å).
        sigma_least, sigma_most: ends of the sampler's way.
        steps: of the sampler; each but the last asks the network twice.
        churn: noise added on the way, 0 for none: the fraction min(churn/steps, √2 - 1) of σ in each step.
        rho: the steps are equally long in σ^(1/rho).
    """

    features = len(ELEMENTS)

    def __init__(self, position_rms: float = 1.4, log_sigma: tuple[float, float] = (-1.2, 1.4),
                 sigma_least: float = 0.002, sigma_most: float = 10.0, steps: int = 40, churn: float = 0.0,
                 rho: float = 7.0):
        self.rms = torch.tensor([position_rms] * 3 + [TYPE_RMS] * self.features, dtype=torch.float64)
        self.log_sigma, self.sigma_least, self.sigma_most = log_sigma, sigma_least, sigma_most
        self.steps, self.churn, self.rho = steps, churn, rho

    def encode(self, layout: Layout, pos: Float[Tensor, "atoms 3"], types: Int[Tensor, " atoms"]
               ) -> State:
        return layout.centred(torch.cat((pos, one_hot(types, pos)), dim=1))

    def factors(self, sigma: Float[Tensor, "rows 1"]
                ) -> tuple[Float[Tensor, "rows channels"], Float[Tensor, "rows channels"],
                           Float[Tensor, "rows channels"]]:
        """c_skip, c_out and c_in for each row and channel."""
        rms = self.rms.to(sigma)
        square = sigma**2 + rms**2
        return rms**2 / square, sigma * rms / square.sqrt(), square.rsqrt()

    def denoised(self, denoise: Denoise, layout: Layout, y: State,
                 sigma: Float[Tensor, " molecules"]) -> State:
        """D(y), the guess at the data."""
        skip, out, scale = self.factors(layout.per_atom(sigma, y))
        return skip * y + out * denoise(layout, scale * y, sigma.log() / 4)

    def loss(self, denoise: Denoise, layout: Layout, data: State, random: torch.Generator
             ) -> Float[Tensor, " molecules"]:
        """Mean square of D - data over c_out², that is of the network's own error; positions plus types.

        The noise levels of a batch are spread evenly over their distribution, which makes its mean less noisy: they
        rise from its first molecule to its last, so the order of the molecules must be random.
        """
        count = len(layout.sizes)
        share = (torch.arange(count) + torch.rand(count, generator=random)) / count
        share = share.double().clamp(1e-10, 1 - 1e-10)  # rounding makes it 1, and σ infinite, once in 260,000 batches
        sigma = (self.log_sigma[0] + self.log_sigma[1] * torch.special.ndtri(share)).exp()
        sigma = sigma.to(data)
        y = data + layout.per_atom(sigma, data) * layout.noise(self.features, random, data)
        skip, out, scale = self.factors(layout.per_atom(sigma, data))
        squares = (denoise(layout, scale * y, sigma.log() / 4) - (data - skip * y) / out).square()
        return (layout.total(squares[:, :3]) / 3 + layout.total(squares[:, 3:]) / self.features) / layout.sizes

    def sigmas(self, steps: int | None = None) -> Float[Tensor, " levels"]:
        """The widths of the noise along the way: from the largest to the least, then 0."""
        share = torch.linspace(0, 1, steps or self.steps, dtype=torch.float64)
        most, least = self.sigma_most ** (1 / self.rho), self.sigma_least ** (1 / self.rho)
        return torch.cat(((most + share * (least - most)) ** self.rho, torch.zeros(1, dtype=torch.float64)))

    def path(self, denoise: Denoise, layout: Layout, noise: Callable[[], Tensor], steps: int | None = None
             ) -> Iterator[Step]:
        def guess(y: Tensor, level: Tensor) -> Tensor:
            return self.denoised(denoise, layout, y, level.expand(len(layout.sizes)).to(y))

        sigmas = self.sigmas(steps)
        gamma = min(self.churn / (len(sigmas) - 1), CHURN_MOST)
        start = noise()
        y = start * (sigmas[0] ** 2 + self.rms**2).sqrt().to(start)
        for sigma, lower in pairwise(sigmas):
            if gamma > 0:
                raised = (1 + gamma) * sigma
                y = y + float((raised**2 - sigma**2).sqrt()) * noise()
                sigma = raised
            first = guess(y, sigma)
            slope = (y - first) / float(sigma)
            ahead = y + float(lower - sigma) * slope
            if lower > 0:  # Heun: the mean of the slopes at both ends of the step
                slope = 0.5 * (slope + (ahead - guess(ahead, lower)) / float(lower))
                ahead = y + float(lower - sigma) * slope
            y = layout.centred(ahead)
            yield Step(y, first)
