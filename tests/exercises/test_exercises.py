"""Every exercise of every notebook: stub, solution and planted wrong answers meet the right verdict."""

import ast
import builtins
import importlib.util
import re
import symtable
from pathlib import Path

import nbformat
import pytest

from ponita_edu.course import check
from ponita_edu.course.cells import exercise_section, exercises
from ponita_edu.course.verdict import DIFFERS

HERE = Path(__file__).resolve().parent
BOOKS = {p.stem: nbformat.read(p, as_version=4) for p in sorted((HERE.parents[1] / "notebooks").glob("*.ipynb"))}
ALL = [pytest.param(book, e, id=f"{e.number}-{e.name}") for book in BOOKS for e in exercises(BOOKS[book])]
STARTED = sorted({param.values[0] for param in ALL})


SPEC = importlib.util.spec_from_file_location("instructors_guide", HERE.parents[1] / "tools" / "instructors_guide.py")
guide = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(guide)
WRONG = guide.wrong_answers()
IN_GUIDE = guide.mistakes_in(guide.GUIDE.read_text())


def bound(node) -> set[str]:
    """Names that a top-level statement gives a meaning."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def asked(table) -> set[str]:
    """Names that a piece of code takes from outside: globals of its functions, and what its own lines read."""
    here = [s for s in table.get_symbols() if s.is_referenced() and (s.is_global() or table.get_type() == "module")]
    return {s.get_name() for s in here}.union(*map(asked, table.get_children()))


def run(source: str, book, before: int) -> dict:
    """Run a few lines as if in the notebook: first the statements above that give their names a meaning, no others."""
    earlier = [node for cell in book.cells[:before] if cell.cell_type == "code" and "ponita_edu" not in cell.metadata
               for node in ast.parse(cell.source).body]
    space = {}

    def supply(tree, above):
        needed = asked(symtable.symtable(ast.unparse(tree), "notebook", "exec")) - set(dir(builtins))
        for k in range(above - 1, -1, -1):
            names = bound(earlier[k]) & needed - space.keys()
            if names and isinstance(earlier[k], ast.Import | ast.ImportFrom | ast.FunctionDef | ast.Assign):
                supply(earlier[k], k)
                exec(compile(ast.Module([earlier[k]], []), "notebook", "exec"), space)

    tree = ast.parse(source)
    supply(tree, len(earlier))
    exec(compile(tree, "answer", "exec"), space)
    return space


def argument(e) -> str:
    """What the stub's last line hands to the check: the name of the function or of the value."""
    call = ast.parse(e.stub).body[-1].value
    assert ast.unparse(call.func) == f"check.{e.name}" and len(call.args) == 1
    return ast.unparse(call.args[0])


@pytest.mark.parametrize("book, e", ALL)
def test_stub_is_not_attempted(book, e):
    space = run("\n".join(e.stub.splitlines()[:-1]), BOOKS[book], e.cell)
    verdict = getattr(check, e.name)(space[argument(e)])
    assert repr(verdict) == "not attempted" and not verdict.attempted
    [output] = BOOKS[book].cells[e.cell].outputs
    assert output.data == {"text/plain": "not attempted"}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("book, e", ALL)
def test_solution_is_right(book, e, seed):
    answer = run(e.solution, BOOKS[book], e.cell)[argument(e)]
    verdict = getattr(check, e.name)(answer, seed=seed) if callable(answer) else getattr(check, e.name)(answer)
    assert verdict.passed, verdict
    assert repr(verdict).startswith("right (") and "\n" not in repr(verdict)


@pytest.mark.parametrize("book, e", ALL)
def test_no_number_is_given_twice_the_same(book, e):
    """Else a formula that has the number in it, or ignores it, would be right."""
    answer, given = run(e.solution, BOOKS[book], e.cell)[argument(e)], []
    if callable(answer):
        getattr(check, e.name)(lambda *inputs: given.append(inputs) or answer(*inputs), seed=0)
        for k, column in enumerate(zip(*given, strict=True)):
            assert not isinstance(column[0], bool | int | float) or len(set(column)) > 1, f"argument {k}: {column[0]}"


@pytest.mark.parametrize("book, e", ALL)
def test_wrong_answers_are_named(book, e):
    causes = []
    for words, answer in WRONG[e.name]:
        verdict = getattr(check, e.name)(answer)
        assert not verdict.passed and verdict.attempted
        assert repr(verdict).startswith("wrong, because ") and "\n" not in repr(verdict)
        assert words in repr(verdict), f"{words!r} is not in: {verdict}"
        causes.append(verdict.cause)
    assert len(set(causes) - {DIFFERS}) >= 3, causes
    assert guide.named(causes) == IN_GUIDE[e.number], "run python tools/instructors_guide.py"


@pytest.mark.parametrize("book", STARTED)
def test_exercises_are_numbered_and_in_their_section(book):
    found = exercises(BOOKS[book])
    assert [e.number for e in found] == [f"{book[:2]}.{k}" for k in range(1, len(found) + 1)]
    assert 3 <= len(found) <= 6
    section = exercise_section(BOOKS[book])
    assert all(e.cell - 1 in section and e.cell + 1 in section for e in found)


@pytest.mark.parametrize("book, e", ALL)
def test_exercise_keeps_the_format(book, e):
    assert 2 <= e.minutes <= 30 and e.points >= 1 and len(e.hint) > 20
    assert 1 <= len(re.findall(r"[.!?](?=\s|$)", e.explanation)) <= 3, e.explanation
    ast.parse(e.solution)
    if f"def {argument(e)}(" in e.stub:
        assert f"def {argument(e)}(" in e.solution
        assert "raise NotImplementedError  # your lines here" in e.stub and '"""' in e.stub
    else:
        assert f"{argument(e)} = None" in e.stub


def names_of(source: str) -> set[str]:
    """Every name that a cell reads, assigns, defines or imports."""
    found = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
    for n in ast.walk(ast.parse(source)):
        if isinstance(n, ast.FunctionDef | ast.ClassDef):
            found.add(n.name)
        elif isinstance(n, ast.alias):
            found.add((n.asname or n.name).split(".")[0])
    return found


def test_no_other_cell_knows_the_name_of_an_answer():
    """A stub that took the name of an earlier function would break the widgets that call it."""
    for book, notebook in BOOKS.items():
        mine = {argument(e): e.cell for e in exercises(notebook)}
        for k, cell in enumerate(notebook.cells):
            if cell.cell_type == "code" and k not in mine.values():
                assert not names_of(cell.source) & set(mine), f"{book}, cell {k}"


def test_names_of_a_cell():
    assert names_of("import a.b as c\nfrom d import e\ndef f(): return g\nh = 1") == {"c", "e", "f", "g", "h"}


def test_names_are_unique_and_all_used():
    names = [param.values[1].name for param in ALL]
    assert sorted(names) == dir(check) == sorted(WRONG)
    assert all(getattr(check, name).__doc__.startswith(param.values[1].number) for name, param in
               zip(names, ALL, strict=True))
