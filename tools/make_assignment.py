"""Make a course for nbgrader from the notebooks: ``python tools/make_assignment.py`` (what ``make assignment`` runs).

The notebooks are the only source. build/class/source/NAME/ holds each with its folded solutions in the stubs and
a graded cell after every exercise; build/class/release/NAME/ is what students get. Everything stays in build/class.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from ponita_edu.course.cells import Exercise, exercises

ROOT = Path(__file__).resolve().parents[1]
CLASS = ROOT / "build" / "class"
STUB = "...  # your lines here"
CONFIG = f'''"""Written by tools/make_assignment.py; nbgrader reads it when it is run in this folder."""

c = get_config()
c.CourseDirectory.course_id = "ponita"
c.Exchange.root = "exchange"
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}
c.Execute.timeout = 600
# zip_collect takes names as of learning platforms: ANYTHING_student_attempt_2026-11-28-10-00-00_NOTEBOOK.ipynb
c.FileNameCollectorPlugin.named_regexp = (
    r".*_(?P<student_id>[^_]+)_attempt_(?P<timestamp>[0-9-]+)_(?P<file_id>\\w+)")
'''
RESULTS = re.compile(r'Path\("\.\."\) / "results"|Path\((f?)"\.\./results(/?)')
NOTEBOOK = re.compile(r"\]\((\d\d_\w+)\.ipynb")


def region(exercise: Exercise) -> str:
    """The stub with the folded solution between the marks of nbgrader.

    Raises: ValueError if the stub has no place for it, or the solution has other arguments than the stub.
    """
    lines = exercise.stub.splitlines()
    call = ast.parse(exercise.stub).body[-1].value
    name = ast.unparse(call.args[0])
    answer = next((node for node in ast.parse(exercise.stub).body if getattr(node, "name", "") == name), None)
    if answer is None:
        place = next((k for k, line in enumerate(lines) if line.startswith(f"{name} = None")), None)
        body = exercise.solution
    else:
        place = next((k for k, line in enumerate(lines) if line.strip().startswith("raise NotImplementedError")), None)
        body = _body(exercise, name, ast.unparse(answer.args))
    if place is None:
        raise ValueError(f"exercise {exercise.number} must have a line to replace, 'raise NotImplementedError' or "
                         f"'{name} = None'; got {exercise.stub!r}.")
    kept = lines[:place] if answer is not None else lines[:place + 1]
    indent = "" if answer is None else "    "
    marked = [f"{indent}### BEGIN SOLUTION", *body.splitlines(), f"{indent}### END SOLUTION"]
    return "\n".join([*kept, *marked, *lines[place + 1:]])


def _body(exercise: Exercise, name: str, arguments: str) -> str:
    """What the solution does inside its function; what it does before (imports, helpers) goes first."""
    tree, lines = ast.parse(exercise.solution), exercise.solution.splitlines()
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if len(found) != 1 or ast.unparse(found[0].args) != arguments:
        raise ValueError(f"the solution of exercise {exercise.number} must define {name}({arguments}), "
                         "as its stub does.")
    function = found[0]
    if len(function.body) > 1 and ast.get_docstring(function) is not None:  # the stub has one
        function.body.pop(0)
    if function.body[0].lineno == function.lineno:
        inner = [f"    {ast.unparse(node)}" for node in function.body]
    else:
        inner = lines[function.body[0].lineno - 1:function.end_lineno]
    outer = [line for node in tree.body if node is not function for line in lines[node.lineno - 1:node.end_lineno]]
    return "\n".join([*textwrap.indent("\n".join(outer), "    ").splitlines(), *inner])


def _marked(cell: NotebookNode, grade_id: str, **marks: object) -> NotebookNode:
    cell.metadata["nbgrader"] = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False,
                                 "grade_id": grade_id} | marks
    return cell


def to_source(notebook: NotebookNode) -> NotebookNode:
    """The instructor's version: solutions in the stubs, a graded cell in place of each folded solution, no outputs."""
    notebook = nbformat.from_dict(notebook)
    for exercise in exercises(notebook):
        number = exercise.number.replace(".", "-")
        stub = notebook.cells[exercise.cell]
        name = ast.unparse(ast.parse(exercise.stub).body[-1].value.args[0])
        stub.source = region(exercise)
        _marked(stub, f"exercise-{number}", solution=True)
        graded = nbformat.v4.new_code_cell(
            f"# Exercise {exercise.number}, right: {exercise.points} point{'s' * (exercise.points > 1)}\n"
            "### BEGIN HIDDEN TESTS\n"
            f"from ponita_edu.course import check as judged\n\nverdict = judged.{exercise.name}({name})\n"
            "assert verdict.passed, verdict\n"
            "### END HIDDEN TESTS", id=f"grade-{number}")
        notebook.cells[exercise.cell + 1] = _marked(graded, f"grade-{number}", grade=True, locked=True,
                                                    points=exercise.points, cell_type="code")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = RESULTS.sub(_own_results, cell.source)
            cell.outputs, cell.execution_count = [], None
        else:  # every notebook has a folder of its own here
            cell.source = NOTEBOOK.sub(r"](../\1/\1.ipynb", cell.source)
    return notebook


def _own_results(found: re.Match) -> str:
    return 'Path("results")' if found[1] is None else f'Path({found[1]}"results{found[2]}'


def write_source(path: Path, folder: Path) -> int:
    """Write folder/source/NAME/NAME.ipynb with the stored results that it reads; returns its number of exercises."""
    notebook = nbformat.read(path, as_version=4)
    place = folder / "source" / path.stem
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    source = to_source(notebook)
    nbformat.write(source, place / path.name)
    if any("results" in cell.source and "Path(" in cell.source for cell in source.cells if cell.cell_type == "code"):
        shutil.copytree(ROOT / "results", place / "results", ignore=shutil.ignore_patterns("*.md"))
    (folder / "nbgrader_config.py").write_text(CONFIG)
    return len(exercises(notebook))


def nbgrader(folder: Path, *command: str) -> None:
    """Run an nbgrader command in the class's folder, with Jupyter's own files there too.

    Raises: RuntimeError with the end of its output if it fails.
    """
    home = {name: str(folder / ".jupyter" / name.lower()) for name in
            ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    home["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader calls alembic by name
    done = subprocess.run([sys.executable, "-m", "nbgrader", *command], cwd=folder, env=os.environ | home,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"nbgrader {' '.join(command)} failed:\n" + "\n".join(done.stdout.splitlines()[-20:]))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all that have exercises")
    parser.add_argument("--out", type=Path, default=CLASS, help="folder of the class (default: build/class)")
    args = parser.parse_args(argv)
    folder = args.out.resolve()
    for path in args.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        count = write_source(path, folder)
        if not count and not args.notebooks:
            shutil.rmtree(folder / "source" / path.stem)
            continue
        nbgrader(folder, "generate_assignment", path.stem, "--force")
        points = sum(e.points for e in exercises(nbformat.read(path, as_version=4)))
        print(f"{path.stem}: {count} exercises, {points} points")
    print(f"students' notebooks: {os.path.relpath(folder / 'release')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
