"""Speed and memory side by side: this library, the textbook network of the same weights, and its peers.

    OMP_NUM_THREADS=2 python benchmarks/bench_networks.py [--out results/speed.json] [--repeats 5] [--device cuda]

Three workloads at the paper's settings in float32: N-body (100 graphs of 5 particles), rMD17-like (5 molecules of 21
atoms, energies and forces, backward through the forces) and QM9-like (24 molecules of 18 atoms), complete graphs with
self loops, random positions. Methods take turns, so that a change of the machine hits all of them; medians and the
smallest and largest of the repeats. Operations are those of matrix products by torch's counter, and the share is of the
rate that one matrix product reaches in the same run. Traffic is what operations read and write, though caches serve
much of it; its share is of the rate of one long sum. Peak memory is that of a process of its own for one step, less
what it held before. On a GPU a step is one CUDA graph (not for steerable). All processes keep their buffers
(``keep_memory``). Writes a picture beside the JSON. Workloads of the same commit, device and threads that are in the
file already are kept, so that a long run can be made one workload at a time.

    python benchmarks/bench_networks.py --construction        # build and calibrate the paper's N-body network
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import one_hot
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode
from yardstick import Textbook

from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry import Grid, make_grid
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.nn.baselines import EGNN, EGNNConfig
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import count, device_name, facts, how_measured, keep_memory

INOUT = {
    "nbody": dict(scalars_in=1, vectors_in=1, scalars_out=0, vectors_out=1, level="node"),
    "rmd17": dict(scalars_in=8, vectors_in=0, scalars_out=1, vectors_out=0, level="graph"),
    "qm9": dict(scalars_in=5, vectors_in=0, scalars_out=1, vectors_out=0, level="graph"),
}
SIZES = {"nbody": (100, 5), "rmd17": (5, 21), "qm9": (24, 18)}
METHODS = ("ponita", "ponita, recomputing", "textbook", "positions", "textbook positions", "egnn", "steerable")


def antipodal_grid(n: int) -> Grid:
    """The northern half of a Fibonacci grid of n points, and its antipodes."""
    north = make_grid("fibonacci", n).points[: n // 2]
    return Grid.from_points(torch.cat((north, -north)), name="antipodal")


def batch_of(workload: str, device: torch.device, graphs: int | None = None) -> Graphs:
    """Random clouds of the workload's sizes."""
    random = torch.Generator().manual_seed(0)
    (whole, nodes), inout = SIZES[workload], INOUT[workload]
    graphs = whole if graphs is None else graphs
    n, scalars = graphs * nodes, inout["scalars_in"]
    x = one_hot(torch.arange(n) % scalars, scalars).float() if scalars > 1 else torch.randn(n, 1, generator=random)
    vec = torch.randn(n, inout["vectors_in"], 3, generator=random) if inout["vectors_in"] else None
    batch = Graphs(1.5 * torch.randn(n, 3, generator=random), x, vec=vec,
                   batch=torch.arange(graphs).repeat_interleave(nodes)).to(str(device))
    assert batch.mutual is not None  # worked out once, as the tasks do
    return batch


def network_of(workload: str, method: str, graphs: Graphs) -> nn.Module | None:
    """The network, calibrated where it can be; None if it cannot do the workload (positions take no vectors)."""
    inout, device = INOUT[workload], graphs.pos.device
    if "positions" in method and workload == "nbody":
        return None
    if method == "egnn":
        return EGNN(EGNNConfig(**inout, hidden=64 if workload == "nbody" else 128, layers=4 if workload == "nbody"
                               else 7), seed=0).to(device)
    if method == "steerable":
        from ponita_edu.nn.steerable import Steerable, SteerableConfig
        return Steerable(SteerableConfig(**inout, hidden=32), seed=0).to(device)
    space = "positions" if "positions" in method else "bundle"
    grid = None if space == "positions" else make_grid("dodecahedron") if workload == "rmd17" else antipodal_grid(16)
    model = Ponita(PonitaConfig(**inout, space=space, layer_scale=1e-6 if workload == "nbody" else None), grid,
                   seed=0).to(device)
    model.calibrate(graphs)
    if "textbook" in method:
        return Textbook(model)
    model.recompute(method == "ponita, recomputing")
    return model


