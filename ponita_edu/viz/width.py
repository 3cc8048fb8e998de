"""The part of an Explorer that runs in the page: it measures its width, and names controls for screen readers.

A plotly FigureWidget is drawn before the page has laid it out, 700 pixels wide, and later changes of its place do not
reach it; side by side, or with JupyterLab's side bar open, pictures would be cut off. The handles of ipywidgets'
sliders and the buttons of its player have no name that a screen reader could say.
"""

import anywidget
import traitlets


class Ruler(anywidget.AnyWidget):
    """An empty line that knows its width in CSS pixels; 0 until it is on a page."""

    _esm = """
    const PLAYER = ["play or pause", "stop", "repeat"];

    function nameControls(explorer) {
        for (const slider of explorer.querySelectorAll(".widget-slider")) {
            const name = slider.querySelector(".widget-label")?.textContent;
            for (const handle of slider.querySelectorAll(".noUi-handle"))
                if (name && handle.getAttribute("aria-label") !== name) handle.setAttribute("aria-label", name);
        }
        for (const player of explorer.querySelectorAll(".widget-play"))
            player.querySelectorAll("button").forEach((button, k) => button.setAttribute("aria-label", PLAYER[k]));
    }

    export default { render({ model, el }) {
        el.style.cssText = "height: 0; width: 100%";
        const observer = new ResizeObserver(() => {
            if (el.clientWidth && el.clientWidth !== model.get("width")) {
                model.set("width", el.clientWidth);
                model.save_changes();
            }
        });
        observer.observe(el);
        // controls come and go one by one, each when it is ready
        const timer = setInterval(() => {
            const explorer = el.closest(".ponita-explorer");
            if (explorer) nameControls(explorer);
        }, 500);
        return () => { observer.disconnect(); clearInterval(timer); };
    } };
    """
    width = traitlets.Int(0).tag(sync=True)
