"""Rotations and motions, grids of orientations, invariants of pairs of points."""

from ponita_edu.geometry.grids import GRID_NAMES, Grid, make_grid
from ponita_edu.geometry.groups import (
    Motion,
    axis_angle,
    cyclic_rotations,
    polyhedral_rotations,
    random_rotations,
    rotation_2d,
    to_axis_angle,
)
from ponita_edu.geometry.invariants import (
    invariants_r2,
    invariants_r2s1,
    invariants_r2s1_cosine,
    invariants_r3,
    invariants_r3s2_e3,
    invariants_r3s2_se3,
    invariants_r3s2_triple,
    invariants_se2,
    invariants_se3,
    orientation_invariants,
    safe_norm,
    spatial_invariants,
)

__all__ = [
    "GRID_NAMES",
    "Grid",
    "Motion",
    "axis_angle",
    "cyclic_rotations",
    "invariants_r2",
    "invariants_r2s1",
    "invariants_r2s1_cosine",
    "invariants_r3",
    "invariants_r3s2_e3",
    "invariants_r3s2_se3",
    "invariants_r3s2_triple",
    "invariants_se2",
    "invariants_se3",
    "make_grid",
    "orientation_invariants",
    "polyhedral_rotations",
    "random_rotations",
    "rotation_2d",
    "safe_norm",
    "spatial_invariants",
    "to_axis_angle",
]
