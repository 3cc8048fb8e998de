"""What the pages of the app show: the widgets of the course."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

import ponita_edu
from ponita_edu.analysis.molecule_networks import jiggled
from ponita_edu.analysis.rotation_check import network_for
from ponita_edu.data.md17 import load_md17
from ponita_edu.data.nbody import NBodySplit, to_graphs
from ponita_edu.data.nbody_simulator import InitialState, draw_initial_states, simulate
from ponita_edu.geometry import make_grid
from ponita_edu.molecules import make_molecule
from ponita_edu.tasks.diffusion import ELEMENTS, Layout
from ponita_edu.tasks.run import load_model
from ponita_edu.tasks.task import stream
from ponita_edu.viz.draw_plotly import Picture
from ponita_edu.viz.dynamics import MoleculePlayer
from ponita_edu.viz.generation import DiffusionViewer, Frame
from ponita_edu.viz.grids import GridExplorer
from ponita_edu.viz.kernels import KernelExplorer
from ponita_edu.viz.layers import LayerExplorer
from ponita_edu.viz.lifts import LiftExplorer
from ponita_edu.viz.molecules import TurnMolecule
from ponita_edu.viz.pairs import PairExplorer
from ponita_edu.viz.rotation_check import RotationCheck
from ponita_edu.viz.structure_pairs import PairOfStructures
from ponita_edu.viz.trajectories import TrajectoryViewer
from ponita_edu.viz.widget import Explorer

Picture.script = "/plotly.js"  # which the browser keeps; not five megabytes in a message for each picture
CHECKPOINTS = Path(ponita_edu.__file__).parent / "assets" / "checkpoints"


@lru_cache(maxsize=1)
def _five_charges() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """A system that no network was trained on, t = 3.1 to 4.1: the way, the charges, two predictions, the times."""
    at, v = (moved[:, -1] for moved in _simulated(draw_initial_states(1, seed=7), 3100, 3100)[:2])
    charges = draw_initial_states(1, seed=7).charges
    loc, _, time = _simulated(InitialState(charges, at, v), 1000, 20)
    way = np.concatenate((at[:, None], loc), axis=1)[0]
    times = np.concatenate(([0.0], time))
    graphs = to_graphs(NBodySplit(*(a.astype(np.float32) for a in (charges, at, v, way[None, -1])), "test", False))
    with torch.no_grad():
        moved = load_model(CHECKPOINTS / "nbody_quick")[2](graphs).vector[:, 0].numpy()
    return way, charges[0], {"PONITA": at[0] + moved, "straight line": at[0] + times[:, None, None] * v[0]}, times


def _simulated(start: InitialState, steps: int, every: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ran = simulate(start, steps=steps, every=every)
    return ran.loc, ran.vel, ran.time


@lru_cache(maxsize=1)
def _from_noise() -> list[Frame]:
    """How the small trained generator makes a molecule of nine atoms, moment by moment (notebook 12)."""
    model = load_model(CHECKPOINTS / "qm9_gen_quick")[2]
    layout = Layout.of_sizes(torch.tensor([9]), next(model.parameters()))
    with torch.no_grad():
        states = [step.state for step in model.path(layout, stream(0, 0), 80)]
    elements = np.array(ELEMENTS)
    return [Frame(elements[model.diffusion.types(z).numpy()], z[:, :3].double().numpy(), f"after step {k} of 80")
            for k, z in enumerate(states, 1)]


def _turned_benzene() -> TurnMolecule:
    """The trained networks of notebook 07, on notebook 00's question."""
    benzene = jiggled(make_molecule("benzene"))
    bundle = network_for(benzene, "bundle", True, make_grid("dodecahedron"))
    distances = network_for(benzene, "positions only", True, None)
    return TurnMolecule(benzene, {"PONITA, 20 directions": bundle, "PONITA, distances only": distances})


def _one_layer_after_another() -> LayerExplorer:
    """The network of notebook 09 on five charges as they start."""
    start = draw_initial_states(1, seed=7)
    first = NBodySplit(*(a.astype(np.float32) for a in (start.charges, start.loc, start.vel, start.loc)), "test", False)
    return LayerExplorer(load_model(CHECKPOINTS / "nbody_quick")[2], to_graphs(first), step=3)


def _moving_ethanol() -> MoleculePlayer:
    """A tenth of a picosecond with the force field of notebook 10."""
    from ase import Atoms  # the only page that needs the extra `chem`

    from ponita_edu.molecules.calculator import PonitaCalculator, dynamics

    ethanol = load_md17("ethanol_xtb")
    atoms = Atoms(ethanol.numbers.numpy(), ethanol.pos[0].numpy())
    atoms.calc = PonitaCalculator(CHECKPOINTS / "md17_ethanol")
    return MoleculePlayer(tuple(atoms.get_chemical_symbols()), dynamics(atoms, 0.1, kelvin=600, every=2, seed=1))


MAKERS: dict[str, Callable[[], Explorer]] = {  # one for each page of `site_map.PAGES`
    "turning": _turned_benzene,
    "pairs": PairExplorer,
    "grids": GridExplorer,
    "lifting": LiftExplorer,
    "kernels": lambda: KernelExplorer({"trained on N-body": load_model(CHECKPOINTS / "nbody_quick")[2]}),
    "layers": _one_layer_after_another,
    "rotation": RotationCheck,
    "structures": PairOfStructures,
    "trajectories": lambda: TrajectoryViewer(*_five_charges()),
    "motion": _moving_ethanol,
    "denoising": lambda: DiffusionViewer(_from_noise()),
}
