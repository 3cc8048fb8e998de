"""Build the book: ``python tools/book.py`` writes a site to build/book that needs no internet and no server.

The pages are copies of the notebooks, README.md and other texts, in the same folders, so that their links hold; a
file that a page links to is copied too. No notebook is run: a widget stands as the record that `execute_notebooks.py`
made of it (docs/widgets), drawn by plotly.js and 3Dmol.js from the installed packages, one copy for the site.
"""

import argparse
import gzip
import html
import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import plotly
from sphinx.cmd.build import main as sphinx

from ponita_edu.viz.viewer import ASSETS, library

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")
OUTSIDE = ("http:", "https:", "mailto:", "data:")
WIDGET = re.compile(r"[A-Z]\w+\(.*[)…]\Z", re.DOTALL)  # the repr of an object
MARK = re.compile(r"\A# NBVAL_IGNORE_OUTPUT\n# .*\n")  # for the machine that compares outputs, and its reason
HINT = "drag to turn, point at something for its value"
PACKAGES = ("geometry", "nn", "data", "tasks", "molecules", "analysis", "viz")
NAMES = {"ponita": "PONITA", "nbody": "N-body", "rmd17": "rMD17", "qm9": "QM9"}
MISSING = "<p class='widget-note'>Here stands a widget: open the notebook (<code>make lab</code>) to turn it.</p>"


def prepare(source: Path) -> list[str]:
    """Write everything that Sphinx reads; returns a line for each widget without a record."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "book", source, ignore=shutil.ignore_patterns("__pycache__"))
    static = source / "_static"
    (static / "widgets").mkdir()
    (source / "notebooks").mkdir()
    notebooks, missing = sorted((ROOT / "notebooks").glob("*.ipynb")), []
    for path in notebooks:
        notebook, lost = chapter(path, static / "widgets")
        missing += lost
        nbformat.write(notebook, source / "notebooks" / path.name)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                copy_linked(cell.source, path.parent, source)
    texts = [path for folder in (".", "results", "docs") for path in sorted((ROOT / folder).glob("*.md"))]
    for path in texts:
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
        copy_linked(path.read_text(encoding="utf-8"), path.parent, source)
    for script in (Path(plotly.__file__).parent / "package_data" / "plotly.min.js", ASSETS / "rest.js"):
        shutil.copy(script, static)
    files = {"library": library(), "viewer": (ASSETS / "viewer.js").read_text(encoding="utf-8")}
    (static / "3dmol.js").write_text(f"globalThis.ponitaFiles = {json.dumps(files)};\n", encoding="utf-8")
    modules = write_api(source / "api")
    index = source / "index.md"
    text = index.read_text(encoding="utf-8")
    index.write_text(text.replace("<!-- toctrees: tools/book.py -->", contents(notebooks, texts)), encoding="utf-8")
    print(f"{len(notebooks)} chapters, {modules} modules")
    return missing


def chapter(path: Path, widgets: Path) -> tuple[nbformat.NotebookNode, list[str]]:
    """A notebook with its widgets as a page can show them, and a line for each widget without a record."""
    notebook, missing = nbformat.read(path, as_version=4), []
    stored = ROOT / "docs" / "widgets" / f"{path.stem}.json.gz"
    records = json.loads(gzip.decompress(stored.read_bytes())) if stored.exists() else []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.source = MARK.sub("", cell.source)
        for output in cell.outputs:
            if list(output.get("data", {})) != ["text/plain"] or not WIDGET.match(output.data["text/plain"]):
                continue
            text = output.data.pop("text/plain")  # long ones are shortened
            k = next((k for k, r in enumerate(records) if r and r["text"].startswith(text.rstrip("…"))), None)
            if k is None:
                missing.append(f"{path.name}: {text}")
                output.data["text/html"] = MISSING
                continue
            record, records[k] = records[k], None
            key = f"{path.stem[:2]}-{k}"
            line = f"globalThis.ponitaWidgets[{json.dumps(key)}] = {json.dumps(record, ensure_ascii=False)};\n"
            (widgets / f"{key}.js").write_text(line, encoding="utf-8")
            output.data["text/html"] = widget(key, record, path)
    return notebook, missing


def widget(key: str, record: dict, path: Path) -> str:
    """A widget's place in the page; `docs/_static/book.js` draws there when it comes into view."""
    name = record["text"].partition("(")[0]
    parts = [f"<div class='widget-plots' role='group' data-widget='{key}' aria-label='{html.escape(record['alt'])}'>"
             "</div>", f"<p class='widget-note'>{name} at its start: {HINT}. For its controls open "
             f"<code>notebooks/{path.name}</code> with <code>make lab</code>.</p>"]
    if record.get("report"):
        parts.append(f"<div class='widget-report'>{record['report']}</div>")
    if record.get("explanation"):
        parts.append(f"<details><summary>What am I looking at?</summary>{record['explanation']}</details>")
    return f"<div class='widget'>{''.join(parts)}</div>"


