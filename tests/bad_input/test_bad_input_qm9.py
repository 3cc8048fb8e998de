"""Bad input to the QM9 data and task is refused with the argument, what came, what was expected and the repair."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

import ponita_edu
from ponita_edu.data import qm9, qm9_csv
from ponita_edu.molecules.predict import predict, read_xyz
from ponita_edu.tasks import checkpoint
from ponita_edu.tasks import qm9 as qm9_task
from ponita_edu.tasks.qm9_config import PRESETS
from ponita_edu.tasks.settings import replaced, to_dict


def test_missing_package_is_named_with_the_repair(tmp_path, monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(qm9_csv, "distribution", absent)
    with pytest.raises(ValueError, match=r"qm9pack, which is not installed.*pip install 'ponita_edu\[chem\]'"):
        qm9.load_qm9(tmp_path)


def test_missing_files_are_named(tmp_path, monkeypatch):
    class Empty:
        def locate_file(self, name):
            return tmp_path

    monkeypatch.setattr(qm9_csv, "distribution", lambda name: Empty())
    with pytest.raises(ValueError, match=r"lacks qm9_part1.csv, qm9_part2.csv.*anew"):
        qm9.load_qm9(tmp_path)


def test_data_dir_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="data_dir must be a folder"):
        qm9.load_qm9(tmp_path / "file")


def test_unknown_split():
    with pytest.raises(ValueError, match="name must be 'dimenet' or 'edm', but is 'random'"):
        qm9.load_subset().splits("random")


# ------------------------------------------------------------------------------------------------- settings and files
@pytest.mark.parametrize("changes, words", [
    ({"data.target": "U0_atoms"}, "target 'U0_atoms' is not known; did you mean U0_atom[?] Known: mu, alpha"),
    ({"model.output": "norm"}, "model.output norm is never negative, which suits mu only, but data.target is U0_atom"),
    ({"model.output": "norm", "data.target": "mu", "model.method": "positions"}, "needs vectors.*Use ponita or edges"),
    ({"model.cutoff": 0}, "cutoff must be above 0"),
    ({"data.train": 110_001}, "train must be at least 1 and at most 110000"),
    ({"data.train": 10}, "train.batch_size must be at most data.train, 10"),
])
def test_settings_that_make_no_sense(changes, words):
    with pytest.raises(ValueError, match=words):
        replaced(PRESETS["quick"], changes)


def test_file_to_evaluate_on(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        qm9_task.task_on(tmp_path / "none.npz", PRESETS["quick"])
    np.savez(tmp_path / "a.npz", numbers=np.array([1, 1]), pos=np.zeros((2, 3)), sizes=np.array([2]))
    with pytest.raises(ValueError, match="lacks U0_atom; it needs numbers, pos, sizes, U0_atom"):
        qm9_task.task_on(tmp_path / "a.npz", PRESETS["quick"])
    np.savez(tmp_path / "b.npz", numbers=np.array([1, 1]), pos=np.zeros((2, 3)), sizes=np.array([3]),
             U0_atom=np.zeros(1))
    with pytest.raises(ValueError, match="as many atoms as sizes adds up to"):
        qm9_task.task_on(tmp_path / "b.npz", PRESETS["quick"])


@pytest.mark.parametrize("changes, words", [
    ({"sizes": np.array([1, 2, 0])}, r"sizes in the data file .* whole numbers of atoms, each at least 1.*\[1, 2, 0\]"),
    ({"sizes": np.array([4, -1])}, "each at least 1"),
    ({"sizes": np.array([1.5, 1.5])}, r"whole numbers of atoms.*\[1.5, 1.5\].*Count the atoms"),
    ({"sizes": np.zeros(0, np.int64)}, "each at least 1 and one a molecule"),
    ({"numbers": np.array(1)}, "as many atoms as sizes adds up to"),
    ({"U0_atom": np.zeros((2, 1))}, r"a target for each size.*targets of shape \[2, 1\]"),  # would be broadcast
    ({"U0_atom": np.array([np.nan, 1])}, "U0_atom in the data file .* must be finite real numbers.*nan.*Leave out"),
    ({"U0_atom": np.array(["a", "b"])}, "must be finite real numbers"),
    ({"U0_atom": np.array([1j, 2])}, "must be finite real numbers"),
])
def test_file_whose_sizes_or_targets_are_impossible(tmp_path, changes, words):
    arrays = {"numbers": np.array([1, 1, 1]), "pos": np.eye(3), "sizes": np.array([1, 2]), "U0_atom": np.zeros(2)}
    np.savez(tmp_path / "good.npz", **arrays)
    assert qm9_task.task_on(tmp_path / "good.npz", PRESETS["quick"]).size("test") == 2
    np.savez(tmp_path / "bad.npz", **arrays | changes)
    with pytest.raises(ValueError, match=words):
        qm9_task.task_on(tmp_path / "bad.npz", PRESETS["quick"])


# ------------------------------------------------------------------------------------------------- own molecules
@pytest.fixture(scope="module")
def checkpoint_of_qm9(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qm9") / "model"
    s = replaced(PRESETS["quick"], {"model.hidden": 4, "model.basis": 4, "model.layers": 1})
    checkpoint.write(folder, qm9_task.build(s.model).state_dict(), {"task": "qm9", "settings": to_dict(s)})
    return folder


@pytest.mark.parametrize("molecules, words", [
    ([], "at least one molecule, but is empty"),
    ([(("C", "Cl"), np.zeros((2, 3)))], "must consist of H, C, N, O, F.*number 0 has the symbols 'CCl'"),
    ([(("C", "H"), np.zeros((3, 3)))], r"positions of shape \[3, 3\]"),
    (["C1CC"], "'C1CC' is no SMILES to RDKit"),
    (["molecule.xyz"], "For a file give its path alone"),
    ("none.xyz", "none.xyz cannot be read: No such file.*Give an .xyz file, or a list of SMILES"),
])
def test_molecules_that_cannot_be_predicted(checkpoint_of_qm9, molecules, words):
    pytest.importorskip("rdkit")
    with pytest.raises(ValueError, match=words):
        predict(checkpoint_of_qm9, molecules)


@pytest.mark.parametrize("text, line", [
    ("3\n\nH 0 0 0\nH 0 0 1\n", 1), ("hello\n", 1), ("1\n\nH 0 x 0\n", 3), ("1\n\nH 0 nan 0\n", 3),
    ("1\n\nH 0 0 0\n\n2\n\nH 0 inf 0\nH 0 0 1\n", 7),
    ("1\nenergy=1 Properties=species:S:1:forces:R:3:pos:R:3\nH 1 2 3 0 0 0\n", 1),
])
def test_xyz_file_at_fault(tmp_path, text, line):
    (tmp_path / "bad.xyz").write_text(text)
    with pytest.raises(ValueError, match=rf"is no .xyz file at line {line} \("):
        read_xyz(tmp_path / "bad.xyz")


def test_checkpoint_of_another_task():
    with pytest.raises(ValueError, match=r"must be of the task qm9, but .* is of nbody"):
        predict(Path(ponita_edu.__file__).parent / "assets/checkpoints/nbody_quick", ["C"])
