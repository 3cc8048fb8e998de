r"""How the approximate claim's error behaves: against N, depth, finer grids, averaged rotations (notebook 07).

    python -m ponita_edu.analysis.equivariance_curves --out results/equivariance.json

writes every curve of the notebook, one after another; repeated, it goes on where it was cut. ``CURVES`` names them and
their settings; each is one function call. The exact claim, its controls and precision are in ``equivariance_cases``,
trained networks in ``trained_equivariance``.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ponita_edu.analysis.equivariance_cases import claim_rows, precision_rows
from ponita_edu.analysis.equivariance_table import errors_on, random_clouds
from ponita_edu.analysis.laws import Law, fit_law
from ponita_edu.analysis.trained_equivariance import finer_grids, trained_rows
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import PLATONIC_SIZES, make_grid
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts

OUTPUTS = ("scalar", "vector")
FAMILIES = {"fibonacci": (8, 12, 20, 32, 60), "repulsion": (8, 12, 20, 32, 60), "lebedev": (14, 26, 38, 50)}


def untrained(networks: int, hidden: int = 32, layers: int = 5) -> list[Ponita]:
    """Networks with random weights, seeds 0, 1, ..., float64; scalar and vector outputs for each node."""
    config = PonitaConfig(scalars_in=1, vectors_in=1, scalars_out=1, vectors_out=1, hidden=hidden, basis=hidden,
                          layers=layers)
    return [Ponita(config, seed=seed).double() for seed in range(networks)]


def size_laws(families: Mapping[str, Sequence[int]] = FAMILIES, networks: int = 3, rotations: int = 4,
              hidden: int = 16, layers: int = 3) -> list[Law]:
    """Error against the number N of orientations, a law for each family and output, and the Platonic solids as one.

    Untrained networks, the same weights on all grids, which stay while the input turns.
    """
    models, graphs = untrained(networks, hidden, layers), random_clouds()
    by_family = {name: [(name, n) for n in sizes] for name, sizes in families.items()}
    by_family["Platonic solids"] = [(name, n) for name, n in PLATONIC_SIZES.items() if n > 4]
    laws = []
    for family, members in by_family.items():
        found = [errors_on(make_grid(*member), models, graphs, rotations) for member in members]
        laws += [fit_law(f"{family}, {key}", [n for _, n in members], [errors[key] for errors in found])
                 for key in OUTPUTS]
    return laws


def depth_laws(depths: Sequence[int] = (1, 2, 4, 8), grid: str = "dodecahedron", networks: int = 3,
               rotations: int = 4, hidden: int = 16) -> list[Law]:
    """Error against the number of blocks, untrained networks on one grid that stays."""
    graphs, grid = random_clouds(), make_grid(grid)
    found = [errors_on(grid, untrained(networks, hidden, depth), graphs, rotations) for depth in depths]
    return [fit_law(key, depths, [errors[key] for errors in found]) for key in OUTPUTS]


def averaged(model: Ponita, graphs: Graphs, rotations: Float[Tensor, "k 3 3"]) -> dict[str, Float[Tensor, "k ..."]]:
    """By output, f_K(x) = (1/K) Σ_{k<=K} R_k⁻¹ f(R_k x) for K = 1, 2, ..., k: scalars as they are, vectors turned back.

    Averaged over all rotations, f would be exactly equivariant, whatever f is.
    """
    sums: dict[str, list[Tensor]] = {key: [] for key in OUTPUTS}
    with torch.no_grad():
        for rotation in rotations:
            answer = model(graphs.rotate(rotation))
            for key, value in (("scalar", answer.scalar), ("vector", answer.vector @ rotation)):
                sums[key].append(value)
    count = torch.arange(1, len(rotations) + 1, dtype=torch.float64)
    return {key: torch.stack(v).cumsum(0) / count.reshape(-1, *[1] * v[0].dim()) for key, v in sums.items()}


def averaging_laws(counts: Sequence[int] = (1, 2, 4, 8, 16, 32), grid: str = "icosahedron", networks: int = 3,
                   motions: int = 2, hidden: int = 16, layers: int = 3) -> list[Law]:
    """Error against the number K of averaged rotations, drawn at random for each network, the same ones for x and g x.

    Control: the same with the grid's own rotations, for which the network is exact, so that nothing averages out.
    """
    graphs, laws = random_clouds(), []
    for what in ("random rotations", "the grid's own rotations (control)"):
        found = {key: [] for key in OUTPUTS}
        for seed, model in enumerate(untrained(networks, hidden, layers)):
            model.set_grid(make_grid(grid))
            generator = torch.Generator().manual_seed(1000 + seed)
            if what == "random rotations":
                drawn = random_rotations(max(counts), generator=generator)
            else:
                own = model.grid.symmetries()[0]
                drawn = own[torch.randperm(len(own), generator=generator)][: max(counts)]
            here = averaged(model, graphs, drawn)
            errors = {key: [] for key in OUTPUTS}
            for g in random_rotations(motions, generator=generator):
                there = averaged(model, graphs.rotate(g), drawn)
                for key in OUTPUTS:
                    wanted = here[key] @ g.T if key == "vector" else here[key]
                    off = (there[key] - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
                    errors[key].append(off)
            for key in OUTPUTS:
                found[key].append(torch.stack(errors[key]).square().mean(0).sqrt())  # rms over the motions g
        used = [k for k in counts if k <= len(drawn)]
        laws += [fit_law(f"{what}, {key}", used, torch.stack(found[key]).T[[k - 1 for k in used]].tolist())
                 for key in OUTPUTS]
    return laws


@dataclass(frozen=True)
class Curve:
    """A function that makes a curve, and the settings of the full run; its defaults make the notebook's small one."""

    make: Callable[..., list]
    full: Mapping[str, Any]


