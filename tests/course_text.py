"""What the rules for notebooks and documents read: links, anchors, exempt cells, the glossary."""

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import nbformat

from ponita_edu.course.text import prose, without_code

ROOT = Path(__file__).resolve().parents[1]
EXEMPT = "# NBVAL_IGNORE_OUTPUT"
OUTSIDE = ("http://", "https://", "mailto:", "attachment:", "data:")

_LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)|<(?:a|img)\b[^>]*?\b(?:href|src)=\"([^\"]+)\"", re.IGNORECASE)
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def markdown(path: Path) -> str:
    """The text of a document, or of a notebook's Markdown cells."""
    if path.suffix != ".ipynb":
        return path.read_text()
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def links(text: str) -> list[str]:
    return [a or b for a, b in _LINK.findall(without_code(text))]


def anchors(path: Path) -> set[str]:
    """Where a link into the file may point: headings of notebooks as JupyterLab names them, of documents as GitHub."""
    text = without_code(markdown(path), inline=False)
    headings = [re.sub(r"[`*]|\]\([^)]*\)|\[", "", h) for h in _HEADING.findall(text)]
    if path.suffix == ".ipynb":
        return {h.replace(" ", "-") for h in headings}
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def broken_links(text: str, path: Path, root: Path = ROOT) -> list[str]:
    """Links of a text standing in ``path`` that lead nowhere or out of ``root``; the web is not looked up."""
    faults = []
    for link in links(text):
        if link.startswith(OUTSIDE):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.is_relative_to(root.resolve()) or not target.exists():
            faults.append(link)
        elif anchor and target.suffix in (".md", ".ipynb") and anchor not in anchors(target):
            faults.append(f"{link}: no such heading in {target.name}")
    return faults


def is_exempt(cell: nbformat.NotebookNode) -> bool:
    """Whether nbval does not compare the outputs of this code cell."""
    return cell.cell_type == "code" and EXEMPT in cell.source.splitlines()


class Term(NamedTuple):
    """A row of the glossary: the words to use, those not to, and the notebook that explains them (or None)."""

    words: list[str]
    instead_of: list[str]
    notebook: str | None


def glossary(text: str) -> list[Term]:
    """The rows of the table under the heading Glossary."""
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")]
            for line in text.partition("\n## Glossary\n")[2].splitlines() if line.startswith("|")]
    return [Term(words.split(", "), [w for w in other.split(", ") if w != "–"], (links(where) or [None])[0])
            for words, other, _, where in rows[2:]]


def words_used(words: list[str], text: str) -> list[str]:
    """Which of the words stand in the prose of a text, in any case and with any ending s, ed or d."""
    return [word for word in words if re.search(rf"\b{re.escape(word)}(s|d|ed)?\b", prose(text), re.IGNORECASE)]
