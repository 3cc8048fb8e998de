"""The app in a browser, as a class uses it, and as someone who wants more than a class should get."""

import contextlib
import json
import secrets
import urllib.error
import urllib.request
import uuid

import pytest
from browser.accessibility import find_nothing_but_a_nameless_button
from browser.conftest import PATIENCE, SIZE, NotebookPage, WidgetOnPage, blank
from moves import Move, make

from ponita_edu import app, lab
from ponita_edu.serving.site_map import PAGES

base = pytest.importorskip("jupyter_server.services.kernels.connection.base")
exceptions = pytest.importorskip("websockets.exceptions")
client = pytest.importorskip("websockets.sync.client", reason="websockets comes with Voilà, the course extra")
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("app")]

MOVES = {
    "turning": [Move("TurnMolecule", "angle", "ArrowRight"),
                Move("TurnMolecule", "grid_too", says="0 % (rounding)"),
                Move("TurnMolecule", "network", "PONITA, distances only", says="0 % (rounding)"),
                Move("TurnMolecule", "reset")],
    "pairs": [Move("PairExplorer", "x", "ArrowLeft"),
              Move("PairExplorer", "space", "R²×S¹"),
              Move("PairExplorer", "collide", changes=("report",), says="48 random starts"),
              Move("PairExplorer", "reset")],
    "grids": [Move("GridExplorer", "right", "lebedev"),
              Move("GridExplorer", "left_n", "ArrowRight"),
              Move("GridExplorer", "cells", changes=("picture",)),
              Move("GridExplorer", "reset")],
    "lifting": [Move("LiftExplorer", "azimuth", "ArrowRight"),
                Move("LiftExplorer", "exact", says="0 (rounding)"),
                Move("LiftExplorer", "reset")],
    "kernels": [Move("KernelExplorer", "channel", "ArrowRight"),
                Move("KernelExplorer", "network", "untrained"),
                Move("KernelExplorer", "reset")],
    "layers": [Move("LayerExplorer", "channel", "ArrowRight"),
               Move("LayerExplorer", "step", "End", says="readout"),
               Move("LayerExplorer", "reset")],
    "rotation": [Move("RotationCheck", "turn_z", "ArrowRight", says="approximate"),
                 Move("RotationCheck", "move_grid", says="It holds."),
                 Move("RotationCheck", "reset")],
    "structures": [Move("PairOfStructures", "pair", "rings, L = 3", says="differ"),
                   Move("PairOfStructures", "azimuth", "ArrowRight", changes=("picture",)),
                   Move("PairOfStructures", "reset")],
    "trajectories": [Move("TrajectoryViewer", "time", "ArrowRight", changes=("picture",)),
                     Move("TrajectoryViewer", "prediction", "none", changes=("picture",)),
                     Move("TrajectoryViewer", "play", changes=("picture",)),
                     Move("TrajectoryViewer", "reset", changes=("picture",))],
    "motion": [Move("MoleculePlayer", "frame", "ArrowRight"),
               Move("MoleculePlayer", "velocities", changes=("picture",)),
               Move("MoleculePlayer", "reset", changes=("picture",))],
    "denoising": [Move("DiffusionViewer", "still", changes=("report",)),  # at the end the cloud is as wide either way
                  Move("DiffusionViewer", "step", "End", says="stable atoms: 9 of 9"),
                  Move("DiffusionViewer", "reset")],
}


class AppWidget(WidgetOnPage):
    IDLE = "() => new Promise(done => setTimeout(() => done(true), 500))"  # no JupyterLab here to ask


