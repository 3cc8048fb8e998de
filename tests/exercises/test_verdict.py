"""The verdict itself: every cause that any exercise knows is named, on one small exercise."""

import math
from itertools import cycle, product
from types import SimpleNamespace

import pytest
import torch

from ponita_edu.course import check, compare
from ponita_edu.course import verdict as verdicts
from ponita_edu.course.verdict import Where, judge, judge_value


def inputs(generator):
    return torch.randn(3, 3, generator=generator, dtype=torch.float64), torch.rand((), generator=generator).double()


def reference(matrix, angle):
    """The exercise of this file: the matrix times the angle."""
    return torch.einsum("ij,->ij", matrix, angle)


def ask(answer, **options):
    return judge(answer, inputs=inputs, reference=reference, **{"seed": 3, **options})


def crash(matrix, angle):
    return matrix[5]


def in_place(matrix, angle):
    return matrix.mul_(angle)


def half_a_nan(matrix, angle):
    return torch.where(matrix > 0, matrix * angle, math.nan)


CAUSES = {
    "raised IndexError": crash,
    "wrong type: expected a tensor [3, 3], came (a tensor [3, 3], a number)": lambda m, a: (m, a),
    "wrong type: expected a tensor [3, 3], came a numpy array [3, 3]": lambda m, a: (m * a).numpy(),
    "wrong type: expected a tensor [3, 3], came a str": lambda m, a: "m",
    "wrong shape: expected a tensor [3, 3], came a tensor [3]": lambda m, a: m[0] * a,
    "NaN": half_a_nan,
    "wrong dtype: expected float64, came float32": lambda m, a: (m * a).float(),
    "changes its input in place": in_place,
    "sign is flipped": lambda m, a: -m * a,
    "factor 2": lambda m, a: 2 * m * a,
    "in degrees, not in radians": lambda m, a: torch.rad2deg(m * a),
    "0.5 was added": lambda m, a: m * a + 0.5,
    "rows for columns": lambda m, a: m.T * a,
    "differs from what was asked: on 100% of the inputs": lambda m, a: (m * a).sin(),
    "every second is forgotten": lambda m, a: m * a * torch.tensor([1.0, 0.0, 1.0]),
}
MISTAKES = [
    ("every second is forgotten", lambda m, a: m * a * torch.tensor([1.0, 0.0, 1.0]).double()),
    ("it is not linear in the matrix", Where(lambda came, m, a: bool((came == (m * a).tanh()).all()))),
    ("only the first row is there", lambda m, a: m[:1] * a),
]


@pytest.mark.parametrize("words", CAUSES)
def test_general_causes_are_named(words):
    verdict = ask(CAUSES[words], mistakes=MISTAKES)
    assert words in repr(verdict) and repr(verdict).startswith("wrong, because ")
    assert not verdict.passed and verdict.attempted and "\n" not in repr(verdict)


def test_known_mistakes_go_first():
    """A known mistake explains a wrong shape, and one known by a predicate is found."""
    assert ask(lambda m, a: m[:1] * a, mistakes=MISTAKES).cause == "only the first row is there"
    assert ask(lambda m, a: (m * a).tanh(), mistakes=MISTAKES).cause == "it is not linear in the matrix"
    assert ask(lambda m, a: m[:1] * a).cause == "it has the wrong shape"


def test_a_mistake_must_fit_everywhere():
    half_wrong = ask(lambda m, a: m[:1] * a if a > 0.5 else m * a, mistakes=MISTAKES)
    assert "wrong shape" in half_wrong.cause
    sometimes = ask(lambda m, a: m.T * a if a > 0.5 else m * a)
    assert "differs" in sometimes.cause and "100%" not in repr(sometimes)


def test_right_says_the_same_every_time():
    first, second = (ask(lambda m, a: a * m, mistakes=MISTAKES, seed=None) for _ in range(2))
    assert repr(first) == repr(second)
    assert repr(first) == "right (largest error below 1e-12, on 20 fresh inputs; less than 0.1 s a call)"
    assert first.details["seed"] != second.details["seed"]
    assert first.details["seconds"] > 0 and first.details["error"] < 1e-12
    assert "0x" not in repr(ask(reference)) + repr(ask(lambda m, a: object()))


def test_an_exception_is_told_in_one_line_of_bounded_length():
    def long(matrix, angle):
        raise ValueError("first line\n  second line\n" * 50)

    found = ask(long)
    assert found.cause.startswith("it raised ValueError (first line second line first line ") and len(found.cause) < 150
    assert repr(found) == f"wrong, because {found.cause}: expected a tensor [3, 3]"


def test_the_largest_error_is_kept():
    came, wanted = cycle([0.0, 1.0 + 4e-13, 2.0]), cycle([0.0, 1.0, 2.0])
    found = judge(lambda _: next(came), inputs=lambda _: (0,), reference=lambda _: next(wanted), n=3)
    assert found.passed and found.details["error"] == pytest.approx(4e-13, rel=1e-3, abs=0)


@pytest.mark.parametrize("seconds, bound", [(0.09, "0.1"), (0.1, "1"), (0.99, "1"), (1.0, "10"), (9.9, "10"),
                                            (10.0, "100"), (99.0, "100")])  # fmt: skip
