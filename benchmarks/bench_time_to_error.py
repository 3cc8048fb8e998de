"""Seconds of training until the test MSE of N-body is 0.012, for every method at its best learning rate of three.

    python benchmarks/bench_time_to_error.py [--out results/time_to_error.json] [--minutes 1.25] [--jobs 2]

The benchmark's simulations (3,000 to train, 2,000 to test), batches of 100 turned at random, Adam and clipping as in
``tasks``, the learning rate constant after a warm-up of 100 steps. Seconds are those that a core works on the training
steps alone, so that other programs count for little. In between, the error on 500 test simulations is measured about
every twentieth of the time, and once it is at the goal, that on all 2,000 decides. Seed 0 tries three learning rates;
the best one (least time, or least error where none arrives) is run with three seeds, small networks with this one only.
``--jobs`` runs stand side by side, each with ``--threads`` threads: 2 and 1 use both of two cores. Networks of this
size gain little from a second thread. Writes a picture beside the JSON.
"""

import argparse
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ponita_edu.data.nbody import NBodySplit, load_nbody
from ponita_edu.nn.steerable import Steerable, SteerableConfig
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.config import TrainConfig
from ponita_edu.tasks.nbody import METRIC, NBodyTask, build
from ponita_edu.tasks.nbody_config import PRESETS, NBodyModel
from ponita_edu.tasks.parts import Epoch, Objective, make_optimizer
from ponita_edu.tasks.run import count, how_measured, keep_memory
from ponita_edu.tasks.settings import replaced
from ponita_edu.tasks.task import evaluate, stream

GOAL, RATES, SEEDS, WARMUP = 0.012, (1e-3, 3e-3, 1e-2), (0, 1, 2), 100
QUICK = PRESETS["quick"].model
MODELS = {
    "ponita": QUICK,  # bundle over the icosahedron's 12 vertices, 3 blocks of 32 channels
    "ponita, small": replaced(QUICK, {"grid": "octahedron"}),  # its 6 vertices
    "edges": replaced(QUICK, {"method": "edges"}),
    "egnn": NBodyModel(method="egnn", hidden=64, layers=4),  # as published
    "egnn, small": NBodyModel(method="egnn", hidden=32, layers=4),
}
METHODS = (*MODELS, "steerable", "steerable, small")
WATCHED = 500  # test simulations that say when to measure all
LEFT_OUT = {"positions": "space 'positions' neither takes nor gives vectors, and the task has a velocity and a "
                         "displacement"}


def network_of(method: str, seed: int) -> nn.Module:
    """The method's network for one scalar and one vector in, one vector out."""
    if method in MODELS:
        return build(MODELS[method], seed)
    return Steerable(SteerableConfig(1, 1, 0, 1, hidden=16 if "small" in method else 32, layers=4), seed=seed)


