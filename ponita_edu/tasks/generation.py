"""QM9 generation: make new molecules by taking noise away (notebook 12).

The loss is that of the model's diffusion; the metrics are those of the samples: stable atoms and molecules, validity.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn

from ponita_edu.data.graphs import Graphs
from ponita_edu.data.qm9 import QM9, load_qm9
from ponita_edu.data.qm9_small import HEAVY_ATOMS, heavy_atoms, load_small
from ponita_edu.molecules.validity import validity
from ponita_edu.tasks.diffusion import ELEMENTS, Layout
from ponita_edu.tasks.generation_config import GenerationModel, GenerationSampling, GenerationSettings
from ponita_edu.tasks.generation_model import MoleculeModel
from ponita_edu.tasks.sampling import judge, sample
from ponita_edu.tasks.task import Task

PICTURE = "molecules.png"
SHOWN = 8  # samples in the picture
LEVELS = 4  # draws of noise for each molecule of a validation


class GenerationTask(Task):
    """The task to the training loop; see ``tasks.task.Task``.

    Args:
        data: molecules.
        parts: rows of "train", "val" and "test".
        condition: a target of ``data`` that the network is given.
        sampling: what is made and judged after training.
    """

    selects = "denoising_error"

    def __init__(self, data: QM9, parts: dict[str, Int[ndarray, " rows"]], condition: str | None,
                 sampling: GenerationSampling):
        self.data, self.parts, self.condition, self.sampling = data, parts, condition, sampling
        self.pos = torch.from_numpy(np.asarray(data.pos, np.float32))
        self.types = torch.from_numpy(np.searchsorted(ELEMENTS, data.numbers))
        self.sizes, self.first = torch.from_numpy(data.sizes), torch.from_numpy(data.offsets[:-1])
        self.rows = {name: torch.from_numpy(rows) for name, rows in parts.items()}
        self.values = None if condition is None else torch.from_numpy(data.targets[condition]).float()

    def to(self, device: torch.device, dtype: torch.dtype) -> "GenerationTask":
        """The same task with its data on another device, in another dtype."""
        new = GenerationTask.__new__(GenerationTask)
        new.__dict__.update(self.__dict__)
        for name in ("types", "sizes", "first"):
            setattr(new, name, getattr(self, name).to(device))
        new.rows = {name: rows.to(device) for name, rows in self.rows.items()}
        new.pos = self.pos.to(device, dtype)
        new.values = None if self.values is None else self.values.to(device, dtype)
        return new

    def size(self, split: str) -> int:
        """Number of molecules."""
        return len(self.parts[split])

    def graphs(self, split: str, index: Int[Tensor, " graphs"]) -> Graphs:
        """Molecules as complete graphs, with the type of each atom, and the property, as targets."""
        rows = self.rows[split][index]
        sizes = self.sizes[rows]
        batch = torch.arange(len(rows), device=rows.device).repeat_interleave(sizes)
        start = self.first[rows] - (torch.cumsum(sizes, 0) - sizes)
        atoms = torch.arange(len(batch), device=rows.device) + start[batch]
        y = {"types": self.types[atoms]}
        if self.values is not None:
            y["given"] = self.values[rows]
        pos = self.pos[atoms]
        return Graphs(pos, pos[:, :0], batch=batch, num_graphs=len(rows), y=y)

    def prepare(self, network: nn.Module, first: Graphs) -> None:
        """Numbers of atoms and the spread of the property into the model; kernels calibrated on noisy molecules."""
        rows = self.rows["train"]
        network.learn_statistics(self.sizes[rows], None if self.values is None else self.values[rows])
        if hasattr(network.network, "calibrate"):
            def measure(module: nn.Module, inputs: tuple) -> None:
                handle.remove()
                module.calibrate(inputs[0])

            handle = network.network.register_forward_pre_hook(measure)
            with torch.no_grad():
                self.loss(network, first, torch.Generator().manual_seed(0))

    def loss(self, network: nn.Module, graphs: Graphs, random: torch.Generator) -> Float[Tensor, ""]:
        """The diffusion's loss, a mean over molecules."""
        return self._losses(network, graphs, random).mean()

    def errors(self, network: nn.Module, graphs: Graphs) -> dict[str, Float[Tensor, " graphs"]]:
        """The same for each molecule, a mean over some draws of noise.

        Karras spreads its levels over a batch, molecule by molecule, so each molecule is tested near one level, which
        follows from its place in the batch: only the mean over a split has a meaning.
        """
        random = torch.Generator().manual_seed(0)  # the same noise in each validation
        errors = sum(self._losses(network, graphs, random) for _ in range(LEVELS)) / LEVELS
        return {self.selects: errors}

    def final(self, network: nn.Module) -> dict[str, Any]:
        """Molecules made by the model, judged."""
        wanted = self.sampling
        if wanted.molecules == 0 or self.condition is not None:
            return {}
        samples = sample(network, wanted.molecules, 0, wanted.steps, wanted.batch)
        return judge(samples, self.known if wanted.novelty else None)

    @cached_property
    def known(self) -> frozenset[str] | None:
        """SMILES of the training set, None without RDKit."""
        rows = self.parts["train"]
        sizes, first = self.data.sizes[rows], self.data.offsets[rows]
        atoms = np.repeat(first - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        bounds = np.concatenate(([0], np.cumsum(sizes)))
        try:
            return validity(self.data.numbers[atoms], self.data.pos[atoms], bounds).distinct
        except ImportError:
            return None

    def _losses(self, network: nn.Module, graphs: Graphs, random: torch.Generator) -> Float[Tensor, " graphs"]:
        return network.loss(Layout(graphs), graphs.pos, graphs.y["types"], random, graphs.y.get("given"))


def load(settings: GenerationSettings, progress: bool = True) -> GenerationTask:
    """The molecules of the settings.

    Raises:
        ValueError: if QM9 is not there, or has no such property.
    """
    limit, condition = settings.data.heavy_atoms, settings.model.condition
    if limit <= HEAVY_ATOMS and condition in (None, "alpha"):
        data, parts = load_small()
    else:
        data = load_qm9(progress=progress)
        parts = data.splits("edm")
    if condition is not None and condition not in data.targets:
        raise ValueError(f"model.condition must be a property of QM9 ({', '.join(data.targets)}), but is "
                         f"{condition!r}.")
    small = heavy_atoms(data) <= limit
    return GenerationTask(data, {name: rows[small[rows]] for name, rows in parts.items()}, condition, settings.sample)


def build(model: GenerationModel, seed: int | None = None) -> MoleculeModel:
    """The model of the settings."""
    return MoleculeModel(model, seed)


def task_on(path: str | Path, settings: GenerationSettings) -> GenerationTask:
    """Generation is judged on QM9 only.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"--data {path} cannot be used: generation is judged by its samples. Leave --data out.")


def baselines(task: GenerationTask, split: str = "test") -> dict[str, float]:
    """None: errors of different diffusions cannot be compared, and stability has no simple prediction."""
    return {}


def picture(task: GenerationTask, network: nn.Module, split: str = "test") -> Any:
    """A matplotlib figure of some samples (a conditional model aims at the test set's median).

    Raises:
        ImportError: without matplotlib and the rest of the course extra.
    """
    from ponita_edu.viz.generation import gallery

    given = None if task.values is None else float(task.values[task.rows[split]].median())
    samples = sample(network, SHOWN, 0, given=given)
    return gallery(samples.numbers, samples.pos, samples.offsets)
