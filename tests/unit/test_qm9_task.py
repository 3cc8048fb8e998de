"""The QM9 task: ragged batches, graphs, units, references, and predictions for molecules of one's own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ponita_edu import cli
from ponita_edu.data.edges import complete_edges, radius_edges
from ponita_edu.data.graphs import Graphs, mutual_edges
from ponita_edu.data.packed import GRAPHS, pack
from ponita_edu.data.qm9 import UNITS, load_subset
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.molecules.predict import from_smiles, predict, read_xyz
from ponita_edu.molecules.stability import bond_orders
from ponita_edu.tasks import qm9
from ponita_edu.tasks.qm9_config import PRESETS, TARGETS, QM9Model
from ponita_edu.tasks.run import load_model
from ponita_edu.tasks.settings import read_yaml, replaced, to_dict
from ponita_edu.tasks.task import evaluate

TINY = {"model.hidden": 8, "model.layers": 2, "model.basis": 8, "model.degree": 2, "data.source": "subset",
        "data.train": 40, "train.batch_size": 10, "data.val": 10, "data.test": 20}
SUBSET = load_subset()


def settings(**changes):
    return replaced(PRESETS["quick"], TINY | changes)


def task_and_network(**changes):
    s = settings(**changes)
    task, network = qm9.load(s), qm9.build(s.model, seed=0)
    task.prepare(network, task.graphs("train", torch.arange(20)))
    return task, network.eval()


def edge_set(edge_index):
    return set(map(tuple, edge_index.T.tolist()))


# ------------------------------------------------------------------------------------------------- batches
@pytest.mark.parametrize("graph", GRAPHS)
def test_ragged_batch_equals_graphs_made_one_by_one(graph):
    rows = [3, 700, 12, 1999]
    packed = pack(SUBSET.numbers, SUBSET.pos, SUBSET.sizes, graph, cutoff=2.0)
    ours = packed.batch(torch.tensor(rows))
    pos = torch.from_numpy(np.concatenate([SUBSET.molecule(r)[1] for r in rows]))
    batch = torch.arange(4).repeat_interleave(torch.from_numpy(SUBSET.sizes[rows]))
    assert torch.equal(ours.pos, pos) and torch.equal(ours.batch, batch) and ours.num_graphs == 4
    if graph == "bonds":
        wanted, start = {(k, k) for k in range(len(pos))}, 0
        for r in rows:
            atoms = slice(*SUBSET.offsets[r : r + 2])
            i, j = np.nonzero(bond_orders(SUBSET.numbers[atoms], SUBSET.pos[atoms]))
            wanted |= set(zip((i + start).tolist(), (j + start).tolist(), strict=True))
            start += SUBSET.sizes[r]
    else:
        wanted = edge_set(complete_edges(batch) if graph == "complete" else radius_edges(pos, batch, 2.0))
    assert edge_set(ours.edge_index) == wanted and ours.edge_index.shape[1] == len(wanted)
    plain = mutual_edges(ours.edge_index, ours.num_nodes)
    assert edge_set(torch.stack(plain[:2])) == edge_set(torch.stack(ours.mutual[:2]))
    counts = torch.zeros(4, 5).index_add(0, batch, ours.x)
    assert counts.tolist() == SUBSET.counts[rows].tolist()
    Graphs(ours.pos, ours.x, ours.edge_index, ours.batch, 4)  # passes the checks that batch() leaves out


@pytest.mark.parametrize("atoms", [128, 129, 200])
def test_molecules_larger_than_any_of_qm9_have_their_own_pairs(atoms):
    sizes = np.array([3, atoms])
    pos = np.random.default_rng(0).normal(size=(sizes.sum(), 3)) * 3
    packed = pack(np.full(sizes.sum(), 6), pos, sizes, "cutoff", cutoff=2.0)
    ours, positions = packed.batch(torch.arange(2)), torch.from_numpy(pos)
    wanted = radius_edges(positions, torch.arange(2).repeat_interleave(torch.from_numpy(sizes)), 2.0)
    assert edge_set(ours.edge_index) == edge_set(wanted)


def test_graphs_differ():
    batches = [pack(SUBSET.numbers, SUBSET.pos, SUBSET.sizes, g, 2.0).batch(torch.arange(50)) for g in GRAPHS]
    complete, cutoff, bonds = (b.edge_index.shape[1] for b in batches)
    assert complete > 1.5 * cutoff > 1.5 * bonds


def test_nothing_of_a_molecule_leaks_into_another():
    task, network = task_and_network()
    both = network.predict(task.graphs("train", torch.tensor([5, 30])))
    alone = torch.cat([network.predict(task.graphs("train", torch.tensor([k]))) for k in (5, 30)])
    torch.testing.assert_close(both, alone, rtol=1e-5, atol=1e-5)
    assert (both[0] - both[1]).abs() > 0.1


# ------------------------------------------------------------------------------------------------- numbers
def test_metric_has_the_published_unit_in_its_name():
    names = {target: qm9.load(settings(**{"data.target": target})).selects for target in ("U0_atom", "gap", "mu", "Cv")}
    assert names == {"U0_atom": "mae_meV", "gap": "mae_meV", "mu": "mae_D", "Cv": "mae_cal_per_molK"}
    assert set(TARGETS) == set(UNITS)


@pytest.mark.parametrize("reference", ["mean", "elements"])
def test_untrained_output_zero_has_the_error_of_the_baseline(reference):
    task, network = task_and_network(**{"model.reference": reference})
    with torch.no_grad():
        for p in network.core.readouts.parameters():
            p.zero_()
    found = evaluate(task, network, "test")[0]["mae_meV"]
    names = {"mean": "training mean", "elements": "element counts"}
    assert found == pytest.approx(qm9.baselines(task)[names[reference]], rel=1e-9)
    rows = SUBSET.splits()
    y, x = SUBSET.targets["U0_atom"], np.concatenate((SUBSET.counts, np.ones((len(SUBSET), 1))), axis=1)
    train, test = rows["train"][:40], rows["test"][:20]
    fit = np.linalg.lstsq(x[train], y[train], rcond=None)[0] if reference == "elements" else [0] * 5 + [y[train].mean()]
    assert found == pytest.approx(1000 * np.abs(x[test] @ fit - y[test]).mean(), rel=1e-6)


def test_total_energies_lose_nothing_to_float32():
    task, network = task_and_network(**{"data.target": "U0_total", "model.reference": "mean"})
    graphs = task.graphs("test", torch.arange(20))
    exact = network.double().predict(graphs.to(torch.float64))
    with torch.no_grad():
        assert (network.float().predict(graphs) - exact).abs().max() < 0.03 * 1e-3 * float(network.scale)
    assert network.coefficients.dtype == network.scale.dtype == torch.float64
    rounded = task.targets["test"].float().double() - task.targets["test"]
    assert rounded.abs().max() > 1e-4  # control: eV lost if the target itself were cast


def test_lifted_bonds_see_the_whole_molecule_only_where_all_are_joined():
    """A molecule twice, nearer and further apart: edges to lift are bonds, of which there are none in between."""
    numbers, atoms = SUBSET.numbers[: SUBSET.sizes[0]], SUBSET.pos[: SUBSET.sizes[0]]
    bonds = 2 * np.count_nonzero(bond_orders(numbers, atoms))
    for graph, sees in (("complete", True), ("cutoff", False), ("bonds", False)):
        model = settings(**{"model.method": "edges", "model.graph": graph, "model.cutoff": 2.0,
                            "model.output": "scalar"}).model
        network, found = qm9.build(model, seed=0).double(), []
        for apart in (30.0, 15.0):
            pos = np.concatenate((atoms, atoms + np.array([apart, 0, 0])))
            packed = qm9.pack_for(model, np.tile(numbers, 2), pos, np.array([len(pos)]))
            batch = packed.batch(torch.tensor([0])).to(torch.float64)
            assert int((batch.edge_index[0] != batch.edge_index[1]).sum()) == bonds
            found.append(float(network(batch).detach()))
        assert (abs(found[0] - found[1]) > 1e-6) == sees, graph


def test_the_scale_is_the_spread_around_the_reference_and_kernels_are_calibrated():
    task, network = task_and_network(**{"model.reference": "mean"})
    assert float(network.scale) == pytest.approx(np.std(task.targets["train"].numpy()), rel=1e-12)
    weights = [n.core.blocks[0].conv.spatial.kernel.weight for n in (network, qm9.build(settings().model, seed=0))]
    assert not torch.allclose(*weights)
    assert "not to be compared with published errors" in task.note


def test_errors_and_loss_agree():
    task, network = task_and_network()
    graphs = task.graphs("train", torch.arange(20))
    loss = task.loss(network, graphs, torch.Generator())
    errors = task.errors(network, graphs)["mae_meV"]
    assert float(loss.detach()) * 1000 * float(network.scale) == pytest.approx(float(errors.detach().mean()), rel=1e-5)


@pytest.mark.parametrize("preset, target, method, output", [
    ("quick", "mu", "ponita", "norm"), ("quick", "mu", "edges", "norm"), ("quick", "mu", "positions", "scalar"),
    ("quick", "U0_atom", "ponita", "scalar"), ("paper", "mu", "ponita", "scalar"),
])
def test_dipole_moment_is_the_length_of_a_vector_in_the_quick_preset(preset, target, method, output):
    s = replaced(PRESETS[preset], {"data.target": target, "model.method": method, "model.layers": 1})
    assert qm9.build(s.model, seed=0).core.config.vectors_out == (output == "norm")
    assert replaced(s, {"model.output": "scalar"}).model.output == "scalar"  # what is asked for is done
    assert replaced(PRESETS["paper"], to_dict(s)) == s  # and a stored run is read as what it was


# ------------------------------------------------------------------------------------------------- symmetry
@pytest.mark.parametrize("method, output", [("edges", "scalar"), ("edges", "norm"), ("positions", "scalar")])
@pytest.mark.parametrize("graph", ["bonds", "complete"])
def test_point_clouds_are_exactly_invariant(method, output, graph):
    target = "mu" if output == "norm" else "gap"
    task, network = task_and_network(**{"model.method": method, "model.output": output, "model.graph": graph,
                                        "data.target": target})
    network, task = network.double(), task.to(torch.device("cpu"), torch.float64)
    graphs = task.graphs("test", torch.arange(5))
    R = random_rotations(1, seed=1)[0]
    with torch.no_grad():
        before, after = network.predict(graphs), network.predict(graphs.rotate(R))
        assert (before - after).abs().max() < 1e-9 * before.abs().max()
        stretched = network.predict(graphs._replace(pos=1.01 * graphs.pos))
        assert (before - stretched).abs().max() > 1e-5 * before.abs().max()
        if output == "norm":
            turned = network.vector(graphs.rotate(R))
            torch.testing.assert_close(turned, network.vector(graphs) @ R.T, rtol=0, atol=1e-9)
            torch.testing.assert_close(turned.norm(dim=-1), after, rtol=0, atol=1e-9)


def test_bundle_is_exact_under_its_grids_own_rotations_only():
    task, network = task_and_network(**{"model.output": "norm", "data.target": "mu"})
    network, task = network.double(), task.to(torch.device("cpu"), torch.float64)
    graphs = task.graphs("test", torch.arange(5))
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)  # the octahedron's own
    with torch.no_grad():
        v = network.vector(graphs)
        own, other = (network.vector(graphs.rotate(R)) - v @ R.T for R in (quarter, random_rotations(1, seed=1)[0]))
    assert own.abs().max() < 1e-9 * v.abs().max() < 1e-6 * other.abs().max() * 1e3


# ------------------------------------------------------------------------------------------------- the command line
@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("qm9") / "run"
    argv = [f"--{name}={value}" for name, value in TINY.items()]
    assert cli.main(["train", "qm9", *argv, "--train.epochs", "2", "--out", str(out)]) == 0
    return out


def test_trained_run_says_what_it_is(trained):
    result = json.loads((trained / "result.json").read_text())
    assert result["metric"] == "mae_meV" and result["complete"] and result["test_graphs"] == 20
    assert set(result["baselines"]) == {"training mean", "element counts"}
    assert "not to be compared" in result["note"]


def test_checkpoint_keeps_what_it_took_from_the_data(trained, tmp_path, capsys):
    result = json.loads((trained / "result.json").read_text())
    assert cli.main(["evaluate", str(trained), "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["metrics"]["test_mae_meV"] == pytest.approx(result["metrics"]["test_mae_meV"], rel=1e-5)
    # the same molecules as a file of one's own
    rows = SUBSET.splits()["test"][:20]
    atoms = np.concatenate([np.arange(*SUBSET.offsets[r : r + 2]) for r in rows])
    np.savez(tmp_path / "own.npz", numbers=SUBSET.numbers[atoms], pos=SUBSET.pos[atoms], sizes=SUBSET.sizes[rows],
             U0_atom=SUBSET.targets["U0_atom"][rows])
    assert cli.main(["evaluate", str(trained), "--data", str(tmp_path / "own.npz"), "--json"]) == 0
    own = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert own["metrics"]["test_mae_meV"] == pytest.approx(result["metrics"]["test_mae_meV"], rel=1e-5)


def test_paper_preset_stops_and_goes_on_to_the_same_errors(tmp_path, capsys):
    argv = ["train", "qm9", "--preset", "paper", *(f"--{name}={value}" for name, value in TINY.items()),
            "--train.epochs=2", "--model.orientations=6", "--model.grid=repulsion", "--train.threads=1", "--json"]

    def run(out, *more):
        assert cli.main([*argv, "--out", str(tmp_path / out), *more]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    cut = run("cut", "--max-minutes", "0.001")
    assert not cut["complete"] and 0 < cut["steps"] < cut["steps_of_preset"] == 8
    on, whole = run("cut"), run("whole")
    assert on["complete"] and on["steps"] == 8 and on["preset"] == "paper"
    assert on["metrics"] == whole["metrics"] != cut["metrics"]


# ------------------------------------------------------------------------------------------------- own molecules
def test_predict_takes_symbols_and_positions_or_an_xyz_file(trained, tmp_path):
    rows = SUBSET.splits()["test"][:3]
    molecules = [SUBSET.molecule(row) for row in rows]
    text = ""
    for symbols, pos in molecules:
        lines = [f"{s} {' '.join(map(str, p))}" for s, p in zip(symbols, pos.tolist(), strict=True)]
        text += "\n".join((str(len(symbols)), "a comment", *lines)) + "\n"
    (tmp_path / "own.xyz").write_text(text)
    found = predict(trained, molecules)
    np.testing.assert_allclose(predict(trained, tmp_path / "own.xyz"), found, rtol=1e-6)
    errors = np.abs(found - SUBSET.targets["U0_atom"][rows])
    result = json.loads((trained / "result.json").read_text())
    assert errors.max() < 20 * result["metrics"]["test_mae_meV"] / 1000
    assert [m[0] for m in read_xyz(tmp_path / "own.xyz")] == [m[0] for m in molecules]


def test_molecules_from_windows_are_the_same(tmp_path):
    text = "2\nnitrogen\nN 0 0 0\nN 0 0 1.1\n"
    (tmp_path / "a.xyz").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    ((symbols, pos),) = read_xyz(tmp_path / "a.xyz")
    assert symbols == ("N", "N") and pos[1, 2] == 1.1


def test_predict_takes_smiles(trained):
    pytest.importorskip("rdkit")
    symbols, pos = from_smiles("CCO")
    assert sorted(symbols) == sorted("CCOHHHHHH")
    gap = np.linalg.norm(pos[0] - pos[1])
    assert 1.45 < gap < 1.6  # a C-C bond, in Å
    ethanol, methane = predict(trained, ["CCO", "C"])
    assert ethanol < methane < 0  # more bonds, more energy of atomisation: the element counts know that
    np.testing.assert_allclose(predict(trained, [(symbols, pos)]), ethanol, rtol=1e-6)


def test_paper_preset_has_the_published_size():
    assert sum(p.numel() for p in qm9.build(PRESETS["paper"].model).parameters()) == 6_054_657
    small = replace(QM9Model(), method="positions", hidden=128, layers=5)
    assert sum(p.numel() for p in qm9.build(small).parameters()) < 1e6


@pytest.mark.parametrize("preset", PRESETS)
def test_config_files_say_what_the_presets_do(preset):
    content = read_yaml(Path(__file__).resolve().parents[2] / "configs" / f"qm9_{preset}.yaml")
    assert content.pop("task") == "qm9" and content.pop("preset") == preset
    assert replaced(PRESETS[preset], content) == PRESETS[preset]
    other = PRESETS["paper" if preset == "quick" else "quick"]
    assert replaced(other, content).model.hidden == PRESETS[preset].model.hidden != other.model.hidden


# ------------------------------------------------------------------------------------------------- stored runs
@pytest.mark.parametrize("target, unit, baseline, most", [
    ("U0_atom", "meV", "element counts", 1 / 3), ("mu", "D", "training mean", 1 / 2),
])
def test_stored_run_beats_its_baseline_and_its_weights_are_here(target, unit, baseline, most):
    stored = json.loads((Path(__file__).resolve().parents[2] / "results" / f"qm9_quick_{target}.json").read_text())
    claimed = stored["metrics"][f"test_mae_{unit}"]
    assert stored["complete"] and stored["minutes"] < 5
    assert stored["test_graphs"] == 10_831 and claimed < most * stored["baselines"][baseline]
    folder = Path(qm9.__file__).parents[1] / "assets/checkpoints" / f"qm9_quick_{target}"
    _, trained_on, network, _ = load_model(folder)
    task = qm9.load(replaced(trained_on, {"data.source": "subset"}))
    with torch.no_grad():  # on 600 molecules of the same test set: equal within three standard errors, which are small
        errors = torch.cat([task.errors(network, task.graphs("test", part))[f"mae_{unit}"]
                            for part in torch.arange(task.size("test")).split(100)])
    deviation = float(errors.std()) / len(errors) ** 0.5
    assert abs(float(errors.mean()) - claimed) < 3 * deviation < 0.75 * claimed
    untrained = qm9.build(trained_on.model, seed=0)  # control: knows neither the data nor their scale
    assert evaluate(task, untrained, "test")[0][f"mae_{unit}"] > 3 * claimed
