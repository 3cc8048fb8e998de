"""Checks of notebook 11: atomisation energies, dipoles, references, means, pairs. Arrays of numpy, float64."""

import math
from collections.abc import Callable

import numpy as np
import torch

from ponita_edu.course.fresh import numpy_random, whole
from ponita_edu.course.verdict import Verdict, judge

__all__ = ["atomisation", "dipole", "pairs_of_batch", "pooled_mae", "standardised"]
Array = np.ndarray
HARTREE = 4.3597447222071e-18 / 1.602176634e-19  # eV
DEBYE = 1.602176634e-29 * 299_792_458 * 1e21  # one e Å


def atomisation(fn: object, seed: int | None = None) -> Verdict:
    """11.1: `fn(total, counts, free)` in eV, totals and free atoms in hartree. The reference subtracts atom by atom."""

    def reference(total: Array, counts: Array, free: Array) -> Array:
        atoms = [[-f for n, f in zip(row, free, strict=True) for _ in range(n)] for row in counts]
        return np.array([HARTREE * math.fsum([e, *each]) for e, each in zip(total, atoms, strict=True)])

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        free = np.array([-0.500273, -37.846772, -54.583861, -75.064579, -99.71873])
        counts = random.integers(0, 7, (6, 5))
        return counts @ free - 0.2 * counts.sum(1) - random.random(6), counts, free

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("it is in hartree, and one hartree is 27.2114 eV", lambda e, n, f: e - n @ f),
            ("it is in kcal/mol and not in eV", lambda e, n, f: (e - n @ f) * 627.5095),
            ("the sign is wrong, for the atoms have more energy", lambda e, n, f: (n @ f - e) * HARTREE),
            ("it subtracts one atom of each element and not all", lambda e, n, f: (e - (n > 0) @ f) * HARTREE),
            ("the free atoms are not subtracted", lambda e, n, f: e * HARTREE),
            ("the free atoms are still in hartree", lambda e, n, f: e * HARTREE - n @ f),
        ],
        tolerance=1e-5,
        seed=seed,
    )


def dipole(fn: object, seed: int | None = None) -> Verdict:
    """11.2: `fn(charges, pos)` [3] in debye. The reference takes pairs, Σ_{i<j} (q − q')(r − r') / n, no origin."""

    def reference(charges: Array, pos: Array) -> Array:
        i, j = np.triu_indices(len(pos), 1)
        return DEBYE * ((charges[i] - charges[j])[:, None] * (pos[i] - pos[j])).sum(0) / len(pos)

    def inputs(generator: torch.Generator) -> tuple:
        random, n = numpy_random(generator), whole(generator, 4, 12)
        return 0.1 + 0.3 * random.normal(size=n), 4 + random.normal(size=(n, 3))

    def even(charges: Array) -> Array:
        return charges - charges.mean()

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("the charges do not sum to 0, so the answer depends on the origin", lambda q, r: DEBYE * q @ r),
            ("it is in e Å, and one e Å is 4.80320 debye", lambda q, r: even(q) @ r),
            ("it divides by 4.80320 and must multiply", lambda q, r: even(q) @ r / DEBYE),
            ("it is a mean over the atoms, and a dipole is a sum", lambda q, r: DEBYE * even(q) @ r / len(q)),
            ("it is the length, and the vector was asked for", lambda q, r: np.linalg.norm(DEBYE * even(q) @ r)),
            ("it points from + to −", lambda q, r: -DEBYE * even(q) @ r),
        ],
        tolerance=1e-4,
        seed=seed,
    )


