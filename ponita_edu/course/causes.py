"""What is wrong with an answer: the known mistakes of an exercise, and those that any exercise knows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ponita_edu.course import compare

DIFFERS = "it differs from what was asked"  # said when no cause is known
# came / expected -> what was probably confused; energies in eV, as everywhere in the library
KNOWN_FACTORS = {
    180 / math.pi: "the angle is in degrees, not in radians",
    math.pi / 180: "the angle was converted from degrees to radians though it is in radians",
    23.060548: "the energy is in kcal/mol, not in eV",
    1 / 23.060548: "the energy was converted from kcal/mol to eV though it is in eV",
    1 / 43.364104: "the energy is in kcal/mol, not in meV",
    27.211386: "the energy was converted from hartree to eV though it is in eV",
    1 / 27.211386: "the energy is in hartree, not in eV",
    1000.0: "the unit is a thousandth of what was asked (as meV for eV)",
    0.001: "the unit is a thousand times what was asked (as eV for meV)",
}


@dataclass(frozen=True)
class Where:
    """A mistake known by what came: `predicate(came, *arguments)` must hold on every input."""

    predicate: Callable[..., bool]


Mistakes = Sequence[tuple[str, Callable[..., Any] | Where]]
Fault = tuple[str, str]  # the cause, and what was expected and what came


def everything(value: Any, *arguments: object) -> Any:
    """The view that shows the whole answer."""
    return value


def _formulas(mistakes: Mistakes) -> Mistakes:
    return [(cause, how) for cause, how in mistakes if not isinstance(how, Where)]


def wrong_form(came: list, expected: list) -> Fault | None:
    """Kind, shape, NaN."""
    for a, b in zip(came, expected, strict=True):
        if compare.kind(a) != compare.kind(b) or compare.shapes(a) != compare.shapes(b):
            if isinstance(a, tuple | list) and compare.describe(a[::-1]) == compare.describe(b):
                return "the results come in the reverse order", f"expected {compare.describe(b)}"
        if compare.kind(a) != compare.kind(b):
            return "it returns the wrong type", f"expected {compare.describe(b)}, came {compare.describe(a)}"
    for a, b in zip(came, expected, strict=True):
        if compare.shapes(a) != compare.shapes(b):
            turned = [shape[::-1] for shape in compare.shapes(a)] == compare.shapes(b)
            cause = "it has the wrong shape" + (", rows for columns" if turned else "")
            return cause, f"expected {compare.describe(b)}, came {compare.describe(a)}"
    for a, b in zip(came, expected, strict=True):
        if compare.has_nan(a) and not compare.has_nan(b):
            return "it holds NaN or infinity", compare.where_they_differ(a, b)
    return None


def wrong_dtype(came: list, expected: list) -> Fault | None:
    """Tensors of another dtype, of answers that have the right kind and shape."""
    for a, b in zip(came, expected, strict=True):
        if compare.dtypes(a) != compare.dtypes(b):
            dtypes = (", ".join(compare.dtypes(value)) for value in (b, a))
            return "it has the wrong dtype", "expected {}, came {}".format(*dtypes)
    return None


def _fits(cases: list, came: list, formula: Callable, tolerance: float, look: Callable) -> bool:
    """Whether what came is what a mistaken formula gives, on every input."""
    for case, a in zip(cases, came, strict=True):
        b = formula(*compare.duplicate(case))
        if compare.kind(a) != compare.kind(b) or compare.shapes(a) != compare.shapes(b):
            return False
        if not compare.error(look(a, *case), look(b, *case)) <= tolerance:
            return False
    return True


def named(cases: list, came: list, mistakes: Mistakes, tolerance: float, look: Callable) -> str | None:
    """The first known mistake that fits."""
    for cause, how in mistakes:
        if isinstance(how, Where):
            if all(how.predicate(a, *case) for a, case in zip(came, cases, strict=True)):
                return cause
        elif _fits(cases, came, how, tolerance, look):
            return cause
    return None


def fault(
    cases: list, came: list, expected: list, same_inputs: bool, mistakes: Mistakes, tolerance: float, look: Callable
) -> Fault | None:
    """The first thing that is wrong, or None."""
    form = wrong_form(came, expected)
    if form is None and look is not everything:  # a view computes with the answer, so that its dtype must fit as well
        form = wrong_dtype(came, expected)
    if form is not None:  # a formula may explain a wrong shape; a view or a predicate may stumble over it
        cause = named(cases, came, _formulas(mistakes), tolerance, everything)
        return form if cause is None else (cause, form[1])
    seen = [look(a, *case) for a, case in zip(came, cases, strict=True)]
    asked = [look(b, *case) for b, case in zip(expected, cases, strict=True)]
    errors = [compare.error(a, b) for a, b in zip(seen, asked, strict=True)]
    worst = max(range(len(errors)), key=errors.__getitem__)
    cause = named(cases, came, mistakes, tolerance, look) if errors[worst] > tolerance else None
    dtype = wrong_dtype(came, expected)
    if cause is None and dtype is not None:
        return dtype
    if cause is None and not same_inputs:
        return "it changes its input in place", "expected the arguments as they were, came back others"
    if errors[worst] <= tolerance:
        return None
    cause = cause or _common_cause(seen, asked, tolerance)
    comparison = compare.where_they_differ(seen[worst], asked[worst], place=look is everything)
    if cause is None:
        share = sum(e > tolerance for e in errors) / len(errors)
        cause, comparison = DIFFERS, f"on {share:.0%} of the inputs, by up to {max(errors):.2g}; {comparison}"
    return cause, comparison


def _common_cause(came: list, expected: list, tolerance: float) -> str | None:
    """Mistakes that any exercise knows: sign, factor, constant, rows for columns, order of results."""
    a, b = compare.numbers(came), compare.numbers(expected)
    if "yes or no" not in compare.kind(expected):
        scale = tolerance * max(1.0, float(b.abs().max()))
        size = float((b.conj() * b).sum().real)
        factor = complex((b.conj() * a).sum() / size) if size else 0j
        if size and float((a - factor * b).abs().max()) <= scale and abs(factor) > tolerance and not factor.imag:
            return _factor_in_words(factor.real, varied=float(b.abs().max() - b.abs().min()) > scale)
        offset = complex((a - b).mean())
        if len(b) > 1 and float((a - b - offset).abs().max()) <= scale:
            return f"{compare.short(offset.real)} was added to every number"
    pairs = list(zip(came, expected, strict=True))
    if all(isinstance(x, torch.Tensor) and x.ndim > 1 and x.shape[-1] == x.shape[-2] for x, _ in pairs) and all(
        compare.error(x.mT, y) <= tolerance for x, y in pairs
    ):
        return "it is transposed, rows for columns"
    if all(isinstance(x, tuple | list) and compare.error(type(y)(x[::-1]), y) <= tolerance for x, y in pairs):
        return "the results come in the reverse order"
    return None


def _factor_in_words(factor: float, varied: bool) -> str | None:
    if abs(factor + 1) < 1e-9:
        return "the sign is flipped"
    for known, words in KNOWN_FACTORS.items():
        if abs(factor / known - 1) < 1e-5:
            return words
    return f"it is right only up to the factor {compare.short(factor)}" if varied else None


def tell_apart(cases: list, right: list, mistakes: Mistakes, tolerance: float, look: Callable) -> None:
    """Raise if these inputs cannot tell a mistake from the right answer or from an earlier mistake.

    A predicate may hold of right answers too: it is asked only about wrong ones.
    """
    cause = named(cases, right, _formulas(mistakes), tolerance, look)
    if cause is not None:
        raise RuntimeError(f"the inputs cannot tell the right answer from the mistake {cause!r}")
    for cause, how in mistakes:
        if not isinstance(how, Where):
            came = [how(*compare.duplicate(case)) for case in cases]
            form = wrong_form(came, right)
            known = mistakes if form is None else _formulas(mistakes)
            said = named(cases, came, known, tolerance, look if form is None else everything)
            if said != cause:
                raise RuntimeError(f"the inputs cannot tell the mistake {cause!r} from {said!r}")
