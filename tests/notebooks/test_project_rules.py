"""Rules for what the project says: links and their anchors resolve, words are spelt right, ruff reads notebooks."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from course_text import ROOT, broken_links, glossary, links, markdown, words_used
from nbformat.v4 import new_code_cell, new_notebook

from ponita_edu.course.text import prose

DOCUMENTS = sorted(path for pattern in ("*.md", "docs/**/*.md", "results/*.md") for path in ROOT.glob(pattern))
TEXTS = DOCUMENTS + sorted(ROOT.glob("notebooks/*.ipynb"))
CONVENTIONS = (ROOT / "CONVENTIONS.md").read_text()
TERMS = glossary(CONVENTIONS)


def names(value):
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else None


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_links_of_a_document_lead_somewhere(path):
    assert broken_links(path.read_text(), path) == []


def test_readme_has_links_to_all_notebooks():
    """Also says that the two tests above and below look at something."""
    linked = set(links((ROOT / "README.md").read_text()))
    assert {f"notebooks/{path.name}" for path in ROOT.glob("notebooks/*.ipynb")} <= linked


@pytest.mark.parametrize("text, fault", [
    ("[a](missing.md)", "missing.md"),
    ("[![a](missing.png)](here.md)", "missing.png"),
    ('<img src="missing.png">', "missing.png"),
    ("[a](here.md#two-words-here)", "here.md#two-words-here: no such heading in here.md"),
    ("[a](#three)", "#three: no such heading in here.md"),
    ("[a](../outside.md)", "../outside.md"),
])
def test_broken_links_are_found(tmp_path, text, fault):
    (tmp_path / "project").mkdir()
    (tmp_path / "outside.md").touch()
    here = tmp_path / "project" / "here.md"
    here.write_text("# One\n\n## `Two` words, there\n\n```\n# three\n```\n")
    good = "[a](here.md) [b](#two-words-there) [c](here.md#one) [d](https://example.org/x#y) `[e](f)` ``[g](h)``"
    assert broken_links(good, here, tmp_path / "project") == []
    assert broken_links(f"{good} {text}", here, tmp_path / "project") == [fault]


def run(*command, **kwargs):
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, **kwargs)


def test_ruff_reads_notebooks(tmp_path):
    files = run("ruff", "check", "--show-files", ".").stdout.split()
    assert {str(path) for path in ROOT.glob("notebooks/*.ipynb")} <= set(files)
    bad = ROOT / "notebooks" / "bad.ipynb"  # never written: the name decides which settings count
    cell = nbformat.writes(new_notebook(cells=[new_code_cell("import os")]))
    answer = run("ruff", "check", "--stdin-filename", str(bad), "-", input=cell)
    assert answer.returncode == 1 and "F401" in answer.stdout


@pytest.mark.parametrize("name", ["a.md", "a.py", "a.ipynb"])
def test_spelling_is_checked(name, tmp_path):
    """codespell with our settings finds a slip in every kind of file, and lets a stored picture pass."""
    settings = ("--toml", str(ROOT / "pyproject.toml"))
    (tmp_path / name).write_text("the right word " + "teh/wierd" * 20 + "\n")  # codespell:ignore
    assert run("codespell_lib", *settings, str(tmp_path)).returncode == 0
    (tmp_path / name).write_text("a wierd word\n")  # codespell:ignore
    assert run("codespell_lib", *settings, str(tmp_path)).returncode != 0


def test_spelling_of_the_project():
    found = run("codespell_lib")
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("path", TEXTS, ids=names)
def test_words_of_the_glossary_are_used(path):
    text = markdown(path).partition("\n## Glossary\n")[0] if path.name == "CONVENTIONS.md" else markdown(path)
    found = {word: term.words[0] for term in TERMS for word in words_used(term.instead_of, text)}
    assert found == {}, "word found: the glossary's word for it"


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.words[0])
def test_term_is_used_in_the_notebook_that_explains_it(term):
    if term.notebook:
        text = prose(markdown(ROOT / term.notebook)).lower()
        assert [word for word in term.words if word.lower() not in text] == []


def test_glossary_is_in_the_order_of_the_notebooks():
    explained = [term.notebook for term in TERMS if term.notebook]
    assert len(explained) > 20 and explained == sorted(explained, key=lambda link: link.split("/")[1][:2])


def test_glossary_finds_the_other_word():
    head = "text\n## Glossary\n\n| term | not | meaning | explained in |\n|---|---|---|---|\n"
    terms = glossary(head + "| stabiliser | stabilizer, little group | a | [01](x.ipynb) |\n| orbit | – | b | – |\n")
    assert [tuple(term) for term in terms] == [
        (["stabiliser"], ["stabilizer", "little group"], "x.ipynb"), (["orbit"], [], None)]
    assert words_used(terms[0].instead_of, "Two *Stabilizers* and a little group") == ["stabilizer", "little group"]
    assert words_used(terms[0].instead_of, "`stabilizer`, $stabilizer$, [a](stabilizer.md), destabilizer") == []
