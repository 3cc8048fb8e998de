"""Ball-and-stick pictures of molecules, and a widget that turns one under a network (notebook 00)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ponita_edu.geometry.groups import axis_angle
from ponita_edu.molecules import Molecule
from ponita_edu.viz import theme
from ponita_edu.viz.scene import Rows, Scene, as_array
from ponita_edu.viz.widget import Explorer, choice, slider, switch

# Element: colour, covalent radius in Å (rounded).
ELEMENTS = {"H": ("#e8e8e8", 0.31), "C": ("#555555", 0.76), "N": (theme.BLUE, 0.71), "O": (theme.VERMILLION, 0.66),
            "F": (theme.GREEN, 0.57), "S": (theme.YELLOW, 1.05)}

Network = Callable[[Tensor, Tensor], tuple[float, Tensor | None]]
"""(positions [n, 3], rotation of the grid [3, 3]) -> one number for the molecule, one vector per atom (or None)."""


def bonds(symbols: tuple[str, ...], positions: Rows) -> list[tuple[int, int]]:
    """Pairs of atoms closer than 1.25 times the sum of their covalent radii."""
    p = as_array(positions)
    radius = np.array([_element(s)[1] for s in symbols])
    near = np.linalg.norm(p[:, None] - p, axis=-1) < 1.25 * (radius[:, None] + radius)
    return [(i, j) for i in range(len(p)) for j in range(i) if near[i, j]]


def molecule_scene(symbols: tuple[str, ...], positions: Rows, alt: str, title: str = "", limit: Real | None = None,
                   arrows: Mapping[str, tuple[Rows, str, Real]] | None = None) -> Scene:
    """Balls and sticks, with sets of arrows that start at the atoms.

    Args:
        symbols, positions: elements and places (Å), [atoms, 3].
        arrows: by name: vectors [atoms, 3], colour, width.

    Raises:
        ValueError: on an element without a colour, or arrays that do not fit.
    """
    p = as_array(positions)
    if len(p) != len(symbols):
        raise ValueError(f"positions must have one row for each of the {len(symbols)} symbols, but has {len(p)}.")
    scene = Scene(alt, title, limit=limit)
    pairs = bonds(symbols, p)
    scene.balls(p, [0.1 + 0.26 * _element(s)[1] for s in symbols], [_element(s)[0] for s in symbols],
                hover=[f"{s} (atom {k})" for k, s in enumerate(symbols)])
    scene.rods(p[[i for i, _ in pairs]], p[[j for _, j in pairs]], 0.07, "#9a9a9a")
    for name, (vectors, colour, width) in (arrows or {}).items():
        scene.arrows(p, vectors, colour, width, name)
    return scene


def _element(symbol: str) -> tuple[str, float]:
    if symbol not in ELEMENTS:
        raise ValueError(f"symbols must be among {', '.join(ELEMENTS)}, but one is {symbol!r}. Add it to ELEMENTS.")
    return ELEMENTS[symbol]


# ------------------------------------------------------------------------------------------------------- the widget
@dataclass(frozen=True)
class Turned:
    """A network's answers before and after a rotation R of the molecule."""

    positions: Float[Tensor, "atoms 3"]  # R x
    before: float
    after: float
    expected: Float[Tensor, "atoms 3"] | None  # R v(x)
    vectors: Float[Tensor, "atoms 3"] | None  # v(R x)

    @property
    def scalar_error(self) -> float:
        """|s(R x) - s(x)| / |s(x)|."""
        return abs(self.after - self.before) / max(abs(self.before), 1e-12)

    @property
    def vector_error(self) -> float | None:
        """|v(R x) - R v(x)| / |v(x)|; the absolute one if all vectors are 0."""
        if self.vectors is None:
            return None
        return float((self.vectors - self.expected).norm() / (self.expected.norm() or 1.0))


def turn(network: Network, positions: Float[Tensor, "atoms 3"], rotation: Float[Tensor, "3 3"],
         grid_too: bool = False) -> Turned:
    """Ask a network about a molecule and about the turned molecule, its grid turned along or not."""
    still = torch.eye(3, dtype=positions.dtype)
    before, vectors = network(positions, still)
    moved = positions @ rotation.T
    after, turned = network(moved, rotation if grid_too else still)
    return Turned(moved, before, after, None if vectors is None else vectors @ rotation.T, turned)


class TurnMolecule(Explorer):
    """Turn a molecule, and compare a network's answer with the first answer turned along."""

    explanation = ("A molecule, turned by the two angles. Green arrows: what the network says about the turned "
                   "molecule, one vector per atom. Purple bubbles: where the tips should be, which is where the first "
                   "answer ends if it is turned along with the molecule. An arrow that ends in its bubble was turned "
                   "along. All vectors are drawn longer by one factor. Drag the picture to look from elsewhere.")

    def __init__(self, molecule: Molecule, networks: Mapping[str, Network]):
        self._molecule, self._networks = molecule, dict(networks)
        super().__init__({
            "angle": slider("turn about z", 0, 0, 360, 5, "degrees"),
            "tilt": slider("turn about x", 0, -90, 90, 5, "degrees"),
            "network": choice("network", list(self._networks)),
            "grid_too": switch("turn the directions along"),
        })

    def turned(self) -> Turned:
        """The answers for the present values."""
        z, x = (axis_angle(torch.eye(3, dtype=torch.float64)[k], torch.tensor(np.radians(degrees)))
                for k, degrees in ((2, self.angle.value), (0, self.tilt.value)))
        return turn(self._networks[self.network.value], self._molecule.positions, x @ z, self.grid_too.value)

    def scene(self) -> Scene:
        self._last = self.turned()
        return turned_scene(self._molecule, self._last, self.network.value)

    def report(self) -> str:
        t = self._last  # of the picture that is drawn with it
        none = t.vector_error is None
        arrows = "none: this network has no directions" if none else f"error {_percent(t.vector_error)}"
        return (f"<b>Number for the molecule</b><br>at first {t.before:.4f}<br>now {t.after:.4f}<br>"
                f"change {_percent(t.scalar_error)}<br><b>Arrows</b><br>{arrows}")


def _percent(share: float) -> str:
    return "0 % (rounding)" if share < 1e-10 else f"{100 * share:.2g} %"


def turned_scene(molecule: Molecule, t: Turned, network: str) -> Scene:
    """The turned molecule, the arrows that a network gives, and bubbles where they should end."""
    limit = 1.1 + float(molecule.positions.norm(dim=-1).max())  # room for the arrows, whichever way it lies
    if t.vectors is None:
        words = "The network gives no arrows."
        factor = 0.0
    else:
        # of the first answer, so that arrows of another length are seen to be so
        factor = 1.0 / max(float(t.expected.norm(dim=-1).max()), 1e-12)
        words = ("Arrows end in their bubbles." if t.vector_error < 0.1 else "Arrows end outside their bubbles.")
    scene = molecule_scene(
        molecule.symbols, t.positions, limit=limit, title=f"{molecule.name}, network: {network}",
        arrows={} if t.vectors is None else {"arrows of the network": (factor * t.vectors, theme.GREEN, 5)},
        alt=f"Turned {molecule.name} as balls and sticks; network: {network}. {words} "
            f"Number at first {t.before:.3f}, now {t.after:.3f}.")
    if t.vectors is not None:
        scene.balls(t.positions + factor * t.expected, 0.14, theme.PURPLE, opacity=0.45, name="where they should end")
    return scene
