"""Blocks of rows and recomputation change the time and the memory of a network, and none of its numbers."""

import pytest
import torch
from clouds import F64, answers, cloud, hard_batch, shaken

from ponita_edu.data.graphs import collate
from ponita_edu.geometry import make_grid
from ponita_edu.nn import Ponita, PonitaConfig, blocks
from ponita_edu.nn.kernels import kernel_basis

SETTINGS = {
    "bundle": dict(vectors_in=2, vectors_out=1, layer_scale=0.3),
    "directed": dict(vectors_in=2, vectors_out=1),
    "window": dict(vectors_in=2, vectors_out=1, radius=1.7),
    "band limit": dict(vectors_in=2, vectors_out=1, band_limit=1),
    "attention": dict(vectors_in=2, vectors_out=1, attention=True),
    "full": dict(vectors_in=2, vectors_out=1, conv="full"),
    "positions": dict(space="positions", level="graph"),
    "edges": dict(space="edges", vectors_in=2),
}
BOUND = {F64: 1e-10, torch.float32: 1e-5}


@pytest.fixture(autouse=True)
def as_if_large(monkeypatch):
    """Few edges are summed with torch's own operations; here they are taken for many."""
    monkeypatch.setattr(blocks, "FEW", 0)


def case(kind, dtype=F64):
    config = PonitaConfig(2, hidden=8, basis=8, layers=2, widening=2, **SETTINGS[kind])
    model = Ponita(config, make_grid("octahedron") if config.space == "bundle" else None, seed=0).to(dtype)
    return shaken(model), hard_batch(3, kind != "directed", config.vectors_in).to(dtype)


def equal_graphs(vectors, mutual=True):
    """Three graphs of four nodes with the same edges, and two loops in each."""
    edges = [(0, 1), (1, 0), (2, 1), (1, 2), (0, 0), (2, 2), (3, 0), *([(0, 3)] if mutual else [])]
    return collate([cloud(4, 3, seed, edges=edges, vectors=vectors) for seed in range(3)])


def misfit(a, b):
    a, b = ([*out, torch.cat(gradients)] for out, *gradients in (a, b))
    return max(float((x - y).detach().norm() / x.detach().norm()) for x, y in zip(a, b, strict=True) if x.numel())


@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("kind", SETTINGS)
def test_blocks_and_recomputation_change_no_value_and_no_derivative(monkeypatch, kind, recompute, dtype):
    model, graphs = case(kind, dtype)
    whole = answers(model, graphs)
    monkeypatch.setattr(blocks, "ROWS", 7)  # less than an edge's orientations and their rows
    model.recompute(recompute)
    assert misfit(whole, answers(model, graphs)) < BOUND[dtype]


@pytest.mark.parametrize("kind", SETTINGS)
def test_recomputation_works_without_edges(kind):
    model, _ = case(kind)
    graphs = cloud(4, 3, 0, edges=[], vectors=model.config.vectors_in)
    whole = answers(model, graphs)
    model.recompute()
    torch.testing.assert_close(answers(model, graphs), whole)


def test_the_comparison_notices_a_lost_direction_in_the_derivative(monkeypatch):
    model, graphs = case("bundle")
    whole = answers(model, graphs)
    kept = blocks._EdgeProduct.apply
    monkeypatch.setattr(blocks._EdgeProduct, "apply", lambda h, g, along: kept(
        h, g, along._replace(into=along.into[:1], out=along.out[:1], turn=None)))
    assert misfit(whole, answers(model, graphs)) > 1e-3


@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize("kind", SETTINGS)
def test_runs_of_edges_change_no_value_and_no_derivative(monkeypatch, kind, dtype):
    model, _ = case(kind, dtype)
    graphs = equal_graphs(model.config.vectors_in, kind != "directed").to(dtype)
    taken, kept = [], blocks.ways
    monkeypatch.setattr("ponita_edu.nn.conv.ways", lambda *a, **k: taken.append(kept(*a, **k)) or taken[-1])
    answer = {}
    for edges, monkeypatched in (("runs", 1), ("gathered", 10**9)):
        monkeypatch.setattr(blocks, "SLICED", monkeypatched)
        answer[edges] = answers(model, graphs)
    assert misfit(*answer.values()) < BOUND[dtype]
    if kind != "full":  # which sums by itself
        assert [(along.graphs, bool(along.runs)) for along in taken] == [(3, True), (1, False)]
    if taken and dtype == F64:  # negative control: the first edges forgotten
        monkeypatch.setattr("ponita_edu.nn.conv.ways", lambda *a, **k: taken[0]._replace(runs=taken[0].runs[1:]))
        assert not misfit(answer["gathered"], answers(model, graphs)) < 1e-3