def copy_linked(text: str, folder: Path, source: Path) -> None:
    """Copy the files (not the pages) that a text in that folder links to."""
    for target in LINK.findall(text):
        if target.startswith(OUTSIDE):
            continue
        path = (folder / target).resolve()
        if path.is_file() and path.is_relative_to(ROOT) and path.suffix not in (".md", ".ipynb"):
            copy = source / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)


def write_api(folder: Path) -> int:
    """A page for each package, with a section for each of its modules, and their index; returns how many modules."""
    groups: dict[str, list[str]] = {name: [] for name in PACKAGES}
    for path in sorted((ROOT / "ponita_edu").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not path.stem.startswith("_"):
            groups.setdefault(parts[1] if len(parts) > 2 else "top", []).append(".".join(parts))
    folder.mkdir()
    for group, modules in groups.items():
        title = "Command line and set-up" if group == "top" else group
        lines = [title, "=" * len(title), ""]
        for name in modules:
            heading = name.removeprefix("ponita_edu.")
            lines += [heading, "-" * len(heading), "", f".. automodule:: {name}", ""]
        (folder / f"{group}.rst").write_text("\n".join(lines), encoding="utf-8")
    lines = ["# Library", "", "Every public function and class, with its equation, units and errors. Shapes stand in"
             " the signatures: ``Float[Tensor, 'pairs 3']`` has a row of three numbers for each pair.", "",
             "```{toctree}", ":maxdepth: 2", "", *groups, "```", ""]
    (folder / "index.md").write_text("\n".join(lines), encoding="utf-8")
    return sum(map(len, groups.values()))


def contents(notebooks: list[Path], texts: list[Path]) -> str:
    """The hidden tables of contents, from which the side bar is made."""
    chapters = [f"{p.stem[:2]} · {spelt(p.stem[3:])} <notebooks/{p.stem}>" for p in notebooks]
    pages = [str(path.relative_to(ROOT).with_suffix("")) for path in texts]
    more = ["Install, train, measure <README>", "Results <results/README>", "Library <api/index>"]
    more += [page for page in pages if page not in ("README", "results/README")]
    return "\n".join("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *rows, "```"])
                     for caption, rows in (("Course", chapters), ("Beside the course", more)))


def spelt(name: str) -> str:
    """A file's name as a title."""
    words = " ".join(NAMES.get(word, word) for word in name.split("_"))
    return words[0].upper() + words[1:] if words.split()[0] not in NAMES.values() else words


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "book")
    args = parser.parse_args(argv)
    source = args.out.parent / f"{args.out.name}_source"
    for line in prepare(source):
        print("a widget without a picture:", line)
    shutil.rmtree(args.out, ignore_errors=True)
    return sphinx(["-W", "--keep-going", "-q", "-d", str(source / ".doctrees"), str(source), str(args.out)])


if __name__ == "__main__":
    sys.exit(main())
