"""Energy and forces of large systems with a cutoff: seconds and memory against the number of atoms.

    OMP_NUM_THREADS=2 python benchmarks/bench_scale.py [--atoms 1250 2500 5000 10000] [--out results/scale.json]

Atoms of one element near the sites of a cubic lattice, 0.1 an Å^3, no periodic cell; cutoff 4 Å, a bundle with 12
orientations, 64 channels, 4 blocks, recomputing. Every size is a process of its own: the seconds are those of the
neighbour search, the energy and the forces; the memory is all that the process held at most, libraries included.
The slope is that of the logarithms, 1 for linear.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from bench_networks import resident

from ponita_edu.geometry import make_grid
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.nn.forcefield import ForceField, molecules
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts, keep_memory

CUTOFF, DENSITY = 4.0, 0.1


def one(atoms: int) -> dict[str, float]:
    """Seconds and bytes of one evaluation, after one on 100 atoms."""
    config = PonitaConfig(1, hidden=64, basis=128, layers=4, widening=2, level="graph", radius=CUTOFF)
    network = Ponita(config, make_grid("icosahedron"), seed=0)
    network.recompute()
    field = ForceField(network, [6], CUTOFF).requires_grad_(False)
    for n in (100, atoms):
        side = int(np.ceil(n ** (1 / 3)))
        sites = torch.cartesian_prod(*[torch.arange(side).float()] * 3)[:n]
        pos = DENSITY ** (-1 / 3) * (sites + 0.1 * torch.randn(n, 3, generator=torch.Generator().manual_seed(0)))
        begin = time.perf_counter()
        graphs = molecules(pos, torch.ones(n, 1), torch.zeros(n, dtype=torch.long), CUTOFF)
        searched = time.perf_counter()
        _, forces = field.energy_and_forces(graphs)
        seconds = time.perf_counter() - begin
    assert bool(torch.isfinite(forces).all()) and float(forces.abs().max()) > 0
    return {"atoms": atoms, "edges": graphs.edge_index.shape[1], "search_seconds": searched - begin,
            "seconds": seconds, "peak_MB": resident("VmHWM") / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, nargs="+", default=[1250, 2500, 5000, 10000])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        keep_memory()
        print(json.dumps(one(options.one)))
        return
    rows = []
    for atoms in options.atoms:
        done = subprocess.run([sys.executable, __file__, "--one", str(atoms)], check=True, capture_output=True,
                              text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    x, y = np.log([r["atoms"] for r in rows]), np.log([r["seconds"] for r in rows])
    slope = float(np.polyfit(x, y, 1)[0]) if len(rows) > 1 else None
    print("slope of log seconds against log atoms:", slope)
    if options.out:
        write_json(options.out, {"about": "see benchmarks/bench_scale.py", "command": " ".join(sys.argv),
                                 "threads": torch.get_num_threads(), "slope": slope, "rows": rows, **facts()})


if __name__ == "__main__":
    main()
