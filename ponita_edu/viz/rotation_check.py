"""RotationCheck: turn a molecule under a network; what is exact, what approximate, and by how much (notebook 07)."""

import math
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from ponita_edu.analysis.molecule_networks import KINDS, WEIGHTS, jiggled
from ponita_edu.analysis.rotation_check import MoleculeNetwork, claim, nearest_symmetry, network_for
from ponita_edu.geometry.grids import PLATONIC_SIZES, Grid
from ponita_edu.geometry.groups import axis_angle
from ponita_edu.molecules import Molecule, aspirin
from ponita_edu.viz import theme
from ponita_edu.viz.grids import FAMILIES, SIZES, choose_grid, warm_up
from ponita_edu.viz.molecules import Turned, molecule_scene, turn, turned_scene
from ponita_edu.viz.scene import Scene
from ponita_edu.viz.widget import Explorer, choice, slider, switch

ROUNDING = 1e-12  # relative errors below are called rounding
MOST = 14  # directions of a full convolution, whose work grows with their square
MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))


def motion(turn_z: Real, tilt_x: Real, reflect: bool = False) -> Float[Tensor, "3 3"]:
    """First a reflection in the plane x = 0 (if asked), then a turn about z, then one about x; angles in degrees."""
    z, x = (axis_angle(torch.eye(3, dtype=torch.float64)[k], torch.tensor(math.radians(angle), dtype=torch.float64))
            for k, angle in ((2, turn_z), (0, tilt_x)))
    return x @ z @ MIRROR if reflect else x @ z


def back_scene(molecule: Molecule, t: Turned, rotation: Float[Tensor, "3 3"], magnify: Real = 10) -> Scene:
    """The molecule as it lay at first: where the first arrows end (bubbles), the later ones turned back, the error.

    Turned back, an answer of an equivariant network is the first answer. The error v_back − v_before starts where the
    first arrow ends, and is drawn ``magnify`` times longer than the arrows.
    """
    before, back = t.expected @ rotation, t.vectors @ rotation  # rows: v R is R⁻¹ v
    factor = 1.0 / max(float(before.norm(dim=-1).max()), 1e-12)
    reach = 1.1 + float(molecule.positions.norm(dim=-1).max())
    scene = molecule_scene(
        molecule.symbols, molecule.positions, limit=reach, title="turned back",
        arrows={"after, turned back": (factor * back, theme.GREEN, 5)},
        alt=f"The molecule as it lay at first, with the later arrows turned back. They differ from the first arrows by "
            f"{percent(t.vector_error)}.")
    tips = molecule.positions + factor * before
    scene.balls(tips, 0.14, theme.PURPLE, opacity=0.45, name="before")
    return scene.arrows(tips, magnify * factor * (back - before), theme.BLUE, 6, f"error × {magnify:g}")


def check_scenes(molecule: Molecule, t: Turned, rotation: Float[Tensor, "3 3"], network: str, magnify: Real = 10
                 ) -> tuple[Scene, Scene]:
    """The molecule after the motion with the answer of a network, and that answer turned back beside the first one."""
    scenes = turned_scene(molecule, t, network), back_scene(molecule, t, rotation, magnify)
    for scene in scenes:
        scene.view = (35, 60)  # on the ring of aspirin from above
    return scenes


def percent(share: float) -> str:
    """A relative error in words; below 1e-12 it is rounding, and its power of ten is told."""
    return f"rounding ({share:.0e})" if share < ROUNDING else f"{100 * share:.2g} %"


def check_html(network: MoleculeNetwork, t: Turned, rotation: Float[Tensor, "3 3"], move_grid: bool, setting: str
               ) -> str:
    """Setting, claim, and the numbers that belong to them."""
    kind, why = claim(network, rotation, move_grid)
    grid = "no grid" if network.grid is None else f"{network.grid.name}, {len(network.grid)} directions"
    held = {"exact": max(t.scalar_error, t.vector_error) < ROUNDING}.get(kind)
    verdict = "" if held is None else f" <span style='color:{theme.GOOD_WORD if held else theme.BAD_WORD}'>" \
                                      f"{'It holds.' if held else 'It is broken.'}</span>"
    gap = (t.vectors - t.expected).norm(dim=-1)
    worst = int(gap.argmax())
    rows = [("before", f"{t.before:.6f}", ""), ("after", f"{t.after:.6f}", ""),
            ("error", percent(t.scalar_error), percent(t.vector_error))]
    cells = "".join(f"<tr><th scope='row' style='text-align:left;font-weight:normal'>{name}</th>"
                    f"<td style='text-align:right;padding:0 8px'>{a}</td><td style='text-align:right'>{b}</td></tr>"
                    for name, a, b in rows)
    return (f"<b>{network.kind}</b>, {grid}<br>{setting}<br><b>Claim: {kind}</b> ({why}).{verdict}"
            f"<table style='font-size:13px'><tr><td></td><th scope='col'>number</th><th scope='col'>arrows</th></tr>"
            f"{cells}</table>largest at atom {worst} ({network.molecule.symbols[worst]}): "
            f"{float(gap[worst]):.1e}, its arrow {float(t.expected[worst].norm()):.1e}")


