"""What the commands of ``ponita-edu`` do; each takes its arguments and returns the exit code."""

import json as jsonlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ponita_edu.arguments import number, pairs_of, parser_of, read_settings
from ponita_edu.paths import expanded
from ponita_edu.tasks.presets import PRESETS
from ponita_edu.tasks.settings import choose

# what torch says, with errors of several kinds, of what does not fit: on Linux, on Windows, on a GPU, in 64 bits
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "Overflow", "overflow")


def train(argv: list[str]) -> int:
    """Train a network and test it."""
    started = time.monotonic()
    parser = parser_of("train", "Train a network on a task and test it. The same command goes on where it was cut.")
    parser.add_argument("task", help=f"one of {', '.join(PRESETS)}")
    parser.add_argument("--preset", metavar="NAME", help="quick (default, for a CPU) or paper (published settings)")
    parser.add_argument("--config", metavar="FILE", help="settings in a YAML file; see configs/")
    parser.add_argument("--out", metavar="DIR", help="folder of the run (default: runs/TASK-PRESET-seedS)")
    parser.add_argument("--data", metavar="X", help="short for --data.source: a file or a name (md17)")
    parser.add_argument("--seed", metavar="S", help="short for --train.seed")
    parser.add_argument("--max-minutes", metavar="M", help="short for --train.max_minutes")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    task, settings, given = read_settings(parser, argv)
    out = expanded(given["out"] or f"runs/{task}-{settings.preset}-seed{settings.train.seed}", "--out")

    from ponita_edu.tasks import run

    return _report(run.train(task, settings, out, started), given["json"], out)


def sweep(argv: list[str]) -> int:
    """Train many networks, or print the table of a sweep; 1 if a run failed."""
    parser = parser_of("sweep", "Train many networks that differ in a few settings, on a SLURM cluster or here, by "
                       "submitit; then `ponita-edu sweep table DIR`. The same command goes on where it was cut.")
    parser.add_argument("task", help=f"one of {', '.join(PRESETS)}; or `table DIR`")
    parser.add_argument("--vary", metavar="NAME=A,B", action="append", default=[],
                        help="a setting and its values, such as train.seed=0,1,2; all combinations of several are run")
    parser.add_argument("--cluster", metavar="NAME", default="local", help="slurm, or local: here, one after another")
    parser.add_argument("--minutes", metavar="M", default="60", help="time limit of each run with the scheduler (60)")
    parser.add_argument("--slurm", metavar="NAME=X", action="append", default=[],
                        help="a parameter of SLURM's, such as partition=gpu or gpus_per_node=1")
    parser.add_argument("--preset", metavar="NAME", help="quick (default) or paper (published settings)")
    parser.add_argument("--config", metavar="FILE", help="settings in a YAML file; see configs/")
    parser.add_argument("--out", metavar="DIR", help="folder of the sweep (default: runs/sweep-TASK-PRESET)")
    if argv[:1] == ["table"]:
        if len(argv) != 2 or argv[1].startswith("-"):
            raise ValueError("`ponita-edu sweep table` takes one folder, that of a sweep.")
        from ponita_edu.tasks import sweep

        print(sweep.table(expanded(argv[1], "DIR")))
        return 0
    task, settings, given = read_settings(parser, argv)

    from ponita_edu.tasks import sweep

    vary = {name: values.split(",") for name, values in pairs_of("--vary", given["vary"]).items()}
    parameters = {name: int(x) if x.lstrip("-").isdigit() else x
                  for name, x in pairs_of("--slurm", given["slurm"]).items()}
    minutes = number("--minutes", given["minutes"], int, least=1)
    out = expanded(given["out"] or f"runs/sweep-{task}-{settings.preset}", "--out").absolute()
    todo = sweep.jobs(task, settings, vary, out)
    sweep.check_cluster(given["cluster"], minutes, parameters)  # before anything is written
    sweep.remember(task, vary, settings, out)
    lines, failed = sweep.submit(todo, out, given["cluster"], minutes, parameters)
    print("\n".join(lines))
    print(sweep.table(out) if given["cluster"] == "local" else f"Afterwards: ponita-edu sweep table {out}")
    return 1 if failed else 0


