r"""How many different kernel values does a structure need, once equal classes are shared? (notebook 13)

The spatial kernel is a function of the numbers (r.o, |r_perp|) that name the class of a pair, an edge with an
orientation. Equal numbers, equal value: pairs and their reverses (o -> -o), all self loops, whatever a symmetry of the
molecule maps on each other together with the grid, and every repeat of a crystal. Three ways to evaluate:

    all      every pair for itself
    library  reverses and self loops shared, as ``Ponita.share_classes`` does where the grid holds its opposites
    classes  one value for each row of numbers that differs from the others

    python -m ponita_edu.analysis.kernel_classes --out results/kernel_classes.json
"""

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ponita_edu.data.graphs import Graphs
from ponita_edu.data.md17 import load_md17
from ponita_edu.geometry import random_rotations
from ponita_edu.geometry.grids import Grid, make_grid
from ponita_edu.molecules.shapes import make_molecule
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.forcefield import molecules
from ponita_edu.nn.kernels import RowWise
from ponita_edu.nn.ponita import Ponita
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts, keep_memory

SAME = 1e-8  # numbers (Å) closer than this are equal: far above rounding in float64, far below what matters
CUTOFF = 4.0  # Å, of crystals
WAYS = ("all", "library", "classes")


def classes(attributes: Float[Tensor, "rows numbers"], same: float = SAME
            ) -> tuple[Int[Tensor, " classes"], Int[Tensor, " rows"]]:
    """One row of each class, and the class of each row: rows are one class if all numbers, rounded, are equal.

    Numbers on two sides of a rounding border stay apart: their value is then computed twice, and right both times.

    Args:
        same: what numbers are rounded to, in their own unit.
    """
    rows = len(attributes)
    which = torch.zeros(rows, dtype=torch.long, device=attributes.device)
    for column in (attributes / same).round().unbind(-1):  # one column at a time: ten times as fast as dim=0
        which = torch.unique(which * rows + torch.unique(column, return_inverse=True)[1], return_inverse=True)[1]
    first = torch.full((int(which.max()) + 1 if rows else 0,), rows, device=which.device)
    return first.scatter_reduce(0, which, torch.arange(rows, device=which.device), "amin"), which


class ByClass(nn.Module):
    """A kernel basis that is evaluated once for each class, then copied to all pairs of the class.

    Copies carry no derivative back to the pairs that they stand for, so where positions want one (forces), every pair
    is evaluated for itself.
    """

    def __init__(self, basis: RowWise, same: float = SAME):
        super().__init__()
        self.basis, self.same = basis, same

    def forward(self, attributes: Float[Tensor, "*rows numbers"], window: Float[Tensor, "*rows"] | None = None
                ) -> Float[Tensor, "*rows basis"]:
        if attributes.requires_grad:
            return self.basis(attributes, window)
        rows = attributes.reshape(-1, attributes.shape[-1])
        first, which = classes(rows, self.same)  # the window is a function of the distance, so of the class
        values = self.basis(rows[first], None if window is None else window.reshape(-1)[first])
        return values[which].reshape(*attributes.shape[:-1], -1)


# ---------------------------------------------------------------------------------------------------- the structures
def molecule(name: str) -> Graphs:
    """A molecule of ``MOLECULES``, in the frame of the Platonic grids, every atom joined to every other and itself."""
    positions = make_molecule(name).positions
    return molecules(positions, torch.ones_like(positions[:, :1]), torch.zeros(len(positions), dtype=torch.long), None)


def frame(name: str = "ethanol_xtb") -> Graphs:
    """A molecule that moves: the first frame of a trajectory that comes with the package."""
    positions = load_md17(name).pos[0].double()
    return molecules(positions, torch.ones_like(positions[:, :1]), torch.zeros(len(positions), dtype=torch.long), None)


