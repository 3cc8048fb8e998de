"""How long a widget takes from a change of a control to the new picture and report, in the kernel.

    OMP_NUM_THREADS=1 python -m pytest benchmarks/bench_widgets.py

The bound of 100 ms (150 where a network is asked) is for 95 % of the updates on two quiet cores; on a busy machine
measure processor time instead, with --benchmark-timer=time.process_time. What the browser adds is not measured. Where a
list of values is long, each is new to the widget; repulsion grids come from its background thread, which the last
benchmark times.
"""

from itertools import cycle

import numpy as np
import pytest
import torch

from ponita_edu.data.graphs import Graphs
from ponita_edu.data.qm9_small import load_small
from ponita_edu.geometry import make_grid
from ponita_edu.geometry.repulsion import repulsion_points
from ponita_edu.molecules import make_molecule
from ponita_edu.molecules.calculator import Run
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.viz import grids
from ponita_edu.viz.dynamics import MoleculePlayer
from ponita_edu.viz.generation import DiffusionViewer, Frame
from ponita_edu.viz.grids import FAMILIES, GridExplorer
from ponita_edu.viz.kernels import UNTRAINED, KernelExplorer
from ponita_edu.viz.layers import LayerExplorer
from ponita_edu.viz.lifts import LiftExplorer
from ponita_edu.viz.molecules import TurnMolecule
from ponita_edu.viz.pairs import PairExplorer
from ponita_edu.viz.rotation_check import RotationCheck
from ponita_edu.viz.structure_pairs import PairOfStructures
from ponita_edu.viz.trajectories import TrajectoryViewer

BOUND = 0.1  # s
ASKS_A_NETWORK = 0.15  # s; the molecule has 21 atoms
SIZES = range(60, 20, -1)
ANGLES = (10, 40, 70)
BOTH = (True, False)
LARGEST = {"left": "repulsion", "right": "fibonacci", "left_n": 60, "right_n": 60}


def layer_explorer():
    """Of notebook 06: a network of the size of the N-body preset `quick`, on five particles."""
    model = Ponita(PonitaConfig(1, 1, 0, 1, hidden=32, basis=32, layers=3), make_grid("icosahedron"), seed=0)
    pos = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    return LayerExplorer(model, Graphs(pos, pos[:, :1].sign(), vec=pos.flip(0)[:, None]))


def drowning() -> DiffusionViewer:
    """The largest of the small molecules in growing noise."""
    data, _ = load_small()
    atoms = slice(*data.offsets[int(data.sizes.argmax()):][:2])
    noise = np.random.default_rng(0).normal(size=data.pos[atoms].shape)
    return DiffusionViewer([Frame(data.numbers[atoms].astype(int), data.pos[atoms] + s * noise, f"sigma = {s:.2f} Å")
                            for s in np.geomspace(0.01, 5, 40)])


def turned_molecule():
    """Of notebooks 00 and 11: a network of the size of the QM9 preset `quick`, on the 12 atoms of benzene."""
    molecule = make_molecule("benzene")
    network = Ponita(PonitaConfig(1, 0, 1, 1, hidden=48, basis=48, layers=4, widening=2), make_grid("octahedron"),
                     seed=0).double()

    def ask(positions, rotation):
        network.set_grid(make_grid("octahedron").rotated(rotation))
        with torch.no_grad():
            out = network(Graphs(positions, torch.ones(len(positions), 1).double()))
        return float(out.scalar.sum()), out.vector[:, 0]

    return TurnMolecule(molecule, {"untrained": ask})


def trajectory_viewer():
    """Of notebook 09: five particles, 50 frames, one prediction."""
    way = np.random.default_rng(0).normal(scale=0.1, size=(50, 5, 3)).cumsum(0)
    return TrajectoryViewer(way, np.array([1, -1, 1, 1, -1]), {"straight line": way[:1] + 0 * way})


def molecule_player():
    """Of notebook 10: ethanol's nine atoms, in random motion about a line."""
    steps = np.random.default_rng(0).normal(scale=0.02, size=(100, 9, 3)).cumsum(0)
    time = np.arange(100) / 500
    return MoleculePlayer(("C", "C", "O", *6 * "H"), Run(time, steps + np.arange(9)[:, None], 500 * steps, time, time))


