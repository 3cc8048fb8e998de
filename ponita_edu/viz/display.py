"""Pictures in notebooks: one small PNG with its words, and nothing else."""

import base64
import html
import io
from collections.abc import Sequence

from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from ponita_edu.viz import theme
from ponita_edu.viz.draw_matplotlib import SIZE
from ponita_edu.viz.scene import Scene

ROW = 3  # scenes side by side; more would be too small to read on a page
COLOURS = 256  # of the stored PNG: a palette makes it three times smaller


def png(picture: Scene | Figure | Sequence[Scene]) -> bytes:
    """A picture, or several scenes, as a PNG with a palette: up to three side by side, more in rows of two."""
    raw = io.BytesIO()
    _figure(picture).savefig(raw, format="png", dpi=theme.DPI, facecolor="white")
    small = io.BytesIO()
    Image.open(raw).convert("RGB").quantize(COLOURS).save(small, format="png", optimize=True)
    return small.getvalue()


def show(picture: Scene | Figure | Sequence[Scene], alt: str | None = None) -> None:
    """Show a picture in the notebook, as it would be printed.

    Args:
        picture: a scene, several (see `png`), or a matplotlib figure.
        alt: what it shows, in words; scenes bring their own.

    Raises:
        ValueError: if there is no alt text.
    """
    if alt is None:
        scenes = [picture] if isinstance(picture, Scene) else [] if isinstance(picture, Figure) else picture
        alt = " ".join(scene.alt for scene in scenes)
    if len(alt.strip()) < 5:
        raise ValueError(f"alt must say in words what the picture shows, but is {alt!r}. Use show(figure, alt='...').")
    # As HTML, because JupyterLab gives an image/png output no alt attribute, whatever its metadata say.
    data = base64.b64encode(png(picture)).decode()
    image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}" style="max-width: 100%"/>'
    display({"text/html": image, "text/plain": alt}, raw=True)


def _figure(picture: Scene | Figure | Sequence[Scene]) -> Figure:
    if isinstance(picture, Figure):
        return picture
    if isinstance(picture, Scene):
        return picture.matplotlib()
    scenes = list(picture)
    if not scenes:
        raise ValueError("picture must hold at least one scene, but is empty.")
    columns = len(scenes) if len(scenes) <= ROW else 2
    rows = -(-len(scenes) // columns)
    figure = Figure(figsize=(0.92 * SIZE * columns, SIZE * rows), dpi=theme.DPI, layout="constrained")
    for k, scene in enumerate(scenes):
        scene.matplotlib(figure.add_subplot(rows, columns, k + 1))
    return figure