CURVES = {
    "claims": Curve(claim_rows, dict(networks=3)),
    "size": Curve(size_laws, dict(
        families={"fibonacci": (8, 12, 20, 32, 60, 96), "repulsion": (8, 12, 20, 32, 60, 96),
                  "lebedev": (14, 26, 38, 50, 86, 110)}, networks=6, rotations=8, hidden=32, layers=5)),
    "averaging": Curve(averaging_laws, dict(counts=(1, 2, 4, 8, 16, 32, 64, 128), networks=6, motions=3)),
    "training": Curve(trained_rows, dict(seeds=(0, 1, 2), steps=400, train_size=3000, test_size=300)),
    "finer": Curve(finer_grids, dict(sizes=(14, 26, 50, 110, 194), test_size=300, groups=5, systems=10)),
    "depth": Curve(depth_laws, dict(depths=(1, 2, 3, 5, 8, 12), networks=6, rotations=8, hidden=32)),
    "precision": Curve(precision_rows, dict(networks=3)),
}


def curve(name: str, quick: bool = True) -> list:
    """One curve: a list of laws, or of rows.

    Raises:
        ValueError: on an unknown name.
    """
    if name not in CURVES:
        raise ValueError(f"name must be one of {', '.join(CURVES)}, but is {name!r}.")
    return CURVES[name].make(**({} if quick else CURVES[name].full))


def read_curve(path: Path, name: str) -> list:
    """A curve from a results file: laws as ``Law``, rows as dictionaries."""
    rows = json.loads(path.read_text(encoding="utf-8"))["curves"][name]["result"]
    return [Law(**row) if "slope" in row else row for row in rows]


def main() -> None:
    """Write all curves, with what is needed to judge and repeat them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write, or to go on with")
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES), help="only these")
    parser.add_argument("--again", action="store_true", help="make curves anew that are in the file already")
    args = parser.parse_args()
    torch.set_num_threads(1)
    content = {"curves": {}}
    if args.out.exists():
        try:
            content = json.loads(args.out.read_text(encoding="utf-8"))
            content["curves"].keys()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            sys.exit(f"error: --out {args.out} exists and is no file of this command. Choose another name.")
    for name in args.curves:
        settings = json.loads(json.dumps(CURVES[name].full))
        there = content["curves"].get(name)
        if there and there["settings"] == settings and not args.again:
            print(f"{name}: there already", flush=True)
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        result = [asdict(row) if isinstance(row, Law) else row for row in curve(name, quick=False)]
        content["curves"][name] = {
            "settings": settings, "minutes": round((time.perf_counter() - wall) / 60, 2),
            "processor_minutes": round((time.process_time() - cpu) / 60, 2), "device": f"CPU, {platform.machine()}",
            "threads": 1, **facts(), "command": "python -m ponita_edu.analysis.equivariance_curves --out "
                                                f"{args.out.name} --curves {name}", "result": result,
        }
        write_json(args.out, content)
        print(f"{name}: {content['curves'][name]['minutes']} minutes", flush=True)
        for row in result:
            if "slope" in row:
                print(f"  {row['label']}: slope {row['slope']:.3f} ± {row['error']:.3f}", flush=True)


if __name__ == "__main__":
    main()
