"""Energy and forces of large systems with a cutoff: seconds and memory against the number of atoms.

    OMP_NUM_THREADS=2 python benchmarks/bench_scale.py [--atoms 1250 2500 5000 10000] [--out results/scale.json]

Atoms of one element near the sites of a cubic lattice that repeats, 0.1 an Å^3, cutoff 4 Å, weights frozen, at most
1,000 pairs of atoms in work at a time. ``small``: a bundle with 12 orientations, 64 channels, 4 blocks; ``paper``: that
of the paper, 20 orientations, 128 channels, 5 blocks. Every size is a process of its own: the seconds are those of the
neighbour search, the energy and the forces; the memory is all that the process held at most, libraries included, and
``beyond`` what it held before. Slopes are those of the logarithms, 1 for linear.
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
from ponita_edu.tasks.run import how_measured, keep_memory

CUTOFF, DENSITY = 4.0, 0.1
NETWORKS = {"small": (dict(hidden=64, basis=128, layers=4, widening=2), "icosahedron"), "paper": ({}, "dodecahedron")}


def one(network_name: str, atoms: int, chunk: int) -> dict[str, float]:
    """Seconds and bytes of one evaluation, after one on 100 atoms."""
    settings, grid = NETWORKS[network_name]
    network = Ponita(PonitaConfig(1, level="graph", radius=CUTOFF, **settings), make_grid(grid), seed=0)
    network.recompute(edge_chunk=chunk)
    field = ForceField(network, [6], CUTOFF).requires_grad_(False)
    for n in (125, atoms):
        before = resident("VmHWM")
        layers = round(n ** (1 / 3))  # a block of cells that is as near to a cube as so many atoms or more allow
        sides = [layers, layers, -(-n // layers**2)]
        sites = torch.cartesian_prod(*[torch.arange(side).float() for side in sides])
        length = DENSITY ** (-1 / 3)
        n = len(sites)
        pos = length * (sites + 0.1 * torch.randn(n, 3, generator=torch.Generator().manual_seed(0)))
        begin = time.perf_counter()
        graphs = molecules(pos, torch.ones(n, 1), torch.zeros(n, dtype=torch.long), CUTOFF,
                           torch.diag(length * torch.tensor(sides).float())[None])
        searched = time.perf_counter()
        _, forces = field.energy_and_forces(graphs)
        seconds = time.perf_counter() - begin
    assert bool(torch.isfinite(forces).all()) and float(forces.abs().max()) > 0
    return {"network": network_name, "atoms": n, "edges": graphs.edge_index.shape[1],
            "search_seconds": searched - begin, "seconds": seconds, "peak_MB": resident("VmHWM") / 1e6,
            "beyond_MB": (resident("VmHWM") - before) / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, nargs="+", default=[1250, 2500, 5000, 10000])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--chunk", type=int, default=1000, help="pairs at a time")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        keep_memory()
        print(json.dumps(one(options.one[0], int(options.one[1]), options.chunk)))
        return
    rows, slopes = [], {}
    for network in options.networks:
        mine = []
        for atoms in options.atoms:
            command = [sys.executable, __file__, "--chunk", str(options.chunk), "--one", network, str(atoms)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            mine.append(json.loads(done.stdout.splitlines()[-1]))
            print(mine[-1], flush=True)
        rows += mine
        if len(mine) > 1:
            slopes[network] = {name: float(np.polyfit(np.log([r["atoms"] for r in mine]),
                                                      np.log([r[name] for r in mine]), 1)[0])
                               for name in ("seconds", "peak_MB", "beyond_MB")}
            print(f"{network}: slopes of the logarithms against that of atoms: {slopes[network]}")
    if options.out:
        write_json(options.out, {"about": "see benchmarks/bench_scale.py", "chunk": options.chunk, "slopes": slopes,
                                 "rows": rows, **how_measured()})


if __name__ == "__main__":
    main()
