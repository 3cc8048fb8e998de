"""Rules for the stored notebooks. Each rule lists its faults; each is shown a notebook that breaks it."""

import re
from pathlib import Path

import nbformat
import pytest
from course_text import EXEMPT, broken_links, is_exempt
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ponita_edu.course.cells import exercise_section

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_BYTES, MAX_CELLS, MAX_EXERCISES, MAX_LINES, MIN_ALT = 400_000, 45, 6, 20, 20
MAX_EXEMPT = 0.05

ABSOLUTE = re.compile(r"(?<![\w./:~-])/(?:home|root|tmp|work|usr|var|opt|mnt|Users)/|\b[A-Z]:\\\\?\w")
REQUEST = re.compile(r"https?://|\b(?:import|from)\s+(?:requests|urllib|httpx|aiohttp)\b|\bload_state_dict_from_url\b")
SCRIPT = re.compile(r"<script|<iframe|Plotly\.newPlot", re.IGNORECASE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def text_of(output) -> str:
    """What is stored as text, pictures left out."""
    data = output.get("data", {})
    text = [output.get("text", ""), *(data.get(f"text/{kind}", "") for kind in ("plain", "html", "markdown"))]
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", "\n".join("".join(t) for t in text))


def executed_in_order(notebook, path):
    counts = [cell.execution_count for cell in code_cells(notebook) if cell.source.strip()]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts are {counts}"]


def no_errors(notebook, path):
    return [o.ename for o in outputs(notebook) if o.output_type == "error"]


def no_warnings(notebook, path):
    return [o.text[:200] for o in outputs(notebook) if o.get("name") == "stderr"]


def small(notebook, path):
    size = path.stat().st_size
    return [] if size < MAX_BYTES else [f"{size} bytes, more than {MAX_BYTES}"]


def few_cells(notebook, path):
    """The exercises come on top, and have a limit of their own."""
    cells = len(notebook.cells) - len(exercise_section(notebook))
    tasks = sum("ponita_edu" in cell.metadata for cell in notebook.cells)
    faults = [f"{cells} cells outside the exercises, more than {MAX_CELLS}"] if cells > MAX_CELLS else []
    return faults + ([f"{tasks} exercises, more than {MAX_EXERCISES}"] if tasks > MAX_EXERCISES else [])


def short_cells(notebook, path):
    long = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    return [f"a code cell of {n} lines, more than {MAX_LINES}" for n in long if n > MAX_LINES]


def pictures_have_words(notebook, path):
    faults = []
    for output in outputs(notebook):
        for tag in IMAGE.findall("".join(output.get("data", {}).get("text/html", ""))):
            alt = re.search(r'\balt="([^"]*)"', tag)
            if alt is None or len(alt[1]) < MIN_ALT:
                faults.append(f"picture without alt text: {tag[:60]}")
        for kind in output.get("data", {}):
            if kind.startswith("image/") and len(output.metadata.get(kind, {}).get("alt", "")) < MIN_ALT:
                faults.append(f"{kind} without alt text; use ponita_edu.viz.show")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            faults += [f"![{alt}]({target})" for bang, alt, target in LINK.findall(cell.source)
                       if bang and len(alt) < MIN_ALT]
            faults += [tag[:60] for tag in IMAGE.findall(cell.source) if 'alt="' not in tag]
    return faults


def no_absolute_paths(notebook, path):
    texts = [cell.source for cell in notebook.cells] + [text_of(output) for output in outputs(notebook)]
    return [text[max(0, m.start() - 20) : m.end() + 30] for text in texts for m in ABSOLUTE.finditer(text)]


def no_requests(notebook, path):
    return [m[0] for cell in code_cells(notebook) for m in REQUEST.finditer(cell.source)]


def no_embedded_scripts(notebook, path):
    found = [m[0] for output in outputs(notebook) for m in SCRIPT.finditer(text_of(output))]
    widgets = ["widget state in the metadata"] if "widgets" in notebook.metadata else []
    return found + widgets


def links_lead_somewhere(notebook, path):
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [fault for text in texts for fault in broken_links(text, path, path.parents[1])]


def exempt_with_a_reason(notebook, path):
    """nbval knows a mark only if it stands alone on its line; the next line says why."""
    faults = []
    for cell in code_cells(notebook):
        lines = cell.source.splitlines()
        for k, line in enumerate(lines):
            reason = "".join(lines[k + 1:k + 2])
            if "NBVAL_" in line and not (line == EXEMPT and reason.startswith("# ")):
                faults.append(line)
    return faults


def exempt_share(notebooks):
    cells = [cell for notebook in notebooks for cell in code_cells(notebook)]
    return sum(map(is_exempt, cells)), len(cells)


def starts_with_a_question(notebook, path):
    title = notebook.cells[0].source.splitlines()[0] if notebook.cells else ""
    return [] if title.startswith("# ") and title.rstrip().endswith("?") else [f"the first line is {title!r}"]


def has_a_title(title="# Why?"):
    return new_markdown_cell(title)


def stored(kind: str, content: str):
    return new_output("display_data", data={kind: content})


def ran(source: str = "1", output=None, count: int = 1):
    return new_code_cell(source, execution_count=count, outputs=[] if output is None else [output])


# rule -> cells that break it and nothing else
BROKEN = {
    executed_in_order: [has_a_title(), ran(count=2), ran(count=1)],
    no_errors: [has_a_title(), ran(output=new_output("error", ename="ValueError", evalue="", traceback=[]))],
    no_warnings: [has_a_title(), ran(output=new_output("stream", name="stderr", text="DeprecationWarning"))],
    small: [has_a_title(), ran(output=new_output("stream", name="stdout", text="x" * MAX_BYTES))],
    few_cells: [has_a_title(f"# Why {k}?") for k in range(MAX_CELLS + 1)],
    short_cells: [has_a_title(), ran("\n".join(["1"] * (MAX_LINES + 1)))],
    pictures_have_words: [has_a_title(), ran(output=stored("text/html", '<img src="data:image/png;base64,AAAA"/>'))],
    no_absolute_paths: [has_a_title(), ran("open('/home/someone/data.txt')")],
    no_requests: [has_a_title(), ran("fetch('https://example.org/data')")],
    no_embedded_scripts: [has_a_title(), ran(output=stored("text/html", "<script>Plotly</script>"))],
    links_lead_somewhere: [has_a_title(), new_markdown_cell("[next](99_no_such_notebook.ipynb)")],
    starts_with_a_question: [has_a_title("# A statement")],
    exempt_with_a_reason: [has_a_title(), ran("# NBVAL_IGNORE_OUTPUT (errors differ)\n1")],
}
RULES = list(BROKEN)
MORE_BROKEN = [
    (few_cells, [new_code_cell(metadata={"ponita_edu": {}}) for _ in range(MAX_EXERCISES + 1)]),
    (few_cells, [new_markdown_cell("## Exercises"), *[new_markdown_cell("## Recap") for _ in range(MAX_CELLS + 1)]]),
    (executed_in_order, [ran(count=None)]),
    (pictures_have_words, [ran(output=stored("image/png", "AAAA"))]),
    (pictures_have_words, [ran(output=stored("text/html", '<img alt="short" src="data:,"/>'))]),
    (pictures_have_words, [new_markdown_cell("![](picture.png)")]),
    (no_absolute_paths, [ran(output=new_output("stream", name="stdout", text="saved in /home/someone/x.png"))]),
    (no_requests, [ran("from urllib.request import urlopen")]),
    (links_lead_somewhere, [new_markdown_cell('<a href="99_no_such_notebook.ipynb">next</a>')]),
    (links_lead_somewhere, [new_markdown_cell("[out of the project](../../README.md)")]),
    (links_lead_somewhere, [new_markdown_cell("[here](#no-such-heading)")]),
    (exempt_with_a_reason, [ran("# NBVAL_IGNORE_OUTPUT\n1")]),
]


def names(value):
    return getattr(value, "__name__", getattr(value, "stem", None))


@pytest.mark.parametrize("rule", RULES, ids=names)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=names)
def test_notebook_keeps_rule(path, rule):
    assert rule(nbformat.read(path, as_version=4), path) == []


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_few_cells_are_exempt_from_comparison(capsys):
    exempt, cells = exempt_share([nbformat.read(path, as_version=4) for path in NOTEBOOKS])
    with capsys.disabled():
        print(f"\n{exempt} of {cells} code cells are not compared: {exempt / cells:.1%}, at most {MAX_EXEMPT:.0%}")
    assert exempt <= MAX_EXEMPT * cells


