"""Wrong answers to notebook 07, as a reader might write them: check -> (words of the verdict, answer)."""

import math

import torch


def error(off, f):
    return float(off.norm() / f.norm())


def output_not_turned(network, pos, vel, R):
    return error(network(pos @ R.T, vel @ R.T) - network(pos, vel), network(pos, vel))


def velocities_not_turned(network, pos, vel, R):
    return error(network(pos @ R.T, vel) - network(pos, vel) @ R.T, network(pos, vel))


def columns_for_rows(network, pos, vel, R):
    return error(network(pos @ R, vel @ R) - network(pos, vel) @ R, network(pos, vel))


def output_backwards(network, pos, vel, R):
    return error(network(pos @ R.T, vel @ R.T) - network(pos, vel) @ R, network(pos, vel))


def largest(network, pos, vel, R):
    f = network(pos, vel)
    return float((network(pos @ R.T, vel @ R.T) - f @ R.T).abs().max() / f.abs().max())


def absolute(network, pos, vel, R):
    return float((network(pos @ R.T, vel @ R.T) - network(pos, vel) @ R.T).norm())


def squared(network, pos, vel, R):
    f = network(pos, vel)
    return float((network(pos @ R.T, vel @ R.T) - f @ R.T).square().sum() / f.square().sum())


def grid_stays(network, pos, ori, R):
    return error(network(pos @ R.T, ori) - network(pos, ori) @ R.T, network(pos, ori))


def grid_backwards(network, pos, ori, R):
    return error(network(pos @ R.T, ori @ R) - network(pos, ori) @ R.T, network(pos, ori))


def grid_always_turned(network, pos, ori, R):
    ori = ori @ R.T
    return error(network(pos @ R.T, ori) - network(pos, ori) @ R.T, network(pos, ori))


def grid_alone(network, pos, ori, R):
    return error(network(pos, ori @ R.T) - network(pos, ori) @ R.T, network(pos, ori))


def line(x, y):
    design = torch.stack((x, torch.ones_like(x)), dim=1)
    return torch.linalg.lstsq(design, y[:, None]).solution[:, 0]


def not_back(network, pos, rotations):
    return sum(network(pos @ R.T) for R in rotations) / len(rotations)


def onwards(network, pos, rotations):
    return sum(network(pos @ R.T) @ R.T for R in rotations) / len(rotations)


def other_way(network, pos, rotations):
    return sum(network(pos @ R) @ R.T for R in rotations) / len(rotations)


def added_up(network, pos, rotations):
    return sum(network(pos @ R.T) @ R for R in rotations)


def last_only(network, pos, rotations):
    for R in rotations:
        answer = network(pos @ R.T) @ R
    return answer


def lands(points, R):
    return torch.cdist(points @ R.T, points).min(dim=1)


def no_weights(points, weights, rotations):
    return torch.tensor([bool((lands(points, R)[0] < 1e-6).all()) for R in rotations])


def wide(points, weights, rotations):
    found = [lands(points, R) for R in rotations]
    return torch.tensor([bool((d < 0.05).all() and torch.allclose(weights[k], weights)) for d, k in found])


def some(points, weights, rotations):
    found = [lands(points, R) for R in rotations]
    return torch.tensor([bool(((d < 1e-6) & torch.isclose(weights[k], weights)).any()) for d, k in found])


def as_numbers(points, weights, rotations):
    found = [lands(points, R) for R in rotations]
    return torch.tensor([1.0 if (d < 1e-6).all() and torch.allclose(weights[k], weights) else 0.0 for d, k in found])


def every_point_fixed(points, weights, rotations):
    return torch.tensor([torch.allclose(points @ R.T, points) for R in rotations])


WRONG = {
    "rotation_error": [
        ("f(x) is not turned", output_not_turned),
        ("velocities are not turned", velocities_not_turned),
        ("rows are turned by the inverse", columns_for_rows),
        ("output f(x) is turned by the inverse", output_backwards),
        ("largest number", largest),
        ("absolute error", absolute),
        ("root is missing", squared),
    ],
    "joint_error": [
        ("approximate claim", grid_stays),
        ("the other way", grid_backwards),
        ("turned for f(x) as well", grid_always_turned),
        ("points stay", grid_alone),
        ("set to 0", lambda network, pos, ori, R: 0.0),
    ],
    "fit_slope": [
        ("to base 10", lambda n, e: float(line(n.log(), e.log10())[0])),
        ("that of N", lambda n, e: float(line(n.log10(), e.log())[0])),
        ("N has no logarithm", lambda n, e: float(line(n, e.log())[0])),
        ("error has no logarithm", lambda n, e: float(line(n.log(), e)[0])),
        ("fitted by the error", lambda n, e: float(line(e.log(), n.log())[0])),
        ("first and the last", lambda n, e: math.log(e[-1] / e[0]) / math.log(n[-1] / n[0])),
        ("intercept", lambda n, e: float(line(n.log(), e.log())[1])),
        ("sign is flipped", lambda n, e: -float(line(n.log(), e.log())[0])),
        ("through the origin", lambda n, e: float(torch.linalg.lstsq(n.log()[:, None], e.log()[:, None]).solution)),
    ],
    "average_turns": [
        ("not turned back", not_back),
        ("instead of back", onwards),
        ("by the inverse of R", other_way),
        ("sum over the rotations", added_up),
        ("only the last", last_only),
        ("input is not turned", lambda network, pos, Rs: sum(network(pos) @ R for R in Rs) / len(Rs)),
    ],
    "permutes_grid": [
        ("weights are not looked at", no_weights),
        ("off by one degree", wide),
        ("all must", some),
        ("may change places", every_point_fixed),
        ("every rotation", lambda points, weights, Rs: torch.ones(len(Rs), dtype=torch.bool)),
        ("wrong dtype", as_numbers),
    ],
    "directions_needed": [
        ("lost its sign", lambda n, e, s, goal: (n * (e / goal) ** (1 / s), (e / goal) ** 2)),
        ("solved for N", lambda n, e, s, goal: (n * (goal / e) ** s, (goal / e) ** -2)),
        ("like 1/N", lambda n, e, s, goal: (n * e / goal, (e / goal) ** 2)),
        ("like 1/K", lambda n, e, s, goal: (n * (goal / e) ** (1 / s), e / goal)),
        ("square", lambda n, e, s, goal: (n * (goal / e) ** (1 / s), math.sqrt(e / goal))),
        ("in per cent", lambda n, e, s, goal: (n * (100 * e / goal) ** (-1 / s), (100 * e / goal) ** 2)),
        ("factor for N", lambda n, e, s, goal: ((goal / e) ** (1 / s), (goal / e) ** -2)),
    ],
}
