"""New molecules from a trained model, and how good they are (notebook 12)."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from tqdm import tqdm

from ponita_edu.molecules.export import check_target, write_molecules
from ponita_edu.molecules.stability import stability
from ponita_edu.molecules.validity import validity
from ponita_edu.tasks.diffusion import ELEMENTS, Layout
from ponita_edu.tasks.generation_model import MoleculeModel
from ponita_edu.tasks.run import load_model
from ponita_edu.tasks.task import stream


@dataclass(frozen=True, eq=False)
class Samples:
    """Molecules one after another, laid out as for ``molecules.stability``.

    Args:
        wanted: number of atoms of every molecule that was begun, also of those that are missing here.
        discarded: molecules that are missing because some number in them was not finite.
    """

    numbers: Int[ndarray, " atoms"]
    pos: Float[ndarray, "atoms 3"]
    sizes: Int[ndarray, " molecules"]
    wanted: Int[ndarray, " begun"]
    discarded: int
    seconds: float

    @property
    def offsets(self) -> Int[ndarray, " bounds"]:
        """First atom of each molecule, and the number of all atoms at the end."""
        return np.concatenate(([0], np.cumsum(self.sizes)))

    def __len__(self) -> int:
        return len(self.sizes)


def sample(model: MoleculeModel, count: int, seed: int = 0, steps: int | None = None, batch: int = 250,
           atoms: int | None = None, given: float | None = None, progress: bool = False) -> Samples:
    """Make molecules. Equal arguments give equal molecules (on the same machine; not for another ``batch``).

    Args:
        count: how many are begun; those with a number that is not finite are discarded and counted.
        seed: of the numbers of atoms and of the noise.
        steps: of the sampler; None for the usual number.
        batch: molecules at once.
        atoms: number of atoms of every molecule; None for numbers as frequent as in the training set.
        given: the property that a conditional model shall aim at.

    Raises:
        ValueError: see ``MoleculeModel.draw_sizes``.
    """
    began = time.perf_counter()
    sizes = model.draw_sizes(count, stream(seed, 3), atoms)
    like = next(model.network.parameters())
    kept: list[tuple[ndarray, ndarray, ndarray]] = []
    model.eval()
    steps = model.diffusion.steps if steps is None else steps
    with torch.no_grad(), tqdm(total=count * steps, desc="sampling", unit="step", unit_scale=1 / count,
                               disable=not progress) as bar:
        for k, part in enumerate(sizes.split(batch)):
            layout = Layout.of_sizes(part, like)
            values = None if given is None else like.new_full((len(part),), given)
            for step in model.path(layout, stream(seed, 4, k), steps, values):
                z = step.state
                bar.update(len(part))
            good = layout.total((~torch.isfinite(z)).to(z)) == 0
            mine = good[layout.batch]
            kept.append((model.diffusion.types(z)[mine].cpu().numpy(), z[mine, :3].double().cpu().numpy(),
                         layout.sizes[good].cpu().numpy()))
    types, pos, found = (np.concatenate(a) for a in zip(*kept, strict=True))
    return Samples(np.array(ELEMENTS)[types], pos, found, sizes.numpy(), count - len(found),
                   time.perf_counter() - began)


def judge(samples: Samples, known: frozenset[str] | None = None) -> dict[str, Any]:
    """Stability, and with RDKit validity and uniqueness, of all molecules that were begun: a discarded one is neither.

    Args:
        known: SMILES of the training set (from ``molecules.validity``), to measure novelty: of the distinct valid
            molecules, many of which are not stable, and of the distinct stable ones.
    """
    begun, atoms = len(samples.wanted), int(samples.wanted.sum())
    result: dict[str, Any] = {"molecules": begun, "atoms": atoms, "discarded": samples.discarded, "stable_atoms": 0,
                              "stable_molecules": 0, "atom_stability": 0.0, "molecule_stability": 0.0,
                              "seconds": round(samples.seconds, 2),
                              "molecules_per_second": round(begun / samples.seconds, 3)}
    if len(samples) == 0:
        return result
    arrays = samples.numbers, samples.pos, samples.offsets
    stable = stability(*arrays)
    good, whole = int(stable.atoms.sum()), int(stable.molecules.sum())
    result |= {"stable_atoms": good, "stable_molecules": whole, "atom_stability": good / atoms,
               "molecule_stability": whole / begun}
    try:
        chemical = validity(*arrays)
    except ImportError:
        return result
    result |= {"validity": chemical.valid * len(samples) / begun, "uniqueness": chemical.unique,
               "valid_and_unique": len(chemical.distinct) / begun}
    if known is None:
        return result
    whole_ones = {name for name, good in zip(chemical.smiles, stable.molecules, strict=True) if good}
    return {**result, "novelty": chemical.novel(known), "distinct_stable": len(whole_ones),
            "distinct_stable_novel": len(whole_ones - known)}


def sample_to_file(checkpoint: Path, out: Path, overwrite: bool = False, **how: Any) -> dict[str, Any]:
    """Molecules by a trained model into an .sdf or .xyz file, and what ``judge`` says of them.

    Args:
        checkpoint: a run's folder, its ``model`` folder, or one of its checkpoints.
        how: see ``sample``.

    Raises:
        ValueError: if the checkpoint is of another task, or damaged; if ``out`` cannot be written or exists; if no
            molecule was finite.
    """
    check_target(out, overwrite)
    task, _, model, _ = load_model(checkpoint)
    if not isinstance(model, MoleculeModel):
        raise ValueError(f"the checkpoint {checkpoint} is of the task {task}, which makes no molecules. Give one by "
                         "`ponita-edu train qm9-gen`.")
    samples = sample(model.to("cuda" if torch.cuda.is_available() else "cpu"), **how)
    if len(samples) == 0:
        raise ValueError(f"all {samples.discarded} molecules were discarded, because numbers in them were not finite. "
                         "Was the network trained to the end?")
    write_molecules(out, samples.numbers, samples.pos, samples.offsets, overwrite)
    return {"file": str(out), **judge(samples)}
