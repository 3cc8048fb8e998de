"""How long each notebook takes, measured: ``python tools/notebook_minutes.py`` runs them all.

Running: a copy is executed from top to bottom, with data made on the spot, and its processor time counts. That is what
one idle core needs, at most, and does not depend on what else the machine does. Reading: 100 words and 15 lines of code
a minute, outside the exercises. Exercises: the sum of their own minutes. ``--cards`` writes these times into the
notebooks' cards instead of measuring.
"""

import argparse
import json
import math
import os
import re
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from execute_notebooks import execute
from nbformat import NotebookNode

from ponita_edu.course.cells import exercise_section, exercises
from ponita_edu.course.text import prose
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "notebook_minutes.json"
WORDS_A_MINUTE, LINES_A_MINUTE = 100, 15
MAX_SECONDS = 180
RUNNING = {15: "a quarter of a minute", 30: "half a minute", 60: "one minute", 90: "one and a half minutes",
           120: "two minutes", 150: "two and a half minutes", MAX_SECONDS: "three minutes"}
TIME = re.compile(r"\*\*Time\*\*: .*?\.(?=\s)", re.DOTALL)


def reading_minutes(notebook: NotebookNode) -> int:
    """Minutes to read everything but the exercises and the list of further reading, rounded to 5."""
    left_out, words, lines = exercise_section(notebook), 0, 0
    for k, cell in enumerate(notebook.cells):
        if k in left_out:
            continue
        if cell.cell_type == "code":
            lines += sum(bool(line.strip()) for line in cell.source.splitlines())
        else:
            words += len(re.findall(r"[\w’'-]+", prose(cell.source.partition("Further reading")[0])))
    return max(5, 5 * round((words / WORDS_A_MINUTE + lines / LINES_A_MINUTE) / 5))


def in_words(seconds: float) -> str:
    """The next larger of a few round times.

    Raises: ValueError above three minutes, the most that a notebook of the course may take.
    """
    for bound, words in RUNNING.items():
        if seconds <= bound:
            return words
    raise ValueError(f"a notebook may run for at most {MAX_SECONDS} s, but this one took "
                     f"{seconds:.0f} s. Store a longer run in results/ and show a smaller one.")


def time_line(notebook: NotebookNode, seconds: float) -> str:
    """What the card says of time."""
    practice = sum(e.minutes for e in exercises(notebook))
    middle = f", {practice} for the exercises" if practice else ""
    return f"**Time**: {reading_minutes(notebook)} minutes to read{middle}, {in_words(seconds)} to run."


def measure(path: Path) -> float:
    """Processor seconds of a copy's kernel and of all that it starts, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "notebooks" / path.name
        copy.parent.mkdir()
        shutil.copy(path, copy)
        shutil.copytree(ROOT / "results", Path(folder) / "results")
        os.environ["PONITA_EDU_DATA"] = str(Path(folder) / "data")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        execute(copy)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stored() -> dict[str, Any]:
    """What was measured so far."""
    return json.loads(RESULT.read_text()) if RESULT.exists() else {"notebooks": {}}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    parser.add_argument("--cards", action="store_true", help="write the measured times into the cards")
    args = parser.parse_args(argv)
    result, about = stored(), facts()
    for path in args.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        if args.cards:
            notebook = nbformat.read(path, as_version=4)
            line = time_line(notebook, result["notebooks"][path.stem]["seconds"])
            notebook.cells[1].source = TIME.sub(line, notebook.cells[1].source, count=1)
            nbformat.write(notebook, path)
            print(f"{path.name}: {line}")
            continue
        seconds = measure(path)
        result["notebooks"][path.stem] = {"seconds": round(seconds, 1), "device": "cpu", **about}
        result["command"] = "python tools/notebook_minutes.py"
        result["minutes"] = round(math.fsum(n["seconds"] for n in result["notebooks"].values()) / 60, 2)
        result["notebooks"] = dict(sorted(result["notebooks"].items()))
        write_json(RESULT, result)
        print(f"{path.name}: {seconds:.0f} s, {in_words(seconds)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
