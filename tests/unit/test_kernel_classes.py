"""Kernels shared over equal classes: how many are left, that outputs stay, and where sharing must not happen."""

import json

import pytest
import torch

from ponita_edu.analysis import kernel_classes
from ponita_edu.analysis.kernel_classes import (
    ByClass,
    classes,
    evaluations,
    measure,
    network,
    rock_salt,
    set_way,
    turned,
)
from ponita_edu.analysis.molecule_pairs import cluster
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry import make_grid
from ponita_edu.nn.spaces import bundle

F64 = torch.float64
ICOSAHEDRON, SPIRAL = make_grid("icosahedron"), make_grid("fibonacci", 12)


def counts(graphs, grid):
    model = network(graphs, grid, hidden=4, layers=1)
    return {way: evaluations(set_way(model, way), graphs) for way in kernel_classes.WAYS}


def cloud(n=5, seed=0):
    pos = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return Graphs(pos, torch.ones_like(pos[:, :1]))


def test_a_cloud_in_general_position_has_reverses_and_self_loops_and_nothing_else():
    n, N = 5, 12
    assert counts(cloud(n), ICOSAHEDRON) == {"all": n * n * N, "library": n * (n - 1) // 2 * N + 1,
                                             "classes": n * (n - 1) // 2 * N + 1}
    assert counts(cloud(n), SPIRAL) == {"all": n * n * N, "library": n * n * N, "classes": n * (n - 1) * N + 1}


@pytest.mark.parametrize("name", ["methane", "benzene", "cubane"])
@pytest.mark.parametrize("turn", [False, True])
def test_classes_are_those_that_sorted_gaps_find(name, turn):
    graphs = kernel_classes.molecule(name)
    graphs = turned(graphs) if turn else graphs
    rows = bundle(graphs, ICOSAHEDRON.points, "separable", "triple").attributes.flatten(0, 1)
    first, which = classes(rows)
    names = cluster(rows.numpy())
    assert len(first) == names.max() + 1
    assert len({*zip(which.tolist(), names.tolist(), strict=True)}) == len(first)  # the same parts
    torch.testing.assert_close(rows[first][which], rows, rtol=0, atol=1e-8)
    assert len(classes(rows, same=3.0)[0]) < len(first)  # control: numbers that differ


def test_symmetry_helps_only_where_the_grid_has_it_too():
    methane = kernel_classes.molecule("methane")
    straight, askew = counts(methane, ICOSAHEDRON)["classes"], counts(turned(methane), ICOSAHEDRON)["classes"]
    assert straight * 12 >= counts(methane, ICOSAHEDRON)["library"] > 5 * straight  # 12 rotations of both
    assert askew == counts(methane, ICOSAHEDRON)["library"]


def test_a_crystal_costs_one_cell_however_often_it_repeats():
    one, eight = (counts(rock_salt(k), ICOSAHEDRON) for k in (1, 2))
    assert one["classes"] == eight["classes"] < 20 and eight["all"] == 8 * one["all"]
    warm = counts(rock_salt(2, noise=0.1), ICOSAHEDRON)
    assert warm["classes"] == warm["library"] > 100 * eight["classes"]


@pytest.mark.parametrize("grid", [ICOSAHEDRON, SPIRAL], ids=["icosahedron", "fibonacci"])
@pytest.mark.parametrize("make", [lambda: kernel_classes.molecule("benzene"), lambda: rock_salt(1), cloud],
                         ids=["benzene", "rock salt", "cloud"])
def test_outputs_are_the_same(make, grid):
    graphs = make()
    model = network(graphs, grid, hidden=6, layers=2)
    plain = set_way(model, "all")(graphs).scalar
    assert float(plain.abs().max()) > 1e-3
    for way in ("library", "classes"):
        torch.testing.assert_close(set_way(model, way)(graphs).scalar, plain, rtol=1e-11, atol=1e-11)
    coarse = ByClass(set_way(model, "all").basis, same=5.0)  # control: classes that are none
    model.basis = coarse
    assert float((model(graphs).scalar - plain).abs().max()) > 1e-4


def test_forces_are_not_shared():
    """A copy has no derivative of its own, so each pair is evaluated where derivatives are wanted."""
    graphs = kernel_classes.molecule("methane").requires_grad_()
    model = network(graphs, ICOSAHEDRON, hidden=6, layers=2)
    forces = {}
    for way in ("all", "classes"):
        forces[way], = torch.autograd.grad(set_way(model, way)(graphs).scalar.sum(), graphs.pos)
    torch.testing.assert_close(forces["classes"], forces["all"], rtol=1e-10, atol=1e-12)

    rows = torch.ones(3, 2, dtype=F64, requires_grad=True)  # control: what copies would do
    first, which = classes(rows.detach())
    naive, = torch.autograd.grad(model.basis.basis(rows[first])[which].sum(), rows)
    right, = torch.autograd.grad(model.basis.basis(rows).sum(), rows)
    assert not torch.allclose(naive, right) and torch.allclose(naive.sum(0), right.sum(0))


def test_no_rows_have_no_class():
    first, which = classes(torch.zeros(0, 2, dtype=F64))
    assert len(first) == len(which) == 0


def test_unknown_way_is_refused():
    with pytest.raises(ValueError, match="way must be one of all, library, classes"):
        set_way(network(cloud(2), SPIRAL, hidden=4, layers=1), "some")


def test_table_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kernel_classes, "table", lambda: [measure("methane", ICOSAHEDRON, repeats=1)])
    kernel_classes.main(["--out", str(tmp_path / "a.json")])
    row = json.loads((tmp_path / "a.json").read_text())["rows"][0]
    assert row["evaluations"]["all"] == 300 and row["difference"] < 1e-12 and row["finding_ms"] > 0
    assert "methane" in capsys.readouterr().out
