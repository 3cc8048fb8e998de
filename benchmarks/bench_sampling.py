"""Molecules per second of both diffusions and both networks, whole samplers, molecules as large as in QM9.

    OMP_NUM_THREADS=1 python benchmarks/bench_sampling.py                 # the quick networks on a CPU
    python benchmarks/bench_sampling.py --preset paper --molecules 1000   # the full ones on a GPU

Weights do not matter for the speed, so they are untrained. A sampler is timed after one that warms up. With
``--part 0.1`` only a tenth of its steps are done and the time is multiplied, which the output says.
"""

import argparse
import json
import time
from dataclasses import replace

import torch

from ponita_edu.tasks.diffusion import Layout
from ponita_edu.tasks.generation_config import PRESETS
from ponita_edu.tasks.generation_model import MoleculeModel
from ponita_edu.tasks.run import device_name, facts
from ponita_edu.tasks.task import stream

# EDM's histogram of numbers of atoms in the training set, from 10 to 25 atoms (99.6 % of it)
SIZES = {10: 362, 11: 807, 12: 1689, 13: 3060, 14: 5136, 15: 7796, 16: 10644, 17: 13025, 18: 13364, 19: 13832, 20: 9482,
         21: 9970, 22: 3393, 23: 4848, 24: 539, 25: 1506}


def seconds(model: MoleculeModel, count: int, part: float, device: torch.device) -> tuple[float, int]:
    """Time of a whole sampler for ``count`` molecules, and its number of steps."""
    model = model.to(device)
    model.size_counts[list(SIZES)] = torch.tensor(list(SIZES.values()), device=device)
    like = next(model.network.parameters())
    layout = Layout.of_sizes(model.draw_sizes(count, stream(0, 3)), like)
    steps = max(2, round(part * model.diffusion.steps))
    with torch.no_grad():
        for _ in model.path(layout, stream(0, 4), 2):
            pass
        synchronise(device)
        began = time.perf_counter()
        for _ in model.path(layout, stream(0, 5), steps):
            pass
        synchronise(device)
    return (time.perf_counter() - began) * model.diffusion.steps / steps, model.diffusion.steps


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="quick", choices=list(PRESETS))
    parser.add_argument("--molecules", type=int, default=50)
    parser.add_argument("--part", type=float, default=1.0)
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    for method in ("ponita", "egnn"):
        for diffusion in ("karras", "edm"):
            settings = replace(PRESETS[given.preset].model, method=method, diffusion=diffusion)
            took, steps = seconds(MoleculeModel(settings, 0), given.molecules, given.part, device)
            rows.append({"method": method, "diffusion": diffusion, "steps": steps, "seconds": round(took, 2),
                         "molecules_per_second": round(given.molecules / took, 3)})
            print(f"{method:7} {diffusion:7} {steps:5} steps: {rows[-1]['molecules_per_second']:8.3f} molecules/s")
    print(json.dumps({"preset": given.preset, "molecules": given.molecules, "part": given.part, "rows": rows,
                      "device": device_name(device), "threads": torch.get_num_threads(), **facts()}))


if __name__ == "__main__":
    main()
