"""Weights by the names of the public implementations (recorded ones: test_parity)."""

import pytest
import torch
from clouds import F64, hard_batch

from ponita_edu.geometry import make_grid
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita
from ponita_edu.nn.public import load_public_state_dict, our_name

PUBLIC = [
    ("basis.", "basis_fn."), ("fiber_basis.", "fiber_basis_fn."), ("embed.", "x_embedder."),
    (".conv.spatial.key_transform.", ".conv.key_transform."),
    (".conv.spatial.query_transform.", ".conv.query_transform."),
    (".conv.spatial.kernel.", ".conv.kernel."), (".conv.fiber.kernel.", ".conv.fiber_kernel."),
    ("blocks.", "interaction_layers."), ("readouts.", "read_out_layers."),
]
SETTINGS = {
    "bundle": dict(),
    "bundle_last_scale": dict(readout="last", layer_scale=0.1),
    "bundle_attention": dict(attention=True, layers=2),
    "bundle_2d": dict(dim=2),
    "edges": dict(space="edges"),
    "positions": dict(space="positions", vectors_in=0, vectors_out=0),
}


def network(seed, **settings):
    config = PonitaConfig(**dict(scalars_in=2, vectors_in=2, scalars_out=1, vectors_out=1, hidden=6, basis=7, layers=3,
                                 degree=3, widening=2, centred_readout=False) | settings)
    grid = None
    if config.space == "bundle":
        grid = make_grid("fibonacci", 5 + seed) if config.dim == 3 else make_grid("circle", 5 + seed)
    return Ponita(config, grid, seed=seed).double()


def public_state(model):
    """The model's weights as the public code would have named them, with what else its checkpoints hold."""
    state = {}
    for name, value in model.named_parameters():
        for ours, theirs in PUBLIC:
            if name.startswith(ours) or (ours.startswith(".") and ours in name):
                name = name.replace(ours, theirs, 1)
        if name.startswith("read_out") and model.config.readout == "last":
            name = name.replace(".0.", f".{model.config.layers - 1}.", 1)
        state[name] = value.detach().clone()
    if model.grid is not None:
        state["ori_grid"] = model.ori.clone()
    for layer in range(model.config.layers):
        state[f"interaction_layers.{layer}.conv.callibrated"] = torch.tensor(True)
    return state


def batch(model):
    return hard_batch(model.config.dim, vectors=model.config.vectors_in)


def difference(a, b):
    graphs = batch(a)
    with torch.no_grad():
        return max(float((p - q).abs().max()) for p, q in zip(a(graphs), b(graphs), strict=True) if p.numel())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_public_state_dict_gives_the_same_network_grid_included(name):
    model, other = network(0, **SETTINGS[name]), network(1, **SETTINGS[name])
    assert difference(model, other) > 1e-4  # other weights and another grid
    load_public_state_dict(other, public_state(model))
    assert difference(model, other) == 0.0
    if model.grid is not None:
        assert len(other.grid) == 5 and torch.equal(other.ori, model.ori)


def test_a_prefix_is_taken_off_and_other_names_are_left_alone():
    model, other = network(0), network(1)
    state = {f"model.{k}": v for k, v in public_state(model).items()} | {"train_metric.total": torch.zeros(1)}
    load_public_state_dict(other, state, prefix="model.")
    assert difference(model, other) == 0.0


def test_without_a_grid_in_the_dict_the_networks_own_stays():
    model, other = network(0), network(1)
    own = other.ori.clone()
    load_public_state_dict(other, {k: v for k, v in public_state(model).items() if k != "ori_grid"})
    assert torch.equal(other.ori, own)
    model.set_grid(other.grid)
    assert difference(model, other) == 0.0


@pytest.mark.parametrize("name", SETTINGS)
def test_distinct_monomials_get_the_sum_of_the_repeated_columns(name):
    model, other = network(0, **SETTINGS[name]), network(1, distinct_monomials=True, **SETTINGS[name])
    assert other.num_parameters <= model.num_parameters
    load_public_state_dict(other, public_state(model))
    assert difference(model, other) < 1e-13


@pytest.mark.parametrize("public, ours", [
    ("basis_fn.1.weight", "basis.1.weight"),
    ("interaction_layers.12.conv.kernel.weight", "blocks.12.conv.spatial.kernel.weight"),
    ("interaction_layers.3.conv.bias", "blocks.3.conv.bias"),
    ("interaction_layers.3.layer_scale", "blocks.3.layer_scale"),
    ("read_out_layers.4.bias", "readouts.4.bias"),
])
def test_public_names_are_translated(public, ours):
    assert our_name(public, 5) == ours


def test_a_single_readout_is_the_last_there_and_the_first_here():
    assert our_name("read_out_layers.4.bias", 5, "last") == "readouts.0.bias"


def test_loading_keeps_the_dtype_of_the_network():
    model, other = network(0), network(1).float()
    load_public_state_dict(other, public_state(model))
    assert other.embed.weight.dtype == torch.float32 == other.ori.dtype
    graphs = batch(model)
    assert (model(graphs).scalar - other(graphs.to(torch.float32)).scalar).abs().max() < 1e-5
    assert model.embed.weight.dtype == F64
