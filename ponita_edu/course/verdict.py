"""How an exercise is judged: the reader's function on fresh inputs against a formula of our own, in one sentence.

The first that applies is said: not attempted; an exception; a wrong type; a known mistake of this exercise; wrong
shape, NaN, wrong dtype, input changed in place; right; a sign, a factor, rows for columns; else by how much it differs.
"""

import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ponita_edu.course import causes, compare
from ponita_edu.course.causes import DIFFERS, Mistakes, Where

__all__ = ["DIFFERS", "Verdict", "Where", "judge", "judge_value"]


@dataclass(frozen=True, repr=False)
class Verdict:
    """One sentence about an answer. It is also the display in a notebook, so it holds nothing that varies by machine.

    `cause` is the mistake alone ("" unless wrong); `details` holds the measured error, seconds a call and the seed.
    """

    sentence: str
    passed: bool = False
    cause: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.sentence

    @property
    def attempted(self) -> bool:
        """False for a stub that was left as it is."""
        return self.passed or bool(self.cause)


NOT_ATTEMPTED = Verdict("not attempted")


def wrong(cause: str, comparison: str, **details: object) -> Verdict:
    """The verdict "wrong, because CAUSE: COMPARISON"."""
    return Verdict(f"wrong, because {cause}: {comparison}", False, cause, details)


def judge(
    answer: object,
    *,
    inputs: Callable[[torch.Generator], tuple],
    reference: Callable[..., Any],
    mistakes: Mistakes = (),
    tolerance: float = 1e-12,
    n: int = 20,
    seed: int | None = None,
    view: Callable[..., Any] | None = None,
) -> Verdict:
    """Judge a reader's function.

    Args:
        answer: the function; None or ... count as not attempted.
        inputs: makes one tuple of arguments from a generator.
        reference: the right answer by a formula that is not the solution's.
        mistakes: (what was done wrong, the formula that does so, or `Where`); the first that fits all inputs is said.
        tolerance: largest allowed error, relative to max(1, largest expected number).
        seed: of the inputs; fresh ones on every call if None. A given seed also checks that the inputs tell all
            mistakes from the right answer and from one another.
        view: what of an answer counts, as `view(answer, *arguments)`, where several answers are right.

    Raises:
        ValueError: if `answer` is not a function.
        RuntimeError: if, for a given seed, a mistake cannot be told apart.
    """
    if answer is None or answer is ...:
        return NOT_ATTEMPTED
    if not callable(answer):
        raise ValueError(
            f"answer must be the function itself; got {compare.describe(answer)}. "
            "Pass its name without brackets and without quotes, as in check.move(move)."
        )
    fresh = secrets.randbits(31) if seed is None else seed
    generator = torch.Generator().manual_seed(fresh)
    cases = [inputs(generator) for _ in range(n)]
    expected = [reference(*compare.duplicate(case)) for case in cases]
    came, same_inputs, seconds = [], True, math.inf
    for case, right in zip(cases, expected, strict=True):
        given = compare.duplicate(case)
        start = time.perf_counter()
        try:
            value = answer(*given)
        except NotImplementedError:
            return NOT_ATTEMPTED
        except Exception as error:
            message = " ".join(str(error).split())[:120]
            return wrong(f"it raised {type(error).__name__} ({message})", f"expected {compare.describe(right)}")
        seconds = min(seconds, time.perf_counter() - start)
        if value is None and not came:
            return NOT_ATTEMPTED
        same_inputs = same_inputs and compare.unchanged(case, given)
        came.append(value)
    look = view or causes.everything
    fault = causes.fault(cases, came, expected, same_inputs, mistakes, tolerance, look)
    if fault is not None:
        return wrong(*fault, seed=fresh)
    if seed is not None:
        causes.tell_apart(cases, came, mistakes, tolerance, look)
    worst = max(compare.error(look(a, *c), look(b, *c)) for a, b, c in zip(came, expected, cases, strict=True))
    slow = next((bound for bound in (0.1, 1, 10, 100) if seconds < bound), math.inf)
    on = f", on {n} fresh inputs" if cases[0] else ""
    return Verdict(
        f"right (largest error below {tolerance:.0e}{on}; less than {slow:g} s a call)",
        True,
        details={"error": worst, "seconds": seconds, "seed": fresh, "mistakes": [cause for cause, _ in mistakes]},
    )


def judge_value(
    value: object,
    *,
    expected: object = None,
    mistakes: Sequence[tuple[str, object]] = (),
    like: object = None,
    faults: Sequence[tuple[str, Callable[[Any], bool]]] = (),
    tolerance: float = 1e-9,
) -> Verdict:
    """Judge an answer that is no function: against one right value, or by what must hold of it.

    Args:
        value: the answer; None or ... count as not attempted.
        expected: the one right value, with `mistakes` as (what was done wrong, the value that gives).
        like: instead, an example with the kind and shapes that are asked, and
        faults: (what is wrong with it, predicate of the value); the first that holds is said, right if none does.

    Raises: ValueError if the answer is a function, or the check gives neither `expected` nor `like`.
    """
    if value is None or value is ...:
        return NOT_ATTEMPTED
    if callable(value):
        raise ValueError(f"value must be the answer itself; got the function {getattr(value, '__name__', value)!r}.")
    if (expected is None) == (like is None):
        raise ValueError("a check needs either expected or like, but not both.")
    if like is None:
        constant = [(cause, lambda other=other: other) for cause, other in mistakes]
        return judge(
            lambda: value, inputs=lambda _: (), reference=lambda: expected, mistakes=constant, tolerance=tolerance, n=1
        )
    fault = causes.wrong_form([value], [like])
    if fault is None and compare.families(value) != compare.families(like):
        fault = causes.wrong_dtype([value], [like])  # a predicate may stumble over whole numbers
    if fault is None:
        broken = (cause for cause, holds in faults if holds(value))
        fault = next(((cause, f"came {compare.brief(value)}") for cause in broken), None)
    return Verdict(f"right (all {len(faults)} conditions hold)", True) if fault is None else wrong(*fault)
