"""What cannot be recorded is refused."""

import pytest

pytest.importorskip("py3Dmol", reason="py3Dmol is not installed (course extra)")

import ipywidgets

from ponita_edu.viz.record import record


def test_other_widgets_are_refused():
    with pytest.raises(TypeError, match="an Explorer or a MoleculeViewer, but is of type Label"):
        record(ipywidgets.Label("x"))
