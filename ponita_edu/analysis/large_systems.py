r"""Trained small, tested large: force fields with and without a cutoff on systems of 3 to 194 atoms (notebook 13).

    python -m ponita_edu.analysis.large_systems --out results/large_systems.json

A network with L layers and cutoff c gives E = Σ_i e_i + Σ_i ε_{Z_i}, where e_i depends only on atoms that L hops of at
most c reach. Two consequences hold exactly, for any weights:

    size consistency   E(A ∪ B) = E(A) + E(B) as soon as no atom of A is within c of an atom of B
    locality           the force on an atom does not change if one further than 2Lc away is moved

(A force gathers the energies of atoms up to Lc away, each of which sees Lc further.) Neither holds for complete graphs,
nor with a constant added to the energy. What it costs: an interaction that reaches further than c, such as the
dispersion between two C60, is 0.

Training: alkanes to hexane, water to 6 molecules, peptides to 2 alanines, all in one network. Energies relative to a
sum over elements ε_Z, fitted to the training set. Loss: w mean ((E − E*)/(n s))² + mean ((F − F*)/s)², with n atoms, s
the root mean square force component of the training set, and w = 10. Time and memory to 10,000 atoms are measured by
``benchmarks/bench_scale.py``.
"""

import argparse
import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from ponita_edu.analysis import budget
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.sizes import ELEMENTS, SizedFrame, dimer_distances, load_sizes
from ponita_edu.geometry.grids import make_grid
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.forcefield import ForceField, molecules, one_hot
from ponita_edu.nn.ponita import Ponita
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.config import TrainConfig
from ponita_edu.tasks.run import command_line, facts, keep_memory
from ponita_edu.tasks.task import Task

CUTOFF, LAYERS, ENERGY_WEIGHT = 4.0, 3, 10.0  # Å
# space, cutoff, channels and learning rate of each network
ARMS = {
    "positions, cutoff": ("positions", CUTOFF, 64),
    "bundle, cutoff": ("bundle", CUTOFF, 48),
    "positions, complete graph": ("positions", None, 64),
}


class SizesTask(Task):
    """The frames to the training loop; see ``tasks.task.Task``."""

    selects = "force_mae_meV_per_A"

    def __init__(self, frames: Sequence[SizedFrame], cutoff: float | None):
        self.frames = {split: [f for f in frames if f.split == split] for split in ("train", "test")}
        if not self.frames["train"]:
            raise ValueError("frames must have some with split 'train', but have none. Use load_sizes().")
        self.cutoff, train = cutoff, self.frames["train"]
        counts = torch.stack([composition(f.numbers) for f in train])
        energies = torch.tensor([f.energy for f in train], dtype=torch.float64)
        self.references = torch.linalg.lstsq(counts, energies[:, None]).solution[:, 0]
        self.scale = float(torch.cat([f.forces for f in train]).square().mean().sqrt())

    def to(self, device: torch.device, dtype: torch.dtype) -> "SizesTask":
        """The same: batches are float32 on the CPU."""
        return self

    def size(self, split: str) -> int:
        """Number of frames."""
        return len(self.frames[split])

    def graphs(self, split: str, index: Int[Tensor, " graphs"]) -> Graphs:
        """Frames of a split, with energies above those of the elements and forces, both divided by the scale."""
        chosen = [self.frames[split][k] for k in index.tolist()]
        graphs = as_graphs([(f.numbers, f.pos) for f in chosen], self.cutoff)
        energy = torch.tensor([f.energy - self.reference(f.numbers) for f in chosen])
        atoms = torch.tensor([len(f.numbers) for f in chosen]).float()
        forces = torch.cat([f.forces for f in chosen]).float() / self.scale
        return graphs._replace(y={"energy": energy / self.scale, "atoms": atoms}, y_vec={"forces": forces})

    def reference(self, numbers: Int[Tensor, " atoms"]) -> float:
        """The sum over elements, eV."""
        return float(composition(numbers) @ self.references)

    def prepare(self, network: nn.Module, first: Graphs) -> None:
        """The scale of energies and forces; no shift, which would be the same for systems of all sizes."""
        network.normalise(0.0, self.scale, torch.tensor(ELEMENTS))
        network.calibrate(first)

    def loss(self, network: nn.Module, graphs: Graphs, random: torch.Generator) -> Float[Tensor, ""]:
        """w mean ((E − E*)/(n s))² + mean ((F − F*)/s)²."""
        energy, forces = network(graphs, create_graph=True)
        return (ENERGY_WEIGHT * ((energy - graphs.y["energy"]) / graphs.y["atoms"]).square().mean()
                + (forces - graphs.y_vec["forces"]).square().mean())

    def errors(self, network: nn.Module, graphs: Graphs) -> dict[str, Float[Tensor, " graphs"]]:
        """Absolute errors of each frame: energy per atom (meV), and forces (meV/Å)."""
        energy, forces = network(graphs)
        atoms, unit = graphs.y["atoms"], 1000 * self.scale
        off = (forces - graphs.y_vec["forces"]).abs().mean(1)
        return {"energy_mae_meV_per_atom": unit * (energy - graphs.y["energy"]).abs() / atoms,
                self.selects: unit * torch.zeros_like(atoms).index_add(0, graphs.batch, off) / atoms}


