"""A pair of points with its orbit, and its numbers, as pure functions (notebooks 01 and 02)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ponita_edu.analysis.attribute_sets import AttributeSet, get_set
from ponita_edu.analysis.bijectivity import fiber
from ponita_edu.analysis.orbits import orbit
from ponita_edu.analysis.pairs import Pair, get_space
from ponita_edu.viz import theme
from ponita_edu.viz.scene import Scene

LIMIT = 1.75  # half the width of the picture
ARROW = 0.55  # drawn length of a unit vector
DARK = "#4d4d4d"
ROUNDING = 1e-12  # numbers that differ by less are called equal
RICHEST = {"r2": "r2", "r3": "r3", "r2s1": "r2s1", "r3s2": "r3s2_se3", "se2": "se2", "se3": "se3"}


# --------------------------------------------------------------------------------------------------------- pictures
def pair_scene(pair: Pair, other: Pair | None = None, before: Pair | None = None, show_orbit: bool = True,
               free: bool = False, title: str = "", limit: float | None = LIMIT,
               centre: Sequence[float] | None = None) -> Scene:
    """One pair: receiver blue, sender orange, the orbit of the sender under the receiver's stabiliser green.

    Args:
        other: a second pair with the same receiver, whose sender is drawn in purple.
        before: where the pair was, drawn in pale grey.
        show_orbit: draw the orbit: a circle, a sphere in R³, nothing where only the identity keeps the receiver.
        free: in R³×S², draw the circle of tips of the arrows o_s that share the paper's triple.
        title, limit, centre: as in `Scene`.

    Raises:
        ValueError: if `pair` is a batch, or the pairs lie in different spaces.
    """
    for name, p in (("pair", pair), ("other", other), ("before", before)):
        if p is not None and (p.pos_t.ndim != 1 or p.space != pair.space):
            raise ValueError(f"{name} must be a single pair in {pair.space!r}; got {p.space!r} with batch "
                             f"{list(p.pos_t.shape[:-1])}. Index it, e.g. pairs[0].")
    space, free = get_space(pair.space), free and pair.space == "r3s2"
    scene = Scene(_words(pair, other, before, show_orbit, free), title, dim=space.dim, limit=limit, centre=centre,
                  view=(-60, 22))
    if before is not None:
        _end(scene, before.pos_t, before.frame_t, theme.LIGHT, "before")
        _end(scene, before.pos_s, before.frame_s, theme.LIGHT)
    if show_orbit:
        _orbit(scene, pair, "orbit of s" if other is None and before is None and not free else "")
    if space.columns == 1:
        foot = pair.pos_t + (pair.r @ pair.ori_t) * pair.ori_t  # splits r in r·o_t and r⊥
        scene.lines(torch.stack((pair.pos_t, foot, pair.pos_s)), theme.GREY, 3)
        wide = min(float((foot - pair.pos_t).norm()), float((pair.pos_s - foot).norm())) > 0.25
        if other is None and before is None and not free:  # words would hide what is compared
            # the first one near the receiver: the orbit passes in front of the middle
            for start, end, share, text in ((pair.pos_t, foot, 0.2, "r·o_t"), (foot, pair.pos_s, 0.5, "r⊥")):
                place = start + share * (end - start) + _away(pair, start, foot)
                scene.labels(place, [text if wide else ""], DARK)
    scene.lines(torch.stack((pair.pos_t, pair.pos_s)), theme.BLACK, 2, dash=True)
    if free:
        turned = fiber(pair, torch.linspace(0, 2 * math.pi, 49, dtype=torch.float64))
        scene.lines(pair.pos_s + ARROW * turned.ori_s, theme.PURPLE, 3, name="o_s spun")
    _end(scene, pair.pos_t, pair.frame_t, theme.RECEIVER, "receiver t")
    _end(scene, pair.pos_s, pair.frame_s, theme.SENDER, "sender s")
    if other is not None:
        if float((other.pos_s - pair.pos_s).norm()) > 1e-6:
            scene.lines(torch.stack((other.pos_t, other.pos_s)), theme.PURPLE, 2, dash=True)
        _end(scene, other.pos_s, other.frame_s, theme.PURPLE, "another s", size=8)
    return scene


def _end(scene: Scene, position: Tensor, frame: Tensor, colour: str, name: str = "", size: int = 13) -> None:
    if frame.shape[-1]:
        scene.arrows(position, ARROW * frame[:, :1].T, colour, 6)
    if frame.shape[-1] > 1:  # the other axes of a frame: shorter and thinner
        scene.arrows(position, 0.6 * ARROW * frame[:, 1:].T, colour, 3)
    scene.points(position, colour, size, name=name)


def _away(pair: Pair, start: Tensor, foot: Tensor) -> Tensor:
    """From the triangle of r and its two parts outwards: where the word beside a part stands."""
    if start is foot:
        return 0.12 * torch.sign(pair.r @ pair.ori_t) * pair.ori_t
    return 0.3 * torch.nn.functional.normalize(foot - pair.pos_s, dim=0)


def _orbit(scene: Scene, pair: Pair, name: str) -> None:
    senders = orbit(pair, 120 if pair.space == "r3" else 48)
    if len(senders.pos_s) == 1:
        return
    if pair.space == "r3":
        scene.sphere(pair.pos_t, float(pair.r.norm()), theme.ORBIT, 0.15)
        scene.points(senders.pos_s, theme.ORBIT, 4, name=name)
        return
    scene.lines(senders.pos_s, theme.ORBIT, 4, closed=True, name=name)
    if pair.space == "r3s2":
        few = senders[::6][1:]
        scene.arrows(few.pos_s, 0.8 * ARROW * few.ori_s, theme.ORBIT, 2)


def _words(pair: Pair, other: Pair | None, before: Pair | None, show_orbit: bool, free: bool) -> str:
    words = [f"A receiver and a sender in {get_space(pair.space).title}, {float(pair.r.norm()):.2f} apart."]
    if show_orbit:
        words.append(f"The sender's orbit is {_orbit_words(pair)}.")
    if before is not None:
        words.append("In pale grey: where the pair was before a motion.")
    if free:
        words.append("A circle at the sender shows where its arrow may point without a change of the paper's triple.")
    if other is not None:
        words.append(f"In purple: another sender, {float((other.pos_s - pair.pos_s).norm()):.2f} away"
                     + ("." if not pair.frame_s.shape[-1] else ", with an arrow of the same direction."
                        if _apart(pair, other) < 0.5 else
                        f", with a different arrow: {_apart(pair, other):.0f} degrees between the two."))
    return " ".join(words)


def _orbit_words(pair: Pair) -> str:
    """What the orbit is: on the receiver's axis a circle, and at the receiver a sphere, has no extent."""
    senders = orbit(pair, 8)
    goes, turns = (bool((a - a[:1]).abs().amax() > 1e-6) if a.numel() else False
                   for a in (senders.pos_s, senders.frame_s))
    if not goes:
        return "its place, where its arrow turns about the receiver's" if turns else "the sender alone"
    return {"r2": "a circle about the receiver", "r3": "a sphere about the receiver",
            "r3s2": "a circle about the receiver's arrow, along which the sender's arrow turns with it"}[pair.space]


