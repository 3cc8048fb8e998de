"""Training steps of the published QM9 settings (9 x 256, 16 orientations, batch 96): complete and bond graphs.

    python benchmarks/bench_qm9.py [--batch 96] [--steps 3] [--threads 2] [--out FILE.json]

Molecules per second, and the operations per second as a fraction of what one large matrix product reaches with as many
threads in the same run; both by the clock, so nothing else may run. A batch of 96 complete graphs needs over 20 GB; it
is computed in pieces whose gradients are added up (``PIECE`` molecules at once), which is the same step.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import torch
from bench_networks import matrix_rate
from torch.utils.flop_counter import FlopCounterMode

from ponita_edu.tasks import qm9
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.parts import make_optimizer
from ponita_edu.tasks.qm9_config import PRESETS
from ponita_edu.tasks.run import facts, how_measured, keep_memory
from ponita_edu.tasks.settings import replaced

PIECE = {"bonds": 96, "complete": 24}


def measure(graph: str, batch: int, steps: int) -> dict[str, float]:
    """Molecules per second, operations per molecule and the share of the matrix rate, of whole training steps."""
    settings = replaced(PRESETS["paper"], {"model.graph": graph, "data.source": "subset"})
    task, network = qm9.load(settings), qm9.build(settings.model, seed=0)
    task.prepare(network, task.graphs("train", torch.arange(8)))
    optimizer = make_optimizer(network, settings.train)
    random = torch.Generator().manual_seed(0)
    piece = min(batch, PIECE[graph])

    def step(order: torch.Tensor) -> float:
        begin = time.perf_counter()
        for part in order.split(piece):
            (task.loss(network, task.graphs("train", part), random) * len(part) / batch).backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - begin

    order = torch.randperm(task.size("train"), generator=random)[:batch]
    with FlopCounterMode(display=False) as counter:
        step(order)  # this first one also fills the caches
    seconds, rate = statistics.median(step(order) for _ in range(steps)), matrix_rate(torch.device("cpu"))
    flop = counter.get_total_flops()
    return {"graph": graph, "batch": batch, "piece": piece, "steps": steps, "seconds_per_step": seconds,
            "molecules_per_second": batch / seconds, "gflop_per_molecule": flop / batch / 1e9,
            "matrix_gflops": rate / 1e9, "share_of_matrix_rate": flop / seconds / rate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = facts()  # of the code that runs, whatever is checked out meanwhile
    torch.set_num_threads(options.threads)
    keep_memory()
    rows = [measure(graph, options.batch, options.steps) for graph in ("bonds", "complete")]
    for row in rows:
        print(f"{row['graph']:9} {row['molecules_per_second']:7.2f} molecules/s, {row['gflop_per_molecule']:.1f} GFLOP "
              f"a molecule, {100 * row['share_of_matrix_rate']:.0f} % of the {row['matrix_gflops']:.0f} GFLOP/s of a "
              "matrix product")
    if options.out:
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)
        write_json(options.out, {"rows": rows, "peak_memory_gb": peak, **how_measured(), **found})
    else:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