CASES = {  # widget, its state, control, values
    "pair, place": (PairExplorer, {}, "x", (0.2, 0.6, 1.0)),
    "pair, receiver's arrow": (PairExplorer, {}, "receiver_elevation", ANGLES),
    "pair, spin": (PairExplorer, {}, "spin", (30, 90, 200)),
    "pair in SE(3), roll": (PairExplorer, {"space": "se3"}, "sender_roll", ANGLES),
    "pair in R³, place": (PairExplorer, {"space": "r3"}, "y", (0.2, 0.6, 1.0)),
    "two grids, family": (GridExplorer, {"left_n": 60, "right_n": 60}, "left", FAMILIES),
    "two grids, points of a spiral": (GridExplorer, {}, "left_n", SIZES),
    "two grids, points of a repulsion grid": (GridExplorer, {"right": "repulsion"}, "right_n", SIZES),
    "two grids, rotation": (GridExplorer, LARGEST, "angle", ANGLES),
    "two grids, cells": (GridExplorer, LARGEST, "cells", BOTH),
    "lift, azimuth": (LiftExplorer, {"what": "the 4 bonds of methane", "n": 60}, "azimuth", ANGLES),
    "lift, elevation": (LiftExplorer, {"n": 60}, "height", ANGLES),
    "lift, family": (LiftExplorer, {"n": 60}, "family", FAMILIES),
    "lift, points": (LiftExplorer, {}, "n", SIZES),
    "lift, constant": (LiftExplorer, {"n": 60}, "leak", (0.5, 1.0, 2.0)),
    "lift, factor": (LiftExplorer, {}, "factor", BOTH),
    "lift, centred": (LiftExplorer, {"leak": 1.0}, "centred", BOTH),
    "lift, exact": (LiftExplorer, {}, "exact", BOTH),
    "kernel, channel": (KernelExplorer, {}, "channel", (3, 5, 8)),
    "kernel, reach": (KernelExplorer, {}, "reach", (2, 4, 6)),
    "kernel, degree": (KernelExplorer, {"network": UNTRAINED}, "degree", (2, 3, 4)),
    "kernel, surface": (KernelExplorer, {}, "level", (0.2, 0.4, 0.6)),
    "check, turn": (RotationCheck, {}, "turn_z", ANGLES),
    "check, tilt, grid moves": (RotationCheck, {"move_grid": True}, "tilt_x", ANGLES),
    "check, turn, 60 directions": (RotationCheck, {"family": "fibonacci", "n": 60}, "turn_z", ANGLES),
    "check, turn, full": (RotationCheck, {"network": "full, signed"}, "turn_z", ANGLES),
    "check, turn, lifted edges": (RotationCheck, {"network": "lifted edges"}, "turn_z", ANGLES),
    "check, turn, positions": (RotationCheck, {"network": "positions only"}, "turn_z", ANGLES),
    "check, snap": (RotationCheck, {"turn_z": 70}, "snap", BOTH),
    "layers, step": (layer_explorer, {}, "step", (1, 4, 7, 10)),
    "layers, turn": (layer_explorer, {"step": 4}, "turn", range(15, 346, 15)),
    "layers, channel": (layer_explorer, {"step": 4}, "channel", range(32)),
    "layers, particle": (layer_explorer, {"step": 4}, "particle", (0, 1, 2)),
    "layers, finer": (layer_explorer, {"step": 4}, "finer", BOTH),
    "diffusion, step": (drowning, {}, "step", range(40)),
    "diffusion, picture held still": (drowning, {"step": 20}, "still", BOTH),
    "molecule, time": (molecule_player, {"velocities": True}, "frame", range(40, 99)),
    "lift, channel": (LiftExplorer, {"what": "the 4 bonds of methane"}, "channel", (0, 1, 2, 3)),
    "molecule, turn": (turned_molecule, {}, "angle", ANGLES),
    "structures, turn": (PairOfStructures, {"pair": "helix"}, "azimuth", ANGLES),
    "structures, pair": (PairOfStructures, {}, "pair", ("3-chain", "helix", "rings, L = 5")),
}


def drawn(widget):
    return str([trace.to_plotly_json() for figure in widget.pictures for trace in figure.data])


@pytest.mark.parametrize("case", CASES)
def test_95_percent_of_updates_stay_below_the_bound(benchmark, case):
    make, state, control, values = CASES[case]
    grids.warm_up().join()
    widget = make()
    widget.set(state)
    control = getattr(widget, control)
    control.value = values[-1]
    before = drawn(widget)
    control.value = values[0]  # fills caches of what stays the same
    assert drawn(widget) != before and widget.error_box.value == ""
    following = cycle((*values[1:], values[0]))

    def update():
        control.value = next(following)

    benchmark.pedantic(update, rounds=max(30, len(values) - 1))
    late = float(np.quantile(benchmark.stats.stats.data, 0.95))
    benchmark.extra_info["95 %, ms"] = round(1000 * late, 1)
    print(f"{case}: median {1000 * benchmark.stats.stats.median:.1f} ms, 95 % {1000 * late:.1f} ms")
    bound = ASKS_A_NETWORK if make in (RotationCheck, turned_molecule) else BOUND
    assert late < bound and widget.error_box.value == ""


@pytest.mark.parametrize("make", [GridExplorer, KernelExplorer, layer_explorer, LiftExplorer, molecule_player,
                                  PairExplorer, RotationCheck])
def test_widget_is_made_within_a_second(benchmark, make):
    grids.warm_up().join()
    benchmark.pedantic(make, rounds=5, warmup_rounds=1)
    assert benchmark.stats.stats.median < 1.0


def test_search_for_a_collision_stays_below_a_second(benchmark):
    widget = PairExplorer()
    benchmark.pedantic(widget.collide.click, rounds=5, warmup_rounds=1)
    assert "Collision." in widget.report_box.value
    assert benchmark.stats.stats.median < 1.0


def test_repulsion_grids_of_all_sizes_are_made_within_ten_seconds(benchmark):
    """What the background thread does once."""

    def make():
        return [repulsion_points(n, 0) for n in grids.SIZES]

    benchmark.pedantic(make, setup=repulsion_points.cache_clear, rounds=2)
    assert benchmark.stats.stats.median < 10