def steps_of(workload: str, network: nn.Module, graphs: Graphs) -> dict[str, Callable[[], object]]:
    """A forward pass without gradients, and a training step."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, fused=True,
                                 capturable=graphs.pos.is_cuda)

    def forward() -> object:
        with torch.no_grad():
            return network(graphs)

    def train() -> None:
        optimizer.zero_grad()
        if workload == "rmd17":
            moving = graphs.requires_grad_()
            # a copy: torch's counter refuses a leaf as the input of a module
            energy = network(moving._replace(pos=moving.pos.clone())).scalar
            force = -torch.autograd.grad(energy.sum(), moving.pos, create_graph=True)[0]
            loss = energy.sub(1).square().mean() / 500 + force.sub(1).square().mean()
        else:
            out = network(graphs)
            loss = (out.vector if workload == "nbody" else out.scalar).sub(1).square().mean()
        loss.backward()
        optimizer.step()

    return {"forward": forward, "forces_step" if workload == "rmd17" else "training_step": train}


def captured(step: Callable[[], object]) -> Callable[[], object]:
    """The step as a CUDA graph, recorded after three ordinary ones: all its kernels in one launch."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def matrix_rate(device: torch.device) -> float:
    """Operations a second of the best of a few float32 matrix products, a multiply-add counted as two."""
    best = 0.0
    for m, k, n in ((2048, 256, 128), (2048, 256, 640), (2048, 2048, 2048)):
        a, b = torch.randn(m, k, device=device), torch.randn(k, n, device=device)
        seconds = Timer("a @ b", globals={"a": a, "b": b}, num_threads=torch.get_num_threads()).timeit(30).mean
        best = max(best, 2 * m * k * n / seconds)
    return best


def memory_rate(device: torch.device) -> float:
    """Bytes a second, read and written, of a sum of one number to 256 MB."""
    a, b = torch.zeros(2, 2**26, device=device)
    return 2 * a.nbytes / Timer("torch.add(a, 1, out=b)", globals={"torch": torch, "a": a, "b": b},
                                num_threads=torch.get_num_threads()).timeit(5).mean


class Traffic(TorchDispatchMode):
    """Counts operations that are no views, and the bytes of the tensors that they take and give."""

    def __init__(self):
        super().__init__()
        self.operations = self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.operations += 1
            self.bytes += sum(min(a.nbytes, a.untyped_storage().nbytes()) for a in tree_leaves((args, kwargs, out))
                              if isinstance(a, torch.Tensor))
        return out


def peak_bytes(workload: str, method: str, device: torch.device) -> int | None:
    """Bytes of one training step, beyond what was held before it; on a CPU in a process of its own."""
    if device.type == "cpu":
        command = [sys.executable, __file__, "--memory", workload, method]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    graphs = batch_of(workload, device)
    step = list(steps_of(workload, network_of(workload, method, graphs), graphs).values())[-1]
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return torch.cuda.max_memory_allocated() - before


def memory_here(workload: str, method: str) -> int:
    """What the largest resident size of this process grows by in one training step, after a step on one graph."""
    device = torch.device("cpu")
    graphs, one = batch_of(workload, device), batch_of(workload, device, graphs=1)
    network = network_of(workload, method, one)
    list(steps_of(workload, network, one).values())[-1]()  # loads what a first step loads
    before = resident("VmRSS")
    list(steps_of(workload, network, graphs).values())[-1]()
    return resident("VmHWM") - before


