"""Wrong answers to notebook 13, as a reader might write them: check -> (words of the verdict, answer)."""

import torch


def masses(p):
    return sum((p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(1)).sqrt())


def squares_first(p):
    total = 0.0
    for energy, *momentum in p:
        total = total + energy**2 - sum(x**2 for x in momentum)
    return total**0.5


def no_root(p):
    energy, *momentum = p.sum(0)
    return energy**2 - sum(x**2 for x in momentum)


def euclidean(p):
    return p.sum(dim=0).square().sum().sqrt()


def energy_only(p):
    return p.sum(0)[0]


def not_scaled(r, o_t, o_s):
    return torch.stack([(a * b).sum(1) for a, b in ((r, o_t), (r, o_s), (o_t, o_s))], dim=1)


def squared_length(r, o_t, o_s):
    return not_scaled(r / (r * r).sum(1, keepdim=True), o_t, o_s)


def one_length_for_all(r, o_t, o_s):
    return not_scaled(r / r.norm(dim=1).max(), o_t, o_s)


def angles(r, o_t, o_s):
    return not_scaled(torch.nn.functional.normalize(r, dim=1), o_t, o_s).acos()


def the_triple(r, o_t, o_s):
    unit = torch.nn.functional.normalize(r, dim=1)
    along = (unit * o_t).sum(1, keepdim=True)
    return torch.cat((along, (unit - along * o_t).norm(dim=1, keepdim=True), (o_t * o_s).sum(1, keepdim=True)), dim=1)


def as_it_is(features):
    return torch.linalg.cond(features)


def of_products(features):
    scaled = features / features.norm(dim=0)
    return torch.linalg.cond(scaled.T @ scaled)


def by_rows(features):
    return torch.linalg.cond(torch.nn.functional.normalize(features, dim=1))


def upside_down(features):
    values = torch.linalg.svdvals(features / features.norm(dim=0))
    return values[-1] / values[0]


def by_largest(features):
    return torch.linalg.cond(features / features.max(dim=0).values)


def all_rows(kernel, rows):
    return kernel(rows), rows.shape[0]


def no_rounding(kernel, rows):
    different, which = torch.unique(rows, dim=0, return_inverse=True)
    return kernel(different)[which], len(different)


def first_of_each(rows):
    different, which = torch.unique((rows / 1e-6).round(), dim=0, return_inverse=True)
    return rows[[int((which == k).nonzero()[0]) for k in range(len(different))]], which


def all_counted(kernel, rows):
    first, which = first_of_each(rows)
    return kernel(first)[which], len(rows)


def wrong_order(kernel, rows):
    first, which = first_of_each(rows)
    return kernel(first)[which.sort().values], len(first)


def one_a_class(kernel, rows):
    first, _ = first_of_each(rows)
    return kernel(first), len(first)


def multiples(kernel, rows):
    different, which = torch.unique((rows * 1e6).round(), dim=0, return_inverse=True)
    return kernel(different)[which], len(different)


def share(kernel, rows):
    first, which = first_of_each(rows)
    return kernel(first)[which], len(first) / len(rows)


def right_count_only(kernel, rows):
    return torch.cat([kernel(row[None]) for row in rows]), len(first_of_each(rows)[0])


WRONG = {
    "invariant_mass": [
        ("sum of the masses", masses), ("four-momenta come first", squares_first), ("root is missing", no_root),
        ("its sign in the product", euclidean), ("whole energy", energy_only)],
    "free_of_scale": [
        ("divide by its length", not_scaled), ("one length too many", squared_length),
        ("each pair has its own", one_length_for_all), ("cosines were asked", angles),
        ("does not know o_s", the_triple)],
    "scaled_condition": [
        ("not scaled", as_it_is), ("matrix of products", of_products), ("rows are scaled", by_rows),
        ("smallest over largest", upside_down), ("largest entry", by_largest)],
    "once_per_class": [
        ("given a row twice", all_rows), ("given a row twice", no_rounding), ("given a row twice", right_count_only),
        ("all rows are counted", all_counted), ("order of the classes", wrong_order),
        ("one value for each class", one_a_class), ("rounded multiples", multiples), ("is a share", share)],
}