def standardised(fn: object, seed: int | None = None) -> Verdict:
    """11.3: `fn(y, counts, train)`, what element counts leave, over its spread. The reference is by QR."""

    def columns(counts: Array) -> Array:
        return np.column_stack((counts, np.ones(len(counts))))

    def reference(y: Array, counts: Array, train: Array) -> Array:
        q, r = np.linalg.qr(columns(counts)[train])
        rest = y - columns(counts) @ np.linalg.solve(r, q.T @ y[train])
        return rest / math.sqrt(math.fsum(v * v for v in rest[train]) / len(train))

    def inputs(generator: torch.Generator) -> tuple:
        random = numpy_random(generator)
        counts = random.integers(0, 6, (60, 5))
        y = counts @ [-2.0, -7, -5, -4, -3] + 3 + random.uniform(1, 3) * random.normal(size=60)
        return y, counts, random.permutation(60)[:40]

    def over(scale: Callable, constant: bool = True, everything: bool = False) -> Callable:
        def answer(y: Array, counts: Array, train: Array) -> Array:
            x, rows = columns(counts) if constant else counts, np.arange(len(y)) if everything else train
            rest = y - x @ np.linalg.lstsq(x[rows], y[rows], rcond=None)[0]
            return rest / scale(rest, train, y)

        return answer

    no_constant = "the fit has no constant c₀"
    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("the test molecules took part in the fit", over(lambda rest, t, y: rest.std(), everything=True)),
            ("the test molecules took part in the fit", over(lambda rest, t, y: rest[t].std(), everything=True)),
            (no_constant, over(lambda rest, t, y: rest[t].std(), constant=False)),
            (no_constant, over(lambda rest, t, y: np.sqrt((rest[t] ** 2).mean()), constant=False)),
            ("it divides by the variance, and σ is the root of that", over(lambda rest, t, y: rest[t].var())),
            ("σ comes from all molecules, and must come from the training set", over(lambda rest, t, y: rest.std())),
            ("σ is the spread of y, and not of what the counts leave", over(lambda rest, t, y: y[t].std())),
            ("it is not divided by σ", over(lambda rest, t, y: 1.0)),
            ("only the training mean is subtracted", lambda y, n, t: (y - y[t].mean()) / y[t].std()),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def pooled_mae(fn: object, seed: int | None = None) -> Verdict:
    """11.4: `fn(batches)` in meV, errors in eV. The reference walks through all molecules."""

    def inputs(generator: torch.Generator) -> tuple:
        random, last = numpy_random(generator), whole(generator, 2, 20)
        sizes = enumerate([32] * whole(generator, 2, 5) + [last])
        return ([0.3 + random.normal(scale=k + 1, size=n) for k, n in sizes],)

    def mean(of: Callable) -> Callable:
        return lambda batches: 1000 * of(np.concatenate(batches))

    cancel = "errors of opposite sign cancel, and absolute values come first"
    return judge(
        fn,
        inputs=inputs,
        reference=lambda batches: 1000 * math.fsum(abs(e) for b in batches for e in b) / sum(map(len, batches)),
        mistakes=[
            ("it is a mean of the batches' means, and the last batch is smaller",
             lambda batches: 1000 * np.mean([np.abs(e).mean() for e in batches])),
            ("it is in eV, so the factor 1000 is missing", lambda batches: np.abs(np.concatenate(batches)).mean()),
            ("it is a root mean square", mean(lambda e: np.sqrt((e**2).mean()))),
            ("it is a sum, and must be divided by the number of molecules", mean(lambda e: np.abs(e).sum())),
            ("it is the median", mean(lambda e: np.median(np.abs(e)))),
            (cancel, mean(np.mean)),
            (cancel, mean(lambda e: abs(e.mean()))),
            ("it counts every batch as a full one",
             lambda b: 1000 * np.abs(np.concatenate(b)).sum() / (len(b) * len(b[0]))),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def pairs_of_batch(fn: object, seed: int | None = None) -> Verdict:
    """11.5: `fn(sizes)` counts the pairs of complete graphs. The reference makes the table of all pairs of atoms."""

    def reference(sizes: Array) -> int:
        molecule = np.repeat(np.arange(len(sizes)), sizes)
        return int((molecule[:, None] == molecule).sum() - len(molecule))

    return judge(
        fn,
        inputs=lambda generator: (numpy_random(generator).integers(3, 25, 6),),
        reference=reference,
        mistakes=[
            ("each pair counts once, and messages go both ways", lambda n: (n * (n - 1)).sum() / 2),
            ("each atom is paired with itself", lambda n: (n**2).sum()),
            ("atoms of different molecules are paired", lambda n: n.sum() * (n.sum() - 1)),
            ("all molecules are padded to the largest", lambda n: len(n) * n.max() * (n.max() - 1)),
            ("it takes the mean size, and large molecules count more", lambda n: len(n) * n.mean() * (n.mean() - 1)),
        ],
        seed=seed,
    )
