"""The textbook network that speed is measured against is the same function as the library's."""

import sys
from pathlib import Path

import pytest
import torch
from clouds import F64, answers, hard_batch, shaken

from ponita_edu.geometry import make_grid
from ponita_edu.nn import Ponita, PonitaConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from yardstick import Textbook

SETTINGS = {
    "bundle": dict(scalars_out=1, vectors_in=2, vectors_out=1, layer_scale=0.3),
    "energies": dict(scalars_out=1, vectors_in=2, level="graph"),
    "positions": dict(scalars_out=1, space="positions", level="graph"),
}


def pair(kind, dtype):
    config = PonitaConfig(2, hidden=8, basis=8, layers=2, widening=2, **SETTINGS[kind])
    model = Ponita(config, make_grid("octahedron") if config.space == "bundle" else None, seed=0).to(dtype)
    return shaken(model), Textbook(model), hard_batch(3, vectors=config.vectors_in).to(dtype)


def flat(network, graphs):
    out, weights, _ = answers(network, graphs)
    return torch.cat([a.flatten() for a in out]), weights


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("dtype, bound", [(F64, 1e-10), (torch.float32, 1e-5)], ids=["float64", "float32"])
def test_textbook_and_library_agree_in_values_forces_and_gradients(kind, dtype, bound):
    model, textbook, graphs = pair(kind, dtype)
    for ours, theirs in zip(flat(model, graphs), flat(textbook, graphs), strict=True):
        assert (ours - theirs).norm() < bound * theirs.norm()
    textbook.values[1].data.mul_(1.5)  # negative control: another weight, another function
    ours, theirs = flat(model, graphs)[0], flat(textbook, graphs)[0]
    assert (ours - theirs).norm() > 100 * bound * theirs.norm()
