r"""The diffusion of EDM: 1,000 steps that preserve variance, with a likelihood (notebook 12).

    z_t = α_t [x, h] + σ_t ε,   α_t² + σ_t² = 1,   γ_t = ln σ_t²/α_t²,   the network predicts ε.

Written from the formulas of Hoogeboom et al., arXiv 2203.17003, in which details follow its public code; checked
against numbers that the code gave (tests).
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import log, pi

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from ponita_edu.tasks.diffusion import ELEMENTS, TYPE_FACTOR, Denoise, Diffusion, Layout, State, Step, one_hot

CHARGE_FACTOR = 10.0  # atomic numbers are divided by it
_TINY = 1e-10  # in logarithms


def polynomial_2(steps: int = 1000, precision: float = 1e-5) -> dict[str, Float[Tensor, " times"]]:
    r"""α², σ² and γ at i = 0..T in float64: α² = (1 - 2s) (1 - (i/T)²)² + s with precision s.

    Where α² would fall to less than a thousandth in one step, as in the last one, it falls to a thousandth.
    """
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    raw = (1 - time**2) ** 2
    ratio = torch.cat((raw[:1], raw[1:] / raw[:-1])).clamp(1e-3, 1)
    alpha2 = (1 - 2 * precision) * torch.cumprod(ratio, 0) + precision
    sigma2 = 1 - alpha2
    return {"alpha2": alpha2, "sigma2": sigma2, "gamma": sigma2.log() - alpha2.log()}


class EDM(Diffusion):
    """See the module. Features: one-hot types over 4, and the atomic number over 10."""

    features = len(ELEMENTS) + 1

    def __init__(self, steps: int = 1000, precision: float = 1e-5):
        self.steps = steps
        self.gamma = polynomial_2(steps, precision)["gamma"]

    def alpha(self, t: Int[Tensor, "*molecules"]) -> Float[Tensor, "*molecules"]:
        """α_t, in float64."""
        return torch.sigmoid(-self.gamma[t.cpu()]).sqrt()

    def sigma(self, t: Int[Tensor, "*molecules"]) -> Float[Tensor, "*molecules"]:
        """σ_t, in float64."""
        return torch.sigmoid(self.gamma[t.cpu()]).sqrt()

    def encode(self, layout: Layout, pos: Float[Tensor, "atoms 3"], types: Int[Tensor, " atoms"]
               ) -> State:
        charge = torch.tensor(ELEMENTS, device=pos.device)[types, None].to(pos) / CHARGE_FACTOR
        return layout.centred(torch.cat((pos, one_hot(types, pos), charge), dim=1))

    def diffused(self, layout: Layout, data: State, eps: State,
                 t: Int[Tensor, " molecules"]) -> State:
        """z_t = α_t data + σ_t ε."""
        return layout.per_atom(self.alpha(t), data) * data + layout.per_atom(self.sigma(t), data) * eps

    def loss(self, denoise: Denoise, layout: Layout, data: State, random: torch.Generator
             ) -> Float[Tensor, " molecules"]:
        t = torch.randint(self.steps + 1, (len(layout.sizes),), generator=random)
        return self.training_loss(denoise, layout, data, t, layout.noise(self.features, random, data))

    def training_loss(self, denoise: Denoise, layout: Layout, data: State,
                      t: Int[Tensor, " molecules"], eps: State
                      ) -> Float[Tensor, " molecules"]:
        """Half the mean square of ε - network, "l2" of the public code, and its terms for t = 0 and t = T.

        As there, the mean is over the atoms of the *largest* molecule of the batch, and ln p(n) is left out.
        """
        z = self.diffused(layout, data, eps, t)
        squares = (eps - denoise(layout, z, t / self.steps)).square()
        first = t.to(data.device) == 0
        share = 0.5 / (data.shape[1] * layout.sizes.max())
        position, both = layout.total(squares[:, :3]), layout.total(squares)
        at_zero = share * position - self.log_features(layout, data, z)
        return torch.where(first, at_zero, share * both) + self.prior_kl(layout, data)

    def nll(self, denoise: Denoise, layout: Layout, data: State, random: torch.Generator
            ) -> Float[Tensor, " molecules"]:
        """An estimate, with one random step, of -ln p(molecule | n) in nats; see ``nll_at``."""
        t = torch.randint(1, self.steps + 1, (len(layout.sizes),), generator=random)
        eps, eps_0 = (layout.noise(self.features, random, data) for _ in range(2))
        return self.nll_at(denoise, layout, data, t, eps, eps_0)

    def nll_at(self, denoise: Denoise, layout: Layout, data: State,
               t: Int[Tensor, " molecules"], eps: State, eps_0: State
               ) -> Float[Tensor, " molecules"]:
        """KL of the prior + T times the term of step t + reconstruction at t = 0: its mean over t is a bound on -ln p.

        Add -ln p(n), the logarithm of the share of molecules with n atoms, for that of the whole model.
        """
        out = denoise(layout, self.diffused(layout, data, eps, t), t / self.steps)
        ratio = torch.expm1(self.gamma[t.cpu()] - self.gamma[t.cpu() - 1]).to(data)
        step = 0.5 * self.steps * ratio * layout.total((eps - out).square())
        return self.prior_kl(layout, data) + step + self.reconstruction(denoise, layout, data, eps_0)

    def reconstruction(self, denoise: Denoise, layout: Layout, data: State,
                       eps: State) -> Float[Tensor, " molecules"]:
        """-ln p([x, h] | z_0): a normal density of the positions, probabilities of types and atomic numbers."""
        zero = torch.zeros(len(layout.sizes), dtype=torch.long)
        z = self.diffused(layout, data, eps, zero)
        squares = (eps - denoise(layout, z, zero / self.steps)).square()[:, :3]
        constant = 3 * (layout.sizes - 1).to(data) * 0.5 * (float(self.gamma[0]) + log(2 * pi))
        return constant + 0.5 * layout.total(squares) - self.log_features(layout, data, z)

    def log_features(self, layout: Layout, data: State, z: State
                     ) -> Float[Tensor, " molecules"]:
        """ln P(types and atomic numbers | z_0): how much of a normal density about z_0 rounds to the true values."""
        sigma, k = float(torch.sigmoid(self.gamma[0]).sqrt()), 3 + len(ELEMENTS)
        kinds = _log_interval(TYPE_FACTOR * z[:, 3:k] - 1, TYPE_FACTOR * sigma)
        true = kinds.gather(1, data[:, 3:k].argmax(1, keepdim=True)) - kinds.logsumexp(1, keepdim=True)
        charge = _log_interval(CHARGE_FACTOR * (data[:, k:] - z[:, k:]), CHARGE_FACTOR * sigma)
        return layout.total(true + charge)

    def prior_kl(self, layout: Layout, data: State) -> Float[Tensor, " molecules"]:
        """KL divergence of z_T from standard normal noise; 1e-5 to 1e-3 nats."""
        alpha2, sigma2 = float(torch.sigmoid(-self.gamma[-1])), float(torch.sigmoid(self.gamma[-1]))
        dimension = (3 * (layout.sizes - 1) + self.features * layout.sizes).to(data)
        return 0.5 * alpha2 * layout.total(data.square()) + 0.5 * dimension * (sigma2 - 1 - log(sigma2))

    def path(self, denoise: Denoise, layout: Layout, noise: Callable[[], Tensor], steps: int | None = None
             ) -> Iterator[Step]:
        times = torch.linspace(self.steps, 0, (steps or self.steps) + 1).round().long()
        z = noise()
        for t, s in pairwise(times):
            eps = denoise(layout, z, (t / self.steps).expand(len(layout.sizes)))
            guess = (z - float(self.sigma(t)) * eps) / float(self.alpha(t))
            z = self.step(layout, z, eps, int(t), int(s), noise())
            yield Step(z, guess)
        eps = denoise(layout, z, torch.zeros(len(layout.sizes)))
        z = self.final(layout, z, eps, noise())
        yield Step(z, z)

    def step(self, layout: Layout, z: State, eps: State, t: int,
             s: int, noise: State) -> State:
        """z_s from z_t for s < t: mean z_t/α_ts - σ_ts²/(α_ts σ_t) ε, standard deviation σ_ts σ_s/σ_t."""
        gamma_t, gamma_s = self.gamma[t], self.gamma[s]
        alpha_ts = float((0.5 * (softplus(gamma_s) - softplus(gamma_t))).exp())
        sigma2_ts = float(-torch.expm1(softplus(gamma_s) - softplus(gamma_t)))  # 1 - α_ts² without its cancellation
        sigma_t, sigma_s = (float(torch.sigmoid(g).sqrt()) for g in (gamma_t, gamma_s))
        mean = z / alpha_ts - sigma2_ts / (alpha_ts * sigma_t) * eps
        return layout.centred(mean + sigma2_ts**0.5 * sigma_s / sigma_t * noise)

    def final(self, layout: Layout, z: State, eps: State,
              noise: State) -> State:
        """The sample from z_0: positions with the last 0.003 Å of noise exchanged, features as they are."""
        alpha, sigma = (float(torch.sigmoid(g).sqrt()) for g in (-self.gamma[0], self.gamma[0]))
        pos = (z - sigma * eps + sigma * noise)[:, :3] / alpha
        return layout.centred(torch.cat((pos, z[:, 3:]), dim=1))


def _log_interval(offset: Tensor, sigma: float) -> Tensor:
    """ln of the probability that a normal variable, ``offset`` from its mean, is rounded to the right whole number."""
    return (torch.special.ndtr((offset + 0.5) / sigma) - torch.special.ndtr((offset - 0.5) / sigma) + _TINY).log()