def _apart(pair: Pair, other: Pair) -> float:
    return math.degrees(math.acos(max(-1.0, min(1.0, float(pair.ori_s @ other.ori_s)))))


# ---------------------------------------------------------------------------------------------------------- numbers
@dataclass(frozen=True)
class Number:
    """One number of two pairs; `chosen` tells whether it belongs to the chosen set."""

    label: str
    start: float
    now: float
    chosen: bool
    angle: bool

    @property
    def change(self) -> float:
        """now − start, for an angle the short way round."""
        change = self.now - self.start
        return (change + math.pi) % (2 * math.pi) - math.pi if self.angle else change

    @property
    def stays(self) -> bool:
        """Equal up to rounding."""
        return abs(self.change) < ROUNDING


def compare_numbers(attribute_set: AttributeSet, start: Pair, now: Pair) -> list[Number]:
    """The numbers of the set for two pairs, then those that the richest set of this space has beside them."""
    numbers = []
    richest = get_set(RICHEST[attribute_set.space])
    for chosen, found in ((True, attribute_set), (False, richest)):
        a, b = (found.attributes(p).tolist() for p in (start, now))
        known = {number.label for number in numbers}
        numbers += [Number(label, a[i], b[i], chosen, i in found.angles)
                    for i, label in enumerate(found.labels) if label not in known]
    return numbers


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # no −0.000


def numbers_html(numbers: list[Number], words: tuple[str, str] | None = None) -> str:
    """A table: one column, or with `words` as heads two columns and the change."""
    heads = ("now",) if words is None else (*words, "change")
    span = len(heads) + 1
    rows = ["<tr><td></td>" + "".join(f"<th scope='col' style='padding:0 5px'>{h}</th>" for h in heads) + "</tr>"]
    for chosen in (True, False):
        part = [n for n in numbers if n.chosen == chosen]
        if part:
            title = "chosen numbers" if chosen else "other numbers of this pair"
            rows.append(f"<tr><th colspan='{span}' style='text-align:left;padding-top:4px'>{title}</th></tr>")
        for n in part:
            cells = [_signed(n.now)]
            if words is not None:
                colour = theme.GREY if n.stays else theme.BAD_WORD
                change = "stays" if n.stays else f"<b>{n.change:+.3f}</b>"
                cells = [_signed(n.start), *cells, f"<span style='color:{colour}'>{change}</span>"]
            rows.append(f"<tr><td>{n.label}</td>"
                        + "".join(f"<td style='text-align:right;padding:0 5px'>{c}</td>" for c in cells) + "</tr>")
    return f"<table style='font-size:12px;line-height:1.25'>{''.join(rows)}</table>"
