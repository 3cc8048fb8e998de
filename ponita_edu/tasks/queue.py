"""The full runs: which are still missing, in order of value, and the next pieces of them (``ponita-edu queue``).

A run is done when ``results/NAME.json`` says ``complete``. Its pieces live in a working folder of their own, which may
travel between machines; each piece ends with a checkpoint and a test of what has been reached.
"""

import json
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ponita_edu.tasks.presets import PRESETS
from ponita_edu.tasks.settings import choose, replaced

LEAST_MINUTES = 0.5  # a piece shorter than this is not begun
KEPT_BYTES = 5_000_000  # checkpoints up to this size are kept beside the result


@dataclass(frozen=True)
class Run:
    """A full run.

    Args:
        name: its result is ``results/NAME.json``.
        task, preset, changes: its settings.
        minutes: expected on one H100; a guess until a first piece has been measured.
        why: what it shows.
    """

    name: str
    task: str
    why: str
    minutes: int | float
    preset: str = "paper"
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Any:
        """The settings, without a limit of time."""
        return replaced(PRESETS[self.task][self.preset], self.changes)


_EGNN = {"model.method": "egnn", "model.hidden": 64, "model.layers": 4, "train.lr": 5e-4, "train.weight_decay": 1e-12,
         "train.augment": False}
_QM9 = {"train.epochs": 100}

QUEUE = (
    Run("nbody_paper_seed0", "nbody", "published: test MSE 0.0043", 25),
    Run("md17_ethanol_paper_seed0", "md17", "published: forces 2.5 meV/Å, energy 0.4 meV", 400,
        changes={"data.source": "ethanol"}),
    Run("qm9_alpha", "qm9", "a tenth of the published epochs; published: 0.0375 a0³", 60,
        changes={"data.target": "alpha", **_QM9}),
    Run("qm9_mu", "qm9", "a tenth of the published epochs; published: 0.0121 D", 60,
        changes={"data.target": "mu", **_QM9}),
    Run("qm9_gen", "qm9-gen", "published (EDM): 98.7 % of atoms, 82.0 % of molecules stable", 60,
        changes={"train.precision": "bf16-mixed", "train.epochs": 50}),
    Run("nbody_paper_seed1", "nbody", "spread over seeds", 25, changes={"train.seed": 1}),
    Run("nbody_paper_seed2", "nbody", "spread over seeds", 25, changes={"train.seed": 2}),
    Run("nbody_egnn_seed0", "nbody", "EGNN under the same protocol; published: 0.0070", 15, changes=_EGNN),
    Run("qm9_U0_atom", "qm9", "a tenth of the published epochs; published: 8.31 meV", 60,
        changes={"data.target": "U0_atom", **_QM9}),
    Run("qm9_gap", "qm9", "a tenth of the published epochs; published: 30.4 meV", 60,
        changes={"data.target": "gap", **_QM9}),
)


@dataclass(frozen=True)
class State:
    """How far a run is.

    Args:
        run: which.
        steps, total: optimiser steps done and wanted; 0 of 0 before its first piece.
        minutes: training so far.
        done: whether its result is complete.
    """

    run: Run
    steps: int = 0
    total: int = 0
    minutes: int | float = 0
    done: bool = False

    @property
    def minutes_left(self) -> int | float:
        """From its own pace, or what is expected before its first piece."""
        if self.done:
            return 0
        return self.minutes * (self.total / self.steps - 1) if self.steps else self.run.minutes


def look(queue: tuple[Run, ...], work: Path, results: Path) -> list[State]:
    """The state of every run, in the queue's order.

    Raises:
        ValueError: if a result file cannot be read.
    """
    states = []
    for run in queue:
        state = State(run)
        for path in (results / f"{run.name}.json", work / run.name / "result.json"):
            if path.is_file():
                try:
                    r = json.loads(path.read_text(encoding="utf-8"))
                    state = State(run, r["steps"], r["steps_of_preset"], r["minutes"],
                                  r["complete"] and path.parent == results)
                except (OSError, ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"{path} is not the result of a run ({error!s:.100}). Move it away.") from None
                break
        states.append(state)
    return states


def advance(queue: tuple[Run, ...], minutes: int | float, work: Path, results: Path, only: str | None = None
            ) -> list[str]:
    """Run the next pieces for so many minutes; finished runs leave their result, log and small model in ``results``.

    A run that cannot start (its data are not there) is reported, and the next one taken.

    Returns:
        a line for each piece.

    Raises:
        ValueError: on an unknown name.
    """
    if only is not None:
        only = choose("run", only, [r.name for r in queue])
        queue = tuple(r for r in queue if r.name == only)
    from ponita_edu.tasks.run import train

    began, lines = time.monotonic(), []
    for state in look(queue, work, results):
        run, settings, out = state.run, state.run.settings, work / state.run.name
        left = minutes - (time.monotonic() - began) / 60
        if state.done or left < LEAST_MINUTES:
            continue
        settings = replace(settings, train=replace(settings.train, max_minutes=max(left, 1e-6)))
        try:
            result = train(run.task, settings, out, time.monotonic())
        except (ValueError, OSError) as error:
            lines.append(f"{run.name}: not begun. {error}")
            continue
        if result is None:  # not the first of several processes
            continue
        metric = f"test_{result['metric']}"
        lines.append(f"{run.name}: {result['steps']:,} of {result['steps_of_preset']:,} steps, "
                     f"{metric} {result['metrics'][metric]:.4g}")
        if result["complete"]:
            _keep(out, results, run.name)
    return lines


def table(states: list[State]) -> str:
    """Name, how far, minutes left and purpose of every run."""
    rows = [("run", "state", "minutes left", "what for"), *(
        (s.run.name, "done" if s.done else f"{s.steps:,} of {s.total:,} steps" if s.steps else "missing",
         "" if s.done else f"{s.minutes_left:.0f}" + ("" if s.steps else " (guess)"), s.run.why) for s in states)]
    widths = [max(len(r[i]) for r in rows) for i in range(4)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows)


def _keep(out: Path, results: Path, name: str) -> None:
    results.mkdir(parents=True, exist_ok=True)
    model = out / "model"
    if sum(p.stat().st_size for p in model.iterdir()) <= KEPT_BYTES:
        shutil.copytree(model, results / f"{name}_model", dirs_exist_ok=True)
    if (out / "log.csv").is_file():
        shutil.copy2(out / "log.csv", results / f"{name}.csv")
    part = results / f".{name}.part"
    shutil.copy2(out / "result.json", part)
    part.replace(results / f"{name}.json")  # last, since it is what says that the run is done
