"""Checks of notebook 01: motions, orbits, stabilisers. Points are float64."""

import torch
from torch import Tensor

from ponita_edu.course.verdict import Verdict, judge
from ponita_edu.geometry import random_rotations

__all__ = ["move"]


def _motion(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return random_rotations(1, generator=generator)[0], _normal(generator, 3)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def move(fn: object, seed: int | None = None) -> Verdict:
    """01.1: `fn(R, b, P)` is R p + b for every row p of P [n, 3]. The reference takes the rows one by one."""

    def inputs(generator: torch.Generator) -> tuple:
        n = int(torch.randint(2, 7, (), generator=generator))
        return *_motion(generator), _normal(generator, n, 3)

    return judge(
        fn,
        inputs=inputs,
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
