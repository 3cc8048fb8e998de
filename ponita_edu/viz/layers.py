"""The function on the sphere at one particle, step by step through a network (notebook 06)."""

import copy
import math
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.colors import to_hex
from torch import Tensor

from ponita_edu.analysis.cost import signals
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import Grid
from ponita_edu.geometry.groups import axis_angle
from ponita_edu.nn.ponita import Ponita
from ponita_edu.viz import theme
from ponita_edu.viz.lifts import on_sphere
from ponita_edu.viz.scene import Scene, as_array
from ponita_edu.viz.shapes import unit_sphere
from ponita_edu.viz.widget import Explorer, slider, switch

READOUT = "readout"
AXIS = (1.0, 2.0, 3.0)  # of the turns; no axis of symmetry of any grid
AROUND = 1.5  # how far from the centre the other particles are drawn


@dataclass(frozen=True)
class Layers:
    """The functions at all nodes: at each step of a network, on its own grid and, with the same weights, on a fine one.

    The last step, ``readout``, has one channel: the function that is read out as the first vector.
    """

    graphs: Graphs
    grid: Grid
    own: dict[str, Float[Tensor, "nodes N channels"]]
    fine: dict[str, Float[Tensor, "nodes M channels"]]
    vector: Float[Tensor, "nodes 3"]

    def channel(self, step: str, channel: int) -> int:
        """The channel itself, or 0 where there is but one."""
        return channel if step != READOUT else 0


def layers(model: Ponita, graphs: Graphs, fine: Ponita | None = None) -> Layers:
    """Run a network on the bundle over R³ with vectors out, and keep its functions on the sphere.

    Args:
        fine: `refined(model)`, where it is there already.

    Raises:
        ValueError: as `refined`.
    """
    fine = fine or refined(model)
    with torch.no_grad():
        return Layers(graphs, model.grid, _steps(model, graphs), _steps(fine, graphs), model(graphs).vector[:, 0])


def refined(model: Ponita) -> Ponita:
    """A copy with the same weights on the fine grid.

    Raises:
        ValueError: if the network has no orientations in 3D, or no vectors out.
    """
    c = model.config
    if model.grid is None or c.dim != 3 or c.vectors_out == 0 or c.level != "node":
        raise ValueError("model must have space 'bundle', dim 3, level 'node' and vectors_out of at least 1, but its "
                         f"config is {c}. Build it with PonitaConfig(..., vectors_out=1).")
    fine = copy.deepcopy(model)
    fine.set_grid(fine_grid())
    return fine


def _steps(model: Ponita, graphs: Graphs) -> dict[str, Tensor]:
    kept = signals(model, graphs)
    hidden = [kept[f"block {k}"] for k in range(1, len(model.blocks) + 1)][-len(model.readouts):]
    read = sum(readout(h) for readout, h in zip(model.readouts, hidden, strict=True)) / len(hidden)
    return kept | {READOUT: read[..., model.config.scalars_out :][..., :1].detach()}


@lru_cache
def fine_grid() -> Grid:
    """162 directions, weighted by their Voronoi cells: the corners of the drawn sphere."""
    grid = Grid.from_points(unit_sphere(2)[0])
    areas = grid.voronoi_areas()
    return Grid.from_points(grid.points, areas / areas.sum(), "fine")


def degree_shares(signal: Float[Tensor, "*nodes M channels"], grid: Grid) -> Float[Tensor, "3"]:
    """Which part of the mean square over the sphere is of degree 0, of degree 1, and of higher degrees.

    The parts of degree 0 and 1 are the least squares fit of c + b.o; all nodes and channels together. A function that
    is 0 everywhere has no parts: all three are 0.
    """
    f = signal.double().movedim(-2, -1).reshape(-1, len(grid))
    left = [(grid.weights * (f - _fit(f, grid, degree)).square()).sum() for degree in (0, 1)]
    total = (grid.weights * f.square()).sum()
    parts = torch.stack((total - left[0], left[0] - left[1], left[1])).clamp(min=0)  # no -0.0 % of rounding
    return parts / (total or 1.0)