def resident(kind: str) -> int:
    """Bytes that this process holds (VmRSS) or held at most (VmHWM); Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(kind)).split()[1])


def measure(workload: str, methods: tuple[str, ...], repeats: int, device: torch.device) -> list[dict]:
    """One row for each method and step."""
    graphs = batch_of(workload, device)
    found, rows, times = {}, [], 20 if device.type == "cuda" else 1
    for method in methods:
        network = network_of(workload, method, graphs)
        if network is not None:
            for name, step in steps_of(workload, network, graphs).items():
                with FlopCounterMode(display=False) as counter:
                    step()  # also the first, slow one
                with Traffic() as traffic:
                    step()
                if device.type == "cuda" and method != "steerable":  # e3nn's harmonics are compiled when first used
                    step = captured(step)
                found[method, name] = step, counter.get_total_flops(), count(network), [], traffic
    for _ in range(repeats):
        for step, _, _, seconds, _ in found.values():
            seconds.append(Timer("step()", globals={"step": step}, num_threads=torch.get_num_threads())
                           .timeit(times).mean)
    for (method, name), (_, flop, parameters, seconds, traffic) in found.items():
        rows.append({"workload": workload, "method": method, "step": name, "ms": 1e3 * statistics.median(seconds),
                     "ms_least": 1e3 * min(seconds), "ms_most": 1e3 * max(seconds), "gflop": flop / 1e9,
                     "parameters": parameters, "gbytes": traffic.bytes / 1e9, "operations": traffic.operations})
    return rows


def construction() -> dict[str, float]:
    """Seconds to build the paper's N-body network, and to calibrate it on 100 graphs."""
    graphs = batch_of("nbody", torch.device("cpu"))
    begin = time.perf_counter()
    model = Ponita(PonitaConfig(**INOUT["nbody"], layer_scale=1e-6), antipodal_grid(16), seed=0)
    built = time.perf_counter()
    model.calibrate(graphs)
    return {"built_seconds": built - begin, "calibrated_seconds": time.perf_counter() - built}


def draw(rows: list[dict], path: Path) -> None:
    """Bars of the step times, with the range of the repeats."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, len(SIZES), figsize=(11, 3.2), layout="constrained")
    for ax, workload in zip(axes, SIZES, strict=True):
        mine = [r for r in rows if r["workload"] == workload and r["step"] != "forward"]
        values = [r["ms"] for r in mine]
        spread = [[r["ms"] - r["ms_least"] for r in mine], [r["ms_most"] - r["ms"] for r in mine]]
        ax.barh([r["method"] for r in mine], values, xerr=spread, color="#4477aa")
        ax.invert_yaxis()
        ax.set(title=f"{workload}: {mine[0]['step'].replace('_', ' ') if mine else ''}", xlabel="ms")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a .json file; the picture is put beside it")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workloads", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--memory", nargs=2, metavar=("WORKLOAD", "METHOD"), help=argparse.SUPPRESS)
    parser.add_argument("--construction", action="store_true")
    options = parser.parse_args()
    device = torch.device(options.device)
    keep_memory()
    if options.memory:
        print(memory_here(*options.memory))
        return
    if options.construction:
        print(json.dumps(construction()))
        return
    rate, stream, rows = matrix_rate(device), memory_rate(device), []
    before, found = 0.0, facts()  # of the code that runs, whatever is checked out meanwhile
    if options.out and options.out.exists():
        old, here = json.loads(options.out.read_text()), how_measured(device_name(device))
        if all(old[key] == here[key] for key in ("device", "threads", "commit", "versions")):
            rows = [row for row in old["rows"] if row["workload"] not in options.workloads]
            before = old["minutes"]
    for workload in options.workloads:
        new = measure(workload, tuple(options.methods), options.repeats, device)
        for row in new:
            row["matrix_gflops"], row["memory_gbytes_per_s"] = rate / 1e9, stream / 1e9
            row["share_of_memory_rate"] = row["gbytes"] * 1e12 / row["ms"] / stream
            row["share_of_matrix_rate"] = row["gflop"] * 1e12 / row["ms"] / rate
            slow = [r["ms"] for r in new if r["method"] == "textbook" and r["step"] == row["step"]]
            row["times_faster_than_textbook"] = slow[0] / row["ms"] if slow else None
            if row["step"] != "forward":
                row["peak_MB"] = peak_bytes(workload, row["method"], device) / 1e6
            print(f"{workload:6} {row['method']:18} {row['step']:14} {row['ms']:8.1f} ms ({row['ms_least']:.1f} to "
                  f"{row['ms_most']:.1f}) {row['gflop']:7.2f} GFLOP, {100 * row['share_of_matrix_rate']:3.0f} % of "
                  f"{rate / 1e9:.0f} GFLOP/s, {row['gbytes']:.2f} GB, peak {row.get('peak_MB', 0):.0f} MB", flush=True)
        rows += new
    if options.out:
        built, how = construction(), how_measured(device_name(device))
        write_json(options.out, {"about": "see benchmarks/bench_networks.py", "construction": built, "rows": rows,
                                 **how, **found, "minutes": round(before + how["minutes"], 2)})
        draw(rows, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
