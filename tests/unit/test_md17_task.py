"""The rMD17 task: targets, loss and errors by hand, averaging over rotations, the command line on files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ponita_edu import cli
from ponita_edu.data.md17 import KCAL_PER_EV, Frames
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.tasks import md17, task
from ponita_edu.tasks.md17_config import PRESETS, Md17Data, Md17Model, Md17Protocol, Md17Settings
from ponita_edu.tasks.run import load_model
from ponita_edu.tasks.settings import differences, read_yaml, replaced

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "ponita_edu/assets/checkpoints/md17_ethanol"
ETHANOL = ROOT / "../shared/data/rmd17_ethanol_1000.npz"

TINY = Md17Model(hidden=8, layers=2, basis=8, widening=2, grid="octahedron", elements="1 6 8")
SETTINGS = Md17Settings(data=Md17Data(split="rows", train=8, val=3), model=TINY,
                        train=replace(PRESETS["paper"].train, batch_size=4))
NUMBERS = np.array([8, 6, 1, 1])


def arrays(frames=14, seed=1):
    """A molecule of springs: energies and forces that belong together, of the size that total energies have."""
    rng = np.random.default_rng(seed)
    rest = np.array([[0.0, 0, 0], [1.2, 0, 0], [1.8, 0.9, 0], [1.8, -0.9, 0]])
    pos = torch.tensor(rest + 0.08 * rng.normal(size=(frames, 4, 3)), requires_grad=True)
    i, j = np.triu_indices(4, 1)
    length = np.linalg.norm(rest[i] - rest[j], axis=1)
    energy = 400 * ((pos[:, i] - pos[:, j]).norm(dim=-1) - torch.tensor(length)).square().sum(1)
    forces = -torch.autograd.grad(energy.sum(), pos)[0]
    return {"nuclear_charges": NUMBERS.astype(np.uint8), "coords": pos.detach().numpy(),
            "energies": energy.detach().numpy() - 97_000.0, "forces": forces.numpy()}


def frames_of(a):
    numbers, *rest = (torch.from_numpy(a[k]) for k in ("nuclear_charges", "coords", "energies", "forces"))
    return Frames(numbers.long(), *rest, "springs")


def make(settings=SETTINGS, dtype=torch.float64):
    rows = md17.shares(settings.data, 14)
    whole = md17.Md17Task(frames_of(arrays()), dict(zip(("train", "val", "test"), rows, strict=True)), settings)
    whole = whole.to(torch.device("cpu"), dtype)
    network = md17.build(settings.model, seed=0).to(dtype)
    whole.prepare(network, whole.graphs("train", torch.arange(4)))
    return whole, network


def test_targets_are_shifted_and_scaled_in_float64():
    whole, network = make(dtype=torch.float32)
    a = arrays()
    energy, forces = a["energies"] / KCAL_PER_EV, a["forces"] / KCAL_PER_EV
    shift, scale = energy[:8].mean(), np.sqrt((forces[:8] ** 2).mean())
    assert float(network.shift) == pytest.approx(shift, rel=1e-14)
    assert float(network.scale) == pytest.approx(scale, rel=1e-12)
    graphs = whole.graphs("val", torch.tensor([2, 0]))
    expected = (energy[[10, 8]] - shift) / scale
    assert np.abs(graphs.y["energy"].numpy() - expected).max() < 1e-6
    assert np.abs(graphs.y_vec["forces"].numpy().reshape(2, 4, 3) - forces[[10, 8]] / scale).max() < 1e-6
    # control: cast before the shift, as the published pipeline does it, loses digits
    early = (energy.astype(np.float32) - np.float32(shift))[[10, 8]] / scale
    assert np.abs(early - expected).max() > 1e-5
    assert network.trained.tolist() == [True, True, True]


def test_loss_and_errors_are_those_of_the_protocol():
    whole, network = make()
    graphs = whole.graphs("train", torch.tensor([1, 5, 6]))
    energy, forces = network(graphs)
    by_hand = ((energy - graphs.y["energy"]) ** 2).mean() / 500 + ((forces - graphs.y_vec["forces"]) ** 2).mean()
    assert whole.loss(network, graphs, torch.Generator()).item() == pytest.approx(float(by_hand), rel=1e-12)
    e, f = network.energy_and_forces(graphs)
    a, rows = arrays(), [1, 5, 6]
    errors = whole.errors(network, graphs)
    off = np.abs(f.numpy().reshape(3, 12) - a["forces"][rows].reshape(3, 12) / KCAL_PER_EV).mean(1) * 1000
    assert errors[md17.METRIC].numpy() == pytest.approx(off, rel=1e-10)
    off = np.abs(e.numpy() - a["energies"][rows] / KCAL_PER_EV) * 1000
    assert errors[md17.ENERGY].numpy() == pytest.approx(off, rel=1e-6)


def test_a_network_is_judged_on_other_data_by_total_energies_and_by_the_number_of_frames_asked_for(tmp_path):
    """Data with another mean than the network was trained on, of which two frames are the test."""
    settings = replace(SETTINGS, model=replace(TINY, method="positions"))
    _, network = make(settings)
    a = arrays(14, seed=2)
    a["energies"] += 5.0  # kcal/mol
    a["coords"] += 1000.0  # Å, far from the origin
    np.savez(tmp_path / "a.npz", **a)
    other = md17.load(replaced(settings, {"data.source": str(tmp_path / "a.npz"), "data.test": 2}))
    assert {name: other.size(name) for name in ("train", "val", "test")} == {"train": 8, "val": 3, "test": 2}
    graphs = other.graphs("test", torch.arange(2))
    assert graphs.pos.abs().max() < 3  # moved there, since float32 is fine near it
    off = network.energy_and_forces(graphs)[0].numpy() - a["energies"][11:13] / KCAL_PER_EV
    assert other.errors(network, graphs)[md17.ENERGY].numpy() == pytest.approx(1000 * np.abs(off), rel=1e-9)
    still = {"no forces": 1000 * np.abs(a["forces"][11:13] / KCAL_PER_EV).mean()}
    assert md17.baselines(other) == pytest.approx(still)
    other.frames = replace(other.frames, numbers=torch.tensor([8, 6, 1, 7]))
    with pytest.raises(ValueError, match=r"the molecule has elements \[7\] \(atomic numbers\), but"):
        other.errors(network, graphs)


def test_a_fresh_field_has_the_window_of_its_cutoff_and_is_calibrated_before_training():
    plain = md17.build(replace(TINY, cutoff=1.7), seed=0)
    assert plain.network.config.radius == plain.cutoff == 1.7
    assert md17.build(replace(TINY, method="egnn"), seed=0).network.config.distance_gain == 10
    whole, network = make()
    fresh, by_hand = (md17.build(TINY, seed=0).double() for _ in range(2))
    by_hand.network.calibrate(whole.graphs("train", torch.arange(4)))
    for name in ("spatial", "fiber"):
        a, b, c = (f.network.blocks[0].conv.get_submodule(name).kernel.weight for f in (network, by_hand, fresh))
        assert torch.equal(a, b) and not torch.allclose(a, c)


def test_the_picture_shows_forces_that_the_network_predicts(monkeypatch):
    pytest.importorskip("matplotlib", reason="the course extra is not installed")
    from ponita_edu.viz import plots

    whole, network = make()
    drawn = []
    monkeypatch.setattr(plots, "plot_forces", lambda *a: drawn.extend(a))
    md17.picture(whole, network, "train")
    truth, predicted, numbers = drawn
    np.testing.assert_allclose(truth, arrays()["forces"][:8].reshape(-1, 3) / KCAL_PER_EV, rtol=1e-12)
    wanted = network.energy_and_forces(whole.graphs("train", torch.arange(8)))[1]
    np.testing.assert_allclose(predicted, wanted, rtol=0, atol=1e-9)
    assert numbers.tolist() == NUMBERS.tolist() * 8


def test_test_predictions_are_means_over_rotations_turned_back():
    whole, network = make()
    graphs = whole.graphs("test", torch.arange(3))
    turns = graphs.y["turns"]
    assert turns.shape == (3, 5, 3, 3)
    predicted = []
    for k in range(5):
        _, f = network.energy_and_forces(task.turned(graphs, turns[:, k]))
        predicted.append(torch.einsum("gji,gaj->gai", turns[:, k], f.reshape(3, 4, 3)))
    mean, truth = torch.stack(predicted).mean(0), whole.forces[whole.splits["test"][:3]]
    errors = whole.errors(network, graphs)
    assert errors[md17.METRIC].numpy() == pytest.approx(1000 * (mean - truth).abs().mean((1, 2)).numpy(), rel=1e-9)
    one = 1000 * (predicted[0] - truth).abs().mean((1, 2))
    assert errors[f"one_turn_{md17.METRIC}"].numpy() == pytest.approx(one.numpy(), rel=1e-9)
    assert (errors[md17.METRIC] - one).abs().max() > 1e-3  # averaging does something to a bundle
    assert whole.test_work == 5 * whole.size("test")  # which the training loop leaves time for


def test_averaging_over_rotations_is_left_out_for_networks_that_gain_nothing():
    whole, network = make(replace(SETTINGS, model=replace(TINY, method="positions")))
    graphs = whole.graphs("test", torch.arange(3))
    assert whole.test_work == whole.size("test")
    assert set(graphs.y) == {"energy"} and set(whole.errors(network, graphs)) == {md17.METRIC, md17.ENERGY}
    turned = task.turned(graphs, random_rotations(3, seed=1))
    plain, after = (whole.errors(network, g) for g in (graphs, turned))
    assert after[md17.ENERGY].numpy() == pytest.approx(plain[md17.ENERGY].numpy(), rel=1e-7)
    # a mean over x, y, z of absolute errors depends on the axes, though the errors just turn
    assert not torch.allclose(after[md17.METRIC], plain[md17.METRIC], rtol=1e-3)
    lengths = [(network(g)[1] - g.y_vec["forces"]).norm(dim=-1) for g in (graphs, turned)]
    assert (lengths[0] - lengths[1]).abs().max() < 1e-9 * lengths[0].max()


def test_shares_are_rows_or_drawn_or_the_published():
    rows = md17.shares(Md17Data(split="rows", train=950, val=50), 1000)
    assert torch.equal(rows[0], torch.arange(950)) and torch.equal(rows[1], torch.arange(950, 1000))
    assert len(rows[2]) == 0
    drawn = md17.shares(Md17Data(split="random", train=9, val=3, seed=4), 20)
    assert sorted(torch.cat(drawn).tolist()) == list(range(20)) and drawn[0].tolist() != list(range(9))
    assert [len(p) for p in md17.shares(Md17Data(), 100_000)] == [950, 50, 99_000]


@pytest.mark.parametrize("cutoff", [None, 1.5])
def test_batches_have_the_right_neighbours_whatever_was_asked_for_before(cutoff):
    whole, network = make(replace(SETTINGS, model=replace(TINY, cutoff=cutoff)))
    first = whole.graphs("train", torch.arange(4))
    again = whole.graphs("train", torch.arange(4, 8))
    edges = len(first.source)
    assert edges == 4 * 16 if cutoff is None else edges < 4 * 16
    r = (again.pos[again.source] - again.pos[again.target]).norm(dim=-1)
    assert cutoff is None or r.max() <= cutoff
    assert whole.errors(network, again)[md17.METRIC].isfinite().all()


def test_evaluation_batches_do_not_depend_on_the_number_of_frames():
    whole, network = make()
    assert whole.evaluation_batch == 250  # 4,000 pairs of atoms at once
    seen = []
    whole.graphs = lambda split, index, of=whole.graphs: seen.append(len(index)) or of(split, index)
    md17.PAIRS_AT_ONCE["cpu"], before = 32, md17.PAIRS_AT_ONCE["cpu"]
    try:
        few, _ = task.evaluate(whole, network, "train")
    finally:
        md17.PAIRS_AT_ONCE["cpu"] = before
    assert seen == [2, 2, 2, 2]
    assert few[md17.METRIC] == pytest.approx(task.evaluate(whole, network, "train")[0][md17.METRIC], rel=1e-10)


def test_paper_preset_is_the_published_protocol():
    paper = PRESETS["paper"]
    assert paper.train.epochs * (paper.data.train // paper.train.batch_size) == 950_000
    assert paper.protocol == Md17Protocol(energy_weight=0.002, turns=5)
    m, t = paper.model, paper.train
    assert (m.method, m.layers, m.hidden, m.basis, m.widening, m.grid) == ("ponita", 5, 128, 256, 4, "dodecahedron")
    assert (t.lr, t.weight_decay, t.warmup_epochs, t.clip, t.ema, t.augment) == (5e-4, 1e-16, 100, 0.5, 0.99, True)


def result_of(capsys, *argv):
    status = cli.main([*map(str, argv), "--json"])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out.splitlines()[-1]), out


def test_command_line_trains_on_a_file_and_evaluates_on_others(tmp_path, capsys):
    pytest.importorskip("ase")
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    np.savez(tmp_path / "a.npz", **arrays(40))
    settings = {"data.train": 32, "data.val": 5, "model.hidden": 16, "model.layers": 2, "model.basis": 8,
                "train.batch_size": 8, "train.epochs": 30, "train.lr": 0.01, "train.warmup_epochs": 2,
                "train.ema": "none", "model.elements": "1 6 8", "train.validate_every": 5, "train.threads": 1,
                "train.devices": 1, "train.strategy": "auto"}
    run = tmp_path / "run"
    result, text = result_of(capsys, "train", "md17", "--data", tmp_path / "a.npz", "--out", run,
                             *(f"--{k}={v}" for k, v in settings.items()))
    assert result["test_graphs"] == 3 and result["settings"]["data"]["source"] == str(tmp_path / "a.npz")
    loss = np.genfromtxt(run / "log.csv", delimiter=",", names=True)["train_loss"][1:]
    assert loss[-1] < 0.7 * loss[0]
    assert "no forces" in text and (run / md17.PICTURE).stat().st_size > 5000
    assert "no test" not in result["note"]

    other = arrays(5, seed=2)
    np.savez(tmp_path / "b.npz", **other)
    images = []
    for k in range(5):
        atoms = Atoms(NUMBERS, other["coords"][k])
        atoms.calc = SinglePointCalculator(atoms, energy=other["energies"][k] / KCAL_PER_EV,
                                           forces=other["forces"][k] / KCAL_PER_EV)
        images.append(atoms)
    write(tmp_path / "b.extxyz", images, format="extxyz")
    npz, _ = result_of(capsys, "evaluate", run, "--data", tmp_path / "b.npz", "--out", tmp_path / "e")
    xyz, text = result_of(capsys, "evaluate", run, "--data", tmp_path / "b.extxyz")
    assert npz["test_graphs"] == 5 and (tmp_path / "e" / md17.PICTURE).exists()
    for name, value in npz["metrics"].items():
        assert xyz["metrics"][name] == pytest.approx(value, rel=1e-4)
    assert md17.METRIC in text


def test_command_line_says_that_no_frames_are_left_for_a_test(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", **arrays(11))
    data = md17.load(replaced(SETTINGS, {"data.source": str(tmp_path / "a.npz")}))
    assert "No frames are left for a test" in data.note and data.size("test") == 3
    assert torch.equal(data.splits["test"], data.splits["val"])


# --------------------------------------------------------------------------------------- the network that is shipped
def test_shipped_network_result_and_config_are_of_one_run():
    _, settings, network, info = load_model(SHIPPED)
    result = json.loads((ROOT / "results/md17_ethanol_cpu.json").read_text())
    content = read_yaml(ROOT / "configs/md17_ethanol_cpu.yaml")
    del content["task"]
    config = replaced(PRESETS["quick"], content)
    assert [d.split()[0] for d in differences(settings, config)] == ["data.source"]
    assert replaced(PRESETS["quick"], result["settings"]) == settings
    assert (info["commit"], info["step"]) == (result["commit"], result["steps"]) and result["complete"]
    assert sum(f.stat().st_size for f in SHIPPED.iterdir()) < 1_000_000 and result["minutes"] <= 25
    assert network.elements[network.trained].tolist() == [1, 6, 8]


@pytest.mark.skipif(not ETHANOL.is_file(), reason="the frames are not here (../shared/data beside the checkout)")
def test_shipped_network_has_the_error_of_its_result_below_20_meV_per_A():
    _, settings, network, _ = load_model(SHIPPED)
    data = md17.load(replaced(settings, {"data.source": str(ETHANOL)})).to(torch.device("cpu"), torch.float32)
    errors, frames = task.evaluate(data, network, "val")
    result = json.loads((ROOT / "results/md17_ethanol_cpu.json").read_text())
    for name in (md17.METRIC, md17.ENERGY):
        assert errors[name] == pytest.approx(result["metrics"][f"test_{name}"], rel=1e-3)
    assert frames == 50 and errors[md17.METRIC] < 20
    with torch.no_grad():  # control: weights that are off by a hundredth are seen
        network.network.blocks[0].linear_2.weight.mul_(1.02)
    worse, _ = task.evaluate(data, network, "val")
    assert worse[md17.METRIC] > 1.1 * errors[md17.METRIC]
