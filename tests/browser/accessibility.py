"""axe-core's findings on a page, with a control."""

import pytest

NAMELESS_BUTTON = """place => document.querySelector(place).insertAdjacentHTML(
    'beforeend', '<button id="nameless"></button>')"""


def grave(page, context: str | None = None) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python: the dev extra")
    found = axe.Axe().run(page, context).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]


def find_nothing_but_a_nameless_button(page, place: str, context: str | None = None) -> None:
    # names come half a second after the controls
    page.wait_for_function("() => [...document.querySelectorAll('.noUi-handle')].every(h => h.ariaLabel)")
    assert grave(page, context) == []
    page.evaluate(NAMELESS_BUTTON, place)
    assert [found.split(":")[0] for found in grave(page, context)] == ["button-name"]  # the control
    page.evaluate("() => document.querySelector('#nameless').remove()")
