r"""Do these numbers name the class of a pair? Three constructive tests (notebook 02).

1. `rank_table`: too few independent numbers cannot name a class (dimensions; automatic differentiation).
2. `completeness`: numbers → pair → numbers, and pair → numbers → pair up to a motion that `align` finds.
3. `collision`: search for two pairs with equal numbers and no motion between them.

Enough rank does not suffice: the cosine in 2D has full rank and confuses ±Δθ. The judge of all three is `align`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from ponita_edu.analysis.alignment import TOLERANCE, best_motion, superposed
from ponita_edu.analysis.attribute_sets import ATTRIBUTE_SETS, AttributeSet, representative
from ponita_edu.analysis.orbits import attribute_jacobian, attribute_rank, orbit_dimension, pair_dimension, shifted
from ponita_edu.analysis.pairs import Pair, random_pairs, special_pairs
from ponita_edu.geometry.groups import Motion, axis_angle

EQUAL_NUMBERS = 1e-10  # attributes closer than this are equal; lengths of order 1
OTHER_CLASS = 1e-3  # pairs are called inequivalent only if the best motion leaves more than this


# ------------------------------------------------------------------------------------------------ 1. counting
def rank_table(degenerate: bool = False, search: bool = False) -> list[dict[str, object]]:
    """Rows (set, space, group, case, pairs, orbit, needed, rank, verdict), each number computed by differentiation.

    `needed` = dim of pair space − dim of orbit. The case "generic" is the median over 100 random pairs; with
    `degenerate` the cases of `special_pairs` follow. A rank that falls short of the dimension of *generic* orbits rules
    out that the numbers name the class; at a degenerate pair it only says that they change to second order in some
    direction. `search` adds what `collision` finds there (about 10 s for all cases).
    """
    rows = []
    for attribute_set in ATTRIBUTE_SETS.values():
        cases = {"generic": random_pairs(attribute_set.space, 100, seed=2)}
        if degenerate:
            cases |= {case: p[None] for case, p in special_pairs(attribute_set.space).items() if case != "generic"}
        for case, pairs in cases.items():
            size, orbit = int(pair_dimension(pairs).median()), int(orbit_dimension(pairs).median())
            rank = int(attribute_rank(attribute_set.attributes, pairs).median())
            missing = size - orbit - rank
            rows.append(
                {
                    "set": attribute_set.name,
                    "space": attribute_set.place.title,
                    "group": attribute_set.group_name,
                    "case": case,
                    "pairs": size,
                    "orbit": orbit,
                    "needed": size - orbit,
                    "rank": rank,
                    "verdict": "enough" if missing == 0 else f"short by {missing}",
                }
            )
            if search:
                rows[-1]["collision"] = "found" if collision(attribute_set, pairs[0]).found else "none"
    return rows


# ---------------------------------------------------------------------------------------------- 2. there and back
@dataclass(frozen=True)
class Completeness:
    """Largest residuals over `pairs` pairs, and the least one between pairs that are not equivalent.

    `numbers`: numbers → pair → numbers. `pair`: pair → numbers → pair, after the best motion. `invariance`: change of
    the numbers under random motions of the group. `unrelated`: what the best motion leaves between pair i and an
    independent pair; `motions_found` counts how many of those it brought within 1e-9.
    """

    set: str
    group: str
    pairs: int
    numbers: float
    pair: float
    invariance: float
    unrelated: float
    motions_found: int

    @property
    def complete(self) -> bool:
        """Both round trips close within 1e-9."""
        return max(self.numbers, self.pair, self.invariance) < TOLERANCE


def completeness(
    attribute_set: AttributeSet, n: int = 10_000, seed: int = 0, pairs: Pair | None = None
) -> Completeness:
    """Round trips over n random pairs, or over the `pairs` given; see `Completeness`."""
    pairs = random_pairs(attribute_set.space, n, seed) if pairs is None else pairs
    n = len(pairs.pos_t)
    numbers = attribute_set.attributes(pairs)
    rebuilt = representative(attribute_set, numbers)
    again = attribute_set.attributes(rebuilt)
    moved = pairs.moved(Motion.random(n, pairs.pos_t.shape[-1], seed + 1, reflections=attribute_set.group == "E"))
    _, left = best_motion(rebuilt, pairs, attribute_set.group)
    others = random_pairs(attribute_set.space, n, seed + 2)
    if torch.equal(others.pos_s, pairs.pos_s):  # the very pairs that were given
        others = random_pairs(attribute_set.space, n, seed + 3)
    _, unrelated = best_motion(others, pairs, attribute_set.group)
    return Completeness(
        attribute_set.name,
        attribute_set.group_name,
        n,
        numbers=_distance(attribute_set, again, numbers),
        pair=float(left.max()),
        invariance=_distance(attribute_set, attribute_set.attributes(moved), numbers),
        unrelated=float(unrelated.min()),
        motions_found=int((unrelated <= TOLERANCE).sum()),
    )


def _distance(attribute_set: AttributeSet, a: Tensor, b: Tensor) -> float:
    return float((attribute_set.smooth(a) - attribute_set.smooth(b)).abs().max())


# -------------------------------------------------------------------------------------------------- 3. collisions
@dataclass(frozen=True, eq=False)
class Collision:
    """Result of a search: `other` has the numbers of `pair` within `difference`, and the best motion leaves `residual`.

    `other` is moved on the receiver of `pair`, so that what differs is seen at the sender.

    Where none is `found`, `other` is None, `residual` is the largest over all solutions, and `starts` and `solved` say
    what was searched: random starting pairs, and how many of them were led to the same numbers.
    """

    found: bool
    pair: Pair
    other: Pair | None
    difference: float
    residual: float
    starts: int
    solved: int

    def __str__(self) -> str:
        if self.found:
            return f"collision: numbers equal within {self.difference:.0e}, best motion leaves {self.residual:.2g}"
        return (
            f"no collision: {self.solved} of {self.starts} starts reached the numbers, all within {self.residual:.0e}"
        )


def collision(
    attribute_set: AttributeSet,
    target: Pair | Float64[Tensor, " n"],
    seed: int = 0,
    starts: int = 48,
    group: str | None = None,
) -> Collision:
    r"""Search for a pair with the numbers of `target` (a pair, or the numbers) that no motion of `group` maps on it.

    From random pairs a Gauss-Newton iteration on the pair manifold, δ = −J⁺(a(x) − a*), walks to pairs with the same
    numbers; `best_motion` then judges. It knows nothing about the set, so finding none among all solved starts is
    evidence, not proof; finding one is proof.

    Args:
        group: "SE" or "E"; the set's own unless given. Under "SE" the numbers of E(3) collide with mirror images.
    """
    group = attribute_set.group if group is None else group
    pair = target if isinstance(target, Pair) else representative(attribute_set, target)
    if pair.pos_t.ndim != 1:
        raise ValueError(
            f"target must be a single pair; got a batch {list(pair.pos_t.shape[:-1])}. Index it: pairs[0]."
        )
    if starts < 1:
        raise ValueError(f"starts must be at least 1; got {starts}. Try 48.")
    wanted = attribute_set.smooth(attribute_set.attributes(pair))
    start = random_pairs(attribute_set.space, starts, seed, scale=float(pair.r.norm().clamp(min=0.1)))
    candidates = _solve(attribute_set, wanted, start)
    difference = (attribute_set.smooth(attribute_set.attributes(candidates)) - wanted).abs().amax(-1)
    solved = difference < EQUAL_NUMBERS
    _, residual = best_motion(candidates, pair.expand(starts), group)
    residual = torch.where(solved, residual, -1.0)
    best = int(residual.argmax())
    found = float(residual[best]) > OTHER_CLASS
    other = superposed(candidates[best], pair) if found else None
    return Collision(
        found, pair, other, float(difference[best]), max(float(residual[best]), 0.0), starts, int(solved.sum())
    )


def _solve(attribute_set: AttributeSet, wanted: Tensor, pairs: Pair, steps: int = 40) -> Pair:
    def error(moved: Pair) -> Tensor:
        return attribute_set.smooth(attribute_set.attributes(moved)) - wanted

    for _ in range(steps):
        value, jacobian = attribute_jacobian(error, pairs)
        if float(value.abs().max()) < 1e-13:
            break
        # directions that hardly change the numbers are left alone (rtol), and no step turns or goes farther than 1
        step = -(torch.linalg.pinv(jacobian, rtol=1e-7) @ value.unsqueeze(-1)).squeeze(-1)
        step = step / step.norm(dim=-1, keepdim=True).clamp(min=1.0)
        pairs = shifted(pairs, step, exact=True)
    return pairs


# ------------------------------------------------------------------------------------------- the fibre of the triple
def fiber(pair: Pair, angle: Float64[Tensor, " *n"]) -> Pair:
    """Turn o_s about o_t by `angle` (radians): the paper's triple stays, the fourth number r·o_s moves as a cosine.

    r·o_s = z cos β + |r_⊥| sin β cos(φ + angle), z = r·o_t, cos β = o_t·o_s, φ the angle from r to o_s about o_t.
    One pair in R³×S², any shape of angles. Raises ValueError for another space or a batch of pairs.
    """
    if pair.space != "r3s2" or pair.pos_t.ndim != 1:
        raise ValueError(f"pair must be one pair in 'r3s2'; got {pair.space!r}, batch {list(pair.pos_t.shape[:-1])}.")
    turned = (axis_angle(pair.ori_t, angle) @ pair.ori_s.unsqueeze(-1)).squeeze(-1)
    return Pair.make("r3s2", pair.pos_t, pair.pos_s, pair.ori_t, turned)
