"""Trainings that are killed and resumed, beside one that is left alone: are the final weights the same to the last bit?

    OMP_NUM_THREADS=1 python tools/kill_and_resume.py [--kills 20] [--seed 0] [--quick] [--out results/kill_resume.json]

N-body, rMD17 and generation, small networks and few data, by ``ponita-edu train``. SIGKILL comes

- just before a file operation of the run: one of each kind (make a folder, open, fsync, after fsync, rename, delete;
  of a checkpoint, the model, the result, the log, the data), seen in the run that is left alone;
- in an optimiser step, the first one among them, between the gradient and the update;
- at a random time, sent by the parent, ``--kills`` of them for each training;
- at random times again and again, until the run is through.

Then the same command is given again. A checkpoint is due every three steps here; ``lost`` says how many steps had to be
done again. Controls: a resume that forgets something must give other weights. Linux only.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

EVERY = 3  # steps from one checkpoint to the next
TINY = {"model.hidden": 8, "model.layers": 2, "model.basis": 8, "model.grid": "octahedron", "train.threads": 1,
        "train.validate_every": 1, "train.accelerator": "cpu", "train.max_minutes": "none", "train.warmup_epochs": 1}
FEW = {"data.val": 8, "data.test": 8, "data.train": 24, "train.batch_size": 4, "train.epochs": 3}
TRAININGS = {
    "nbody": TINY | FEW,
    "md17": TINY | FEW | {"data.source": "ethanol_xtb", "data.split": "rows", "train.ema": 0.9},
    "qm9-gen": TINY | {"data.heavy_atoms": 4, "train.epochs": 6, "train.batch_size": 8, "sample.molecules": 4,
                       "sample.steps": 3, "sample.novelty": "false"},
}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
SERVER = multiprocessing.get_context("forkserver")  # children are forks of a process that has only imported things
SERVER.set_forkserver_preload(["ponita_edu.cli", "ponita_edu.tasks.run", "ponita_edu.tasks.nbody",
                               "ponita_edu.tasks.md17", "ponita_edu.tasks.generation", "ponita_edu.viz.generation",
                               "ponita_edu.viz.plots", "torch.utils.tensorboard", "lightning_fabric", __name__])


# ------------------------------------------------------------------------------------------------ in the child
def doomed(argv: list[str], root: Path, plan: dict[str, Any], beat: Any) -> None:
    """``ponita-edu`` with these arguments in a process of its own, to which the plan happens.

    Args:
        root: all it writes lies below; what it says goes to ``said.txt``, its file operations to ``done.txt``.
        plan: ``operation`` or ``step``: its number, where to be killed; ``fail``: (first, last, errno) of operations
            that fail; ``forget``: what a resume leaves out.
        beat: takes the number of steps done.
    """
    said = os.open(root / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.environ["PONITA_EDU_DATA"] = str(root / "data")
    from tqdm import tqdm

    from ponita_edu import cli
    from ponita_edu.data import nbody
    from ponita_edu.tasks import training

    nbody.DRAWN = {"train": 24, "val": 8, "test": 8}  # not the benchmark's 14,000, which take half of such a run
    tqdm.set_lock(threading.RLock())  # its own is one between processes, which outlives a killed one
    watch_steps(training.Run, plan.get("step"), beat)
    if "forget" in plan:
        FORGET[plan["forget"]](training)
    done = watch_files(root, plan)
    code = cli.main(argv)
    (root / "done.txt").write_text("\n".join(done), encoding="utf-8")
    sys.exit(code)


def watch_steps(run: type, fatal: int | None, beat: Any) -> None:
    """Count steps, have a checkpoint every few of them, and die within one."""
    step = run.train_step

    def counted(self: Any) -> None:
        if self.state.step + 1 == fatal:
            self._stepper.step = die  # gradients are there, weights as they were
        step(self)
        beat.value = self.state.step

    run.train_step = counted
    run.save_is_due = property(lambda self: self.state.step - max(self._saved_step, 0) >= EVERY)


def watch_files(root: Path, plan: dict[str, Any]) -> list[str]:
    """Note the main thread's file operations below ``root``; die before one of them, or have some fail."""
    done, top, fsync = [], str(root), os.fsync

    def note(what: str, path: Any, folder: int = -1) -> None:
        if threading.current_thread() is not threading.main_thread() or isinstance(path, int):
            return
        path = os.fsdecode(path)
        if folder >= 0:  # the name of an open folder's entry
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        if path.startswith(top):
            done.append(f"{what} {path[len(top) + 1:]}")
            if len(done) == plan.get("operation"):
                die()
            first, last, number = plan.get("fail", (0, 0, 0))
            if first <= len(done) <= last:
                raise OSError(number, os.strerror(number))

    def hook(event: str, args: tuple) -> None:
        if event == "open" and isinstance(args[2], int) and args[2] & WRITES:
            note("open", args[0])
        elif event in EVENTS:
            note(event.removeprefix("os."), args[0], args[-1] if event in ("os.remove", "os.rmdir") else -1)

    def synced(file: int) -> None:
        path = os.readlink(f"/proc/self/fd/{file}")
        note("fsync", path)
        fsync(file)
        note("after fsync", path)

    os.fsync = synced
    sys.addaudithook(hook)
    return done


