"""Many runs that differ in a few settings, on a cluster or here, through submitit (``ponita-edu sweep``).

Every run has a folder of its own and is the same as ``ponita-edu train`` with these settings, so it goes on where it
was cut: by the scheduler, which starts it again, or by giving the same command once more.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
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
        ValueError: on an unknown setting, a value of another type, a repeated value, or none at all.
    """
    known = [name for name, _, _ in options(base)]
    for name, values in vary.items():
        choose("setting", name, known)
        if not values or len(set(values)) < len(values):
            raise ValueError(f"--vary {name} must list different values, but has {', '.join(values) or 'none'}.")
    if not vary:
        raise ValueError("a sweep varies at least one setting. Give --vary train.seed=0,1,2 or another.")
    made = []
    for values in product(*vary.values()):
        changes = dict(zip(vary, values, strict=True))
        made.append(Job(task, replaced(base, changes), folder / _name(changes)))
    return made


def submit(todo: Sequence[Job], folder: Path, cluster: str, minutes: int, parameters: Mapping[str, Any]) -> list[str]:
    """Hand the runs to the scheduler as one array, or do them here one after another.

    Args:
        folder: of the sweep; submitit's scripts and logs lie in ``folder/logs``.
        cluster: slurm, or local.
        minutes: time limit of each run; a run cut by it is started again by the scheduler.
        parameters: SLURM's own, such as ``{"partition": "gpu", "gpus_per_node": 1}``.

    Returns:
        a line for each run: its number with the scheduler, or how it ended.

    Raises:
        ValueError: on an unknown cluster, if submitit is missing, if SLURM is not there or refuses a parameter.
    """
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
    if cluster == "slurm":
        with executor.batch():
            sent = [executor.submit(job) for job in todo]
        return [f"{job.out.name}: job {s.job_id}" for job, s in zip(todo, sent, strict=True)]
    lines = []
    for job in todo:
        running = executor.submit(job)
        try:
            running.result()
            lines.append(f"{job.out.name}: done")
        except submitit.core.utils.FailedJobError as error:
            why = [line for line in str(error).splitlines() if line.strip() and set(line) != {"-"}]
            lines.append(f"{job.out.name}: failed. {why[-1].strip()} (all of it in {running.paths.stderr})")
    return lines


def remember(task: str, vary: Mapping[str, Sequence[str]], base: Any, folder: Path) -> None:
    """Note what the sweep is about, or check that the folder is of the same one (more values may be added).

    Raises:
        ValueError: if the folder holds another sweep, or something else.
    """
    note = {"task": task, "vary": list(vary),
            "settings": {name: value for name, value, _ in options(base) if name not in vary}}
    path = folder / SWEEP
    if path.exists():
        before = _read(path)
        if before != note:
            raise ValueError(f"{folder} holds a sweep of {before.get('task')} over {', '.join(before.get('vary', []))} "
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
    vary = [name for name in _read(path)["vary"] if name != "train.seed"]
    found: dict[tuple[str, ...], list[dict]] = {}
    for result in sorted(folder.glob(f"*/{RESULT}")):
        content = _read(result)
        found.setdefault(tuple(str(_value(content["settings"], name)) for name in vary), []).append(content)
    if not found:
        return "No run has finished."
    metrics = list(next(iter(found.values()))[0]["metrics"])
    rows = [(*vary, "runs", *metrics)]
    for values, results in sorted(found.items(), key=lambda item: [_order(v) for v in item[0]]):
        left = sum(not r["complete"] for r in results)
        rows.append((*values, f"{len(results)}" + (f" ({left} cut)" if left else ""),
                     *(_spread([r["metrics"][m] for r in results]) for m in metrics)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _spread(values: list[float]) -> str:
    mean = statistics.mean(values)
    return f"{mean:.4g} ± {statistics.stdev(values):.2g}" if len(values) > 1 else f"{mean:.4g}"


def _order(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text


def _value(settings: Mapping[str, Any], name: str) -> Any:
    for part in name.split("."):
        settings = settings[part]
    return settings


def _name(changes: Mapping[str, str]) -> str:
    # a folder's name from the values; a path as value (md17's data) gives its last part
    return "-".join(f"{name.split('.')[-1]}_{Path(str(value)).name}" for name, value in changes.items())


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error!s:.100}). Move it away.") from None

