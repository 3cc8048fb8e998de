"""Blocks of rows and recomputation change the time and the memory of a network, and none of its numbers."""

import pytest
import torch
from clouds import F64, answers, hard_batch, shaken

from ponita_edu.geometry import make_grid
from ponita_edu.nn import Ponita, PonitaConfig, blocks

SETTINGS = {
    "bundle": dict(vectors_in=2, vectors_out=1, layer_scale=0.3),
    "directed": dict(vectors_in=2, vectors_out=1),
    "window": dict(vectors_in=2, vectors_out=1, radius=1.7),
    "attention": dict(vectors_in=2, vectors_out=1, attention=True),
    "full": dict(vectors_in=2, vectors_out=1, conv="full"),
    "positions": dict(space="positions", level="graph"),
    "edges": dict(space="edges", vectors_in=2),
}
BOUND = {F64: 1e-10, torch.float32: 1e-5}


def case(kind, dtype=F64):
    config = PonitaConfig(2, hidden=8, basis=8, layers=2, widening=2, **SETTINGS[kind])
    model = Ponita(config, make_grid("octahedron") if config.space == "bundle" else None, seed=0).to(dtype)
    return shaken(model), hard_batch(3, kind != "directed", config.vectors_in).to(dtype)


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


def test_the_comparison_notices_a_lost_direction_in_the_derivative(monkeypatch):
    model, graphs = case("bundle")
    whole = answers(model, graphs)
    kept = blocks._EdgeProduct.apply
    monkeypatch.setattr(blocks._EdgeProduct, "apply", lambda h, g, into, out: kept(h, g, into[:1], out[:1]))
    assert misfit(whole, answers(model, graphs)) > 1e-3


def test_edge_sums_are_what_they_say_and_pass_gradgradcheck():
    random = torch.Generator().manual_seed(0)
    kernel, h = torch.randn(4, 2, 3, generator=random, dtype=F64), torch.randn(3, 2, 3, generator=random, dtype=F64)
    into, out = torch.tensor([[0, 0, 1, 2], [2, 2, 0, 1]]), torch.tensor([[1, 2, 2, 1], [0, 0, 1, 0]])
    wanted = torch.zeros_like(h)
    for way in range(2):
        for edge in range(4):
            wanted[out[way, edge]] += kernel[edge] * h[into[way, edge]]
    torch.testing.assert_close(blocks.edge_sum(kernel, h, into, out), wanted)
    inputs = kernel.requires_grad_(), h.requires_grad_()
    assert torch.autograd.gradcheck(lambda k, x: blocks.edge_sum(k, x, into, out), inputs)
    assert torch.autograd.gradgradcheck(lambda k, x: blocks.edge_sum(k, x, into, out), inputs)


def kept_bytes(model, graphs):
    """What autograd holds after a forward pass, each piece of memory counted once."""
    seen = {}

    def keep(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model(graphs)
    return sum(size for size, _ in seen.values()) if out else 0


def test_recomputation_keeps_less():
    model, graphs = case("bundle")
    kept = kept_bytes(model, graphs)
    model.recompute()
    assert kept_bytes(model, graphs) < kept / 2
    model.recompute(False)
    assert kept_bytes(model, graphs) == kept
