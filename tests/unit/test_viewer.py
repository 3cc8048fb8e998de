"""Molecules to turn with the mouse: what is sent to the page."""

import base64
import json
import re

import numpy as np
import pytest

pytest.importorskip("py3Dmol", reason="py3Dmol is not installed (course extra)")

from ponita_edu.viz import theme
from ponita_edu.viz.viewer import ASSETS, library, molecule_view

WATER = np.array([8, 1, 1]), np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.0, -0.76, -0.47]])
NUMBERS = np.concatenate([WATER[0], WATER[0][:2]])  # water, and OH, whose oxygen lacks a bond
POS = np.concatenate([WATER[1], WATER[1][:2]])
OFFSETS = np.array([0, 3, 5])


def test_each_molecule_goes_to_its_own_place_with_its_atoms():
    view = molecule_view(NUMBERS, POS, OFFSETS, "water and a radical", columns=1)
    assert (view.shape, view.labels, view.alt) == ([2, 1], ["H2O", "HO"], "water and a radical")
    added = [json.loads(text) for text in re.findall(r'addModel\(("(?:[^"\\]|\\.)*")', view.script)]
    assert [len(text.split("\n")) - 3 for text in added] == [3, 2]
    assert "viewergrid_UNIQUEID[1][0].addModel" in view.script


def test_halo_marks_atoms_without_their_valence_only():
    assert theme.PURPLE not in molecule_view(*WATER, np.array([0, 3]), "water").script
    view = molecule_view(NUMBERS, POS, OFFSETS, "water and a radical")
    spheres = re.findall(r"viewergrid_UNIQUEID\[0\]\[(\d)\]\.addSphere\((.*?)\);", view.script)
    assert [place for place, _ in spheres] == ["1"] and '"z": 0.12' in spheres[0][1]


def test_still_picture_and_library_are_at_hand():
    view = molecule_view(*WATER, np.array([0, 3]), "water")
    assert base64.b64decode(view.picture.partition(",")[2]).startswith(b"\x89PNG")
    sent = []
    view.send = sent.append
    view._handle_custom_msg({"want": "something else"}, [])
    assert sent == []
    view._handle_custom_msg({"want": "library"}, [])
    assert sent == [{"library": library()}] and library().startswith("/*! For license information please see 3Dmol.")
    assert "BSD-3-Clause" in (ASSETS / "3dmol" / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize(("changes", "message"), [
    (dict(offsets=np.array([0])), r"offsets must run from 0 to the number of atoms, 5"),
    (dict(offsets=np.array([0, 3])), r"offsets must run from 0 .* offsets are"),
    (dict(labels=["one"]), r"labels must be one for each of the 2 molecules, but are 1"),
    (dict(columns=0), r"columns must be at least 1, but is 0"),
])
def test_bad_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        molecule_view(**dict(numbers=NUMBERS, pos=POS, offsets=OFFSETS, alt="two") | changes)
