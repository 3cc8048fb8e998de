"""Energy and forces of one molecule of 21 atoms: kernels from tables against the network and the textbook network.

    OMP_NUM_THREADS=1 python benchmarks/bench_tables.py [--checkpoint RUN] [--out results/tables.json] [--repeats 40]

float32, frozen weights. Networks: the paper's for rMD17 (5 blocks of 128 channels, 256 basis functions, 20
orientations) with initial weights, calibrated, and forces scaled to a root mean square of 1 eV/Å, or that of the folder
RUN of an md17 run on aspirin_xtb; the shipped bundle for U0 of QM9, whose gradient has the size of forces; the shipped
network on positions for ethanol; the paper's sizes on positions, initial weights. Errors are the largest of a force
component on ten frames (molecules) of what the network knows; times are of one frame of aspirin, 21 atoms, complete
graph. "Kernels for nothing" is a step whose kernels are remembered from the one before: no table can be faster. Methods
take turns; medians, with the least and the most, of the finest tables.
"""

import argparse
import copy
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.benchmark import Timer
from yardstick import Textbook

import ponita_edu
from ponita_edu.data.graphs import Graphs
from ponita_edu.data.md17 import load_md17
from ponita_edu.data.qm9 import ELEMENTS
from ponita_edu.data.qm9_small import load_small
from ponita_edu.nn import Ponita, PonitaConfig
from ponita_edu.nn.forcefield import ForceField, molecules
from ponita_edu.nn.frozen import FrozenField, field_with_tables
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.qm9 import pack_for
from ponita_edu.tasks.run import count, how_measured, keep_memory, load_model
from ponita_edu.tasks.settings import to_dict

FRAMES, TIMED, FINE = slice(-10, None), "aspirin_xtb", [0.05, 0.02, 0.01]
RMD17 = [1, 6, 7, 8, 9, 15, 16, 17]
SHIPPED = Path(ponita_edu.__file__).parent / "assets/checkpoints"


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


def once(work: Callable) -> Callable:
    """What ``work`` gave the first time, ever after."""
    kept = []

    def again(*given: object) -> object:
        if not kept:
            kept.append(work(*given))
        return kept[0]

    return again


def with_free_kernels(frozen: FrozenField) -> FrozenField:
    """The same for one frame only: its kernels, and the derivative by them, are looked up once."""
    new, table = copy.copy(frozen), copy.copy(frozen.table)

    def look_up(*given: torch.Tensor) -> tuple:
        functions, back = frozen.table.look_up(*given)
        return functions, once(back)

    table.place, table.look_up = once(frozen.table.place), once(look_up)
    new._modules = frozen._modules | {"table": table}
    return new


def scaled(field: ForceField, graphs: Graphs) -> ForceField:
    """With forces of 1 eV/Å, root mean square."""
    field.calibrate(graphs)
    field.scale.fill_(1 / float(field(graphs)[1].square().mean().sqrt()))
    return field


def molecules_of_qm9() -> tuple[ForceField, Graphs]:
    """The shipped network of U0 as a force field, and ten molecules of QM9 joined by their bonds."""
    _, settings, network, _ = load_model(SHIPPED / "qm9_quick_U0_atom")
    field = ForceField(network.core, list(ELEMENTS))
    field.scale.fill_(float(network.scale))
    data, _ = load_small()
    numbers, pos, sizes = data.numbers, data.pos, data.sizes
    atoms = int(sizes[:10].sum())
    packed = pack_for(settings.model, numbers[:atoms], pos[:atoms], sizes[:10])
    return field, packed.to(torch.device("cpu"), torch.float32).batch(torch.arange(10))


def measure(name: str, field: ForceField, errors_on: str, ten: Graphs, spacings: list[float], repeats: int) -> dict:
    """Errors by spacing, and the times of the last spacing's tables beside those of the network."""
    field = field.float().eval().requires_grad_(False)
    one = frames_of(field, TIMED)[0]
    source, target = one.edge_index
    longest = 1.1 * float((one.pos[source] - one.pos[target]).norm(dim=-1).max())
    forces = field.energy_and_forces(ten)[1]
    row = {"network": name, "errors_on": errors_on, "times_on": TIMED, "atoms": one.num_nodes,
           "parameters": count(field),
           "forces_rms_eV_per_A": float(forces.square().mean().sqrt()), "tables": []}
    for spacing in spacings:
        frozen, error = field_with_tables(field, ten, longest, spacing=spacing)
        row["tables"].append({"spacing_A": spacing, "longest_A": frozen.table.longest, "functions": error.functions,
                              "MB": 4e-6 * frozen.table.table.numel(), "error_meV_per_A": 1e3 * error.force,
                              "energy_error_meV": 1e3 * error.energy})
        print(name, row["tables"][-1], flush=True)
    methods = {"network": field, "tables": frozen, "kernels_for_nothing": with_free_kernels(frozen)}
    if field.network.config.readout == "mean":  # the textbook network has no other
        methods["textbook"] = textbook(field)
    times = {method: [] for method in methods}
    for method in methods.values():
        method.energy_and_forces(one)
    for _ in range(repeats):
        for method, model in methods.items():
            timer = Timer("f(g)", globals={"f": model.energy_and_forces, "g": one},
                          num_threads=torch.get_num_threads())
            times[method].append(1e3 * timer.timeit(1).mean)
    row["ms"] = {m: {"median": statistics.median(t), "least": min(t), "most": max(t)} for m, t in times.items()}
    for other in methods.keys() & {"network", "textbook"}:
        row[f"times_faster_than_{other}"] = row["ms"][other]["median"] / row["ms"]["tables"]["median"]
        row[f"at_most_faster_than_{other}"] = row["ms"][other]["median"] / row["ms"]["kernels_for_nothing"]["median"]
    print(row["ms"], {k: v for k, v in row.items() if "faster" in k}, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="folder of an md17 run on aspirin_xtb")
    parser.add_argument("--spacings", type=float, nargs="+", default=[0.1, 0.05, 0.03])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    keep_memory()
    made_by = None
    if options.checkpoint is None:
        paper = ForceField(Ponita(PonitaConfig(8, level="graph"), seed=0), RMD17)
        paper = scaled(paper, frames_of(paper, TIMED)[1])
    else:
        _, settings, paper, info = load_model(options.checkpoint)
        made_by = {"settings": to_dict(settings), "steps": info["step"]}
    positions = ForceField(Ponita(PonitaConfig(8, space="positions", level="graph"), seed=0), RMD17)
    positions = scaled(positions, frames_of(positions, TIMED)[1])
    ethanol, (bundle, ten) = load_model(SHIPPED / "md17_ethanol")[2], molecules_of_qm9()
    rows = [measure(*case, options.repeats) for case in (
        ("bundle, the paper's for rMD17", paper, TIMED, frames_of(paper, TIMED)[1], options.spacings),
        ("bundle, shipped for QM9", bundle, "ten molecules of QM9", ten, options.spacings),
        ("positions, shipped for ethanol", ethanol, "ethanol_xtb", frames_of(ethanol, "ethanol_xtb")[1], FINE),
        ("positions, the paper's sizes", positions, TIMED, frames_of(positions, TIMED)[1], FINE))]
    if options.out:
        write_json(options.out, {"about": "see benchmarks/bench_tables.py", "training": made_by, "rows": rows,
                                 **how_measured()})


if __name__ == "__main__":
    main()
