"""From key press to picture, in Chromium on JupyterLab, for each widget of the course.

    OMP_NUM_THREADS=2 python benchmarks/bench_clicks.py --out results/clicks.json

A key is pressed on a slider's handle; the clock runs in the page from the browser's keydown event until the frame after
the last picture of the widget has been drawn by plotly (WebGL by software: a graphics card is faster). The widgets are
those of bench_widgets.py, as the notebooks have them. ``yardstick_ms`` is the median time of a fixed loop in Python
beside each widget: it tells a slow hour of the machine from a slow widget.
"""

import argparse
import os
import platform
import secrets
import tempfile
import time
import timeit
from pathlib import Path

import nbformat
import numpy as np
from playwright.sync_api import Page, sync_playwright

from ponita_edu import doctor, lab
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts

HERE = Path(__file__).resolve().parent
BOUND = 300  # ms
FLAGS = ["--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
         "--disable-background-networking"]
WIDGETS = {  # what makes it, and the slider that is moved
    "TurnMolecule": ("bench_widgets", "turned_molecule", "angle"),
    "PairExplorer": ("ponita_edu.viz.pairs", "PairExplorer", "y"),
    "GridExplorer": ("ponita_edu.viz.grids", "GridExplorer", "left_n"),
    "LiftExplorer": ("ponita_edu.viz.lifts", "LiftExplorer", "azimuth"),
    "KernelExplorer": ("ponita_edu.viz.kernels", "KernelExplorer", "channel"),
    "LayerExplorer": ("bench_widgets", "layer_explorer", "turn"),
    "RotationCheck": ("ponita_edu.viz.rotation_check", "RotationCheck", "turn_z"),
    "PairOfStructures": ("ponita_edu.viz.structure_pairs", "PairOfStructures", "azimuth"),
    "TrajectoryViewer": ("bench_widgets", "trajectory_viewer", "time"),
    "MoleculePlayer": ("bench_widgets", "molecule_player", "frame"),
    "DiffusionViewer": ("bench_widgets", "drowning", "step"),
}
# the time of the last drawing after the last key press
WATCH = """box => {
    window.pressed = window.drawn = 0;
    box.addEventListener('keydown', () => { window.pressed = performance.now(); window.drawn = 0; }, true);
    box.querySelectorAll('.js-plotly-plot').forEach(plot => plot.on('plotly_afterplot', () =>
        requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = performance.now(); }))));
}"""
READY = """async () => {
    await jupyterapp.restored;
    const panel = jupyterapp.shell.currentWidget;
    await panel.sessionContext.ready;
    await jupyterapp.commands.execute('notebook:run-all-cells');
}"""


def press(page: Page, name: str, control: str, presses: int) -> list[float]:
    """Milliseconds from each key press to the last picture."""
    box = page.locator(f".w-{name}").first
    page.wait_for_function("box => { const p = [...box.querySelectorAll('.js-plotly-plot')];"
                           " return p.length && p.every(x => x._fullData); }", arg=box.element_handle(), timeout=60_000)
    page.wait_for_timeout(2500)
    handle = box.locator(f".t-{control} .noUi-handle").first
    handle.scroll_into_view_if_needed()
    box.evaluate(WATCH)
    handle.focus()
    taken, key = [], "ArrowRight"
    for _ in range(presses + 2):
        if handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax"):
            key = "ArrowLeft"
        page.keyboard.press(key)
        page.wait_for_timeout(900)  # no polling: it makes the browser draw; a second picture or drawing counts
        page.wait_for_function("() => window.drawn > 0", timeout=30_000, polling=100)
        taken.append(page.evaluate("() => window.drawn - window.pressed"))
    return taken[2:]


def yardstick() -> float:
    """Median milliseconds of a fixed loop."""
    return round(1000 * float(np.median(timeit.repeat("sum(range(100_000))", number=1, repeat=200))), 2)


def main() -> None:
    """Measure all widgets, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presses", type=int, default=40)
    parser.add_argument("--only")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    began, rows = time.monotonic(), {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root, port, token = Path(folder), lab.free_port(0), secrets.token_hex(16)
        for kind in ("CONFIG", "DATA", "RUNTIME"):
            os.environ[f"JUPYTER_{kind}_DIR"] = str(root / kind.lower())
        server = lab.start(root, port, token, root / "lab.log", extra=("--LabApp.expose_app_in_browser=True",))
        try:
            lab.wait_until_ready(server, port, root / "lab.log")
            browser = playwright.chromium.launch(executable_path=doctor.find_chromium(), args=FLAGS)
            for name, (module, maker, control) in WIDGETS.items():
                if args.only and args.only != name:
                    continue
                cell = f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport {module} as source\nsource.{maker}()"
                spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
                nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)], metadata=spec),
                               root / f"{name}.ipynb")
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(f"http://127.0.0.1:{port}/lab/tree/{name}.ipynb?token={token}&reset")
                page.wait_for_function("() => window.jupyterapp", timeout=60_000)
                page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden)", timeout=60_000)
                page.evaluate(READY)
                taken = press(page, name, control, args.presses)
                rows[name] = {"control": control, "presses": len(taken), "median_ms": round(float(np.median(taken))),
                              "p95_ms": round(float(np.quantile(taken, 0.95))), "yardstick_ms": yardstick()}
                print(name, rows[name], flush=True)
                page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
                page.close()
            browser.close()
        finally:
            lab.stop(server)
    result = {"bound_ms": BOUND, "all_below": all(row["p95_ms"] < BOUND for row in rows.values()), "widgets": rows,
              **facts(), "device": f"{os.cpu_count()} cores, {platform.machine()}",
              "minutes": round((time.monotonic() - began) / 60, 1)}
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
