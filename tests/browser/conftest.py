"""A real browser on a real JupyterLab.

`open_notebook("NAME.ipynb")` gives a page whose cells a test can run; the test fails if the page asked for anything
outside this machine or reported an error. `ran` is every notebook of the course in turn, run from top to bottom once
for all tests that take it. Both open one notebook after another in one `laboratory`, as JupyterLab takes longer to load
than most of them to run; `new_page` is for tests that change the page for good. With PONITA_EDU_SCREENSHOTS=1 in the
environment, `screenshot` writes to docs/screenshots.
"""

import io
import os
import re
import secrets
import shutil
from pathlib import Path

import nbformat
import pytest
from browser.shorter import SHORTER, shorten

from ponita_edu import doctor, lab

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (dev extra)")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((path.name for path in (ROOT / "notebooks").glob("*.ipynb")), reverse=True)  # the long ones first
SCREENSHOTS = ROOT / "docs" / "screenshots" if os.environ.get("PONITA_EDU_SCREENSHOTS") == "1" else None
SIZE = {"width": 1280, "height": 800}
PATIENCE = 120  # seconds for anything that should come soon, on a busy machine
NOTEBOOK = 1200  # and for a whole notebook
OPTIONS = ("--LabApp.expose_app_in_browser=True",
           "--ServerApp.kernel_spec_manager_class=browser.warm_kernels.WarmKernelSpecs")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # WebGL drawn by the processor
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
]
READY = """async () => {
    await jupyterapp.restored;
    const panel = jupyterapp.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
}"""
OPEN = "async () => { await jupyterapp.commands.execute('docmanager:open', {path: 'PATH'}); }"
# without asking whether to save what cells changed
CLOSE = """async () => { for (const panel of [...jupyterapp.shell.widgets('main')]) {
    if (panel.sessionContext) await panel.sessionContext.shutdown();
    panel.dispose();
} }"""
RUN_ALL = "() => jupyterapp.commands.execute('notebook:run-all-cells')"
# Its end is asked for: Chromium may lose a promise for which Playwright waits, as garbage.
START = """code => {
    const job = globalThis.ponitaJob = {state: ''};
    eval(code)().then(() => { job.state = 'done'; }, error => { job.state = `failed: ${error}`; });
}"""
# [execution count, [kinds of output]] of each code cell; errors as {error: text}
OUTPUTS = """() => jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code')
    .map(cell => [cell.model.executionCount, Array.from({length: cell.model.outputs.length}, (_, i) => {
        const output = cell.model.outputs.get(i);
        return output.type === 'error' ? {error: JSON.stringify(output.toJSON())} : Object.keys(output.data);
    })])"""
# What a plotly picture shows, as text that changes when the picture does: sums of its numbers, colours of meshes.
# Plotly puts new arrays in the place of old ones, so each is summed once.
PICTURE = """box => {
    const sums = window.sums ??= new WeakMap();
    const sum = values => values.reduce((sum, v, i) => typeof v === 'number' && isFinite(v)
        ? sum + v * (1 + i % 7) : sum, values.length).toFixed(5);
    return JSON.stringify(Array.from(box.querySelectorAll('.js-plotly-plot')).map(plot =>
        (plot._fullData || []).map(trace => ['x', 'y', 'z', 'intensity', 'text'].map(key => {
            const values = trace[key];
            if (!values || values.length === undefined) return values && 0;
            if (typeof values === 'string') return values.length;
            if (!sums.has(values)) sums.set(values, sum(Array.from(values)));
            return sums.get(values);
        }).concat(trace.color || ''))));
}"""


def within(page, code: str, seconds: float) -> None:
    """Run a function of the page that returns a promise, and wait for its end."""
    page.evaluate(START, code)
    for _ in range(int(seconds * 4)):
        state = page.evaluate("() => ponitaJob.state")
        if state:
            assert state == "done", f"{state}: {code}"
            return
        page.wait_for_timeout(250)
    raise AssertionError(f"not done after {seconds} s: {code}")


