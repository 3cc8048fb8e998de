"""Molecules to turn with the mouse: py3Dmol's commands, drawn in the page by a copy of 3Dmol.js that is at hand.

py3Dmol alone fetches 3Dmol.js from the internet, and shows an empty box where there is none.
"""

import base64
import gzip
import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import anywidget
import numpy as np
import py3Dmol
import traitlets
from jaxtyping import Float, Int
from numpy import ndarray

from ponita_edu.molecules.export import to_xyz
from ponita_edu.molecules.stability import stability
from ponita_edu.viz import theme
from ponita_edu.viz.generation import formula, gallery
from ponita_edu.viz.molecules import ELEMENTS

ASSETS = Path(__file__).resolve().parents[1] / "assets"
LIBRARY = ASSETS / "3dmol" / "3Dmol.es6-min.js.gz"


def library() -> str:
    """The text of 3Dmol.js, a module of JavaScript."""
    return gzip.decompress(LIBRARY.read_bytes()).decode("utf-8")


class MoleculeViewer(anywidget.AnyWidget):
    """A grid of molecules; made by ``molecule_view``.

    Args:
        script: what py3Dmol would run in the page.
        shape: rows and columns.
        picture: the still picture, as a data URL, for pages that cannot draw.
        labels: a line above each molecule.
        linked: whether all turn together.
    """

    _esm = ASSETS / "viewer.js"
    script = traitlets.Unicode().tag(sync=True)
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    linked = traitlets.Bool(False).tag(sync=True)

    def __init__(self, **values: object):
        super().__init__(**values)
        self.on_msg(lambda _, message, __: self.send({"library": library()})
                    if message == {"want": "library"} else None)

    def __repr__(self) -> str:
        return f"MoleculeViewer({self.alt})"


def molecule_view(numbers: Int[ndarray, " atoms"], pos: Float[ndarray, "atoms 3"], offsets: Int[ndarray, " bounds"],
                  alt: str, columns: int = 4, labels: Sequence[str] = (), linked: bool = False) -> MoleculeViewer:
    """The molecules side by side, each to be turned and zoomed with the mouse; a halo: an atom without its valence.

    Args:
        numbers, pos, offsets: atomic numbers, places (Å), and where each molecule begins, and the end of the last.
        alt: what a reader who sees no picture should know.
        labels: a line above each molecule; its formula, if none are given.
        linked: whether all turn together.

    Raises:
        ValueError: on arrays that do not fit, or no molecule.
        ImportError: without py3Dmol and the rest of the course extra.
    """
    count = len(offsets) - 1
    if count < 1 or offsets[0] != 0 or offsets[-1] != len(numbers) or len(pos) != len(numbers):
        raise ValueError(f"offsets must run from 0 to the number of atoms, {len(numbers)}, with one molecule at least, "
                         f"and pos must have as many rows; offsets are {list(offsets)}, pos has {len(pos)} rows.")
    if labels and len(labels) != count:
        raise ValueError(f"labels must be one for each of the {count} molecules, but are {len(labels)}.")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, but is {columns}.")
    columns, stable = min(columns, count), stability(numbers, pos, offsets).atoms
    rows = -(-count // columns)
    parts = [slice(a, b) for a, b in pairwise(offsets)]
    colours = {"colorscheme": {"prop": "elem", "map": {symbol: colour for symbol, (colour, _) in ELEMENTS.items()}}}
    view = py3Dmol.view(viewergrid=(rows, columns), linked=linked)
    for k, mine in enumerate(parts):
        place = dict(viewer=divmod(k, columns))
        view.removeAllModels(**place)
        view.removeAllShapes(**place)
        view.addModel(to_xyz([(numbers[mine], pos[mine])]), "xyz", **place)
        view.setStyle({"stick": {"radius": 0.12, **colours}, "sphere": {"scale": 0.25, **colours}}, **place)
        for centre in pos[mine][~stable[mine]]:
            view.addSphere({"center": dict(zip("xyz", map(float, centre), strict=True)), "radius": 0.55,
                            "color": theme.PURPLE, "opacity": 0.45}, **place)
        view.zoomTo(**place)
        view.render(**place)
    return MoleculeViewer(script=view.updatejs, shape=[rows, columns], alt=alt, linked=linked,
                          labels=list(labels) or [formula(numbers[mine]) for mine in parts],
                          picture=_still(numbers, pos, offsets, columns, rows))


def _still(numbers: ndarray, pos: ndarray, offsets: ndarray, columns: int, rows: int) -> str:
    png = io.BytesIO()
    gallery(numbers, np.asarray(pos), np.asarray(offsets), columns, rows).savefig(png, format="png")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
