"""How stable and valid are the molecules of QM9 themselves? The ceiling of every generator (notebook 12).

``python -m ponita_edu.analysis.qm9_ceiling --out results/qm9_ceiling.json`` judges all 130,831 molecules from float64
coordinates, in one to two minutes (nearly all of it RDKit's).
"""

import argparse
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ponita_edu.data.qm9 import QM9, read_qm9
from ponita_edu.molecules.stability import SYMBOLS, VALENCE, Stability, stability
from ponita_edu.molecules.validity import rdkit, validity
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts


def ceiling(data: QM9, chemistry: bool = True) -> dict[str, Any]:
    """Counts and shares in all rows, and in the parts of both splits; which atoms are not stable, with what valence.

    Args:
        chemistry: also validity, uniqueness and novelty by RDKit.
    """
    began = time.process_time()
    found = stability(data.numbers, data.pos, data.offsets)
    seconds = {"stability": round(time.process_time() - began, 2)}
    smiles = None
    if chemistry:
        began = time.process_time()
        smiles = np.array(validity(data.numbers, data.pos, data.offsets).smiles, object)
        seconds["validity"] = round(time.process_time() - began, 2)
    parts = {"all": np.arange(len(data))}
    for split in ("edm", "dimenet"):
        parts |= {f"{split} {name}": rows for name, rows in data.splits(split).items()}
    rows = {name: _row(data, found, smiles, part) for name, part in parts.items()}
    if smiles is not None:
        known = set(smiles[parts["edm train"]]) - {None}
        for name in ("edm val", "edm test"):
            distinct = set(smiles[parts[name]]) - {None}
            rows[name]["novelty_percent"] = round(100 * len(distinct - known) / len(distinct), 3)
    return {"rows": rows, "unstable": unstable(data, found), "processor_seconds": seconds}


def unstable(data: QM9, found: Stability) -> dict[str, int]:
    """Unstable atoms by element and valence, the most frequent first: {"C with 3": ...}."""
    bad = ~found.atoms
    pairs = zip(data.numbers[bad].tolist(), found.valence[bad].tolist(), strict=True)
    counts = Counter(f"{SYMBOLS[z]} with {v} instead of {VALENCE[z]}" for z, v in pairs)
    return dict(counts.most_common())


def _row(data: QM9, found: Stability, smiles: np.ndarray | None, rows: np.ndarray) -> dict[str, Any]:
    stable = np.add.reduceat(found.atoms.astype(np.int64), data.offsets[:-1])[rows]
    row: dict[str, Any] = {
        "molecules": len(rows), "atoms": int(data.sizes[rows].sum()), "stable_atoms": int(stable.sum()),
        "stable_molecules": int(found.molecules[rows].sum()),
    }
    row["atom_percent"] = round(100 * row["stable_atoms"] / row["atoms"], 4)
    row["mean_of_molecules_percent"] = round(100 * float((stable / data.sizes[rows]).mean()), 4)
    row["molecule_percent"] = round(100 * row["stable_molecules"] / len(rows), 4)
    if smiles is not None:
        valid = [s for s in smiles[rows] if s is not None]
        row |= {"valid": len(valid), "distinct": len(set(valid)),
                "valid_percent": round(100 * len(valid) / len(rows), 4),
                "valid_and_unique_percent": round(100 * len(set(valid)) / len(rows), 4)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="FILE", required=True, help="the JSON file to write")
    given = parser.parse_args()
    began = time.monotonic()
    result = ceiling(read_qm9())
    write_json(Path(given.out), {
        **result, "minutes": round((time.monotonic() - began) / 60, 2), "device": "cpu",
        "threads": torch.get_num_threads(), "machine": platform.machine(), "rdkit": rdkit().rdBase.rdkitVersion,
        "command": f"python -m ponita_edu.analysis.qm9_ceiling --out {given.out}", **facts(),
    })


if __name__ == "__main__":
    main()
