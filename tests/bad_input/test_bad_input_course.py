"""What a reader may hand to a check by mistake."""

import pytest
import torch

from ponita_edu.course import check
from ponita_edu.course.cells import exercises
from ponita_edu.course.verdict import judge_value


@pytest.mark.parametrize("answer, words", [
    ("move", "a str"), (torch.ones(2, 3), r"a tensor \[2, 3\]"), (3, "a number"), ((1, torch.ones(2)), "a number, a t"),
])  # fmt: skip
def test_something_else_than_a_function(answer, words):
    with pytest.raises(ValueError, match=f"answer must be the function itself; got .*{words}.*without brackets"):
        check.move(answer)


def test_a_function_for_a_value():
    with pytest.raises(ValueError, match="value must be the answer itself; got the function 'len'"):
        judge_value(len, expected=3)


def test_a_value_check_without_anything_to_compare():
    with pytest.raises(ValueError, match="either expected or like"):
        judge_value(3)


GOOD = [
    "### Exercise 01.1 · t\n\n*5 minutes, ★*\n\ndo\n\n<details><summary>Hint</summary>\nh\n</details>",
    "stub",
    "<details><summary>Solution</summary>\n\n```python\nx = 1\n```\nSo.\n</details>",
]


def book(*sources):
    mark = {"ponita_edu": {"exercise": "01.1", "check": "x", "points": 1}}
    return {"cells": [{"source": s, "metadata": mark if k == 1 else {}} for k, s in enumerate(sources)]}


def test_exercise_cells_out_of_form():
    assert exercises(book(*GOOD))[0].solution == "x = 1"
    for old, words in (("Exercise 01.1", "begins '### Exercise 01.1"), ("★*", "begins"), ("Hint", "a hint"),
                       ("```python", "folded solution")):  # fmt: skip
        with pytest.raises(ValueError, match=f"exercise 01.1 must .*{words}"):
            exercises(book(*[source.replace(old, "") for source in GOOD]))
