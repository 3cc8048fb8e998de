"""A newcomer's way: the README's one command, the page that it opens, links, and the first exercise of notebook 02.

Nothing here knows an address, a file or a command of JupyterLab: only what is written on the page is clicked and typed.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from browser.conftest import NOTEBOOK as LIMIT
from browser.conftest import blank, copy_course

from ponita_edu.course.cells import exercises

# large groups are run first: a long test that came last would run alone
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("book")]

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "02_equivalence_classes_and_invariants.ipynb"
PLACE = "raise NotImplementedError"
# the receiver minus the sender, and the right way round
WRONG_LINE = ("r = p_t - p_s; "
              "return torch.stack([(a * b).sum(-1) for a, b in ((r, o_t), (r, o_s), (o_t, o_s), (r, r))], -1)")
WRONG_WORDS = "r points from the sender to the receiver"
RIGHT_LINE = WRONG_LINE.replace("p_t - p_s", "p_s - p_t")


@pytest.fixture
def address(tmp_path):
    """What `make lab` prints: "Open http://…". It is run where the README says, in the folder that holds notebooks/."""
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    assert re.search(r"^make lab\b", readme, re.MULTILINE)
    [module] = re.findall(r"^lab: venv\n\t@\$\(BIN\)/python -m (\S+)$", makefile, re.MULTILINE)
    # the workspace, which says what was open the last time, lies in the folder for data
    home = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR",
                                                    "IPYTHONDIR", "PONITA_EDU_DATA")}
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    lab = subprocess.Popen([sys.executable, "-m", module, "--port", "0", "--no-browser"],
                           cwd=copy_course(tmp_path / "course"), text=True,
                           stdout=subprocess.PIPE, env=os.environ | home | {"PYTHONPATH": paths})
    try:
        yield lab.stdout.readline().strip().removeprefix("Open ")
    finally:
        lab.send_signal(signal.SIGINT)
        lab.wait(60)


def notebook(page):
    """The notebook in front."""
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")


def follow(page, link: str, title: str) -> None:
    """Click a link at the top of the notebook in front, and wait for the one that it opens."""
    notebook(page).get_by_role("link", name=link).first.click()
    notebook(page).locator("h1").filter(has_text=title).wait_for()


def write(page, cell, stub: str, lines: str) -> None:
    """Put the cursor into the stub's placeholder, write over it, and run the cell by Shift+Enter."""
    cell.locator(".cm-line").filter(has_text=stub).first.click()
    page.keyboard.press("End")
    page.keyboard.press("Shift+Home")
    page.keyboard.insert_text(lines)
    page.keyboard.press("Shift+Enter")


def test_newcomer_reaches_the_first_exercise_of_notebook_02(address, browser):
    exercise = exercises(nbformat.read(NOTEBOOK, as_version=4))[0]
    page = blank(browser)
    page.set_default_timeout(1000 * LIMIT)  # the exercise waits for all cells
    page.goto(address)
    notebook(page).locator("h1").filter(has_text="00 · ").wait_for()
    follow(page, "01 groups and homogeneous spaces", "01 · ")
    follow(page, "02 equivalence classes and invariants", "02 · ")

    heading = notebook(page).get_by_role("heading", name=f"Exercise {exercise.number}")
    heading.scroll_into_view_if_needed()
    stub = exercise.stub.splitlines()
    cell = notebook(page).locator(".jp-CodeCell").filter(has=page.locator(".cm-line", has_text=stub[-1]))
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    answer = cell.locator(".jp-OutputArea-output")
    answer.filter(has_text="not attempted").wait_for()

    write(page, cell, PLACE, WRONG_LINE)
    answer.filter(has_text=f"wrong, because {WRONG_WORDS}").wait_for()
    write(page, cell, "p_t - p_s", RIGHT_LINE)
    answer.filter(has_text="right (largest error below").wait_for()
    assert page.context.pages == [page], "the way led out of the window"
    page.context.close()
