"""A run from its settings to its table: the run's folder, training, test, picture and result JSON."""

import ctypes
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ponita_edu import __version__
from ponita_edu.tasks import checkpoint
from ponita_edu.tasks.presets import MODULES, PRESETS
from ponita_edu.tasks.run_folder import MODEL, RESULT, RUN, make_folder, room_in, run_folder
from ponita_edu.tasks.settings import choose, replaced, to_dict
from ponita_edu.tasks.task import Fabric, Task, evaluate
from ponita_edu.tasks.training import DTYPES, fit, make_fabric, total_steps

BEGAN = time.monotonic()  # the program, but for its imports


def module_of(task: str) -> ModuleType:
    """The module of a task: ``load``, ``build``, ``baselines``, ``task_on``, ``picture`` and ``PICTURE``, its file."""
    return import_module(MODULES[choose("task", task, PRESETS)])


def train(task_name: str, settings: Any, out: Path, started: float | None = None) -> dict[str, Any] | None:
    """Train and test, or go on with, or repeat the result of, the run in the folder ``out``.

    Returns:
        The result that is also in ``result.json``; None in all processes but the first.

    Raises:
        ValueError: if ``out`` holds something else than a run of the same settings, or cannot be written to.
        ConnectionError: if another process of the run is gone.
    """
    started = time.monotonic() if started is None else started
    keep_memory()
    module, config = module_of(task_name), settings.train
    try:
        network = module.build(settings.model, seed=config.seed)
    except (RuntimeError, MemoryError) as error:  # from torch, and from Python, which has no words for it
        raise ValueError(f"model needs more memory than there is ({type(error).__name__}: {error!s:.150}). Choose "
                         "smaller numbers.") from error
    fabric = make_fabric(config)
    leads = all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK"))  # it starts the others
    with run_folder(task_name, settings, out) if leads else nullcontext():
        return _train(fabric, module, network, task_name, settings, out, started)


def _train(fabric: Fabric, module: ModuleType, network: nn.Module, task_name: str, settings: Any, out: Path,
           started: float) -> dict[str, Any] | None:
    config = settings.train
    fabric.launch()
    with fabric.rank_zero_first():  # the first one simulates, the others find the file
        task = module.load(settings, progress=fabric.is_global_zero and sys.stderr.isatty())
    info = {"task": task_name, "settings": to_dict(settings), **facts()}
    with together(fabric):
        state = fit(fabric, task, network, config, out, info, started)
        task = task.to(fabric.device, DTYPES[config.precision])
        errors, _ = evaluate(task, network, "test", fabric=fabric)
    if not fabric.is_global_zero:
        return None
    with room_in(out):
        model = checkpoint.write(out / MODEL, network.state_dict(), {**info, "step": state.step})
    metric = task.selects
    return _finish(out, module, task, network, {
        "task": task_name, "preset": settings.preset, "method": settings.model.method, "seed": config.seed,
        "metrics": {f"test_{metric}": errors[metric], f"val_{metric}": state.best_error,
                    **{f"test_{k}": v for k, v in errors.items() if k != metric}, **task.final(network)},
        "baselines": module.baselines(task), "metric": metric, "parameters": count(network),
        "minutes": round(state.minutes, 3), "steps": state.step, "steps_of_preset": total_steps(task, config),
        "complete": state.step == total_steps(task, config), "test_graphs": task.size("test"),
        "checkpoint": str(model), "device": device_name(fabric.device), "threads": torch.get_num_threads(),
        "note": task.note, **info,
    })


def evaluate_checkpoint(path: Path, data: Path | None, out: Path | None, seed: int = 0,
                        max_minutes: float | None = None, started: float | None = None) -> dict[str, Any]:
    """Errors of a trained network on its task's test set, or on a file; also after a random rotation of each graph.

    Args:
        path: a run's folder, its ``model`` folder, or one of its checkpoints.
        seed: of the rotations.
        max_minutes: evaluate as many graphs as can be done in that time.

    Raises:
        ValueError: if ``path`` is no checkpoint, is damaged, or does not go with its settings.
    """
    started = time.monotonic() if started is None else started
    keep_memory()
    task_name, settings, network, info = load_model(path)
    module = module_of(task_name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device)
    task = module.load(settings) if data is None else module.task_on(data, settings)
    task = task.to(device, next(network.parameters()).dtype)
    if out is not None:
        if (out / RUN).exists():
            raise ValueError(f"--out {out} holds a training run, whose result would be lost. Choose another folder.")
        there = [name for name in (RESULT, module.PICTURE, checkpoint.INFO) if (out / name).exists()]
        if there:
            raise ValueError(f"--out {out} holds {there[0]}, which would be lost. Choose another folder.")
        make_folder(out)
    deadline = started + 60 * (max_minutes or math.inf)
    errors, graphs = evaluate(task, network, "test", deadline=started + (deadline - started) / 2)
    rotated, rotated_graphs = evaluate(task, network, "test", turns_seed=seed, deadline=deadline)
    note, whole = task.note, task.size("test")
    if min(graphs, rotated_graphs) < whole:
        note = (f"{note} The time was enough for the first {graphs:,} of {whole:,} test graphs, and turned for the "
                f"first {rotated_graphs:,}; the simple rules are tested on all.").strip()
    result = {
        "task": task_name, "preset": settings.preset, "method": settings.model.method, "seed": seed,
        "metrics": {**{f"test_{k}": v for k, v in errors.items()},
                    **{f"rotated_test_{k}": v for k, v in rotated.items()}, **task.final(network)},
        "baselines": module.baselines(task), "metric": task.selects, "parameters": count(network),
        "minutes": round((time.monotonic() - started) / 60, 3), "test_graphs": graphs,
        "data": "the task's own test set" if data is None else str(data), "checkpoint": str(path),
        "trained_steps": info.get("step"), "device": device_name(device), "threads": torch.get_num_threads(),
        "note": note, **facts(),
    }
    return result if out is None else _finish(out, module, task, network, result)


