"""Generated molecules, judged atom by atom, and the way from noise to a molecule (notebook 12)."""

from collections.abc import Sequence
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from numpy import ndarray

from ponita_edu.molecules.stability import SYMBOLS, bond_orders, stability
from ponita_edu.viz import theme
from ponita_edu.viz.molecules import ELEMENTS
from ponita_edu.viz.scene import Scene
from ponita_edu.viz.widget import Explorer, slider, switch


def sample_scene(numbers: Int[ndarray, " atoms"], pos: Float[ndarray, "atoms 3"], title: str = "",
                 limit: float | None = None) -> Scene:
    """A molecule with the bonds of the distance rule (a rod for each order); a halo: not its valence."""
    stable = stability(numbers, pos, np.array([0, len(numbers)])).atoms
    orders = bond_orders(numbers, pos)
    symbols = [SYMBOLS[int(z)] for z in numbers]
    verdict = "all stable" if stable.all() else f"{int((~stable).sum())} without their valence, in a halo"
    scene = Scene(f"A molecule of {len(numbers)} atoms as balls and sticks: {formula(numbers)}, {verdict}.", title,
                  limit=limit)
    radii = np.array([0.1 + 0.26 * ELEMENTS[s][1] for s in symbols])
    scene.balls(pos, radii, [ELEMENTS[s][0] for s in symbols],
                hover=[f"{s}, bonds {n}" for s, n in zip(symbols, orders.sum(1), strict=True)])
    # even if none: the number of traces stays, and a browser only has to change them
    scene.balls(pos[~stable], radii[~stable] + 0.16, theme.PURPLE, opacity=0.4, name="without its valence")
    i, j = np.nonzero(np.triu(orders))
    order = orders[i, j]
    bond = np.repeat(np.arange(len(order)), order)  # one rod for each order
    place = np.arange(len(bond)) - np.repeat(order.cumsum() - order, order)
    shift = 0.13 * (place - (order[bond] - 1) / 2)[:, None] * _sideways(pos[j] - pos[i])[bond]
    return scene.rods(pos[i[bond]] + shift, pos[j[bond]] + shift, 0.07 / order[bond]**0.5, "#9a9a9a")


def formula(numbers: Int[ndarray, " atoms"]) -> str:
    """C first, then H, then the others: "C2H6O"."""
    counts = {SYMBOLS[z]: int((numbers == z).sum()) for z in (6, 1, 7, 8, 9)}
    return "".join(f"{s}{n if n > 1 else ''}" for s, n in counts.items() if n)


def gallery(numbers: Int[ndarray, " atoms"], pos: Float[ndarray, "atoms 3"], offsets: Int[ndarray, " bounds"],
            columns: int = 4, rows: int = 2) -> Figure:
    """The first molecules side by side; see ``sample_scene``."""
    figure = Figure(figsize=(2.4 * columns, 2.6 * rows), dpi=theme.DPI, layout="constrained")
    for k, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        if k + 1 >= len(offsets):
            axes.axis("off")
            continue
        mine = slice(offsets[k], offsets[k + 1])
        sample_scene(numbers[mine], pos[mine]).matplotlib(axes)
        good = stability(numbers[mine], pos[mine], np.array([0, mine.stop - mine.start])).molecules[0]
        axes.set_title(f"{formula(numbers[mine])}, {'stable' if good else 'not stable'}", fontsize=10,
                       color=theme.GOOD_WORD if good else theme.BAD_WORD)
    return figure


class Frame(NamedTuple):
    """A moment of a diffusion: elements, places (Å), and words for the amount of noise."""

    numbers: Int[ndarray, " atoms"]
    pos: Float[ndarray, "atoms 3"]
    words: str


class DiffusionViewer(Explorer):
    """One molecule on its way to noise or from it, with a slider and a player.

    Args:
        frames: at least two moments of equally many atoms.

    Raises:
        ValueError: on fewer frames.
    """

    explanation = ("A cloud of atoms at one moment of its diffusion: light grey H, dark grey C, blue N, orange O, "
                   "green F. Rods are bonds by the distance rule alone, halos mark atoms without their valence, and "
                   "the black dot is the centre of mass, which never moves. The picture follows the size of the "
                   "cloud, unless you hold it still. Drag it to turn it.")

    def __init__(self, frames: Sequence[Frame]):
        if len(frames) < 2:
            raise ValueError(f"frames must hold at least two moments, but holds {len(frames)}.")
        self._frames = list(frames)
        last = len(frames) - 1
        play = widgets.Play(value=0, min=0, max=last, interval=150)
        step = slider("step", 0, 0, last)
        step.readout_format = "d"
        super().__init__({"play": play, "step": step, "still": switch("hold the picture still")})
        widgets.jslink((play, "value"), (step, "value"))

    @property
    def frame(self) -> Frame:
        """The chosen moment."""
        return self._frames[round(self.step.value)]

    @property
    def limit(self) -> float:
        """Half the width of the picture."""
        reach = [float(np.linalg.norm(f.pos, axis=1).max()) for f in self._frames]
        return 0.6 + (min(reach) if self.still.value else reach[round(self.step.value)])

    def scene(self) -> Scene:
        return diffusion_scene(self.frame, self.limit)

    def report(self) -> str:
        numbers, pos, words = self.frame
        stable = stability(numbers, pos, np.array([0, len(numbers)])).atoms
        return (f"<b>{words}</b><br>stable atoms: {int(stable.sum())} of {len(numbers)}<br>"
                f"width of the cloud: {np.sqrt(np.square(pos).sum(1).mean()):.2f} Å<br>"
                f"width of the picture: {2 * self.limit:.1f} Å<br>"
                f"centre of mass: {np.abs(pos.mean(0)).max():.0e} Å from the origin")


def diffusion_scene(frame: Frame, limit: float | None = None) -> Scene:
    """The cloud of a moment with its centre of mass."""
    return sample_scene(frame.numbers, frame.pos, frame.words, limit).points(np.zeros((1, 3)), theme.BLACK, 5)


def _sideways(direction: Float[ndarray, "bonds 3"]) -> Float[ndarray, "bonds 3"]:
    """Unit vectors across the bonds, about upright in the picture."""
    side = np.cross(direction, np.array([0.35, 0.9, 0.25]))
    return side / np.linalg.norm(side, axis=1, keepdims=True).clip(1e-9)
