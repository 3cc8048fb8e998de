"""Write the embedded subset of QM9: 2,000 molecules drawn at random from the DimeNet parts (needs qm9pack)."""

from pathlib import Path

import numpy as np

from ponita_edu.data.qm9 import SUBSET, read_qm9
from ponita_edu.data.qm9_csv import read_csv

DRAWN = {"train": 1200, "val": 200, "test": 600}


def main() -> None:
    """Draw by seed 0, keep the arrays of the CSV files, round what is not a target."""
    arrays, whole = read_csv(), read_qm9()
    random = np.random.default_rng(0)
    rows = np.sort(np.concatenate([random.choice(part, DRAWN[name], replace=False)
                                   for name, part in whole.splits("dimenet").items()]))
    atoms = np.isin(np.repeat(np.arange(len(whole)), whole.sizes), rows)
    per_atom = ("numbers", "pos", "charges")
    subset = {name: a[atoms if name in per_atom else rows] for name, a in arrays.items()}
    subset["pos"] = np.round(subset["pos"] * 1e3).astype(np.int16)
    subset["charges"] = np.round(subset["charges"] * 1e3).astype(np.int16)
    about = ("A subset of QM9 (Ramakrishnan et al., Scientific Data 1, 140022, 2014; CC0), by way of qm9pack 1.0.3 "
             "(MIT). pos in 0.001 angstrom, charges in 0.001 e, energies in hartree.")
    np.savez_compressed(Path(__file__).parents[1] / "ponita_edu" / SUBSET, rows=rows.astype(np.int32),
                        about=np.array(about), **subset)


if __name__ == "__main__":
    main()
