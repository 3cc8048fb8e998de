"""The command line: ``ponita-edu train | sweep | evaluate | sample | simulate | queue | doctor | lab | app``.

Settings come from the preset, then from ``--config FILE.yaml``, then from options, the later ones winning.
"""

import argparse
import json as jsonlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ponita_edu import __version__
from ponita_edu.tasks.presets import PRESETS
from ponita_edu.tasks.settings import choose, convert, nearest, options, read_yaml, replaced

COMMANDS = {
    "train": "train a network on a task and test it",
    "sweep": "many training runs that differ in a few settings, on a cluster or here",
    "evaluate": "test a trained network",
    "sample": "make molecules with a trained generator",
    "simulate": "make data of your own",
    "queue": "the full runs: which are missing, and the next pieces of them",
    "doctor": "check the installation",
    "lab": "open the course in JupyterLab",
    "app": "serve the explorers to a class, without code",
}


class Parser(argparse.ArgumentParser):
    """argparse whose errors are exceptions, with the nearest known option."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message[:1].lower()}{message[1:]}. See `{self.prog} --help`.")

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """The options; unlike ``parse_args``, an unknown one is reported with the nearest known."""
        found, unknown = self.parse_known_args(argv)
        if unknown:
            name = unknown[0].split("=")[0]
            known = [o for action in self._actions for o in action.option_strings]
            raise ValueError(f"{name} is not an option of `{self.prog}`{nearest(name, known)} "
                             f"See `{self.prog} --help`.")
        return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 if all went well, 2 after an error that is the user's to repair, 130 after Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    # Idle threads of torch (not imported yet) shall sleep, not spin: five times faster where others compute too.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        return _dispatch(argv)
    except (ValueError, OSError) as error:
        if os.environ.get("PONITA_EDU_DEBUG") == "1":
            raise
        text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        print(f"ponita-edu: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ponita-edu: stopped.", file=sys.stderr)
        return 130


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: ponita-edu COMMAND ...\n\n" + "\n".join(f"  {c:9} {text}" for c, text in COMMANDS.items())
              + "\n\n`ponita-edu COMMAND --help` says more; --version prints the version.")
        return 0
    if argv[0] == "--version":
        print(f"ponita_edu {__version__}")
        return 0
    command = choose("command", argv[0], COMMANDS)
    run = {"train": _train, "sweep": _sweep, "evaluate": _evaluate, "sample": _sample, "simulate": _simulate,
           "queue": _queue, "doctor": _doctor, "lab": _lab, "app": _app}[command]
    return run(argv[1:])


def _train(argv: list[str]) -> int:
    started = time.monotonic()
    parser = _parser("train", "Train a network on a task and test it. The same command goes on where it was cut.")
    parser.add_argument("task", help=f"one of {', '.join(PRESETS)}")
    parser.add_argument("--preset", metavar="NAME", help="quick (default, for a CPU) or paper (published settings)")
    parser.add_argument("--config", metavar="FILE", help="settings in a YAML file; see configs/")
    parser.add_argument("--out", metavar="DIR", help="folder of the run (default: runs/TASK-PRESET-seedS)")
    parser.add_argument("--data", metavar="X", help="short for --data.source: a file or a name (md17)")
    parser.add_argument("--seed", metavar="S", help="short for --train.seed")
    parser.add_argument("--max-minutes", metavar="M", help="short for --train.max_minutes")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    task, settings, given = _settings(parser, argv)
    out = Path(given["out"] or f"runs/{task}-{settings.preset}-seed{settings.train.seed}")

    from ponita_edu.tasks import run

    return _report(run.train(task, settings, out, started), given["json"], out)


def _sweep(argv: list[str]) -> int:
    parser = _parser("sweep", "Train many networks that differ in a few settings, on a SLURM cluster or here, through "
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

    from ponita_edu.tasks import sweep

    if argv[:1] == ["table"]:
        if len(argv) != 2 or argv[1].startswith("-"):
            raise ValueError("`ponita-edu sweep table` takes one folder, that of a sweep.")
        print(sweep.table(Path(argv[1])))
        return 0
    task, settings, given = _settings(parser, argv)
    vary = {name: values.split(",") for name, values in _pairs("--vary", given["vary"]).items()}
    parameters = {name: int(x) if x.lstrip("-").isdigit() else x
                  for name, x in _pairs("--slurm", given["slurm"]).items()}
    minutes = _number("--minutes", given["minutes"], int, least=1)
    out = Path(given["out"] or f"runs/sweep-{task}-{settings.preset}").absolute()
    todo = sweep.jobs(task, settings, vary, out)
    choose("cluster", given["cluster"], sweep.CLUSTERS)
    sweep.remember(task, vary, settings, out)
    print("\n".join(sweep.submit(todo, out, given["cluster"], minutes, parameters)))
    print(sweep.table(out) if given["cluster"] == "local" else f"Afterwards: ponita-edu sweep table {out}")
    return 0


def _settings(parser: Parser, argv: list[str]) -> tuple[str, Any, dict[str, Any]]:
    """Task, its settings after preset, file and options, and all options that were given."""
    task = next((a for a in argv if a in PRESETS), next(iter(PRESETS)))
    group = parser.add_argument_group("settings (default of the paper preset)")
    for name, value, text in options(PRESETS[task]["paper"]):
        if name != "preset":
            group.add_argument(f"--{name}", metavar="X", dest=f"={name}", help=f"{text} ({value})".replace("%", "%%"))
    given = vars(parser.read(argv))
    task = choose("task", given["task"], PRESETS)

    changes = {name[1:]: value for name, value in given.items() if name[0] == "=" and value is not None}
    for short, name in (("data", "data.source"), ("seed", "train.seed"), ("max_minutes", "train.max_minutes")):
        if given.get(short) is not None:
            changes[name] = given[short]
    from_file = {} if given["config"] is None else read_yaml(given["config"])
    preset = choose("preset", str(given["preset"] or from_file.pop("preset", "quick")), PRESETS[task])
    from_file.pop("preset", None)
    if from_file.pop("task", task) != task:
        raise ValueError(f"the config file {given['config']} is not for the task {task}. Name its task instead.")
    return task, replaced(replaced(PRESETS[task][preset], from_file), changes), given


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    # ["a=1", "b=2"] -> {"a": "1", "b": "2"}
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in pairs:
            raise ValueError(f"{option} {text} must be NAME=VALUE, each name once.")
        pairs[name] = value
    return pairs


def _evaluate(argv: list[str]) -> int:
    started = time.monotonic()
    parser = _parser("evaluate", "Test a trained network on its task's test set, or on data of your own.")
    parser.add_argument("checkpoint", help="the folder of a run, or of one of its checkpoints")
    parser.add_argument("--data", metavar="FILE", help="your own data: an .npz file, for md17 also extended XYZ")
    parser.add_argument("--out", metavar="DIR", help="folder for result.json and the picture")
    parser.add_argument("--seed", metavar="S", default="0", help="of the rotations that the test set is turned by (0)")
    parser.add_argument("--max-minutes", metavar="M", help="test as many graphs as can be done in that time")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    given = parser.read(argv)
    seed = _number("--seed", given.seed, int, least=0)
    minutes = None if given.max_minutes is None else _number("--max-minutes", given.max_minutes, float, above=0)

    from ponita_edu.tasks import run

    out, data = (None if a is None else Path(a) for a in (given.out, given.data))
    return _report(run.evaluate_checkpoint(Path(given.checkpoint), data, out, seed, minutes, started), given.json, out)


def _sample(argv: list[str]) -> int:
    parser = _parser("sample", "Make molecules with a network that `ponita-edu train qm9-gen` trained.")
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
    wanted = {name: _number(f"--{name}", getattr(given, name), int, least=1) for name in ("steps", "atoms", "batch")
              if getattr(given, name) is not None}
    count, seed = _number("-n", given.n, int, least=1), _number("--seed", given.seed, int, least=0)
    aim = None if given.given is None else _number("--given", given.given, float)

    from ponita_edu.tasks.sampling import sample_to_file

    result = sample_to_file(Path(given.checkpoint), Path(given.out), given.overwrite, count=count, seed=seed, given=aim,
                            progress=sys.stderr.isatty(), **wanted)
    print("\n".join(f"{name.replace('_', ' ')}: {value:.4g}" if isinstance(value, float) else
                    f"{name.replace('_', ' ')}: {value}" for name, value in result.items()))
    if given.json:
        print(jsonlib.dumps(result))
    return 0


def _simulate(argv: list[str]) -> int:
    parser = _parser("simulate", "Simulate charged particles; the defaults are those of the benchmark.")
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
    numbers = {name: _number(f"--{name}", getattr(given, name), int, least=0)
               for name in ("n", "seed", "particles", "steps", "every")}
    dt = _number("--dt", given.dt, float, above=0)

    from ponita_edu.data.nbody import simulate_to_file

    began = time.monotonic()
    made = simulate_to_file(given.out, **numbers, dt=dt, overwrite=given.overwrite)
    result = {"task": "nbody", "file": given.out, "simulations": len(made.charges), "frames": len(made.time),
              "seconds": round(time.monotonic() - began, 2)}
    print(f"{result['simulations']} simulations of {result['frames']} frames in {given.out}, {result['seconds']} s")
    if given.json:
        print(jsonlib.dumps(result))
    return 0


def _queue(argv: list[str]) -> int:
    parser = _parser("queue", "List the full runs that are missing, or (`run`) take the next pieces of them.")
    parser.add_argument("action", nargs="?", default="list", help="list (default) or run")
    parser.add_argument("--minutes", metavar="M", default="9", help="how long `run` may take in all (9)")
    parser.add_argument("--only", metavar="NAME", help="this run only")
    parser.add_argument("--work", metavar="DIR", default="runs/queue", help="folder of unfinished runs (runs/queue)")
    parser.add_argument("--results", metavar="DIR", default="results", help="folder of finished results (results)")
    parser.add_argument("--json", action="store_true", help="print what was done as one JSON object on the last line")
    given = parser.read(argv)
    choose("action", given.action, ("list", "run"))

    from ponita_edu.tasks.queue import LEAST_MINUTES, QUEUE, advance, look, table

    minutes = _number("--minutes", given.minutes, float, least=LEAST_MINUTES)
    work, results, lines = Path(given.work), Path(given.results), []
    if given.action == "run":
        lines = advance(QUEUE, minutes, work, results, given.only)
        print("\n".join(lines or ["Nothing was left to do."]))
    states = look(QUEUE, work, results)
    print(table(states))
    if given.json:
        print(jsonlib.dumps({"pieces": lines, "missing": [s.run.name for s in states if not s.done]}))
    return 0


def _doctor(argv: list[str]) -> int:
    parser = _parser("doctor", "Check the installation and say how to repair each fault.")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    given = parser.read(argv)
    from ponita_edu import doctor

    return doctor.main(json=given.json)


def _lab(argv: list[str]) -> int:
    from ponita_edu import lab

    return lab.main(argv)


def _app(argv: list[str]) -> int:
    from ponita_edu import app

    return app.main(argv)


def _parser(command: str, description: str) -> Parser:
    usage = {"train": "TASK [options]", "sweep": "TASK --vary NAME=A,B [options] | table DIR",
             "evaluate": "CHECKPOINT [options]", "sample": "CHECKPOINT --out FILE [options]",
             "simulate": "nbody --out FILE [options]", "queue": "[list | run] [options]"}
    return Parser(prog=f"ponita-edu {command}", usage=f"ponita-edu {command} {usage.get(command, '[options]')}",
                  description=description, allow_abbrev=False)


def _number(name: str, text: str, kind: type, least: int | float | None = None, above: int | None = None) -> Any:
    value = convert(name, text, kind)
    if (least is not None and value < least) or (above is not None and not value > above):
        raise ValueError(f"{name} must be {f'at least {least}' if above is None else f'above {above}'}, but is {text}.")
    return value


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


if __name__ == "__main__":
    sys.exit(main())