def test_a_call_takes_less_than_a_round_number_of_seconds(seconds, bound, monkeypatch):
    clock = cycle([0.0, seconds, 0.0, seconds + 200])  # the fastest call counts
    monkeypatch.setattr(verdicts, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert f"less than {bound} s a call" in repr(ask(reference))


def test_not_attempted():
    def stub(matrix, angle):
        raise NotImplementedError

    for answer in (stub, lambda m, a: None, None, ...):
        found = ask(answer)
        assert repr(found) == "not attempted" and not found.passed and not found.attempted
    calls = []
    assert "came None" in repr(ask(lambda m, a: calls.append(a) if calls else calls.append(a) or m * a))


@pytest.mark.parametrize("mistakes, words", [
    ([("none at all", lambda m, a: a * m)], "the right answer from the mistake 'none at all'"),
    ([("one", lambda m, a: -m), ("two", lambda m, a: m * -1)], "the mistake 'two' from 'one'"),
    ([("always", Where(lambda *_: True)), ("two", lambda m, a: m * 2)], "the mistake 'two' from 'always'"),
])  # fmt: skip
def test_mistakes_that_the_inputs_cannot_tell_apart_are_a_fault_of_the_check(mistakes, words):
    with pytest.raises(RuntimeError, match=words):
        ask(reference, mistakes=mistakes)
    assert ask(reference, mistakes=mistakes, seed=None).passed  # but the reader is not bothered with it


def test_several_right_answers_by_a_view():
    """A square root of either sign: what counts is its square."""
    def root(sign):
        return judge(lambda x: sign * x.sqrt(), inputs=lambda g: (torch.rand(3, generator=g).double(),),
                     reference=lambda x: x**0.5, view=lambda r, x: r**2, seed=0)

    assert root(1).passed and root(-1).passed and not root(2).passed


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.complex128])
def test_a_view_does_not_stumble_over_another_dtype(dtype):
    """R in torch's own float32 made the matrix product of the view raise; the reader saw a traceback."""
    verdict = check.motion_to(lambda p, o: (torch.eye(3, dtype=dtype), p))
    words = str(dtype).removeprefix("torch.")
    assert repr(verdict) == f"wrong, because it has the wrong dtype: expected float64, float64, came {words}, float64"


def test_results_in_the_reverse_order():
    verdict = judge(lambda m, a: (a, a + 1), inputs=inputs, reference=lambda m, a: (1 + a, a), seed=0)
    assert verdict.cause == "the results come in the reverse order"
    pair = judge(lambda m, a: (a, m), inputs=inputs, reference=lambda m, a: (m, a), seed=0)
    assert repr(pair) == "wrong, because the results come in the reverse order: expected (a tensor [3, 3], a number)"


def test_values():
    for value, options in product((None, ...), ({"expected": 4}, {"like": 4})):
        assert repr(judge_value(value, **options)) == "not attempted"
    assert judge_value(4, expected=4).passed and judge_value(torch.tensor(4.0), expected=4).passed
    assert judge_value(3, expected=4, mistakes=[("one is missing", 3)]).cause == "one is missing"
    assert "expected 4, came 5" in repr(judge_value(5, expected=4))
    assert "yes or no" in repr(judge_value(1, expected=True)) and judge_value(True, expected=True).passed
    positive = [("a number is negative", lambda v: bool((v < 0).any()))]
    right = judge_value(torch.ones(2), like=torch.ones(2), faults=positive)
    assert right.passed and repr(right) == "right (all 1 conditions hold)"
    assert judge_value(-torch.ones(2), like=torch.ones(2), faults=positive).cause == "a number is negative"
    wrong = judge_value(torch.ones(3), like=torch.ones(2), faults=positive)
    assert wrong.cause == "it has the wrong shape" and "expected a tensor [2], came a tensor [3]" in repr(wrong)


@pytest.mark.parametrize("came", [[0, 0, 1], [True, False, True], [1j, 0, 0]])
def test_a_value_of_another_kind_of_numbers(came):
    """torch.tensor([0, 0, 1]) holds whole numbers, which have no norm: the check of 02.4 raised."""
    verdict = check.another_arrow(torch.tensor(came))
    assert verdict.cause == "it has the wrong dtype" and "expected float64, came" in repr(verdict)
    assert check.another_arrow(torch.tensor([-0.6, 0.0, 0.8])).passed  # float32 is near enough


def test_units_of_energy_are_named():
    for factor, words in ((23.060548, "kcal/mol, not in eV"), (1 / 43.364104, "kcal/mol, not in meV"), (1000, "meV")):
        assert words in ask(lambda m, a, factor=factor: factor * m * a).cause


@pytest.mark.parametrize("came, expected, error", [
    (1.0, 1.0, 0), (1.0 + 1e-9, 1.0, 1e-9), (torch.tensor(2.0), 2, 0), (200.0, 100.0, 1.0), (math.nan, math.nan, 0),
    (math.nan, 1.0, math.inf), ((1, 2), (1, 2), 0), ((1, 2), 1, math.inf), (math.inf, math.inf, 0),
    (torch.ones(2), torch.ones(3), math.inf), (1j, 1j, 0), (True, 1, math.inf), ("a", "a", 0), ("a", "b", math.inf),
])  # fmt: skip
def test_errors(came, expected, error):
    assert compare.error(came, expected) == pytest.approx(error)


def test_check_lists_and_suggests():
    assert "move" in dir(check)
    with pytest.raises(AttributeError, match=r"Did you mean check\.move"):
        _ = check.mve
