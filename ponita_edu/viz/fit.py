"""Pictures as wide as the place they have got."""

import anywidget

# plotly measures its place once, before the page has given it any, and then only when the *window* changes
_JAVASCRIPT = """
export default { render({ el }) {
    let box = null, width = 0;
    const watch = new ResizeObserver(() => {
        if (box && box.clientWidth !== width) {
            width = box.clientWidth;
            window.dispatchEvent(new Event("resize"));
        }
    });
    const find = () => {
        box = el.closest(".ponita-explorer");
        if (box) watch.observe(box); else requestAnimationFrame(find);
    };
    find();
    const late = setTimeout(() => window.dispatchEvent(new Event("resize")), 1000);  // pictures drawn after the box
    return () => { watch.disconnect(); clearTimeout(late); };
} };
"""


class FitPictures(anywidget.AnyWidget):
    """Put one, which shows nothing, into an `Explorer`: its pictures follow when a side bar opens or closes."""

    _esm = _JAVASCRIPT