def load_model(path: Path) -> tuple[str, Any, nn.Module, dict[str, Any]]:
    """Task, settings, network and facts of a checkpoint; see ``evaluate_checkpoint``."""
    folder = Path(path)
    if not folder.exists():
        raise ValueError(f"the checkpoint {folder} does not exist. Give the folder of a training run.")
    if (folder / RUN).is_file():
        folder = folder / MODEL
        if not folder.exists():
            raise ValueError(f"the run {path} has no model yet. Repeat its training command; it goes on by itself.")
    tensors, info = checkpoint.read(folder)
    if any(name.startswith("best.") for name in tensors):  # a checkpoint of a run in progress
        tensors = {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
    try:
        task_name, stored = info["task"], info["settings"]
        choose("task", task_name, PRESETS)
        settings = replaced(next(iter(PRESETS[task_name].values())), stored)
        network = module_of(task_name).build(settings.model)
        network.to(tensors[next(name for name, _ in network.named_parameters())].dtype).load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError, StopIteration) as error:
        raise ValueError(f"the checkpoint {folder} does not hold the network of its settings ({error!s:.150}). "
                         "Was it written by another version of ponita_edu?") from None
    return task_name, settings, network, info


@contextmanager
def together(fabric: Fabric) -> Iterator[None]:
    """In a run of several processes: the end of one of them ends the others with a sentence.

    Raises:
        ConnectionError: if another process is gone.
    """
    try:
        yield
    except RuntimeError as error:  # gloo has no class of its own for this
        lost = isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
        if fabric.world_size == 1 or not lost:
            raise
        raise ConnectionError(f"process {fabric.global_rank} of {fabric.world_size} ends, because another one was "
                              "killed or failed. Repeat the command; it goes on from its newest checkpoint.") from None


def keep_memory() -> None:
    """Have glibc keep buffers for the next step instead of giving them back to the system: up to 1.4 times as fast."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library
        return
    for option, value in ((-3, 2**25), (-1, 2**31 - 1), (-2, 2**26)):  # thresholds of mmap and trim, padding at the top
        mallopt(option, value)


def facts() -> dict[str, Any]:
    """Commit and versions."""
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
                              capture_output=True, text=True, timeout=10)
        commit = done.stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        commit = None
    versions = {"ponita_edu": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "scipy", "lightning-fabric", "lightning"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"commit": commit if (root / ".git").exists() else None, "versions": versions}


def command_line() -> str:
    """The command that is running, for a result file: without ``--out``, which is a place on one machine."""
    root, args = Path(__file__).resolve().parents[2], sys.argv[1:]
    if "--out" in args:
        k = args.index("--out")
        args = args[:k] + args[k + 2:]
    module = getattr(sys.modules["__main__"], "__spec__", None)  # of python -m
    program = ["-m", module.name] if module else [os.path.relpath(sys.argv[0], root)]
    return shlex.join(["python", *program, *args])


def how_measured(device: str = "cpu") -> dict[str, Any]:
    """Of a benchmark, for its result file: command, device, threads, minutes since its start, commit and versions."""
    return {"command": command_line(), "device": device, "threads": torch.get_num_threads(),
            "minutes": round((time.monotonic() - BEGAN) / 60, 2), **facts()}


def count(network: nn.Module) -> int:
    """Number of learnt weights."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def table(result: dict[str, Any]) -> str:
    """Method, error, parameters and minutes, beside the simple baselines."""
    metric = result["metric"]
    rows = [("method", metric, "parameters", "minutes")]
    rows += [(name, f"{error:.4f}", "0", "") for name, error in result["baselines"].items()]
    error = result["metrics"][f"test_{metric}"]
    rows.append((result["method"], f"{error:.4f}", f"{result['parameters']:,}", f"{result['minutes']:.2f}"))
    if f"rotated_test_{metric}" in result["metrics"]:
        error = result["metrics"][f"rotated_test_{metric}"]
        rows.append((f"{result['method']}, data turned", f"{error:.4f}", "", ""))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([f"{name:{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(cells, widths[1:], strict=True))])
             for name, *cells in rows]
    lines.insert(1, "-" * len(lines[0]))
    lines += [f"{name.replace('_', ' ')}: {value:.4g}" for name, value in result["metrics"].items()
              if not name.startswith(("test_", "val_", "rotated_"))]
    return "\n".join(line.rstrip() for line in lines)


def _finish(out: Path, module: ModuleType, task: Task, network: nn.Module, result: dict[str, Any]) -> dict[str, Any]:
    try:
        with room_in(out):
            module.picture(task, network).savefig(out / module.PICTURE)
        result["picture"] = str(out / module.PICTURE)
    except ImportError as error:
        result["picture"] = None
        missing = f"No picture: {error.name or error} is not installed (pip install 'ponita_edu[course]')."
        result["note"] = f"{result.get('note', '')} {missing}".strip()
    with room_in(out):
        checkpoint.write_json(out / RESULT, result)
    return result
