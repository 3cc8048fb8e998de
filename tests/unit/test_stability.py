"""Bonds, stability and validity against values of EDM's own code, and by hand; files; controls that must fail.

The small fixture (40 molecules of QM9, CC0) is cut from the recorded 500 in ../shared; it works without them.
"""

from pathlib import Path

import numpy as np
import pytest

from ponita_edu.molecules import stability as st
from ponita_edu.molecules.export import write_molecules

HERE = Path(__file__).resolve()
REFERENCE = HERE.parents[2] / "../shared/reference/qm9/stability_reference.npz"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_file(), reason="the recorded molecules are not here (../shared/reference/qm9 beside the checkout)")
METHANE = np.array([6, 1, 1, 1, 1]), 1.09 / 3**0.5 * np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1],
                                                               [-1, -1, 1.0]])


@pytest.fixture(scope="module")
def small():
    with np.load(HERE.parents[1] / "data/stability_fixture.npz", allow_pickle=False) as file:
        return {**file, "numbers": file["numbers"].astype(np.int64), "offsets": file["offsets"].astype(np.int64)}


@pytest.fixture(scope="module")
def recorded():
    with np.load(REFERENCE, allow_pickle=False) as file:
        return {**file, "numbers": file["atomic_numbers"].astype(np.int64)}


def stable_atoms(found: st.Stability, offsets: np.ndarray) -> np.ndarray:
    return np.add.reduceat(found.atoms.astype(np.int64), offsets[:-1])


def test_stability_equals_the_recorded_values(small):
    found = st.stability(small["numbers"], small["pos"], small["offsets"])
    np.testing.assert_array_equal(found.valence, small["valence"])
    np.testing.assert_array_equal(found.molecules, small["stable"])
    for sigma in ("0.05", "0.2"):
        moved = small["pos"] + float(sigma) * small["noise_unit"].astype(np.float64)
        noisy = st.stability(small["numbers"], moved, small["offsets"])
        np.testing.assert_array_equal(stable_atoms(noisy, small["offsets"]), small[f"stable_atoms_{sigma}"])


def test_validity_and_smiles_equal_the_recorded_values(small):
    pytest.importorskip("rdkit", reason="validity needs RDKit")
    from ponita_edu.molecules.validity import validity

    found = validity(small["numbers"], small["pos"], small["offsets"])
    assert [s or "" for s in found.smiles] == small["smiles"].tolist()
    assert found.valid == 28 / 40 and found.valid_and_unique == len(found.distinct) / 40
    assert found.novel(found.distinct) == 0 and found.novel([]) == 1
    for sigma in ("0.05", "0.2"):
        moved = small["pos"] + float(sigma) * small["noise_unit"].astype(np.float64)
        noisy = validity(small["numbers"], moved, small["offsets"])
        assert [s or "" for s in noisy.smiles] == small[f"smiles_{sigma}"].tolist()
        assert list(noisy.fragments) == small[f"fragments_{sigma}"].tolist()


@needs_reference
@pytest.mark.parametrize("sigma", [None, "0.02", "0.05", "0.1", "0.2", "0.5"])
def test_all_500_recorded_molecules_match_at_every_noise_level(recorded, sigma):
    pytest.importorskip("rdkit", reason="validity needs RDKit")
    from ponita_edu.molecules.validity import validity

    names = {n: n if sigma is None else f"noisy_{n}_{sigma}" for n in ("n_stable_atoms", "mol_stable", "smiles",
                                                                      "n_fragments")}
    pos = recorded["pos"] + (0 if sigma is None else float(sigma) * recorded["noise_unit"])
    molecules = recorded["numbers"], pos, recorded["offsets"]
    found, chemical = st.stability(*molecules), validity(*molecules)
    np.testing.assert_array_equal(stable_atoms(found, recorded["offsets"]), recorded[names["n_stable_atoms"]])
    np.testing.assert_array_equal(found.molecules, recorded[names["mol_stable"]])
    assert [s or "" for s in chemical.smiles] == recorded[names["smiles"]].tolist()
    assert list(chemical.fragments) == recorded[names["n_fragments"]].tolist()
    if sigma is None:
        np.testing.assert_array_equal(found.valence, recorded["valence"])


