r"""How many orientations are enough? From the spectra of kernels to the error of equivariance (notebook 13).

    python -m ponita_edu.analysis.orientation_bound --out results/orientation_bound.json

**One separable layer.** z(p) = ∫ F_p(o) do (mean over the sphere) with F_p(o) = κ(p·o) y(o) and y the spatial step.
With a grid the integral is Σ_i w_i F_p(o_i). Let ε_l be the grid's quadrature error of degree l, which no rotation
changes (``Grid.quadrature_error``), and S_l(p) the power of F_p in degree l. Turning the input is turning the grid
against it:

    law     over random rotations R and R' the mean square of z(R p; R x) − z(R' p; R' x) is 2 Σ_{l≥1} ε_l² S_l(p)
    bound   for every rotation |z(R p; R x) − z(p; x)| ≤ 2 Σ_{l≥1} √((2l+1) S_l(p)) ε_l

Proof: the error is Σ_lm f_lm q_lm with q_lm = Σ_i w_i Ŷ_lm(o_i) and Σ_m q_lm² = (2l+1) ε_l². Cauchy and Schwarz in each
degree give the bound, for two grids turned differently. Averaged over rotations of the grid, q_lm q_l'm' is
ε_l² δ_ll' δ_mm' (Schur), which gives the law; the 2 is for the errors of both. The exact claim is another one: for
the grid's own symmetries the error is 0, whatever the spectra.

**Band limits.** If κ has degree at most a and y at most b, F_p has a + b, and a grid that is exact to degree t ≥ a + b
(a design, a Lebedev rule) makes no error at all. Otherwise ε_l² ≈ Σ w² ≥ 1/N in all degrees above √N or so. The
spherical kernels are smooth, and their power falls faster than any power of l. The spatial kernels see
|r_⊥| = |r| sin θ, which has a kink at r ∥ o: power ~ l⁻⁵, so that a grid of N points leaves an error² of
(1/N) Σ_{l>c√N} l⁻⁵ ~ N⁻³, and the error falls like N^(−3/2), as was measured in notebook 07. The kink is not the whole
story: with |r_⊥|² in its place errors are several times smaller, but over the sizes in use they still look like a power
of N (``kink_laws``), as GELU of large cubic monomials bends almost as sharply.

**A network.** What a network computes on a grid is what it computes on the whole sphere, with such an error added to z
in each block and to the readout. To first order the relative error of an output is

    √( ρ² + Σ_b (γ_b η_b)² ),   η_b² = 2 Σ_l ε_l² ⟨S_l⟩ / ⟨z_b²⟩,

ρ the same for the integral of the readout (F = f for scalars, (f − mean f) o for vectors), γ_b the gain with which
block b's error reaches the output. All but ε_l is measured once, on one fine grid. See ``orientation_parts``.
"""

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from ponita_edu.analysis.equivariance_table import errors_on
from ponita_edu.analysis.laws import fit_law
from ponita_edu.analysis.orientation_networks import NETWORKS, untrained
from ponita_edu.analysis.orientation_parts import BlockOnSphere, on_sphere, quadrature_offsets, readout_power
from ponita_edu.analysis.sphere_spectra import (
    bandwidth,
    by_degree,
    degree_power,
    fiber_power,
    harmonics,
    spatial_power,
)
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import Grid, make_grid
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.nn.ponita import Ponita
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import command_line, facts

DEGREE, FINE, PROBES = 20, 590, 14
SIZES: Mapping[str, Sequence[int]] = {
    "fibonacci": (8, 12, 20, 32, 60, 96), "repulsion": (8, 12, 20, 32, 60, 96), "octahedron": (6,), "cube": (8,),
    "icosahedron": (12,), "dodecahedron": (20,), "lebedev": (14, 26, 38, 50, 86, 110)}