def evaluate(argv: list[str]) -> int:
    """Test a trained network."""
    started = time.monotonic()
    parser = parser_of("evaluate", "Test a trained network on its task's test set, or on data of your own.")
    parser.add_argument("checkpoint", help="the folder of a run, or of one of its checkpoints")
    parser.add_argument("--data", metavar="FILE", help="your own data: an .npz file, for md17 also extended XYZ")
    parser.add_argument("--out", metavar="DIR", help="folder for result.json and the picture")
    parser.add_argument("--seed", metavar="S", default="0", help="of the rotations that the test set is turned by (0)")
    parser.add_argument("--max-minutes", metavar="M", help="test as many graphs as can be done in that time")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    given = parser.read(argv)
    seed = number("--seed", given.seed, int, least=0)
    minutes = None if given.max_minutes is None else number("--max-minutes", given.max_minutes, float, above=0)
    out, data = (None if path is None else expanded(path, name)
                 for name, path in (("--out", given.out), ("--data", given.data)))
    checkpoint = expanded(given.checkpoint, "checkpoint")

    from ponita_edu.tasks import run

    return _report(run.evaluate_checkpoint(checkpoint, data, out, seed, minutes, started), given.json, out)


def sample(argv: list[str]) -> int:
    """Make molecules."""
    parser = parser_of("sample", "Make molecules with a network that `ponita-edu train qm9-gen` trained.")
    parser.add_argument("checkpoint", help="the folder of a run, or of one of its checkpoints")
    parser.add_argument("-n", metavar="N", default="1000", help="number of molecules (1000)")
    parser.add_argument("--out", metavar="FILE", required=True, help="the .sdf (with bonds) or .xyz file to write")
    parser.add_argument("--seed", metavar="S", default="0", help="of the noise (0)")
    parser.add_argument("--steps", metavar="K", help="steps of the sampler; fewer are faster and worse")
    parser.add_argument("--atoms", metavar="K", help="atoms of each molecule (as frequent as in the training set)")
    parser.add_argument("--given", metavar="X", help="the property that a conditional network shall aim at")
    parser.add_argument("--batch", metavar="K", default="250", help="molecules at once (250)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    parser.add_argument("--json", action="store_true", help="print the numbers as one JSON object on the last line")
    given = parser.read(argv)
    wanted = {name: number(f"--{name}", getattr(given, name), int, least=1) for name in ("steps", "atoms", "batch")
              if getattr(given, name) is not None}
    count, seed = number("-n", given.n, int, least=1), number("--seed", given.seed, int, least=0)
    aim = None if given.given is None else number("--given", given.given, float)
    checkpoint, out = expanded(given.checkpoint, "checkpoint"), expanded(given.out, "--out")

    from ponita_edu.tasks.sampling import sample_to_file

    with _memory_for("sample", {"-n": count, **{f"--{name}": value for name, value in wanted.items()}}):
        result = sample_to_file(checkpoint, out, given.overwrite, count=count, seed=seed, given=aim,
                                progress=sys.stderr.isatty(), **wanted)
    print("\n".join(f"{name.replace('_', ' ')}: {value:.4g}" if isinstance(value, float) else
                    f"{name.replace('_', ' ')}: {value}" for name, value in result.items()))
    if given.json:
        print(jsonlib.dumps(result))
    return 0


def simulate(argv: list[str]) -> int:
    """Make N-body data."""
    parser = parser_of("simulate", "Simulate charged particles; the defaults are those of the benchmark.")
    parser.add_argument("system", help="nbody")
    parser.add_argument("--n", metavar="N", default="100", help="number of simulations (100)")
    parser.add_argument("--seed", metavar="S", default="0", help="of the initial states (0; the benchmark's is 43)")
    parser.add_argument("--out", metavar="FILE", required=True, help="the .npz file to write")
    parser.add_argument("--particles", metavar="K", default="5", help="particles in each simulation (5)")
    parser.add_argument("--steps", metavar="N", default="4900", help="number of steps (4900)")
    parser.add_argument("--every", metavar="N", default="100", help="steps from one stored frame to the next (100)")
    parser.add_argument("--dt", metavar="T", default="0.001", help="duration of a step (0.001)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    parser.add_argument("--json", action="store_true", help="print what was made as one JSON object on the last line")
    given = parser.read(argv)
    choose("system", given.system, ("nbody",))
    numbers = {name: number(f"--{name}", getattr(given, name), int, least=0)
               for name in ("n", "seed", "particles", "steps", "every")}
    dt, out = number("--dt", given.dt, float, above=0), expanded(given.out, "--out")

    from ponita_edu.data.nbody import simulate_to_file

    began = time.monotonic()
    with _memory_for("simulate", {f"--{name}": value for name, value in numbers.items() if name != "seed"}):
        made = simulate_to_file(out, **numbers, dt=dt, overwrite=given.overwrite, progress=sys.stderr.isatty())
    result = {"task": "nbody", "file": str(out), "simulations": len(made.charges), "frames": len(made.time),
              "seconds": round(time.monotonic() - began, 2)}
    print(f"{result['simulations']} simulations of {result['frames']} frames in {out}, {result['seconds']} s")
    if given.json:
        print(jsonlib.dumps(result))
    return 0


def queue(argv: list[str]) -> int:
    """List the full runs that are missing, or take the next pieces of them."""
    parser = parser_of("queue", "List the full runs that are missing, or (`run`) take the next pieces of them.")
    parser.add_argument("action", nargs="?", default="list", help="list (default) or run")
    parser.add_argument("--minutes", metavar="M", default="9", help="how long `run` may take in all (9)")
    parser.add_argument("--only", metavar="NAME", help="this run only")
    parser.add_argument("--work", metavar="DIR", default="runs/queue", help="folder of unfinished runs (runs/queue)")
    parser.add_argument("--results", metavar="DIR", default="results", help="folder of finished results (results)")
    parser.add_argument("--json", action="store_true", help="print what was done as one JSON object on the last line")
    given = parser.read(argv)
    choose("action", given.action, ("list", "run"))

    from ponita_edu.tasks.queue import LEAST_MINUTES, QUEUE, advance, look, table

    minutes = number("--minutes", given.minutes, float, least=LEAST_MINUTES)
    work, results, lines = expanded(given.work, "--work"), expanded(given.results, "--results"), []
    if given.action == "run":
        lines = advance(QUEUE, minutes, work, results, given.only)
        print("\n".join(lines or ["Nothing was left to do."]))
    states = look(QUEUE, work, results)
    print(table(states))
    if given.json:
        print(jsonlib.dumps({"pieces": lines, "missing": [s.run.name for s in states if not s.done]}))
    return 0


def doctor(argv: list[str]) -> int:
    """Check the installation."""
    parser = parser_of("doctor", "Check the installation and say how to repair each fault.")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    given = parser.read(argv)
    from ponita_edu import doctor

    return doctor.main(json=given.json)


def lab(argv: list[str]) -> int:
    """Open the course in JupyterLab."""
    from ponita_edu import lab

    return lab.main(argv)


def app(argv: list[str]) -> int:
    """Serve the explorers to a class."""
    from ponita_edu import app

    return app.main(argv)


@contextmanager
def _memory_for(command: str, numbers: dict[str, int]) -> Iterator[None]:
    try:
        yield
    except (MemoryError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        text = str(error).splitlines()[0] if str(error) else "no room"
        if not isinstance(error, MemoryError | OverflowError) and not any(words in text for words in NO_MEMORY):
            raise
        given = ", ".join(f"{name} {value}" for name, value in numbers.items())
        raise ValueError(f"{command} with {given} needs more memory than there is ({text:.150}). Choose smaller "
                         "numbers.") from error


def _report(result: dict[str, Any] | None, as_json: bool, out: Path | None) -> int:
    if result is None:  # not the first of several processes
        return 0
    from ponita_edu.tasks.run import table

    print(table(result))
    if not result.get("complete", True):
        print(f"Cut after {result['steps']:,} of {result['steps_of_preset']:,} steps; the same command goes on there.")
    if result.get("note"):
        print(result["note"])
    if out is not None:
        print(f"In {out}: {', '.join(sorted(p.name for p in out.iterdir() if p.name[0] != '.'))}")
    if as_json:
        sys.stderr.flush()
        print(jsonlib.dumps(result), flush=True)
    return 0
