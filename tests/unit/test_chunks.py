"""A few edges at a time: the same numbers and derivatives of both orders, and nothing kept of the edges."""

import pytest
import torch
from clouds import F64, answers, hard_batch, shaken

from ponita_edu.data.edges import complete_edges, radius_edges
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry import make_grid
from ponita_edu.nn import Ponita, PonitaConfig, chunks
from ponita_edu.nn.forcefield import ForceField, molecules

SETTINGS = {
    "bundle": dict(vectors_in=2, vectors_out=1, layer_scale=0.3),
    "directed": dict(vectors_in=2, vectors_out=1),
    "window": dict(vectors_in=2, vectors_out=1, radius=1.7),
    "condition": dict(vectors_in=2, vectors_out=1, conditioning=True),
    "one-sided grid": dict(vectors_in=2, vectors_out=1),
    "positions": dict(space="positions", level="graph"),
}
BOUND = {F64: 1e-10, torch.float32: 1e-5}


def case(kind, dtype=F64):
    config = PonitaConfig(2, hidden=8, basis=8, layers=2, widening=2, **SETTINGS[kind])
    grid = make_grid("tetrahedron" if kind == "one-sided grid" else "octahedron")
    model = Ponita(config, grid if config.space == "bundle" else None, seed=0).to(dtype)
    return shaken(model), hard_batch(3, kind != "directed", config.vectors_in, config.conditioning).to(dtype)


def misfit(a, b):
    a, b = ([*out, torch.cat(gradients)] for out, *gradients in (a, b))
    return max(float((x - y).detach().norm() / x.detach().norm()) for x, y in zip(a, b, strict=True) if x.numel())


@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("kind", SETTINGS)
def test_chunks_change_no_value_and_no_derivative(kind, size, dtype):
    model, graphs = case(kind, dtype)
    whole = answers(model, graphs)
    model.recompute(edge_chunk=size)
    assert misfit(whole, answers(model, graphs)) < BOUND[dtype]
    model.recompute(False)
    assert misfit(whole, answers(model, graphs)) == 0  # off again


def test_chunks_keep_the_derivative_by_the_condition():
    model, graphs = case("condition")
    cond, found = graphs.cond.clone().requires_grad_(), []
    for size in (None, 4):
        model.recompute(edge_chunk=size)
        found.append(torch.autograd.grad(model(graphs._replace(cond=cond)).scalar.sum(), cond)[0])
    assert float((found[0] - found[1]).abs().max()) < 1e-10 < 1e-3 < float(found[0].abs().max())


def test_the_comparison_notices_a_lost_chunk_and_a_lost_derivative(monkeypatch):
    model, graphs = case("bundle")
    whole = answers(model, graphs)
    model.recompute(edge_chunk=4)
    kept = chunks._Sum.apply
    monkeypatch.setattr(chunks._Sum, "apply", lambda piece, chunks, *more: kept(piece, chunks[1:], *more))
    assert misfit(whole, answers(model, graphs)) > 1e-3
    monkeypatch.setattr(chunks._Sum, "apply", lambda piece, all_, *more: kept(
        piece, all_ if piece.like == (0,) else all_[1:], *more))
    out, again = whole[0], answers(model, graphs)
    assert float((out[0] - again[0][0]).detach().norm()) < 1e-10
    assert misfit(whole, again) > 1e-3  # only derivatives are wrong


def test_energy_forces_and_stress_of_a_periodic_cell():
    random = torch.Generator().manual_seed(0)
    pos, cell = 3 * torch.rand(7, 3, generator=random, dtype=F64), torch.tensor([[[2.0, 0, 0], [1, 2, 0], [0, 1, 3]]])
    graphs = molecules(pos, torch.ones(7, 1, dtype=F64), torch.zeros(7, dtype=torch.long), 2.5, cell.to(F64))
    model = shaken(Ponita(PonitaConfig(1, hidden=8, basis=8, layers=2, level="graph", radius=2.5),
                          make_grid("octahedron"), seed=0).double())
    field = ForceField(model, [6], 2.5)
    whole = [*field(graphs), field.stress(graphs)]
    model.recompute(edge_chunk=10)
    for frozen in (False, True):
        model.requires_grad_(not frozen)
        found = [*field(graphs), field.stress(graphs)]
        assert all(float((a - b).abs().max()) < 1e-10 * float(a.abs().max()) for a, b in zip(whole, found, strict=True))


def held(model, graphs):
    """Bytes that autograd holds after an energy, each piece of memory counted once."""
    seen = {}

    def keep(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model(graphs.requires_grad_())
    return sum(size for size, _ in seen.values()) if out else 0


def test_what_is_held_does_not_grow_with_the_edges():
    pos = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    batch = torch.zeros(40, dtype=torch.long)
    few, many = (Graphs(pos, torch.ones(40, 1, dtype=F64), edges)
                 for edges in (radius_edges(pos, batch, 0.7), complete_edges(batch)))
    assert many.edge_index.shape[1] > 6 * few.edge_index.shape[1]
    config = PonitaConfig(1, hidden=8, basis=8, layers=2, level="graph")
    model = Ponita(config, make_grid("octahedron"), seed=0).double()
    sizes = {}
    for name, how in (("plain", dict(on=False)), ("blocks", dict()), ("chunks", dict(edge_chunk=16))):
        model.recompute(**how)
        sizes[name] = held(model, few), held(model, many)
    assert sizes["chunks"][1] < 1.05 * sizes["chunks"][0] < sizes["blocks"][1] < sizes["plain"][1]
    assert sizes["plain"][1] > 2 * sizes["plain"][0] and sizes["blocks"][1] > 1.2 * sizes["blocks"][0]  # they do grow


@pytest.mark.parametrize("kind", ["bundle", "positions"])
def test_autocast_holds_in_the_derivatives_too(kind):
    model, graphs = case(kind, torch.float32)

    def gradients():
        moving = graphs.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = sum(a.float().sum() for a in model(moving))
        return torch.cat([g.flatten() for g in torch.autograd.grad(out, [moving.pos, *model.parameters()])])

    whole = gradients()
    model.recompute(edge_chunk=4)
    assert (gradients() - whole).norm() < 0.02 * whole.norm()
    full = model(graphs).scalar
    with torch.autocast("cpu", torch.bfloat16):  # negative control: it is on
        assert not torch.allclose(model(graphs).scalar.float(), full, rtol=1e-4, atol=1e-4)
