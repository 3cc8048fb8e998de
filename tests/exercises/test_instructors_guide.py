"""The instructor's guide says what the notebooks say now. What it says of the checks: test_exercises."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

from ponita_edu.course.verdict import DIFFERS

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("instructors_guide", ROOT / "tools" / "instructors_guide.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)
GUIDE = tool.GUIDE.read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WIDGETS = {name for path in (ROOT / "ponita_edu" / "viz").glob("*.py")
           for name in re.findall(r"^class (\w+)\(Explorer\)", path.read_text(), re.MULTILINE)}
PARTS = {part[:2]: part for part in re.split(r"^## (?=\d\d · )", GUIDE, flags=re.MULTILINE)[1:]}


@pytest.fixture(scope="module")
def sections():
    """Generated anew, but for the mistakes, which test_exercises compares with what the checks say."""
    told = tool.mistakes_in(GUIDE)
    return tool.sections(lambda e: told[e.number])


def test_generated_parts_are_up_to_date(sections):
    assert tool.filled(GUIDE, sections) == GUIDE, "run python tools/instructors_guide.py"


def test_stale_guide_is_noticed(sections):
    stale = GUIDE.replace("| 01.1 move a cloud | 5 |", "| 01.1 move a cloud | 50 |")
    assert stale != GUIDE and tool.filled(stale, sections) == GUIDE
    with pytest.raises(ValueError, match="must hold <!-- 02 -->"):
        tool.filled(GUIDE.replace("<!-- 02 -->", ""), sections)


def test_guide_is_utf8_on_a_system_of_another_encoding(sections, tmp_path, monkeypatch):
    (tmp_path / "guide.md").write_bytes(tool.GUIDE.read_bytes())
    monkeypatch.setattr(tool, "GUIDE", tmp_path / "guide.md")
    monkeypatch.setattr(tool, "mistakes", dict)
    monkeypatch.setattr(tool, "sections", lambda told: sections)
    monkeypatch.setattr("io.text_encoding", lambda encoding, level=2: encoding or "cp1252")  # what pathlib asks
    assert tool.main([]) == 0
    monkeypatch.undo()
    assert (tmp_path / "guide.md").read_text(encoding="utf-8") == GUIDE


def test_mistakes_are_those_that_the_check_names(monkeypatch):
    wrong = {"move": [("inverse", lambda R, b, P: P @ R + b), ("type", lambda R, b, P: 0),
                      ("other", lambda R, b, P: P * P), ("again", lambda R, b, P: P @ R + b)]}
    monkeypatch.setattr(tool, "wrong_answers", lambda: wrong)
    assert tool.mistakes() == {"move": "R acts on columns, and here on rows: this is the inverse rotation"}
    assert DIFFERS not in GUIDE


def test_mistakes_of_the_guide_are_found():
    row = "| 01.1 move a cloud | 5 | 2 | it is \\|x\\|; it is late |\n| 1 | 2 |\n"
    assert tool.mistakes_in(row) == {"01.1": "it is \\|x\\|; it is late"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_has_exam_questions_and_its_widgets(path):
    part = PARTS[path.stem[:2]]
    questions = re.findall(r"<details><summary>Exam: .{20,}?</summary>\n\n(.{20,}?)\n</details>", part, re.DOTALL)
    assert len(questions) >= 2 and part.count("<details>") == len(questions)
    code = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    shown = {name for name in WIDGETS if f"{name}(" in code}
    assert {name for name in shown if f"`{name}`" not in part} == set()


def test_widgets_are_found():
    assert {"PairExplorer", "RotationCheck"} <= WIDGETS
