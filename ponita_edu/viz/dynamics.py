"""A molecule that moves: molecular dynamics frame by frame (notebook 10)."""

import ipywidgets as widgets
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ponita_edu.molecules.calculator import Run
from ponita_edu.viz import theme
from ponita_edu.viz.molecules import molecule_scene
from ponita_edu.viz.scene import Scene
from ponita_edu.viz.widget import Explorer, slider, switch

ARROW = 0.03  # ps: how far an atom at its present velocity goes in that time is how long its arrow is


def moment_scene(symbols: tuple[str, ...], run: Run, frame: int, velocities: bool = False, trail: int = 0,
                 limit: float | None = None) -> Scene:
    """The molecule at one moment of a run, around its mean place; see ``molecule_scene``.

    Args:
        velocities: arrows, as long as the way that the atoms would go in 30 fs.
        trail: how many frames back the ways of the atoms are drawn.

    Raises:
        ValueError: on a frame out of range.
    """
    if not 0 <= frame < len(run.time):
        raise ValueError(f"frame must be from 0 to {len(run.time) - 1}, but is {frame}.")
    pos = _centred(run.pos)
    scene = molecule_scene(
        symbols, pos[frame], title=f"t = {1000 * run.time[frame]:.0f} fs", limit=reach(run) if limit is None else limit,
        arrows={"velocities": (ARROW * run.vel[frame], theme.GREEN, 4)} if velocities else None,
        alt=f"A molecule of {len(symbols)} atoms as balls and sticks, {1000 * run.time[frame]:.0f} fs after the start "
            f"of its dynamics{', with its velocities as arrows' if velocities else ''}.")
    if trail and frame:
        way = pos[max(0, frame - trail) : frame + 1]
        scene.lines(list(way.transpose(1, 0, 2)), theme.SKY, width=2)
    return scene


def reach(run: Run) -> float:
    """Half the width of a picture that no atom leaves during the whole run."""
    return 0.5 + float(np.linalg.norm(_centred(run.pos), axis=-1).max())


def _centred(pos: Float[ndarray, "frames atoms 3"]) -> Float[ndarray, "frames atoms 3"]:
    return pos - pos.mean(axis=(0, 1))


class MoleculePlayer(Explorer):
    """A run of molecular dynamics with a time slider and a player.

    Args:
        symbols: of the atoms.
        run: from ``molecules.calculator.dynamics``; some hundred frames at most, a few femtoseconds apart.

    Raises:
        ValueError: on fewer than two frames, or other atoms than symbols.
    """

    explanation = ("A molecule moved by the forces of a network: light grey H, dark grey C, blue N, orange O. Press "
                   "play, or drag the time. Blue lines: where the atoms were just before. Green arrows: how fast they "
                   "are. Rods join atoms that are near enough for a bond. Drag the picture to turn it.")

    def __init__(self, symbols: tuple[str, ...], run: Run):
        if len(run.time) < 2 or run.pos.shape[1] != len(symbols):
            raise ValueError(f"run must hold at least two frames of {len(symbols)} atoms, one for each symbol, but its "
                             f"positions have shape {list(run.pos.shape)}.")
        self._symbols, self._run, self._limit = tuple(symbols), run, reach(run)
        last = len(run.time) - 1
        play = widgets.Play(value=0, min=0, max=last, interval=100)
        frame = slider("time", 0, 0, last)
        super().__init__({"play": play, "frame": frame, "trail": slider("trail", 10, 0, 40, unit="frames"),
                          "velocities": switch("velocities")})
        widgets.jslink((play, "value"), (frame, "value"))

    def scene(self) -> Scene:
        return moment_scene(self._symbols, self._run, round(self.frame.value), self.velocities.value,
                            round(self.trail.value), self._limit)

    def report(self) -> str:
        run, k = self._run, round(self.frame.value)
        off = 1000 * (run.energy[k] - run.energy[0]) / len(self._symbols)
        return (f"<b>{1000 * run.time[k]:.1f} fs</b><br>temperature: {run.temperature[k]:.0f} K<br>"
                f"total energy since the start: {off:+.3f} meV an atom")
