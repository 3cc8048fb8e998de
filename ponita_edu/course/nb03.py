"""Checks of notebook 03: grids of directions. Points are unit vectors [N, 3], weights [N] sum to 1, all float64."""

import math

import torch
from torch import Tensor

from ponita_edu.course.fresh import normal, rotation, unit, whole
from ponita_edu.course.verdict import Verdict, Where, judge
from ponita_edu.geometry import make_grid

__all__ = ["opposite", "permutation", "ring_weights", "separation", "sphere_mean"]

_SOLIDS = ("tetrahedron", "octahedron", "cube", "icosahedron", "dodecahedron")


def ring_weights(fn: object, seed: int | None = None) -> Verdict:
    """03.1: `fn(theta)` [n]: weights of rings at polar angles θ (radians), in proportion to their length, sum 1."""

    def inputs(generator: torch.Generator) -> tuple:
        return (math.pi * (0.02 + 0.96 * torch.rand(whole(generator, 3, 9), generator=generator, dtype=torch.float64)),)

    def share(length: Tensor) -> Tensor:
        return length / length.sum()

    return judge(
        fn,
        inputs=inputs,
        reference=lambda theta: share((1 - theta.cos() ** 2).sqrt()),
        mistakes=[
            ("all rings get the same weight, though those at the poles are short", lambda t: 0 * t + 1 / len(t)),
            ("the weights do not sum to 1", lambda t: t.sin()),
            ("the weights do not sum to 1, they are lengths of rings", lambda t: 2 * math.pi * t.sin()),
            ("the cosine was taken: θ is measured from the pole, not from the equator", lambda t: share(t.cos())),
            ("the cosine was taken: θ is measured from the pole, not from the equator", lambda t: share(t.cos().abs())),
            ("θ is in radians, and was taken for degrees", lambda t: share(t.deg2rad().sin())),
            ("the length of a ring is in proportion to sin θ, not to its square", lambda t: share(t.sin() ** 2)),
            ("the mean is taken, and the sum must be 1", lambda t: t.sin() / t.sin().mean()),
        ],
        seed=seed,
    )


def sphere_mean(fn: object, seed: int | None = None) -> Verdict:
    """03.2: `fn(f, points, weights)` is Σ w_i f(o_i), a number, for f from [N, 3] to [N]. The reference is a loop."""

    def inputs(generator: torch.Generator) -> tuple:
        A, a = normal(generator, 3, 3), normal(generator, 3)
        points = unit(generator, whole(generator, 4, 13), 3)
        weights = 0.1 + torch.rand(len(points), generator=generator, dtype=torch.float64)
        return lambda o: torch.einsum("ni,ij,nj->n", o, A, o) + o @ a + 1, points, weights / weights.sum()

    def mean(f: object, points: Tensor, weights: Tensor) -> Tensor:
        return sum(w * f(o[None])[0] for o, w in zip(points, weights, strict=True))

    return judge(
        fn,
        inputs=inputs,
        reference=mean,
        mistakes=[
            ("the weights are not used: this is the plain mean", lambda f, p, w: f(p).mean()),
            ("the weights are not used: this is the plain sum", lambda f, p, w: f(p).sum()),
            ("it is the integral, 4π times the mean", lambda *a: 4 * math.pi * mean(*a)),
            ("it is divided by N, which the weights have done already", lambda f, p, w: mean(f, p, w) / len(p)),
            ("f is taken at the mean direction, and the mean of f was asked", lambda f, p, w: f((w @ p)[None])[0]),
            ("the weighted values are not summed", lambda f, p, w: w * f(p)),
        ],
        seed=seed,
    )