class WidgetOnPage:
    """One Explorer in the page, used as a person would: by keys and clicks."""

    IDLE = "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"

    def __init__(self, page, name: str) -> None:
        self.page, self.box = page, page.locator(f".w-{name}").first

    def picture(self) -> str:
        return self.box.evaluate(PICTURE)

    def report(self) -> str:
        return self.box.locator(".t-report").inner_text()

    def error(self) -> str:
        return self.box.locator(".t-error").inner_text()

    def use(self, control: str, action: str | None = None, times: int = 1) -> None:
        """A slider or button group: press the key `action`; a list: choose it; a box or button: click."""
        place = self.box.locator(f".t-{control}")
        place.scroll_into_view_if_needed()
        kind = place.get_attribute("class")
        if "slider" in kind:
            handle = place.locator(".noUi-handle").first
            handle.focus()
            for _ in range(times):
                handle.press(action)
        elif "dropdown" in kind:
            place.locator("select").select_option(label=action)
        elif "checkbox" in kind:
            place.locator("input").click()
        elif "text" in kind:
            place.locator("input").fill(action)
            place.locator("input").press("Enter")
        elif "play" in kind:
            place.locator("button").first.click()
        elif "toggle-buttons" in kind:
            place.get_by_text(action, exact=True).click()
        else:
            place.click()

    def settle(self, seconds: float = PATIENCE) -> None:
        """Wait until the kernel is idle and the widget stands still, so that no late update is taken for a new one."""
        last = None
        for _ in range(int(seconds * 4)):
            now = self.page.evaluate(self.IDLE), self.picture(), self.report(), self.error()
            if now[0] and now == last:
                return
            last = now
            self.page.wait_for_timeout(250)
        raise AssertionError(f"the widget did not come to rest within {seconds} s")

    def wait_for_change(self, of: str, before: str, seconds: float = PATIENCE) -> str:
        """Wait until `picture`, `report` or `error` is another one than `before`, and return it."""
        for _ in range(int(seconds * 10)):
            now = getattr(self, of)()
            if now != before:
                return now
            self.page.wait_for_timeout(100)
        raise AssertionError(f"the {of} did not change within {seconds} s: {before[:200]}")

    def wait_until_drawn(self, seconds: float = PATIENCE) -> None:
        """Every picture of the widget has been drawn by plotly."""
        self.page.wait_for_function(
            "box => { const plots = box.querySelectorAll('.js-plotly-plot'); return plots.length > 0 && "
            "Array.from(plots).every(p => p._fullData && p.querySelector('canvas, .main-svg')) }",
            arg=self.box.element_handle(), timeout=seconds * 1000)


class NotebookPage:
    """A notebook open in JupyterLab; ``page`` is Playwright's."""

    def __init__(self, page, base: str, name: str) -> None:
        self.page, self.name, self.outside, self.errors = page, name, [], []
        own = (base, base.replace("http", "ws", 1), "data:", "blob:")
        self.listeners = {
            "request": lambda r: None if r.url.startswith(own) else self.outside.append(r.url),
            "pageerror": lambda e: self.errors.append(str(e)),
            "console": lambda m: self.errors.append(m.text) if m.type == "error" else None,
        }
        for event, listener in self.listeners.items():
            page.on(event, listener)

    def leave(self) -> None:
        """What happens on the page from now on is another notebook's."""
        for event, listener in self.listeners.items():
            self.page.remove_listener(event, listener)

    def run_all(self, seconds: float = NOTEBOOK) -> list[str]:
        """Run every cell and return the errors that cells ended with."""
        within(self.page, RUN_ALL, seconds)
        return [o["error"] for _, outputs in self.outputs() for o in outputs if "error" in o]

    def outputs(self) -> list:
        """[execution count, [kinds of output]] of each code cell."""
        return self.page.evaluate(OUTPUTS)

    def widget_names(self) -> list[str]:
        """Class names of the Explorers in the page, from top to bottom."""
        classes = self.page.locator(".ponita-explorer").evaluate_all("boxes => boxes.map(b => b.className)")
        return [re.search(r"\bw-(\w+)", c)[1] for c in classes]

    def widget(self, name: str) -> WidgetOnPage:
        return WidgetOnPage(self.page, name)

    def screenshot(self, name: str, widget: str | None = None) -> None:
        """Write docs/screenshots/NAME.png of what a reader sees, the given widget or the top of the page in view."""
        if SCREENSHOTS is None:
            return
        from PIL import Image

        self.page.evaluate("() => { const shell = jupyterapp.shell; shell.collapseLeft(); shell.collapseRight(); }")
        place = self.page.locator(f".w-{widget}" if widget else ".jp-Cell").first
        place.evaluate("box => box.scrollIntoView({block: 'start'})")
        self.page.wait_for_timeout(1500)  # plotly fits its new width
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB").quantize(96)
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        picture.save(SCREENSHOTS / f"{name}.png", optimize=True)

    def check(self) -> None:
        """Nothing was asked outside this machine, and the page reported no error."""
        assert self.outside == [], f"{self.name} asked outside this machine"
        assert self.errors == [], f"{self.name} reported errors"