def test_bond_orders_of_methane_are_single_bonds_from_the_carbon():
    expected = np.zeros((5, 5))
    expected[0, 1:] = expected[1:, 0] = 1
    np.testing.assert_array_equal(st.bond_orders(*METHANE), expected)


@pytest.mark.parametrize("pair, thresholds", [
    ((6, 6), (164, 139, 123)), ((6, 7), (157, 134, 119)), ((6, 8), (153, 125, 116)), ((7, 7), (155, 130, 113)),
    ((7, 8), (150, 126)), ((8, 8), (158, 126)), ((6, 1), (119,)), ((7, 1), (111,)), ((8, 1), (106,)), ((9, 1), (102,)),
    ((6, 9), (145,)), ((7, 9), (146,)), ((8, 9), (152,)), ((9, 9), (152,)), ((1, 1), (84,)),
])
def test_bond_orders_change_at_the_thresholds(pair, thresholds):
    def order(pm: float) -> int:
        return st.bond_orders(np.array(pair), np.array([[0, 0, 0], [0, 0, pm / 100]]))[0, 1]

    assert order(0) == len(thresholds)  # no distance is too short
    for k, longest in enumerate(thresholds, start=1):
        assert order(longest - 1e-6) == k and order(longest + 1e-6) == k - 1


def test_stability_pools_atoms_and_does_not_average_molecules():
    """Methane and water without one hydrogen: 6 of 7 atoms are stable, a mean of fractions would be 3/4."""
    water = np.array([[0, 0, 0], [0, 0, 0.96]])
    numbers, pos = np.concatenate((METHANE[0], [8, 1])), np.concatenate((METHANE[1], water))
    found = st.stability(numbers, pos, np.array([0, 5, 7]))
    assert found.atom_fraction == 6 / 7 and found.molecule_fraction == 1 / 2
    assert found.molecules.tolist() == [True, False]


def test_stability_does_not_depend_on_the_batch_or_the_frame(small, monkeypatch):
    whole = st.stability(small["numbers"], small["pos"], small["offsets"])
    monkeypatch.setattr(st, "_CHUNK", 500)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    again = st.stability(small["numbers"], small["pos"] @ turn.T + 5, small["offsets"])
    np.testing.assert_array_equal(whole.valence, again.valence)
    far = st.stability(small["numbers"], 1.1 * small["pos"], small["offsets"])  # control: longer bonds
    assert far.atom_fraction < 0.5 < whole.atom_fraction


def test_files_hold_the_molecules(tmp_path, small):
    Chem = pytest.importorskip("rdkit.Chem", reason="SDF needs RDKit")
    offsets = small["offsets"]
    for name in ("a.sdf", "a.xyz"):
        write_molecules(tmp_path / name, small["numbers"], small["pos"], offsets)
    read = list(Chem.SDMolSupplier(str(tmp_path / "a.sdf"), sanitize=False, removeHs=False))
    assert len(read) == 40
    for k, molecule in enumerate(read):
        part = slice(offsets[k], offsets[k + 1])
        assert [a.GetAtomicNum() for a in molecule.GetAtoms()] == small["numbers"][part].tolist()
        np.testing.assert_allclose(molecule.GetConformer().GetPositions(), small["pos"][part], atol=5.1e-5)
        orders = Chem.GetAdjacencyMatrix(molecule, useBO=True)
        np.testing.assert_array_equal(orders, st.bond_orders(small["numbers"][part], small["pos"][part]))
    rows = [line.split() for line in (tmp_path / "a.xyz").read_text().splitlines()]
    pos = np.array([[float(x) for x in row[1:]] for row in rows if len(row) == 4])
    np.testing.assert_array_equal(pos, small["pos"])
    assert [row[0] for row in rows if len(row) == 4] == [st.SYMBOLS[z] for z in small["numbers"].tolist()]
