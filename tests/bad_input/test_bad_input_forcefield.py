"""Bad input to the rMD17 task, the force field and the calculator: refused by name, with the repair."""

import re

import numpy as np
import pytest
import torch

from ponita_edu import cli
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.nn.forcefield import ForceField, molecules, one_hot, shift_and_scale
from ponita_edu.nn.frozen import FrozenField
from ponita_edu.tasks import md17
from ponita_edu.tasks.md17_config import Md17Model
from ponita_edu.tasks.nbody import build as build_nbody
from ponita_edu.tasks.nbody_config import NBodyModel

TINY = Md17Model(hidden=8, layers=1, basis=8, widening=2, grid="octahedron", elements="1 8")


def save(path, numbers=(8, 1, 1), frames=6, **changes):
    rng = np.random.default_rng(0)
    shape = (frames, len(numbers), 3)
    arrays = {"nuclear_charges": np.array(numbers, dtype=np.uint8), "energies": rng.normal(size=frames),
              "coords": rng.normal(size=shape), "forces": rng.normal(size=shape)}
    np.savez(path, **{**arrays, **changes})
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("md17")
    options = {"data.train": 3, "data.val": 2, "train.batch_size": 1, "train.epochs": 1, "model.hidden": 8,
               "model.layers": 1, "model.basis": 8, "model.grid": "octahedron", "train.devices": 1,
               "train.strategy": "auto"}
    assert cli.main(["train", "md17", "--data", save(folder / "a.npz"), "--out", str(folder / "run"),
                     *(f"--{k}={v}" for k, v in options.items())]) == 0
    return folder / "run"


def message(capsys, *argv):
    capsys.readouterr()
    assert cli.main([str(a) for a in argv]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--data", "nowhere.npz"], r"nowhere.npz.* cannot be read"),
        (["--data.split", "published"], "published has 950 training and 50 validation frames, but train is 3"),
        (["--data.split", "published", "--data.train", "950", "--data.val", "50"], "count must be over 99,900 frames"),
        (["--data.split", "paper"], "split 'paper' is not known"),
        (["--data.train", "5"], "must be at most the 6 frames there are"),
        (["--data.train", "0"], "data.train must be at least 1, but is 0"),
        (["--model.method", "pnita"], "method 'pnita' is not known"),
        (["--model.elements", "H C"], "elements must be atomic numbers with spaces between, but is 'H C'"),
        (["--model.elements", "1 6"], r"elements \[8\].*no column among \[1, 6\]"),
        (["--model.cutoff", "0"], "cutoff must be above 0"),
        (["--train.precision", "bf16-mixed"], "bf16-mixed is too coarse for forces"),
        (["--train.batch_size", "4"], "train.batch_size must be at most data.train, 3, but is 4"),
        (["--protocol.turns", "0"], "turns must be at least 1"),
    ],
)
def test_train_refuses(options, expected, tmp_path, capsys):
    options = ["--data", save(tmp_path / "a.npz"), "--data.train", "3", "--data.val", "2", "--train.batch_size", "2",
               "--train.devices", "1", "--train.strategy", "auto", *options]
    err = message(capsys, "train", "md17", "--out", tmp_path / "run", *options)
    assert len(err) > 20
    assert re.search(expected, err), err


def test_nbody_has_no_file_to_train_on(tmp_path, capsys):
    assert "data.source is not a setting" in message(capsys, "train", "nbody", "--data", "a.npz", "--out", tmp_path)


def test_evaluate_refuses_other_elements(trained, tmp_path, capsys):
    assert cli.main(["evaluate", str(trained), "--data", save(tmp_path / "same.npz", numbers=(1, 8))]) == 0
    err = message(capsys, "evaluate", trained, "--data", save(tmp_path / "other.npz", numbers=(8, 6, 1)))
    assert "the molecule has elements [6]" in err and "trained on [1, 8]" in err
    err = message(capsys, "evaluate", trained, "--data", save(tmp_path / "nan.npz", energies=np.full(6, np.nan)))
    assert "energies must be finite" in err


def test_force_field_refuses():
    network = torch.nn.Linear(1, 1)
    for elements in ([], [1, 1], [0, 1]):
        with pytest.raises(ValueError, match="elements must be distinct atomic numbers"):
            ForceField(network, elements)
    with pytest.raises(ValueError, match="forces must not all be 0"):
        shift_and_scale(torch.zeros(2).double(), torch.zeros(2, 3, 3).double())
    with pytest.raises(ValueError, match=r"elements \[7\].*no column among \[1, 8\]"):
        one_hot(torch.tensor([1, 7]), torch.tensor([1, 8]))


