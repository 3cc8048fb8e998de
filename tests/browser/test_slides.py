"""The slides of `make slides`: every stored figure with its words, in one file, turned by keys."""

import importlib.util
from pathlib import Path

import nbformat
import pytest
from browser.conftest import blank

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("make_slides", ROOT / "tools" / "make_slides.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_slides_show_every_figure_and_turn_by_keys(browser, tmp_path):
    assert tool.main(["--out", str(tmp_path / "deck.html")]) == 0
    page, asked, errors = blank(browser), [], []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else asked.append(r.url))
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto((tmp_path / "deck.html").as_uri())
    stored = sum(path.read_text().count("data:image/png;base64") for path in NOTEBOOKS)
    sizes = page.locator("section img").evaluate_all(
        "images => Promise.all(images.map(async i => { await i.decode(); return [i.naturalWidth, i.alt.length]; }))")
    assert len(sizes) == stored and stored > 20
    assert min(width for width, _ in sizes) > 100 and min(words for _, words in sizes) > 20
    shown = page.locator("section:visible")
    assert shown.count() == 1 and shown.locator("h1").inner_text().startswith("00 · ")
    page.keyboard.press("ArrowRight")
    assert shown.count() == 1 and shown.locator("img").count() == 1
    box = shown.locator("img").bounding_box()
    assert box["width"] > 200 and box["y"] + box["height"] < page.viewport_size["height"]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # stays at the first
    assert shown.locator("h1").inner_text().startswith("00 · ")
    page.keyboard.press("End")
    assert shown.locator("small").inner_text().startswith(NOTEBOOKS[-1].stem[:2])
    page.context.close()
    assert asked == [] and errors == []


def test_figures_are_found_in_html_and_as_png():
    """Pictures stored as PNG data count as those inside HTML do."""
    v4 = nbformat.v4
    inside = '<div><img alt="a &gt; b" src="data:image/png;base64,BB"/></div>'
    outputs = [v4.new_output("display_data", {"image/png": "AAAA\n"}, metadata={"image/png": {"alt": "words"}}),
               v4.new_output("display_data", {"text/html": inside})]
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# 1"), v4.new_code_cell("1", outputs=outputs)])
    assert tool.figures(notebook) == [("words", "data:image/png;base64,AAAA"), ("a &gt; b", "data:image/png;base64,BB")]
