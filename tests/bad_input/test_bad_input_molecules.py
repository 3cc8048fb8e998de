"""Wrong molecules and files get an error that names what is wrong and the repair; nothing is overwritten."""

import builtins
import re

import numpy as np
import pytest

from ponita_edu.data.packed import pack
from ponita_edu.molecules.export import write_molecules
from ponita_edu.molecules.predict import from_smiles
from ponita_edu.molecules.stability import bond_orders, stability
from ponita_edu.molecules.validity import validity

NUMBERS, POS, ALL = np.array([8, 1, 1]), np.array([[0, 0, 0], [0, 0, 0.96], [0, 0.96, 0]]), np.array([0, 3])


@pytest.mark.parametrize("numbers, pos, message", [
    (np.array([14, 1, 1]), POS, r"numbers must be .*1, 6, 7, 8, 9.*hold \[14\].*leave such"),
    (np.array([-1, 1, 1]), POS, r"numbers must be .*hold \[-1\]"),
    (NUMBERS[:2], POS, r"shapes are \[2\].*\[3, 3\]"),
    (NUMBERS.astype(float), POS, r"whole numbers.*float64"),
    (NUMBERS, POS * np.nan, r"pos must be finite.*count them"),
])
def test_bad_molecules_are_refused(numbers, pos, message):
    with pytest.raises(ValueError, match=message):
        bond_orders(numbers, pos)
    with pytest.raises(ValueError, match=message):
        stability(numbers, pos, ALL)


@pytest.mark.parametrize("offsets", [[0], [0, 2], [1, 3], [0, 2, 2, 3], [0, 2, 1, 3], [0.0, 3.0], [[0, 3]]])
def test_bad_offsets_are_refused(offsets):
    for measure in (stability, validity):
        with pytest.raises(ValueError, match=r"offsets must .*from 0 to the number of atoms, 3.*\[0, 3\]"):
            measure(NUMBERS, POS, np.array(offsets))


def test_files_are_not_overwritten_silently(tmp_path):
    path = tmp_path / "water.xyz"
    write_molecules(path, NUMBERS, POS, ALL)
    before = path.read_text()
    with pytest.raises(ValueError, match=r"water.xyz exists already.*another name"):
        write_molecules(path, NUMBERS, 2 * POS, ALL)
    assert path.read_text() == before
    write_molecules(path, NUMBERS, 2 * POS, ALL, overwrite=True)
    assert path.read_text() != before and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match=r"must be a file name ending in .sdf or .xyz in .*, but is .*water\.pdb'"):
        write_molecules(tmp_path / "water.pdb", NUMBERS, POS, ALL)
    with pytest.raises(ValueError, match=r"in a folder that exists, but is .*water.xyz'. Create the folder"):
        write_molecules(tmp_path / "no" / "water.xyz", NUMBERS, POS, ALL)


def test_validity_without_rdkit_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def fake(name, *args, **kwargs):
        if name == "rdkit":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(ImportError, match=r"pip install 'ponita_edu\[chem\]'"):
        validity(NUMBERS, POS, ALL)


@pytest.mark.parametrize("numbers, pos, message", [
    (np.array([14, 1, 1]), POS, r"numbers must be .*1, 6, 7, 8, 9.*hold \[14\]"),
    (NUMBERS, POS * np.nan, "pos must be finite"),
    (NUMBERS, np.full((3, 3), np.inf), "pos must be finite"),
])
def test_bad_molecules_are_not_packed(numbers, pos, message):
    for graph in ("complete", "cutoff", "bonds"):
        with pytest.raises(ValueError, match=message):
            pack(numbers, pos, np.array([3]), graph)


@pytest.mark.parametrize("smiles", ["", "C1CC", "water", "C(C)(C)(C)(C)C"])
def test_what_is_no_smiles_is_refused(smiles):
    pytest.importorskip("rdkit")
    with pytest.raises(ValueError, match=f"{re.escape(repr(smiles))} is no SMILES to RDKit. For a file give its path"):
        from_smiles(smiles)