class RotationCheck(Explorer):
    """Turn a molecule, turn the answer back, and compare: number, arrows and error for five kinds of networks."""

    explanation = (
        "Left: the molecule as the network sees it after the motion. Green arrows: its answer, a vector for each atom. "
        "Purple bubbles: where they should end. Right: the same answer turned back to where the molecule lay at first; "
        "the bubbles are the first answer, the blue arrows the error, drawn longer by the chosen factor. The number is "
        "one for the whole molecule, and should not change at all. An <b>exact</b> claim leaves nothing but rounding; "
        "an <b>approximate</b> one has an error, which is printed. The network <i>positions only</i> has no directions "
        "to answer with; its arrows are minus the derivative of its number by the positions. <i>Trained</i>: on energy "
        "and forces of aspirin as a network of springs, a toy, turned at random. All arrows are drawn longer by one "
        "factor. Drag a picture to look from elsewhere.")

    def __init__(self, molecule: Molecule | None = None):
        self._molecule = jiggled(aspirin()) if molecule is None else molecule
        self._may_train = molecule is None and WEIGHTS.exists()  # the weights are for aspirin
        super().__init__({
            "turn_z": slider("turn about z", 40, 0, 360, 5, "degrees"),
            "tilt_x": slider("turn about x", 0, -90, 90, 5, "degrees"),
            "network": choice("network", list(KINDS), "bundle"),
            "family": choice("grid", list(FAMILIES), "dodecahedron"),
            "n": slider("directions", 20, SIZES[0], SIZES[-1]),
            "magnify": choice("draw error", [("as it is", 1), ("10 times longer", 10), ("100 times longer", 100)], 10),
            "trained_weights": switch("trained"),
            "move_grid": switch("rotate the grid too"),
            "snap": switch("snap to the grid's own symmetries"),
            "reflect": switch("reflect first"),
        })
        warm_up()

    def grid(self) -> Grid | None:
        """The directions for the present values, None if the network has none; full convolutions get 14 at most."""
        config, family, n = KINDS[self.network.value], self.family.value, round(self.n.value)
        if config.space != "bundle":
            return None
        if config.conv == "full":
            n, family = min(n, MOST), "icosahedron" if family == "dodecahedron" else family
        return choose_grid(family, n)

    def network_now(self) -> MoleculeNetwork:
        """The network for the present values; made once for each choice."""
        return network_for(self._molecule, self.network.value, self.trained_weights.value and self._may_train,
                           self.grid())

    def motion_now(self) -> tuple[Float[Tensor, "3 3"], str]:
        """The motion for the present values, and in words."""
        wanted = motion(self.turn_z.value, self.tilt_x.value, self.reflect.value)
        said = f"turned {self.turn_z.value:g}° about z, {self.tilt_x.value:g}° about x"
        said = f"reflected, {said}" if self.reflect.value else said
        grid = self.grid()
        if not self.snap.value or grid is None:
            return wanted, said
        nearest = nearest_symmetry(grid, wanted)
        if nearest is None:
            return wanted, f"{said} (this grid has no reflection to snap to)"
        return nearest, f"the grid's symmetry nearest to: {said}"

    def checked(self) -> tuple[MoleculeNetwork, Turned, Float[Tensor, "3 3"], str]:
        """Network, answers, motion and its words for the present values."""
        network, (rotation, said) = self.network_now(), self.motion_now()
        return network, turn(network, self._molecule.positions, rotation, self.move_grid.value), rotation, said

    def scene(self) -> tuple[Scene, Scene]:
        network, t, rotation, _ = self._last = self.checked()
        return check_scenes(self._molecule, t, rotation, network.kind, self.magnify.value)

    def report(self) -> str:
        network, t, rotation, said = self._last  # of the picture that is drawn with it
        said += ", trained" if self.trained_weights.value and self._may_train else ", untrained"
        return check_html(network, t, rotation, self.move_grid.value, said)

    def _draw(self) -> None:
        has_grid = KINDS[self.network.value].space == "bundle"
        for control in (self.family, self.move_grid, self.snap):
            control.disabled = not has_grid
        self.n.disabled = not has_grid or self.family.value in PLATONIC_SIZES  # their number is what it is
        self.trained_weights.disabled = not self._may_train
        super()._draw()
