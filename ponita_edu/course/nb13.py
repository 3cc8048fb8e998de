"""Checks of notebook 13: invariant mass, numbers without scale, condition of features, kernels by class."""

from collections.abc import Callable

import torch
from torch import Tensor

from ponita_edu.course.fresh import normal, unit, whole
from ponita_edu.course.verdict import Verdict, judge

__all__ = ["free_of_scale", "invariant_mass", "once_per_class", "scaled_condition"]


def invariant_mass(fn: object, seed: int | None = None) -> Verdict:
    """13.1: `fn(p)`, four-momenta [n, 4] to one number. The reference adds up the products of all pairs."""

    def inputs(generator: torch.Generator) -> tuple:
        momentum = normal(generator, whole(generator, 2, 6), 3)
        mass = 0.5 + torch.rand(len(momentum), 1, generator=generator, dtype=torch.float64)
        return (torch.cat(((momentum.square().sum(1, keepdim=True) + mass**2).sqrt(), momentum), dim=1),)

    def reference(p: Tensor) -> Tensor:
        return (p[:, :1] @ p[:, :1].T - p[:, 1:] @ p[:, 1:].T).sum().sqrt()

    def squares(p: Tensor) -> Tensor:
        return p[..., 0] ** 2 - p[..., 1:].square().sum(-1)

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("it is the sum of the masses, and motion against one another counts too",
             lambda p: squares(p).sqrt().sum()),
            ("the squares of the masses are added up; the four-momenta come first",
             lambda p: squares(p).sum().sqrt()),
            ("the root is missing", lambda p: squares(p.sum(0))),
            ("space counts with a plus; its sign in the product is −", lambda p: p.sum(0).norm()),
            ("it is the whole energy, which a boost changes", lambda p: p[:, 0].sum()),
            ("it is that of the mean, not of the sum", lambda p: squares(p.mean(0)).sqrt()),
        ],
        tolerance=1e-9,
        seed=seed,
    )


def free_of_scale(fn: object, seed: int | None = None) -> Verdict:
    """13.2: `fn(r, o_t, o_s)` gives three numbers. The reference knows angles, and takes their cosines."""

    def inputs(generator: torch.Generator) -> tuple:
        return normal(generator, 7, 3), unit(generator, 7, 3), unit(generator, 7, 3)

    def angle(a: Tensor, b: Tensor) -> Tensor:
        return torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))

    def reference(r: Tensor, o_t: Tensor, o_s: Tensor) -> Tensor:
        return torch.stack((angle(r, o_t), angle(r, o_s), angle(o_t, o_s)), dim=-1).cos()

    def dots(r: Tensor, o_t: Tensor, o_s: Tensor, by: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.stack(((r * o_t).sum(-1) / by(r), (r * o_s).sum(-1) / by(r), (o_t * o_s).sum(-1)), dim=-1)

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("the first two still grow with r; divide by its length", lambda *g: dots(*g, lambda r: 1.0)),
            ("it divides by |r|², which is one length too many", lambda *g: dots(*g, lambda r: r.square().sum(-1))),
            ("it divides by the longest r of the batch; each pair has its own",
             lambda *g: dots(*g, lambda r: r.norm(dim=-1).max())),
            ("these are the angles, and their cosines were asked for", lambda *g: reference(*g).clamp(-1, 1).acos()),
            ("the paper's triple: the second number does not know o_s",
             lambda r, t, s: torch.stack((dots(r, t, s, lambda r: r.norm(dim=-1))[:, 0],
                                          angle(r, t).sin(), (t * s).sum(-1)), dim=-1)),
            ("r points from the sender to the receiver: the first two have the wrong sign",
             lambda r, t, s: reference(-r, t, s)),
        ],
        tolerance=1e-7,
        seed=seed,
    )


