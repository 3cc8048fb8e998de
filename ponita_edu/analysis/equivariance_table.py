"""The approximate claim in numbers: how far a fixed grid breaks rotations, by kind and size of the grid (notebook 07).

``python -m ponita_edu.analysis.equivariance_table`` prints the table.
"""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import torch

from ponita_edu.analysis.equivariance import equivariance_error
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import Grid, make_grid
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita

GRIDS: dict[str, Sequence[int]] = {
    "fibonacci": (8, 12, 20, 32, 60),
    "repulsion": (8, 12, 20, 32, 60),
    "cube": (8,),
    "icosahedron": (12,),
    "dodecahedron": (20,),
    "lebedev": (6, 14, 26, 38, 50),
}


class GridError(NamedTuple):
    """Relative L2 errors of scalar and vector outputs on one grid: median over networks and rotations."""

    grid: str
    size: int
    scalar: float
    vector: float


def random_clouds(sizes: Sequence[int] = (4, 5, 6), dim: int = 3, seed: int = 0) -> Graphs:
    """Standard normal points with one scalar and one vector each, all joined, float64."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    pos, vec, x = (torch.randn(n, k, generator=generator, dtype=torch.float64) for k in (dim, dim, 1))
    batch = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return Graphs(pos, x, batch=batch, vec=vec[:, None])


def error_table(
    grids: dict[str, Sequence[int]] | None = None,
    config: PonitaConfig | None = None,
    networks: int = 5,
    rotations: int = 8,
    graphs: Graphs | None = None,
) -> list[GridError]:
    """Errors of ``networks`` untrained networks, the same weights on every grid, under random rotations.

    Args:
        grids: names and sizes; default: ``GRIDS``.
        config: of the networks, needing scalar and vector outputs; default: hidden 32, 5 blocks, node outputs.
        networks, rotations: how many of each; seeds count from 0.
        graphs: the batch; default: ``random_clouds()``.
    """
    config = config or PonitaConfig(scalars_in=1, vectors_in=1, scalars_out=1, vectors_out=1, hidden=32, basis=32)
    graphs = random_clouds(dim=config.dim) if graphs is None else graphs
    models = [Ponita(config, seed=seed) for seed in range(networks)]
    rows = []
    for name, sizes in (grids or GRIDS).items():
        for size in sizes:
            found = errors_on(make_grid(name, size), models, graphs, rotations)
            rows.append(GridError(name, size, *map(statistics.median, found.values())))
    return rows


def errors_on(grid: Grid, models: Sequence[Ponita], graphs: Graphs, rotations: int = 8) -> dict[str, list[float]]:
    """By output, the error of each network on a grid that stays: relative L2, median over random rotations."""
    found = []
    for model in models:
        model.set_grid(grid)
        found.append(equivariance_error(model, graphs, "SO", count=rotations).outputs)
    return {name: [outputs[name].median for outputs in found] for name in found[0]}


def as_text(rows: Sequence[GridError]) -> str:
    """The table in Markdown."""
    lines = ["| grid | N | scalar error | vector error |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {r.grid} | {r.size} | {r.scalar:.1e} | {r.vector:.1e} |" for r in rows)])


if __name__ == "__main__":
    print("Relative L2 error under random rotations while the grid stays; untrained networks, float64")
    print(as_text(error_table()))