def composition(numbers: Int[Tensor, " atoms"]) -> Float64[Tensor, " elements"]:
    """How many atoms of each of the ``ELEMENTS``."""
    return one_hot(numbers, torch.tensor(ELEMENTS)).double().sum(0)


def as_graphs(structures: Sequence[tuple[Tensor, Tensor]], cutoff: float | None,
              dtype: torch.dtype = torch.float32) -> Graphs:
    """A batch of (atomic numbers, positions)."""
    numbers, pos = (torch.cat(parts) for parts in zip(*structures, strict=True))
    batch = torch.repeat_interleave(torch.tensor([len(k) for k, _ in structures]))
    return molecules(pos.to(dtype), one_hot(numbers, torch.tensor(ELEMENTS)).to(dtype), batch, cutoff)


def make_field(arm: str, seed: int = 0) -> ForceField:
    """An untrained force field of one of the ``ARMS``; the bundle has the octahedron's 6 orientations.

    Raises:
        ValueError: on another arm.
    """
    if arm not in ARMS:
        raise ValueError(f"arm must be one of {'; '.join(ARMS)}, but is {arm!r}.")
    space, cutoff, hidden = ARMS[arm]
    config = PonitaConfig(len(ELEMENTS), space=space, hidden=hidden, basis=hidden, layers=LAYERS, widening=2,
                          level="graph", radius=cutoff)
    grid = make_grid("octahedron") if space == "bundle" else None
    return ForceField(Ponita(config, grid, seed=seed), ELEMENTS, cutoff)


def trained(arm: str, frames: Sequence[SizedFrame], steps: int, seed: int = 0) -> tuple[ForceField, SizesTask]:
    """A force field after so many steps of 8 frames each, and its task."""
    field, task = make_field(arm, seed), SizesTask(frames, ARMS[arm][1])
    config = TrainConfig(epochs=1, batch_size=8, lr=5e-3, weight_decay=0.0, warmup_epochs=0.05, schedule="step",
                         augment=ARMS[arm][0] == "bundle", seed=seed, threads=1)
    budget.train(field, task, config, steps=steps)
    return field.requires_grad_(False).eval(), task


class SizeError(NamedTuple):
    """Mean absolute errors on the test frames of one size, and those of the sum over elements without forces."""

    family: str
    n: int
    atoms: int
    frames: int
    energy_meV_per_atom: float
    forces_meV_per_A: float
    rule_energy_meV_per_atom: float
    rule_forces_meV_per_A: float


def errors_by_size(field: ForceField, task: SizesTask, most: int = 200) -> list[SizeError]:
    """Errors for each family and size of at most so many atoms."""
    groups: dict[tuple[str, int], list[int]] = {}
    for k, frame in enumerate(task.frames["test"]):
        if len(frame.numbers) <= most:
            groups.setdefault((frame.family, frame.n), []).append(k)
    rows = []
    for (family, n), members in groups.items():
        found = [task.errors(field, task.graphs("test", torch.tensor([k]))) for k in members]
        energy, forces = (sum(float(f[name]) for f in found) / len(found) for name in found[0])
        frames = [task.frames["test"][k] for k in members]
        zero = [1000 * abs(f.energy - task.reference(f.numbers)) / len(f.numbers) for f in frames]
        still = 1000 * float(torch.cat([f.forces for f in frames]).abs().mean())
        rows.append(SizeError(family, n, len(frames[0].numbers), len(frames), energy, forces, sum(zero) / len(zero),
                              still))
    return rows


