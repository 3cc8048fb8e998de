"""What a page without Python can show of a widget: its pictures at the start, to be turned with the mouse."""

import base64
import json
from typing import Any

import ipywidgets as widgets
import numpy as np

from ponita_edu.viz.scene import Scene
from ponita_edu.viz.viewer import MoleculeViewer
from ponita_edu.viz.widget import Explorer

DIGITS = 4  # after the point, of a recorded coordinate: finer than a pixel


def record(widget: Explorer | MoleculeViewer) -> dict[str, Any]:
    """The widget's present state as values that JSON can hold.

    ``kind`` is "plotly" (with ``pictures``, each with data and layout, ``report`` and ``explanation``) or "3dmol" (with
    what ``assets/viewer.js`` reads); both have ``text``, as a notebook stores it, and ``alt``.

    Raises:
        TypeError: on any other widget.
    """
    if isinstance(widget, MoleculeViewer):
        return {"kind": "3dmol", "text": repr(widget), "alt": widget.alt, "script": widget.script,
                "shape": widget.shape, "labels": widget.labels, "linked": widget.linked}
    if not isinstance(widget, Explorer):
        raise TypeError(f"widget must be an Explorer or a MoleculeViewer, but is of type {type(widget).__name__}.")
    scenes = widget.scene()
    scenes = (scenes,) if isinstance(scenes, Scene) else scenes
    return {"kind": "plotly", "text": repr(widget), "alt": " ".join(scene.alt for scene in scenes),
            "pictures": [_small(scene.plotly().to_plotly_json()) for scene in scenes],
            "report": widget.report(), "explanation": widget.explanation}


def records() -> str:
    """All widgets of this process as JSON, by the ids under which a notebook's outputs name them."""
    found = {model_id: record(widget) for model_id, widget in widgets.widget._instances.items()
             if isinstance(widget, Explorer | MoleculeViewer)}
    return json.dumps(found)


def _small(value: Any) -> Any:
    """Arrays in plotly's binary form, rounded so that they compress; without the template, which scenes do not use."""
    if isinstance(value, dict):
        return {k: _small(v) for k, v in value.items() if k != "template"}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.size:
        value = _narrow(value)
        shape = {"shape": ", ".join(map(str, value.shape))} if value.ndim > 1 else {}
        return {"dtype": f"{value.dtype.kind}{value.dtype.itemsize}", **shape,
                "bdata": base64.b64encode(value.tobytes()).decode()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_small(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _narrow(value: np.ndarray) -> np.ndarray:
    if value.dtype.kind == "f":
        return np.round(value.astype(np.float32), DIGITS)
    small = value.min() >= 0 and value.max() < 2**16  # corners of triangles nearly always are
    return value.astype(np.uint16 if small else np.int32)