def opposite(fn: object, seed: int | None = None) -> Verdict:
    """03.3: `fn(points)` [N], int64: the index of −o_i to 1e-9, or −1 if it is not there. The reference is a loop."""

    def inputs(generator: torch.Generator) -> tuple:
        points = make_grid(_SOLIDS[whole(generator, 0, 5)]).points
        keep = torch.randperm(len(points), generator=generator)[: whole(generator, 3, len(points) + 1)]
        return (points[keep] @ rotation(generator).T + 1e-12 * normal(generator, len(keep), 3),)

    def index(P: Tensor) -> Tensor:
        where = [[j for j, q in enumerate(P) if float((p + q).norm()) < 1e-9] for p in P]
        return torch.tensor([found[0] if found else -1 for found in where])

    def as_asked_but(missing: bool, came: Tensor, P: Tensor) -> bool:
        return bool((came == index(P))[(index(P) == -1) == missing].all())

    return judge(
        fn,
        inputs=inputs,
        reference=index,
        mistakes=[
            ("it finds the point itself, not its opposite", lambda P: (P @ P.T).argmax(1)),
            ("it finds the nearest other point", lambda P: (P @ P.T - 3 * torch.eye(len(P)).double()).argmax(1)),
            ("0 stands for missing, and -1 was asked", lambda P: index(P).clamp(min=0)),
            ("it gives the opposite directions, and their indices were asked", lambda P: -P),
            ("where no opposite is in the grid, it gives an index and not -1",
             Where(lambda came, P: as_asked_but(False, came, P))),
            ("it misses opposites, as exact equality (==) would: rounding is not allowed for",
             Where(lambda came, P: as_asked_but(True, came, P))),
        ],
        seed=seed,
    )  # fmt: skip


def permutation(fn: object, seed: int | None = None) -> Verdict:
    """03.4: `fn(points, R)` [N], int64: R o_i is point number perm[i]. The reference rebuilds R from the permutation.

    The inputs are Platonic grids in random order and position, with a rotation that permutes them.
    """

    def inputs(generator: torch.Generator) -> tuple:
        grid = make_grid(_SOLIDS[whole(generator, 0, 5)])
        turn, order = rotation(generator), torch.randperm(len(grid), generator=generator)
        own = grid.symmetries()[0]
        R = own[whole(generator, 1, len(own))]
        return (grid.points @ turn.T)[order], turn @ R @ turn.T

    def find(P: Tensor, Q: Tensor) -> Tensor:
        return torch.tensor([min(range(len(Q)), key=lambda j: float((Q[j] - p).norm())) for p in P])

    def exact(P: Tensor, R: Tensor) -> Tensor:
        return find(torch.stack([R @ p for p in P]), P)

    return judge(
        fn,
        inputs=inputs,
        reference=exact,
        mistakes=[
            ("it is the inverse permutation: R was applied to rows, or looked up the wrong way",
             lambda P, R: find(torch.stack([R.T @ p for p in P]), P)),
            ("nothing is turned: every point is found at its own place", lambda P, R: torch.arange(len(P))),
            ("it gives the turned points, and their indices were asked", lambda P, R: P @ R.T),
            ("it finds the point farthest from R o, not the nearest", lambda P, R: (P @ R.T @ P.T).argmin(1)),
        ],
        seed=seed,
    )  # fmt: skip


def separation(fn: object, seed: int | None = None) -> Verdict:
    """03.5: `fn(points)`: the smallest angle between two points, radians. The reference is atan2 of sine and cosine."""

    def inputs(generator: torch.Generator) -> tuple:
        points = unit(generator, whole(generator, 4, 8), 3)
        if whole(generator, 0, 2):  # two of them nearly opposite, which is no nearness
            points[1] = torch.nn.functional.normalize(-points[0] + 0.1 * points[2], dim=0)
        return (points,)

    def angles(P: Tensor) -> Tensor:
        i, j = torch.triu_indices(len(P), len(P), 1)
        return torch.atan2(torch.linalg.cross(P[i], P[j]).norm(dim=1), (P[i] * P[j]).sum(1))

    return judge(
        fn,
        inputs=inputs,
        reference=lambda P: angles(P).min(),
        mistakes=[
            ("it is the distance of the points to themselves, which is 0", lambda P: torch.zeros(())),
            ("it is the largest angle, and the smallest was asked", lambda P: angles(P).max()),
            ("it is the straight distance of the two, and their angle was asked", lambda P: torch.pdist(P).min()),
            ("it is the cosine of the angle", lambda P: angles(P).min().cos()),
            ("it is half the angle: arcsin(d/2) of the distance d must be doubled", lambda P: angles(P).min() / 2),
            ("o and -o are taken for near: the sign of the cosine is lost",
             lambda P: torch.minimum(angles(P), math.pi - angles(P)).min()),
        ],
        tolerance=1e-7,  # a distance of a point to itself by arccos is 0 only to half the digits
        seed=seed,
    )  # fmt: skip