@pytest.fixture(scope="session")
def browser():
    path = doctor.find_chromium()
    if path is None:
        reason = "no Chromium found; Debian: sudo apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


def copy_course(folder: Path) -> Path:
    """What the notebooks read, so that no run changes the checkout."""
    for name in ("notebooks", "results", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """A copy of the course; its trainings are shortened, but for screenshots."""
    folder = copy_course(tmp_path_factory.mktemp("course"))
    for name, texts in ({} if SCREENSHOTS else SHORTER).items():
        shorten(folder / "notebooks" / name, texts)
    return folder


@pytest.fixture
def write_notebook(course):
    """``write_notebook(name, cell, ...)`` writes a notebook of those code cells and returns its name."""

    def write(name: str, *cells: str) -> str:
        # without a kernel's name JupyterLab would ask for one in a dialog, and wait
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)), metadata=kernel)
        nbformat.write(notebook, course / "notebooks" / name)
        return name

    return write


@pytest.fixture(scope="session")
def server(course, tmp_path_factory):
    """The address and token of a JupyterLab with a home of its own."""
    home = tmp_path_factory.mktemp("home")
    port, token, log = lab.free_port(0), secrets.token_hex(16), home / "lab.log"
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(variable, str(home / variable.lower()))
        patch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)
        process = lab.start(course, port, token, log, extra=OPTIONS)
    try:
        lab.wait_until_ready(process, port, log)
        yield f"http://127.0.0.1:{port}", token
    finally:
        lab.stop(process)


def blank(browser, size: dict = SIZE):
    """A page with a context of its own, which waits as long for anything as a busy machine may take."""
    page = browser.new_context(viewport=size).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    return page


def load(page, server, path: str = "") -> None:
    """JupyterLab with a fresh workspace."""
    base, token = server
    page.goto(f"{base}/lab{path}?token={token}&reset")
    page.wait_for_function("() => window.jupyterapp")


@pytest.fixture
def new_page(browser, server):
    """``new_page(name)`` opens notebooks/name in a JupyterLab of its own and waits for its kernel."""
    opened = []

    def open_one(name: str) -> NotebookPage:
        notebook = NotebookPage(blank(browser), server[0], name)
        opened.append(notebook)
        load(notebook.page, server, f"/tree/notebooks/{name}")
        notebook.page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden)")
        within(notebook.page, READY, PATIENCE)
        return notebook

    yield open_one
    for notebook in opened:  # a page and a kernel that nobody closes would slow the rest
        notebook.leave()
        try:
            within(notebook.page, CLOSE, PATIENCE)
        finally:  # also where JupyterLab never came
            notebook.page.context.close()
    for notebook in opened:
        notebook.check()


@pytest.fixture(scope="session")
def laboratory(browser, server):
    """``laboratory(name)`` opens notebooks/name in the one JupyterLab, in which it closes what was open."""
    page = blank(browser)
    load(page, server)
    within(page, "() => jupyterapp.restored.then(() => null)", PATIENCE)

    def open_one(name: str) -> NotebookPage:
        within(page, CLOSE, PATIENCE)
        notebook = NotebookPage(page, server[0], name)
        within(page, OPEN.replace("PATH", f"notebooks/{name}"), PATIENCE)
        within(page, READY, PATIENCE)
        return notebook

    yield open_one
    within(page, CLOSE, PATIENCE)
    page.context.close()


@pytest.fixture
def open_notebook(laboratory):
    """Notebooks of one test, one at a time, checked at its end."""
    opened = []

    def open_one(name: str) -> NotebookPage:
        for notebook in opened:
            notebook.leave()
        opened.append(laboratory(name))
        return opened[-1]

    yield open_one
    for notebook in opened:
        notebook.leave()
        notebook.check()


# the group keeps the tests of a notebook in one worker, in whose browser it is open
@pytest.fixture(scope="session", params=[pytest.param(n, marks=pytest.mark.xdist_group(n)) for n in NOTEBOOKS])
def ran(request, laboratory):
    """Each notebook of the course, all cells run; pytest groups the tests so that each is opened once."""
    notebook = laboratory(request.param)
    notebook.stored_pictures = notebook.page.locator(".jp-OutputArea-output img").evaluate_all(
        "images => images.map(i => [i.alt, i.naturalWidth])")
    notebook.cell_errors = notebook.run_all()
    yield notebook
    notebook.leave()
