"""Vectors as functions on the sphere and back, and a widget around it (notebook 04)."""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.colors import to_hex
from torch import Tensor

from ponita_edu.geometry.grids import PLATONIC_SIZES, Grid
from ponita_edu.nn.lifting import sphere_to_vector, vector_to_sphere
from ponita_edu.viz import theme
from ponita_edu.viz.grids import FAMILIES, SIZES, choose_grid, warm_up
from ponita_edu.viz.scene import Scene, as_array
from ponita_edu.viz.shapes import unit_sphere
from ponita_edu.viz.widget import Explorer, choice, slider, switch

# Directions of the four bonds of the carbon in methane, to the corners of a tetrahedron.
METHANE = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64) / math.sqrt(3)

ARROW = 0.5  # length of a drawn vector of length 1


@dataclass(frozen=True)
class Lifted:
    """Vectors, their samples on a grid, and what is read out of them."""

    grid: Grid
    vectors: Float[Tensor, "channels 3"]
    leak: Real  # a constant added to the signal
    signal: Float[Tensor, "N channels"]
    read: Float[Tensor, "channels 3"]

    @property
    def error(self) -> float:
        """|read - v| / |v| over all channels together; the absolute one if all vectors are 0."""
        return float((self.read - self.vectors).norm() / (self.vectors.norm() or 1.0))


def lift_and_read(vectors: Float[Tensor, "channels 3"], grid: Grid, leak: Real = 0.0, factor: bool = True,
                  centred: bool = False, exact: bool = False) -> Lifted:
    """Lift f(o) = v.o (+ a constant), read out sum_o w_o f(o) o, times d if ``factor``.

    Args:
        vectors: one per channel.
        leak: a constant added to every sample, as a layer with a bias would.
        factor: multiply by d = 3, which the mean of o o^T takes away.
        centred, exact: as in ``nn.lifting.sphere_to_vector``; ``exact`` needs no factor.
    """
    signal = vector_to_sphere(vectors[None], grid.points)[0] + leak
    read = sphere_to_vector(signal[None], grid.points, grid.weights, centred=centred, exact=exact)[0]
    return Lifted(grid, vectors, leak, signal, read * (3 if factor and not exact else 1))


def lift_scene(lifted: Lifted, channel: int = 0, title: str = "") -> Scene:
    """The function v.o (+ constant) as colour, its samples as discs of the same scale, and the vectors.

    Vectors stand on the sphere, ARROW times as long as they are: what went in as a line that ends in a bubble, what
    was read out as an arrow. The arrow ends in its bubble if the vector came back.
    """
    vectors, read = as_array(lifted.vectors), as_array(lifted.read)
    reach = float(np.linalg.norm(vectors[channel])) + abs(lifted.leak) or 1.0  # the largest value of the signal
    vertices, triangles = unit_sphere(3)
    values = vertices @ vectors[channel] + lifted.leak
    size = f"{len(lifted.grid)} points ({lifted.grid.name})"
    scene = Scene(alt=f"Sphere coloured by the component of a vector along each direction, sampled at {size}. What is "
                      f"read out misses the original by {100 * lifted.error:.1f} percent.",
                  title=title or f"lifted to {size}", limit=1.5, view=(85, 20))
    scene.mesh(vertices, triangles, values=values, limits=(-reach, reach), label="f(o)")
    samples = as_array(lifted.signal)[:, channel]
    colours = [to_hex(c) for c in theme.scale_colours(samples, (-reach, reach))]
    scene.points(1.02 * lifted.grid.points, theme.BLACK, 12, name="samples")  # a rim, so that pale discs are seen
    scene.points(1.04 * lifted.grid.points, colours, 8, hover=[f"f(o) = {_rounded(f)}" for f in samples])
    feet, tips = on_sphere(vectors)
    scene.lines(list(np.stack((feet, tips), axis=1)), theme.RECEIVER, 5, name="went in")
    scene.balls(tips, 0.09, theme.RECEIVER, opacity=0.45)
    feet, tips = on_sphere(read)
    return scene.arrows(feet, tips - feet, theme.SENDER, 7, "came back")


