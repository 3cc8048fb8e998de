"""A widget around a pair of points: its numbers, orbit, motions and collisions (notebooks 01 and 02)."""

import math

import ipywidgets as widgets
import torch
from jaxtyping import Float64
from torch import Tensor

from ponita_edu.analysis.attribute_sets import ATTRIBUTE_SETS, get_set
from ponita_edu.analysis.bijectivity import Collision, collision, fiber
from ponita_edu.analysis.pairs import SPACES, Pair, get_space
from ponita_edu.geometry.groups import Motion, axis_angle, random_rotations, rotation_2d
from ponita_edu.viz.pair_scenes import ROUNDING, Number, compare_numbers, numbers_html, pair_scene
from ponita_edu.viz.scene import Scene
from ponita_edu.viz.widget import Explorer, button, choice, slider, switch

__all__ = ["PairExplorer", "compare_numbers", "frame_from_angles", "motion_in_sight", "numbers_html", "pair_scene"]

WORDS = {
    "r2": "distance",
    "r3": "distance",
    "r2s1": "angle (complete)",
    "r2s1_cosine": "cosine only",
    "r3s2_triple": "paper's three",
    "r3s2_separable": "separable product",
    "r3s2_e3": "four of E(3)",
    "r3s2_se3": "five of SE(3)",
    "se2": "relative motion",
    "se3": "relative motion",
}


def frame_from_angles(dim: int, azimuth: int | float, elevation: int | float = 0.0, roll: int | float = 0.0
                      ) -> Float64[Tensor, "d d"]:
    """The rotation whose first column looks along azimuth and elevation, then rolled about it; angles in degrees."""
    azimuth, elevation, roll = (torch.tensor(math.radians(a), dtype=torch.float64) for a in (azimuth, elevation, roll))
    if dim == 2:
        return rotation_2d(azimuth)
    x, y, z = torch.eye(3, dtype=torch.float64)
    return axis_angle(z, azimuth) @ axis_angle(y, -elevation) @ axis_angle(x, roll)


def motion_in_sight(pair: Pair, seed: int) -> Motion:
    """A random motion that leaves the middle of the pair near the origin, so that it stays in the picture."""
    generator = torch.Generator().manual_seed(seed)
    dim = len(pair.pos_t)
    rotation = random_rotations(1, dim, generator=generator)[0]
    middle = 0.35 * (2 * torch.rand(dim, generator=generator, dtype=torch.float64) - 1)
    return Motion(rotation, middle - rotation @ (0.5 * (pair.pos_t + pair.pos_s)))


