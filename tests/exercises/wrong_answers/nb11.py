"""Wrong answers to notebook 11, as a reader might write them: check -> (words of the verdict, answer)."""

import numpy as np

EV = 27.211386


def fitted(y, counts, train, constant=True):
    x = np.hstack((counts, np.ones((len(y), 1)))) if constant else counts
    return y - x @ (np.linalg.pinv(x[train]) @ y[train])


def over_variance(y, counts, train):
    rest = fitted(y, counts, train)
    return rest / rest[train].var()


def spread_of_all(y, counts, train):
    rest = fitted(y, counts, train)
    return rest / rest.std()


def fit_on_all(y, counts, train):
    rest = fitted(y, counts, np.arange(len(y)))
    return rest / rest.std()


def no_constant(y, counts, train):
    rest = fitted(y, counts, train, constant=False)
    return rest / rest[train].std()


WRONG = {
    "atomisation": [
        ("in hartree, and", lambda total, counts, free: total - (counts * free).sum(1)),
        ("sign is wrong", lambda total, counts, free: ((counts * free).sum(1) - total) * EV),
        ("one atom of each element", lambda total, counts, free: (total - ((counts > 0) * free).sum(1)) * EV),
        ("not subtracted", lambda total, counts, free: total * EV),
        ("still in hartree", lambda total, counts, free: total * EV - (counts * free).sum(1)),
        ("kcal/mol", lambda total, counts, free: 627.5095 * (total - counts @ free)),
    ],
    "dipole": [
        ("depends on the origin", lambda charges, pos: 4.80320 * (charges[:, None] * pos).sum(0)),
        ("in e Å", lambda charges, pos: (charges[:, None] * (pos - pos.mean(0))).sum(0)),
        ("must multiply", lambda charges, pos: (charges[:, None] * (pos - pos.mean(0))).sum(0) / 4.80320),
        ("a dipole is a sum", lambda charges, pos: 4.80320 * (charges[:, None] * (pos - pos.mean(0))).mean(0)),
        ("vector was asked for", lambda charges, pos: 4.80320 * np.linalg.norm(charges @ (pos - pos.mean(0)))),
    ],
    "standardised": [
        ("took part in the fit", fit_on_all),
        ("no constant", no_constant),
        ("the variance", over_variance),
        ("comes from all molecules", spread_of_all),
        ("not divided", fitted),
        ("spread of y", lambda y, counts, train: fitted(y, counts, train) / np.std(y[train])),
        ("only the training mean", lambda y, counts, train: (y - np.mean(y[train])) / np.std(y[train])),
    ],
    "pooled_mae": [
        ("mean of the batches' means", lambda batches: 1000 * sum(np.abs(e).mean() for e in batches) / len(batches)),
        ("in eV", lambda batches: np.mean(np.abs(np.hstack(batches)))),
        ("root mean square", lambda batches: 1000 * np.sqrt(np.mean(np.hstack(batches) ** 2))),
        ("cancel", lambda batches: 1000 * np.abs(np.hstack(batches).mean())),
        ("number of molecules", lambda batches: 1000 * sum(np.abs(e).sum() for e in batches)),
    ],
    "pairs_of_batch": [
        ("both ways", lambda sizes: sum(n * (n - 1) // 2 for n in sizes)),
        ("paired with itself", lambda sizes: sum(n * n for n in sizes)),
        ("different molecules", lambda sizes: sum(sizes) ** 2 - sum(sizes)),
        ("padded", lambda sizes: len(sizes) * max(sizes) * (max(sizes) - 1)),
    ],
}