def die(*_: Any) -> None:
    """SIGKILL to oneself: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def forget(training: Any, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """A resume that finds a checkpoint with other tensors."""
    newest = training.checkpoint.newest

    def found(*args: Any) -> Any:
        tensors, info = newest(*args)
        return tensors | changed(tensors), info

    training.checkpoint.newest = found


def zeros(name: str) -> Callable[[Any], None]:
    """A resume for which the tensors whose names begin so are 0."""
    return lambda training: forget(training, lambda t: {k: v * 0 for k, v in t.items() if k.startswith(name)})


def no_average(training: Any) -> None:
    """A resume whose moving average begins with the present weights."""
    forget(training, lambda t: {k: t[k.replace("ema.", "network.")] for k in t if k.startswith("ema.")})


def other_numbers(training: Any) -> None:
    """A resume whose random numbers begin anew."""
    from ponita_edu.tasks import parts

    stream = training.stream
    training.stream = parts.stream = lambda seed, *place: stream(seed + 1, *place)


FORGET = {"mean gradients": zeros("adam.exp_avg."), "mean squared gradients": zeros("adam.exp_avg_sq."),
          "steps of Adam": zeros("adam.step."), "random numbers": other_numbers, "moving average": no_average}


# ----------------------------------------------------------------------------------------------- in the parent
class Training:
    """One of the trainings, in folders of its own below ``place``, and what it gives when it is left alone."""

    def __init__(self, name: str, place: Path):
        self.name, self.place, self.count = name, place, 0
        root = self.folder()
        first = SERVER.Process(target=int)  # waits for the imports, which are no part of a run's seconds
        first.start()
        first.join()
        began = time.monotonic()
        code = self.go(root)
        self.seconds = time.monotonic() - began
        if code != 0:
            raise RuntimeError(f"the run that is left alone failed: {said(root)}")
        self.wanted, self.done = outcome(root), (root / "done.txt").read_text(encoding="utf-8").splitlines()

    def folder(self) -> Path:
        """A new folder for a run."""
        self.count += 1
        root = self.place / f"{self.name}-{self.count}"
        root.mkdir(parents=True)
        return root

    def command(self, root: Path) -> list[str]:
        """Arguments of ``ponita-edu``."""
        settings = (f"--{k}={v}" for k, v in TRAININGS[self.name].items())
        return ["train", self.name, "--out", str(root / "run"), *settings]

    def go(self, root: Path, plan: dict[str, Any] | None = None, kill_after: float | None = None) -> int:
        """Start the training, kill it after so many seconds if it is still there, and give its exit code."""
        self.beat = SERVER.RawValue("q", 0)
        child = SERVER.Process(target=doomed, args=(self.command(root), root, plan or {}, self.beat))
        start = time.monotonic()
        child.start()
        child.join(600 if kill_after is None else kill_after)
        late = child.exitcode is None
        if kill_after is not None and not late:  # the first run met a busy hour: moments after the end kill nothing
            self.seconds = min(self.seconds, time.monotonic() - start)
        if late:
            child.kill()
            child.join()
        if late and kill_after is None:
            raise RuntimeError(f"the run hangs: {said(root)}")
        return child.exitcode

    def kinds(self) -> dict[str, int]:
        """One operation of each kind: its number in the run that is left alone, the first and the last of its kind."""
        first, last = {}, {}
        for number, line in enumerate(self.done, 1):
            kind = re.sub(r"[0-9a-f]{32}", "*", re.sub(r"step-\d+", "step-N", re.sub(r"\d+\.\d+\S+", "*", line)))
            first.setdefault(kind, number)
            last[kind] = number
        return first | {f"{kind}, last": number for kind, number in last.items() if first[kind] != number}

    def trial(self, moment: str, plan: dict[str, Any] | None = None, kill_after: float | None = None,
              again: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """A run that is killed and resumed; None if it was through before it could be killed.

        Args:
            plan: of the first process, see ``doomed``.
            kill_after: seconds after which the parent kills it.
            again: plan of the second.
        """
        root = self.folder()
        if self.go(root, plan, kill_after) != -signal.SIGKILL:
            if kill_after is None:
                raise RuntimeError(f"the run was not killed ({moment}): {said(root)}")
            return None
        reached = self.beat.value
        return self.judged(root, moment, reached, reached - newest_step(root), again)

    def chain(self, random_: random.Random) -> dict[str, Any]:
        """A run that is killed at random times until it is through."""
        root, kills, lost = self.folder(), 0, 0
        while kills < 100 and self.go(root, None, random_.uniform(0.2, 0.8) * self.seconds) == -signal.SIGKILL:
            kills += 1
            lost = max(lost, self.beat.value - newest_step(root) if self.beat.value else 0)
        return self.judged(root, f"random, {kills} times", self.beat.value, lost)

    def judged(self, root: Path, moment: str, reached: int, lost: int, plan: dict[str, Any] | None = None
               ) -> dict[str, Any]:
        """Go on with a run to its end, and compare."""
        code = self.go(root, plan)
        same = code == 0 and outcome(root) == self.wanted
        return {"training": self.name, "moment": moment, "steps_done": reached, "lost": max(lost, 0), "code": code,
                "same": same, **({} if code == 0 else {"said": said(root)[-300:]})}


def outcome(root: Path) -> tuple[bytes, list[list[str]], dict[str, float]]:
    """What a run ends with: the weights as bytes, the learning curve and the errors, without times."""
    run = root / "run"
    with open(run / "log.csv", newline="", encoding="utf-8") as file:
        curve = [{k: v for k, v in row.items() if k != "minutes"} for row in csv.DictReader(file)]
    metrics = json.loads((run / "result.json").read_text(encoding="utf-8"))["metrics"]
    return ((run / "model" / "state.safetensors").read_bytes(), curve,
            {name: value for name, value in metrics.items() if "second" not in name})


def newest_step(root: Path) -> int:
    """The step from which a run would go on."""
    from ponita_edu.tasks import checkpoint

    found = checkpoint.newest(root / "run" / "checkpoints", print)
    return 0 if found is None else found[1]["step"]


def said(root: Path) -> str:
    """What a run printed."""
    return (root / "said.txt").read_text(encoding="utf-8")


def trials(training: Training, kills: int, quick: bool, random_: random.Random) -> Iterator[dict[str, Any]]:
    """All moments of one training."""
    kinds = training.kinds()
    for kind in random_.sample(sorted(kinds), kills) if quick else kinds:
        yield training.trial(f"before: {kind}", {"operation": kinds[kind]})
    for step in (1,) if quick else (1, 8, 18):
        yield training.trial(f"in step {step}", {"step": step})
    count = 0
    while count < kills:
        row = training.trial("random time", kill_after=random_.uniform(0.0, training.seconds))
        if row is not None:
            count += 1
            yield row
    if not quick:
        yield training.chain(random_)


def controls(training: Training, quick: bool) -> Iterator[dict[str, Any]]:
    """Resumes that forget something."""
    for what in ("mean gradients", "random numbers") if quick else FORGET:
        if what != "moving average" or "ema" in str(training.command(Path())):
            yield training.trial(f"resume forgets: {what}", {"step": 8}, again={"forget": what})


def main() -> int:
    """1 if a run ends otherwise than the one that was left alone, or a control ends like it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="at random times, for each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="only so many kinds of file operation")
    parser.add_argument("--trainings", nargs="+", default=list(TRAININGS), choices=list(TRAININGS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows, forgetful, began = [], [], time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        for name in options.trainings:
            training, random_ = Training(name, Path(place)), random.Random(f"{name} {options.seed}")
            for kept, new in ((rows, trials(training, options.kills, options.quick, random_)),
                              (forgetful, controls(training, options.quick))):
                for row in new:
                    kept.append(row)
                    print(f"{name:8} {row['moment']:66} step {row['steps_done']:3}, lost {row['lost']}: "
                          f"{'same' if row['same'] else 'other'}{row.get('said', '')}", flush=True)
    same = sum(row["same"] for row in rows)
    caught = sum(row["code"] == 0 and not row["same"] for row in forgetful)
    lost = max(row["lost"] for row in rows)
    print(f"{same} of {len(rows)} killed runs end with the same weights, curve and errors to the last bit.\n"
          f"At most {lost} steps had to be done again, with a checkpoint every {EVERY}.\n"
          f"{caught} of {len(forgetful)} forgetful resumes end otherwise.")
    if options.out:
        from ponita_edu.tasks.checkpoint import write_json
        from ponita_edu.tasks.run import command_line, facts

        write_json(options.out, {"about": "see tools/kill_and_resume.py", "command": command_line(), "device": "cpu",
                                 "every": EVERY, "killed": len(rows), "same": same, "lost_at_most": lost, "rows": rows,
                                 "controls": forgetful, "minutes": round((time.monotonic() - began) / 60, 1),
                                 **facts()})
    return int(same < len(rows) or caught < len(forgetful))


if __name__ == "__main__":
    sys.exit(main())
