"""Where the time of a training step goes: shares of matrix products, element-wise work, gathering and copying.

    OMP_NUM_THREADS=2 python benchmarks/bench_profile.py [--out results/speed_profile.json]

One profiled step (torch.profiler) of each workload of bench_networks.py, this library beside the textbook network: time
spent in operations of each kind, of what the profiler sees. Also what the products alone would take at the rate of the
best product of the same run, and how much faster the step could be at most if all else were free on this side.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import torch
from bench_networks import SIZES, batch_of, matrix_rate, network_of, steps_of
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import how_measured, keep_memory

KINDS = {
    "matrix products": ("mm", "addmm", "addmm_", "bmm", "baddbmm"),
    "GELU": ("gelu", "gelu_backward", "erf", "exp"),
    "gather and scatter": ("index_select", "index_add_", "index_add", "scatter_add_", "index",
                           "_index_put_impl_", "gather"),
    "copies": ("copy_", "cat", "fill_", "zero_"),
    "sums and products": ("add", "add_", "mul", "mul_", "addcmul", "addcmul_", "sum", "sub", "neg", "div", "pow",
                          "native_layer_norm", "native_layer_norm_backward", "mean", "where", "_fused_adam_"),
}


def shares(workload: str, method: str, rate: float) -> dict[str, object]:
    """Milliseconds of one step by kind."""
    graphs = batch_of(workload, torch.device("cpu"))
    step = list(steps_of(workload, network_of(workload, method, graphs), graphs).values())[-1]
    with FlopCounterMode(display=False) as counter:
        step()
    step()
    with profile() as seen:
        step()
    kind = {f"aten::{name}": k for k, names in KINDS.items() for name in names}
    ms: dict[str, float] = defaultdict(float)
    for event in seen.key_averages():
        ms[kind.get(event.key, "all else")] += event.self_cpu_time_total / 1e3
    total = sum(ms.values())
    flop = counter.get_total_flops()
    return {"workload": workload, "method": method, "ms": total, "gflop": flop / 1e9,
            "products_at_best_rate_ms": 1e3 * flop / rate,
            "shares": {k: ms[k] / total for k in (*KINDS, "all else")}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    keep_memory()
    rate, rows = matrix_rate(torch.device("cpu")), []
    for workload in SIZES:
        for method in ("ponita", "textbook"):
            rows.append(shares(workload, method, rate))
            row = rows[-1]
            print(f"{workload:6} {method:9} {row['ms']:7.0f} ms, products at {rate / 1e9:.0f} GFLOP/s "
                  f"{row['products_at_best_rate_ms']:5.0f} ms; "
                  + ", ".join(f"{k} {100 * v:.0f} %" for k, v in row["shares"].items()), flush=True)
        ours, theirs = rows[-2:]
        ours["ratio_if_only_products"] = theirs["ms"] / ours["products_at_best_rate_ms"]
        print(f"{workload}: at most {ours['ratio_if_only_products']:.2f} times faster than the textbook step")
    if options.out:
        write_json(options.out, {"about": "see benchmarks/bench_profile.py", "matrix_gflops": rate / 1e9, "rows": rows,
                                 **how_measured()})


if __name__ == "__main__":
    main()
