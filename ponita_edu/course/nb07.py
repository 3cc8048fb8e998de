"""Checks of notebook 07: errors of equivariance, by formulas of their own, and mistakes that are easily made."""

import math

import numpy as np
import torch

from ponita_edu.course.fresh import normal, rotation, unit
from ponita_edu.course.verdict import Verdict, judge
from ponita_edu.geometry import axis_angle, make_grid, random_rotations

__all__ = ["average_turns", "directions_needed", "fit_slope", "joint_error", "permutes_grid", "rotation_error"]


# ---------------------------------------------------------------------------------------------------------- epsilon
def _epsilon_inputs(rng):
    ori = unit(rng, 5, 3)

    def network(pos, vel):  # five directions that stay: not equivariant
        r = pos[:, None] - pos
        pull = (r * (-r.square().sum(-1, keepdim=True)).exp()).sum(1)
        return pull + 0.3 * torch.tanh(vel @ ori.T + 0.2) @ ori

    return network, normal(rng, 4, 3), normal(rng, 4, 3), rotation(rng)


def _each(R, rows):
    return torch.stack([R @ row for row in rows])


def _epsilon_by(turn_out=_each, turn_vel=_each, measure=lambda off, f: off / f, norm=torch.linalg.norm):
    def error(network, pos, vel, R):
        f, moved = network(pos, vel), network(_each(R, pos), turn_vel(R, vel))
        return float(measure(norm(moved - turn_out(R, f)), norm(f)))
    return error


_epsilon = _epsilon_by(norm=lambda x: x.square().sum().sqrt())


def _still(R, rows):
    return rows


def _back(R, rows):
    return rows @ R


_EPSILON = (
    ("the output f(x) is not turned before it is compared", _epsilon_by(turn_out=_still)),
    ("the velocities are not turned; all vectors of the input are", _epsilon_by(turn_vel=_still)),
    ("rows are turned by the inverse of R: R v for a row v is v @ R.T",
     lambda network, pos, vel, R: _epsilon(network, pos, vel, R.T)),
    ("the output f(x) is turned by the inverse of R: R v for a row v is v @ R.T", _epsilon_by(turn_out=_back)),
    ("it is the largest number instead of the length: the error is measured in the L2 norm over all rows",
     _epsilon_by(norm=lambda x: x.abs().max())),
    ("it is the absolute error; divide by |f(x)|", _epsilon_by(measure=lambda off, f: off)),
    ("it is the square of the error: a root is missing", _epsilon_by(measure=lambda off, f: (off / f) ** 2)),
    ("it is in per cent; a fraction is asked", _epsilon_by(measure=lambda off, f: 100 * off / f)),
)


def rotation_error(fn: object, seed: int | None = None) -> Verdict:
    """07.1: `fn(network, pos, vel, R)` is |f(R x) - R f(x)| / |f(x)|, rows turned by R."""
    return judge(fn, inputs=_epsilon_inputs, reference=_epsilon, mistakes=_EPSILON, seed=seed)


# ---------------------------------------------------------------------------------------------------- epsilon_exact
def _exact_inputs(rng):
    defect = 0.1 * normal(rng, 3)  # a direction that no grid brings along: moving the grid does not make it exact

    def network(pos, ori):
        r = pos[:, None] - pos
        return (torch.tanh(r @ ori.T + 0.3) @ ori).sum(1) / len(ori) + torch.tanh(pos @ defect)[:, None] * defect

    ori = unit(rng, 6, 3)
    return network, normal(rng, 4, 3), ori, rotation(rng)


def _exact_by(with_grid, after=lambda R, ori: ori):
    def error(network, pos, ori, R):
        f = network(pos, after(R, ori))
        off = network(_each(R, pos), with_grid(R, ori)) - _each(R, f)
        return float(off.square().sum().sqrt() / f.square().sum().sqrt())
    return error


_exact = _exact_by(_each)
_EXACT = (
    ("the grid stays: that is the approximate claim", _exact_by(_still)),
    ("the grid is turned the other way: its rows turn like all rows, ori @ R.T", _exact_by(_back)),
    ("the grid is turned for f(x) as well; there it is where it was", _exact_by(_each, after=_each)),
    ("only the grid is turned, the points stay",
     lambda network, pos, ori, R: float((network(pos, _each(R, ori)) - _each(R, network(pos, ori))).norm()
                                        / network(pos, ori).norm())),
    ("it is set to 0; measure it, this network has a fault that moving the grid does not hide",
     lambda network, pos, ori, R: 0.0),
)


