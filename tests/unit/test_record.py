"""What a page without Python can show of a widget."""

import base64
import json

import numpy as np
import pytest

pytest.importorskip("py3Dmol", reason="py3Dmol is not installed (course extra)")

from ponita_edu.viz.pairs import PairExplorer
from ponita_edu.viz.record import DIGITS, record, records
from ponita_edu.viz.viewer import molecule_view


def numbers(value):
    """A value of a record as plotly.js reads it."""
    return np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"]) if "bdata" in value else value


def test_record_holds_the_picture_to_its_digits():
    widget = PairExplorer()
    widget.x.value = 0.4
    kept = json.loads(json.dumps(record(widget)))
    shown = widget.scene().plotly()
    assert kept["text"] == repr(widget) and kept["alt"] == widget.scene().alt and kept["report"] == widget.report()
    traces = kept["pictures"][0]["data"]
    assert [t["type"] for t in traces] == [t.type for t in shown.data]
    for old, new in zip(shown.data, traces, strict=True):
        for key in set("xyzijk") & set(new):
            np.testing.assert_allclose(numbers(new[key]), old[key], atol=0.51 * 10.0**-DIGITS)
    widget.x.value = 0.9
    assert json.loads(json.dumps(record(widget)))["pictures"] != kept["pictures"]  # a control that moves shows


def test_record_of_molecules_holds_what_their_viewer_reads():
    water = np.array([8, 1, 1]), np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.0, -0.76, -0.47]])
    view = molecule_view(*water, np.array([0, 3]), "one water molecule")
    kept = record(view)
    assert kept["kind"] == "3dmol"
    assert {name: kept[name] for name in ("script", "shape", "labels", "linked", "alt")} == {
        name: getattr(view, name) for name in ("script", "shape", "labels", "linked", "alt")}


def test_records_are_named_as_outputs_name_widgets():
    widget = PairExplorer()
    assert json.loads(records())[widget.model_id]["text"] == repr(widget)