def test_calculator_refuses(trained, tmp_path):
    ase = pytest.importorskip("ase")
    from ponita_edu.molecules.calculator import PonitaCalculator, dynamics, vibrations
    from ponita_edu.tasks import checkpoint
    from ponita_edu.tasks.nbody_config import NBodySettings
    from ponita_edu.tasks.settings import to_dict

    with pytest.raises(ValueError, match="does not exist"):
        PonitaCalculator(tmp_path / "none")
    model = NBodyModel(hidden=8, layers=1, basis=8)
    info = {"task": "nbody", "settings": to_dict(NBodySettings(model=model)), "step": 0}
    checkpoint.write(tmp_path / "nbody", build_nbody(model).state_dict(), info)
    with pytest.raises(ValueError, match=r"must be of a force field, but .* is of the task nbody"):
        PonitaCalculator(tmp_path / "nbody")

    atoms = ase.Atoms("OHH", positions=[[0, 0, 0], [0.9, 0, 0], [0, 0.9, 0]], calculator=PonitaCalculator(trained))
    for name, value in (("ensemble", "npt"), ("ps", 0), ("fs", float("nan")), ("kelvin", -1)):
        with pytest.raises(ValueError, match=f"{name} must be"):
            dynamics(atoms, **{"ps": 0.01, name: value})
    (tmp_path / "vib").mkdir()
    (tmp_path / "vib" / "cache.eq.json").write_text("{}")
    with pytest.raises(ValueError, match="holds files"):
        vibrations(atoms, tmp_path / "vib")
    atoms.set_cell([9, 9, 9])
    atoms.pbc = True
    with pytest.raises(ValueError, match=r"cutoff must be a distance.*None.*pbc"):
        atoms.get_potential_energy()
    with pytest.raises(ValueError, match="stress needs a cell"):
        atoms.calc.field.stress(molecules(torch.zeros(1, 3), torch.ones(1, 2), torch.zeros(1, dtype=torch.long), None))
    with pytest.raises(ValueError, match=r"elements \[6\]"):
        ase.Atoms("CH", positions=[[0, 0, 0], [1, 0, 0]], calculator=PonitaCalculator(trained)).get_forces()


def test_explosion_is_an_error():
    ase = pytest.importorskip("ase")
    from ponita_edu.molecules.calculator import PonitaCalculator, dynamics

    field = md17.build(TINY, seed=0)
    field.normalise(0.0, 1e6, torch.tensor([1, 8]))
    atoms = ase.Atoms("OHH", positions=[[0, 0, 0], [0.9, 0, 0], [0, 0.9, 0]], calculator=PonitaCalculator(field))
    with pytest.raises(ValueError, match="the molecule has exploded after"):
        dynamics(atoms, ps=0.1, fs=1.0)


def test_drift_of_a_single_frame_is_refused():
    pytest.importorskip("ase")
    from ponita_edu.molecules.calculator import Run, drift

    one = Run(np.zeros(1), np.zeros((1, 2, 3)), np.zeros((1, 2, 3)), np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="run must have at least two frames, but has 1"):
        drift(one)


def frozen_with(how=None, **config):
    network = Ponita(PonitaConfig(**dict(scalars_in=2, hidden=4, basis=4, layers=1, level="graph") | config), seed=0)
    return lambda: FrozenField(ForceField(network, [1, 8]), **{"longest": 3.0} | (how or {}))


NO_TABLES = {
    "another network": (lambda: FrozenField(ForceField(torch.nn.Linear(1, 1), [1, 8])), r"Ponita network.*a Linear"),
    "a full convolution": (frozen_with(conv="full"), r"tables are for separable .*conv 'full'"),
    "lifted edges": (frozen_with(space="edges"), r"tables are for .*space 'edges'"),
    "conditioning": (frozen_with(conditioning=True), r"tables are for .*conditioning True"),
    "a band limit": (frozen_with(band_limit=1), r"tables are for .*band_limit 1"),
    "vectors": (frozen_with(vectors_out=1), r"one energy for each graph.*1 vectors"),
    "nodes": (frozen_with(level="node"), r"one energy for each graph.*each node"),
    "no distance": (frozen_with(dict(longest=None)), r"longest must be a positive.*None.*largest distance"),
    "distance 0": (frozen_with(dict(longest=0)), r"longest must be a positive, finite number, but is 0"),
    "distance nan": (frozen_with(dict(longest=float("nan"))), r"longest must be a positive, finite.*nan"),
    "spacing": (frozen_with(dict(spacing=-0.1)), r"spacing must be a positive, finite number, but is -0\.1"),
    "tolerance": (frozen_with(dict(tolerance=True)), r"tolerance must be a positive, finite number, but is True"),
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_tables_refuse(name):
    make, expected = NO_TABLES[name]
    with pytest.raises(ValueError, match=expected):
        make()


def test_tables_refuse_what_lies_beyond_them_and_second_derivatives():
    field = frozen_with(space="positions")()
    near, far = (molecules(torch.tensor([[0.0, 0, 0], [z, 0, 0]]), torch.eye(2), torch.zeros(2, dtype=torch.long), None)
                 for z in (2.99, 3.01))
    assert field.energy_and_forces(near)[1].isfinite().all()
    with pytest.raises(ValueError, match=r"distance of 3\.01 Å, but the tables of this field end at 3 Å.*longest"):
        field.energy_and_forces(far)
    with pytest.raises(ValueError, match="create_graph must be False"):
        field(near, create_graph=True)