def joint_error(fn: object, seed: int | None = None) -> Verdict:
    """07.2: `fn(network, pos, ori, R)` is the same with the grid moved too."""
    return judge(fn, inputs=_exact_inputs, reference=_exact, mistakes=_EXACT, seed=seed)


# ------------------------------------------------------------------------------------------------------------ slope
def _slope_inputs(rng):
    n = torch.tensor([8.0, 12.0, 20.0, 32.0, 60.0], dtype=torch.float64)
    draw = torch.rand(2, generator=rng, dtype=torch.float64)
    return n, n ** (-2 - 0.3 * draw[0]) * (1 + draw[1]) * (0.2 * normal(rng, 5)).exp()


def _slope(n, e):
    return float(np.polyfit(np.log(n.numpy()), np.log(e.numpy()), 1)[0])


def _line(x, y):
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / (x * x).sum())


_SLOPE = (
    ("one logarithm is natural, the other to base 10", lambda n, e: _line(n.log(), e.log10())),
    ("one logarithm is natural, the other to base 10; here that of N", lambda n, e: _line(n.log10(), e.log())),
    ("the error has no logarithm", lambda n, e: _line(n.log(), e)),
    ("N has no logarithm", lambda n, e: _line(n, e.log())),
    ("N is fitted by the error; the error is to be fitted by N", lambda n, e: _line(e.log(), n.log())),
    ("only the first and the last point are used; fit a line to all",
     lambda n, e: float((e[-1] / e[0]).log() / (n[-1] / n[0]).log())),
    ("it is the intercept of the line, not its slope",
     lambda n, e: float(e.log().mean()) - _slope(n, e) * float(n.log().mean())),
    ("the line is forced through the origin", lambda n, e: float((n.log() * e.log()).sum() / n.log().square().sum())),
)


def fit_slope(fn: object, seed: int | None = None) -> Verdict:
    """07.3: `fn(n, e)` fits s in e = c n^s by least squares of the logarithms."""
    return judge(fn, inputs=_slope_inputs, reference=_slope, mistakes=_SLOPE, seed=seed)


# --------------------------------------------------------------------------------------------------------- averaged
def _averaged_inputs(rng):
    axis = normal(rng, 3)
    rotations = random_rotations(3, generator=rng)
    return lambda pos: torch.tanh(pos @ axis)[:, None] * pos + axis, normal(rng, 4, 3), rotations


def _averaged(network, pos, rotations):
    total = torch.zeros_like(pos)
    for R in rotations:
        total = total + torch.linalg.solve(R, network(_each(R, pos)).T).T  # R x = f, without saying that R^-1 = R^T
    return total / len(rotations)


def _averaged_by(there, back):
    return lambda network, pos, rotations: torch.stack([back(R, network(there(R, pos))) for R in rotations]).mean(0)


_AVERAGED = (
    ("the answers are not turned back", _averaged_by(_each, _still)),
    ("the answers are turned on by R instead of back: for rows, R^-1 v is v @ R", _averaged_by(_each, _each)),
    ("the input is turned by the inverse of R, and the answer by R: for rows, R x is x @ R.T",
     _averaged_by(_back, _each)),
    ("the input is not turned", _averaged_by(_still, _back)),
    ("it is the sum over the rotations, not their mean",
     lambda network, pos, Rs: len(Rs) * _averaged(network, pos, Rs)),
    ("only the last rotation counts", lambda network, pos, Rs: _averaged(network, pos, Rs[-1:])),
)


def average_turns(fn: object, seed: int | None = None) -> Verdict:
    """07.4: `fn(network, pos, rotations)` is the mean of R^-1 f(R x)."""
    return judge(fn, inputs=_averaged_inputs, reference=_averaged, mistakes=_AVERAGED, seed=seed)


# ---------------------------------------------------------------------------------------------------------- permutes
def _permutes_inputs(rng):
    grid = make_grid("octahedron")
    own = grid.symmetries()[0][torch.randperm(24, generator=rng)[:8]]
    heavy = int(torch.randint(3, (1,), generator=rng))
    weights = torch.where(grid.points[:, heavy].abs() > 0.5, 0.3, 0.1).to(torch.float64)  # one axis counts more
    axis = torch.eye(3, dtype=torch.float64)[heavy]
    quarter = _turn(axis, math.pi / 2)
    # The last two leave some point 0.48 or more from every other, so that all tolerances between the one degree and
    # that give the same answers, whichever the reader chose.
    others = _turn(normal(rng, 3), math.radians(1)) @ quarter, _turn(axis, 0.7), _turn(normal(rng, 3), 0.6) @ own[0]
    return grid.points, weights / weights.sum(), torch.cat((own, torch.stack((quarter, *others))))


