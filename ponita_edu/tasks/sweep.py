"""Many runs that differ in a few settings, on a cluster or here, through submitit (``ponita-edu sweep``).

Every run has a folder of its own and is the same as ``ponita-edu train`` with these settings, so it goes on where it
was cut: by the scheduler, which starts it again, or by giving the same command once more.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ponita_edu.tasks import checkpoint
from ponita_edu.tasks.run import RESULT, train
from ponita_edu.tasks.settings import choose, options, replaced

CLUSTERS = ("local", "slurm")
SWEEP = "sweep.json"  # what the runs of a folder have in common and where they differ


@dataclass(frozen=True)
class Job:
    """One run, as submitit calls it.

    Args:
        task, settings: what to train.
        out: its folder; the last part names the varied settings.
    """

    task: str
    settings: Any
    out: Path

    def __call__(self) -> bool:
        train(self.task, self.settings, self.out)
        return True

    def checkpoint(self) -> Any:
        """Called by submitit when the scheduler takes the machine away: the same run again, which goes on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def jobs(task: str, base: Any, vary: Mapping[str, Sequence[str]], folder: Path) -> list[Job]:
    """A run for every combination of the varied settings; the last one changes fastest.

    Args:
        base: settings of all.
        vary: values by the setting's name, such as ``{"data.target": ["mu", "alpha"], "train.seed": ["0", "1"]}``.
        folder: holds the folders of the runs.

    Raises:
        ValueError: on an unknown setting, a value of another type, a repeated value, none at all, or if two runs would
            have one folder.
    """
    if "preset" in vary:  # its settings are in ``base`` already: only the label would change
        raise ValueError("--vary preset would change the label and no setting. Use two sweeps, one with --preset quick "
                         "and one with --preset paper.")
    known = [name for name, _, _ in options(base) if name != "preset"]
    for name, values in vary.items():
        choose("setting", name, known)
        if not values or len(set(values)) < len(values):
            raise ValueError(f"--vary {name} must list different values, but has {', '.join(values) or 'none'}.")
    if not vary:
        raise ValueError("a sweep varies at least one setting. Give --vary train.seed=0,1,2 or another.")
    made: list[Job] = []
    names: dict[Any, str] = {}  # what was asked for, by settings and by folder
    for values in product(*vary.values()):
        changes = dict(zip(vary, values, strict=True))
        job = Job(task, replaced(base, changes), folder / _name(changes))
        name = ", ".join(f"{n}={v}" for n, v in changes.items())
        if job.settings in names:  # such as 1e-3 and 0.001
            raise ValueError(f"--vary gives one run twice: {names[job.settings]:.100} and {name:.100} are the same "
                             "settings. Leave one of them out.")
        if job.out in names:
            raise ValueError(f"--vary gives two runs one folder, {job.out.name:.100}: {names[job.out]:.100} and "
                             f"{name:.100}. Rename one of the files, or use two sweeps with an --out each.")
        names[job.settings] = names[job.out] = name
        made.append(job)
    return made


def check_cluster(cluster: str, minutes: int, parameters: Mapping[str, Any]) -> None:
    """Whether ``submit`` can begin, so that a command which cannot leaves nothing behind.

    Raises:
        ValueError: on an unknown cluster, if submitit is missing, if SLURM is not there or has no such parameter.
    """
    with TemporaryDirectory() as folder:  # submitit makes its folder at once
        _executor(Path(folder), cluster, minutes, parameters)


def submit(todo: Sequence[Job], folder: Path, cluster: str, minutes: int,
           parameters: Mapping[str, Any]) -> tuple[list[str], int]:
    """Hand the runs to the scheduler as one array, or do them here one after another.

    Args:
        folder: of the sweep; submitit's scripts and logs lie in ``folder/logs``.
        cluster: slurm, or local.
        minutes: time limit of each run; a run cut by it is started again by the scheduler.
        parameters: SLURM's own, such as ``{"partition": "gpu", "gpus_per_node": 1}``.

    Returns:
        a line for each run, its number with the scheduler or how it ended; and how many failed.

    Raises:
        ValueError: as ``check_cluster``, or if SLURM refuses the runs.
    """
    executor = _executor(folder, cluster, minutes, parameters)
    from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

    if cluster == "slurm":
        try:
            with executor.batch():
                sent = [executor.submit(job) for job in todo]
        except (FailedJobError, FailedSubmissionError) as error:
            raise ValueError(f"SLURM refuses the runs: {error!s:.300}. Repeat the command with other --slurm "
                             "parameters.") from None
        return [f"{job.out.name}: job {s.job_id}" for job, s in zip(todo, sent, strict=True)], 0
    lines, failed = [], 0
    for job in todo:
        running = executor.submit(job)
        try:
            running.result()
            lines.append(f"{job.out.name}: done")
        except FailedJobError as error:
            lines.append(f"{job.out.name}: failed. {_reason(str(error))} (all of it in {running.paths.stderr})")
            failed += 1
        except UncompletedJobError:
            lines.append(f"{job.out.name}: failed. Its process was killed (all of it in {running.paths.stderr})")
            failed += 1
    return lines, failed


