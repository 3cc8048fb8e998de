"""Wrong answers to notebook 02, as a reader might write them: check -> (words of the verdict, answer)."""

import torch


def numbers(r, a, b):
    return torch.stack([(r * a).sum(1), (r * b).sum(1), (a * b).sum(1), (r * r).sum(1)], 1)


def with_length(p_t, o_t, p_s, o_s):
    r = p_s - p_t
    return torch.cat((numbers(r, o_t, o_s)[:, :3], r.norm(dim=1, keepdim=True)), 1)


def volume(r, a, b):
    return torch.stack([torch.det(torch.stack(three)) for three in zip(r, a, b, strict=True)])


def heading(o):
    return torch.atan2(o[:, 1], o[:, 0])


def from_zero_to_two_pi(o_t, o_s):
    return torch.remainder(heading(o_s) - heading(o_t), 2 * torch.pi)


def distances(P):
    return torch.stack([(p - P).norm(dim=1) for p in P])


def without_the_diagonal(P):
    n = len(P)
    return len({round(float(distances(P)[i, j]), 6) for i in range(n) for j in range(i)})


WRONG = {
    "four_numbers": [
        ("from the sender to the receiver", lambda p_t, o_t, p_s, o_s: numbers(p_t - p_s, o_t, o_s)),
        ("the last number is |r|", with_length),
        ("arrows of sender and receiver are exchanged", lambda p_t, o_t, p_s, o_s: numbers(p_s - p_t, o_s, o_t)),
        ("the distance is lost", lambda p_t, o_t, p_s, o_s: numbers(
            (p_s - p_t) / (p_s - p_t).norm(dim=1)[:, None], o_t, o_s)),
        ("stand in a column", lambda p_t, o_t, p_s, o_s: torch.stack(tuple(numbers(p_s - p_t, o_t, o_s).T))),
    ],
    "determinant": [
        ("exchanged", lambda r, o_t, o_s: volume(o_t, r, o_s)),
        ("the sign is lost", lambda r, o_t, o_s: volume(r, o_t, o_s).abs()),
        ("invariant under mirrors", lambda r, o_t, o_s: volume(r, o_t, o_s).pow(2)),
        ("wrong shape", lambda r, o_t, o_s: volume(r, o_t, o_s)[:, None]),
        ("a sixth", lambda r, o_t, o_s: (torch.linalg.cross(r, o_t) * o_s).sum(1) / 6),
    ],
    "signed_angle": [
        ("from o_s to o_t", lambda o_t, o_s: torch.atan2(o_s[:, 0] * o_t[:, 1] - o_s[:, 1] * o_t[:, 0],
                                                         (o_t * o_s).sum(1))),
        ("the sign is lost", lambda o_t, o_s: (o_t * o_s).sum(1).clamp(-1, 1).acos()),
        ("brought back", lambda o_t, o_s: heading(o_s) - heading(o_t)),
        ("from 0 to 2π", from_zero_to_two_pi),
        ("in degrees", lambda o_t, o_s: torch.atan2(o_t[:, 0] * o_s[:, 1] - o_t[:, 1] * o_s[:, 0],
                                                    (o_t * o_s).sum(1)).rad2deg()),
        ("arctan of the ratio", lambda o_t, o_s: torch.atan((o_t[:, 0] * o_s[:, 1] - o_t[:, 1] * o_s[:, 0])
                                                              / (o_t * o_s).sum(1))),
    ],
    "another_arrow": [
        ("it is the given arrow", torch.tensor([0.6, 0.0, 0.8])),
        ("a mirror takes it", torch.tensor([0.36, 0.48, 0.8])),
        ("length 1", torch.tensor([2.0, 1.0, 0.8])),
        ("o_t·o_s must stay", torch.tensor([1.0, 0.0, 0.0])),
        ("another sign", torch.tensor([-0.6, 0.0, -0.8])),
        ("wrong type", [-0.6, 0.0, 0.8]),
    ],
    "weights_needed": [
        ("distance 0 is forgotten", without_the_diagonal),
        ("every pair gets its own weight", lambda P: P.shape[0] * P.shape[0]),
        ("rounding", lambda P: len(set(distances(P).flatten().tolist()))),
        ("every pair of two places", lambda P: len(torch.pdist(P))),
        ("and a place with itself", lambda P: len(torch.pdist(P)) + len(P)),
        ("counted twice", lambda P: 1 + len(distances(P).round(decimals=5).unique())),
        ("wrong type", lambda P: distances(P).round(decimals=6).unique()),
    ],
}  # fmt: skip
