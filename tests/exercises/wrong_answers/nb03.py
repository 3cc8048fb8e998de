"""Wrong answers to notebook 03, as a reader might write them: check -> (words of the verdict, answer)."""

import math

import torch


def normed(w):
    return w / torch.sum(w)


def find(moved, points):
    return torch.cdist(moved, points).min(dim=1).indices


def with_loop(f, points, weights):
    total = 0.0
    for o, w in zip(points, weights, strict=True):
        total += float(w * f(o[None]))
    return total / len(points)


def exactly_equal(points):
    equal = (points[:, None] == -points[None]).all(-1)
    return torch.where(equal.any(1), equal.int().argmax(1), -1)


def dots(points):
    return points @ points.T


WRONG = {
    "ring_weights": [
        ("same weight", lambda theta: torch.ones(len(theta), dtype=torch.float64) / len(theta)),
        ("do not sum to 1", lambda theta: torch.sin(theta)),
        ("measured from the pole", lambda theta: normed(torch.cos(theta))),
        ("taken for degrees", lambda theta: normed(torch.sin(theta * math.pi / 180))),
        ("wrong dtype", lambda theta: normed(torch.sin(theta)).float()),
    ],
    "sphere_mean": [
        ("plain mean", lambda f, points, weights: f(points).sum() / len(points)),
        ("4π times", lambda f, points, weights: 4 * torch.pi * weights @ f(points)),
        ("divided by N", with_loop),
        ("not summed", lambda f, points, weights: f(points) * weights),
        ("mean direction", lambda f, points, weights: f((weights[:, None] * points).sum(0, keepdim=True)).squeeze()),
    ],
    "opposite": [
        ("and not -1", lambda points: find(-points, points)),
        ("the point itself", lambda points: find(points, points)),
        ("rounding is not allowed for", exactly_equal),
        ("indices were asked", lambda points: -1 * points),
        ("wrong type", lambda points: find(-points, points).tolist()),
    ],
    "permutation": [
        ("inverse permutation", lambda points, R: find(points @ R, points)),
        ("inverse permutation", lambda points, R: find(points, points @ R.T)),
        ("nothing is turned", lambda points, R: find(points, points)),
        ("indices were asked", lambda points, R: (R @ points.T).T),
        ("wrong type", lambda points, R: find(points @ R.T, points).tolist()),
    ],
    "separation": [
        ("to themselves", lambda points: dots(points).clamp(-1, 1).arccos().min()),
        ("in degrees", lambda points: torch.rad2deg(2 * torch.arcsin(torch.pdist(points).min() / 2))),
        ("straight distance", lambda points: torch.pdist(points).min()),
        ("half the angle", lambda points: torch.arcsin(torch.pdist(points).min() / 2)),
        ("o and -o", lambda points: dots(points).abs().fill_diagonal_(0).max().arccos()),
    ],
}
