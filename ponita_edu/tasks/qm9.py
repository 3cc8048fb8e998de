"""QM9: which properties does a molecule have (notebook 11)?

Input: elements (one-hot) and positions. Loss: mean absolute error of the standardised target; metric: the same in
published units (meV for energies). Prediction: a reference (training mean, or regression on the element counts) plus
the sum over atoms of what the network gives, in units of the spread around that reference.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from ponita_edu.data.cache import open_npz
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.packed import PackedMolecules, pack
from ponita_edu.data.qm9 import QM9, UNITS, load_qm9, load_subset
from ponita_edu.geometry.invariants import safe_norm
from ponita_edu.nn.ponita import Ponita
from ponita_edu.tasks.parts import network_of
from ponita_edu.tasks.qm9_config import QM9Model, QM9Settings
from ponita_edu.tasks.task import Task

PICTURE = "predicted_and_true.png"
_FACE = {"eV": ("meV", 1000.0), "D": ("D", 1.0), "bohr^3": ("bohr3", 1.0), "bohr^2": ("bohr2", 1.0),
         "cal/(mol K)": ("cal_per_molK", 1.0)}
_FAR = 1000.0  # Å; the "radius" of a complete graph of lifted bonds, as in the public code


class QM9Network(nn.Module):
    """A PONITA that gives one standardised number a molecule, and knows how to make it a property.

        property = c . (n_H, n_C, n_N, n_O, n_F, 1) + scale * network(molecule)

    Coefficients and scale stay in float64, so that total energies of 10,000 eV lose nothing.

    Args:
        core: one scalar, or one vector whose length is the number, summed over the atoms.
    """

    def __init__(self, core: Ponita):
        super().__init__()
        self.core = core
        self.register_buffer("coefficients", torch.zeros(6, dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def _apply(self, fn, recurse: bool = True):
        exact = {name: getattr(self, name) for name in ("coefficients", "scale")}
        super()._apply(fn, recurse)
        for name, value in exact.items():
            setattr(self, name, value.to(getattr(self, name).device))
        return self

    def vector(self, graphs: Graphs) -> Float[Tensor, "graphs 3"]:
        """The vector whose length is the prediction, in its unit."""
        return self.scale * self.core(graphs).vector[:, 0]

    def forward(self, graphs: Graphs) -> Float[Tensor, " graphs"]:
        """The standardised number."""
        out = self.core(graphs)
        return safe_norm(out.vector[:, 0]) if self.core.config.vectors_out else out.scalar[:, 0]

    def reference(self, graphs: Graphs) -> Float64[Tensor, " graphs"]:
        """What is known without the network."""
        counts = graphs.x.new_zeros(graphs.num_graphs, 5).index_add(0, graphs.batch, graphs.x).double()
        return counts @ self.coefficients[:5] + self.coefficients[5]

    def predict(self, graphs: Graphs) -> Float64[Tensor, " graphs"]:
        """The property in the unit of the data."""
        return self.reference(graphs) + self.scale * self(graphs).double()


class QM9Task(Task):
    """QM9 to the training loop; see ``tasks.task.Task``.

    Args:
        molecules: by split.
        targets: one value a molecule, in the unit of ``UNITS``.
        target: its name.
        model: the settings that say what is added to the network.
        note: what a reader of the result should know.
    """

    def __init__(self, molecules: dict[str, PackedMolecules], targets: dict[str, Float64[Tensor, " molecules"]],
                 target: str, model: QM9Model, note: str = ""):
        self.molecules, self.targets, self.target, self.model, self.note = molecules, targets, target, model, note
        unit, self.factor = _FACE[UNITS[target]]
        self.selects = f"mae_{unit}"

    def to(self, device: torch.device, dtype: torch.dtype) -> "QM9Task":
        """The same task with its data on another device, positions in another dtype; targets stay in float64."""
        return QM9Task({name: m.to(device, dtype) for name, m in self.molecules.items()},
                       {name: y.to(device) for name, y in self.targets.items()}, self.target, self.model,
                       self.note)

    def size(self, split: str) -> int:
        """Number of molecules."""
        return len(self.molecules[split])

    def graphs(self, split: str, index: Int[Tensor, " graphs"]) -> Graphs:
        """Molecules as a ragged batch, put together by indexing on the device."""
        return self.molecules[split].batch(index)._replace(y={self.target: self.targets[split][index]})

    def prepare(self, network: QM9Network, first: Graphs) -> None:
        """Fit the reference to the training set, standardise by the spread around it, calibrate the kernels."""
        y = self.targets["train"]
        if self.model.output == "norm":
            coefficients = torch.zeros(6, dtype=torch.float64)
        else:
            coefficients = fit_reference(self.counts("train"), y, self.model.reference)
        rest = y - _with_one(self.counts("train")) @ coefficients.to(y)
        network.coefficients.copy_(coefficients)
        network.scale.copy_(rest.std(correction=0))
        network.core.calibrate(first)

    def loss(self, network: nn.Module, graphs: Graphs, random: torch.Generator) -> Float[Tensor, ""]:
        """Mean absolute error of the standardised target, shifted in float64."""
        wanted = (graphs.y[self.target] - network.reference(graphs)) / network.scale
        return (network(graphs) - wanted.to(graphs.pos.dtype)).abs().mean()

    def errors(self, network: nn.Module, graphs: Graphs) -> dict[str, Float[Tensor, " graphs"]]:
        """Absolute error of each molecule, in the published unit."""
        return {self.selects: self.factor * (network.predict(graphs) - graphs.y[self.target]).abs()}

    def counts(self, split: str) -> Float64[Tensor, "molecules 5"]:
        """How many H, C, N, O, F each molecule has."""
        m = self.molecules[split]
        molecule = torch.arange(len(m), device=m.sizes.device).repeat_interleave(m.sizes)
        return torch.bincount(5 * molecule + m.kinds, minlength=5 * len(m)).reshape(-1, 5).double()


def fit_reference(counts: Float64[Tensor, "molecules 5"], y: Float64[Tensor, " molecules"], kind: str
                  ) -> Float64[Tensor, " 6"]:
    """Coefficients of the element counts and 1: least squares (``elements``), or only the mean (``mean``)."""
    if kind == "mean":
        return torch.cat((y.new_zeros(5), y.mean()[None]))
    return torch.linalg.lstsq(_with_one(counts).cpu(), y[:, None].cpu(), driver="gelsd").solution[:, 0]


def _with_one(counts: Tensor) -> Tensor:
    return torch.cat((counts, torch.ones_like(counts[:, :1])), dim=1)


def load(settings: QM9Settings, progress: bool = True) -> QM9Task:
    """The data of the settings."""
    data = settings.data
    whole = load_subset() if data.source == "subset" else load_qm9(progress=progress)
    rows = {name: part[: getattr(data, name)] for name, part in whole.splits("dimenet").items()}
    note = ("Trained and tested on a part of QM9: not to be compared with published errors." if whole.subset
            or len(rows["test"]) < 10_831 else "")
    return QM9Task({name: pack_rows(whole, part, settings.model) for name, part in rows.items()},
                   {name: torch.from_numpy(whole.targets[data.target][part]) for name, part in rows.items()},
                   data.target, settings.model, note)


def pack_rows(data: QM9, rows: Int[np.ndarray, " rows"], model: QM9Model) -> PackedMolecules:
    """Some molecules of a data set, see ``pack_for``."""
    atoms = np.concatenate([np.arange(*data.offsets[row : row + 2]) for row in rows])
    return pack_for(model, data.numbers[atoms], data.pos[atoms], data.sizes[rows])


def pack_for(model: QM9Model, numbers: Int[np.ndarray, " atoms"], pos: Float[np.ndarray, "atoms 3"],
             sizes: Int[np.ndarray, " molecules"]) -> PackedMolecules:
    """Molecules with the pairs that the network of the settings wants; edges to lift are bonds always."""
    return pack(numbers, pos, sizes, "bonds" if model.method == "edges" else model.graph, model.cutoff)


def build(model: QM9Model, seed: int | None = None) -> QM9Network:
    """The network of the settings.

    Raises:
        ValueError: on settings that do not go together.
    """
    norm = model.output == "norm"
    complete = _FAR if model.method == "edges" else None
    radius = {"complete": complete, "cutoff": model.cutoff, "bonds": None}[model.graph]
    return QM9Network(network_of(model, seed, radius, "graph", scalars_in=5, scalars_out=int(not norm),
                                 vectors_out=int(norm)))


def baselines(task: QM9Task, split: str = "test") -> dict[str, float]:
    """Mean absolute errors of the training mean and of the regression on element counts, fitted to the same rows."""
    fitted = "train" if "train" in task.targets else split
    names = {"mean": "training mean", "elements": "element counts"}
    found = {}
    for kind, name in names.items():
        coefficients = fit_reference(task.counts(fitted), task.targets[fitted], kind).to(task.targets[split])
        rest = task.targets[split] - _with_one(task.counts(split)) @ coefficients
        found[name] = task.factor * float(rest.abs().mean())
    return found


def task_on(path: str | Path, settings: QM9Settings) -> QM9Task:
    """The task with the molecules of a file as its test set: an .npz with ``numbers`` [atoms], ``pos`` [atoms, 3] (Å),
    ``sizes`` [molecules], and the target under its name [molecules], in the unit of ``UNITS``.

    Raises:
        ValueError: if it cannot be read, lacks an array, or holds one of another shape or with impossible values.
    """
    target = settings.data.target
    names = ("numbers", "pos", "sizes", target)
    try:
        with open_npz(path) as file:
            missing = [name for name in names if name not in file.files]
            arrays = {name: file[name] for name in names if name not in missing}
    except Exception as error:  # numpy and zipfile raise many things on a damaged file
        raise ValueError(f"the data file {path} cannot be read ({type(error).__name__}: {error!s:.150}). Give an "
                         ".npz file.") from None
    if missing:
        raise ValueError(f"the data file {path} lacks {', '.join(missing)}; it needs {', '.join(names)}.")
    numbers, pos, sizes, y = (arrays[name] for name in names)
    if not (sizes.ndim == 1 and len(sizes) and sizes.dtype.kind in "iu" and (sizes > 0).all()):
        raise ValueError(f"sizes in the data file {path} must be whole numbers of atoms, each at least 1 and one a "
                         f"molecule, but are {sizes.tolist()!s:.80}. Count the atoms of each molecule.")
    if not (numbers.shape[:1] == pos.shape[:1] == (sizes.sum(),) and y.shape == sizes.shape):
        raise ValueError(f"the data file {path} must hold as many atoms as sizes adds up to, and a target for each "
                         f"size, but has {numbers.size} atoms, {len(sizes)} sizes that add up to {sizes.sum()}, and "
                         f"targets of shape {list(y.shape)}.")
    if y.dtype.kind not in "fiu" or not np.isfinite(y).all():
        raise ValueError(f"{target} in the data file {path} must be finite real numbers, but is {y.tolist()!s:.80}. "
                         "Leave out molecules whose value is not known.")
    model = settings.model
    molecules = pack_for(model, numbers, pos.astype(np.float32), sizes)
    return QM9Task({"test": molecules}, {"test": torch.from_numpy(y.astype(np.float64))}, target, model)


def picture(task: QM9Task, network: nn.Module, split: str = "test") -> Any:
    """A matplotlib figure of predicted against true values of the first 2,000 molecules of a split.

    Raises:
        ImportError: without matplotlib and the rest of the course extra.
    """
    from ponita_edu.viz.plots import plot_parity

    graphs = task.graphs(split, torch.arange(min(2000, task.size(split)), device=next(network.parameters()).device))
    with torch.no_grad():
        predicted = network.predict(graphs)
    return plot_parity(graphs.y[task.target].cpu().numpy(), predicted.cpu().numpy(), task.target, UNITS[task.target])