def squared_errors(grid: Grid, degree: int = DEGREE) -> Float64[Tensor, "degrees"]:
    """ε_l² for l = 0 (where it is 0) to ``degree``, and one entry more for all higher degrees: Σ w²."""
    values = [grid.quadrature_error(k) ** 2 for k in range(1, degree + 1)]
    return torch.tensor([0.0, *values, float(grid.weights.square().sum())], dtype=torch.float64)


class Spectrum(NamedTuple):
    """Power of the functions that are integrated, by degree, the last entry for all higher ones; and ⟨result²⟩."""

    power: Float64[Tensor, "degrees"]
    size: float

    def error(self, grid: Grid) -> float:
        """√(2 Σ_l ε_l² S_l / ⟨result²⟩): the law."""
        return float((2 * squared_errors(grid, len(self.power) - 2) @ self.power / self.size) ** 0.5)


@dataclass(frozen=True)
class Prediction:
    """Of a network on a batch: what must be known to say its error on any grid.

    Args:
        blocks: of the integral in each block.
        gains: by output, γ_b of each block.
        readouts: by output.
    """

    blocks: tuple[Spectrum, ...]
    gains: dict[str, tuple[float, ...]]
    readouts: dict[str, Spectrum]

    def error(self, grid: Grid, output: str) -> float:
        """The relative error of an output that is expected on a grid."""
        inner = [(gain * block.error(grid)) ** 2 for gain, block in zip(self.gains[output], self.blocks, strict=True)]
        return (sum(inner) + self.readouts[output].error(grid) ** 2) ** 0.5

    def enough(self, error: float, output: str, family: str = "lebedev", sizes: Sequence[int] | None = None
               ) -> int | None:
        """The least size in a family of grids at which, and above which, no more than so much error is expected."""
        best = None
        for n in sorted(sizes or SIZES[family], reverse=True):
            if self.error(make_grid(family, n), output) > error:
                break
            best = n
        return best


def predict(model: Ponita, graphs: Graphs, fine: int = FINE, degree: int = DEGREE, turns: int = 2, probe: int = 20
            ) -> Prediction:
    """Measure a network's spectra and gains on a Lebedev grid of ``fine`` points, in float64.

    Gains: the error of a Fibonacci grid of ``probe`` points, turned ``turns`` times at random, is added to the z of one
    block at a time; γ is the relative change of the output over that of z, root mean square over the turns.

    Raises:
        ValueError: if the network has no grid, or a full convolution.
    """
    if model.config.space != "bundle" or model.config.conv != "separable":
        raise ValueError("model must be a Ponita on the bundle with a separable convolution, but has space "
                         f"{model.config.space!r} and conv {model.config.conv!r}: it has no such sum over a grid.")
    grid, coarse = make_grid("lebedev", fine), make_grid("fibonacci", probe)
    sphere = on_sphere(model, graphs, grid)
    blocks = tuple(Spectrum(*block_power(block, grid, degree)) for block in sphere.blocks)
    squares = {key: torch.zeros(len(blocks), dtype=torch.float64) for key in sphere.outputs}
    for rotation in random_rotations(turns, 3, generator=torch.Generator().manual_seed(0)):
        turned = coarse.rotated(rotation)
        for k in range(len(blocks)):
            disturbed = on_sphere(model, graphs, grid, turned, disturb=k)
            given = disturbed.added / blocks[k].size**0.5
            for key, value in sphere.outputs.items():
                off = (disturbed.outputs[key] - value).norm() / value.norm()
                squares[key][k] += (off / given).square() / turns
    readouts = {key: Spectrum(*readout_power(sphere, key, grid, degree)) for key in sphere.outputs}
    return Prediction(blocks, {key: tuple(s.sqrt().tolist()) for key, s in squares.items()}, readouts)


