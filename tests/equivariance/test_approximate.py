"""Approximate equivariance: the grid stays, any rotation acts, and the error is printed and falls with N."""

from dataclasses import replace
from itertools import pairwise

import pytest

from ponita_edu.analysis.equivariance import equivariance_error
from ponita_edu.analysis.equivariance_table import GRIDS, as_text, error_table, random_clouds
from ponita_edu.geometry import make_grid
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita

CONFIG = PonitaConfig(scalars_in=1, vectors_in=1, scalars_out=1, vectors_out=1, hidden=16, basis=16, layers=3)


@pytest.fixture(scope="module")
def table():
    return error_table(config=CONFIG, networks=3, rotations=5)


def test_table_has_every_grid_and_size_and_is_printed(table, capsys):
    assert [(row.grid, row.size) for row in table] == [(name, n) for name, sizes in GRIDS.items() for n in sizes]
    with capsys.disabled():
        print("\nrelative L2 error, untrained networks, grid in place, random rotations\n" + as_text(table))


@pytest.mark.parametrize("output", ["scalar", "vector"])
@pytest.mark.parametrize("family", ["fibonacci", "repulsion", "lebedev"])
def test_error_falls_with_the_number_of_orientations(table, family, output):
    errors = [getattr(row, output) for row in table if row.grid == family]
    assert all(later < 1.25 * earlier for earlier, later in pairwise(errors)), errors
    assert errors[-1] < errors[0] / 5


@pytest.mark.parametrize("output", ["scalar", "vector"])
def test_error_falls_along_the_platonic_solids(table, output):
    errors = {row.grid: getattr(row, output) for row in table}
    assert errors["dodecahedron"] < errors["icosahedron"] < errors["cube"]


def test_approximate_is_not_exact_on_any_grid(table):
    # the two claims differ by ten orders of magnitude: no fixed grid of this size comes near rounding
    assert min(min(row.scalar, row.vector) for row in table) > 1e-5


def test_error_stays_where_the_number_of_orientations_stays():
    # negative control: turning the grid about, at equal N, does not lower the error
    model, graphs = Ponita(CONFIG, seed=0), random_clouds()
    base = make_grid("fibonacci", 20)
    errors = []
    for turned in (base, base.rotated(make_grid("icosahedron").symmetries()[0][7])):
        model.set_grid(turned)
        errors.append(equivariance_error(model, graphs, "SO", count=16).outputs["vector"].median)
    assert errors[1] > errors[0] / 2


def test_a_network_without_orientations_has_no_such_error():
    # negative control: the same measurement gives rounding where no grid could break anything
    model = Ponita(PonitaConfig(scalars_in=1, scalars_out=1, space="positions", hidden=8, basis=8, layers=2), seed=0)
    graphs = random_clouds()._replace(vec=None)
    assert equivariance_error(model, graphs, "SO").excess() < 1e-12


def test_error_falls_with_n_on_the_circle():
    rows = error_table({"circle": (4, 8, 16, 32)}, replace(CONFIG, dim=2), networks=3, rotations=6)
    for output in ("scalar", "vector"):
        errors = [getattr(row, output) for row in rows]
        assert errors[-1] < errors[1] < errors[0], errors
