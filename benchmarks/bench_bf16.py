"""Training in bfloat16 (``train.precision bf16-mixed``) beside float32 on N-body: deviation, speed, test error.

    python benchmarks/bench_bf16.py [--out results/bf16.json] [--steps 300]

Deviation: outputs and gradients of the network at the paper's settings on 20 graphs, fresh and calibrated. Speed: one
training step of the same, and a matrix product of [2048, 256] and [256, 128]. Test error: three seeds, the same steps
on the same batches of 25, the small network of the quick preset over the octahedron. Force fields refuse this option.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bench_networks import INOUT, antipodal_grid, batch_of
from bench_time_to_error import MODELS, trainer
from torch import Tensor

from ponita_edu.data.nbody import load_nbody
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.config import TrainConfig
from ponita_edu.tasks.nbody import METRIC, NBodyTask, build
from ponita_edu.tasks.run import how_measured, keep_memory
from ponita_edu.tasks.task import evaluate

HALF = {"float32": False, "bfloat16": True}


def median_ms(function: Callable[[], object], times: int) -> float:
    """Median of some calls."""
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(seconds)


def one_step() -> dict[str, float]:
    """Relative deviations (norm of the difference over the norm), and milliseconds."""
    graphs = batch_of("nbody", torch.device("cpu"), graphs=20)
    model = Ponita(PonitaConfig(**INOUT["nbody"]), antipodal_grid(16), seed=0)
    model.calibrate(graphs)

    def step(half: bool) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            out = model(graphs).vector
        gradient = torch.autograd.grad((out.float() - 1).square().mean(), list(model.parameters()))
        return out.detach().float(), torch.cat([g.flatten() for g in gradient])

    full, half = step(False), step(True)
    found = {f"{name}_deviation": float((b - a).norm() / a.norm())
             for name, a, b in zip(("output", "gradient"), full, half, strict=True)}
    for name, on in HALF.items():
        found[f"{name}_step_ms"] = median_ms(lambda on=on: step(on), 3)
        kind = getattr(torch, name)
        a, b = torch.randn(2048, 256).to(kind), torch.randn(256, 128).to(kind)
        found[f"{name}_product_ms"] = median_ms(lambda a=a, b=b: a @ b, 9)
    return found


def trained(seed: int, half: bool, steps: int) -> float:
    """Test MSE after so many steps."""
    task = NBodyTask(load_nbody(3000, 2000, 2000, 43, progress=False))
    network = build(MODELS["ponita, small"], seed)
    step = trainer(task, network, TrainConfig(batch_size=25, lr=3e-3, seed=seed), half)
    for _ in range(steps):
        step()
    return evaluate(task, network, "test")[0][METRIC]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    keep_memory()
    result = {"about": "see benchmarks/bench_bf16.py", "steps": options.steps, **one_step()}
    for seed in range(3):
        for name, half in HALF.items():
            result[f"{name}_test_mse_seed{seed}"] = trained(seed, half, options.steps)
    for name, value in result.items():
        print(f"{name}: {value}", flush=True)
    if options.out:
        write_json(options.out, {**result, **how_measured()})


if __name__ == "__main__":
    main()
