"""What the browser's runs of the notebooks leave out: most steps of the trainings, and curves that `results/` has.

nbval has run every notebook as it stands and compared each number; here the pages are looked at. Texts are exchanged in
the copies that JupyterLab opens. One that is no longer in the notebook is an error, so that the table cannot grow old.
"""

import json
from pathlib import Path

SHORTER = {
    "02_equivalence_classes_and_invariants.ipynb": {
        'in special_pairs("r3s2").items()': 'in list(special_pairs("r3s2").items())[:1]',
        "molecule_table()": "molecule_table(max_pairs=2_000)",
    },
    "03_spherical_grids.ipynb": {"networks=3, rotations=4": "networks=1, rotations=1"},
    "05_separable_convolution.ipynb": {
        "plan(QUICK, ": "plan({task: type(budget)(5000, 2, 6) for task, budget in QUICK.items()}, "},
    "06_the_ponita_architecture.ipynb": {
        "draw, steps=200": "draw, steps=2",
        "rate=3e-3, steps=200": "rate=3e-3, steps=2",
    },
    "07_equivariance_in_numbers.ipynb": {
        'live = curve("claims")': 'live = read_curve(RESULTS, "claims")',
        'laws = curve("size")': 'laws = read_curve(RESULTS, "size")',
        'in curve("depth")': 'in read_curve(RESULTS, "depth")',
        'averages = curve("averaging")': 'averages = read_curve(RESULTS, "averaging")',
        "for trained in (False, True):": "for trained in (True,):",
        "trained_rows(": "trained_rows(steps=2, ",
    },
    "08_expressiveness_and_chirality.ipynb": {"(40, 200)": "(2, 3)"},
    "09_nbody.ipynb": {"TrainConfig(epochs=5": "TrainConfig(max_minutes=1e-6, epochs=5"},
    "10_rmd17.ipynb": {
        "steps=100)": "steps=2)",
        '"gradient", 0.5': '"gradient", 0.3',
        "network, task, steps=60": "network, task, steps=2",
    },
    "11_qm9_properties.ipynb": {
        "measure(task, s, steps=100)": "measure(task, s, steps=2)",
        "s.train, steps=120": "s.train, steps=2",
        'make_grid("repulsion", 60)': 'make_grid("repulsion", 20)',
    },
    "12_qm9_generation.ipynb": {
        "for step in range(60)": "for step in range(2)",
        "sample(model, 32, ": "sample(model, 8, ",
        "sample(beginner, 8, ": "sample(beginner, 2, ",
    },
    "13_beyond_the_paper.ipynb": {
        "orientation_bound import quick": "orientation_bound import study, untrained",
        "bound = quick()": "bound = study(*untrained(), {'lebedev': (14, 26)}, rotations=1, fine=110, degree=8)",
        "few = dict(steps=60": "few = dict(steps=2",
        "0, 0.01, 200))": "0, 0.01, 2))",
    },
}


def shorten(path: Path, texts: dict[str, str]) -> None:
    """Exchange texts in the cells of a notebook.

    Raises:
        ValueError: where one does not stand in exactly one code cell.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for old, new in texts.items():
        found = [cell for cell in code if old in "".join(cell["source"])]
        if len(found) != 1:
            raise ValueError(f"{old!r} stands in {len(found)} code cells of {path.name}, expected one; "
                             "change SHORTER in tests/browser/shorter.py.")
        found[0]["source"] = "".join(found[0]["source"]).replace(old, new)
    path.write_text(json.dumps(notebook), encoding="utf-8")