def _fit(f: Float[Tensor, "rows M"], grid: Grid, degree: int) -> Float[Tensor, "rows M"]:
    """The function of at most this degree that is nearest in the mean square over the grid."""
    basis = torch.cat((torch.ones(len(grid), 1, dtype=torch.float64), grid.points), dim=1)[:, : 1 + 3 * degree]
    q = torch.linalg.qr(grid.weights.sqrt()[:, None] * basis).Q / grid.weights.sqrt()[:, None]
    return (f * grid.weights) @ q @ q.T


def layer_scene(state: Layers, step: str, node: int = 0, channel: int = 0, finer: bool = False) -> Scene:
    """The function at one node after one step, as colour on the sphere; discs are the network's own samples.

    Around it: the other particles of its graph (direction true, distance not), the node's first vector, and at the
    readout the predicted vector, with the end of the true one if the graphs have it. ``finer`` takes out the function
    of degree 0 and 1 that is nearest.
    """
    graphs, k = state.graphs, state.channel(step, channel)
    fine, own = (a[step][node, :, k].double() for a in (state.fine, state.own))
    reach = float(max(fine.abs().max(), own.abs().max(), 1e-12))
    if finer:
        least = 1e-3 * reach  # rounding shall not be drawn as a pattern
        fine, own = (f - _fit(f[None], grid, 1)[0] for f, grid in ((fine, fine_grid()), (own, state.grid)))
        reach = float(max(fine.abs().max(), least))
    fine, own = as_array(fine), as_array(own)
    shares = degree_shares(state.fine[step][node, :, k : k + 1], fine_grid())
    what = "what is read out" if step == READOUT else f"channel {channel}"
    part = ", finer part" if finer else ""
    scene = Scene(alt=f"Sphere around particle {node}, coloured by {what}{part} after the step '{step}', from "
                      f"{fine.min():.2f} to {fine.max():.2f}; {100 * shares[2]:.0f} percent of the whole is finer than "
                      "a vector.", title=(step if step == READOUT else f"{step}, channel {channel}") + part,
                  limit=1.7, view=(40, 20))
    scene.mesh(*unit_sphere(2), values=fine, limits=(-reach, reach), label="f(o)")
    colours = [to_hex(c) for c in theme.scale_colours(own, (-reach, reach))]
    scene.points(1.03 * state.grid.points, theme.BLACK, 16, name="samples")
    scene.points(1.06 * state.grid.points, colours, 11, hover=[f"f(o) = {f:.3f}" for f in own])
    others = ((graphs.batch == graphs.batch[node]) & (torch.arange(graphs.num_nodes) != node)).nonzero()[:, 0]
    r = as_array(graphs.pos[others] - graphs.pos[node])
    distance = np.linalg.norm(r, axis=1, keepdims=True)
    away = AROUND * r / np.where(distance > 0, distance, 1)
    scene.lines(list(np.stack((away / AROUND, away), axis=1)), theme.GREY, 2)
    scene.balls(away, 0.09, [theme.POSITIVE if q > 0 else theme.NEGATIVE for q in graphs.x[others, 0].tolist()],
                hover=[f"particle {j}, {d:.2f} away" for j, d in zip(others.tolist(), distance[:, 0], strict=True)])
    if graphs.vec is not None:
        _arrow(scene, graphs.vec[node, 0], theme.GREEN, "velocity")
    if step == READOUT:
        _arrow(scene, state.vector[node], theme.BLACK, "predicted")
        if "displacement" in graphs.y_vec:
            _, tips = on_sphere(as_array(graphs.y_vec["displacement"][node])[None])
            scene.balls(tips, 0.1, theme.PURPLE, opacity=0.5, name="true end")
    return scene


