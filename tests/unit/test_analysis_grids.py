"""Rows of the grid table: all families from 6 to 60 points, degrees of exactness, frame errors, the same bits."""

import math

import pytest
import torch

from ponita_edu.analysis.grids import FAMILIES, exact_degree, grid_row, grid_table
from ponita_edu.geometry import GRID_NAMES, Grid, make_grid, random_rotations
from ponita_edu.geometry.grid_families import PLATONIC_SIZES
from ponita_edu.geometry.repulsion import repulsion_points

EXACT = (*PLATONIC_SIZES, "lebedev")  # families that are 2-designs whatever their size


@pytest.fixture(scope="module")
def table():
    return grid_table()


def test_table_holds_every_family_of_the_sphere_between_6_and_60_points(table):
    assert [(row["name"], row["N"]) for row in table] == [(n, k or PLATONIC_SIZES[n]) for n, k in FAMILIES]
    assert {row["name"] for row in table} == set(GRID_NAMES) - {"circle", "tetrahedron"}  # 4 points: below 6
    assert all(6 <= row["N"] <= 60 for row in table)


def test_frame_errors_are_rounding_for_platonic_and_lebedev_grids_and_for_no_spiral(table):
    assert max(row["frame_error"] for row in table if row["name"] in EXACT) < 1e-14
    assert max(row["mean"] for row in table if row["name"] in EXACT) < 1e-14
    assert min(row["frame_error"] for row in table if row["name"] == "fibonacci") > 1e-5  # negative control


def test_row_repeats_what_the_grid_says(table):
    row = next(r for r in table if (r["name"], r["N"]) == ("fibonacci", 20))
    grid = make_grid("fibonacci", 20)
    assert math.radians(row["separation"]) == pytest.approx(grid.separation)
    assert math.radians(row["covering"]) == pytest.approx(grid.covering_radius)
    assert row["energy"] == grid.energy and row["frame_error"] == grid.frame_error
    assert row["mean"] == pytest.approx(grid.quadrature_error(1))  # the addition theorem: degree 1 is the mean
    assert row["symmetries"] == 2


def test_separation_is_below_twice_the_covering_radius_in_every_row(table):
    assert all(row["separation"] <= 2 * row["covering"] + 1e-9 for row in table)


@pytest.mark.parametrize(("name", "n", "degree"), [
    ("tetrahedron", None, 2), ("octahedron", None, 3), ("cube", None, 3), ("icosahedron", None, 5),
    ("dodecahedron", None, 5), ("lebedev", 6, 3), ("lebedev", 14, 5), ("lebedev", 26, 7), ("lebedev", 50, 11),
    ("fibonacci", 1, 0),
])  # fmt: skip
def test_exact_degree_is_that_of_the_known_designs(name, n, degree):
    assert exact_degree(make_grid(name, n)) == degree


def test_exact_degree_falls_when_a_point_is_pushed_or_a_weight_changed():
    points = make_grid("dodecahedron").points.clone()
    points[0] += torch.tensor([1e-3, 0, 0])
    assert exact_degree(Grid.from_points(torch.nn.functional.normalize(points, dim=1))) == 0
    rule = make_grid("lebedev", 26)
    assert exact_degree(Grid.from_points(rule.points)) == 3  # equal weights: only the symmetry is left


def test_exact_degree_stops_where_it_is_told_and_allows_what_it_is_told():
    grid = make_grid("dodecahedron")
    assert exact_degree(grid, most=3) == 3
    assert exact_degree(grid, tolerance=2.0, most=8) == 8


def test_rotating_a_grid_keeps_its_row():
    grid = make_grid("repulsion", 14)
    row, turned = (grid_row(g) for g in (grid, grid.rotated(random_rotations(1, seed=3)[0])))
    assert row["exact_degree"] == turned["exact_degree"] and row["symmetries"] == turned["symmetries"] == 12
    for key in ("separation", "covering", "energy"):
        assert row[key] == pytest.approx(turned[key], abs=1e-9)


def test_repulsion_rows_have_the_same_bits_from_the_same_seed_and_others_from_another():
    families = [("repulsion", n) for n in (8, 23)]
    first = grid_table(families, seed=5)
    repulsion_points.cache_clear()
    assert grid_table(families, seed=5) == first
    assert grid_table(families, seed=6) != first
