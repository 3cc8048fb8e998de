"""Training steps of the published QM9 settings (9 x 256, 16 orientations) on one core: complete and bond graphs.

    OMP_NUM_THREADS=1 python benchmarks/bench_qm9.py [--batch 8] [--steps 3] [--out FILE.json]

Molecules per second of CPU time, and the operations per second as a fraction of what one large matrix product reaches
on the same core in the same run. The published batch is 96; a step on complete graphs then needs more than 10 GB, so
the default is smaller; batch 96 itself has not been measured.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ponita_edu.tasks import qm9
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.parts import make_optimizer
from ponita_edu.tasks.qm9_config import PRESETS
from ponita_edu.tasks.run import facts
from ponita_edu.tasks.settings import replaced


def matrix_rate(repeats: int = 5) -> float:
    """Operations per second of [10000, 256] x [256, 1024] products in float32, a multiply-add counted as two."""
    a, b = torch.randn(10_000, 256), torch.randn(256, 1024)
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        a @ b
        times.append(time.process_time() - begin)
    return 2 * 10_000 * 256 * 1024 / min(times)


def measure(graph: str, batch: int, steps: int) -> dict[str, float]:
    """Molecules per second, operations per molecule and the share of the matrix rate, of whole training steps."""
    settings = replaced(PRESETS["paper"], {"model.graph": graph, "data.source": "subset"})
    task, network = qm9.load(settings), qm9.build(settings.model, seed=0)
    task.prepare(network, task.graphs("train", torch.arange(batch)))
    optimizer = make_optimizer(network, settings.train)
    random = torch.Generator().manual_seed(0)

    def step() -> float:
        graphs = task.graphs("train", torch.randperm(task.size("train"), generator=random)[:batch])
        begin = time.process_time()
        task.loss(network, graphs, random).backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - begin

    with FlopCounterMode(display=False) as counter:
        step()  # the first one also fills the caches
    seconds = statistics.median(step() for _ in range(steps))
    flop, rate = counter.get_total_flops(), matrix_rate()
    return {"graph": graph, "batch": batch, "seconds_per_step": seconds, "molecules_per_second": batch / seconds,
            "gflop_per_molecule": flop / batch / 1e9, "matrix_gflops": rate / 1e9,
            "share_of_matrix_rate": flop / seconds / rate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(graph, options.batch, options.steps) for graph in ("bonds", "complete")]
    for row in rows:
        print(f"{row['graph']:9} {row['molecules_per_second']:7.2f} molecules/s, {row['gflop_per_molecule']:.1f} GFLOP "
              f"a molecule, {100 * row['share_of_matrix_rate']:.0f} % of the {row['matrix_gflops']:.0f} GFLOP/s of a "
              "matrix product")
    if options.out:
        write_json(options.out, {"threads": 1, "rows": rows, **facts()})
    else:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
