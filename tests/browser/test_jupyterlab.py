"""Every notebook of the course, opened and run in JupyterLab as a reader does, with no way to the internet."""

import nbformat
import pytest
from browser.shorter import shorten

from ponita_edu.viz import widget

pytestmark = pytest.mark.browser

WIDGET = "application/vnd.jupyter.widget-view+json"

SLOW = '''\
import time
from ponita_edu.viz import Explorer, Scene
from ponita_edu.viz.widget import slider


class Slow(Explorer):
    explanation = "A point that is slow to draw."
    drawn = 0

    def __init__(self):
        super().__init__({"place": slider("place", 0, 0, 40)})

    def scene(self):
        time.sleep(0.6)
        Slow.drawn += 1
        if self.place.value == 40:
            raise ValueError("place <40> is taken")
        return Scene("a single point", limit=50).points([[self.place.value, 0, 0]])

    def report(self):
        return f"place {self.place.value:.0f}, drawn {Slow.drawn} times"


Slow()'''
KEYS = """(handle, times) => {
    for (let k = 0; k < times; k++) {
        handle.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
    }
}"""


def test_every_cell_runs_without_error(ran):
    assert ran.cell_errors == []
    counts = [count for count, _ in ran.outputs() if count is not None]
    assert counts == list(range(1, len(counts) + 1)) and counts


def test_stored_pictures_show_before_any_cell_runs_and_have_words(ran):
    """A fresh clone is not trusted by JupyterLab, and its pictures must show all the same."""
    for alt, width in ran.stored_pictures:
        assert len(alt) > 20 and width > 100


def test_every_widget_is_drawn(ran):
    views = sum(WIDGET in kinds for _, outputs in ran.outputs() for kinds in outputs)
    names, viewers = ran.widget_names(), ran.page.locator(".ponita-viewer")
    assert len(names) + viewers.count() == views
    for k in range(viewers.count()):
        viewers.nth(k).scroll_into_view_if_needed()
        ran.page.wait_for_function("box => box.dataset.state === 'drawn'", arg=viewers.nth(k).element_handle())
    for name in names:
        ran.widget(name).wait_until_drawn()
        assert ran.widget(name).error().strip() == ""


def test_top_of_the_notebook_has_its_title(ran):
    assert ran.page.locator(".jp-Notebook h1").first.is_visible()
    ran.screenshot(ran.name.removesuffix(".ipynb"))


def test_a_text_that_no_longer_stands_in_a_notebook_is_an_error(tmp_path):
    v4, path = nbformat.v4, tmp_path / "a.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("steps=200"), v4.new_code_cell("print(1)")]), path)
    shorten(path, {"steps=200": "steps=2"})
    assert [cell.source for cell in nbformat.read(path, as_version=4).cells] == ["steps=2", "print(1)"]
    with pytest.raises(ValueError, match="stands in 0 code cells"):
        shorten(path, {"steps=200": "steps=2"})


def test_last_value_wins_and_an_error_is_shown_until_reset(write_notebook, open_notebook):
    notebook = open_notebook(write_notebook("slow.ipynb", SLOW))
    assert notebook.run_all() == []
    slow = notebook.widget("Slow")
    slow.wait_until_drawn()
    # all keys at once, however slow the machine: a person's would come one in each tenth of a second
    slow.box.locator(".t-place .noUi-handle").evaluate(KEYS, 25)
    slow.box.locator(".t-report").filter(has_text="place 25,").wait_for()
    assert int(slow.report().split()[-2]) < 15  # drawn; 26 times if every key were

    before = slow.error()
    slow.use("place", "End")
    assert "ValueError: place <40> is taken" in slow.wait_for_change("error", before)
    error = slow.error()
    slow.use("reset")
    assert slow.wait_for_change("error", error).strip() == ""
    slow.box.locator(".t-report").filter(has_text="place 0,").wait_for()


def test_explorer_has_the_classes_that_these_tests_look_for():
    class Point(widget.Explorer):
        explanation = "One point, for the test."

        def __init__(self):
            super().__init__({"place": widget.slider("place", 0, 0, 1)})

        def scene(self):
            return widget.Scene("a single point").points([[self.place.value, 0, 0]])

    explorer = Point()
    assert {"ponita-explorer", "w-Point"} <= set(explorer._dom_classes)
    assert "t-place" in explorer.place._dom_classes and "t-reset" in explorer.reset_button._dom_classes