@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize("kind", SETTINGS)
def test_sums_over_few_edges_change_no_value_and_no_derivative(monkeypatch, kind, dtype):
    model, graphs = case(kind, dtype)
    many, asked = answers(model, graphs), []
    monkeypatch.setattr(blocks, "FEW", 10**9)
    monkeypatch.setattr(blocks._EdgeSum, "apply", lambda *a: asked.append(a))
    assert misfit(many, answers(model, graphs)) < BOUND[dtype] and not asked


@pytest.mark.parametrize("kind", ["bundle", "window", "positions"])
def test_all_fast_paths_off_at_once_change_nothing(monkeypatch, kind):
    fast, plain = {}, {}
    for dtype in BOUND:
        model, _ = case(kind, dtype)
        graphs = collate([cloud(4, 3, seed, vectors=model.config.vectors_in) for seed in range(3)]).to(dtype)
        with monkeypatch.context() as on:
            on.setattr(blocks, "SLICED", 1)
            on.setattr(blocks, "ROWS", 7)
            fast[dtype] = answers(model, graphs)
        with monkeypatch.context() as off:
            off.setattr(blocks, "SLICED", 10**9)
            off.setattr(blocks, "ROWS", 10**9)
            off.setattr("ponita_edu.nn.conv.fiber_sum", lambda k, y: torch.einsum("poc,noc->npc", k, y))
            model.share_classes = False
            plain[dtype] = answers(model, graphs)
    assert misfit(plain[F64], fast[F64]) < BOUND[F64]
    # with the window, second derivatives lose digits in float32 whichever way they are computed
    single = torch.float32
    assert misfit(plain[F64], fast[single]) < max(BOUND[single], 5 * misfit(plain[F64], plain[single]))
    next(model.blocks[1].parameters()).data.mul_(1.01)  # negative control: one bias
    assert misfit(plain[single], answers(model, graphs)) > 1e-4


def test_runs_go_through_all_graphs_where_they_are_equal(monkeypatch):
    monkeypatch.setattr(blocks, "SLICED", 1)
    there = torch.tensor([0, 1, 3, 4, 6, 7]), torch.tensor([1, 2, 4, 5, 7, 8])
    h = torch.zeros(9, 2)

    def found(source, target, graphs):
        along = blocks.ways(source, target, h, graphs=graphs)
        return along.graphs, along.runs and len(along.runs)

    assert found(*there, 3) == (3, 1)
    assert found(*there, 1) == (1, 3)
    assert found(there[0], there[1].flip(0), 3) == (1, 6)  # another edge in each graph, and no two in a row
    assert found(there[0][:5], there[1][:5], 3) == (1, 3)
    assert found(there[0][:0], there[1][:0], 3) == (1, None)
    monkeypatch.setattr(blocks, "SLICED", 5)
    assert found(*there, 1) == (1, None) and found(*there, 3) == (3, 1)  # four numbers in a run, and twelve


def test_complete_graphs_have_long_runs_and_others_keep_their_order(monkeypatch):
    monkeypatch.setattr(blocks, "SLICED", 1)
    whole = collate([cloud(5, 3, seed) for seed in range(3)])
    source, target, loops, _ = whole.mutual
    assert {frozenset(p) for p in zip(source.tolist(), target.tolist(), strict=True)} == {
        frozenset((5 * g + i, 5 * g + j)) for g in range(3) for i in range(5) for j in range(i)}
    assert loops.tolist() == list(range(15))
    for graphs, found in ((whole, 4), (collate([cloud(5, 3, 0), cloud(3, 3, 1)]), 4 + 2)):
        source, target = graphs.mutual[:2]
        h = torch.zeros(graphs.num_nodes, 2)
        assert len(blocks.ways(source, target, h, graphs=graphs.num_graphs).runs) == found
    lacking = equal_graphs(0).mutual
    assert torch.equal(lacking.source, lacking.source.sort().values)


