"""The networks on which the prediction of ``orientation_bound`` is tested: trained and untrained, with a batch each."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ponita_edu.analysis import md17_curves
from ponita_edu.analysis.equivariance_table import random_clouds
from ponita_edu.analysis.kernel_tasks import nbody_task
from ponita_edu.analysis.trained_equivariance import QUICK
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.md17 import load_md17
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita
from ponita_edu.tasks import qm9
from ponita_edu.tasks.run import load_model

BATCH = 4


def untrained(smooth: bool = False, seed: int = 0) -> tuple[Ponita, Graphs]:
    """Random weights on random clouds, as in notebook 07; ``smooth`` puts |r_⊥|² in the place of |r_⊥|."""
    config = PonitaConfig(scalars_in=1, vectors_in=1, scalars_out=1, vectors_out=1, hidden=32, basis=32, layers=3)
    model = Ponita(config, seed=seed)
    return (squared(model) if smooth else model).double(), random_clouds()


class _Square(nn.Module):
    def forward(self, attributes: Tensor) -> Tensor:
        return torch.stack((attributes[..., 0], attributes[..., 1].square()), dim=-1)


def squared(model: Ponita) -> Ponita:
    """The network, its spatial kernels seeing (r·o, |r_⊥|²): smooth everywhere on the sphere."""
    model.basis.insert(0, _Square())
    return model


def nbody(trained: bool = True) -> tuple[Ponita, Graphs]:
    """The network of the quick preset that comes with the package, on test systems; or its like with random weights."""
    model, graphs = load_model(QUICK)[2], nbody_task(1, BATCH).test[0]
    if not trained:
        model = Ponita(model.config, model.grid, seed=0)
        model.calibrate(graphs)
    return model.double(), graphs.to(torch.float64)


def qm9_property(target: str) -> tuple[Ponita, Graphs]:
    """The quick network for ``U0_atom`` or ``mu`` that comes with the package, on test molecules."""
    settings, network = load_model(QUICK.parent / f"qm9_quick_{target}")[1:3]
    subset = replace(settings, data=replace(settings.data, source="subset", train=100, val=100, test=100))
    return network.core.double(), qm9.load(subset).graphs("test", torch.arange(BATCH)).to(torch.float64)


def ethanol(steps: int = 500) -> tuple[Ponita, Graphs]:
    """A bundle on octahedra trained on GFN2-xTB frames of ethanol for so many steps of 5 frames (notebook 10)."""
    task = md17_curves.make_task(load_md17("ethanol_xtb"), 950)
    field = md17_curves.make_network("PONITA")
    md17_curves.train(field, task.to(torch.device("cpu"), torch.float32), steps=steps)
    return field.network.double(), task.graphs("test", torch.arange(BATCH)).to(torch.float64)


NETWORKS: dict[str, Callable[[], tuple[Ponita, Graphs]]] = {
    "random clouds, untrained": untrained,
    "N-body, untrained": lambda: nbody(trained=False),
    "N-body, trained": nbody,
    "QM9 dipole, trained": lambda: qm9_property("mu"),
    "QM9 energy, trained": lambda: qm9_property("U0_atom"),
    "ethanol energy, trained": ethanol,
}
