"""The exact claim beside controls that must fail, and what the precision of the numbers does to both (notebook 07)."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ponita_edu.analysis.equivariance import equivariance_error
from ponita_edu.analysis.equivariance_table import random_clouds
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import make_grid
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita, Prediction
from ponita_edu.nn.seeds import seeded

GRID = "icosahedron"
_INOUT = dict(scalars_in=1, vectors_in=1, scalars_out=1, vectors_out=1, hidden=16, basis=16, layers=3)
CONFIGS = {
    "positions only": PonitaConfig(**(_INOUT | dict(vectors_in=0, vectors_out=0)), space="positions"),
    "bundle": PonitaConfig(**_INOUT),
    "lifted edges": PonitaConfig(**_INOUT, space="edges"),
    "full": PonitaConfig(**_INOUT, conv="full", attributes="e3"),
    "full, signed": PonitaConfig(**_INOUT, conv="full", attributes="se3"),
}


def networks_of(kind: str, count: int) -> list[Ponita]:
    """Untrained networks of a kind, seeds 0, 1, ...; those with a grid have the icosahedron's 12 corners."""
    config = CONFIGS[kind]
    return [Ponita(config, make_grid(GRID) if config.space == "bundle" else None, seed=k) for k in range(count)]


def batch_for(kind: str) -> Graphs:
    """Random clouds; without velocities if the network knows positions only."""
    graphs = random_clouds()
    return graphs._replace(vec=None) if kind == "positions only" else graphs


# ----------------------------------------------------------------------------------------------- claims and controls
class Forgetful(nn.Module):
    """A network that is always given the same vectors, however its input was turned: velocities were forgotten."""

    def __init__(self, model: Ponita, graphs: Graphs):
        super().__init__()
        self.model, self.vec = model, nn.Parameter(graphs.vec, requires_grad=False)

    def forward(self, graphs: Graphs) -> Prediction:
        return self.model(graphs._replace(vec=self.vec))


class Coordinates(nn.Module):
    """A network of the bare coordinates, one hidden layer: nothing in it knows about rotations."""

    def __init__(self, nodes: int, seed: int, hidden: int = 64):
        super().__init__()
        with seeded(seed):
            self.net = nn.Sequential(nn.Linear(6 * nodes, hidden), nn.Tanh(), nn.Linear(hidden, 4 * nodes))

    def forward(self, graphs: Graphs) -> Prediction:
        out = self.net(torch.cat((graphs.pos, graphs.vec[:, 0]), dim=1).flatten()).reshape(-1, 4)
        return Prediction(out[:, :1], out[:, None, 1:])


# what, network, motions, whether the grid moves, whether it must be exact
CLAIMS = (
    ("any motion of E(3)", "positions only", "E", False, True),
    ("any motion of E(3)", "lifted edges", "E", False, True),
    ("grid moved too, any motion of E(3)", "bundle", "E", True, True),
    ("grid moved too, any motion of E(3)", "full", "E", True, True),
    ("grid moved too, any motion of SE(3)", "full, signed", "SE", True, True),
    ("the grid's own rotations", "bundle", "grid", False, True),
    ("the grid's own rotations", "full", "grid", False, True),
    ("grid in place, any rotation", "bundle", "SO", False, False),
    ("grid in place, any rotation", "full", "SO", False, False),
    ("control: reflections too", "full, signed", "E", True, False),
    ("control: velocities not turned", "lifted edges", "SO", False, False),
    ("control: velocities not turned, grid moved too", "bundle", "SO", True, False),
    ("control: vectors taken for invariants", "bundle", "SO", True, False),
    ("control: the bare coordinates", "coordinates", "SO", False, False),
)


def claim_rows(networks: int = 1) -> list[dict[str, Any]]:
    """For each of ``CLAIMS``: relative L2 error in float64, the worst of outputs and motions, of the best network
    (``least``) and of the worst (``largest``)."""
    rows = []
    for what, kind, motions, move_grid, exact in CLAIMS:
        graphs = batch_for(kind)
        models = ([Coordinates(graphs.num_nodes, k) for k in range(networks)] if kind == "coordinates"
                  else networks_of(kind, networks))
        if "velocities" in what:
            models = [Forgetful(model, graphs) for model in models]
        outputs = {"vector": "invariant"} if "taken for" in what else None
        reports = [equivariance_error(m, graphs, motions, move_grid, outputs=outputs) for m in models]
        found = [max(o.worst for o in report.outputs.values()) for report in reports]
        rows.append({"what": what, "network": kind, "exact": exact, "least": min(found), "largest": max(found)})
    return rows


# --------------------------------------------------------------------------------------------------------- precision
def to_tf32(a: Tensor) -> Tensor:
    """float32 rounded to 10 bits of mantissa (half to even), as tensor cores read it; the range stays float32's."""
    bits = a.contiguous().view(torch.int32)
    dropped = 13
    half = (1 << (dropped - 1)) - 1 + ((bits >> dropped) & 1)
    return ((bits + half) & -(1 << dropped)).view(torch.float32)


class _RoundedProducts(TorchDispatchMode):
    PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.bmm.default, torch.ops.aten.addmm.default)

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        if op in self.PRODUCTS:  # the last two arguments are the factors; addmm's first one, the bias, stays
            args = (*args[:-2], *(to_tf32(a) if a.dtype == torch.float32 else a for a in args[-2:]))
        return op(*args, **(kwargs or {}))


@contextmanager
def tf32_products() -> Iterator[None]:
    """Round the factors of all float32 matrix products inside to TF32; sums stay float32, as on a GPU."""
    with _RoundedProducts():
        yield


class TensorFloat32(nn.Module):
    """A network as a GPU would run it with TF32 allowed, emulated on any device."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, graphs: Graphs) -> Prediction:
        with tf32_products():
            return self.model(graphs)


# what, network, motions, whether the grid moves
PRECISE = (
    ("exact: any motion of SE(3)", "lifted edges", "SE", False),
    ("exact: grid moved too", "bundle", "SO", True),
    ("exact: the grid's own rotations", "bundle", "grid", False),
    ("approximate: grid in place", "bundle", "SO", False),
)


def precision_rows(networks: int = 1) -> list[dict[str, Any]]:
    """Relative L2 error of the vectors, median over motions and networks, in float64, float32 and emulated TF32."""
    rows = []
    for what, kind, motions, move_grid in PRECISE:
        row: dict[str, Any] = {"what": what, "network": kind}
        for numbers, dtype in (("float64", torch.float64), ("float32", torch.float32), ("TF32", torch.float32)):
            models = [TensorFloat32(m) if numbers == "TF32" else m for m in networks_of(kind, networks)]
            row[numbers] = statistics.median(
                equivariance_error(m, batch_for(kind), motions, move_grid, dtype=dtype).outputs["vector"].median
                for m in models)
        rows.append(row)
    return rows
