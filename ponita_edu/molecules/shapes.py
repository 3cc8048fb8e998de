r"""Small symmetric molecules, built from bond lengths and symmetry (notebook 02).

Lengths in Å. C60: electron diffraction of the gas, Hedberg et al., Science 254 (1991) 410. CHFClBr: the same method,
Jacob, J. Mol. Struct. 52 (1979) 63; its hydrogen was not seen and is placed at equal angles to the three halogens.
All others: rounded textbook values of the gas. What the course uses is their symmetry, which is exact to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from ponita_edu.geometry.grids import make_grid


@dataclass(frozen=True, eq=False)
class Molecule:
    """Atoms of one molecule: element symbols, positions in Å, the point group of the nuclei (Schoenflies symbol).

    C1, the default, claims no symmetry.
    """

    name: str
    symbols: tuple[str, ...]
    positions: Float64[Tensor, "atoms 3"]
    point_group: str = "C1"

    def __post_init__(self) -> None:
        if self.positions.shape != (len(self.symbols), 3):
            raise ValueError(
                f"positions must have shape [{len(self.symbols)}, 3], one row per symbol; "
                f"got {tuple(self.positions.shape)}."
            )

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def types(self) -> Tensor:
        """One whole number per atom, equal for equal elements, in alphabetical order of the elements present."""
        elements = sorted(set(self.symbols))
        return torch.tensor([elements.index(symbol) for symbol in self.symbols])

    def mirrored(self) -> "Molecule":
        """The mirror image in the plane x = 0; the atoms keep their order."""
        mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
        return Molecule(f"{self.name} (mirror image)", self.symbols, self.positions * mirror, self.point_group)


def make_molecule(name: str) -> Molecule:
    """One of `MOLECULES`, centred, in the frame of the Platonic grids. Raises ValueError on another name."""
    if name not in MOLECULES:
        raise ValueError(f"name must be a known molecule; got {name!r}. Choose one of {', '.join(MOLECULES)}.")
    symbols, positions, point_group = MOLECULES[name]()
    return Molecule(name, tuple(symbols), torch.tensor(np.array(positions), dtype=torch.float64), point_group)


_Parts = tuple[list[str], np.ndarray, str]


def _solid(name: str) -> np.ndarray:
    return make_grid(name).points.numpy()


def _methane() -> _Parts:
    return ["C"] + ["H"] * 4, np.concatenate((np.zeros((1, 3)), 1.087 * _solid("tetrahedron"))), "Td"


def _benzene() -> _Parts:
    angle = np.pi / 3 * np.arange(6)
    ring = np.stack((np.cos(angle), np.sin(angle), 0 * angle), axis=1)
    return ["C"] * 6 + ["H"] * 6, np.concatenate((1.397 * ring, (1.397 + 1.084) * ring)), "D6h"


def _cubane() -> _Parts:
    radius = 1.571 * np.sqrt(3) / 2  # from the centre to a corner of a cube with this edge
    corners = _solid("cube")
    return ["C"] * 8 + ["H"] * 8, np.concatenate((radius * corners, (radius + 1.097) * corners)), "Oh"


def _sulfur_hexafluoride() -> _Parts:
    return ["S"] + ["F"] * 6, np.concatenate((np.zeros((1, 3)), 1.561 * _solid("octahedron"))), "Oh"


def _buckminsterfullerene() -> _Parts:
    """Truncated icosahedron: two atoms on each of the 30 edges, at the length of a pentagon bond from the two ends."""
    pentagon, between = 1.458, 1.401
    corners = _solid("icosahedron")
    gap = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    shortest = gap[gap > 1e-9].min()
    start, end = np.nonzero(np.abs(gap - shortest) < 1e-9)  # every edge once in each direction
    edge = 2 * pentagon + between
    share = pentagon / edge
    return ["C"] * 60, edge / shortest * ((1 - share) * corners[start] + share * corners[end]), "Ih"


def _carbon_dioxide() -> _Parts:
    return ["C", "O", "O"], np.array([[0, 0, 0], [0, 0, 1.162], [0, 0, -1.162]]), "D∞h"


def _acetylene() -> _Parts:
    carbon, hydrogen = 1.203 / 2, 1.203 / 2 + 1.063
    return ["C", "C", "H", "H"], np.array([[0, 0, z] for z in (carbon, -carbon, hydrogen, -hydrogen)]), "D∞h"


def _bromochlorofluoromethane() -> _Parts:
    """Three directions with given angles (Cholesky of their cosines); the fourth has equal angles to the three."""
    f_cl, f_br, cl_br = np.cos(np.deg2rad([109.6, 109.2, 111.5]))
    halogens = np.linalg.cholesky(np.array([[1, f_cl, f_br], [f_cl, 1, cl_br], [f_br, cl_br, 1]]))
    hydrogen = -np.linalg.solve(halogens, np.ones(3))
    directions = np.concatenate((halogens, [hydrogen / np.linalg.norm(hydrogen)]))
    positions = np.array([1.348, 1.753, 1.927, 1.09])[:, None] * directions
    return ["C", "F", "Cl", "Br", "H"], np.concatenate((np.zeros((1, 3)), positions)), "C1"


MOLECULES: dict[str, Callable[[], _Parts]] = {
    "CO2": _carbon_dioxide,
    "acetylene": _acetylene,
    "methane": _methane,
    "CHFClBr": _bromochlorofluoromethane,
    "SF6": _sulfur_hexafluoride,
    "benzene": _benzene,
    "cubane": _cubane,
    "C60": _buckminsterfullerene,
}