def test_fiber_sums_are_what_they_say_and_pass_gradgradcheck():
    random = torch.Generator().manual_seed(0)
    kernel, y = torch.randn(4, 3, 2, generator=random, dtype=F64), torch.randn(5, 3, 2, generator=random, dtype=F64)
    torch.testing.assert_close(blocks.fiber_sum(kernel, y), torch.einsum("poc,noc->npc", kernel, y))
    inputs = kernel.requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradcheck(blocks.fiber_sum, inputs)
    assert torch.autograd.gradgradcheck(blocks.fiber_sum, inputs)


def test_products_are_what_they_say_and_pass_gradgradcheck(monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 4)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(5, 2, 3, generator=random, dtype=F64).requires_grad_()
    weights = [torch.randn(2, 3, generator=random, dtype=F64).requires_grad_() for _ in range(2)]
    for product, w in zip(blocks.products(x, weights), weights, strict=True):
        torch.testing.assert_close(product, x @ w.T)
    assert torch.autograd.gradcheck(lambda x, *w: blocks.products(x, w), (x, *weights))
    assert torch.autograd.gradgradcheck(lambda x, *w: blocks.products(x, w), (x, *weights))


def test_a_step_with_gradients_makes_the_kernels_of_all_layers_at_once(monkeypatch):
    model, graphs = case("bundle")
    made = []
    monkeypatch.setattr("ponita_edu.nn.ponita.products", lambda *a: made.append(len(a[1])) or blocks.products(*a))
    for rows in (2048, 7):  # a small batch is one block, so each layer makes its own
        monkeypatch.setattr(blocks, "ROWS", rows)
        model(graphs)
    with torch.no_grad():
        model(graphs)
    model.recompute()
    model(graphs)
    assert made == [2]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("sliced", "few"), [(1, 0), (10**9, 0), (10**9, 10**9)], ids=["runs", "gathered", "few"])
def test_edge_sums_are_what_they_say_and_pass_gradgradcheck(monkeypatch, sliced, few, turned):
    monkeypatch.setattr(blocks, "SLICED", sliced)
    monkeypatch.setattr(blocks, "FEW", few)
    random = torch.Generator().manual_seed(0)
    kernel, h = torch.randn(4, 2, 3, generator=random, dtype=F64), torch.randn(6, 2, 3, generator=random, dtype=F64)
    source, target = torch.tensor([0, 0, 3, 3]), torch.tensor([1, 2, 4, 5])
    turn = torch.tensor([1, 0]) if turned else None
    along = blocks.ways(source, target, h, True, turn, graphs=2)
    assert (along.graphs, bool(along.runs)) == ((2, True) if sliced == 1 else (1, False))
    wanted = torch.zeros_like(h)
    for edge, (i, j) in enumerate(zip(source, target, strict=True)):
        for o in range(2):
            at = 1 - o if turned else o
            wanted[j, o] += kernel[edge, o] * h[i, o]
            wanted[i, at] += kernel[edge, o] * h[j, at]
    torch.testing.assert_close(blocks.edge_sum(kernel, h, along), wanted)
    by_kernel = torch.autograd.grad((blocks.edge_sum(kernel.requires_grad_(), h, along) * h).sum(), kernel)[0]
    torch.testing.assert_close(blocks.edge_product(h, h, along), by_kernel)
    inputs = kernel.requires_grad_(), h.requires_grad_()
    assert torch.autograd.gradcheck(lambda k, x: blocks.edge_sum(k, x, along), inputs)
    assert torch.autograd.gradgradcheck(lambda k, x: blocks.edge_sum(k, x, along), inputs)


