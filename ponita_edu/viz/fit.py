"""Pictures as wide as the place they stand in: the page measures, Python sets the width.

A plotly FigureWidget is drawn before the page has laid it out, 700 pixels wide, and later changes of its place do not
reach it; side by side, or with JupyterLab's side bar open, pictures would be cut off.
"""

import anywidget
import ipywidgets as widgets
import traitlets

from ponita_edu.viz import theme
from ponita_edu.viz.widget import Explorer

SPARE = 8  # pixels between two pictures


class Ruler(anywidget.AnyWidget):
    """An empty line that knows its width in CSS pixels; 0 until it is on a page."""

    _esm = """
    export default { render({ model, el }) {
        el.style.cssText = "height: 0; width: 100%";
        const observer = new ResizeObserver(() => {
            if (el.clientWidth && el.clientWidth !== model.get("width")) {
                model.set("width", el.clientWidth);
                model.save_changes();
            }
        });
        observer.observe(el);
        return () => observer.disconnect();
    } };
    """
    width = traitlets.Int(0).tag(sync=True)


def fit(explorer: Explorer) -> None:
    """Let the pictures of an explorer share the width of their place, no higher than they are wide."""

    def share(change: dict) -> None:
        width = change["new"] // max(len(explorer.pictures), 1) - SPARE
        for figure in explorer.pictures:
            figure.update_layout(width=max(width, 150), height=min(max(width, 240), theme.HEIGHT))

    ruler = Ruler()
    ruler.observe(share, "width")
    row = explorer.children[0]
    side, stage = row.children
    place = widgets.VBox([ruler, stage], layout={"flex": "1 1 420px", "min_width": "320px", "overflow": "hidden"})
    stage.layout = {"width": "100%", "min_width": "0"}
    row.children = (side, place)