class PairExplorer(Explorer):
    """Two points with orientations, the numbers of the pair, its motions, orbit and collisions."""

    explanation = (
        "Blue: the receiver, kept at the origin until you move the pair. Orange: the sender. Arrows are orientations. "
        "Place both with the sliders (points in a 3D picture cannot be dragged; dragging turns the view). Green: the "
        "orbit, all places where motions that keep the receiver can take the sender; none if the receiver is a full "
        "frame. <i>Random motion</i> moves all, and no number changes. <i>Find a collision</i> looks for another pair "
        "(purple) with the same chosen numbers that no motion makes equal to this one. <i>Spin o_s</i> turns the "
        "sender's arrow about the receiver's: the paper's three numbers cannot see it.")

    def __init__(self, space: str = "r3s2", numbers: str | None = None):
        self._motion: Motion | None = None
        self._search: Collision | None = None
        self._presses = 0
        get_space(space)
        place = choice("space", [(s.title, key) for key, s in SPACES.items()], space)
        sets = choice("numbers", _sets(space), numbers)
        place.observe(self._offer_sets, names="value")  # before the base class draws
        self._sets = sets
        super().__init__({
            "space": place,
            "numbers": sets,
            "x": slider("sender x", 1.0, -1.2, 1.2, 0.05),
            "y": slider("sender y", 0.5, -1.2, 1.2, 0.05),
            "z": slider("sender z", 0.7, -1.2, 1.2, 0.05),
            "sender_azimuth": slider("o_s azimuth", 100, -180, 180, 5, "degrees"),
            "sender_elevation": slider("o_s elevation", 25, -90, 90, 5, "degrees"),
            "sender_roll": slider("o_s roll", 0, -180, 180, 5, "degrees"),
            "receiver_azimuth": slider("o_t azimuth", 0, -180, 180, 5, "degrees"),
            "receiver_elevation": slider("o_t elevation", 90, -90, 90, 5, "degrees"),
            "receiver_roll": slider("o_t roll", 0, -180, 180, 5, "degrees"),
            "spin": slider("spin o_s", 0, 0, 360, 5, "degrees about o_t"),
            "show_orbit": switch("draw the orbit", True),
            "mirror": switch("mirror images are different pairs"),
            "motion": button("Random motion", "random"),
            "collide": button("Find a collision", "search"),
            "back": button("Undo both", "arrow-left"),
        })
        self.motion.on_click(lambda _: self._move())
        self.collide.on_click(lambda _: self._find())
        self.back.on_click(lambda _: self._forget())
        self._arrange()

    # ------------------------------------------------------------------------------------------------ present values
    def placed(self) -> Pair:
        """The pair that the sliders describe, before it is spun or moved."""
        space = get_space(self.space.value)
        d, columns = space.dim, space.columns
        sender = torch.tensor([self.x.value, self.y.value, self.z.value][:d], dtype=torch.float64)
        frames = [frame_from_angles(d, a.value, e.value, r.value)[:, :columns] for a, e, r in (
            (self.receiver_azimuth, self.receiver_elevation, self.receiver_roll),
            (self.sender_azimuth, self.sender_elevation, self.sender_roll))]
        return Pair(space.key, torch.zeros(d, dtype=torch.float64), sender, *frames)

    def spun(self) -> Pair:
        """The same with o_s turned about o_t (R³×S² only)."""
        pair = self.placed()
        if pair.space != "r3s2" or self.spin.value == 0:
            return pair
        return fiber(pair, torch.tensor(math.radians(self.spin.value), dtype=torch.float64))

    def pairs(self) -> tuple[Pair, Pair, tuple[str, str] | None]:
        """The pair to compare with, the pair now, and words for the two, None where they are the same."""
        start, now, words = self.placed(), self.spun(), None
        if self._search is not None and self._search.found:
            return self._moved(now), self._moved(self._search.other), ("orange", "purple")
        if self._motion is not None:
            words = ("before", "moved")
        elif self.spin.value and start.space == "r3s2":
            words = ("spin 0", "spun")
        return (now if self._motion is not None else start), self._moved(now), words

    def scene(self) -> Scene:
        start, now, words = self.pairs()
        found = words == ("orange", "purple")
        return pair_scene(start if found else now, other=now if found else None,
                          before=self.spun() if self._motion is not None else None, show_orbit=self.show_orbit.value,
                          free=self.spin.value != 0, title=f"a pair in {get_space(now.space).title}")

    def report(self) -> str:
        attribute_set = get_set(self.numbers.value)
        start, now, words = self.pairs()
        numbers = compare_numbers(attribute_set, start, now)
        lines = [numbers_html(numbers, words)]
        if words is not None:
            largest = max(abs(n.change) for n in numbers if n.chosen)
            small = f"{largest:.0e} (rounding)" if largest < ROUNDING else f"{largest:.3f}"
            lines.append(f"<b>Largest change of a chosen number: {small}</b>")
        if self._search is not None:
            lines.append(self._verdict(self._search, numbers))
        return "".join(f"<div style='margin-bottom:6px;line-height:1.3'>{line}</div>" for line in lines)

    def _verdict(self, search: Collision, numbers: list[Number]) -> str:
        group = f"{self._group()}({get_space(self.space.value).dim})"
        if not search.found:
            return (f"<b>No collision found.</b> {search.starts} random starts; {search.solved} were led to these "
                    f"numbers, and each was this pair moved by {group}, within {search.residual:.0e}.")
        seen = ", ".join(n.label for n in numbers if not n.chosen and not n.stays)
        return (f"<b>Collision.</b> The best motion in {group} leaves {search.residual:.2f} between the two pairs. "
                + (f"Seen by: {seen}." if seen else "Only a reflection makes them equal: no number here sees it."))

    # ------------------------------------------------------------------------------------------------------- actions
    def reset(self) -> None:
        self._motion = self._search = None
        self._presses = 0
        super().reset()

    def _move(self) -> None:
        self._presses += 1
        self._motion = motion_in_sight(self.spun(), self._presses)
        self.redraw()

    def _find(self) -> None:
        self._presses += 1
        self._search = collision(get_set(self.numbers.value), self.spun(), seed=self._presses, group=self._group())
        self.redraw()

    def _forget(self) -> None:
        self._motion = self._search = None
        self.redraw()

    def _moved(self, pair: Pair) -> Pair:
        return pair if self._motion is None else pair.moved(self._motion)

    def _group(self) -> str:
        own = get_set(self.numbers.value).group
        return "SE" if self.mirror.value else own

    def _offer_sets(self, change: dict) -> None:
        self._motion = None  # of another dimension, perhaps
        self._sets.options = _sets(change["new"])

    def _changed(self, change: dict) -> None:
        if change["owner"] is not self.show_orbit:
            self._search = None  # it belonged to another pair or another set
        super()._changed(change)

    def _draw(self) -> None:
        space = get_space(self.space.value)
        if self.pictures and space.dim != self._dim:
            self.pictures[0]._drawn = None  # a flat picture needs other axes: draw it from the beginning
        self._dim = space.dim
        for names, wanted in (
            (("z",), space.dim == 3),
            (("sender_azimuth", "receiver_azimuth"), space.columns > 0),
            (("sender_elevation", "receiver_elevation"), space.columns > 0 and space.dim == 3),
            (("sender_roll", "receiver_roll"), space.columns == 3),
            (("spin", "mirror"), space.key == "r3s2"),
        ):
            for name in names:
                self._controls[name].layout.display = "flex" if wanted else "none"
        super()._draw()

    def _arrange(self) -> None:
        """Numbers and buttons in a column of their own, beside the picture."""
        row = self.children[0]
        side, stage = row.children
        buttons = (self.motion, self.collide, self.back)
        side.children = [c for c in side.children if c not in (*buttons, self.report_box)]
        side.layout.width = "240px"
        stage.layout.flex, stage.layout.min_width = "1 1 300px", "300px"
        column = widgets.VBox([*buttons, self.report_box], layout={"width": "240px", "flex": "0 0 auto"})
        row.children = (side, stage, column)


def _sets(space: str) -> list[tuple[str, str]]:
    return [(WORDS[name], name) for name, s in ATTRIBUTE_SETS.items() if s.space == space]
