r"""Which pairs of points in a molecule share their numbers, and is that right? (notebook 02)

Every pair of atoms, with orientations of a grid at both ends, gives a pair in R³×S². Symmetric molecules on symmetric
grids make many pairs with equal numbers. A collision is *related* if a motion maps the one pair on the other (weights
are then shared, as they should be), else *unexplained*: a defect of the set. The judge, `best_motion`, sees only
coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ponita_edu.analysis.alignment import best_motion
from ponita_edu.analysis.attribute_sets import AttributeSet, get_set
from ponita_edu.analysis.molecule_pairs import (
    RELATED,
    SAME_NUMBERS,
    classes_within,
    cluster,
    couples,
    distinct_receivers,
    edge_pairs,
    grid_pairs,
)
from ponita_edu.analysis.pairs import Pair
from ponita_edu.geometry.grids import Grid, make_grid
from ponita_edu.molecules.shapes import MOLECULES, Molecule, make_molecule


@dataclass(frozen=True, eq=False)
class MoleculeCollisions:
    """Counts for one set of pairs. `names`: distinct numbers; `classes`: what the judge splits these into.

    `related` and `unexplained` count couples of pairs with equal numbers; `confused` counts the pairs that are in an
    unexplained one. `gap`: largest residual called related, smallest called unrelated. `example`: two pairs, if any.

    `pairs` of the `of` pairs were tested; `coverage` says which: "all", "all, up to symmetry" (names and classes are
    those of all, couples are counted among the tested only), or "a random part".
    """

    set: str
    group: str
    pairs: int
    of: int
    coverage: str
    names: int
    classes: int
    related: int
    unexplained: int
    confused: int
    gap: tuple[float, float]
    example: Pair | None


def molecule_collisions(
    positions: Float64[Tensor, "atoms 3"],
    grid: Grid,
    attribute_set: AttributeSet,
    types: Int64[Tensor, " atoms"] | None = None,
    group: str | None = None,
    max_pairs: int = 60_000,
    seed: int = 0,
) -> MoleculeCollisions:
    """Count the collisions of a set in R³×S² over all pairs of atoms and orientations.

    Args:
        types: one whole number per atom; if given, only pairs whose two ends have the same types are compared.
        group: "SE" or "E", for the judge; the set's own unless given.
        max_pairs: above it only receivers that differ under the symmetry of molecule and grid are taken; if these still
            have more pairs, a random part of them, drawn from `seed`.
    Raises: ValueError if the set is not one of R³×S², types do not fit, or max_pairs < 1.
    """
    if attribute_set.space != "r3s2" or grid.dim != 3:
        raise ValueError(f"attribute_set and grid must be those of R³×S²; got {attribute_set.name!r}, {grid!r}.")
    if types is not None and types.shape != positions.shape[:1]:
        raise ValueError(f"types must have one entry per atom, {len(positions)}; got shape {list(types.shape)}.")
    group = attribute_set.group if group is None else group
    if max_pairs < 1:
        raise ValueError(f"max_pairs must be at least 1; got {max_pairs}. Try 100000.")
    pairs, atoms, coverage = _tested_pairs(positions, grid, types, max_pairs, seed)
    names = cluster(_named(attribute_set, pairs, None if types is None else types[atoms]))
    classes, related, unrelated = classes_within(pairs, names, group)
    together, same = couples(names), couples(classes)
    classes_of_name = np.bincount(np.unique(np.stack((names, classes)), axis=1)[0])
    mixed = classes_of_name[names] > 1
    example = None
    if mixed.any():
        first = np.flatnonzero(mixed)[0]
        second = np.flatnonzero((names == names[first]) & (classes != classes[first]))[0]
        example = pairs[torch.tensor([first, second])]
    return MoleculeCollisions(
        attribute_set.name,
        f"{group}(3)",
        pairs=len(names),
        of=len(positions) ** 2 * len(grid) ** 2,
        coverage=coverage,
        names=int(names.max()) + 1,
        classes=int(classes.max()) + 1,
        related=same,
        unexplained=together - same,
        confused=int(mixed.sum()),
        gap=(related, unrelated),
        example=example,
    )


def _tested_pairs(
    positions: Tensor, grid: Grid, types: Tensor | None, max_pairs: int, seed: int
) -> tuple[Pair, Tensor, str]:
    total = len(positions) ** 2 * len(grid) ** 2
    if total <= max_pairs:
        return *grid_pairs(positions, grid), "all"
    receivers = distinct_receivers(positions, grid, types)
    if len(receivers) * total // len(positions) <= max_pairs:
        return *grid_pairs(positions, grid, receivers), "all, up to symmetry"
    generator = torch.Generator().manual_seed(seed)
    t, s = (torch.randint(len(positions), (max_pairs,), generator=generator) for _ in range(2))
    o_t, o_s = (torch.randint(len(grid), (max_pairs,), generator=generator) for _ in range(2))
    drawn = torch.stack((t, s, o_t, o_s), dim=1).unique(dim=0)
    t, s, o_t, o_s = drawn.T
    pair = Pair.make("r3s2", positions[t], positions[s], grid.points[o_t], grid.points[o_s])
    return pair, drawn[:, :2], "a random part"


def _named(attribute_set: AttributeSet, pairs: Pair, types: Tensor | None = None) -> np.ndarray:
    numbers = attribute_set.smooth(attribute_set.attributes(pairs))
    return (numbers if types is None else torch.cat((numbers, types.to(numbers.dtype)), dim=1)).numpy()


def molecule_table(
    sets: Sequence[str] = ("r3s2_triple", "r3s2_e3", "r3s2_se3"),
    grid: Grid | None = None,
    molecules: Sequence[str] = tuple(MOLECULES),
    max_pairs: int = 60_000,
) -> list[dict[str, object]]:
    """One row per molecule and set: pairs tested, names, classes, related and unexplained collisions, confused pairs.

    The grid is the dodecahedron (N = 20) unless given.
    """
    grid = make_grid("dodecahedron") if grid is None else grid
    rows = []
    for name in molecules:
        molecule = make_molecule(name)
        for key in sets:
            result = molecule_collisions(molecule.positions, grid, get_set(key), max_pairs=max_pairs)
            rows.append(
                {
                    "molecule": name,
                    "atoms": len(molecule),
                    "pairs": result.pairs,
                    "of": result.of,
                    "coverage": result.coverage,
                    "set": key,
                    "group": result.group,
                    "names": result.names,
                    "classes": result.classes,
                    "related": result.related,
                    "unexplained": result.unexplained,
                    "confused": f"{100 * result.confused / result.pairs:.1f} %",
                }
            )
    return rows


# ---------------------------------------------------------------------------------------------------- mirror images
@dataclass(frozen=True)
class MirrorComparison:
    """A molecule and its mirror image, over pairs with orientations along edges.

    `equal`: pairs whose mirror image has the same numbers; `by_rotation`: those that a rotation maps on it;
    `by_reflection_only`: those that only a reflection does. `told_apart`: the labelled numbers of the two molecules, as
    wholes, differ.
    """

    molecule: str
    set: str
    pairs: int
    equal: int
    by_rotation: int
    by_reflection_only: int
    told_apart: bool


def compare_with_mirror_image(molecule: Molecule, attribute_set: AttributeSet) -> MirrorComparison:
    """Does the set see the handedness of a molecule? Pair by pair, and for the whole molecule with its atom types."""
    pairs, atoms = edge_pairs(molecule.positions)
    images, _ = edge_pairs(molecule.mirrored().positions)
    kinds = molecule.types[atoms]
    a, b = (_named(attribute_set, p) for p in (pairs, images))
    rotated = best_motion(pairs, images, "SE")[1].numpy() <= RELATED
    reflected = best_motion(pairs, images, "E")[1].numpy() <= RELATED
    both = np.concatenate([_named(attribute_set, p, kinds) for p in (pairs, images)])
    names = cluster(both)
    here, there = (np.bincount(part, minlength=names.max() + 1) for part in np.split(names, 2))
    return MirrorComparison(
        molecule.name,
        attribute_set.name,
        len(a),
        equal=int((np.abs(a - b).max(axis=1) <= SAME_NUMBERS).sum()),
        by_rotation=int(rotated.sum()),
        by_reflection_only=int((reflected & ~rotated).sum()),
        told_apart=bool((here != there).any()),
    )