def rock_salt(repeats: int, noise: float = 0.0) -> Graphs:
    """``repeats`` cells along each edge of sodium chloride (a = 5.64 Å, 8 atoms a cell), joined up to ``CUTOFF``.

    Args:
        noise: standard deviation (Å) of what each atom is moved by: heat, and the end of all symmetry.
    """
    n = 2 * repeats
    sites = torch.cartesian_prod(*[torch.arange(n, dtype=torch.float64)] * 3)
    shaken = noise * torch.randn(len(sites), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cell = 2.82 * n * torch.eye(3, dtype=torch.float64)[None]
    return molecules(2.82 * sites + shaken, torch.ones_like(sites[:, :1]), torch.zeros(len(sites), dtype=torch.long),
                     CUTOFF, cell)


STRUCTURES: dict[str, Callable[[], Graphs]] = {
    "CHFClBr": lambda: molecule("CHFClBr"),
    "ethanol, a frame at 500 K": frame,
    "methane": lambda: molecule("methane"),
    "benzene": lambda: molecule("benzene"),
    "cubane": lambda: molecule("cubane"),
    "C60": lambda: molecule("C60"),
    "rock salt, 1 cell": lambda: rock_salt(1),
    "rock salt, 8 cells": lambda: rock_salt(2),
    "rock salt, 27 cells": lambda: rock_salt(3),
    "rock salt, 27 cells, warm": lambda: rock_salt(3, noise=0.1),
}


def turned(graphs: Graphs, seed: int = 0) -> Graphs:
    """The same structure in another position: its symmetries are no longer those of the grid."""
    return graphs.rotate(random_rotations(1, 3, generator=torch.Generator().manual_seed(seed))[0])


# -------------------------------------------------------------------------------------------------------- measuring
def network(graphs: Graphs, grid: Grid, hidden: int = 64, layers: int = 4) -> Ponita:
    """A network for these graphs with weights that rest, in double precision; a window if they have a cell."""
    radius = CUTOFF if graphs.cell is not None else None
    config = PonitaConfig(1, hidden=hidden, basis=2 * hidden, layers=layers, widening=2, level="graph", radius=radius)
    model = Ponita(config, grid, seed=0).double().requires_grad_(False)
    model.calibrate(graphs)
    return model


def set_way(model: Ponita, way: str) -> Ponita:
    """Let the network evaluate its kernels in one of ``WAYS``; outputs do not change.

    Raises:
        ValueError: on another way.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)}, but is {way!r}.")
    if isinstance(model.basis, ByClass):
        model.basis = model.basis.basis
    model.share_classes = way != "all"
    if way == "classes":
        model.basis = ByClass(model.basis)
    return model


def evaluations(model: Ponita, graphs: Graphs) -> int:
    """How many rows of numbers the kernel basis is evaluated for in one forward pass: counted while it works."""
    rows = 0
    basis = model.basis.basis if isinstance(model.basis, ByClass) else model.basis

    def count(_: nn.Module, inputs: tuple) -> None:
        nonlocal rows
        rows += inputs[0].numel() // inputs[0].shape[-1]

    handle = basis.register_forward_pre_hook(count)
    try:
        model(graphs)
    finally:
        handle.remove()
    return rows


def processor_ms(run: Callable[[], object], repeats: int = 3) -> float:
    """Milliseconds of processor time, of the quickest of some runs."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return 1000 * min(times)


def measure(name: str, grid: Grid, turn: bool = False, repeats: int = 3) -> dict[str, Any]:
    """Evaluations and milliseconds of one structure in the three ways, and how far their outputs differ.

    Returns:
        ``evaluations`` and ``milliseconds`` (of a whole forward pass) by way; ``basis_ms``, of making the kernel basis
        alone; ``finding_ms``, how much of that goes into finding the classes; ``difference``, the largest between the
        outputs of the ways, relative.
    """
    graphs = turned(STRUCTURES[name]()) if turn else STRUCTURES[name]()
    model = network(graphs, grid)
    found: dict[str, dict[str, Any]] = {"evaluations": {}, "milliseconds": {}, "basis_ms": {}}
    outputs, finding = [], 0.0
    for way in WAYS:
        set_way(model, way)
        outputs.append(model(graphs).scalar)
        found["evaluations"][way] = evaluations(model, graphs)
        found["milliseconds"][way] = processor_ms(lambda: model(graphs), repeats)
        points = model._lift(graphs)
        found["basis_ms"][way] = processor_ms(lambda points=points: model._pairs(points, graphs), repeats)
        if way == "classes":
            finding = processor_ms(lambda points=points: classes(points.attributes.reshape(-1, 2)), repeats)
    scale = outputs[0].abs().max().clamp(min=1e-300)
    return {"structure": name, "turned": turn, "grid": grid.name, "orientations": len(grid), "atoms": graphs.num_nodes,
            "edges": graphs.edge_index.shape[1], **found, "finding_ms": finding,
            "difference": max(float((o - outputs[0]).abs().max() / scale) for o in outputs)}


def table(names: Iterable[str] = STRUCTURES, repeats: int = 3) -> list[dict[str, Any]]:
    """Every structure on the icosahedron, as it stands and turned, and on a Fibonacci grid without opposites."""
    rows = []
    for name in names:
        for grid, turn in (("icosahedron", False), ("icosahedron", True), ("fibonacci", False)):
            rows.append(measure(name, make_grid(grid, 12), turn, repeats))
    return rows


def as_text(rows: Iterable[dict[str, Any]]) -> str:
    """The counts, one line a row."""
    lines = [f"{'structure':27}{'grid':13}{'atoms':>6}{'all':>9}{'library':>9}{'classes':>9}  pairs a class"]
    for row in rows:
        n, grid = row["evaluations"], row["grid"] + (", turned" if row["turned"] else "")
        lines.append(f"{row['structure']:27}{grid:13.13}{row['atoms']:6}{n['all']:9,}{n['library']:9,}{n['classes']:9,}"
                     f"{n['all'] / n['classes']:9.1f}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(prog="python -m ponita_edu.analysis.kernel_classes", description=main.__doc__)
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    keep_memory()
    began, found = time.process_time(), facts()
    rows = table()
    print(as_text(rows))
    if given.out:
        write_json(given.out, {"command": "python -m ponita_edu.analysis.kernel_classes --out results/"
                               + given.out.name, "rows": rows, "device": "cpu", "threads": 1,
                               "processor_minutes": round((time.process_time() - began) / 60, 2), **found})


if __name__ == "__main__":
    main()
