"""Long use: does memory grow over widget updates and over train/evaluate cycles, and do batches of all sizes agree?

    OMP_NUM_THREADS=1 python benchmarks/bench_load.py [--updates 1000] [--cycles 100] [--atoms 2000]
        [--out results/load.json]

Every part is a process of its own. Growth is that of the resident memory from a fifth of the way, when caches are full,
to the end (medians of a tenth of the readings each), relative to the first. ``leak``: the same cycles with a list that
keeps 1 % of the memory in each of them, which must be seen. ``sizes``: energies and forces of one batch with molecules
of 1 to ``--atoms`` atoms, one by one and together, in float64.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from ponita_edu.data.graphs import Graphs, collate
from ponita_edu.geometry import make_grid
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.nn.forcefield import ForceField, molecules
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import how_measured, keep_memory

BOUND = 0.02


def resident() -> int:
    """Bytes of memory that the process holds now."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def growth(step: Callable[[], object], count: int) -> dict[str, float]:
    """Repeat ``step``; the growth of memory from a fifth of the way to the end."""
    readings = []
    for _ in range(count):
        step()
        readings.append(resident())
    tenth = max(1, count // 10)
    early, late = (median(part) for part in (readings[2 * tenth:3 * tenth], readings[-tenth:]))
    return {"count": count, "MB_early": early / 1e6, "MB_end": late / 1e6, "growth": late / early - 1}


def drawn(widget: object) -> str:
    """All that a widget shows, as text."""
    return str([trace.to_plotly_json() for picture in widget.pictures for trace in picture.data])


def widget_updates() -> Iterator[None]:
    """Sliders of three widgets, moved in turn to values that are new for a while."""
    from ponita_edu.viz.grids import GridExplorer
    from ponita_edu.viz.pairs import PairExplorer
    from ponita_edu.viz.rotation_check import RotationCheck

    widgets = (PairExplorer(), "spin"), (GridExplorer(), "angle"), (RotationCheck(), "turn_z")
    k = 0
    while True:
        widget, name = widgets[k % len(widgets)]
        control = getattr(widget, name)
        before = drawn(widget) if k < 30 else None
        control.value = control.min + (37 * k % 101) / 101 * (control.max - control.min)
        if widget.error_box.value or (3 < k < 30 and before == drawn(widget)):
            raise RuntimeError(f"{type(widget).__name__} did not follow its control: {widget.error_box.value}")
        k += 1
        yield


def train_evaluate(place: Path) -> Iterator[None]:
    """A small training of its own, which writes checkpoints, and an evaluation of its network."""
    from ponita_edu.tasks import run
    from ponita_edu.tasks.nbody_config import PRESETS, NBodyData, NBodyModel

    quick, k = PRESETS["quick"], 0
    settings = replace(quick, data=NBodyData(train=24, val=8, test=8),
                       model=NBodyModel(hidden=8, layers=2, basis=8, grid="octahedron", orientations=None),
                       train=replace(quick.train, epochs=2, batch_size=4, accelerator="cpu"))
    while True:
        k += 1
        run.train("nbody", settings, place / str(k))
        run.evaluate_checkpoint(place / str(k), None, None)
        yield


def batch_of_sizes(largest: int) -> dict[str, object]:
    """Molecules of 1 to ``largest`` atoms in one batch beside the same one by one: largest differences."""
    sizes = [1, 2, 3, 5, 50, largest, 1, 300, 2]
    network = Ponita(PonitaConfig(1, hidden=16, basis=16, layers=2, widening=2, level="graph", radius=2.5),
                     make_grid("octahedron"), seed=0).double()
    network.recompute(edge_chunk=2000)
    field = ForceField(network, [6], 2.5).requires_grad_(False)

    def molecule(n: int) -> Graphs:
        random = torch.Generator().manual_seed(n)
        side = max(1.0, (n / 0.1) ** (1 / 3))  # 0.1 atoms an Å^3
        pos = side * torch.rand(n, 3, generator=random, dtype=torch.float64)
        return molecules(pos, torch.ones(n, 1).double(), torch.zeros(n, dtype=torch.long), 2.5)

    parts = [molecule(n) for n in sizes]
    energy, forces = field(collate(parts))
    alone = [field(part) for part in parts]
    apart = torch.cat([e for e, _ in alone]), torch.cat([f for _, f in alone])
    # control: neighbours in the batch that are one graph too early
    shifted = float((energy - apart[0].roll(1)).abs().max())
    return {"sizes": sizes, "energy_off": float((energy - apart[0]).abs().max() / apart[0].abs().max()),
            "forces_off": float((forces - apart[1]).abs().max() / apart[1].abs().max()), "control": shifted}


def one(part: str, count: int) -> dict[str, object]:
    """The figures of a part."""
    if part == "sizes":
        return batch_of_sizes(count)
    keep_memory()
    with tempfile.TemporaryDirectory() as place:
        steps = widget_updates() if part == "widgets" else train_evaluate(Path(place))
        kept: list[torch.Tensor] = []

        def step() -> None:
            next(steps)
            if part == "leak":
                kept.append(torch.ones(resident() // 100 // 4))

        return growth(step, count)


def main() -> int:
    """1 if memory grows by more than 2 %, the leak is not seen, or batches differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--atoms", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], int(options.one[1]))))
        return 0
    rows = {}
    for part, count in (("sizes", options.atoms), ("widgets", options.updates), ("cycles", options.cycles),
                        ("leak", max(10, options.cycles // 10))):
        done = subprocess.run([sys.executable, __file__, "--one", part, str(count)], check=True, stdout=subprocess.PIPE,
                              text=True)
        rows[part] = json.loads(done.stdout.splitlines()[-1])
        print(part, rows[part], flush=True)
    good = (max(rows["sizes"]["energy_off"], rows["sizes"]["forces_off"]) < 1e-12
            and max(rows[part]["growth"] for part in ("widgets", "cycles")) < BOUND < rows["leak"]["growth"])
    if options.out:
        write_json(options.out, {"about": "see benchmarks/bench_load.py", "bound": BOUND, "good": good, **rows,
                                 **how_measured()})
    print("no growth above 2 %, leak seen, batches agree" if good else "NOT as it should be")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
