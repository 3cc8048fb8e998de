"""rMD17: the energy of a molecule and the forces on its atoms, from 950 frames (notebook 10).

Input: the elements of the atoms; output: one energy. Forces are its exact negative gradient. Loss, as published:

    w mean (e - e*)^2 + mean (f - f*)^2,   e = (E - shift)/scale over molecules,  f = F/scale over atoms and x, y, z

with shift the mean training energy, scale the root mean square training force component, and w = 1/500. Errors are mean
absolute errors in meV and meV/Å. The weights are chosen by the force error on the validation frames (published: by the
energy error). Test predictions are means over several rotations of each frame.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ponita_edu.data.graphs import Graphs
from ponita_edu.data.md17 import KCAL_PER_EV, Frames, load_md17, published_split, split_by_numbers
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.nn.forcefield import ForceField, molecules, one_hot, shift_and_scale
from ponita_edu.tasks.md17_config import Md17Data, Md17Model, Md17Settings
from ponita_edu.tasks.parts import network_of
from ponita_edu.tasks.task import Task, turned

METRIC, ENERGY = "force_mae_meV_per_A", "energy_mae_meV"
PICTURE = "forces.png"
SHOWN = 50  # frames in the picture
PAIRS_AT_ONCE = {"cpu": 4_000, "cuda": 80_000}  # ordered pairs of atoms in an evaluation batch: a matter of memory


class Md17Task(Task):
    """The benchmark to the training loop; see ``tasks.task.Task``. Energies in eV, forces in eV/Å.

    Args:
        frames: one molecule.
        splits: the rows of "train", "val" and "test" for training; "test" alone for evaluation.
        settings: for the loss, the test-time rotations and the edges.
        note: what a reader of the result should know.
    """

    selects = METRIC

    def __init__(self, frames: Frames, splits: dict[str, Tensor], settings: Md17Settings, note: str = ""):
        self.frames, self.splits, self.settings, self.note = frames, splits, settings, note
        self.energy, self.forces = frames.energy / KCAL_PER_EV, frames.forces / KCAL_PER_EV
        self.pos = frames.pos - frames.pos.mean(1, keepdim=True)  # the origin is nothing to a network, but rounding is
        self.like = self.pos
        turns = settings.protocol.turns if settings.model.method == "ponita" else 1
        self._turns = random_rotations(turns * len(splits["test"]), 3, seed=17).reshape(-1, turns, 3, 3)
        self._empty: dict[int, Graphs] = {}
        self.shift, self.scale = float(self.energy.mean()), 1.0
        if "train" in splits:
            self.shift, self.scale = shift_and_scale(self.energy[splits["train"]], self.forces[splits["train"]])

    def to(self, device: torch.device, dtype: torch.dtype) -> "Md17Task":
        """The same task with its data on another device, its batches in another dtype; the data stay in float64."""
        new = copy.copy(self)
        new._empty = {}
        for name in ("energy", "forces", "pos", "_turns"):
            setattr(new, name, getattr(self, name).to(device))
        new.splits = {name: rows.to(device) for name, rows in self.splits.items()}
        new.like = torch.empty(0, dtype=dtype, device=device)
        return new

    @property
    def evaluation_batch(self) -> int:
        """Frames at once, so that the memory needed depends on neither their number nor their size."""
        return max(1, PAIRS_AT_ONCE.get(self.pos.device.type, 4_000) // len(self.frames.numbers) ** 2)

    def size(self, split: str) -> int:
        """Number of frames."""
        return len(self.splits[split])

    @property
    def test_work(self) -> int:
        """Each test frame is predicted in several rotations."""
        return self.size("test") * self._turns.shape[1]

    def graphs(self, split: str, index: Int[Tensor, " graphs"]) -> Graphs:
        """Frames with normalised energies and forces as targets; in the test set also the rotations to average over."""
        rows, count = self.splits[split][index], len(index)
        pos = self.pos[rows].to(self.like.dtype).flatten(0, 1)
        y = {"energy": ((self.energy[rows] - self.shift) / self.scale).to(pos)}
        if split == "test" and self._turns.shape[1] > 1:
            y["turns"] = self._turns[index].to(pos)
        targets = {"y": y, "y_vec": {"forces": (self.forces[rows] / self.scale).to(pos).flatten(0, 1)}}
        model, atoms = self.settings.model, len(self.frames.numbers)
        if model.cutoff is not None or count not in self._empty:
            batch = torch.arange(count, device=pos.device).repeat_interleave(atoms)
            x = one_hot(self.frames.numbers, torch.tensor(elements_of(model))).repeat(count, 1).to(pos)
            self._empty[count] = molecules(pos, x, batch, model.cutoff)
            _ = self._empty[count].mutual  # worked out here, and shared by all batches of that size
        return self._empty[count]._replace(pos=pos, **targets)

    def prepare(self, network: nn.Module, first: Graphs) -> None:
        """Shift, scale and elements of the training frames, then the scale of the kernels."""
        network.normalise(self.shift, self.scale, self.frames.numbers)
        network.calibrate(first)

    def loss(self, network: nn.Module, graphs: Graphs, random: torch.Generator) -> Float[Tensor, ""]:
        """w mean (e - e*)^2 + mean (f - f*)^2."""
        energy, forces = network(graphs, create_graph=True)
        return (self.settings.protocol.energy_weight * (energy - graphs.y["energy"]).square().mean()
                + (forces - graphs.y_vec["forces"]).square().mean())

    def errors(self, network: nn.Module, graphs: Graphs) -> dict[str, Float[Tensor, " graphs"]]:
        """Mean absolute errors of each frame; in the test set of the mean over the rotations, and of one rotation."""
        network.check_trained(self.frames.numbers)
        turns = graphs.y.get("turns")
        if turns is None:
            return self._errors(graphs, *self._predict(network, graphs))
        energy, forces, one = 0.0, 0.0, {}
        for k in range(turns.shape[1]):
            e, f = self._predict(network, turned(graphs, turns[:, k]))
            energy, forces = energy + e, forces + torch.einsum("nji,nj->ni", turns[graphs.batch, k], f)
            if k == 0:
                one = {f"one_turn_{name}": a for name, a in self._errors(graphs, energy, forces).items()}
        return self._errors(graphs, energy / turns.shape[1], forces / turns.shape[1]) | one

    def _predict(self, network: nn.Module, graphs: Graphs) -> tuple[Tensor, Tensor]:
        # in eV and eV/Å, the energy from the data's shift on, so that float32 is precise enough
        energy, forces = network(graphs)
        return energy * network.scale + (network.shift - self.shift), forces * network.scale

    def _errors(self, graphs: Graphs, energy: Tensor, forces: Tensor) -> dict[str, Tensor]:
        off = (forces - graphs.y_vec["forces"] * self.scale).abs().reshape(graphs.num_graphs, -1).mean(1)
        return {METRIC: 1000 * off, ENERGY: 1000 * (energy - graphs.y["energy"] * self.scale).abs()}


def elements_of(model: Md17Model) -> list[int]:
    """The atomic numbers of the settings."""
    return [int(k) for k in model.elements.split()]


def load(settings: Md17Settings, progress: bool = True) -> Md17Task:
    """The frames of the settings, shared out.

    Raises:
        ValueError: if there are no such frames, or fewer than asked for.
    """
    data, frames = settings.data, load_md17(settings.data.source)
    train, val, test = shares(data, len(frames))
    note = "" if len(test) else "No frames are left for a test: test errors are those of the validation frames."
    return Md17Task(frames, {"train": train, "val": val, "test": (test if len(test) else val)[:data.test]},
                    settings, note)


def shares(data: Md17Data, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the training, validation and test frames."""
    if data.split == "published":
        return published_split(count)
    return split_by_numbers(count, data.train, data.val, None if data.split == "rows" else data.seed)


