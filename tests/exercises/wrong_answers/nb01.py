"""Wrong answers to notebook 01, as a reader might write them: check -> (words of the verdict, answer)."""

import math

import torch


def close(a, b):
    return torch.allclose(a, b, atol=1e-9)


def relative_shift_untouched(g, h):
    (R, b), (Q, c) = g, h
    return torch.linalg.solve(R, Q), c - b


def left_difference(g, h):
    undo = g[0].T, -g[0].T @ g[1]
    return h[0] @ undo[0], h[0] @ undo[1] + h[1]


def swapped(g, h):
    return h[0].T @ g[0], h[0].T @ (g[1] - h[1])


def turned_the_wrong_way(g, h):
    return g[0].T @ h[0], (h[1] - g[1]) @ g[0].T


def jacobian_rank(P, shifts=True, turns=True):
    columns = []
    for e in torch.eye(3, dtype=P.dtype):
        columns += [torch.cross(e.expand_as(P), P, dim=1).flatten()] if turns else []
        columns += [e.repeat(len(P))] if shifts else []
    values = torch.linalg.svdvals(torch.stack(columns))
    return int((values > 1e-9).sum())


def shortest_turn(p, o):
    """Right: about the axis across z and o (Rodrigues)."""
    z = torch.tensor([0.0, 0, 1], dtype=p.dtype)
    v = torch.linalg.cross(z, o)
    K = torch.tensor([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]], dtype=p.dtype)
    return torch.eye(3, dtype=p.dtype) + K + K @ K / (1 + o[2]), p


def reflection(p, o):
    z = torch.tensor([0.0, 0, 1], dtype=p.dtype)
    n = (o - z) / (o - z).norm()
    return torch.eye(3, dtype=p.dtype) - 2 * n[:, None] * n, p


def back(p, o):
    R, b = shortest_turn(p, o)
    return R.T, -R.T @ b


def columns_not_normed(p, o):
    x = torch.linalg.cross(o, torch.tensor([1.0, 0, 0], dtype=p.dtype))
    return torch.stack((x, torch.linalg.cross(o, x), o), dim=1), p


def flat_angles(r, o, r2, o2, signed, lengths=True):
    def angle(r, o):
        turn = torch.atan2(o[1], o[0]) - torch.atan2(r[1], r[0])
        return turn.cos() if not signed else torch.stack((turn.cos(), turn.sin()))
    compared = ((r, r2), (o, o2)) if lengths else ((o, o2),)
    return (all(math.isclose(a[:2].norm(), b[:2].norm(), abs_tol=1e-9) for a, b in compared)
            and close(r[2], r2[2]) and close(o[2], o2[2]) and close(angle(r, o), angle(r2, o2)))


def angles_not_wrapped(r, o_s, r2, o_s2):
    def name(r, o):
        angle = torch.atan2(r[1], r[0]) - torch.atan2(o[1], o[0])
        return torch.stack((r[2], o[2], r.norm(), angle))
    return close(name(r, o_s), name(r2, o_s2))


WRONG = {
    "move": [
        ("inverse rotation", lambda R, b, P: P @ R + b),
        ("shifts first", lambda R, b, P: (R @ (P + b).T).T),
        ("shift is missing", lambda R, b, P: (R @ P.T).T),
        ("columns", lambda R, b, P: R @ P.T + b.reshape(3, 1)),
        ("wrong type", lambda R, b, P: [R @ p + b for p in P]),
    ],
    "seen_from": [
        ("not turned into the axes of g", relative_shift_untouched),
        ("the order is wrong", left_difference),
        ("exchanged", swapped),
        ("turned the wrong way", turned_the_wrong_way),
        ("reverse order", lambda g, h: (g[0].T @ (h[1] - g[1]), g[0].T @ h[0])),
    ],
    "keeps": [
        ("not the arrow", lambda R, b, p, o: close(p, R @ p + b) and torch.det(R).item() > 0),
        ("not the place", lambda R, b, p, o: close(o, R @ o) and torch.det(R).item() > 0),
        ("a mirror is let through", lambda R, b, p, o: close(R @ torch.stack((p, o), 1) + torch.stack((b, 0 * b), 1),
                                                             torch.stack((p, o), 1))),
        ("shifted as if it were a place", lambda R, b, p, o: all(close(R @ x + b, x) for x in (p, o))),
        ("rounding", lambda R, b, p, o: bool((R @ p + b == p).all() and (R @ o == o).all() and torch.det(R) > 0)),
        ("R acts on columns", lambda R, b, p, o: close(p @ R + b, p) and close(o @ R, o) and torch.det(R).item() > 0),
    ],
    "orbit_dimension": [
        ("stabiliser", lambda P: 6 - jacobian_rank(P)),
        ("shifts are forgotten", lambda P: jacobian_rank(P, shifts=False)),
        ("turns are forgotten", lambda P: jacobian_rank(P, turns=False)),
        ("every cloud gets 6", lambda P: 6),
        ("IndexError", lambda P: P.shape[2]),
    ],
    "motion_to": [
        ("mirror", reflection),
        ("to the reference arrow", back),
        ("R Rᵀ is not the identity", columns_not_normed),
        ("z to o", lambda p, o: (shortest_turn(p, o)[0].T, p)),
        ("the origin must go to p", lambda p, o: (shortest_turn(p, o)[0], p - shortest_turn(p, o)[0] @ p)),
    ],
    "same_class": [
        ("jumps by 2π", angles_not_wrapped),
        ("mirror image", lambda *pair: flat_angles(*pair, signed=False)),
        ("another angle", lambda r, o, r2, o2: close(r[2], r2[2]) and close(o[2], o2[2])
            and close(r.norm(), r2.norm())),
        ("distance of the sender's place", lambda r, o, r2, o2: flat_angles(r, o, r2, o2, signed=True, lengths=False)),
        ("arrow is not looked at", lambda r, o, r2, o2: close(r[2], r2[2]) and close(r.norm(), r2.norm())),
        ("no rotation at all", lambda r, o, r2, o2: close(r, r2) and close(o, o2)),
        ("wrong type", lambda r, o, r2, o2: (r.norm() - r2.norm()).abs() + (o[2] - o2[2]).abs()),
    ],
}  # fmt: skip
