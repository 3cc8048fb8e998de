"""Wrong answers to notebook 04, as a reader might write them: check -> (words of the verdict, answer)."""

import torch

from ponita_edu.nn.lifting import scalar_to_sphere, sphere_to_vector, vector_to_sphere


def lift(s, v, ori):
    return torch.cat((scalar_to_sphere(s, ori), vector_to_sphere(v, ori)), dim=-1)


def vectors_first(s, v, ori):
    return torch.cat((v @ ori.T, s[:, :, None].expand(-1, -1, len(ori))), dim=1).transpose(1, 2)


def share_out(s, v, ori):
    return lift(s / ori.shape[0], v, ori)


def unit_vectors(s, v, ori):
    return lift(s, torch.nn.functional.normalize(v, dim=-1), ori)


def speed_times_cosine(s, v, ori):
    return lift(s, v, ori).abs()


def mean_over_points(f, ori, weights):
    return ori.shape[1] * torch.einsum("noc,od->ncd", f, ori) / len(ori)


def no_frame(f, ori, weights):
    return 3 * sphere_to_vector(f[None, :, None], ori, weights, centred=True)[0, 0]


def constant_left_in(f, ori, weights):
    return sphere_to_vector(f[None, :, None], ori, weights, exact=True)[0, 0]


def centred_once(f, ori, weights):
    frame = torch.einsum("o,od,oe->de", weights, ori, ori)
    return torch.inverse(frame) @ sphere_to_vector(f[None, :, None], ori, weights, centred=True)[0, 0]


def times_frame(f, ori, weights):
    o = ori - (weights[:, None] * ori).sum(0)
    return (o.T @ (weights[:, None] * o)) @ (o.T @ (weights * f))


def fetch(f, ori, R):
    return f[((ori @ R.T) @ ori.T).argmax(1)]


def rows_turned_by_R(f, ori, R):
    g = torch.empty_like(f)
    g[((ori @ R) @ ori.T).argmax(1)] = f
    return g


def farthest(f, ori, R):
    g = torch.empty_like(f)
    g[((ori @ R.T) @ ori.T).argmin(1)] = f
    return g


def in_place(f, ori, R):
    f[((ori @ R.T) @ ori.T).argmax(1)] = f.clone()
    return f


def second(f, ori, weights):
    return (ori * (weights * f)[:, None]).T @ ori


def without_trace(f, ori, weights):
    Q = 7.5 * second(f, ori, weights)
    return Q - Q.trace() / 3 * torch.eye(3).double()


def plain_mean(f, ori, weights):
    Q = second(f, ori, torch.ones_like(weights)) / len(ori)
    return 7.5 * Q - 1.5 * Q.trace() * torch.eye(3).double()


WRONG = {
    "lift_all": [
        ("before the scalars", vectors_first),
        ("divided by N", share_out),
        ("lengths are lost", unit_vectors),
        ("lost its sign", speed_times_cosine),
        ("factor d", lambda s, v, ori: lift(s, ori.shape[1] * v, ori)),
        ("wrong shape", lambda s, v, ori: lift(s, v, ori).transpose(0, 1)),
    ],
    "read_vector": [
        ("factor d is missing", sphere_to_vector),
        ("3 on the circle", lambda f, ori, weights: 3 * sphere_to_vector(f, ori, weights)),
        ("use the grid's weights", mean_over_points),
        ("1/N of the mean", lambda f, ori, weights: ori.shape[1] * torch.einsum("noc,od->ncd", f, ori)),
        ("instead of multiplied", lambda f, ori, weights: sphere_to_vector(f, ori, weights) / ori.shape[1]),
        ("it raised", lambda f, ori, weights: ori.shape[1] * f @ (weights * ori)),
    ],
    "read_any": [
        ("only on a good grid", no_frame),
        ("mean was not taken out", constant_left_in),
        ("frame that is inverted", centred_once),
        ("instead of its inverse", times_frame),
        ("place of the inverted frame", lambda f, ori, weights: len(ori[0]) * ori.T @ (weights * f)),
    ],
    "turn_signal": [
        ("turned the other way", fetch),
        ("turned the other way", rows_turned_by_R),
        ("largest cosine", farthest),
        ("nothing is turned", lambda f, ori, R: f),
        ("changes its input", in_place),
        ("it is turned twice", lambda f, ori, R: f[((ori @ (R @ R)) @ ori.T).argmax(1)]),
    ],
    "read_matrix": [
        ("both have 15/2", lambda f, ori, weights: 7.5 * second(f, ori, weights)),
        ("trace is lost", without_trace),
        ("as for vectors", lambda f, ori, weights: 3 * second(f, ori, weights)),
        ("no factor at all", second),
        ("use the grid's weights", plain_mean),
    ],
}