def remember(task: str, vary: Mapping[str, Sequence[str]], base: Any, folder: Path) -> None:
    """Note what the sweep is about, or check that the folder is of the same one (more values may be added).

    Raises:
        ValueError: if the folder holds another sweep, or something else.
    """
    note = {"task": task, "vary": list(vary),
            "settings": {name: value for name, value, _ in options(base) if name not in vary}}
    path = folder / SWEEP
    if path.exists():
        before = _sweep(path)
        if before != note:
            raise ValueError(f"{folder} holds a sweep of {before.get('task')} over {', '.join(before['vary'])} "
                             "with other settings. Choose another folder.")
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} holds other files. Choose an empty or a new folder.")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.write_json(path, note)


def table(folder: Path) -> str:
    """Mean and standard deviation over seeds of the finished runs, a row for each combination of the other settings.

    Raises:
        ValueError: if the folder holds no sweep or an unreadable result.
    """
    path = folder / SWEEP
    if not path.is_file():
        raise ValueError(f"{folder} holds no sweep ({SWEEP} is missing). Give the --out folder of `ponita-edu sweep`.")
    vary = [name for name in _sweep(path)["vary"] if name != "train.seed"]
    found: dict[tuple[str, ...], list[dict]] = {}
    for result in sorted(folder.glob(f"*/{RESULT}")):
        values, content = _result(result, vary)
        same = found.setdefault(values, [])
        if all(content["settings"] != other["settings"] for other in same):  # lr_1e-3 and lr_0.001 are one run
            same.append(content)
    if not found:
        return "No run has finished."
    ordered = sorted(found.items(), key=lambda item: [_order(v) for v in item[0]])
    # all names: those of QM9 carry the unit, which differs from target to target
    metrics = list(dict.fromkeys(m for _, results in ordered for r in results for m in r["metrics"]))
    rows = [(*vary, "runs", *metrics)]
    for values, results in ordered:
        left = sum(not r["complete"] for r in results)
        rows.append((*values, f"{len(results)}" + (f" ({left} cut)" if left else ""),
                     *(_spread([r["metrics"][m] for r in results if m in r["metrics"]]) for m in metrics)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _executor(folder: Path, cluster: str, minutes: int, parameters: Mapping[str, Any]) -> Any:
    choose("cluster", cluster, CLUSTERS)
    try:
        import submitit
    except ImportError:
        raise ValueError("a sweep needs submitit, which is not installed. pip install 'ponita_edu[cluster]'.") from None
    try:
        executor = submitit.AutoExecutor(folder / "logs", cluster=cluster)
        executor.update_parameters(timeout_min=minutes, name=folder.name,
                                   **{f"slurm_{name}": value for name, value in parameters.items()})
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise ValueError(f"the cluster {cluster} cannot be used: {error}") from None
    return executor


def _reason(text: str) -> str:
    # the exception's own line in submitit's report: the first one after the last call that is not indented
    lines = text.splitlines()
    last = max((k for k, line in enumerate(lines) if line.startswith('  File "')), default=0)
    return next((line for line in lines[last + 1:] if line[:1].strip("- ")), "It gave no reason")


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    if not all(map(math.isfinite, values)):  # a run cut before its first validation has an infinite error
        return f"{sum(values):.4g}"
    mean = statistics.mean(values)
    return f"{mean:.4g} ± {statistics.stdev(values):.2g}" if len(values) > 1 else f"{mean:.4g}"


def _order(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text


def _name(changes: Mapping[str, str]) -> str:
    # a folder's name from the values; a path as value (md17's data) gives its last part
    return "-".join(f"{name.split('.')[-1]}_{Path(str(value)).name}" for name, value in changes.items())


def _sweep(path: Path) -> dict[str, Any]:
    note = _read(path)
    vary = note.get("vary") if isinstance(note, dict) else None
    if not isinstance(vary, list) or not all(isinstance(name, str) for name in vary):
        raise ValueError(f"{path} is not a sweep's file. Move it away.")
    return note


def _result(path: Path, vary: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    # a run's values of the varied settings, and its result
    content = _read(path)
    try:
        values = []
        for name in vary:
            value = content["settings"]
            for part in name.split("."):
                value = value[part]
            values.append(str(value))
        if isinstance(content["complete"], bool) and all(isinstance(x, int | float)
                                                         for x in content["metrics"].values()):
            return tuple(values), content
    except (KeyError, TypeError, AttributeError):
        pass
    raise ValueError(f"{path} is not the result of a run of this sweep. Move it away.")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read ({error!s:.100}). Move it away.") from None