def _rounded(value: Real | Tensor) -> str:
    return f"{round(float(value), 3) + 0.0:.3f}"  # no −0.000


def on_sphere(vectors: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Feet and tips of vectors that stand on the unit sphere; a vector of length 0 stands nowhere, at the centre."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    feet = vectors / np.where(length > 1e-12, length, 1.0)
    return feet, feet + ARROW * vectors


class LiftExplorer(Explorer):
    """Lift vectors to a grid on the sphere, read them back, and see what gets lost."""

    explanation = ("Colour on the sphere: the component of the chosen vector along each direction, f(o) = v·o. Discs: "
                   "the samples that a network keeps, one per grid point. Blue line with a bubble at its end: a vector "
                   "that went in. Orange arrow: what the first moment of the samples gives back; if all went well it "
                   "ends in the bubble. Without the factor d = 3 it comes back a third as long; a constant added to "
                   "the samples leaks in if the grid's own mean is not 0; with too few points the arrow turns away.")

    def __init__(self, grid: tuple[str, int] = ("fibonacci", 12)):
        super().__init__({
            "what": choice("lift", ["one vector", "the 4 bonds of methane"]),
            "channel": choice("coloured by", [("vector 1", 0), ("vector 2", 1), ("vector 3", 2), ("vector 4", 3)]),
            "azimuth": slider("azimuth", 30, 0, 360, 5, "degrees"),
            "height": slider("elevation", 20, -90, 90, 5, "degrees"),
            "family": choice("grid", list(FAMILIES), grid[0]),
            "n": slider("points", grid[1], SIZES[0], SIZES[-1]),
            "leak": slider("add constant", 0, -3, 3, 0.25),
            "factor": switch("multiply by d = 3", True),
            "centred": switch("subtract the mean first"),
            "exact": switch("invert the frame operator"),
        })
        warm_up()

    def vectors(self) -> Float[Tensor, "channels 3"]:
        """What is lifted for the present values: methane turned along, or one unit vector."""
        a, h = math.radians(self.azimuth.value), math.radians(self.height.value)
        frame = torch.tensor([[math.cos(h) * math.cos(a), -math.sin(a), -math.sin(h) * math.cos(a)],
                              [math.cos(h) * math.sin(a), math.cos(a), -math.sin(h) * math.sin(a)],
                              [math.sin(h), 0, math.cos(h)]], dtype=torch.float64)  # its first column is the direction
        return frame[:, 0][None] if self.what.value == "one vector" else METHANE @ frame.T

    def lifted(self) -> Lifted:
        """The signal and what is read out of it for the present values."""
        return lift_and_read(self.vectors(), choose_grid(self.family.value, round(self.n.value)), self.leak.value,
                             self.factor.value, self.centred.value, self.exact.value)

    def coloured(self) -> int:
        """The number of the vector whose function is shown."""
        return min(self.channel.value, len(self.vectors()) - 1)

    def scene(self) -> Scene:
        return lift_scene(self.lifted(), self.coloured())

    def report(self) -> str:
        lifted, k = self.lifted(), self.coloured()
        went, came = lifted.vectors[k], lifted.read[k]
        error = "0 (rounding)" if lifted.error < 1e-12 else f"{100 * lifted.error:.3g} %"
        cell = "<td style='text-align:right;padding:0 5px'>{}</td>"
        rows = "".join(f"<tr><td>{name}</td>{''.join(cell.format(_rounded(x)) for x in (*v, v.norm()))}</tr>"
                       for name, v in (("went in", went), ("came back", came)))
        head = "".join(f"<th scope='col'>{name}</th>" for name in ("x", "y", "z", "length"))
        which = "" if len(lifted.vectors) == 1 else f"vector {k + 1} of {len(lifted.vectors)}"
        return (f"<b>error {error}</b><table style='font-size:13px;line-height:1.4;white-space:nowrap'>"
                f"<tr><td>{which}</td>{head}</tr>{rows}</table>")

    def _draw(self) -> None:
        self.channel.disabled = self.what.value == "one vector"
        self.n.disabled = self.family.value in PLATONIC_SIZES  # their number of points is what it is
        super()._draw()