def _turn(axis, angle):
    return axis_angle(axis, torch.tensor(angle, dtype=torch.float64))


def _permutes(points, weights, rotations):
    # compare the grids as sorted lists of rows
    def rows(points):
        table = torch.cat((points, weights[:, None]), dim=1).numpy().round(6) + 0.0
        return table[np.lexsort(table.T[::-1])]
    here = rows(points)
    return torch.tensor([bool(np.abs(rows(points @ R.T) - here).max() < 1e-5) for R in rotations])


def _permutes_by(tolerance, every=torch.all, look=True):
    def wrong(points, weights, rotations):
        distance, index = torch.cdist(points @ rotations.mT, points.expand(len(rotations), -1, -1)).min(-1)
        same = (weights[index] - weights).abs() < 1e-9
        return every((distance < tolerance) & (same | (not look)), dim=1)
    return wrong


_PERMUTES = (
    ("the weights are not looked at: a point must land on one of equal weight", _permutes_by(1e-6, look=False)),
    ("the tolerance is so wide that a rotation off by one degree passes", _permutes_by(0.1)),
    ("one point that lands on another is enough for it; all must", _permutes_by(1e-6, every=torch.any)),
    ("it says yes to every rotation", lambda p, w, R: torch.ones(len(R), dtype=torch.bool)),
    ("yes and no are exchanged", lambda p, w, R: ~_permutes(p, w, R)),
    ("only rotations that leave every point where it is pass; points may change places",
     lambda p, w, R: ((p @ R.mT - p).norm(dim=-1) < 1e-6).all(1)),
)


def permutes_grid(fn: object, seed: int | None = None) -> Verdict:
    """07.5: `fn(points, weights, rotations)` says of each rotation whether it maps a grid on itself."""
    return judge(fn, inputs=_permutes_inputs, reference=_permutes, mistakes=_PERMUTES, seed=seed)


# ----------------------------------------------------------------------------------------------------------- needed
def _needed_inputs(rng):
    draw = torch.rand(4, generator=rng, dtype=torch.float64).tolist()
    return int(20 + 100 * draw[0]), 0.01 + 0.04 * draw[1], -1.2 - draw[2], 0.0005 + 0.001 * draw[3]


def _needed(n, error, slope, goal):
    steps = math.log(goal / error)  # on the line of law 1, and on a line of slope -1/2 through (1, error)
    return math.exp(math.log(n) + steps / slope), math.exp(steps / -0.5)


_NEEDED = (
    ("the slope has lost its sign, so that fewer directions would make a smaller error",
     lambda n, e, s, goal: (n * (e / goal) ** (1 / s), (e / goal) ** 2)),
    ("the slope is the exponent; solved for N it is 1/slope",
     lambda n, e, s, goal: (n * (e / goal) ** -s, (e / goal) ** 2)),
    ("the error is taken to fall like 1/N whatever the slope", lambda n, e, s, goal: (n * e / goal, (e / goal) ** 2)),
    ("averages are taken to fall like 1/K; it is K^(-1/2)",
     lambda n, e, s, goal: (n * (e / goal) ** (-1 / s), e / goal)),
    ("averages are taken to fall like K^slope; it is K^(-1/2) whatever the grid",
     lambda n, e, s, goal: (n * (e / goal) ** (-1 / s), (e / goal) ** (-1 / s))),
    ("K = (e/goal)^(1/2) instead of its inverse function, the square",
     lambda n, e, s, goal: (n * (e / goal) ** (-1 / s), (e / goal) ** 0.5)),
    ("the goal is taken in per cent; it is a fraction like the error",
     lambda n, e, s, goal: (n * (e / (goal / 100)) ** (-1 / s), (e / (goal / 100)) ** 2)),
    ("the factor for N is returned, not N", lambda n, e, s, goal: ((e / goal) ** (-1 / s), (e / goal) ** 2)),
)


def directions_needed(fn: object, seed: int | None = None) -> Verdict:
    """07.6: `fn(n, error, slope, goal)` gives the directions N, or the rotations K, for a smaller error."""
    return judge(fn, inputs=_needed_inputs, reference=_needed, mistakes=_NEEDED, seed=seed)
