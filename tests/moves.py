"""Moves of a person on a widget in a browser, and what must change on the page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Move:
    """Use a control (see `WidgetOnPage.use`), then wait until the named things have changed.

    `changes` are among picture, report and error; `says` must stand in the report afterwards.
    """

    widget: str
    control: str
    action: str | None = None
    times: int = 1
    changes: tuple[str, ...] = ("picture", "report")
    says: str = ""


def make(widget, move: Move) -> None:
    """Carry out a move on a `WidgetOnPage`, and see that it changes what it should."""
    widget.wait_until_drawn()
    widget.settle()
    before = {of: getattr(widget, of)() for of in move.changes}
    widget.use(move.control, move.action, move.times)
    for of in move.changes:
        try:
            widget.wait_for_change(of, before[of])
        except AssertionError as error:
            raise AssertionError(f"{move}: {error}") from None
    widget.box.locator(".t-report").filter(has_text=move.says).wait_for()
    if "error" not in move.changes:
        assert widget.error().strip() == "", move
