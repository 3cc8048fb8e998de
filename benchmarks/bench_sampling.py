"""Molecules per second of both diffusions and both networks, whole samplers, molecules as large as in QM9.

    OMP_NUM_THREADS=1 python benchmarks/bench_sampling.py --part 0.2 --out FILE.json        # the quick networks, a CPU
    python benchmarks/bench_sampling.py --preset paper --molecules 1000 --out FILE.json     # the full ones, a GPU

Weights do not matter for the speed, so they are untrained. A sampler is timed after one that warms up. With
``--part 0.1`` only a tenth of its steps are done, and the time is multiplied, which the output says.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.diffusion import Diffusion, Layout
from ponita_edu.tasks.generation_config import PRESETS
from ponita_edu.tasks.generation_model import MoleculeModel
from ponita_edu.tasks.run import count, device_name, how_measured
from ponita_edu.tasks.task import stream

# EDM's histogram of numbers of atoms in the training set, from 10 to 25 atoms (99.6 % of it)
SIZES = {10: 362, 11: 807, 12: 1689, 13: 3060, 14: 5136, 15: 7796, 16: 10644, 17: 13025, 18: 13364, 19: 13832, 20: 9482,
         21: 9970, 22: 3393, 23: 4848, 24: 539, 25: 1506}


def measure(model: MoleculeModel, molecules: int, part: float, device: torch.device) -> dict[str, float]:
    """Steps, network evaluations and time of a whole sampler for ``molecules`` molecules."""
    model = model.to(device)
    model.size_counts[list(SIZES)] = torch.tensor(list(SIZES.values()), device=device)
    like = next(model.network.parameters())
    layout = Layout.of_sizes(model.draw_sizes(molecules, stream(0, 3)), like)
    steps = max(2, round(part * model.diffusion.steps))
    with torch.no_grad():
        for _ in model.path(layout, stream(0, 4), 2):
            pass
        calls: list[int] = []
        model.network.register_forward_hook(lambda *_: calls.append(1))
        synchronise(device)
        began = time.perf_counter()
        for _ in model.path(layout, stream(0, 5), steps):
            pass
        synchronise(device)
    needed = evaluations(model.diffusion)
    took = (time.perf_counter() - began) * needed / len(calls)
    return {"steps": model.diffusion.steps, "evaluations": needed, "seconds": round(took, 2),
            "molecules_per_second": round(molecules / took, 3)}


def evaluations(diffusion: Diffusion) -> int:
    """How often a whole sampler asks the network: counted, with one that says nothing."""
    calls: list[int] = []

    def silent(layout: Layout, z: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return torch.zeros_like(z)

    layout = Layout.of_sizes(torch.tensor([2]), torch.zeros(1))
    for _ in diffusion.path(silent, layout, lambda: torch.zeros(2, 3 + diffusion.features)):
        pass
    return len(calls)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="quick", choices=list(PRESETS))
    parser.add_argument("--molecules", type=int, default=50)
    parser.add_argument("--part", type=float, default=1.0)
    parser.add_argument("--out", metavar="FILE", help="a JSON file for the result")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    for method in ("ponita", "egnn"):
        for diffusion in ("karras", "edm"):
            settings = replace(PRESETS[given.preset].model, method=method, diffusion=diffusion)
            model = MoleculeModel(settings, 0)
            row = {"method": method, "diffusion": diffusion, "parameters": count(model),
                   **measure(model, given.molecules, given.part, device)}
            rows.append(row)
            print(f"{method:7} {diffusion:7} {row['steps']:5} steps, {row['evaluations']:5} network evaluations: "
                  f"{row['molecules_per_second']:8.3f} molecules/s", flush=True)
    result = {"preset": given.preset, "molecules": given.molecules, "part": given.part, "rows": rows,
              **how_measured(device_name(device))}
    print(json.dumps(result))
    if given.out is not None:
        write_json(Path(given.out), result)


if __name__ == "__main__":
    main()