def scaled_condition(fn: object, seed: int | None = None) -> Verdict:
    """13.3: `fn(features)`, [rows, columns] to one number. The reference finds it in the matrix of products."""

    def inputs(generator: torch.Generator) -> tuple:
        a = 0.2 + 2 * torch.rand(40, 1, generator=generator, dtype=torch.float64)
        return (torch.cat((torch.ones_like(a), a, a**2), dim=1) * (1 + 0.2 * normal(generator, 1, 3).abs()),)

    def reference(features: Tensor) -> Tensor:
        products = features.T @ features
        values = torch.linalg.eigvalsh(products / products.diag().outer(products.diag()).sqrt())
        return (values[-1] / values[0]).sqrt()

    def condition(a: Tensor) -> Tensor:
        values = torch.linalg.svdvals(a)
        return values[0] / values[-1]

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("the columns are not scaled", condition),
            ("it is the square: the condition of the matrix of products", lambda f: reference(f) ** 2),
            ("rows are scaled, and columns were asked for", lambda f: condition(f / f.norm(dim=1, keepdim=True))),
            ("it is smallest over largest", lambda f: 1 / reference(f)),
            ("columns are divided by their largest entry, not by their length",
             lambda f: condition(f / f.abs().amax(0))),
            ("the largest singular value alone", lambda f: torch.linalg.svdvals(f / f.norm(dim=0))[0]),
        ],
        tolerance=1e-6,
        seed=seed,
    )


def once_per_class(fn: object, seed: int | None = None) -> Verdict:
    """13.4: `fn(kernel, rows)`, values of all rows and how many the kernel saw. The reference asks it for every row."""

    def kernel(rows: Tensor) -> Tensor:
        return torch.stack((rows[:, 0].sin() + rows[:, 1], rows.prod(dim=1)), dim=1)

    def names(rows: Tensor) -> list[tuple]:
        return [tuple(round(1e6 * x) for x in row) for row in rows.tolist()]

    def once() -> Callable:
        seen: set[tuple] = set()

        def strict(rows: Tensor) -> Tensor:
            new = names(rows)
            if seen.intersection(new) or len(set(new)) < len(new):
                raise ValueError("the kernel was given a row twice, up to rounding; each class needs it once")
            seen.update(new)
            return kernel(rows)

        return strict

    def inputs(generator: torch.Generator) -> tuple:
        classes = whole(generator, 5, 12)
        different = (1e4 * normal(generator, classes, 2)).round() / 1e4  # so that none lies on a rounding border
        near = different.repeat(2, 1) + 1e-13 * normal(generator, 2 * classes, 2)
        return once(), torch.cat((different, different, near))[torch.randperm(4 * classes, generator=generator)]

    def count(rows: Tensor) -> int:
        return len(set(names(rows)))

    def reference(_: Callable, rows: Tensor) -> tuple[Tensor, int]:
        return torch.cat([kernel(row[None]) for row in rows]), count(rows)

    def grouped(_: Callable, rows: Tensor) -> tuple[Tensor, int]:
        order = sorted(range(len(rows)), key=lambda k: names(rows[k : k + 1]))
        return kernel(rows[order]), count(rows)

    def by_class(_: Callable, rows: Tensor) -> tuple[Tensor, int]:
        return kernel(torch.unique((1e6 * rows).round() / 1e6, dim=0)), count(rows)

    return judge(
        fn,
        inputs=inputs,
        reference=reference,
        mistakes=[
            ("all rows are counted; the kernel needs one of each class", lambda _, rows: (kernel(rows), len(rows))),
            ("the values stand in the order of the classes, not of the rows", grouped),
            ("there is one value for each class, and each row has one", by_class),
            ("the first number alone does not name the class",
             lambda _, rows: (kernel(torch.stack((rows[:, 0], rows[:1, 1].expand(len(rows))), dim=1)), count(rows))),
            ("the kernel must see the rows, not their rounded multiples",
             lambda _, rows: (kernel((rows * 1e6).round()), count(rows))),
            ("the second answer is a share, and a number of rows was asked for",
             lambda _, rows: (kernel(rows), count(rows) / len(rows))),
        ],
        tolerance=1e-6,
        seed=seed,
    )