@pytest.mark.parametrize("rows", [2048, 7], ids=["each", "all"])
@pytest.mark.parametrize("kind", SETTINGS)
def test_bfloat16_is_near_and_is_another_precision(monkeypatch, kind, rows):
    monkeypatch.setitem(SETTINGS, kind, SETTINGS[kind] | dict(layer_scale=0.3))  # so that features are in float32
    model, graphs = case(kind, torch.float32)
    monkeypatch.setattr(blocks, "ROWS", rows)
    found = []
    for half in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            out = model(graphs)
        loss = out.scalar.square().sum() + out.vector.square().sum()
        weights = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        found.append(torch.cat([a.detach().flatten().float() for a in (*out, *weights) if a is not None]))
    assert 1e-4 < float((found[1] - found[0]).norm() / found[0].norm()) < 0.1


@pytest.mark.parametrize("few", [0, 600_000])
@pytest.mark.parametrize("half", ["kernel", "features"])
def test_sums_of_two_precisions(half, few, monkeypatch):
    """Autocast may give either in bfloat16: the finer one counts, over edges that of the features."""
    monkeypatch.setattr(blocks, "FEW", few)
    random = torch.Generator().manual_seed(0)
    kernel, fiber, h = (torch.randn(shape, generator=random) for shape in ((5, 2, 3), (2, 2, 3), (4, 2, 3)))
    kernel, fiber, h = (a.bfloat16() if (a is h) == (half == "features") else a for a in (kernel, fiber, h))
    exact = torch.einsum("poc,noc->npc", fiber.double(), h.double())
    found = blocks.fiber_sum(fiber, h)
    assert found.dtype == torch.float32 and float((found - exact).abs().max()) < 1e-5
    source, target, turn = torch.tensor([0, 1, 2, 3, 0]), torch.tensor([1, 2, 3, 0, 2]), torch.tensor([1, 0])
    for t in (None, turn):
        message = kernel.double() * h[source].double()
        wanted = torch.zeros(4, 2, 3, dtype=torch.float64).index_add(0, target, message)
        back = kernel.double() * (h[target] if t is None else h[target][:, t]).double()
        back = torch.zeros(4, 2, 3, dtype=torch.float64).index_add(0, source, back)
        wanted = wanted + (back if t is None else back[:, t])
        y = blocks.edge_sum(kernel, h, blocks.ways(source, target, h, True, t))
        assert y.dtype == h.dtype
        assert float((y - wanted).abs().max()) < (0.1 if half == "features" else 1e-5) < 0.5 * float(wanted.abs().max())


def kept_bytes(model, graphs):
    """What autograd holds after a forward pass, each piece of memory counted once."""
    seen = {}

    def keep(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model(graphs)
    return sum(size for size, _ in seen.values()) if out else 0


@pytest.mark.parametrize("kind", ["bundle", "band limit"])
def test_recomputation_keeps_less(kind):
    model, graphs = case(kind)
    kept = kept_bytes(model, graphs)
    model.recompute()
    assert kept_bytes(model, graphs) < kept / 2
    model.recompute(False)
    assert kept_bytes(model, graphs) == kept


@pytest.mark.parametrize("window", [None, torch.rand(500, generator=torch.Generator().manual_seed(0))])
def test_a_recomputed_basis_keeps_nothing_of_what_lies_between(window):
    basis, kept = kernel_basis(2, 64, 8, 3), []
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for basis.recompute in (False, True):
        kept.append(kept_bytes(lambda x: (basis(x, window),), x))
    assert kept[1] < kept[0] / 5


def test_forces_ask_for_no_derivative_by_weights(monkeypatch):
    model, graphs = case("bundle")
    monkeypatch.setattr(blocks, "ROWS", 7)  # so that the kernels of all layers are made at once
    asked, kept = [], blocks.waited_for
    monkeypatch.setattr(blocks, "waited_for", lambda ctx, *a: asked.append(kept(ctx, *a)) or asked[-1])
    graphs = graphs.requires_grad_()

    def energy():
        asked.clear()
        return model(graphs).vector.sum()

    torch.autograd.grad(energy(), graphs.pos, create_graph=True)
    assert [True, False, False] in asked  # of products(x, [W_1, W_2])
    energy().backward()
    assert [True, True, True] in asked and [True, False, False] not in asked
    torch.autograd.grad(energy(), [graphs.pos, *model.parameters()])
    assert [True, True, True] in asked and [True, False, False] not in asked
