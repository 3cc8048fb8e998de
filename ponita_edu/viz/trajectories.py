"""Charged particles on their way, and where networks say that they will be (notebook 09)."""

import html
from collections.abc import Iterable, Mapping
from itertools import cycle
from numbers import Real

import ipywidgets as widgets
import numpy as np
from jaxtyping import Float

from ponita_edu.viz import theme
from ponita_edu.viz.scene import Rows, Scene, as_array
from ponita_edu.viz.widget import Explorer, choice, slider

PREDICTED = (theme.PURPLE, theme.GREEN, theme.ORANGE, theme.SKY)  # first, second, ... prediction, then again


def trajectory_scene(true: Rows, charges: Rows, frame: int, predictions: Mapping[str, Rows] | None = None,
                     trail: int | None = None, time: Real | None = None, limit: Real | None = None,
                     paint: Mapping[str, str] | None = None) -> Scene:
    """Particles at one moment, with the way they came and what was predicted.

    Args:
        true: positions, [frames, particles, 3].
        charges: [particles], positive or negative.
        frame: the moment shown.
        predictions: by name, either a whole way like `true`, or one place for each particle, [particles, 3] (a
            prediction for the last frame); drawn as discs with a thin line to where the particle is at that time.
        trail: how many frames back the way is drawn; None for all.
        time: of the frame, for the title.
        limit: half the width of the picture around the mean of all positions; None fits it to the whole way.
        paint: colours of predictions by name; all others take ``PREDICTED`` in order.

    Raises:
        ValueError: on wrong shapes or a frame out of range.
    """
    true, charges = as_array(true), as_array(charges).reshape(-1)
    predictions = {name: as_array(p) for name, p in (predictions or {}).items()}
    _check(true, charges, frame, predictions)
    centre = true.reshape(-1, 3).mean(0)
    limit = _reach(true, predictions) if limit is None else limit
    colours = [theme.POSITIVE if q > 0 else theme.NEGATIVE for q in charges]
    signs = ["+" if q > 0 else "−" for q in charges]
    first = 0 if trail is None else max(0, frame - trail)

    moment = f"frame {frame}" if time is None else f"t = {time:.2f}"
    errors = {name: float(np.sqrt(((_at(p, frame) - _goal(true, p, frame)) ** 2).sum(-1)).mean())
              for name, p in predictions.items()}
    alt = (f"{len(charges)} particles in 3D at {moment} with the way they came; charges {' '.join(signs)}."
           + "".join(f" Prediction of {name}: on average {e:.2f} from the true place." for name, e in errors.items()))
    scene = Scene(alt, title=moment, limit=limit, centre=centre)
    for sign, colour in (("+", theme.POSITIVE), ("−", theme.NEGATIVE)):
        mine = [k for k, s in enumerate(signs) if s == sign]
        if mine:
            scene.balls(true[frame, mine], 0.05 * limit, colour, hover=[f"particle {k}, charge {sign}" for k in mine],
                        name=f"charge {sign}")
    scene.lines([_way(true[first : frame + 1, k]) for k in range(len(charges))], colours, width=4)
    paint = {**_painted(predictions), **(paint or {})}
    for name, p in predictions.items():
        colour = paint[name]
        places = _at(p, frame)
        scene.points(places, colour, size=10, name=name)
        scene.lines([np.stack(pair) for pair in zip(places, _goal(true, p, frame), strict=True)], colour, width=2)
        if p.ndim == 3:
            scene.lines([_way(p[first : frame + 1, k]) for k in range(len(charges))], colour, width=3, dash=True)
    return scene