def test_exempt_cells_are_counted():
    cells = [ran(f"{EXEMPT}\n# times differ\n1"), ran("1"), new_markdown_cell(EXEMPT)]
    assert exempt_share([new_notebook(cells=cells), new_notebook(cells=cells[:1])]) == (2, 3)


@pytest.mark.parametrize("rule", RULES, ids=names)
def test_rule_finds_its_fault_and_no_other_rule_does(rule, tmp_path):
    notebook, path = new_notebook(cells=BROKEN[rule]), tmp_path / "broken.ipynb"
    nbformat.write(notebook, path)
    assert [other for other in RULES if other(notebook, path)] == [rule]


@pytest.mark.parametrize("rule, cells", MORE_BROKEN, ids=lambda v: getattr(v, "__name__", ""))
def test_rule_finds_other_forms_of_its_fault(rule, cells, tmp_path):
    assert rule(new_notebook(cells=cells), tmp_path / "broken.ipynb")


def test_good_notebook_breaks_no_rule(tmp_path):
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Next?\n## By hand, again")]), tmp_path / "01_next.ipynb")
    picture = stored("text/html", '<img alt="two points and the line between them" src="data:image/png;base64,/tmp/"/>')
    links = "[next](01_next.ipynb#By-hand,-again), [paper](https://example.org), [here](#Why?), `[1](2)`"
    cells = [has_a_title(), new_markdown_cell(links),
             ran("x = 1 / 2  # and/or tmp/ is no path", count=1), ran(output=picture, count=2),
             new_markdown_cell("## Exercises"), *[new_markdown_cell("more") for _ in range(MAX_CELLS)],
             new_markdown_cell("## Recap")]
    path = tmp_path / "good.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    notebook = nbformat.read(path, as_version=4)
    assert {rule.__name__: rule(notebook, path) for rule in RULES if rule(notebook, path)} == {}