class AppPage(NotebookPage):
    def widget(self, name: str) -> AppWidget:
        return AppWidget(self.page, name)

    @property
    def kernel(self) -> str:
        return json.loads(self.page.locator("#jupyter-config-data").text_content())["kernelId"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Address and token of an app that serves this test alone."""
    home = tmp_path_factory.mktemp("app")
    port, token, log = lab.free_port(0), secrets.token_hex(16), home / "app.log"
    process = app.start(port, token, log)
    try:
        lab.wait_until_ready(process, port, log, "The app", f"http://127.0.0.1:{port}/login")
        yield f"http://127.0.0.1:{port}", token
    finally:
        lab.stop(process)


@contextlib.contextmanager
def pages(browser, site):
    """``open(name)``: a page of the app, drawn; checked and closed at the end."""
    opened = []

    def open_one(name: str, size: dict = SIZE) -> AppPage:
        page = AppPage(blank(browser, size), site[0], name)
        opened.append(page)
        page.page.goto(f"{site[0]}/{name}?token={site[1]}")
        if name:
            page.page.wait_for_selector(".ponita-explorer")
            page.widget(page.widget_names()[0]).wait_until_drawn()
        return page

    yield open_one
    for page in opened:
        page.page.context.close()
        page.check()


@pytest.fixture
def open_page(browser, site):
    """Pages of one test."""
    with pages(browser, site) as open_one:
        yield open_one


@pytest.fixture(scope="module")
def visitor(browser, site):
    """One page, whose kernel may be attacked but not harmed."""
    with pages(browser, site) as open_one:
        yield open_one("pairs")


@pytest.fixture(scope="module")
def phone(browser, site):
    with pages(browser, site) as open_one:
        yield open_one("trajectories", {"width": 390, "height": 844})


def ask(site, path: str, method: str = "GET", token: str | None = None) -> int:
    """The status that a visitor with the token gets; other sites' requests come without one."""
    headers = {"Authorization": f"token {site[1] if token is None else token}"}
    request = urllib.request.Request(site[0] + path, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


# ---------------------------------------------------------------------------------------------------------- the pages
@pytest.mark.parametrize("name", PAGES)
def test_page_is_drawn_and_its_controls_change_it(open_page, name):
    page = open_page(name)
    assert page.page.title().startswith(PAGES[name].title) and page.page.locator("h1").inner_text() == PAGES[name].title
    assert page.page.locator("#loading").count() == 0 and page.page.locator("#asleep").is_hidden()
    for move in MOVES[name]:
        make(page.widget(move.widget), move)
    about = page.page.locator(".t-about summary")
    about.focus()
    about.press("Enter")
    assert not page.page.locator(".t-about details").evaluate("details => details.open")
    assert "import" not in page.page.content().split("</head>")[1].split("<main>")[1].split("jupyter-config-data")[0]


def test_list_leads_to_every_page_by_keyboard(open_page):
    page = open_page("").page
    links = page.locator("main a")
    assert [link.get_attribute("href") for link in links.all()] == [f"/{name}" for name in PAGES]
    seen = []
    for _ in PAGES:
        page.keyboard.press("Tab")
        seen.append(page.evaluate("() => document.activeElement.textContent"))
    assert seen == [page_.title for page_ in PAGES.values()]


def test_page_fits_a_phone(phone):
    assert phone.page.evaluate("() => document.documentElement.scrollWidth") <= 390


# ------------------------------------------------------------------------------------------------------ accessibility
def test_axe_finds_nothing_grave_on_any_screen(open_page, visitor, phone):
    for opened in (open_page(""), visitor, phone):
        find_nothing_but_a_nameless_button(opened.page, "main")


# --------------------------------------------------------------------------------------------- what a visitor may not
@pytest.mark.parametrize("path", [
    "/voila/tree", "/voila/render/pairs.ipynb", "/voila/files/pairs.ipynb", "/voila/api/contents", "/pairs.ipynb",
    "/api/contents", "/api/contents/pairs.ipynb", "/api/kernels", "/api/kernelspecs", "/api/sessions", "/api/terminals",
    "/files/pairs.ipynb", "/tree", "/lab", "/api/kernels/no-such-k-er-nel", "/voila/templates/ponita/index.html.j2",
    "/voila/static/../../app.py", "/voila/static/%2e%2e/%2e%2e/app.py", "/plotly.js/../__init__.py",
    "/voila/templates/ponita/static/../../../../../etc/passwd", "/voila/labextensions/..%2f..%2f..%2fetc/passwd",
])
def test_nothing_else_is_served(site, path):
    assert ask(site, path) in (403, 404)


def test_what_is_served_is_served(site):
    """The control of the test above."""
    assert [ask(site, f"/{path}") for path in ("", "plotly.js", "voila/static/voila.js")] == [200, 200, 200]


@pytest.mark.parametrize("method, path", [
    ("POST", "/api/kernels"), ("POST", "/api/sessions"), ("POST", "/api/terminals"), ("PUT", "/api/contents/x.ipynb"),
    ("POST", "/api/kernels/KERNEL/restart"), ("POST", "/api/kernels/KERNEL/interrupt"),
    ("DELETE", "/api/kernels/KERNEL"),
])
def test_no_kernel_is_started_or_changed_by_request(visitor, site, method, path):
    assert ask(site, path.replace("KERNEL", visitor.kernel), method) in (403, 404, 405)
    assert ask(site, f"/api/kernels/{visitor.kernel}") == 200


def test_without_the_token_there_is_a_login_and_nothing_else(site):
    for path in ("/", "/pairs"):
        with urllib.request.urlopen(site[0] + path, timeout=PATIENCE) as answer:
            assert "/login" in answer.url
    assert ask(site, "/api/kernels/00000000-0000-0000-0000-000000000000", token="wrong") == 403


def message(kind: str, channel: str, **content) -> bytes:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": "s", "username": "v", "version": "5.3",
              "date": ""}
    return base.serialize_msg_to_ws_v1([json.dumps(part).encode() for part in (header, {}, {}, content)], channel)


def test_visitors_code_is_not_run(visitor, site, tmp_path):
    target = tmp_path / "was_here"
    code = {"code": f"open({str(target)!r}, 'w')", "silent": False, "store_history": False, "allow_stdin": False,
            "user_expressions": {"x": f"open({str(target)!r}, 'w')"}}
    address = f"{site[0].replace('http', 'ws')}/api/kernels/{visitor.kernel}/channels?session_id=s&token={site[1]}"
    with client.connect(address, max_size=None, subprotocols=["v1.kernel.websocket.jupyter.org"]) as socket:
        for channel in ("shell", "control"):
            socket.send(message("execute_request", channel, **code))
            socket.send(message("complete_request", channel, code="open", cursor_pos=4))
            socket.send(message("debug_request", channel, type="request", command="initialize", arguments={}))
        socket.send(message("kernel_info_request", "shell"))
        kinds = set()
        while "kernel_info_reply" not in kinds:  # what may pass is answered, after all that was sent before
            kinds.add(json.loads(base.deserialize_msg_from_ws_v1(socket.recv(timeout=PATIENCE))[1][0])["msg_type"])
    assert not kinds & {"execute_reply", "complete_reply", "debug_reply", "error"} and not target.exists()
    with pytest.raises(exceptions.InvalidStatus, match="400"):  # a message of the old protocol would stop the server
        client.connect(address)


# the last, as it takes the visitor's kernel
def test_kernel_ends_when_its_page_is_closed(visitor, site):
    path = f"/api/kernels/{visitor.kernel}"
    assert ask(site, path) == 200
    visitor.page.goto(f"{site[0]}/")
    for _ in range(4 * PATIENCE):
        if ask(site, path) == 404:
            return
        visitor.page.wait_for_timeout(250)
    pytest.fail("the kernel outlived its page")