class TrajectoryViewer(Explorer):
    """Trajectories with a time slider, a player, the length of the trail, and a choice of predictions.

    Args: as for `trajectory_scene`; `times` has one number per frame.
    """

    explanation = ("Balls are the particles at the chosen time, solid lines the way they came; the colour is the sign "
                   "of the charge: orange +, blue −. Discs are predictions, of the last frame, or of the chosen one "
                   "where dashed lines lead to them; thin lines join them to the true places of that time: the longer "
                   "the line, the larger the error. Drag the picture to turn it.")

    def __init__(self, true: Rows, charges: Rows, predictions: Mapping[str, Rows] | None = None, times: Rows = None):
        self._data = as_array(true), as_array(charges), dict(predictions or {})
        frames = len(self._data[0])
        self._times = None if times is None else as_array(times)
        if self._times is not None and self._times.shape != (frames,):
            raise ValueError(f"times must hold one number for each of the {frames} frames, but has shape "
                             f"{list(self._times.shape)}.")
        _check(*self._data[:2], 0, {name: as_array(p) for name, p in self._data[2].items()})
        play = widgets.Play(value=0, min=0, max=frames - 1, interval=120)
        frame = slider("time", 0, 0, frames - 1)
        frame.readout_format = "d" if self._times is None else ".0f"
        names = ["all", *self._data[2], "none"] if self._data[2] else ["none"]
        super().__init__({"play": play, "time": frame, "trail": slider("trail", frames, 0, frames),
                          "prediction": choice("prediction", names)})
        widgets.jslink((play, "value"), (frame, "value"))

    def scene(self) -> Scene:
        true, charges, predictions = self._data
        chosen = {name: p for name, p in predictions.items() if self.prediction.value in ("all", name)}
        frame = round(self.time.value)
        time = None if self._times is None else float(self._times[frame])
        return trajectory_scene(true, charges, frame, chosen, round(self.trail.value), time, self._limit,
                                _painted(predictions))  # chosen alone, a prediction keeps its colour

    @property
    def _limit(self) -> float:
        """Of the whole way and all predictions, so that the picture stands still."""
        true, _, predictions = self._data
        return _reach(true, {name: as_array(p) for name, p in predictions.items()})

    def report(self) -> str:
        true, _, predictions = self._data
        lines = [f"{html.escape(name)}: {((_at(as_array(p), -1) - true[-1]) ** 2).mean():.4f}"
                 for name, p in predictions.items()]
        return "<br>".join(["<b>Mean squared error at the last frame</b>", *lines] if lines else [])


def _reach(true: np.ndarray, predictions: Mapping[str, np.ndarray]) -> float:
    """Half the width of a picture that shows all of it, however it is turned."""
    every = np.concatenate([p.reshape(-1, 3) for p in (true, *predictions.values())])
    return 1.08 * float(np.linalg.norm(every - true.reshape(-1, 3).mean(0), axis=1).max()) or 1.0


def _painted(names: Iterable[str]) -> dict[str, str]:
    return dict(zip(names, cycle(PREDICTED), strict=False))


def _at(p: Float[np.ndarray, "..."], frame: int) -> Float[np.ndarray, "particles 3"]:
    return p[frame] if p.ndim == 3 else p


def _goal(true: np.ndarray, p: np.ndarray, frame: int) -> np.ndarray:
    """What a prediction is compared with: the same moment, or the last frame."""
    return true[frame] if p.ndim == 3 else true[-1]


def _way(path: np.ndarray) -> np.ndarray:
    return path if len(path) > 1 else np.repeat(path, 2, axis=0)


def _check(true: np.ndarray, charges: np.ndarray, frame: int, predictions: Mapping[str, np.ndarray]) -> None:
    if true.ndim != 3 or true.shape[-1] != 3:
        raise ValueError(f"true must have shape [frames, particles, 3], but has {list(true.shape)}.")
    if charges.size != true.shape[1]:
        raise ValueError(f"charges must hold one number for each of the {true.shape[1]} particles, but holds "
                         f"{charges.size}.")
    if not 0 <= frame < len(true):
        raise ValueError(f"frame must be from 0 to {len(true) - 1}, but is {frame}.")
    for name, p in predictions.items():
        if p.shape not in (true.shape, true.shape[1:]):
            raise ValueError(f"predictions[{name!r}] must have shape {list(true.shape)} (a way) or "
                             f"{list(true.shape[1:])} (the last frame), but has {list(p.shape)}.")
