"""Run notebooks and store their outputs: ``python tools/execute_notebooks.py notebooks/00_start_here.ipynb ...``.

What would change from run to run without meaning (times, ids of widgets, versions of the kernel) is not stored.
A widget keeps its plain-text form only: without a kernel its view would be an error message in the page. What a page
can show of it without a kernel goes to docs/widgets/NN_name.json.gz, for the book (`make book`).
"""

import argparse
import gzip
import json
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

WIDGET = "application/vnd.jupyter.widget-view+json"
KEPT = ("tags", "ponita_edu")  # of a cell's metadata; the second marks exercises
RECORDS = Path(__file__).resolve().parents[1] / "docs" / "widgets"
RECORD = "from ponita_edu.viz.record import records; print(records())"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take out what is volatile, in place; running it twice changes nothing more."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT})
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            if "data" in output:
                output.data.pop(WIDGET, None)
                output.metadata = nbformat.from_dict({})
                if not output.data:
                    continue
            if outputs and output.output_type == "stream" and outputs[-1].get("name") == output.name:
                outputs[-1].text += output.text
            else:
                outputs.append(output)
        cell.outputs = outputs
    return notebook


def execute(path: Path, timeout: float = 600, keep: bool = False) -> float:
    """Run one notebook in its own folder and store it and the records of its widgets; returns the seconds it took.

    ``keep`` leaves the notebook's file as it is and stores the records alone.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(RECORD))
    start = time.monotonic()
    client = NotebookClient(notebook, timeout=timeout, kernel_name="python3", store_widget_state=False,
                            record_timing=False, resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    seconds = time.monotonic() - start
    found = json.loads(notebook.cells.pop().outputs[0].text)
    shown = [output.data[WIDGET]["model_id"] for cell in notebook.cells for output in cell.get("outputs", [])
             if WIDGET in output.get("data", {})]
    store(RECORDS / f"{path.stem}.json.gz", [found[model] for model in shown if model in found])
    if not keep:
        nbformat.write(clean(notebook), path)
    return seconds


def store(path: Path, records: list[dict]) -> None:
    """One record a line, packed, with the same bytes for the same records; no file without a record."""
    if records:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in records)
        path.write_bytes(gzip.compress(f"[\n{lines}\n]\n".encode(), mtime=0))
    else:
        path.unlink(missing_ok=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--clean-only", action="store_true", help="do not run, only take out what is volatile")
    parser.add_argument("--records-only", action="store_true", help="run, but store the records of the widgets alone")
    args = parser.parse_args(argv)
    for path in args.notebooks:
        if args.clean_only:
            nbformat.write(clean(nbformat.read(path, as_version=4)), path)
            continue
        try:
            seconds = execute(path, keep=args.records_only)
        except CellExecutionError as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
        print(f"{path}: {seconds:.0f} s, {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
