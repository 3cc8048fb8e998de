r"""The recipe of this course for other groups: orbits of pairs -> complete invariants -> shared weights (notebook 13).

A group is given by a basis of its Lie algebra, matrices that act on the coordinates of a point. Everything else is the
same for all groups: how many numbers a class of pairs needs (ranks), whether these numbers name it (search for a
motion, search for a collision), and a network whose kernels depend on nothing but them.

    x -> exp(sum_k s_k K_k) x     x: a point's coordinates, with 1 appended where the group has translations
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float64
from torch import Tensor

from ponita_edu.analysis.orbits import derivative, rank

EQUAL = 1e-9  # residuals below are rounding; coordinates are of order 1
OTHER = 1e-3  # residuals above are no rounding


@dataclass(frozen=True, eq=False)
class Recipe:
    """A group acting on points, and numbers meant to name the classes of pairs.

    Args:
        name, space, group: what it is, in words.
        generators: [k, m, m], the Lie algebra on the m coordinates of a point.
        draw: ``draw(n, generator)`` gives n random points [n, m], n even: as they occur, far from special places.
        chart: ``chart(points, delta)`` moves points [*, m] on their manifold by coordinates delta [*, dimension].
        dimension: of the manifold of points.
        labels, attributes: the numbers of a pair (receiver, sender), [*, m] x [*, m] -> [*, numbers].
        fewer: columns of an incomplete selection of them, the control.
        mirror: [m, m], an element outside the connected component, or None.
    """

    name: str
    space: str
    group: str
    generators: Float64[Tensor, "k m m"]
    draw: Callable[[int, torch.Generator], Tensor]
    chart: Callable[[Tensor, Tensor], Tensor]
    dimension: int
    labels: tuple[str, ...]
    attributes: Callable[[Tensor, Tensor], Tensor]
    fewer: tuple[int, ...]
    mirror: Tensor | None = None

    def element(self, parameters: Float64[Tensor, "*batch k"]) -> Float64[Tensor, "*batch m m"]:
        """exp(sum_k s_k K_k)."""
        return torch.linalg.matrix_exp(torch.einsum("...k,kij->...ij", parameters, self.generators))

    def random(self, n: int, seed: int, size: float = 0.5) -> Float64[Tensor, "n m m"]:
        """n group elements, parameters drawn from a normal distribution of width ``size``; half of them mirrored."""
        random = torch.Generator().manual_seed(seed)
        g = self.element(size * torch.randn(n, len(self.generators), generator=random, dtype=torch.float64))
        if self.mirror is not None:
            g[1::2] = g[1::2] @ self.mirror
        return g

    def pairs(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """n random pairs, [n, m] receivers and senders."""
        points = self.draw(2 * n, torch.Generator().manual_seed(seed))
        return points[:n], points[n:]


def acted(g: Float64[Tensor, "*#batch m m"], points: Float64[Tensor, "*#batch m"]) -> Float64[Tensor, "*#batch m"]:
    """g x; the axes before the last ones are broadcast."""
    return (g @ points.unsqueeze(-1)).squeeze(-1)


# ------------------------------------------------------------------------------------------------------ 1. counting
def counts(recipe: Recipe, columns: tuple[int, ...] | None = None, n: int = 100) -> dict[str, int]:
    """Dimensions of pairs and of generic orbits, numbers needed, and the rank of the numbers: medians over n pairs."""
    t, s = recipe.pairs(n, seed=1)
    orbit = _tangent(recipe, t, s)
    found = derivative(lambda d: _numbers(recipe, columns, *_moved(recipe, t, s, d)), (n,), 2 * recipe.dimension)[1]
    pairs, orbits, ranks = 2 * recipe.dimension, int(rank(orbit).median()), int(rank(found).median())
    return {"pairs": pairs, "orbit": orbits, "needed": pairs - orbits, "rank": ranks}


# -------------------------------------------------------------------------------------------------------- 2. judging
def align(recipe: Recipe, pair: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], starts: int = 16, steps: int = 60,
          seed: int = 0) -> Float64[Tensor, " n"]:
    """What the best group element found leaves between g pair and other, largest coordinate; [n, m] each.

    Gauss-Newton over the group, g <- exp(-J^+ (g pair - other)) g, from random elements. It knows no invariants, so it
    can judge them. A residual near 0 is proof that the pairs are equivalent; a large one is evidence that they are not.
    """
    n, (t, s) = len(pair[0]), pair
    best = torch.full((n,), float("inf"), dtype=torch.float64)
    for k in range(starts):
        g = recipe.random(2 * n, seed + k, size=1.0 if k else 0.0).unflatten(0, (n, 2))[:, k % 2]
        for _ in range(steps):
            x, y = acted(g, t), acted(g, s)
            left = torch.cat((x - other[0], y - other[1]), dim=-1)
            step = -(torch.linalg.pinv(_tangent(recipe, x, y), rtol=1e-9) @ left.unsqueeze(-1)).squeeze(-1)
            g = recipe.element(step / step.norm(dim=-1, keepdim=True).clamp(min=1.0)) @ g
        left = torch.maximum((acted(g, t) - other[0]).abs().amax(-1), (acted(g, s) - other[1]).abs().amax(-1))
        best = torch.minimum(best, left.nan_to_num(float("inf")))
        if bool((best < EQUAL).all()):
            break
    return best


@dataclass(frozen=True)
class Verdict:
    """How a set of numbers did.

    Args:
        invariance: largest change of the numbers under random elements.
        solved, starts: pairs found with the numbers of others, of how many searched.
        collisions: how many of them no group element maps on those others.
        moved: largest residual of the judge between pairs and their own images: it must be rounding.
    """

    invariance: float
    solved: int
    starts: int
    collisions: int
    moved: float


def judge(recipe: Recipe, columns: tuple[int, ...] | None = None, n: int = 24, seed: int = 0, starts: int = 16
          ) -> Verdict:
    """Search for pairs with equal numbers that no group element maps on each other.

    From random pairs a Gauss-Newton iteration on the manifold of pairs walks to the numbers of other random pairs.

    Args:
        columns: of the numbers that are used; all unless given.
        starts: random elements that the search for a group element begins with.
    """
    t, s = recipe.pairs(n, seed)
    g = recipe.random(n, seed + 1)
    there = acted(g, t), acted(g, s)
    wanted = _numbers(recipe, columns, t, s)
    invariance = float((_numbers(recipe, columns, *there) - wanted).abs().max())
    a, b = recipe.pairs(n, seed + 2)
    for _ in range(80):
        value, jacobian = derivative(lambda d, a=a, b=b: _numbers(recipe, columns, *_moved(recipe, a, b, d)) - wanted,
                                     (n,), 2 * recipe.dimension)
        step = -(torch.linalg.pinv(jacobian, rtol=1e-9) @ value.unsqueeze(-1)).squeeze(-1)
        a, b = _moved(recipe, a, b, step / step.norm(dim=-1, keepdim=True).clamp(min=0.5) * 0.5)
    solved = (_numbers(recipe, columns, a, b) - wanted).abs().amax(-1) < EQUAL
    left = align(recipe, (a[solved], b[solved]), (t[solved], s[solved]), starts, seed=seed + 3)
    moved = align(recipe, (t, s), there, starts, seed=seed + 4)
    return Verdict(invariance, int(solved.sum()), n, int((left > OTHER).sum()), float(moved.max()))


def _tangent(recipe: Recipe, t: Tensor, s: Tensor) -> Float64[Tensor, "n coordinates k"]:
    # the derivative of exp(sum_k s_k K_k) (t, s) at the identity
    return torch.cat([torch.einsum("kij,nj->nik", recipe.generators, x) for x in (t, s)], dim=1)


def _numbers(recipe: Recipe, columns: tuple[int, ...] | None, t: Tensor, s: Tensor) -> Tensor:
    numbers = recipe.attributes(t, s)
    return numbers if columns is None else numbers[..., list(columns)]


def _moved(recipe: Recipe, t: Tensor, s: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    d_t, d_s = delta.split(recipe.dimension, dim=-1)
    return recipe.chart(t, d_t), recipe.chart(s, d_s)


# ------------------------------------------------------------------------------------------------------- the groups
def _matrices(size: int, entries: list[dict[tuple[int, int], float]]) -> Tensor:
    found = torch.zeros(len(entries), size, size, dtype=torch.float64)
    for k, entry in enumerate(entries):
        for place, value in entry.items():
            found[k][place] = value
    return found


def _turns(axes: list[int], also: list[int] | None = None) -> list[dict[tuple[int, int], float]]:
    # rotations in every plane of the axes; `also`: other coordinates that turn along
    made = []
    for i, j in combinations(range(len(axes)), 2):
        made.append({(block[j], block[i]): 1.0 for block in (axes, also) if block}
                    | {(block[i], block[j]): -1.0 for block in (axes, also) if block})
    return made


def _normal(n: int, m: int, random: torch.Generator) -> Tensor:
    return torch.randn(n, m, generator=random, dtype=torch.float64)


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def _oriented(dim: int, name: str, scale: bool) -> Recipe:
    # points (x, 1, o) of R^n x S^(n-1): motions turn both, translate x, and perhaps scale it
    x, one, o = list(range(dim)), dim, list(range(dim + 1, 2 * dim + 1))
    entries = [*({(i, one): 1.0} for i in x), *_turns(x, o)]
    if scale:
        entries.append({(i, i): 1.0 for i in x})
    mirror = torch.eye(2 * dim + 1, dtype=torch.float64)
    mirror[0, 0] = mirror[dim + 1, dim + 1] = -1.0

    def draw(n: int, random: torch.Generator) -> Tensor:
        return torch.cat((_normal(n, dim, random), torch.ones(n, 1, dtype=torch.float64),
                          _unit(_normal(n, dim, random))), dim=-1)

    def chart(points: Tensor, delta: Tensor) -> Tensor:
        along, turn = delta.split((dim, dim - 1), dim=-1)
        ori = points[..., o]
        tangent = torch.linalg.svd(ori.detach().unsqueeze(-2), full_matrices=True).Vh[..., 1:, :]
        ori = _unit(ori + torch.einsum("...k,...ki->...i", turn, tangent))
        return torch.cat((points[..., x] + along, points[..., [one]], ori), dim=-1)

    def attributes(t: Tensor, s: Tensor) -> Tensor:
        r, o_t, o_s = s[..., x] - t[..., x], t[..., o], s[..., o]
        if scale:
            r = _unit(r)
            return torch.stack((_dot(r, o_t), _dot(r, o_s), _dot(o_t, o_s)), dim=-1)
        return torch.stack((_dot(r, o_t), _dot(r, o_s), _dot(o_t, o_s), _dot(r, r)), dim=-1)

    return Recipe(name, f"R^{dim} x S^{dim - 1}", f"Sim({dim})" if scale else f"E({dim})",
                  _matrices(2 * dim + 1, entries), draw, chart, 2 * dim - 1,
                  ("r^.o_t", "r^.o_s", "o_t.o_s") if scale else ("r.o_t", "r.o_s", "o_t.o_s", "|r|^2"), attributes,
                  (0, 2) if scale else (0, 2, 3), mirror)


def _plane() -> Recipe:
    # points (x, y, 1, cos a, sin a) of R^2 x S^1 under proper motions: signed numbers
    base = _oriented(2, "the plane", scale=False)

    def attributes(t: Tensor, s: Tensor) -> Tensor:
        r, o_t, o_s = s[..., :2] - t[..., :2], t[..., 3:], s[..., 3:]
        across = torch.stack((-o_t[..., 1], o_t[..., 0]), dim=-1)
        return torch.stack((_dot(r, o_t), _dot(r, across), _dot(o_s, o_t), _dot(o_s, across)), dim=-1)

    return Recipe("the plane", "R^2 x S^1", "SE(2)", base.generators, base.draw, base.chart, 3,
                  ("r.o_t", "r x o_t", "cos", "sin"), attributes, (0, 1, 2))


def _galilei() -> Recipe:
    # moving points (t, x, 1, v) in space-time: boosts x -> x + w t, v -> v + w; rotations; translations
    x, v, one = [1, 2, 3], [5, 6, 7], 4
    entries = [{(i, one): 1.0} for i in (0, *x)] + _turns(x, v)
    entries += [{(x[k], 0): 1.0, (v[k], one): 1.0} for k in range(3)]

    def draw(n: int, random: torch.Generator) -> Tensor:
        return torch.cat((_normal(n, 4, random), torch.ones(n, 1, dtype=torch.float64), _normal(n, 3, random)), dim=-1)

    def chart(points: Tensor, delta: Tensor) -> Tensor:
        event, velocity = delta.split((4, 3), dim=-1)
        return torch.cat((points[..., :4] + event, points[..., [one]], points[..., v] + velocity), dim=-1)

    def attributes(t: Tensor, s: Tensor) -> Tensor:
        time, w = s[..., 0] - t[..., 0], s[..., v] - t[..., v]
        d = s[..., x] - t[..., x] - t[..., v] * time[..., None]  # where s is, seen by the receiver at rest
        return torch.stack((time, _dot(d, d), _dot(d, w), _dot(w, w)), dim=-1)

    return Recipe("Galilei", "moving points in space-time", "Galilei", _matrices(8, entries), draw, chart, 7,
                  ("dt", "|d|^2", "d.w", "|w|^2"), attributes, (0, 1, 3))


def _lorentz() -> Recipe:
    # four-momenta (E, p) of massive particles: rotations and boosts keep p.q = E E' - p p'
    metric = torch.tensor([1.0, -1, -1, -1], dtype=torch.float64)

    def draw(n: int, random: torch.Generator) -> Tensor:
        momentum, mass = _normal(n, 3, random), 0.5 + torch.rand(n, 1, generator=random, dtype=torch.float64)
        return torch.cat(((momentum.square().sum(-1, keepdim=True) + mass.square()).sqrt(), momentum), dim=-1)

    def attributes(t: Tensor, s: Tensor) -> Tensor:
        g = metric.to(t.dtype)
        return torch.stack((_dot(g * t, t), _dot(g * s, s), _dot(g * t, s)), dim=-1)

    return Recipe("Lorentz", "four-momenta", "SO+(1, 3)",
                  _matrices(4, _turns([1, 2, 3]) + [{(0, i): 1.0, (i, 0): 1.0} for i in (1, 2, 3)]), draw,
                  lambda points, delta: points + delta, 4, ("p.p", "q.q", "p.q"), attributes, (0, 2))


def recipes() -> dict[str, Recipe]:
    """All groups by name."""
    made = (_oriented(3, "motions", scale=False), _plane(), _oriented(3, "similarity", scale=True), _galilei(),
            _lorentz(), _oriented(4, "four dimensions", scale=False), _oriented(5, "five dimensions", scale=False))
    return {recipe.name: recipe for recipe in made}
