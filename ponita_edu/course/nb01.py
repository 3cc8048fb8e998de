"""Checks of notebook 01: motions, orbits, stabilisers. Points are float64, a motion is a pair (R [3, 3], b [3])."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ponita_edu.course.fresh import normal, rotation, unit, whole
from ponita_edu.course.verdict import Verdict, Where, judge
from ponita_edu.geometry import axis_angle, invariants_r3s2_e3, invariants_r3s2_se3

__all__ = ["keeps", "motion_to", "move", "orbit_dimension", "same_class", "seen_from"]

_X, _Y, _Z = torch.eye(3, dtype=torch.float64)


def move(fn: object, seed: int | None = None) -> Verdict:
    """01.1: `fn(R, b, P)` is R p + b for every row p of P [n, 3]. The reference takes the rows one by one."""
    return judge(
        fn,
        inputs=lambda g: (rotation(g), normal(g, 3), normal(g, whole(g, 2, 7), 3)),
        reference=lambda R, b, P: torch.stack([torch.einsum("ij,j->i", R, p) + b for p in P]),
        mistakes=[
            ("R acts on columns, and here on rows: this is the inverse rotation", lambda R, b, P: P @ R + b),
            ("it shifts first and then turns", lambda R, b, P: (P + b) @ R.T),
            ("the shift is missing", lambda R, b, P: P @ R.T),
            ("it is the inverse motion", lambda R, b, P: (P - b) @ R),
            ("the points come back as columns", lambda R, b, P: R @ P.T + b[:, None]),
            ("the shift is subtracted", lambda R, b, P: P @ R.T - b),
        ],
        seed=seed,
    )


def seen_from(fn: object, seed: int | None = None) -> Verdict:
    """01.2: `fn(g, h)` is g⁻¹h as (R, b). The reference multiplies 4 × 4 matrices."""

    def matrix(R: Tensor, b: Tensor) -> Tensor:
        whole_motion = torch.eye(4, dtype=torch.float64)
        whole_motion[:3, :3], whole_motion[:3, 3] = R, b
        return whole_motion

    def product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return (a @ b)[:3, :3], (a @ b)[:3, 3]

    return judge(
        fn,
        inputs=lambda g: ((rotation(g), normal(g, 3)), (rotation(g), normal(g, 3))),
        reference=lambda g, h: product(matrix(*g).inverse(), matrix(*h)),
        mistakes=[
            ("g and h are exchanged: this is g as seen from h", lambda g, h: product(matrix(*h).inverse(), matrix(*g))),
            ("the order is wrong: h g⁻¹ moves g to h, as seen from outside",
             lambda g, h: product(matrix(*h), matrix(*g).inverse())),
            ("nothing is undone: this is gh", lambda g, h: product(matrix(*g), matrix(*h))),
            ("the shift is not turned into the axes of g", lambda g, h: (g[0].T @ h[0], h[1] - g[1])),
            ("the shift is turned the wrong way, by R and not by its transpose",
             lambda g, h: (g[0].T @ h[0], g[0] @ (h[1] - g[1]))),
            ("the shift of g is not subtracted", lambda g, h: (g[0].T @ h[0], g[0].T @ h[1])),
        ],
        seed=seed,
    )  # fmt: skip


def keeps(fn: object, seed: int | None = None) -> Verdict:
    """01.3: `fn(R, b, p, o)`: does (R, b) keep the place p and the arrow o, within 1e-9, and is it no mirror?"""

    def inputs(generator: torch.Generator) -> tuple:
        p, o, other = normal(generator, 3), unit(generator, 3), unit(generator, 3)
        angle = 0.3 + 5 * torch.rand((), generator=generator, dtype=torch.float64)
        kind = whole(generator, 0, 5)
        R = axis_angle({1: other, 4: p - o}.get(kind, o), angle)  # 4 keeps the places p and o
        if kind == 2:  # the mirror in a plane that holds o
            across = normalize(torch.linalg.cross(o, other), dim=0)
            R = torch.eye(3, dtype=torch.float64) - 2 * torch.outer(across, across)
        return R, p - R @ p if kind != 3 else torch.zeros(3, dtype=torch.float64), p, o

    def right(R: Tensor, b: Tensor, p: Tensor, o: Tensor) -> bool:
        moving = torch.cat((R - torch.eye(3, dtype=R.dtype), b[:, None]), dim=1)  # [3, 4], acts on (p, 1) and (o, 0)
        ends = torch.stack((torch.cat((p, p.new_ones(1))), torch.cat((o, o.new_zeros(1)))), dim=1)
        return bool((moving @ ends).abs().max() < 1e-9) and bool(torch.linalg.det(R) > 0)

    def near(a: Tensor, b: Tensor) -> bool:
        return bool((a - b).abs().max() < 1e-9)

    return judge(
        fn,
        inputs=inputs,
        reference=right,
        mistakes=[
            ("only the place is asked about, not the arrow",
             lambda R, b, p, o: near(R @ p + b, p) and bool(torch.linalg.det(R) > 0)),
            ("only the arrow is asked about, not the place",
             lambda R, b, p, o: near(R @ o, o) and bool(torch.linalg.det(R) > 0)),
            ("a mirror is let through", lambda R, b, p, o: near(R @ o, o) and near(R @ p + b, p)),
            ("the arrow is shifted as if it were a place",
             lambda R, b, p, o: near(R @ o + b, o) and near(R @ p + b, p)),
            ("the place alone is asked about, and a mirror is let through", lambda R, b, p, o: near(R @ p + b, p)),
            ("the arrow alone is asked about, and a mirror is let through", lambda R, b, p, o: near(R @ o, o)),
            ("it says yes to every motion", lambda *_: True),
            ("it says no too often: rounding must be allowed for (no ==), and R acts on columns",
             Where(lambda came, *motion: not came or right(*motion))),
        ],
        n=40,
        seed=seed,
    )  # fmt: skip


def orbit_dimension(fn: object, seed: int | None = None) -> Verdict:
    """01.4: `fn(P)`: the dimension of the orbit of the places P [n, 3], together, under SE(3).

    The reference looks at the shape of the cloud: a point 3, a line 5, anything else 6.
    """

    def inputs(generator: torch.Generator) -> tuple:
        n, kind = whole(generator, 2, 6), whole(generator, 0, 4)
        spread = normal(generator, n, 3) * (kind > 0)
        if kind == 1:
            spread = normal(generator, n, 1) * unit(generator, 3)
        return (normal(generator, 3) + spread,) if kind < 3 else (spread,)

    def shape(P: Tensor) -> int:
        return {0: 3, 1: 5}.get(int(torch.linalg.matrix_rank(P - P.mean(0), atol=1e-9)), 6)

    def turns(P: Tensor) -> int:
        return int(torch.linalg.matrix_rank(torch.stack([torch.linalg.cross(e.expand_as(P), P) for e in (_X, _Y, _Z)])
                                            .flatten(1), atol=1e-9))  # fmt: skip

    return judge(
        fn,
        inputs=inputs,
        reference=shape,
        mistakes=[
            ("this is the dimension of the stabiliser, 6 minus the orbit's", lambda P: 6 - shape(P)),
            ("the shifts are forgotten, only turns about the origin are counted", turns),
            ("the turns are forgotten, only shifts are counted", lambda P: 3),
            ("every cloud gets 6, also places on one line or all in one", lambda P: 6),
            ("the dimension of the cloud is taken about the origin, not about its own centre",
             lambda P: {0: 3, 1: 5}.get(int(torch.linalg.matrix_rank(P, atol=1e-9)), 6)),
            ("every place is given 3 dimensions of its own; a motion moves all together", lambda P: 3 * len(P)),
        ],
        n=40,
        seed=seed,
    )  # fmt: skip


def motion_to(fn: object, seed: int | None = None) -> Verdict:
    """01.5: `fn(p, o)` is any proper motion (R, b) that takes the arrow along z at the origin to (p, o)."""

    def half_turn(p: Tensor, o: Tensor) -> tuple[Tensor, Tensor]:
        n = normalize(o + _Z, dim=0)
        return 2 * torch.outer(n, n) - torch.eye(3, dtype=torch.float64), p

    def near(a: Tensor, b: Tensor) -> bool:
        return bool((a - b).abs().max() < 1e-9)

    def orthogonal(R: Tensor) -> bool:
        return near(R @ R.T, torch.eye(3, dtype=R.dtype))

    return judge(
        fn,
        inputs=lambda g: (normal(g, 3), unit(g, 3)),
        reference=half_turn,
        mistakes=[
            ("R is no rotation: R Rᵀ is not the identity", Where(lambda g, p, o: not orthogonal(g[0]))),
            ("R is a mirror, its determinant is -1", Where(lambda g, p, o: bool(torch.linalg.det(g[0]) < 0))),
            ("it takes (p, o) to the reference arrow, not the other way",
             Where(lambda g, p, o: near(g[0] @ o, _Z) and near(g[0] @ p + g[1], 0 * p))),
            ("R takes the arrow o to z, not z to o", Where(lambda g, p, o: near(g[0] @ o, _Z))),
            ("R takes x to the arrow o, and z was asked", Where(lambda g, p, o: near(g[0] @ _X, o))),
            ("the arrow is right, the place is not: the origin must go to p",
             Where(lambda g, p, o: near(g[0] @ _Z, o) and not near(g[1], p))),
            ("the place is right, the arrow is not turned to o",
             Where(lambda g, p, o: near(g[1], p) and not near(g[0] @ _Z, o))),
        ],
        tolerance=1e-9,
        view=lambda g, p, o: (g[0] @ _Z, g[1], g[0] @ g[0].T, torch.linalg.det(g[0])),
        seed=seed,
    )  # fmt: skip


def same_class(fn: object, seed: int | None = None) -> Verdict:
    """01.6: `fn(r, o_s, r2, o_s2)`: is there a rotation about z that takes (r, o_s) to (r2, o_s2), within 1e-9?

    The reference compares the complete numbers of notebook 02, with z as the receiver's arrow.
    """

    def inputs(generator: torch.Generator) -> tuple:
        r, o = normal(generator, 3), unit(generator, 3)
        turn, more = (axis_angle(_Z, 6 * torch.rand((), generator=generator, dtype=torch.float64)) for _ in range(2))
        mirror = torch.diag(torch.tensor([1.0, -1, 1], dtype=torch.float64))
        moved = [(r, o), (r, o), (r, more @ o), (mirror @ r, mirror @ o), (r, unit(generator, 3)), (r + 0.2 * _Z, o),
                 (r * (1.3 - 0.3 * _Z), o)]
        return r, o, *(turn @ x for x in moved[whole(generator, 0, 7)])

    def same(numbers: object, r: Tensor, o: Tensor, r2: Tensor, o2: Tensor) -> bool:
        return bool((numbers(r, _Z, o) - numbers(r2, _Z, o2)).abs().max() < 1e-9)

    def not_wrapped(r: Tensor, o: Tensor, r2: Tensor, o2: Tensor) -> bool:
        between, between2 = (torch.atan2(a[1], a[0]) - torch.atan2(b[1], b[0]) for a, b in ((r, o), (r2, o2)))
        return same(lengths, r, o, r2, o2) and bool((between - between2).abs() < 1e-9)

    def lengths(r: Tensor, _: Tensor, o: Tensor) -> Tensor:
        return torch.stack((r[2], o[2], r[:2].norm(), o[:2].norm()))

    return judge(
        fn,
        inputs=inputs,
        reference=lambda *pair: same(invariants_r3s2_se3, *pair),
        mistakes=[
            ("a pair and its mirror image are called the same: the angle between the flat parts has a sign",
             lambda *pair: same(invariants_r3s2_e3, *pair)),
            ("the sender's arrow may turn by another angle than its place", lambda *pair: same(lengths, *pair)),
            ("the sender's arrow is not looked at", lambda *pair: same(lambda r, z, o: lengths(r, z, r), *pair)),
            ("the distance of the sender's place from the axis is not looked at", lambda *pair: same(
                lambda r, z, o: invariants_r3s2_se3(normalize(r * (1 - z), dim=0) + r * z, z, o), *pair)),
            ("the heights are not looked at", lambda *pair: same(
                lambda r, z, o: invariants_r3s2_se3(r * (1 - z), z, normalize(o * (1 - z), dim=0)), *pair)),
            ("a difference of two angles jumps by 2π; bring it back to (-π, π], or compare its sine and cosine",
             not_wrapped),
            ("it asks whether the two are equal, with no rotation at all",
             lambda r, o, r2, o2: bool(torch.allclose(r, r2) and torch.allclose(o, o2))),
            ("it says yes to every two", lambda *_: True),
            ("it says no too often: rounding must be allowed for (no ==), and any rotation about z",
             Where(lambda came, *pair: not came or same(invariants_r3s2_se3, *pair))),
        ],
        n=60,
        seed=seed,
    )  # fmt: skip
