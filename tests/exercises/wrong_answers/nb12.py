"""Wrong answers to notebook 12, as a reader might write them: check -> (words of the verdict, answer)."""

import numpy as np
import torch


def alpha_squared(t, steps, rim):
    return (1 - 2 * rim) * (1 - t**2 / steps**2) ** 2 + rim


def one_minus(t, steps, rim):
    alpha = alpha_squared(t, steps, rim).sqrt()
    return alpha, 1 - alpha


def no_rim(t, steps, rim):
    alpha = 1 - (t / steps) ** 2
    return alpha, torch.sqrt(1 - alpha**2)


def backwards(t, steps, rim):
    a2 = alpha_squared(t, steps, rim)
    return (1 - a2).sqrt(), a2.sqrt()


def minus_sum(noise, molecule):
    out = noise.clone()
    for m in molecule.unique():
        out[molecule == m] -= noise[molecule == m].sum(0)
    return out


def one_number(noise, molecule):
    out = noise.clone()
    for m in molecule.unique():
        out[molecule == m] -= noise[molecule == m].mean()
    return out


def centred_in_place(noise, molecule):
    for m in molecule.unique():
        noise[molecule == m] -= noise[molecule == m].mean(0)
    return noise


def unit_variance(noise, molecule):
    out = noise.clone()
    for m in molecule.unique():
        rows = molecule == m
        n = int(rows.sum())
        out[rows] = (noise[rows] - noise[rows].mean(0)) * (n / (n - 1)) ** 0.5
    return out


def combined(skip, out, into):
    def answer(network, y, sigma, s):
        total = sigma**2 + s**2
        return skip(sigma, s, total) * y + out(sigma, s, total) * network(into(total) * y)

    return answer


def skip(sigma, s, total):
    return s**2 / total


def out(sigma, s, total):
    return sigma * s / total**0.5


def into(total):
    return total**-0.5


def ordered(margins, unit=100):
    def answer(distance, lengths):
        found = np.zeros(len(distance), dtype=int)
        for k in range(3):
            if lengths[k] > 0:
                found[unit * distance < lengths[k] + margins[k]] = k + 1
        return found

    return answer


def absent_bonds(distance, lengths):
    return sum((100 * distance < lengths[k] + (10, 5, 3)[k]).astype(int) for k in range(3))


def single_only(distance, lengths):
    return np.where(100 * distance < lengths[0] + 10, 1, 0)


def shares(good, molecule, whole=all):
    kinds = set(molecule)
    return np.mean(good), sum(whole(good[molecule == m]) for m in kinds) / len(kinds)


def mean_over_molecules(orders, valence, molecule):
    good = orders.sum(1) == valence
    return np.mean([good[molecule == m].mean() for m in set(molecule)]), shares(good, molecule)[1]


WRONG = {
    "schedule": [
        ("squares of alpha and sigma", lambda *given: (alpha_squared(*given), 1 - alpha_squared(*given))),
        ("not 1 − alpha", one_minus),
        ("alpha falls to 0", no_rim),
        ("exchanged", backwards),
        ("the square of 1 − (t/T)² is missing",
         lambda t, steps, rim: (((1 - 2 * rim) * (1 - (t / steps) ** 2) + rim) ** 0.5,
                                (1 - (1 - 2 * rim) * (1 - (t / steps) ** 2) - rim) ** 0.5)),
    ],
    "centred": [
        ("mean of the whole batch", lambda noise, molecule: noise - torch.mean(noise, dim=0)),
        ("over x, y and z", lambda noise, molecule: noise - noise.mean(dim=1)[:, None]),
        ("sum of a molecule", minus_sum),
        ("x, y and z alike", one_number),
        ("blown up", unit_variance),
        ("in place", centred_in_place),
    ],
    "denoised": [
        ("swapped in c_skip", combined(lambda sigma, s, total: sigma**2 / total, out, into)),
        ("not c_in y", combined(skip, out, lambda total: 1)),
        ("c_in divides by a variance", combined(skip, out, lambda total: 1 / total)),
        ("s is missing in c_out", combined(skip, lambda sigma, s, total: sigma / total**0.5, into)),
        ("c_skip y is missing", combined(lambda sigma, s, total: 0, out, into)),
    ],
    "bond_order": [
        ("the table is in pm", ordered((10, 5, 3), unit=1)),
        ("margins of 10, 5 and 3 pm are missing", ordered((0, 0, 0))),
        ("margin of a single bond", ordered((10, 10, 10))),
        ("single bonds only", single_only),
        ("no such bond", absent_bonds),
    ],
    "stable_shares": [
        ("a free valence", lambda orders, valence, molecule: shares(orders.sum(0) <= valence, molecule)),
        ("without their order", lambda orders, valence, molecule: shares((orders != 0).sum(0) == valence, molecule)),
        ("must pool all atoms", mean_over_molecules),
        ("one stable atom", lambda orders, valence, molecule: shares(orders.sum(0) == valence, molecule, any)),
        ("molecules come first",
         lambda orders, valence, molecule: shares(orders.sum(0) == valence, molecule)[::-1]),
    ],
}
