"""A class on nbgrader from the command line: source, release, collected submissions, autograded points.

The notebook is cut to its exercises, which spares pictures and examples; whole ones are made and
graded by the same commands.
"""

import ast
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ponita_edu.course.cells import exercises

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("make_assignment", ROOT / "tools" / "make_assignment.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)
WITH_EXERCISES = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
                  if exercises(nbformat.read(path, as_version=4))]
BOTH_KINDS = ROOT / "notebooks" / "02_equivalence_classes_and_invariants.ipynb"  # functions, and a value


def stem(path):
    return path.stem


def read(path):
    return nbformat.read(path, as_version=4)


def of_student(notebook):
    """What nbgrader makes of a source version, in the parts that matter here: by its own two preprocessors."""
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions
    from traitlets.config import Config

    config = Config({"ClearSolutions": {"code_stub": {"python": tool.STUB}}})
    for step in (ClearSolutions(config=config), ClearHiddenTests(config=config)):
        notebook, _ = step.preprocess(notebook, {})
    return notebook


@pytest.mark.parametrize("path", WITH_EXERCISES, ids=stem)
def test_every_notebook_has_a_version_for_students(path):
    """Stubs are those of the notebook, no solution is left, points are kept, links and results are found."""
    notebook = read(path)
    stubs, solutions = [e.stub for e in exercises(notebook)], [e.solution for e in exercises(notebook)]
    source = tool.to_source(notebook)
    assert [e.stub for e in exercises(notebook)] == stubs  # the notebook itself stays as it is
    whole = [c.source for c in source.cells if c.metadata.get("nbgrader", {}).get("solution")]
    assert all("### BEGIN SOLUTION" in text and "### END SOLUTION" in text for text in whole)
    student = of_student(source)
    given = [c.source for c in student.cells if c.metadata.get("nbgrader", {}).get("solution")]
    assert len(given) == len(stubs)
    for stub, text, e in zip(stubs, given, exercises(notebook), strict=True):
        ast.parse(text)
        changed = {line.strip() for line in set(text.splitlines()) ^ set(stub.splitlines())}
        assert changed <= {tool.STUB, "raise NotImplementedError  # your lines here"}, e.number
    everything = "\n".join(c.source for c in student.cells)
    last_lines = [s.splitlines()[-1].strip() for s in solutions]
    assert [line for line in last_lines if len(line) > 25 and line in everything] == []
    assert "verdict.passed" not in everything and "<summary>Solution" not in everything
    graded = [c.metadata.nbgrader for c in student.cells if c.metadata.get("nbgrader", {}).get("grade")]
    assert [g.points for g in graded] == [e.points for e in exercises(notebook)]
    assert "../results" not in everything and "](0" not in everything and "](1" not in everything


STUB = '''def double(x):
    """2 x."""
    raise NotImplementedError  # your lines here


check.double(double)'''


def small(stub: str, solution: str):
    """A notebook of one exercise."""
    task = "### Exercise 01.1 · twice\n\n*5 minutes, ★*\n\nDo.\n\n<details><summary>Hint</summary>\n\nAdd.\n</details>"
    fold = f"<details><summary>Solution</summary>\n\n```python\n{solution}\n```\nSo.\n</details>"
    marks = {"ponita_edu": {"exercise": "01.1", "check": "double", "points": 2}}
    return new_notebook(cells=[new_markdown_cell(task), new_code_cell(stub, metadata=marks), new_markdown_cell(fold)])


def test_solution_goes_into_the_stub():
    solution = 'import math\n\n\ndef double(x):\n    """Twice."""\n    y = x\n    return y + x'
    source = tool.to_source(small(STUB, solution))
    assert source.cells[1].source == '''def double(x):
    """2 x."""
    ### BEGIN SOLUTION
    import math
    y = x
    return y + x
    ### END SOLUTION


check.double(double)'''


def test_value_goes_below_its_none():
    source = tool.to_source(small("double = None  # a number\n\ncheck.double(double)", "double = 3 + 3"))
    assert source.cells[1].source == "\n".join(["double = None  # a number", "### BEGIN SOLUTION", "double = 3 + 3",
                                                "### END SOLUTION", "", "check.double(double)"])


@pytest.mark.parametrize("stub, solution, words", [
    (STUB, "def double(y):\n    return 2 * y", r"exercise 01.1 must define double\(x\)"),
    (STUB, "double = 2", r"must define double\(x\)"),
    (STUB.replace("raise NotImplementedError", "pass"), "def double(x):\n    return 2 * x", "a line to replace"),
    ("double = 0\n\ncheck.double(double)", "double = 6", "a line to replace"),
])
def test_exercise_that_cannot_be_released(stub, solution, words):
    with pytest.raises(ValueError, match=words):
        tool.to_source(small(stub, solution))


def cut(path: Path, folder: Path) -> Path:
    """The notebook with its exercises alone, and its imports but for pictures, which cost seconds."""
    notebook = read(path)
    imports = {ast.unparse(node): None for cell in notebook.cells if cell.cell_type == "code"
               for node in ast.parse(cell.source).body if isinstance(node, ast.Import | ast.ImportFrom)
               and not {"viz", "matplotlib", "plotly"} & set(re.split(r"\W", ast.unparse(node)))}
    kept = [k for e in exercises(notebook) for k in (e.cell - 1, e.cell, e.cell + 1)]
    notebook.cells = [new_code_cell("\n".join(imports)), *(notebook.cells[k] for k in kept)]
    nbformat.write(notebook, folder / path.name)
    return folder / path.name


def hand_in(folder: Path, name: str, student: str, answers: dict[str, str]) -> None:
    """Put a student's notebook, answers by grade id, where a learning platform's archive is unpacked."""
    notebook = read(folder / "release" / name / f"{name}.ipynb")
    for cell in notebook.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    place = folder / "downloaded" / name / "archive"
    place.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, place / f"class_{student}_attempt_2026-11-28-10-00-00_{name}.ipynb")


@pytest.mark.slow
def test_nbgrader_grades_submissions(tmp_path):
    """Full points for the solutions, none for untouched stubs, one exercise's points for one right answer."""
    from nbgrader.api import Gradebook

    folder, path = tmp_path / "class", cut(BOTH_KINDS, tmp_path)
    assert tool.main([str(path), "--out", str(folder)]) == 0
    name, found = path.stem, exercises(read(path))
    assert {"raise NotImplementedError" in e.stub for e in found} == {True, False}
    source = read(folder / "source" / name / f"{name}.ipynb")
    answers = {c.metadata.nbgrader.grade_id: c.source for c in source.cells
               if c.metadata.get("nbgrader", {}).get("solution")}
    first, points = f"exercise-{found[0].number.replace('.', '-')}", sum(e.points for e in found)
    expected = {"full": points, "first": found[0].points, "untouched": 0}
    for student, given in (("full", answers), ("first", {first: answers[first]}), ("untouched", {})):
        hand_in(folder, name, student, given)
    tool.nbgrader(folder, "zip_collect", name)
    tool.nbgrader(folder, "autograde", name, "--create")
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        came = {student: book.find_submission(name, student) for student in expected}
        assert {student: (grade.score, grade.max_score) for student, grade in came.items()} == {
            student: (score, points) for student, score in expected.items()}
    assert {p.name for p in tmp_path.iterdir()} == {"class", path.name}
