"""Checks of notebook 02: numbers that name classes of pairs. Batches of vectors are [n, d], float64, r = p_s − p_t."""

import math

import torch
from torch import Tensor

from ponita_edu.course.fresh import normal, rotation, unit, whole
from ponita_edu.course.verdict import Verdict, Where, judge, judge_value
from ponita_edu.geometry import make_grid

__all__ = ["another_arrow", "determinant", "four_numbers", "signed_angle", "weights_needed"]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("ni,ni->n", a, b)


def four_numbers(fn: object, seed: int | None = None) -> Verdict:
    """02.1: `fn(p_t, o_t, p_s, o_s)` is (r·o_t, r·o_s, o_t·o_s, |r|²) [n, 4]. The reference reads a Gram matrix."""

    def gram(r: Tensor, o_t: Tensor, o_s: Tensor) -> Tensor:
        sides = torch.stack((r, o_t, o_s), dim=-1)  # [n, 3, 3]
        return sides.mT @ sides

    def numbers(p_t: Tensor, o_t: Tensor, p_s: Tensor, o_s: Tensor) -> Tensor:
        products = gram(p_s - p_t, o_t, o_s)
        return torch.stack((products[:, 0, 1], products[:, 0, 2], products[:, 1, 2], products[:, 0, 0]), dim=1)

    def changed(column: int, how: object) -> object:
        def mistaken(*pair: Tensor) -> Tensor:
            right = numbers(*pair)
            right[:, column] = how(right[:, column])
            return right

        return mistaken

    def normed(p_t: Tensor, o_t: Tensor, p_s: Tensor, o_s: Tensor) -> Tensor:
        return numbers(0 * p_t, o_t, torch.nn.functional.normalize(p_s - p_t, dim=-1), o_s)

    return judge(
        fn,
        inputs=lambda g: (lambda n: (normal(g, n, 3), unit(g, n, 3), normal(g, n, 3), unit(g, n, 3)))(whole(g, 2, 7)),
        reference=numbers,
        mistakes=[
            ("r points from the sender to the receiver: sender minus receiver was asked",
             lambda p_t, o_t, p_s, o_s: numbers(p_s, o_t, p_t, o_s)),
            ("the arrows of sender and receiver are exchanged",
             lambda p_t, o_t, p_s, o_s: numbers(p_t, o_s, p_s, o_t)),
            ("receiver and sender are exchanged", lambda p_t, o_t, p_s, o_s: numbers(p_s, o_s, p_t, o_t)),
            ("r is normalised, so that the distance is lost", normed),
            ("the last number is |r|, and |r|² was asked", changed(3, torch.sqrt)),
            ("the third number is the angle, and its cosine was asked", changed(2, torch.arccos)),
            ("the sender's place is taken for r, the receiver's is not subtracted",
             lambda p_t, o_t, p_s, o_s: numbers(0 * p_t, o_t, p_s, o_s)),
            ("the four numbers of a pair stand in a column, and a row was asked", lambda *pair: numbers(*pair).T),
        ],
        seed=seed,
    )  # fmt: skip


def determinant(fn: object, seed: int | None = None) -> Verdict:
    """02.2: `fn(r, o_t, o_s)` is det[r, o_t, o_s] [n], the vectors as columns. The reference is the triple product."""

    def volume(r: Tensor, o_t: Tensor, o_s: Tensor) -> Tensor:
        return _dot(r, torch.linalg.cross(o_t, o_s))

    return judge(
        fn,
        inputs=lambda g: (lambda n: (normal(g, n, 3), unit(g, n, 3), unit(g, n, 3)))(whole(g, 2, 7)),
        reference=volume,
        mistakes=[
            ("two of the three vectors are exchanged, which changes the sign", lambda *v: -volume(*v)),
            ("the sign is lost, and the sign is all that is new", lambda *v: volume(*v).abs()),
            ("the square is invariant under mirrors", lambda *v: volume(*v) ** 2),
            ("only the sign is left, which jumps", lambda *v: volume(*v).sign()),
            ("it is the volume of the tetrahedron, a sixth of the determinant", lambda *v: volume(*v) / 6),
            ("r is normalised", lambda r, a, b: volume(r, a, b) / r.norm(dim=-1)),
        ],
        seed=seed,
    )


