"""How long does the library take to import, beyond torch?

    OMP_NUM_THREADS=1 python benchmarks/bench_import.py [--repeats 9] [--out results/import.json]

New processes in turn: ``import torch``; the same with all rooms that research needs; the pictures of the course, and
without the short cut of ``ponita_edu.quick``; the command line's ``--help``, which needs no torch. Processor and wall
seconds, medians over the repeats. The aim is 1.5 s beyond torch.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import how_measured

ROOMS = ("geometry", "data", "nn", "nn.forcefield", "tasks.run", "tasks.training", "analysis.equivariance", "molecules")
PROGRAMS = {
    "nothing": ["-c", ""],
    "torch": ["-c", "import torch"],
    "torch and ponita_edu": ["-c", "import torch, " + ", ".join(f"ponita_edu.{room}" for room in ROOMS)],
    "torch and pictures": ["-c", "import torch, ponita_edu.viz"],
    "the same, not quick": ["-c", "import torch, jsonschema, ponita_edu.viz"],  # see ponita_edu.quick
    "ponita-edu --help": ["-m", "ponita_edu.cli", "--help"],
}


def once(program: list[str]) -> tuple[float, float]:
    """Processor and wall seconds of a new process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, *program], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), time.monotonic() - began


def main() -> None:
    """Measure in turn, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    for program in PROGRAMS.values():  # bytecode is written, files are in memory
        once(program)
    taken = [{name: once(program) for name, program in PROGRAMS.items()} for _ in range(given.repeats)]
    rows = {name: {kind: round(median(row[name][k] for row in taken), 3)
                   for k, kind in enumerate(("processor_s", "wall_s"))} for name in PROGRAMS}
    beyond = {kind: round(median(row["torch and ponita_edu"][k] - row["torch"][k] for row in taken), 3)
              for k, kind in enumerate(("processor_s", "wall_s"))}
    for name, row in rows.items():
        print(f"{name:22} {row['processor_s']:.2f} s of a core, {row['wall_s']:.2f} s")
    print(f"beyond torch: {beyond['processor_s']:.2f} s of a core, {beyond['wall_s']:.2f} s")
    if given.out:
        write_json(given.out, {"programs": rows, "beyond_torch": beyond, "repeats": given.repeats, **how_measured()})


if __name__ == "__main__":
    main()
