"""Do the numbers still name the class of a pair where symmetry is high? (notebooks 02 and 13)

    python -m ponita_edu.analysis.high_symmetry --out results/high_symmetry.json

All pairs of atoms and orientations of eight molecules from C1 to Oh and Ih, see ``molecule_collisions``; single pairs
where orbits lose dimensions, see ``bijectivity``.
"""

import argparse
import time
from pathlib import Path

import torch

from ponita_edu.analysis.bijectivity import rank_table
from ponita_edu.analysis.molecule_collisions import molecule_table
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts


def main(argv: list[str] | None = None) -> None:
    """Print how many collisions are defects, by molecule and set; write both tables where ``--out`` says."""
    parser = argparse.ArgumentParser(prog="python -m ponita_edu.analysis.high_symmetry", description=main.__doc__)
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    began, found = time.process_time(), facts()
    rows = molecule_table()
    for row in rows:
        print(f"{row['molecule']:10}{row['set']:14}{row['pairs']:8,} pairs ({row['coverage']}), {row['classes']:7,} "
              f"classes, {row['unexplained']:7,} unexplained collisions")
    special = rank_table(degenerate=True, search=True)
    if given.out:
        write_json(given.out, {"command": f"python -m ponita_edu.analysis.high_symmetry --out results/{given.out.name}",
                               "molecules": rows, "pairs": special, "device": "cpu", "threads": 1,
                               "processor_minutes": round((time.process_time() - began) / 60, 2), **found})


if __name__ == "__main__":
    main()