def signed_angle(fn: object, seed: int | None = None) -> Verdict:
    """02.3: `fn(o_t, o_s)` is the angle from o_t to o_s [n] in (−π, π]. The reference divides complex numbers."""

    def inputs(generator: torch.Generator) -> tuple:
        n = whole(generator, 4, 9)
        start, turn = (math.pi * (2 * torch.rand(n, generator=generator, dtype=torch.float64) - 1) for _ in range(2))
        return tuple(torch.stack((angle.cos(), angle.sin()), dim=-1) for angle in (start, start + turn))

    def angle(o_t: Tensor, o_s: Tensor) -> Tensor:
        return torch.angle(torch.view_as_complex(o_s) / torch.view_as_complex(o_t))

    def not_wrapped(o_t: Tensor, o_s: Tensor) -> Tensor:
        return torch.atan2(o_s[:, 1], o_s[:, 0]) - torch.atan2(o_t[:, 1], o_t[:, 0])

    return judge(
        fn,
        inputs=inputs,
        reference=angle,
        mistakes=[
            ("the turn is from o_s to o_t: the angle has the wrong sign", lambda o_t, o_s: angle(o_s, o_t)),
            ("the sign is lost, as arccos does: +angle and -angle are two classes", lambda *o: angle(*o).abs()),
            ("a difference of two angles must be brought back to (-π, π]", not_wrapped),
            ("it runs from 0 to 2π, and (-π, π] was asked", lambda *o: angle(*o) % (2 * math.pi)),
            ("it is the cosine, and the angle was asked", lambda *o: angle(*o).cos()),
            ("it is the sine, and the angle was asked", lambda *o: angle(*o).sin()),
            ("arcsin reaches only from -π/2 to π/2; use atan2 of sine and cosine",
             lambda *o: angle(*o).sin().arcsin()),
            ("arctan of the ratio reaches only from -π/2 to π/2; use atan2 of sine and cosine",
             lambda *o: angle(*o).tan().arctan()),
        ],
        tolerance=1e-7,  # arcsin and arccos of a mistake lose half the digits near ±1
        seed=seed,
    )  # fmt: skip


GIVEN_R = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
GIVEN_ARROW = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)


def another_arrow(value: object) -> Verdict:
    """02.4: an arrow o_s [3] at r = (2, 1, 0.5) with the triple of (0.6, 0, 0.8), but of another E(3) class.

    The receiver is at the origin, o_t = z; so |o_s| = 1, o_s·z = 0.8 and r·o_s ≠ 1.6.
    """

    def near(a: Tensor | float, b: Tensor | float) -> bool:
        return bool((torch.as_tensor(a) - torch.as_tensor(b)).abs().max() < 1e-6)

    return judge_value(
        value,
        like=GIVEN_ARROW,
        faults=[
            ("it is the given arrow", lambda o: near(o, GIVEN_ARROW)),
            ("an arrow must have length 1", lambda o: not near(o.norm(), 1.0)),
            ("the angle to the receiver's arrow has another sign, and with it the triple", lambda o: near(o[2], -0.8)),
            ("the triple is another one: o_t·o_s must stay", lambda o: not near(o[2], 0.8)),
            ("a mirror takes it to the given pair: r·o_s is the same", lambda o: near(o @ GIVEN_R.to(o.dtype), 1.6)),
        ],
    )


def weights_needed(fn: object, seed: int | None = None) -> Verdict:
    """02.5: `fn(P)`: how many different weights a linear layer on the places P [n, 3] has that commutes with E(3).

    One for each distance, 0 included, to 1e-6. The reference walks through the sorted squared distances.
    """

    def inputs(generator: torch.Generator) -> tuple:
        name = ("tetrahedron", "octahedron", "cube", "icosahedron", "dodecahedron")[whole(generator, 0, 5)]
        places = make_grid(name).points
        keep = torch.randperm(len(places), generator=generator)[: whole(generator, 3, len(places) + 1)]
        return (places[keep] @ rotation(generator).T * 2 + normal(generator, 3),)

    def distances(P: Tensor) -> Tensor:
        return (P[:, None] - P[None]).square().sum(-1).flatten().sort().values.sqrt()

    def count(P: Tensor) -> int:
        return 1 + int((distances(P).diff() > 1e-6).sum())

    return judge(
        fn,
        inputs=inputs,
        reference=count,
        mistakes=[
            ("distance 0 is forgotten: a place also sends to itself", lambda P: count(P) - 1),
            ("distance 0 is counted twice", lambda P: count(P) + 1),
            ("every pair gets its own weight; equal distances must share one", lambda P: len(P) ** 2),
            ("every pair of two places gets its own weight; equal distances must share one",
             lambda P: len(P) * (len(P) - 1) // 2),
            ("every two places get their own weight, and a place with itself; equal distances must share one",
             lambda P: len(P) * (len(P) + 1) // 2),
            ("t→s and s→t are counted as two classes", lambda P: 2 * count(P) - 1),
            ("the pairs are counted that are at one distance, and not the distances",
             lambda P: int((distances(P) > 1e-6).sum())),
            ("distances that differ by rounding alone are counted as different",
             Where(lambda came, P: count(P) <= came <= len(P) ** 2)),
        ],
        n=30,
        seed=seed,
    )  # fmt: skip
