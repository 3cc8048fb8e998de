"""Which network tells which structures apart: untrained, and trained, with many seeds (notebook 08).

    python -m ponita_edu.analysis.expressiveness --out results/expressiveness.json

An interrupted run goes on where it stopped. The pairs are in ``structure_pairs``, the R/S task in ``chirality``; what
the numbers should be, and where they are not, is in ``expressiveness_table``.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from ponita_edu.analysis.chirality import HANDED, chirality_row
from ponita_edu.analysis.expressiveness_table import summarise
from ponita_edu.analysis.network_kinds import HIDDEN, KINDS, LAYERS, rounding, standardised
from ponita_edu.analysis.structure_pairs import StructurePair, all_pairs, chain, rings
from ponita_edu.data.graphs import Graphs, collate
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts

STEPS, COPIES, RATE = 40, 8, 0.01  # Adam's steps, rotations of each structure in a step, rate
ENOUGH = 0.1  # training stops early once the loss is below
CLEAR = 3.0  # a gap counts if it is that many times larger than the rotation noise (and above rounding)


def turned(graphs: Graphs, count: int, seed: int) -> Graphs:
    """So many copies of one structure, each turned by its own random rotation."""
    rotations = random_rotations(count, generator=torch.Generator().manual_seed(seed))
    return collate([graphs] * count).rotate(rotations)


# ------------------------------------------------------------------------------------------------------ measurements
def separation(model: nn.Module, pair: StructurePair, seed: int = 0, rotations: int = 16) -> dict[str, float]:
    """How far apart the outputs of the two structures are, and how far one structure's own vary as it turns.

    All relative to the mean size of the output: ``gap`` between the means over rotations, ``noise``, the standard
    deviation over rotations, and ``sigmas``, the gap in standard errors of that difference. Both structures are turned
    by rotations of their own; in float64.
    """
    with torch.no_grad():
        a, b = (model(turned(g, rotations, 2 * seed + k)).scalar[:, 0] for k, g in enumerate((pair.first, pair.second)))
    size = float(torch.cat((a, b)).abs().mean())
    gap, noise = float((a.mean() - b.mean()).abs()) / size, float(((a.var() + b.var()) / 2).sqrt()) / size
    return {"gap": gap, "noise": noise, "sigmas": gap / max(noise * (2 / rotations) ** 0.5, 1e-300)}


def verdict(gap: float, noise: float) -> str:
    """``yes``: the gap is beyond rounding and noise; ``noise``: rotation error hides it; else ``no``."""
    tiny = rounding(torch.float64)
    if gap <= tiny and noise <= tiny:
        return "no"
    return "yes" if gap > tiny and gap > CLEAR * noise else "noise"


def trained_accuracy(model: nn.Module, pair: StructurePair, seed: int = 0, steps: int = STEPS, copies: int = COPIES,
                     test: int = 32) -> tuple[float, int]:
    """Train a network of float64 as a classifier; share of right answers on new rotations, and the steps taken.

    Every step shows ``copies`` new random rotations of each structure. The output is standardised over that batch, so
    that a small difference is a signal as good as a large one; one of rounding's size stays none. The threshold, and
    which structure is above it, come from a last training batch: an exact network has one output per structure, which
    standardised are ±1 whatever the weights, so that training cannot turn their order. If no two outputs differ by
    more than rounding, half of the answers are right.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    draw, taken = 10**6 * (seed + 1), 0

    def outputs(count: int, draw: int) -> Tensor:
        both = collate([turned(pair.first, count, draw), turned(pair.second, count, draw + 1)])
        return model(both).scalar[:, 0]

    for taken in range(steps + 1):
        out = outputs(copies, draw + 2 * (taken + 1))
        z = standardised(out)
        loss = nn.functional.softplus(-4 * torch.cat((z[:copies], -z[copies:])))
        if taken == steps or float(loss.detach().max()) < ENOUGH:  # one more step could undo what is there
            break
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
    with torch.no_grad():
        last, new = outputs(test, draw), outputs(test, 10**9 + 2 * seed)
    if float(new.max() - new.min()) < rounding(torch.float64) * float(new.abs().mean()):
        return 0.5, taken
    first, second = last[:test].mean(), last[test:].mean()
    like_first = (new > (first + second) / 2) == (first > second)
    return float(torch.cat((like_first[:test], ~like_first[test:])).double().mean()), taken


