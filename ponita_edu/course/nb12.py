"""Checks of notebook 12: the schedule, centred noise, preconditioning, bonds, stability."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ponita_edu.course.fresh import normal, numpy_random, whole
from ponita_edu.course.verdict import Verdict, judge

__all__ = ["bond_order", "centred", "denoised", "schedule", "stable_shares"]
Array = np.ndarray
MARGINS = np.array([10.0, 5.0, 3.0])  # pm, of single, double and triple bonds


def schedule(fn: object, seed: int | None = None) -> Verdict:
    """12.1: `fn(t, steps, rim)` is alpha and sigma. The reference takes them for cosine and sine of an angle."""

    def squares(t: Tensor, steps: int, rim: float, power: int = 2, outer: int = 2) -> Tensor:
        return (1 - 2 * rim) * (1 - (t / steps) ** power) ** outer + rim

    def reference(t: Tensor, steps: int, rim: float) -> tuple[Tensor, Tensor]:
        angle = squares(t, steps, rim).sqrt().acos()
        return angle.cos(), angle.sin()

    def inputs(generator: torch.Generator) -> tuple:
        steps, rim = whole(generator, 50, 1001), 10.0 ** -whole(generator, 2, 4)
        return torch.linspace(0, steps, 11, dtype=torch.float64), steps, rim

    def roots(alpha2: Tensor) -> tuple[Tensor, Tensor]:
        return alpha2.sqrt(), (1 - alpha2).sqrt()

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("these are the squares of alpha and sigma", lambda *g: (squares(*g), 1 - squares(*g))),
            ("sigma is not 1 − alpha, for their squares sum to 1",
             lambda *g: (squares(*g).sqrt(), 1 - squares(*g).sqrt())),
            ("alpha is (1 − t/T)² and not 1 − (t/T)²", lambda *g: roots(squares(*g, power=1, outer=4))),
            ("alpha is 1 − t/T and not 1 − (t/T)²", lambda *g: roots(squares(*g, power=1))),
            ("the square of 1 − (t/T)² is missing", lambda *g: roots(squares(*g, outer=1))),
            ("the rim is missing, and alpha falls to 0", lambda t, T, rim: roots(squares(t, T, 0.0))),
            ("the rim is missing at t = 0, and sigma falls to 0",
             lambda t, T, rim: roots(squares(t, T, rim) + rim * (1 - (t / T) ** 2) ** 2)),
            ("alpha and sigma are exchanged", lambda *g: roots(squares(*g))[::-1]),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def centred(fn: object, seed: int | None = None) -> Verdict:
    """12.2: `fn(noise, molecule)`. The reference is the projection I − 1 1ᵀ / n, one block for each molecule."""

    def reference(noise: Tensor, molecule: Tensor) -> Tensor:
        sizes = torch.bincount(molecule).tolist()
        return torch.block_diag(*(torch.eye(n) - torch.full((n, n), 1 / n, dtype=noise.dtype) for n in sizes)) @ noise

    def inputs(generator: torch.Generator) -> tuple:
        sizes = torch.randint(2, 7, (4,), generator=generator)
        return 0.5 + normal(generator, int(sizes.sum()), 3), torch.repeat_interleave(torch.arange(4), sizes)

    def blown_up(noise: Tensor, molecule: Tensor) -> Tensor:
        n = torch.bincount(molecule)[molecule, None]
        return reference(noise, molecule) * (n / (n - 1)).double().sqrt()

    def sums(noise: Tensor, molecule: Tensor) -> Tensor:
        return torch.zeros(4, 3, dtype=noise.dtype).index_add(0, molecule, noise)[molecule]

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("it subtracts the mean of the whole batch, and each molecule has its own", lambda z, m: z - z.mean(0)),
            ("the mean goes over x, y and z, and must go over the atoms", lambda z, m: z - z.mean(1, keepdim=True)),
            ("it subtracts the sum of a molecule and not its mean", lambda z, m: z - sums(z, m)),
            ("it subtracts one number from x, y and z alike",
             lambda z, m: z - (sums(z, m) / torch.bincount(m)[m, None]).mean(1, keepdim=True)),
            ("the noise was blown up again, and must be left as the projection makes it", blown_up),
            ("the mean is still there", lambda z, m: z),
        ],
        tolerance=1e-6,
        seed=seed,
    )


def denoised(fn: object, seed: int | None = None) -> Verdict:
    """12.3: `fn(network, y, sigma, s)`. The reference writes the factors with the angle whose tangent is sigma / s."""

    def network(y: Tensor) -> Tensor:
        return y.tanh() + 0.3 * y**2

    def reference(network: Callable, y: Tensor, sigma: float, s: float) -> Tensor:
        angle = math.atan2(sigma, s)
        return math.cos(angle) ** 2 * y + s * math.sin(angle) * network(y * math.cos(angle) / s)

    def inputs(generator: torch.Generator) -> tuple:
        sigma, s = (0.3 + 2 * torch.rand(2, generator=generator)).tolist()
        return network, normal(generator, 5, 3), sigma, s

    def factors(skip: Callable | None = None, out: Callable | None = None, into: Callable | None = None) -> Callable:
        skip = skip or (lambda o, s: s**2 / (o**2 + s**2))
        out = out or (lambda o, s: o * s / math.hypot(o, s))
        into = into or (lambda o, s: 1 / math.hypot(o, s))
        return lambda f, y, o, s: skip(o, s) * y + out(o, s) * f(into(o, s) * y)

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("s² and σ² are swapped in c_skip", factors(skip=lambda o, s: o**2 / (o**2 + s**2))),
            ("c_skip is a ratio of squares", factors(skip=lambda o, s: s / math.hypot(o, s))),
            ("the term c_skip y is missing", factors(skip=lambda o, s: 0.0)),
            ("the network sees y itself and not c_in y", factors(into=lambda o, s: 1.0)),
            ("c_in divides by a variance and not by its root", factors(into=lambda o, s: 1 / (o**2 + s**2))),
            ("c_out divides by σ² + s² and not by its root", factors(out=lambda o, s: o * s / (o**2 + s**2))),
            ("s is missing in c_out", factors(out=lambda o, s: o / math.hypot(o, s))),
            ("σ is missing in c_out, so that the network has a say without noise",
             factors(out=lambda o, s: s / math.hypot(o, s))),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def bond_order(fn: object, seed: int | None = None) -> Verdict:
    """12.4: `fn(distance, lengths)`, 0 to 3. The reference counts the limits that lie above a distance."""

    def reference(distance: Array, lengths: Array) -> Array:
        limits = [length + more for length, more in zip(lengths, MARGINS, strict=True) if length > 0]
        return np.array([sum(100 * d < limit for limit in limits) for d in distance])

    def inputs(generator: torch.Generator) -> tuple:
        single = whole(generator, 130, 155)
        double, triple = (single - 20, single - 34) if whole(generator, 0, 3) else (0, 0)
        lengths = np.array([single, double, triple], dtype=float)
        edges = np.concatenate([lengths[lengths > 0] + more for more in (0, 3, 5, 10)])
        return np.append(np.concatenate((edges - 1, edges + 1)), [2.0, 60.0, 250.0]) / 100, lengths

    def counted(margins: list[int | float], unit: float = 100.0, never: float = -np.inf) -> Callable:
        def answer(distance: Array, lengths: Array) -> Array:
            limits = np.where(lengths > 0, lengths + margins, lengths + never)
            return (unit * distance[:, None] < limits).sum(1)

        return answer

    def nearest(distance: Array, lengths: Array) -> Array:
        order = 1 + np.abs(100 * distance[:, None] - np.where(lengths > 0, lengths, np.inf)).argmin(1)
        return order * (100 * distance < lengths[0] + 10)

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("the distances are in Å and the table is in pm", counted([10, 5, 3], unit=1.0)),
            ("the margins of 10, 5 and 3 pm are missing", counted([0, 0, 0])),
            ("every order has the margin of a single bond", counted([10, 10, 10])),
            ("the margins of single and triple bonds are exchanged", counted([3, 5, 10])),
            ("it finds single bonds only", lambda d, lengths: (100 * d < lengths[0] + 10).astype(int)),
            ("the nearest length decides, and it must be the limits", nearest),
            ("a length of 0 means that there is no such bond",
             lambda distance, lengths: (100 * distance[:, None] < lengths + MARGINS).sum(1)),
        ],
        seed=seed,
    )


def stable_shares(fn: object, seed: int | None = None) -> Verdict:
    """12.5: `fn(orders, valence, molecule)`, shares of atoms and of molecules. The reference is written with loops."""

    def reference(orders: Array, valence: Array, molecule: Array) -> tuple[float, float]:
        good = [sum(row) == v for row, v in zip(orders.tolist(), valence.tolist(), strict=True)]
        broken = {m for m, fine in zip(molecule.tolist(), good, strict=True) if not fine}
        return sum(good) / len(good), 1 - len(broken) / len(set(molecule.tolist()))

    def inputs(generator: torch.Generator) -> tuple:
        random, sizes = numpy_random(generator), [3, 9, 4, 2, 6, 5]
        molecule = np.repeat(np.arange(6), sizes)
        orders = np.triu(random.choice(4, (29, 29), p=[0.5, 0.3, 0.15, 0.05]), 1)
        orders = (orders + orders.T) * (molecule[:, None] == molecule)
        valence, off = orders.sum(1), random.permutation(29)[:4]
        valence[off] += [-1, 1, -1, 1]
        return orders, valence, molecule

    def shares(right: Callable, of_molecule: Callable = np.min, pool: bool = True) -> Callable:
        def answer(orders: Array, valence: Array, molecule: Array) -> tuple[float, float]:
            good = right(orders, valence)
            each = [good[molecule == m] for m in np.unique(molecule)]
            atoms = good.mean() if pool else np.mean([g.mean() for g in each])
            return atoms, np.mean([of_molecule(g) for g in each])

        return answer

    def exactly(orders: Array, valence: Array) -> Array:
        return orders.sum(1) == valence

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("a free valence counts as stable", shares(lambda orders, valence: orders.sum(1) <= valence)),
            ("a bond too many counts as stable", shares(lambda orders, valence: orders.sum(1) >= valence)),
            ("bonds are counted without their order", shares(lambda orders, valence: (orders > 0).sum(1) == valence)),
            ("the share of atoms is a mean over molecules, and must pool all atoms", shares(exactly, pool=False)),
            ("one stable atom makes a molecule stable, and all must be", shares(exactly, np.max)),
            ("the share of molecules is the mean share of their atoms", shares(exactly, np.mean)),
            ("molecules come first and atoms second", lambda *given: shares(exactly)(*given)[::-1]),
        ],
        tolerance=1e-9,
        seed=seed,
    )
