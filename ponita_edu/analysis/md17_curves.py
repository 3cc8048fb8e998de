"""How many frames, and which network? Force errors on ethanol (GFN2-xTB) after training for equal processor time.

`python -m ponita_edu.analysis.md17_curves --out results/md17_curves.json` (notebook 10).
"""

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ponita_edu.analysis import budget
from ponita_edu.data.md17 import Frames, load_md17, split_by_numbers
from ponita_edu.nn.baselines import EGNN, EGNNConfig
from ponita_edu.nn.forcefield import ForceField
from ponita_edu.nn.steerable import Steerable, SteerableConfig
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.config import TrainConfig
from ponita_edu.tasks.md17 import Md17Task, build
from ponita_edu.tasks.md17_config import Md17Data, Md17Model, Md17Protocol, Md17Settings
from ponita_edu.tasks.run import command_line, count, facts, keep_memory
from ponita_edu.tasks.task import evaluate

NETWORKS = ("PONITA", "PNITA", "EGNN", "EGNN, gain 1", "steerable")
SIZES = (50, 200, 950)
TEST = 50  # frames
RATES = {"PONITA": 5e-3, "PNITA": 5e-3, "EGNN": 2e-3, "EGNN, gain 1": 2e-3, "steerable": 5e-3}
_SMALL = Md17Model(hidden=64, layers=3, basis=64, widening=2, grid="octahedron", elements="1 6 8")


def make_task(frames: Frames, train: int, batch_size: int = 5, rate: float = 5e-3, seed: int = 0,
              test: int = TEST) -> Md17Task:
    """Frames shared out at random: the same ``test`` frames whatever ``train``, smaller training sets within larger."""
    rows, tested, _ = split_by_numbers(len(frames), len(frames) - test, test)
    config = TrainConfig(epochs=1, batch_size=batch_size, lr=rate, weight_decay=0.0, warmup_epochs=0.05,
                         schedule="step", seed=seed, accelerator="cpu", threads=1)
    settings = Md17Settings("quick", Md17Data(split="random", train=train, val=test), _SMALL, Md17Protocol(turns=1),
                            config)
    return Md17Task(frames, {"train": rows[:train], "test": tested}, settings)


def make_network(name: str, seed: int = 0) -> ForceField:
    """One of the ``NETWORKS`` as a force field of H, C and O.

    Raises:
        ValueError: on another name.
        ImportError: the steerable network needs e3nn (the extra ``compare``).
    """
    if name not in NETWORKS:
        raise ValueError(f"name must be one of {', '.join(NETWORKS)}, but is {name!r}.")
    if name == "steerable":
        config = SteerableConfig(3, 0, 1, 0, l_max=2, hidden=32, layers=2, basis=32, level="graph")
        return ForceField(Steerable(config, seed=seed), [1, 6, 8])
    if name == "EGNN, gain 1":  # torch's own initial weights; see ``EGNNConfig.distance_gain``
        config = EGNNConfig(3, 0, 1, 0, hidden=64, layers=4, level="graph")
        return ForceField(EGNN(config, seed=seed), [1, 6, 8])
    method, hidden, layers = {"PONITA": ("ponita", 64, 3), "PNITA": ("positions", 96, 5), "EGNN": ("egnn", 64, 4)}[name]
    return build(replace(_SMALL, method=method, hidden=hidden, layers=layers), seed=seed)


def train(network: ForceField, task: Md17Task, seconds: float = math.inf, steps: float = math.inf) -> int:
    """Train in place for so much processor time or so many steps, whichever ends first; returns the number of steps.

    See ``analysis.budget.train``.
    """
    return budget.train(network, task, task.settings.train, seconds, steps)


def measure(name: str, frames: Frames, size: int, seconds: float = math.inf, steps: float = math.inf, seed: int = 0
            ) -> dict[str, Any]:
    """A network of the ``NETWORKS`` after training on ``size`` frames: errors on the test frames, steps, seconds."""
    task = make_task(frames, size, rate=RATES[name], seed=seed)
    task = task.to(torch.device("cpu"), torch.float32)
    network, began = make_network(name, seed), time.process_time()
    done = train(network, task, seconds, steps)
    used = time.process_time() - began
    return {"network": name, "frames": size, "seed": seed, "steps": done, "parameters": count(network),
            "processor_seconds": round(used, 2), **evaluate(task, network, "test")[0]}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m ponita_edu.analysis.md17_curves", description=__doc__)
    parser.add_argument("--seconds", type=float, default=25.0, help="processor time of each training")
    parser.add_argument("--out", help="JSON file to write")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    keep_memory()
    frames, began, rows = load_md17("ethanol_xtb"), time.monotonic(), []
    for name in NETWORKS:
        for size in SIZES if name == "PONITA" else SIZES[-1:]:
            rows.append(measure(name, frames, size, given.seconds))
            print(f"{name:12} {size:4} frames {rows[-1]['steps']:6,} steps: forces "
                  f"{rows[-1]['force_mae_meV_per_A']:6.1f} meV/Å, energy {rows[-1]['energy_mae_meV']:6.1f} meV",
                  flush=True)
    result = {"rows": rows, "seconds": given.seconds, "seed": 0, "data": "ethanol_xtb", "test_frames": TEST,
              "batch_size": 5, "rates": RATES, "minutes": round((time.monotonic() - began) / 60, 2), "device": "cpu",
              "threads": 1, "command": command_line(), **facts()}
    if given.out:
        write_json(Path(given.out), result)
    return result


if __name__ == "__main__":
    main()
