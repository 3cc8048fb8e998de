"""Energy and forces of one molecule of 21 atoms: kernels from tables against the network and the textbook network.

    OMP_NUM_THREADS=1 python benchmarks/bench_tables.py --checkpoint RUN [--out results/tables.json] [--repeats 40]

Frames of GFN2-xTB in the package, float32, complete graphs, frozen weights. Networks: that of the folder RUN (the
paper's rMD17 network after a few minutes on ethanol, so that its forces have their real size); the shipped one on
positions for ethanol; the paper's sizes on positions with initial weights, calibrated. Errors are the largest of a
force component over the last 10 frames, not trained on, of the molecule that the network knows; times are of one frame
of aspirin, 21 atoms. Methods take turns; medians, with the least and the most, of the finest tables. For RUN:

    ponita-edu train md17 --preset paper --data ethanol_xtb --data.split rows --data.train 900 --data.val 50 \\
        --protocol.turns 1 --train.batch_size 4 --train.lr 2e-3 --train.warmup_epochs 0.2 --train.epochs 12 \\
        --train.validate_every 1 --train.max_minutes 13 --train.threads 1 --out RUN
"""

import argparse
import copy
import statistics
import sys
from pathlib import Path

import torch
from torch.utils.benchmark import Timer
from yardstick import Textbook

import ponita_edu
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.md17 import load_md17
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.nn.forcefield import ForceField, molecules
from ponita_edu.nn.frozen import field_with_tables
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import count, facts, keep_memory, load_model
from ponita_edu.tasks.settings import to_dict

FRAMES, TIMED = slice(-10, None), "aspirin_xtb"
ETHANOL = Path(ponita_edu.__file__).parent / "assets/checkpoints/md17_ethanol"


def frames_of(field: ForceField, name: str) -> tuple[Graphs, Graphs]:
    """One frame, and ten of them as a batch."""
    data = load_md17(name)
    pos = torch.as_tensor(data.pos[FRAMES]).float()
    x = field.one_hot(torch.as_tensor(data.numbers))
    batch = torch.arange(len(pos)).repeat_interleave(len(x))
    ten = molecules(pos.flatten(0, 1), x.repeat(len(pos), 1), batch, field.cutoff)
    return molecules(pos[0], x, batch[:len(x)], field.cutoff), ten


def textbook(field: ForceField) -> ForceField:
    """The same field with the network as written in the paper."""
    new = copy.copy(field)
    new._modules = field._modules | {"network": Textbook(field.network).requires_grad_(False)}
    return new


def measure(name: str, field: ForceField, molecule: str, spacings: list[float], repeats: int) -> dict:
    """Errors by spacing, and the times of the last spacing's tables beside those of the network."""
    field = field.float().eval().requires_grad_(False)
    ten, one = frames_of(field, molecule)[1], frames_of(field, TIMED)[0]
    source, target = one.edge_index
    longest = 1.1 * float((one.pos[source] - one.pos[target]).norm(dim=-1).max())
    forces = field.energy_and_forces(ten)[1]
    row = {"network": name, "errors_on": molecule, "times_on": TIMED, "atoms": one.num_nodes,
           "parameters": count(field),
           "forces_rms_eV_per_A": float(forces.square().mean().sqrt()), "tables": []}
    for spacing in spacings:
        frozen, error = field_with_tables(field, ten, longest, spacing=spacing)
        row["tables"].append({"spacing_A": spacing, "longest_A": frozen.table.longest, "functions": error.functions,
                              "MB": 4e-6 * frozen.table.table.numel(), "error_meV_per_A": 1e3 * error.force,
                              "energy_error_meV": 1e3 * error.energy})
        print(name, row["tables"][-1], flush=True)
    methods = {"network": field, "textbook": textbook(field), "tables": frozen}
    times = {method: [] for method in methods}
    for method in methods.values():
        method.energy_and_forces(one)
    for _ in range(repeats):
        for method, model in methods.items():
            timer = Timer("f(g)", globals={"f": model.energy_and_forces, "g": one},
                          num_threads=torch.get_num_threads())
            times[method].append(1e3 * timer.timeit(1).mean)
    row["ms"] = {m: {"median": statistics.median(t), "least": min(t), "most": max(t)} for m, t in times.items()}
    for other in ("network", "textbook"):
        row[f"times_faster_than_{other}"] = row["ms"][other]["median"] / row["ms"]["tables"]["median"]
    print(row["ms"], {k: v for k, v in row.items() if k.startswith("times")}, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of an md17 run on ethanol")
    parser.add_argument("--spacings", type=float, nargs="+", default=[0.1, 0.05, 0.03])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    keep_memory()
    positions = Ponita(PonitaConfig(8, space="positions", level="graph"), seed=0)
    untrained = ForceField(positions, [1, 6, 7, 8, 9, 15, 16, 17])
    untrained.calibrate(frames_of(untrained, "aspirin_xtb")[1])
    _, settings, trained, info = load_model(options.checkpoint)
    training = {"settings": to_dict(settings), "steps": info["step"]}
    ethanol = load_model(ETHANOL)[2]
    rows = [measure("bundle, the paper's for rMD17", trained, "ethanol_xtb", options.spacings, options.repeats),
            measure("positions, shipped", ethanol, "ethanol_xtb", [0.05, 0.02, 0.01], options.repeats),
            measure("positions, the paper's sizes, untrained", untrained, TIMED, [0.05, 0.02], options.repeats)]
    if options.out:
        write_json(options.out, {"about": "see benchmarks/bench_tables.py", "command": " ".join(sys.argv),
                                 "threads": torch.get_num_threads(), "training": training, "rows": rows, **facts()})


if __name__ == "__main__":
    main()
