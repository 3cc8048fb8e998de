"""The book, built once with warnings as errors, in a browser and link by link."""

import functools
import http.server
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser.accessibility import grave
from browser.conftest import blank

pytest.importorskip("myst_nb", reason="myst-nb is not installed (dev extra)")

# one worker builds and reads it
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("book")]

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = {"notebooks/02_equivalence_classes_and_invariants.html": "Which numbers name",
            "notebooks/07_equivariance_in_numbers.html": "How equivariant",
            "notebooks/01_groups_and_homogeneous_spaces.html": "symmetry"}
CHAPTER = next(iter(CHAPTERS))
PAGES = {"index.html": "Learn PONITA", **CHAPTERS}
OUTSIDE = ("http", "https", "mailto", "data", "javascript")
# what a reader should never see outside code: TeX, a formula in dollars, quotes of code, marks of emphasis
RAW = re.compile(r"\$\$|\$(?=\S)[^$\n]+(?<=\S)\$|\\[a-zA-Z]{2,}|`"
                 r"|(?<![\w*])\*{1,2}(?=\w)[^*\n]*(?<=\S)\*{1,2}(?![\w*])")
NOT_PROSE = {"pre", "code", "math", "script", "style"}
TWO_PICTURES = "notebooks/05_separable_convolution.html"
CUT = """() => { document.querySelectorAll("details").forEach(e => e.open = true);
    return [...document.querySelectorAll(".cell_input pre, details pre")].filter(e => e.scrollWidth > e.clientWidth)
        .map(e => e.textContent); }"""  # code that does not fit the page
PLOT = "[data-widget] .js-plotly-plot"
CAMERA = f"() => JSON.stringify(document.querySelector('{PLOT}')._fullLayout.scene._scene.getCamera().eye)"


class Links(HTMLParser):
    """What a page refers to, and the names that others can refer to in it."""

    def __init__(self, text: str):
        super().__init__()
        self.targets, self.names, self.wordless = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.names.update(values[key] for key in ("id", "name") if values.get(key))
        self.targets += [values[key] for key in ("href", "src") if values.get(key)]
        if tag == "img" and not values.get("alt", "").strip():
            self.wordless.append(values.get("src", "")[:80])


class Prose(HTMLParser):
    """The text of a page's article outside code and formulas."""

    def __init__(self, text: str):
        super().__init__()
        self.inside, self.skipped, self.parts = False, 0, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.inside |= tag == "article"
        self.skipped += tag in NOT_PROSE

    def handle_endtag(self, tag):
        self.inside &= tag != "article"
        self.skipped -= tag in NOT_PROSE

    def handle_data(self, data):
        if self.inside:
            self.parts.append(" " if self.skipped else data)


def raw(page: str) -> list[str]:
    """Leftovers of Markdown and TeX in the text of a page, each with a little of what stands around it."""
    text = "".join(Prose(page).parts)
    return [text[max(m.start() - 20, 0) : m.end() + 20].replace("\n", " ") for m in RAW.finditer(text)]


def broken(folder: Path) -> list[str]:
    """Links of all pages below a folder that lead to no file, or to no name in the page."""
    pages = {path.resolve(): Links(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    faults = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme in OUTSIDE or parts.netloc:
                continue
            aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            lost = aim in pages and parts.fragment and unquote(parts.fragment) not in pages[aim].names
            if not aim.is_file() or lost:
                faults.append(f"{path.relative_to(folder.resolve())}: {target}")
    return faults


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("book") / "site"
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "book.py"), "--out", str(folder)], capture_output=True,
                          text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def site(book):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(book)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture
