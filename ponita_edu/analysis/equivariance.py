"""How equivariant a network is, in numbers: a check for any network, yours too (notebook 07).

    equivariance_error(model, graphs, "SE")                          # a Ponita, an EGNN
    equivariance_error(my_network, graphs, "E", outputs="vector")    # anything that maps a batch to tensors

``equivariance_table`` makes the table of errors by grid and size.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.groups import Motion
from ponita_edu.nn.prediction import Prediction

KINDS = ("invariant", "vector", "point")
GROUPS = ("SO", "SE", "E", "grid")


class EquivarianceError(ValueError):
    """A network is not as equivariant as was claimed; the message holds the whole report."""


@dataclass(frozen=True)
class OutputError:
    """What one output did: errors of f(g x) against g f(x), over all motions g.

    ``largest`` is max |error| in the output's own unit, ``size`` max |f(x)|; ``median`` and ``worst`` are the median
    and the maximum over motions of the relative L2 error |f(g x) - g f(x)| / |f(x)|, all rows of the batch together.
    """

    kind: str
    largest: float
    size: float
    median: float
    worst: float


@dataclass(frozen=True)
class EquivarianceReport:
    """Errors by output, and what was done to measure them; print it."""

    model: str
    motions: str
    grid: str
    numbers: str
    outputs: dict[str, OutputError]

    def excess(self) -> float:
        """The largest of max |error| / max(1, max |f(x)|) over outputs: what ``assert_equivariant`` compares."""
        return max(o.largest / max(1.0, o.size) for o in self.outputs.values())

    def __str__(self) -> str:
        head = f"{'output':<12}{'kind':<11}{'max |error|':>12}{'max |f(x)|':>12}{'rel. median':>13}{'rel. max':>10}"
        rows = [f"{name:<12}{o.kind:<11}{o.largest:>12.1e}{o.size:>12.1e}{o.median:>13.1e}{o.worst:>10.1e}"
                for name, o in self.outputs.items()]
        return "\n".join([
            f"{self.model}: f(g x) against g f(x)",
            f"moved: {self.motions}",
            "convention: points R p + b, vectors R v (R on columns; rows are multiplied as v @ R.T), invariants as is",
            f"grid: {self.grid}",
            f"numbers: {self.numbers}",
            head, *rows,
        ])


Model = Callable[[Graphs], Prediction | Tensor | Mapping[str, Tensor]]


def equivariance_error(
    model: Model,
    graphs: Graphs,
    motions: Motion | Float[Tensor, "*k dim dim"] | str = "SE",
    move_grid: bool = False,
    *,
    outputs: str | Mapping[str, str] | None = None,
    count: int = 8,
    seed: int = 0,
    dtype: torch.dtype | None = torch.float64,
) -> EquivarianceReport:
    r"""Compare f(g x) with g f(x): g moves positions and vectors of the batch, and vectors and points of the result.

    All graphs of the batch are moved by the same g. For a network with a grid two claims must be told apart:
    *exact* (``move_grid=True``, or ``motions="grid"``) and *approximate* (any other motion while the grid stays).

    Args:
        model: any map from a batch to a ``Prediction``, a tensor, or a dict of tensors. An ``nn.Module`` is copied,
            set to eval mode and cast to ``dtype``; anything else is called as it is.
        graphs: the batch, cast to ``dtype`` too.
        motions: a ``Motion`` (one, or a batch of k), rotations [k, dim, dim], or a name: ``SO`` rotations, ``SE``
            rotations and translations, ``E`` reflections as well (every second one, and a single one), each ``count``
            random ones from ``seed``; ``grid`` all rotations that permute the model's own grid.
        move_grid: turn the model's grid by the same R (and put it back afterwards).
        outputs: what the outputs are, ``invariant``, ``vector`` or ``point``: one word for all, or a dict by name.
            Not needed for a ``Prediction``.
        dtype: None leaves model and batch as they are (rounding of float32 is about 1e-6).

    Raises:
        ValueError: on an unknown name, motions of another dimension, a model without a grid where one is needed, or
            outputs whose kind is not said or does not fit their shape.
    """
    if not isinstance(graphs, Graphs):
        raise ValueError(f"graphs must be a Graphs batch, but is a {type(graphs).__name__}. "
                         "Build one with Graphs(pos, x, edge_index, batch).")
    if not callable(model):
        raise ValueError(f"model must be a network or a function of a batch, but is a {type(model).__name__}. "
                         "Pass the model itself, and the batch as graphs.")
    name = type(model).__name__ if isinstance(model, nn.Module) else getattr(model, "__name__", type(model).__name__)
    if isinstance(model, nn.Module):
        model = copy.deepcopy(model).eval()
        model = model if dtype is None else model.to(dtype)
    graphs = graphs if dtype is None else graphs.to(dtype)
    carriers = _with_grid(model)
    permuting = isinstance(motions, str) and motions == "grid"
    if not carriers and (move_grid or permuting):
        raise ValueError(f"model {name} has no grid of its own (no set_grid, or a point-cloud network), so there is "
                         "none to move or to take symmetries from. Use motions='SO', 'SE' or 'E' and move_grid=False.")
    motion, described = _as_motions(motions, graphs.dim, carriers, count, seed)

    def run(batch: Graphs) -> dict[str, tuple[str, Tensor]]:
        return _named(_call(model, batch, name), outputs, graphs.dim)

    before = run(graphs)
    errors: dict[str, list[tuple[float, float]]] = {key: [] for key in before}
    for g in motion:
        with _turned(carriers if move_grid else [], g.rotation):
            after = run(graphs.moved(g))
        for key, (kind, value) in before.items():
            act = {"invariant": torch.clone, "vector": g.on_vectors, "point": g.on_points}[kind]
            difference = after[key][1] - act(value)
            # of an output that is 0 everywhere, the relative error is the absolute one
            errors[key].append((float(difference.abs().max()), float(difference.norm() / (value.norm() or 1.0))))
    found = {}
    for key, (kind, value) in before.items():
        largest, relative = torch.tensor(errors[key], dtype=torch.float64).T
        found[key] = OutputError(kind, float(largest.max()), float(value.abs().max()), float(relative.median()),
                                 float(relative.max()))
    place = "none"
    if carriers:
        claim = ("moved too: an exact claim" if move_grid else "in place, and moved onto itself: an exact claim"
                 if permuting else "in place: an approximate claim")
        place = f"{carriers[0].grid!r} {claim}"
    cast = "" if dtype is None else (", batch and a copy of the model cast" if isinstance(model, nn.Module) else
                                     ", batch cast, model called as it is")
    return EquivarianceReport(name, described, place, f"{graphs.pos.dtype}{cast}", found)


def assert_equivariant(
    model: Model,
    graphs: Graphs,
    motions: Motion | Float[Tensor, "*k dim dim"] | str = "SE",
    move_grid: bool = False,
    *,
    tol: float = 1e-12,
    outputs: str | Mapping[str, str] | None = None,
    count: int = 8,
    seed: int = 0,
    dtype: torch.dtype | None = torch.float64,
) -> EquivarianceReport:
    """``equivariance_error``, which must not exceed max |error| <= tol * max(1, max |f(x)|) in any output.

    Returns:
        the report.

    Raises:
        EquivarianceError: with the report, if an output is off by more; ValueError on bad input.
    """
    if not tol > 0:
        raise ValueError(f"tol must be positive, but is {tol}. Use 1e-12 in float64, about 1e-5 in float32.")
    report = equivariance_error(model, graphs, motions, move_grid, outputs=outputs, count=count, seed=seed, dtype=dtype)
    if not report.excess() <= tol:  # NaN is a failure too
        hint = ""
        if "approximate" in report.grid:
            hint = ("\nThe grid stayed in place, so the claim is approximate: use move_grid=True or motions='grid' for "
                    "the exact one, or a larger tol.")
        raise EquivarianceError(f"not equivariant: max |error| / max(1, max |f(x)|) is {report.excess():.2g}, allowed "
                                f"is {tol:g}.\n{report}{hint}")
    return report


def _with_grid(model: Any) -> list[Any]:
    parts = model.modules() if isinstance(model, nn.Module) else [model]
    return [part for part in parts if hasattr(part, "set_grid") and getattr(part, "grid", None) is not None]


@contextmanager
def _turned(carriers: Sequence[Any], rotation: Tensor) -> Iterator[None]:
    grids = [part.grid for part in carriers]
    try:
        for part, grid in zip(carriers, grids, strict=True):
            part.set_grid(grid.rotated(rotation))
        yield
    finally:
        for part, grid in zip(carriers, grids, strict=True):
            part.set_grid(grid)


def _as_motions(motions: Any, dim: int, carriers: Sequence[Any], count: int, seed: int) -> tuple[Motion, str]:
    if isinstance(motions, str):
        if motions not in GROUPS:
            raise ValueError(f"motions must be a Motion, rotations [k, {dim}, {dim}] or one of {', '.join(GROUPS)}; "
                             f"got {motions!r}. Use 'SE' for random rotations and translations.")
        if motions == "grid":
            rotation = carriers[0].grid.symmetries()[0]
            if len(rotation) == 1:
                raise ValueError("motions='grid' needs a grid that some rotation maps on itself, but "
                                 f"{carriers[0].grid!r} has the identity only, which checks nothing. Use a Platonic "
                                 "or Lebedev grid, or move_grid=True.")
            return _at_rest(rotation), f"all {len(rotation)} rotations that permute the grid"
        if count < 1:
            raise ValueError(f"count must be at least 1, but is {count}. Use count=8.")
        drawn = Motion.random(count, dim, seed, translation_scale=0.0 if motions == "SO" else 1.0)
        if motions == "E":
            mirror = torch.ones(count, dim, dtype=torch.float64)
            mirror[min(1, count - 1)::2, 0] = -1.0  # a single motion is a reflection, or the claim would be that of SE
            drawn = Motion(drawn.rotation * mirror[:, None], drawn.translation)
        return drawn, f"{count} random motions of {motions}({dim}), seed {seed}"
    if isinstance(motions, Tensor):
        motions = _at_rest(motions) if motions.dim() >= 2 else motions
    if not isinstance(motions, Motion) or motions.rotation.dim() not in (2, 3) or motions.dim != dim:
        came = list((motions.rotation if isinstance(motions, Motion) else motions).shape) if isinstance(
            motions, (Motion, Tensor)) else type(motions).__name__
        raise ValueError(f"motions must hold matrices [{dim}, {dim}] or [k, {dim}, {dim}] to move this batch, but is "
                         f"{came}. Use Motion.random(8, {dim}) or a name such as 'SE'.")
    rotation = motions.rotation.detach().double().cpu().reshape(-1, dim, dim)
    if len(rotation) == 0:
        raise ValueError("motions must hold at least one motion, but is empty. Use Motion.random(8, ...).")
    u, _, vt = torch.linalg.svd(rotation)  # a float32 rotation is rounded; that is no fault of the model
    given = Motion(u @ vt, motions.translation.detach().double().cpu().reshape(-1, dim))
    mirrored = int((torch.linalg.det(rotation) < 0).sum())
    return given, f"{len(rotation)} given motions" + (f", {mirrored} of them with a reflection" if mirrored else "")


def _at_rest(rotation: Tensor) -> Motion:
    return Motion(rotation, rotation.new_zeros(rotation.shape[:-1]))


def _call(model: Model, graphs: Graphs, name: str) -> Any:
    with torch.enable_grad():  # so that a model may ask for forces
        try:
            return model(graphs)
        except RuntimeError as problem:
            if isinstance(model, nn.Module) or "dtype" not in str(problem):
                raise
            raise ValueError(f"model {name} does not take a {graphs.pos.dtype} batch ({problem}). Pass the nn.Module "
                             "itself, which is cast for you, or dtype=None.") from problem


def _named(out: Any, outputs: str | Mapping[str, str] | None, dim: int) -> dict[str, tuple[str, Tensor]]:
    if isinstance(out, Prediction):
        values, known = out._asdict(), {"scalar": "invariant", "vector": "vector"}
    elif isinstance(out, Mapping):
        values, known = dict(out), {}
    elif isinstance(out, Tensor):
        values, known = {"output": out}, {}
    else:
        raise ValueError(f"model must return a Prediction, a tensor or a dict of tensors, but returned a "
                         f"{type(out).__name__}. Wrap it: lambda graphs: {{'energy': model(graphs)[0]}}.")
    said = dict.fromkeys(values, outputs) if isinstance(outputs, str) else dict(outputs or {})
    if not said.keys() <= values.keys():
        raise ValueError(f"outputs names {sorted(said.keys() - values.keys())}, but the model returns "
                         f"{sorted(values)}. Use those names.")
    known |= said
    named = {}
    for name, value in values.items():
        kind = known.get(name)
        if kind not in KINDS:
            raise ValueError(f"outputs must say for {name!r} whether it is {', '.join(KINDS)}, but says {kind!r}. "
                             f"Use outputs={{{name!r}: 'vector'}}, or one word for all.")
        if kind != "invariant" and (value.dim() == 0 or value.shape[-1] != dim):
            raise ValueError(f"outputs says that {name!r} is a {kind}, so its last axis must be {dim}, but its shape "
                             f"is {list(value.shape)}. Use 'invariant', or give the model's output that axis.")
        if value.numel():
            named[name] = (kind, value.detach())
    if not named:
        raise ValueError(f"model must return something to compare, but its outputs are empty: "
                         f"{ {k: list(v.shape) for k, v in values.items()} }. Ask it for a scalar or a vector.")
    return named
