"""Molecules by 3Dmol.js without the internet: drawn where there is WebGL, a still picture where there is none."""

import io

import numpy as np
import pytest
from browser.conftest import PATIENCE

pytestmark = pytest.mark.browser

CELL = """\
from ponita_edu.data.qm9 import load_subset
from ponita_edu.viz.viewer import molecule_view
q = load_subset()
n = int(q.offsets[4])
view = molecule_view(q.numbers[:n], q.pos[:n].astype(float), q.offsets[:5], "four small molecules",
                     columns=2)
view"""
NO_WEBGL = """() => { const get = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return kind.includes('webgl') ? null : get.call(this, kind, ...rest); };
    if (window.OffscreenCanvas) OffscreenCanvas.prototype.getContext = () => null; }"""
STATE = "() => document.querySelector('.ponita-viewer')?.dataset.state"


def shown(page):
    page.wait_for_function(f"() => ['drawn', 'still'].includes(({STATE})())", timeout=1000 * PATIENCE)
    return page.evaluate(STATE)


def colours(page) -> int:
    """Number of different colours of the widget as it is on the screen."""
    from PIL import Image

    page.wait_for_timeout(1000)
    pixels = np.asarray(Image.open(io.BytesIO(page.locator(".ponita-viewer").first.screenshot())).convert("RGB"))
    return len(np.unique(pixels.reshape(-1, 3), axis=0))


def test_molecules_are_drawn_and_turn(write_notebook, open_notebook):
    notebook = open_notebook(write_notebook("viewer.ipynb", CELL, "view.alt"))
    assert notebook.run_all() == []
    page = notebook.page
    assert shown(page) == "drawn"
    assert page.evaluate("() => document.querySelector('.ponita-viewer').dataset.models") == "4"
    assert page.locator(".ponita-viewer [role=img]").get_attribute("aria-label") == "four small molecules"
    assert page.get_by_text("C3H5NO", exact=True).count() == 1
    assert colours(page) > 100
    before = page.locator(".ponita-viewer").first.screenshot()
    box = page.locator(".ponita-viewer canvas").first.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 130, box["y"] + 90, steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    assert page.locator(".ponita-viewer").first.screenshot() != before


def test_still_picture_where_there_is_no_webgl(write_notebook, new_page):
    notebook = new_page(write_notebook("no_webgl.ipynb", CELL))
    notebook.page.evaluate(NO_WEBGL)
    assert notebook.run_all() == []
    assert shown(notebook.page) == "still"
    image = notebook.page.locator(".ponita-viewer img")
    assert image.get_attribute("alt") == "four small molecules"
    assert image.evaluate("i => i.naturalWidth") > 200
    notebook.errors.clear()  # 3Dmol says what is missing, as it should
