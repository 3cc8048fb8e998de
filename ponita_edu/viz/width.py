"""How wide a place on the page is: the page measures, Python sets width and height of the pictures in it.

A plotly FigureWidget is drawn before the page has laid it out, 700 pixels wide, and later changes of its place do not
reach it; side by side, or with JupyterLab's side bar open, pictures would be cut off.
"""

import anywidget
import traitlets


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