def block_power(block: BlockOnSphere, grid: Grid, degree: int = DEGREE) -> tuple[Float64[Tensor, "degrees"], float]:
    """⟨S_l⟩ over nodes, channels and directions p of F_p = κ(p·o) y(o), and ⟨z²⟩."""
    power, size = torch.zeros(degree + 2, dtype=torch.float64), 0.0
    probes = make_grid("lebedev", PROBES)
    for p, weight in zip(probes.points, probes.weights, strict=True):
        f = (block.kernel(grid.points @ p) * block.y).transpose(1, 2)  # [nodes, channels, points]
        parts = degree_power(f, grid, degree).flatten(0, -2).mean(0)
        rest = float((f.square() @ grid.weights).mean()) - float(parts.sum())
        power += weight * torch.cat((parts, torch.tensor([max(rest, 0.0)], dtype=torch.float64)))
        size += float(weight * (f @ grid.weights).square().mean())
    return power, size


class LayerRow(NamedTuple):
    """One layer on one grid: root mean square error over random rotations, relative to z, by the law and measured; the
    largest error met and the bound, relative too."""

    block: int
    grid: str
    size: int
    law: float
    measured: float
    largest: float
    bound: float


def layer_rows(model: Ponita, graphs: Graphs, grids: Sequence[Grid], rotations: int = 16, fine: int = FINE,
               degree: int = DEGREE) -> list[LayerRow]:
    """Each layer by itself: its input is that of the whole sphere, its integral is taken on grids turned at random."""
    sphere, rows = on_sphere(model, graphs, make_grid("lebedev", fine)), []
    probes = make_grid("lebedev", PROBES).points
    spectra = [Spectrum(*block_power(block, sphere.grid, degree)) for block in sphere.blocks]
    for grid in grids:
        turns = random_rotations(2 * rotations, 3, generator=torch.Generator().manual_seed(1))
        offsets = quadrature_offsets(model, graphs, sphere.grid, [grid.rotated(turn) for turn in turns], probes)
        for k, spectrum in enumerate(spectra):
            off, scale = offsets[k][::2] - offsets[k][1::2], spectrum.size**0.5
            rows.append(LayerRow(
                k, grid.name, len(grid), spectrum.error(grid), float(off.square().mean().sqrt()) / scale,
                float(off.abs().max()) / scale, worst_case(sphere.blocks[k], sphere.grid, grid, degree) / scale))
    return rows


def worst_case(block: BlockOnSphere, fine: Grid, grid: Grid, degree: int = DEGREE) -> float:
    """The bound 2 Σ_l √((2l+1) S_l) ε_l at its largest over nodes, channels and directions p; degrees above ``degree``
    as one, by the triangle inequality: |Σ w F| ≤ max |F|."""
    factor = 2 * ((2 * torch.arange(degree + 1) + 1) * squared_errors(grid, degree)[:-1]).sqrt()
    y, largest = harmonics(fine.points, degree), 0.0
    for p in make_grid("lebedev", PROBES).points:
        f = (block.kernel(fine.points @ p) * block.y).transpose(1, 2)
        coefficients = f @ (fine.weights[:, None] * y)
        rest = (f - coefficients @ y.T).abs().amax(-1)
        mass = float(grid.weights.abs().sum())
        largest = max(largest, float((by_degree(coefficients.square()).sqrt() @ factor + 2 * mass * rest).max()))
    return largest


class NetworkRow(NamedTuple):
    """A network's output on one grid: relative error expected and measured (median over random rotations)."""

    output: str
    grid: str
    size: int
    predicted: float
    measured: float


def network_rows(model: Ponita, graphs: Graphs, prediction: Prediction,
                 sizes: Mapping[str, Sequence[int]] = SIZES, rotations: int = 8) -> list[NetworkRow]:
    """Errors of all outputs on all grids, beside what was predicted."""
    rows = []
    for name, members in sizes.items():
        for n in members:
            grid = make_grid(name, n)
            found = errors_on(grid, [model], graphs, rotations)
            rows += [NetworkRow(key, name, n, prediction.error(grid, key), found[key][0]) for key in found]
    return rows