def _arrow(scene: Scene, vector: Tensor, colour: str, name: str) -> None:
    feet, tips = on_sphere(as_array(vector)[None])
    scene.arrows(feet, tips - feet, colour, 7, name)


def _turn(degrees: Real) -> Float[Tensor, "3 3"]:
    axis = torch.tensor(AXIS, dtype=torch.float64)
    return axis_angle(axis / axis.norm(), torch.tensor(math.radians(degrees), dtype=torch.float64))


class LayerExplorer(Explorer):
    """Follow the function on the sphere of one particle through a network, while the input turns.

    Args:
        model: a network on the bundle over R³ with vectors out.
        graphs: one graph; charges first among its scalars, velocities first among its vectors.
        step, channel, particle: where to begin.
    """

    explanation = ("Colour on the sphere: the number that the network holds for each direction at one particle, after "
                   "the chosen step and in the chosen channel; orange positive, blue negative. Discs: the directions "
                   "that the network really keeps. The smooth colour between them comes from the same weights used on "
                   "162 directions. Small balls: where the other particles are (orange +, blue −; the distance is not "
                   "drawn). Green arrow: velocity. At the last step the black arrow is the predicted displacement, and "
                   "it should end in the purple bubble. Turn the input: the pattern turns along.")

    def __init__(self, model: Ponita, graphs: Graphs, step: int = 0, channel: int = 0, particle: int = 0):
        self._model, self._graphs = model, graphs
        self._fine = refined(model)
        self._layers = lru_cache(maxsize=32)(self._compute)
        names = list(self._layers(0.0).own)
        super().__init__({
            "step": slider("step", step, 0, len(names) - 1),
            "channel": slider("channel", channel, 0, model.config.hidden - 1),
            "particle": slider("particle", particle, 0, graphs.num_nodes - 1),
            "turn": slider("turn input", 0, 0, 360, 15, "degrees"),
            "finer": switch("only what is finer than a vector"),
        })

    def _compute(self, degrees: Real) -> Layers:
        return layers(self._model, self._graphs.rotate(_turn(degrees)), self._fine)

    def state(self) -> Layers:
        """The functions for the present turn of the input."""
        return self._layers(self.turn.value)

    def name(self) -> str:
        """The present step."""
        return list(self.state().own)[round(self.step.value)]

    def off(self) -> float:
        """How far the predicted vectors, turned back, are from those for the input at rest, relative to their size.

        Of vectors that are all 0, as for a particle alone at rest, it is the absolute error.
        """
        was, now = self._layers(0.0).vector, self.state().vector
        return float((now @ _turn(self.turn.value).to(now) - was).norm() / (was.norm() or 1.0))

    def scene(self) -> Scene:
        return layer_scene(self.state(), self.name(), round(self.particle.value), round(self.channel.value),
                           self.finer.value)

    def report(self) -> str:
        state, step = self.state(), self.name()
        node, k = round(self.particle.value), state.channel(step, round(self.channel.value))
        own, fine = state.own[step], state.fine[step][node, :, k : k + 1]
        shares = degree_shares(fine, fine_grid())
        rows = (("features", f"[{', '.join(map(str, own.shape))}]"),
                ("a scalar (degree 0)", f"{100 * shares[0]:.1f} %"),
                ("a vector (degree 1)", f"{100 * shares[1]:.1f} %"), ("finer than that", f"{100 * shares[2]:.1f} %"))
        cells = "".join(f"<tr><th scope='row' style='text-align:left;font-weight:normal'>{name}</th>"
                        f"<td style='text-align:right;padding:0 6px'>{value}</td></tr>" for name, value in rows)
        return (f"<b>{step}</b><table style='font-size:13px;line-height:1.4'>{cells}</table>"
                f"<div>prediction, turned back: off by {100 * self.off():.1f} %</div>")

    def _draw(self) -> None:
        self.channel.disabled = self.name() == READOUT  # it has but one
        super()._draw()