def _energy_forces(field: ForceField, structures: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return copy.deepcopy(field).double().energy_and_forces(as_graphs(structures, field.cutoff, torch.float64))


def consistency(field: ForceField, a: SizedFrame, b: SizedFrame, gap: int | float = 20.0, constant: int | float = 0.0
                ) -> float:
    """|E(A ∪ B) − E(A) − E(B)| in eV, in float64, with B moved along x until so many Å lie between the two.

    Args:
        constant: added to every energy, as a shift by the mean training energy would be: a control.
    """
    move = torch.tensor([float(a.pos[:, 0].max() - b.pos[:, 0].min()) + gap, 0.0, 0.0], dtype=torch.float64)
    far = (torch.cat((a.numbers, b.numbers)), torch.cat((a.pos, b.pos + move)))
    both, one, other = (_energy_forces(field, [s])[0] + constant for s in (far, (a.numbers, a.pos), (b.numbers, b.pos)))
    return float((both - one - other).abs())


def locality(field: ForceField, frame: SizedFrame, shift: float = 0.1) -> list[tuple[float, float]]:
    """(distance in Å, |change of the force| in meV/Å) of all other atoms when the outermost one moves, in float64."""
    moved = int((frame.pos - frame.pos.mean(0)).norm(dim=1).argmax())
    pos = frame.pos.clone()
    pos[moved, 0] += shift
    before, after = (_energy_forces(field, [(frame.numbers, p)])[1] for p in (frame.pos, pos))
    change = 1000 * (after - before).norm(dim=1)
    distance = torch.minimum(*((p - p[moved]).norm(dim=1) for p in (frame.pos, pos)))
    return sorted((float(d), float(c)) for k, (d, c) in enumerate(zip(distance, change, strict=True)) if k != moved)


def dimer_curve(field: ForceField, frames: Sequence[SizedFrame], distances: Sequence[float] | None = None
                ) -> list[tuple[float, float, float, float]]:
    """(distance of the centres, shortest distance of atoms, xTB's and the field's E(2 C60) − 2 E(C60)) in Å, Å, eV, eV.

    C60 was in no training set: what counts is that the field gives exactly 0 once no two atoms are within the cutoff.
    """
    *pairs, single = [f for f in frames if f.split == "dimer"]
    alone = float(_energy_forces(field, [(single.numbers, single.pos)])[0])
    rows = []
    for distance, pair in zip(distances or dimer_distances(), pairs, strict=True):
        half = len(pair.numbers) // 2
        apart = float(torch.cdist(pair.pos[:half], pair.pos[half:]).min())
        bound = float(_energy_forces(field, [(pair.numbers, pair.pos)])[0]) - 2 * alone
        rows.append((distance, apart, pair.energy - 2 * single.energy, bound))
    return rows


def measure(arm: str, frames: Sequence[SizedFrame], steps: int, seed: int = 0, most: int = 200) -> dict[str, Any]:
    """A trained field of one arm: errors by size, and what the two exact claims come to."""
    began = time.process_time()
    field, task = trained(arm, frames, steps, seed)
    used = time.process_time() - began
    tests = [f for f in frames if f.split == "test" and len(f.numbers) <= most]
    a, b = (next(f for f in tests if f.family == family) for family in ("peptide", "water"))
    chain = max((f for f in tests if f.family == "alkane"), key=lambda f: len(f.numbers))
    reach, changes = 2 * LAYERS * CUTOFF, locality(field, chain)
    mean = sum(f.energy for f in task.frames["train"]) / task.size("train")
    row = {
        "arm": arm, "seed": seed, "steps": steps, "processor_seconds": round(used, 1),
        "parameters": sum(p.numel() for p in field.parameters()),
        "sizes": [error._asdict() for error in errors_by_size(field, task, most)],
        "consistency_eV": {"20 Å apart": consistency(field, a, b), "2 Å apart": consistency(field, a, b, 2.0),
                           "20 Å apart, with a constant": consistency(field, a, b, constant=mean)},
        "locality_meV_per_A": {"reach_A": reach, "atoms": len(chain.numbers),
                               "within": max(c for d, c in changes if d <= reach),
                               "beyond": max((c for d, c in changes if d > reach), default=None), "rows": changes},
    }
    if any(f.split == "dimer" for f in frames):
        row["dimer"] = dimer_curve(field, frames)
    return row


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m ponita_edu.analysis.large_systems", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="training steps of 8 frames")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--most", type=int, default=200, help="no test systems of more atoms")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    keep_memory()
    frames, began, rows, result = load_sizes(), time.process_time(), [], {}
    for seed in given.seeds:
        for arm in given.arms:
            rows.append(measure(arm, frames, given.steps, seed, given.most))
            print(f"{arm}, seed {seed}, {rows[-1]['processor_seconds']:.0f} s", flush=True)
            for size in rows[-1]["sizes"]:
                print(f"  {size['family']:8}{size['n']:3} {size['atoms']:4} atoms: energy "
                      f"{size['energy_meV_per_atom']:8.2f} meV/atom, forces {size['forces_meV_per_A']:6.0f} meV/Å")
            print(f"  {rows[-1]['consistency_eV']}", flush=True)
            result = {"about": "see ponita_edu/analysis/large_systems.py", "rows": rows, "steps": given.steps,
                      "processor_minutes": round((time.process_time() - began) / 60, 2), "device": "cpu", "threads": 1,
                      "time_and_memory": "results/scale.json", "command": command_line(), **facts()}
            if given.out:
                write_json(given.out, result)
    return result


if __name__ == "__main__":
    main()
