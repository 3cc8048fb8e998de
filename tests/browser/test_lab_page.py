"""The course's JupyterLab in a browser, with no way to the internet: cells run and widgets react."""

import pytest
from browser.accessibility import find_nothing_but_a_nameless_button

pytestmark = pytest.mark.browser

SLIDER = """\
import ipywidgets as widgets
slider = widgets.IntSlider(value=3, min=0, max=10)
slider.add_class("t-slider")
answer = widgets.Label("9")
answer.add_class("t-answer")
slider.observe(lambda change: setattr(answer, "value", str(change.new**2)), "value")
widgets.VBox([slider, answer])"""

FIGURE = """\
import numpy as np
from ponita_edu.viz import draw_plotly
from ponita_edu.viz.scene import Scene

def balls(at):
    return Scene("Three balls on three axes", limit=9).balls(at * np.eye(3), 0.1)

display(ours := draw_plotly.widget(balls(1)))"""

CONTROL = """\
import plotly.graph_objects as go
display(theirs := go.FigureWidget(go.Scatter(y=[1.0, 1.0])))"""
# every large script takes longer to load than the two seconds for which anywidget waits
LATE = """() => { window.Blob = class extends window.Blob { constructor(parts, options) {
    const wait = String(parts[0]).length > 1e6 ? ["await new Promise(go => setTimeout(go, 4000));"] : [];
    super([...wait, ...parts], options);
} } }"""
SHOWN = """() => [...document.querySelectorAll('.js-plotly-plot')].map(
    plot => Math.max(0, ...(plot._fullData || []).flatMap(trace => [...trace.y])))"""

CHANGES = """\
import itertools, threading, time

def change():
    for k in itertools.count():
        balls(1 + k % 5).plotly(ours)
        time.sleep(0.2)

threading.Thread(target=change, daemon=True).start()"""
# how often plotly asks whether its scene must be drawn: in each frame of the page, and in a second
ASKED = """async () => {
    const camera = document.querySelector('.js-plotly-plot')._fullLayout.scene._scene.glplot.camera, tick = camera.tick;
    let asked = 0, frames = 0, end = false;
    camera.tick = (...time) => { asked += 1; return tick.apply(camera, time); };
    requestAnimationFrame(function frame() { frames += 1; end || requestAnimationFrame(frame); });
    const start = performance.now();
    await new Promise(go => setTimeout(go, 2000));
    end = true;
    camera.tick = tick;
    return [asked / frames, 1000 * asked / (performance.now() - start)];
}"""


def test_slider_moves_python_and_the_page_follows(write_notebook, open_notebook):
    notebook = open_notebook(write_notebook("slider.ipynb", SLIDER))
    assert notebook.run_all() == []
    answer = notebook.page.locator(".t-answer")
    answer.filter(has_text="9").wait_for()
    notebook.page.locator(".t-slider .noUi-handle").press("ArrowRight")
    answer.filter(has_text="16").wait_for()


def test_plotly_figure_is_drawn_without_internet(write_notebook, open_notebook):
    notebook = open_notebook(write_notebook("figure.ipynb", FIGURE))
    assert notebook.run_all() == []
    notebook.page.wait_for_function("() => document.querySelector('.js-plotly-plot')?._fullData")
    notebook.page.wait_for_selector(".js-plotly-plot canvas")


def test_pictures_hear_what_is_said_before_plotly_is_there(write_notebook, new_page):
    notebook = new_page(write_notebook("late.ipynb", FIGURE, CONTROL,
                                       "balls(5).plotly(ours)\ntheirs.data[0].y = [5, 5]"))
    notebook.page.evaluate(LATE)
    assert notebook.run_all() == []
    notebook.page.wait_for_function(f"() => {{ const now = ({SHOWN})(); return now.length === 2 && now[0] > 4; }}")
    notebook.page.wait_for_timeout(1000)
    assert notebook.page.evaluate(SHOWN)[1] < 4  # the control: plotly's own has lost it


def asked_in(notebook) -> list[float]:
    """How often, once the picture has been drawn."""
    assert notebook.run_all() == []
    notebook.page.wait_for_selector(".js-plotly-plot canvas")
    notebook.page.wait_for_timeout(2000)
    return notebook.page.evaluate(ASKED)


def test_a_picture_at_rest_leaves_the_processor_alone(write_notebook, open_notebook):
    moved = open_notebook(write_notebook("moved.ipynb", FIGURE, CHANGES))
    assert asked_in(moved)[0] > 0.6  # Python changes it
    still = open_notebook(write_notebook("still.ipynb", FIGURE))
    assert 0.5 <= asked_in(still)[1] <= 5.5
    hand = still.page.evaluate("() => setInterval(() => dispatchEvent(new Event('pointermove')), 200)")
    assert still.page.evaluate(ASKED)[0] > 0.6  # the control: a hand moves
    still.page.evaluate("hand => clearInterval(hand)", hand)


def test_error_in_a_cell_is_reported(write_notebook, open_notebook):
    """The negative control of the first two tests."""
    notebook = open_notebook(write_notebook("error.ipynb", "1 / 0"))
    errors = notebook.run_all()
    assert len(errors) == 1 and "ZeroDivisionError" in errors[0]


def test_axe_finds_nothing_grave_in_a_widget_of_a_notebook(write_notebook, open_notebook):
    notebook = open_notebook(write_notebook("axe.ipynb", "from ponita_edu.viz.trajectories import TrajectoryViewer\n"
                                            "TrajectoryViewer([[[0., 0, 0]], [[1., 0, 0]]], [1.])"))
    assert notebook.run_all() == []
    notebook.widget("TrajectoryViewer").wait_until_drawn()
    find_nothing_but_a_nameless_button(notebook.page, ".ponita-explorer", ".ponita-explorer")
