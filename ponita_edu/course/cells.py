r"""Exercises as they stand in a notebook: three cells each, task, stub and folded solution."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_HEAD = re.compile(r"### Exercise (\d\d\.\d) · (.+)\n+\*(\d+) minutes, (★{1,3})\*\n")
_HINT = re.compile(r"<details><summary>Hint</summary>(.+?)</details>", re.DOTALL)
_SOLUTION = re.compile(r"<details><summary>Solution</summary>\s*\n\n```python\n(.+?)\n```\n(.*?)</details>", re.DOTALL)


@dataclass(frozen=True)
class Exercise:
    """One exercise; `cell` is the index of the stub's cell, `name` of the check (and of the stub, if a function)."""

    number: str
    title: str
    minutes: int
    stars: int
    hint: str
    stub: str
    solution: str
    explanation: str
    name: str
    points: int
    cell: int


def exercises(notebook: Mapping[str, Any]) -> list[Exercise]:
    """All exercises of a notebook (as nbformat or json read it), in order.

    Raises: ValueError if an exercise does not keep the format of CONTRIBUTING.md, saying which part is missing.
    """
    cells = notebook["cells"]
    text = ["".join(cell["source"]) for cell in cells]
    found = []
    for k, cell in enumerate(cells):
        mark = cell["metadata"].get("ponita_edu", {})
        if "exercise" not in mark:
            continue
        number = mark["exercise"]
        head, hint, solution = _HEAD.match(text[k - 1]), _HINT.search(text[k - 1]), _SOLUTION.search(text[k + 1])
        if head is None or head[1] != number:
            raise ValueError(
                f"exercise {number} must follow a cell that begins '### Exercise {number} · title', then "
                f"'*5 minutes, ★★*'; got {text[k - 1][:60]!r}."
            )
        if hint is None:
            raise ValueError(f"exercise {number} must have a hint: <details><summary>Hint</summary>…</details>.")
        if solution is None:
            raise ValueError(f"exercise {number} must be followed by a folded solution with one ```python block.")
        parts = hint[1].strip(), text[k], solution[1], solution[2].strip()
        found.append(Exercise(number, head[2], int(head[3]), len(head[4]), *parts, mark["check"], mark["points"], k))
    return found


def exercise_section(notebook: Mapping[str, Any]) -> range:
    """Indices of the cells from "## Exercises" to the next heading of its level; empty if there is no such section."""
    text = ["".join(cell["source"]) for cell in notebook["cells"]]
    written = [k for k, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "markdown"]
    heads = [k for k in written if text[k].startswith("## ")]
    start = next((k for k in heads if text[k].startswith("## Exercises")), len(text))
    return range(start, next((k for k in heads if k > start), len(text)))
