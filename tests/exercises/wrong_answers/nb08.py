"""Wrong answers to notebook 08, as a reader might write them: check -> (words of the verdict, answer)."""

import math

import torch
from torch.linalg import det


def unranked(arms, numbers):
    return torch.tensor([-1.0 if det(one[:3]) > 0 else 1.0 for one in arms], dtype=torch.float64)


def ranked_determinants(arms, numbers):
    return torch.stack([det(one[rank.argsort(descending=True)][:3]) for one, rank in zip(arms, numbers, strict=True)])


def in_place(pos):
    pos -= pos.mean(0)
    return torch.cdist(pos, pos).sort(dim=1).values[:, 1:]


def not_sorted(pos):
    return torch.stack([torch.stack([(pos[i] - pos[j]).norm() for j in range(len(pos)) if j != i])
                        for i in range(len(pos))])


WRONG = {
    "layers_for_a_chain": [
        ("in the middle need only hear from both", lambda k: k + 1),
        ("bent ends are atoms too", lambda k: math.ceil(k / 2)),
        ("bent ends are atoms too", lambda k: k // 2),
        ("number of atoms in the straight part", lambda k: k),
        ("rounded up", lambda k: k / 2 + 0.5),
    ],
    "views": [
        ("distance 0 of the atom to itself", lambda pos: torch.cdist(pos, pos).sort(dim=1).values),
        ("are squared", lambda pos: (pos[:, None] - pos).square().sum(-1).sort(dim=1).values[:, 1:]),
        ("not sorted", not_sorted),
        ("down the columns", lambda pos: not_sorted(pos).sort(dim=0).values),
        ("from far to near", lambda pos: torch.cdist(pos, pos).sort(dim=1, descending=True).values[:, :-1]),
        ("in place", in_place),
    ],
    "mirror_matrix": [
        ("not of length 1", lambda n: torch.eye(3).double() - 2 * n[:, None] * n),
        ("not by |n|", lambda n: torch.eye(3).double() - 2 * n[:, None] * n / n.norm()),
        ("projects onto the plane", lambda n: torch.eye(3).double() - n[:, None] * n / n.square().sum()),
        ("half turn", lambda n: 2 * n[:, None] * n / n.square().sum() - torch.eye(3).double()),
        ("inverts all three", lambda n: torch.diag(torch.tensor([-1.0, -1, -1]).double())),
    ],
    "signed_volume": [
        ("hides the sign", lambda p: abs(det(p[1:] - p[0])) / 6),
        ("parallelepiped, six times", lambda p: (p[1] - p[0]) @ torch.linalg.cross(p[2] - p[0], p[3] - p[0])),
        ("start at the origin", lambda p: p[1] @ torch.linalg.cross(p[2], p[3]) / 6),
        ("point backwards", lambda p: det(p[0] - p[1:]) / 6),
        ("not a third", lambda p: det(p[1:] - p[0]) / 3),
    ],
    "handedness": [
        ("R and S are exchanged", lambda a, z: ranked_determinants(a, z).sign()),
        ("not ranked", unranked),
        ("only its sign", lambda a, z: -ranked_determinants(a, z)),
        ("S must be −1", lambda a, z: (ranked_determinants(a, z) < 0).double()),
    ],
}