def study(model: Ponita, graphs: Graphs, sizes: Mapping[str, Sequence[int]] = SIZES,
          layer_grids: Sequence[tuple[str, int]] = (("fibonacci", 12), ("lebedev", 26), ("lebedev", 50)),
          rotations: int = 8, fine: int = FINE, degree: int = DEGREE, wanted: float = 0.01) -> dict[str, Any]:
    """All of a network: bandwidths (99 % of the power), layers and outputs by prediction and measured, N for an error.

    ``off`` are the factors between measured and predicted errors of the network: their geometric mean and extremes.
    """
    prediction = predict(model, graphs, fine, degree)
    rows = network_rows(model, graphs, prediction, sizes, rotations)
    layers = layer_rows(model, graphs, [make_grid(*grid) for grid in layer_grids], rotations, fine, degree)
    factors = [math.log(row.measured / row.predicted) for row in rows]
    return {
        "bandwidth": {"spherical kernels": [bandwidth(p) for p in fiber_power(model)],
                      "spatial kernels": [bandwidth(p) for p in spatial_power(model, graphs)],
                      "integrated": [bandwidth(block.power[:-1]) for block in prediction.blocks]},
        "gains": prediction.gains, "layers": [row._asdict() for row in layers],
        "network": [row._asdict() for row in rows],
        "off": {"mean": math.exp(sum(factors) / len(factors)), "least": math.exp(min(factors)),
                "most": math.exp(max(factors))},
        "enough": {f"{key}, {family}": prediction.enough(wanted, key, family)
                   for key in prediction.readouts for family in ("fibonacci", "lebedev")},
    }


def quick() -> dict[str, Any]:
    """``study`` of the untrained network on few grids, for the notebook."""
    return study(*untrained(), sizes={"fibonacci": (8, 20, 60), "lebedev": (14, 50)}, rotations=4, fine=302, degree=14,
                 layer_grids=(("fibonacci", 12), ("lebedev", 26)))


def kink_laws(sizes: Sequence[int] = (14, 26, 38, 50, 86, 110, 146, 194), networks: int = 3, fine: int = 590,
              degree: int = 26) -> list[dict[str, Any]]:
    """The first layer's error by the law against N, as power of N, with |r_⊥| and with |r_⊥|² in its place."""
    laws = []
    for label, smooth in (("|r_⊥|, with a kink", False), ("|r_⊥|², smooth", True)):
        spectra = []
        for seed in range(networks):
            sphere = on_sphere(*untrained(smooth, seed), make_grid("lebedev", fine))
            spectra.append(Spectrum(*block_power(sphere.blocks[0], sphere.grid, degree)))
        errors = [[spectrum.error(make_grid("lebedev", n)) for spectrum in spectra] for n in sizes]
        power = torch.stack([s.power[:-1] / s.power[:-1].sum() for s in spectra]).mean(0)
        laws.append({**asdict(fit_law(label, sizes, errors)), "power": power.tolist()})
    return laws


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m ponita_edu.analysis.orientation_bound", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--fine", type=int, default=FINE, help="points of the Lebedev rule that stands for the sphere")
    parser.add_argument("--degree", type=int, default=DEGREE, help="highest degree that is told apart")
    parser.add_argument("--rotations", type=int, default=8)
    parser.add_argument("--kink-networks", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    began, result = time.process_time(), {}
    kinks, found = kink_laws(networks=given.kink_networks), {}
    for law in kinks:
        print(f"first layer, {law['label']}: error ~ N^({law['slope']:.2f} ± {law['error']:.2f})", flush=True)
    for name in given.networks:
        found[name] = study(*NETWORKS[name](), rotations=given.rotations, fine=given.fine, degree=given.degree)
        print(f"{name}: measured / predicted {found[name]['off']}, bandwidths {found[name]['bandwidth']}, for 1 % "
              f"{found[name]['enough']}", flush=True)
        result = {"about": "see ponita_edu/analysis/orientation_bound.py", "networks": found, "kink": kinks,
                  "processor_minutes": round((time.process_time() - began) / 60, 2), "device": "cpu", "threads": 1,
                  "command": command_line(), **facts()}
        if given.out:
            write_json(given.out, result)
    return result


if __name__ == "__main__":
    main()
