"""Bundle, lifted bonds or positions? Errors of U0 after equal steps, and after equal processor time (notebook 11).

``python -m ponita_edu.analysis.qm9_comparison --out results/qm9_comparison.json`` trains small networks, the quick
preset's but for their kind, on 9,600 molecules; about 12 minutes on one core.
"""

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ponita_edu.analysis import budget
from ponita_edu.tasks import qm9
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.config import Number
from ponita_edu.tasks.qm9_config import PRESETS, QM9Settings
from ponita_edu.tasks.run import count, facts, keep_memory
from ponita_edu.tasks.settings import replaced, to_dict
from ponita_edu.tasks.task import evaluate

KINDS = (("ponita", "bonds"), ("edges", "bonds"), ("positions", "complete"), ("positions", "bonds"))  # method and graph
STEPS, SECONDS, SEEDS = 400, 40.0, (0, 1, 2)


def settings_of(method: str, graph: str, **changes: Any) -> QM9Settings:
    """The quick preset on 9,600 molecules with this network, its epochs the budget of ``analysis.budget.train``."""
    base = {"data.train": 9600, "data.val": 1, "data.test": 2000, "model.method": method, "model.graph": graph,
            "train.epochs": 1, "train.warmup_epochs": 0.05}
    return replaced(PRESETS["quick"], base | changes)


def measure(task: qm9.QM9Task, settings: QM9Settings, seed: int = 0, steps: Number = math.inf,
            seconds: Number = math.inf) -> dict[str, Any]:
    """A network of the settings after training: its test error, steps and processor time."""
    network = qm9.build(settings.model, seed=seed)
    began = time.process_time()
    done = budget.train(network, task, replace(settings.train, seed=seed), seconds, steps)
    used = time.process_time() - began
    return {"method": settings.model.method, "graph": settings.model.graph, "seed": seed, "steps": done,
            "processor_seconds": round(used, 2), "parameters": count(network), **evaluate(task, network, "test")[0]}


def summary(rows: list[dict[str, Any]], metric: str = "mae_meV") -> list[dict[str, Any]]:
    """Mean error, its standard error (None for one seed), mean steps and processor time, by budget, method and graph.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["budget"], row["method"], row["graph"]), []).append(row)
    found = []
    for (kind, method, graph), members in groups.items():
        values = {name: torch.tensor([float(row[name]) for row in members], dtype=torch.float64)
                  for name in (metric, "steps", "processor_seconds")}
        found.append({"budget": kind, "method": method, "graph": graph, "seeds": len(members),
                      "parameters": members[0]["parameters"],
                      **{name: float(v.mean()) for name, v in values.items()},
                      "standard_error": float(values[metric].std() / math.sqrt(len(members))) if len(members) > 1
                      else None})
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """``summary`` as text."""
    lines = ["budget   method     graph      steps   minutes   weights   MAE of U0, meV"]
    lines += [f"{row['budget']:8} {row['method']:10} {row['graph']:9} {row['steps']:6.0f} "
              f"{row['processor_seconds'] / 60:9.2f} {row['parameters']:9,} {row['mae_meV']:8.0f}"
              + (f" ± {row['standard_error']:.0f}" if row["standard_error"] is not None else "")
              for row in summary(rows)]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m ponita_edu.analysis.qm9_comparison", description=__doc__)
    parser.add_argument("--out", help="JSON file to write")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    keep_memory()
    began, found, rows = time.monotonic(), facts(), []
    for method, graph in KINDS:
        settings = settings_of(method, graph)
        task = qm9.load(settings, progress=False)
        for seed in SEEDS:
            for name, limit in (("steps", {"steps": STEPS}), ("time", {"seconds": SECONDS})):
                rows.append({"budget": name, **measure(task, settings, seed, **limit)})
                print(f"{name:6} {method:10} {graph:9} seed {seed}: {rows[-1]['mae_meV']:.0f} meV", flush=True)
    print(table(rows))
    result = {"rows": rows, "metric": "mae_meV", "baselines": qm9.baselines(task), "test_graphs": task.size("test"),
              "settings": to_dict(settings_of(*KINDS[0])), "seconds": SECONDS, "seeds": len(SEEDS),
              "minutes": round((time.monotonic() - began) / 60, 2), "device": "cpu", "threads": 1,
              "command": "python -m ponita_edu.analysis.qm9_comparison", **found}
    if given.out:
        write_json(Path(given.out), result)
    return result


if __name__ == "__main__":
    main()
