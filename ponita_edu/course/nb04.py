"""Checks of notebook 04: lifting and reading, by formulas of their own, and mistakes that are easily made."""

import numpy as np
import torch

from ponita_edu.course.fresh import normal, rotation, unit
from ponita_edu.course.verdict import Verdict, judge
from ponita_edu.geometry import Grid, make_grid

__all__ = ["lift_all", "read_any", "read_matrix", "read_vector", "turn_signal"]


# ------------------------------------------------------------------------------------------------------------- lift
def _lift_inputs(rng):
    ori = make_grid("fibonacci", 7).points
    return normal(rng, 4, 2), normal(rng, 4, 3, 3), ori


def _lift(s, v, ori):
    return torch.stack([torch.cat((s, (v * o).sum(-1)), dim=-1) for o in ori], dim=1)  # one direction at a time


_LIFT = (
    ("the vectors stand before the scalars", lambda s, v, ori: _lift(s, v, ori).roll(v.shape[1], dims=-1)),
    ("scalars are divided by N; lifted, they have the same value s at every direction, and the readout is a mean",
     lambda s, v, ori: _lift(s / len(ori), v, ori)),
    ("vectors are made unit vectors first, so their lengths are lost",
     lambda s, v, ori: _lift(s, v / v.norm(dim=-1, keepdim=True), ori)),
    ("the factor d is put in here; it belongs to the reading", lambda s, v, ori: _lift(s, 3 * v, ori)),
    ("the component along o has lost its sign", lambda s, v, ori: _lift(s, v, ori).abs()),
)


def lift_all(fn: object, seed: int | None = None) -> Verdict:
    """04.1: `fn(s, v, ori)` lifts scalars [n, a] and vectors [n, b, d] to [n, N, a + b]."""
    return judge(fn, inputs=_lift_inputs, reference=_lift, mistakes=_LIFT, seed=seed)


# ------------------------------------------------------------------------------------------------------ read_vector
def _rings(rng):
    # Gauss-Legendre heights times equal angles, turned at random: a frame I/3 that needs its weights
    z, w = np.polynomial.legendre.leggauss(3)
    angle = 2 * np.pi * np.arange(4) / 4
    level, turn = (a.ravel() for a in np.meshgrid(z, angle, indexing="ij"))
    radius = np.sqrt(1 - level**2)
    points = torch.tensor(np.stack((radius * np.cos(turn), radius * np.sin(turn), level), axis=1))
    return Grid.from_points(points @ rotation(rng).T, w.repeat(4) / 8)


def _read_inputs(rng):
    grid = make_grid("circle", 5) if torch.rand((), generator=rng) < 0.5 else _rings(rng)
    v = normal(rng, 3, 2, grid.dim)
    return torch.einsum("ncd,od->noc", v, grid.points) + normal(rng, 3, 1, 2), grid.points, grid.weights


def _read(f, ori, weights):
    # the vector whose lift comes closest to f: weighted least squares, without the formula of the notebook
    root = weights.sqrt()[:, None]
    rows = (f * root).transpose(0, 1).flatten(1)  # [N, n·C]
    v = torch.linalg.lstsq(root * ori, rows).solution  # [d, n·C]
    return v.reshape(ori.shape[1], f.shape[0], f.shape[2]).permute(1, 2, 0)


def _moment(f, ori, weights):
    return torch.einsum("noc,o,od->ncd", f, weights, ori)


_READ = (
    ("the factor d is missing: a lifted vector comes back as v/d", _moment),
    ("the factor is 3 on the circle too; it is d, the number of components", lambda f, ori, w: 3 * _moment(f, ori, w)),
    ("all directions count alike; use the grid's weights",
     lambda f, ori, w: ori.shape[1] * _moment(f, ori, torch.full_like(w, 1 / len(w)))),
    ("weights are missing, and with them the 1/N of the mean",
     lambda f, ori, w: ori.shape[1] * _moment(f, ori, torch.ones_like(w))),
    ("it is divided by d instead of multiplied", lambda f, ori, w: _moment(f, ori, w) / ori.shape[1]),
)


def read_vector(fn: object, seed: int | None = None) -> Verdict:
    """04.2: `fn(f, ori, weights)` reads vectors [n, C, d] from signals [n, N, C], lifted ones unharmed."""
    return judge(fn, inputs=_read_inputs, reference=_read, mistakes=_READ, seed=seed)


# --------------------------------------------------------------------------------------------------------- read_any
def _any_inputs(rng):
    ori = unit(rng, 9, 3)
    weights = 0.2 + torch.rand(9, generator=rng, dtype=torch.float64)
    return ori @ normal(rng, 3) + 1 + normal(rng, 1).abs(), ori, weights / weights.sum()


def _any(f, ori, weights):
    # fit f(o) = v.o + c with four unknowns
    return torch.linalg.lstsq(torch.cat((ori, torch.ones(len(ori), 1).to(ori)), dim=1), f).solution[:3]


def _leaky(f, ori, w):
    return torch.linalg.solve((w[:, None] * ori).T @ ori, (w * f) @ ori)


def _centred(f, ori, w):
    return ori - w @ ori, f - w @ f