def build(model: Md17Model, seed: int | None = None) -> ForceField:
    """The force field of the settings, not yet fitted to any data."""
    elements = elements_of(model)
    inout = dict(scalars_in=len(elements), vectors_in=0, scalars_out=1, vectors_out=0)
    # the gain: bond lengths differ little, and matter most for forces
    network = network_of(model, seed, model.cutoff, "graph", distance_gain=10.0, **inout)
    return ForceField(network, elements, model.cutoff)


def task_on(path: str | Path, settings: Md17Settings) -> Md17Task:
    """The task with all frames of a file (or name) as its test set; see ``load_md17``."""
    frames = load_md17(path)
    return Md17Task(frames, {"test": torch.arange(len(frames))}, settings)


def baselines(task: Md17Task, split: str = "test") -> dict[str, float]:
    """The error of no forces at all."""
    return {"no forces": 1000 * float(task.forces[task.splits[split]].abs().mean())}


def picture(task: Md17Task, network: nn.Module, split: str = "test") -> Any:
    """A matplotlib figure of predicted against true forces of the first frames of a split.

    Raises:
        ImportError: without matplotlib and the rest of the course extra.
    """
    from ponita_edu.viz.plots import plot_forces

    index = torch.arange(min(SHOWN, task.size(split)), device=task.pos.device)
    parts = [task._predict(network, task.graphs(split, part))[1] for part in index.split(task.evaluation_batch)]
    truth = task.forces[task.splits[split][index]].flatten(0, 1)
    return plot_forces(truth.cpu().numpy(), torch.cat(parts).double().cpu().numpy(),
                       task.frames.numbers.repeat(len(index)).numpy())