def measure(kind: str, pair: StructurePair, seed: int, layers: int = LAYERS, train: bool = True) -> dict:
    """One row of the table: a network of one kind with one seed on one pair."""
    model = KINDS[kind].make(pair.first.x.shape[1], layers, seed).double()
    row = {"kind": kind, "pair": pair.name, "family": pair.family, "seed": seed, "layers": layers,
           **separation(model, pair, seed)}
    row["verdict"] = verdict(row["gap"], row["noise"])
    if train:
        row["accuracy"], row["steps"] = trained_accuracy(model, pair, seed)
    return row


# ---------------------------------------------------------------------------------------------------- the whole run
SWEEP_LAYERS = [(kind, chain(4), layers) for layers in (1, 2, 3, 4)
                for kind in ("positions (PNITA)", "EGNN", "lifted edges", "bundle, N = 20", "steerable, l = 1")]
SWEEP_FOLDS = [(kind, rings(fold), LAYERS) for fold in range(2, 9)
               for kind in ("bundle, N = 12", "bundle, N = 20", "bundle, N = 50, Lebedev", "bundle, N = 60",
                            "steerable, l = 1", "steerable, l = 2", "steerable, l = 3")]


def jobs(seeds: Iterable[int]) -> list[tuple[str, str, Callable[[], dict]]]:
    """Everything to do, as (table, key, function that gives the row)."""
    found = []
    for seed in seeds:
        found += [("table", f"{kind}|{pair.name}|{seed}", lambda a=(kind, pair, seed): measure(*a))
                  for pair in all_pairs().values() for kind in KINDS]
        found += [("sweeps", f"{kind}|{pair.name}|{layers}|{seed}",
                   lambda a=(kind, pair, seed, layers): measure(*a, train=False))
                  for kind, pair, layers in SWEEP_LAYERS + SWEEP_FOLDS]
        found += [("chirality", f"{kind}|{seed}", lambda a=(kind, seed): chirality_row(*a))
                  for kind in HANDED if seed < 3]
    return found


def main() -> None:
    """Write the tables, with what is needed to judge and repeat them; goes on where a run was interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write, or to go on with")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so many; call again to go on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    start, cpu = time.perf_counter(), time.process_time()
    stored = json.loads(args.out.read_text()) if args.out.exists() else {"about": {"processor_minutes": 0.0}}
    rows = stored.setdefault("rows", {"table": {}, "sweeps": {}, "chirality": {}})
    before, last, now = stored["about"]["processor_minutes"], start, facts()
    commits = dict.fromkeys([*stored["about"].get("commit", "").split(", "), str(now["commit"])])

    def save() -> None:
        stored["about"] = {
            "command": "python -m ponita_edu.analysis.expressiveness"
                       f" --out results/{args.out.name} --seeds {args.seeds}",
            "commit": ", ".join(c for c in commits if c), "seeds": args.seeds,
            "device": f"cpu, {platform.machine()}", "threads": 1,
            "processor_minutes": round(before + (time.process_time() - cpu) / 60, 2),
            "versions": {**now["versions"], "e3nn": version("e3nn")},
            "layers": LAYERS, "hidden": HIDDEN, "steps": STEPS, "rate": RATE,
        }
        stored["summary"] = {name: summarise(rows[name].values()) for name in ("table", "sweeps")}
        write_json(args.out, stored)

    todo = [(table, key, run) for table, key, run in jobs(range(args.seeds))
            if key not in rows[table] or (table == "table" and "accuracy" not in rows[table][key])]
    for done, (table, key, run) in enumerate(todo):
        if time.perf_counter() - start > 60 * args.minutes:
            print(f"stopped after {args.minutes} minutes with {len(todo) - done} rows to do")
            break
        rows[table][key] = run()
        if time.perf_counter() - last > 20:
            last = time.perf_counter()
            save()
            print(f"{done + 1} of {len(todo)}: {key}", flush=True)
    save()


if __name__ == "__main__":
    main()
