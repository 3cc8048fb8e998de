"""The times on each notebook's card are measured ones, and within the budget."""

import importlib.util
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SPEC = importlib.util.spec_from_file_location("notebook_minutes", ROOT / "tools" / "notebook_minutes.py")
with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    tool = importlib.util.module_from_spec(SPEC)
    SPEC.loader.exec_module(tool)
MEASURED = tool.stored()["notebooks"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_card_says_what_was_measured(path):
    assert path.stem in MEASURED, f"run python tools/notebook_minutes.py notebooks/{path.name}"
    notebook = nbformat.read(path, as_version=4)
    said = " ".join(tool.TIME.search(notebook.cells[1].source)[0].replace("\n>", " ").split())
    assert said == tool.time_line(notebook, MEASURED[path.stem]["seconds"]), "python tools/notebook_minutes.py --cards"


def test_measured_at_a_known_commit_within_the_budget():
    for name, run in MEASURED.items():
        assert run["commit"] and not run["commit"].endswith("dirty"), name
        assert run["seconds"] <= tool.MAX_SECONDS, name


def notebook_of(words: int, lines: int, exercise: str = ""):
    return new_notebook(cells=[new_markdown_cell("word " * words + "`code` $x$ [a](b.md)\n```\nmore code\n```"),
                               new_code_cell("x = 1\n\n" * lines), new_markdown_cell("## Exercises\n" + exercise),
                               new_markdown_cell("## Recap\n\nFurther reading " + "word " * 1000)])


@pytest.mark.parametrize("words, lines, minutes", [
    (997, 0, 10), (1997, 0, 20), (997, 150, 20), (10, 0, 5), (1240, 0, 10), (1260, 0, 15)])
def test_reading_is_words_and_lines_outside_the_exercises(words, lines, minutes):
    assert tool.reading_minutes(notebook_of(words, lines, exercise="word " * 3000)) == minutes


@pytest.mark.parametrize("seconds, words", [(3, "a quarter of a minute"), (15.1, "half a minute"), (60, "one minute"),
                                            (149, "two and a half minutes"), (180, "three minutes")])
def test_running_is_rounded_up(seconds, words):
    assert tool.in_words(seconds) == words


def test_over_the_budget():
    with pytest.raises(ValueError, match=r"at most 180 s, but this one took 181 s\. Store a longer run"):
        tool.in_words(181)


def test_cards_are_written_in_place(tmp_path, monkeypatch):
    card = "> **Needs**: notebook 00. **Time**: 1 minute to read, ten\n> to run. **Data**: none. **Seeds**: fixed."
    notebook = new_notebook(cells=[new_markdown_cell("# A?"), new_markdown_cell(card), new_code_cell("1")])
    path = tmp_path / "01_a.ipynb"
    nbformat.write(notebook, path)
    monkeypatch.setattr(tool, "stored", lambda: {"notebooks": {"01_a": {"seconds": 20.0}}})
    assert tool.main(["--cards", str(path)]) == 0
    said = nbformat.read(path, as_version=4).cells[1].source
    assert said == ("> **Needs**: notebook 00. **Time**: 5 minutes to read, half a minute to run. "
                    "**Data**: none. **Seeds**: fixed.")


def test_measuring_runs_a_copy(tmp_path):
    work = "import time\ntime.sleep(3)\nstart = time.process_time()\nwhile time.process_time() < start + 2:\n    pass"
    notebook = new_notebook(cells=[new_code_cell(work)])
    path = tmp_path / "a.ipynb"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    assert tool.measure(path) > 2
    assert path.read_bytes() == before
