"""The table of costs adds up, and says the same as formulas and as the network itself."""

import math

import pytest
import torch

from ponita_edu.analysis.cost import cost_table, signals, total_flop
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry import make_grid
from ponita_edu.nn import Ponita, PonitaConfig

SIZE = dict(scalars_in=1, vectors_in=1, scalars_out=1, vectors_out=2, hidden=6, basis=7, layers=2)
NETWORKS = {
    "bundle, shared classes": Ponita(PonitaConfig(**SIZE), make_grid("icosahedron"), seed=0),
    "bundle, spiral": Ponita(PonitaConfig(**SIZE, layer_scale=0.1), make_grid("fibonacci", 9), seed=0),
    "bundle, one readout": Ponita(PonitaConfig(**SIZE, readout="last", level="graph"), seed=0),
    "full": Ponita(PonitaConfig(**SIZE, conv="full"), make_grid("tetrahedron"), seed=0),
    "edges": Ponita(PonitaConfig(**SIZE, space="edges", radius=2.0), seed=0),
    "attention": Ponita(PonitaConfig(**SIZE, attention=True), make_grid("cube"), seed=0),
    "positions": Ponita(PonitaConfig(scalars_in=1, hidden=6, basis=7, layers=2, space="positions"), seed=0),
}


def cloud(model):
    rng = torch.Generator().manual_seed(0)
    pos, vec = torch.randn(7, 3, generator=rng), torch.randn(7, 1, 3, generator=rng)
    return Graphs(pos, pos[:, :1], batch=torch.tensor([0, 0, 0, 0, 1, 1, 1]),
                  vec=vec if model.config.vectors_in else None)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_operations_sum_to_the_totals(name):
    model = NETWORKS[name]
    graphs = cloud(model)
    rows = cost_table(model, graphs)
    assert sum(row.parameters for row in rows) == model.num_parameters
    assert sum(row.flop for row in rows) == total_flop(model, graphs) > 0
    assert min(min(row.flop, row.parameters) for row in rows) >= 0
    assert len({row.name for row in rows}) == len(rows)


def test_operations_that_belong_to_no_step_break_the_sum(monkeypatch):
    model = NETWORKS["bundle, spiral"]
    graphs = cloud(model)
    monkeypatch.setattr("ponita_edu.nn.ponita.orientation_invariants", lambda t, s: (t * s) @ torch.ones(3, 1))
    assert sum(row.flop for row in cost_table(model, graphs)) < total_flop(model, graphs)


def test_rows_of_the_bundle_are_those_of_the_formulas():
    model = NETWORKS["bundle, spiral"]
    rows = {row.name: row for row in cost_table(model, cloud(model))}
    nodes, edges, N, H, K, monomials = 7, 16 + 9, 9, 6, 7, 2 + 4 + 8
    assert list(rows) == ["lifting", "kernel basis", "fiber kernel basis", "embedding",
                          "block 1: spatial convolution", "block 1: fiber convolution", "block 1: norm and MLP",
                          "block 2: spatial convolution", "block 2: fiber convolution", "block 2: norm and MLP",
                          "readout 1", "readout 2", "to scalars and vectors"]
    assert rows["lifting"] == ("lifting", (nodes, N, 2), 0, 2 * nodes * N * 3)
    assert rows["kernel basis"] == ("kernel basis", (edges, N, K), H * monomials + H + K * H + K,
                                    2 * edges * N * (monomials * H + H * K))
    assert rows["fiber kernel basis"].flop == 2 * N * N * (3 * H + H * K)
    assert rows["block 2: spatial convolution"][1:] == ((nodes, N, H), H * K, 2 * edges * N * H * K)
    # its sum over directions is no matrix product
    assert rows["block 2: fiber convolution"][1:] == ((nodes, N, H), H * K + H, 2 * N * N * H * K)
    mlp = 4 * H * H
    assert rows["block 1: norm and MLP"][1:] == ((nodes, N, H), 2 * H + mlp + 4 * H + mlp + H + H,
                                                 2 * nodes * N * 2 * mlp)
    assert rows["readout 2"][1:] == ((nodes, N, 3), 3 * H + 3, 2 * nodes * N * H * 3)
    assert rows["to scalars and vectors"].shape == (nodes, 1 + 2 * 3)


def test_sharing_classes_saves_half_of_the_kernels_and_no_weight():
    model = NETWORKS["bundle, shared classes"]
    shared = cost_table(model, cloud(model))
    model.share_classes = False
    alone = cost_table(model, cloud(model))
    model.share_classes = True
    assert [row.parameters for row in shared] == [row.parameters for row in alone]
    pick = {row.name: row.flop for row in shared}, {row.name: row.flop for row in alone}
    assert pick[0]["kernel basis"] < 0.5 * pick[1]["kernel basis"]
    assert pick[0]["block 1: norm and MLP"] == pick[1]["block 1: norm and MLP"]


def test_full_convolution_costs_the_square_of_the_orientations():
    def flop(conv, n):
        model = Ponita(PonitaConfig(**SIZE, conv=conv), make_grid("fibonacci", n), seed=0)
        return total_flop(model, cloud(model))

    slopes = {conv: math.log2(flop(conv, 32) / flop(conv, 16)) for conv in ("separable", "full")}
    assert slopes["separable"] < 1.5 and slopes["full"] > 1.8


def test_signals_are_what_the_blocks_are_made_of():
    model = NETWORKS["bundle, shared classes"]
    graphs = cloud(model)
    kept = signals(model, graphs)
    assert list(kept) == ["embedding", "block 1: spatial convolution", "block 1: fiber convolution", "block 1",
                          "block 2: spatial convolution", "block 2: fiber convolution", "block 2"]
    block = model.blocks[1]
    z = kept["block 2: fiber convolution"] + block.conv.bias
    update = block.linear_2(torch.nn.functional.gelu(block.linear_1(block.norm(z))))
    torch.testing.assert_close(kept["block 1"] + update, kept["block 2"])
    assert not torch.allclose(kept["block 2"] + update, kept["block 2"], atol=1e-3)
    scalar = sum(readout(kept[f"block {k}"]) for k, readout in enumerate(model.readouts, 1))[..., :1].mean(1) / 2
    torch.testing.assert_close(scalar, model(graphs).scalar)


def test_hooks_are_gone_afterwards():
    model = NETWORKS["full"]
    with pytest.raises(ValueError, match="dim"):
        signals(model, Graphs(torch.ones(2, 2), torch.ones(2, 1), vec=torch.ones(2, 1, 2)))
    cost_table(model, cloud(model))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