def _any_by(repair):
    def wrong(f, ori, w):
        o, g = _centred(f, ori, w)
        return repair((w[:, None] * o).T @ o, (w * g) @ o)
    return wrong


def _half_centred(f, ori, w):
    o, g = _centred(f, ori, w)
    return torch.linalg.solve((w[:, None] * ori).T @ ori, (w * g) @ o)


def _plain_mean(f, ori, w):
    o = ori - ori.mean(0)
    return torch.linalg.solve((w[:, None] * o).T @ o, (w * f) @ o)


_ANY = (
    ("the constant leaks in: the mean was not taken out", _leaky),
    ("the constant leaks in, and the factor 3 takes the place of the inverted frame",
     lambda f, ori, w: 3 * (w * f) @ ori),
    ("3 is the inverse of the frame only on a good grid; invert the matrix", _any_by(lambda frame, m: 3 * m)),
    ("it is multiplied by the frame instead of its inverse", _any_by(lambda frame, m: frame @ m)),
    ("the frame that is inverted is that of o, but what was read out is of o - m", _half_centred),
    ("the mean is taken without the grid's weights", _plain_mean),
)


def read_any(fn: object, seed: int | None = None) -> Verdict:
    """04.3: `fn(f, ori, weights)` finds v [3] from f(o) = v.o + c on any grid in general position."""
    return judge(fn, inputs=_any_inputs, reference=_any, mistakes=_ANY, seed=seed)


# ------------------------------------------------------------------------------------------------------ turn_signal
def _turn_inputs(rng):
    grid = make_grid("dodecahedron")
    rotations = grid.symmetries()[0]
    of_order_5 = rotations[((rotations.diagonal(dim1=1, dim2=2).sum(-1) - 1.618).abs() < 0.01)]
    R = of_order_5[int(torch.randint(len(of_order_5), (1,), generator=rng))]
    return normal(rng, 20), grid.points, R


def _turn(f, ori, R):
    return torch.stack([f[(ori - R.T @ o).norm(dim=-1).argmin()] for o in ori])  # g(o) = f(R^-1 o), one by one


_TURN = (
    ("it is turned the other way, g(o) = f(R o): the value goes from o to R o, and rows are turned by `ori @ R.T`",
     lambda f, ori, R: _turn(f, ori, R.T)),
    ("nothing is turned: g equals f", lambda f, ori, R: f.clone()),
    ("values go to -R o: the nearest point has the largest cosine, not the smallest", 
     lambda f, ori, R: torch.stack([f[(ori @ (R.T @ o)).argmin()] for o in ori])),
    ("it is turned twice", lambda f, ori, R: _turn(f, ori, R @ R)),
)


def turn_signal(fn: object, seed: int | None = None) -> Verdict:
    """04.4: `fn(f, ori, R)` turns a signal [N] by a rotation R of the grid's own: g(R o) = f(o)."""
    return judge(fn, inputs=_turn_inputs, reference=_turn, mistakes=_TURN, seed=seed)


# ------------------------------------------------------------------------------------------------------ read_matrix
def _matrix_inputs(rng):
    grid = make_grid("lebedev", 26)
    S = normal(rng, 3, 3) + torch.eye(3, dtype=torch.float64)
    return torch.einsum("oi,ij,oj->o", grid.points, S + S.T, grid.points), grid.points, grid.weights


def _matrix(f, ori, weights):
    # six unknowns, fitted
    i, j = torch.triu_indices(3, 3)
    columns = ori[:, i] * ori[:, j] * torch.where(i == j, 1.0, 2.0)
    S = ori.new_zeros(3, 3)
    S[i, j] = torch.linalg.lstsq(columns, f).solution
    return S + S.triu(1).T


def _second(f, ori, w):
    return torch.einsum("o,o,oi,oj->ij", w, f, ori, ori)


def _trace_part(Q):
    return Q.trace() * torch.eye(3, dtype=Q.dtype)


def _from_second(f, ori, w):
    Q = _second(f, ori, w)
    return 7.5 * Q - 1.5 * _trace_part(Q)


_MATRIX = (
    ("the trace comes back with another factor than the rest, and here both have 15/2",
     lambda f, ori, w: 7.5 * _second(f, ori, w)),
    ("the trace is lost: only the traceless part came back",
     lambda f, ori, w: 7.5 * _second(f, ori, w) - 2.5 * _trace_part(_second(f, ori, w))),
    ("the factor is d = 3, as for vectors; a matrix has 15/2 for its traceless part",
     lambda f, ori, w: 3 * _second(f, ori, w)),
    ("no factor at all: what is read out is (2 S + tr S) / 15", _second),
    ("all directions count alike; use the grid's weights",
     lambda f, ori, w: _from_second(f, ori, torch.full_like(w, 1 / len(w)))),
)


def read_matrix(fn: object, seed: int | None = None) -> Verdict:
    """04.5: `fn(f, ori, weights)` finds the symmetric S [3, 3] from f(o) = o.S o, trace included."""
    return judge(fn, inputs=_matrix_inputs, reference=_matrix, mistakes=_MATRIX, seed=seed)