def open_page(browser):
    """``open_page(address)``: a page; the test fails if it asked for anything outside or reported an error."""
    contexts, outside, errors = [], [], []

    def open_one(address: str, width: int = 1280):
        page = blank(browser, {"width": width, "height": 800})
        contexts.append(page.context)
        own = (address[: address.index("/", 8)] + "/", "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(own) else outside.append(r.url))
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto(address)
        page.outside = outside
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert outside == [] and errors == []


def draw_widget(page):
    page.locator("[data-widget]").first.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('[data-widget]').dataset.state === 'drawn'")


def test_every_link_leads_somewhere(book):
    assert broken(book) == []
    assert len(list(book.rglob("*.html"))) > 20


def test_broken_links_are_found(tmp_path):
    """The negative control: a file and a name that do not exist, beside links that hold."""
    (tmp_path / "a.html").write_text("<p id='here'><a href='b.html#there'>1</a><a href='c.html'>2</a>"
                                     "<a href='#here'>3</a><a href='#gone'>4</a><a href='https://example.org'>5</a>")
    (tmp_path / "b.html").write_text("<p id='there'><img src='lost.png'>", encoding="utf-8")
    assert sorted(broken(tmp_path)) == ["a.html: #gone", "a.html: c.html", "b.html: lost.png"]


def test_every_picture_has_words(book):
    wordless = {path.name: Links(path.read_text(encoding="utf-8")).wordless for path in book.rglob("*.html")}
    assert {name: found for name, found in wordless.items() if found} == {}
    assert Links("<img src='x.png'>").wordless == ["x.png"]


@pytest.mark.parametrize("name", PAGES)
def test_page_opens_from_the_disk_with_its_equations(name, book, open_page):
    page = open_page((book / name).as_uri())
    assert PAGES[name] in page.locator("h1").first.inner_text()
    if name in CHAPTERS:
        sizes = page.locator("math").evaluate_all("all => all.map(m => m.getBoundingClientRect().height)")
        assert len(sizes) > 10 and all(size > 5 for size in sizes if size) and max(sizes) > 20
        assert page.evaluate(CUT) == []


def test_no_markdown_or_tex_is_left(book):
    pages = {path.relative_to(book): path.read_text(encoding="utf-8") for path in sorted(book.rglob("*.html"))}
    found = {str(path): raw(page) for path, page in pages.items() if path.parts[0] != "_modules"}  # source code
    assert {path: leftovers for path, leftovers in found.items() if leftovers} == {}
    chapters = ["".join(Prose(page).parts) for path, page in pages.items() if path.parts[0] == "notebooks"]
    assert len(chapters) == 14 and min(map(len, chapters)) > 5000  # it is not blind


@pytest.mark.parametrize(("text", "faults"), [
    (r"so $$ x $$", 2), (r"a \frac12", 1), (r"$a \cdot b$ and $c$", 2), ("call `f`", 2), ("is *not* so", 1),
    ("<b>is</b> **never so**, and", 1), (r"price: 2 $ \ 3 $, x * y * z, f(*args), <code>`f` *g* \sum</code>", 0),
    (r"<math><mo>*</mo><mi>\cdot</mi></math>", 0),
])
def test_leftovers_would_be_found(text, faults):
    assert len(raw(f"<p>`outside`</p><article><p>{text}</p></article>")) == faults


@pytest.mark.parametrize("width", [1280, 390])
def test_every_picture_of_a_widget_has_the_width_of_its_place(width, book, open_page):
    page = open_page((book / TWO_PICTURES).as_uri(), width)
    draw_widget(page)
    sizes = page.locator(PLOT).evaluate_all(
        "all => all.map(p => [p.clientWidth, p._fullLayout.width, p._fullLayout._size.w, p._fullLayout._size.h])")
    assert len(sizes) == 2
    for place, picture, wide, high in sizes:
        assert abs(picture - place) <= 2
        assert wide >= high - 2 and high > 150  # a scene narrower than high is cut at both sides


def test_widget_is_drawn_and_turns(book, open_page):
    page = open_page((book / CHAPTER).as_uri())
    draw_widget(page)
    place = page.locator(PLOT).first
    place.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    before, box = page.evaluate(CAMERA), place.bounding_box()
    assert page.evaluate(CAMERA) == before  # it stands still by itself
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 90, box["y"] + box["height"] / 2 + 30, steps=6)
    page.mouse.up()
    page.wait_for_timeout(500)
    assert page.evaluate(CAMERA) != before


def test_molecules_are_drawn(book, open_page):
    page = open_page((book / "notebooks/11_qm9_properties.html").as_uri())
    view = page.locator("[data-widget]").first
    view.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('.ponita-viewer')?.dataset.state === 'drawn'")
    assert page.locator(".ponita-viewer").first.get_attribute("data-models") == "8"


def test_answer_unfolds(book, open_page):
    page = open_page((book / "notebooks/01_groups_and_homogeneous_spaces.html").as_uri())
    fold = page.locator("details", has_text="Answer").first
    inside = fold.locator("p").first
    assert not inside.is_visible()
    fold.locator("summary").click()
    assert inside.is_visible()


def test_search_finds_a_word_of_the_course(site, open_page):
    page = open_page(f"{site}/search.html?q=stabiliser")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").evaluate_all("all => all.map(a => a.href)")
    assert any("01_groups" in address for address in found)
    page = open_page(f"{site}/search.html?q=zebrafinch")
    page.wait_for_selector("#search-results p")
    assert page.locator("#search-results li").count() == 0


@pytest.mark.parametrize("name", ["index.html", CHAPTER, "api/geometry.html", "README.html", "results/README.html"])
def test_fits_a_phone(name, book, open_page):
    page = open_page((book / name).as_uri(), width=390)
    if name in CHAPTERS:
        draw_widget(page)
    page.evaluate("() => scrollTo(0, 0)")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_request_outside_would_be_seen(book, open_page):
    page = open_page((book / "index.html").as_uri())
    page.route("https://example.org/**", lambda route: route.fulfill(body=""))
    page.evaluate("() => fetch('https://example.org/x', {mode: 'no-cors'})")
    assert page.outside == ["https://example.org/x"]
    page.outside.clear()


@pytest.mark.parametrize("name", ["index.html", CHAPTER, "api/geometry.html"])
def test_no_serious_fault_of_accessibility(name, site, open_page):
    page = open_page(f"{site}/{name}")
    if name in CHAPTERS:
        draw_widget(page)
    assert grave(page) == []