def trainer(task: NBodyTask, network: nn.Module, config: TrainConfig, half: bool = False) -> Callable[[], None]:
    """A function that makes one step of training; calibrates it here. ``half``: bfloat16 as in ``tasks``."""
    objective, optimizer = Objective(task, network), make_optimizer(network, config)
    like, steps = next(network.parameters()), task.size("train") // config.batch_size
    epoch = Epoch(0, task.size("train"), 3, config, like)
    task.prepare(network, epoch.part(0).graphs(task))
    objective(epoch.part(0), stream(config.seed, 1, 0)).backward()  # what a first step loads is no part of the training
    optimizer.zero_grad()
    step = 0

    def train() -> None:
        nonlocal epoch, step
        if epoch.number != step // steps:
            epoch = Epoch(step // steps, task.size("train"), 3, config, like)
        for group in optimizer.param_groups:
            group["lr"] = config.lr * min(1.0, (step + 1) / WARMUP)
        with torch.autocast(like.device.type, dtype=torch.bfloat16, enabled=half):
            loss = objective(epoch.part(step % steps), stream(config.seed, 1, step))
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        step += 1

    return train


def run(job: tuple[str, float, int], minutes: float, threads: int) -> dict:
    """Train until the goal, the cap, or an error that is no number; the curve holds (seconds, step, test MSE)."""
    method, lr, seed = job
    keep_memory()
    torch.set_num_threads(threads)
    splits = load_nbody(3000, 2000, 2000, 43, progress=False)
    fields = ("charges", "loc_in", "vel_in", "loc_out")
    few = {name: getattr(splits["test"], name)[:WATCHED] for name in fields}
    task = NBodyTask(splits | {"watched": NBodySplit(**few, name="test", official=False)})
    config = TrainConfig(batch_size=100, lr=lr, seed=seed)
    network = network_of(method, seed)
    train = trainer(task, network, config)
    curve, seconds, step, due, error = [], 0.0, 0, 0.0, math.inf
    while True:
        if seconds >= due:
            curve.append((seconds, step, evaluate(task, network, "watched")[0][METRIC]))
            last = seconds >= 60 * minutes or not math.isfinite(curve[-1][2])
            if last or curve[-1][2] <= GOAL:
                error = evaluate(task, network, "test")[0][METRIC]
                if last or error <= GOAL:
                    break
            due = min(max(seconds + 0.5, 1.05 * seconds), 60 * minutes)
        begin = time.process_time()
        train()
        step += 1
        seconds += (time.process_time() - begin) / threads
    reached = error <= GOAL
    row = {"method": method, "lr": lr, "seed": seed, "reached": reached, "seconds": seconds, "steps": step,
           "test_mse": error, "least_watched_mse": min(e for _, _, e in curve),
           "parameters": count(network), "ms_per_step": 1e3 * seconds / step, "curve": curve}
    print(f"{method:16} lr {lr:5.0e} seed {seed}: {'reached' if reached else 'not reached'} after {seconds:6.1f} s, "
          f"{step} steps of {row['ms_per_step']:.1f} ms, test MSE {row['test_mse']:.4f}", flush=True)
    return row


def best(rows: list[dict]) -> float:
    """The learning rate of the run that arrived first, or that came nearest."""
    return min(rows, key=lambda r: (not r["reached"], r["seconds"] if r["reached"] else r["least_watched_mse"]))["lr"]


def table(rows: list[dict]) -> list[dict]:
    """One line a method, over its seeds."""
    lines = []
    for method in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == method]
        times = [r["seconds"] for r in mine]
        lines.append({"method": method, "lr": mine[0]["lr"], "parameters": mine[0]["parameters"],
                      "reached": sum(r["reached"] for r in mine), "of": len(mine),
                      "seconds": statistics.median(times), "seconds_least": min(times), "seconds_most": max(times),
                      "steps": statistics.median(r["steps"] for r in mine),
                      "ms_per_step": statistics.median(r["ms_per_step"] for r in mine),
                      "test_mse": statistics.median(r["test_mse"] for r in mine)})
    return sorted(lines, key=lambda line: (-line["reached"], line["seconds"]))


def draw(rows: list[dict], path: Path) -> None:
    """Test error against seconds of training, one colour a method, one line a seed."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    styles = ("-", "--", ":")
    for k, method in enumerate(dict.fromkeys(r["method"] for r in rows)):
        for r in (r for r in rows if r["method"] == method):
            seconds, _, error = zip(*r["curve"], strict=True)
            ax.plot(seconds, error, styles[r["seed"] % 3], color=f"C{k}", lw=1.2,
                    label=f"{method}, lr {r['lr']:.0e}" if r["seed"] == 0 else None)
    ax.axhline(GOAL, color="0.4", lw=0.8)
    ax.set(xlabel="seconds of training", ylabel=f"MSE on {WATCHED} test simulations", yscale="log",
           title="N-body: test error against time")
    ax.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a .json file; the picture is put beside it")
    parser.add_argument("--minutes", type=float, default=1.25, help="cap of training time for each run")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()
    load_nbody(3000, 2000, 2000, 43)  # simulated once, before the processes ask for it
    one = partial(run, minutes=options.minutes, threads=options.threads)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        search = list(pool.map(one, [(m, lr, SEEDS[0]) for m in options.methods for lr in RATES]))
        chosen = {m: best([r for r in search if r["method"] == m]) for m in options.methods}
        again = [(m, chosen[m], seed) for m in options.methods if "small" not in m for seed in SEEDS[1:]]
        more = list(pool.map(one, again))
    runs = [r for r in search if r["lr"] == chosen[r["method"]]] + more
    lines = table(sorted(runs, key=lambda r: (options.methods.index(r["method"]), r["seed"])))
    for line in lines:
        print(json.dumps(line))
    if options.out:
        write_json(options.out, {
            "about": "see benchmarks/bench_time_to_error.py", "goal_test_mse": GOAL, "runs_at_once": options.jobs,
            "threads_each": options.threads, "cap_minutes": options.minutes, "table": lines, "left_out": LEFT_OUT,
            "search": [{**r, "curve": None} for r in search], "runs": runs,
            **how_measured()})
        draw(runs, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
