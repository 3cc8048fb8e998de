"""Checks of notebook 08: depth, views, mirrors, handedness. Points are float64 tensors."""

import math

import torch
from torch import Tensor

from ponita_edu.course.fresh import normal, whole
from ponita_edu.course.verdict import Verdict, judge

__all__ = ["handedness", "layers_for_a_chain", "mirror_matrix", "signed_volume", "views"]


def layers_for_a_chain(fn: object, seed: int | None = None) -> Verdict:
    """08.1: `fn(k)` is how many layers a k-chain needs. The reference passes sets of atoms along the chain."""

    def reference(k: int) -> int:
        heard, layers = [{i} for i in range(k + 2)], 0
        while not any({0, k + 1} <= each for each in heard):
            heard = [set().union(*heard[max(i - 1, 0) : i + 2]) for i in range(k + 2)]
            layers += 1
        return layers

    bent = "the bent ends are atoms too, and k + 1 bonds lead from one to the other"
    return judge(
        fn,
        inputs=lambda generator: (whole(generator, 2, 30),),
        reference=reference,
        mistakes=[
            ("one end need not hear from the other; an atom in the middle need only hear from both", lambda k: k + 1),
            (bent, lambda k: (k + 1) // 2),
            (bent, lambda k: k // 2),
            ("that is the number of atoms in the straight part", lambda k: k),
            ("layers come whole, so half of the k + 1 bonds must be rounded up", lambda k: (k + 1) / 2),
        ],
        seed=seed,
    )


def views(fn: object, seed: int | None = None) -> Verdict:
    """08.2: `fn(pos)` [n, n − 1] holds what each atom sees. The reference measures and sorts in plain Python."""

    def reference(pos: Tensor) -> Tensor:
        points = pos.tolist()
        seen = [sorted(math.dist(a, b) for j, b in enumerate(points) if j != i) for i, a in enumerate(points)]
        return torch.tensor(seen, dtype=pos.dtype)

    def all_pairs(pos: Tensor) -> Tensor:
        return (pos[:, None] - pos).norm(dim=-1)

    def others(pos: Tensor) -> Tensor:
        return all_pairs(pos)[~torch.eye(len(pos), dtype=torch.bool)].reshape(len(pos), -1)

    return judge(
        fn,
        inputs=lambda generator: (normal(generator, whole(generator, 4, 9), 3),),
        reference=reference,
        mistakes=[
            ("each list holds the distance 0 of the atom to itself", lambda pos: all_pairs(pos).sort(dim=1).values),
            ("the distances are squared", lambda pos: others(pos).sort(dim=1).values ** 2),
            ("the lists are not sorted, so they depend on how the atoms are numbered", others),
            ("it sorts down the columns, and each row is what one atom sees", lambda pos: others(pos).sort(0).values),
            ("it sorts from far to near", lambda pos: others(pos).sort(dim=1, descending=True).values),
        ],
        tolerance=1e-6,  # torch.cdist may round that much
        seed=seed,
    )


def mirror_matrix(fn: object, seed: int | None = None) -> Verdict:
    """08.3: `fn(normal)` [3, 3] mirrors in the plane through 0. The reference turns the plane into x = 0."""

    def reference(n: Tensor) -> Tensor:
        frame = torch.linalg.qr(torch.cat((n[:, None], torch.eye(3, dtype=n.dtype)), dim=1)).Q  # first column along n
        return frame @ torch.diag(torch.tensor([-1.0, 1, 1], dtype=n.dtype)) @ frame.T

    one = torch.eye(3, dtype=torch.float64)
    return judge(
        fn,
        inputs=lambda generator: (2 * normal(generator, 3),),
        reference=reference,
        mistakes=[
            ("the normal is not of length 1, so n nᵀ must be divided by |n|²", lambda n: one - 2 * torch.outer(n, n)),
            ("n nᵀ must be divided by |n|², not by |n|", lambda n: one - 2 * torch.outer(n, n) / n.norm()),
            ("it projects onto the plane, as the factor 2 is missing", lambda n: one - torch.outer(n, n) / (n @ n)),
            ("it inverts all three directions, and a mirror inverts one", lambda n: -one),
            ("it is the half turn about the normal, and no mirror", lambda n: 2 * torch.outer(n, n) / (n @ n) - one),
            ("it adds where it must subtract", lambda n: one + 2 * torch.outer(n, n) / (n @ n)),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def signed_volume(fn: object, seed: int | None = None) -> Verdict:
    """08.4: `fn(points)` of four points [4, 3]. The reference is a determinant of four rows (1, p)."""

    def edges(p: Tensor) -> Tensor:
        return torch.linalg.det(p[1:] - p[0])

    return judge(
        fn,
        inputs=lambda generator: (1 + normal(generator, 4, 3),),
        reference=lambda p: torch.linalg.det(torch.cat((torch.ones(4, 1, dtype=p.dtype), p), dim=1)) / 6,
        mistakes=[
            ("the absolute value hides the sign, which tells left from right", lambda p: edges(p).abs() / 6),
            ("it is the volume of the parallelepiped, six times as large", edges),
            ("a tetrahedron fills a sixth of the parallelepiped, not a third", lambda p: edges(p) / 3),
            ("a tetrahedron fills a sixth of the parallelepiped, not half of it", lambda p: edges(p) / 2),
            ("the edges start at the origin and not at point 0", lambda p: torch.linalg.det(p[1:]) / 6),
            ("two edges have changed places or all point backwards, so the sign is wrong", lambda p: -edges(p) / 6),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def handedness(fn: object, seed: int | None = None) -> Verdict:
    """08.5: `fn(arms, numbers)` is +1 for R, −1 for S. The reference looks from afar and compares angles."""

    def one(arms: Tensor, rank: Tensor) -> float:
        first, second, third, last = arms[rank.argsort(descending=True)]
        towards_eye = -last / last.norm()
        across = first - (first @ towards_eye) * towards_eye
        up = torch.linalg.cross(towards_eye, across)  # from `across` a quarter turn anticlockwise
        angle = [math.atan2(v @ up, v @ across) % (2 * math.pi) for v in (second, third)]
        return 1.0 if angle[1] < angle[0] else -1.0  # clockwise, the second comes last

    def three(arms: Tensor, numbers: Tensor) -> Tensor:
        rank = numbers.argsort(dim=1, descending=True)[:, :3, None]
        return torch.linalg.det(torch.take_along_dim(arms, rank, dim=1))

    def inputs(generator: torch.Generator) -> tuple:
        corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
        ranks = torch.rand(12, 4, generator=generator).argsort(dim=1)
        return corners + 0.15 * normal(generator, 12, 4, 3), torch.tensor([1, 9, 17, 35])[ranks]

    return judge(
        fn,
        inputs=inputs,
        reference=lambda arms, numbers: torch.tensor(list(map(one, arms, numbers)), dtype=arms.dtype),
        mistakes=[
            ("R and S are exchanged, for R is clockwise with the lightest behind", lambda a, z: three(a, z).sign()),
            ("the arms are not ranked by their atomic numbers", lambda a, z: -torch.linalg.det(a[:, :3]).sign()),
            ("it is a determinant, and only its sign was asked for", lambda a, z: -three(a, z)),
            ("S must be −1, and is 0", lambda a, z: (three(a, z) < 0).double()),
        ],
        seed=seed,
    )
