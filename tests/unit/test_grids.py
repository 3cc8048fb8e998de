"""Grids of orientations: where the points are, what the figures say, which rotations permute them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre

from ponita_edu.geometry import GRID_NAMES, Grid, cyclic_rotations, make_grid, random_rotations
from ponita_edu.geometry.grid_families import PLATONIC_SIZES, lebedev_sizes
from ponita_edu.geometry.repulsion import FORCE_TOLERANCE, largest_force, repulsion_points
from ponita_edu.nn import Ponita, PonitaConfig

F64 = torch.float64
REFERENCE = Path(__file__).resolve().parents[2] / "../shared/reference/ponita/grids.npz"
PHI = (1 + np.sqrt(5)) / 2


def any_grid(name, n=14):
    return make_grid(name, None if name in PLATONIC_SIZES else n)


def random_grid(n, dim=3, seed=0):
    generator = np.random.default_rng(seed)
    points = generator.standard_normal((n, dim))
    weights = generator.uniform(0.5, 1.5, n)
    return Grid.from_points(points / np.linalg.norm(points, axis=1, keepdims=True), weights / weights.sum())


def directions(n, dim=3, seed=9):
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return torch.tensor(x / np.linalg.norm(x, axis=1, keepdims=True))


# ------------------------------------------------------------------------------------------------------- families
@pytest.mark.parametrize("name", GRID_NAMES)
def test_grid_holds_unit_vectors_and_weights_of_sum_one(name):
    grid = any_grid(name)
    assert len(grid) == PLATONIC_SIZES.get(name, 14) == len(grid.weights)
    assert grid.dim == (2 if name == "circle" else 3)
    assert grid.points.dtype == grid.weights.dtype == F64
    assert (grid.points.norm(dim=1) - 1).abs().max() < 1e-15
    assert abs(float(grid.weights.sum()) - 1) < 1e-14
    assert repr(grid) == f"Grid({name!r}, N={len(grid)}, dim={grid.dim})"


@pytest.mark.parametrize("name", ["circle", "fibonacci", "repulsion"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_smallest_grids_have_distinct_unit_vectors(name, n):
    grid = make_grid(name, n)
    assert len(grid) == n and grid.separation > 1.0
    assert (grid.points.norm(dim=1) - 1).abs().max() < 1e-15


@pytest.mark.parametrize("n", [1, 2, 12, 20, 60])
def test_fibonacci_takes_equal_steps_in_height_and_golden_turns(n):
    points = make_grid("fibonacci", n).points.numpy()
    assert np.abs(np.diff(points[:, 2], append=points[-1, 2] - 2 / n) + 2 / n).max() < 1e-14
    turn, direction = np.exp(1j * np.pi * (1 + np.sqrt(5))), 1 + 0j
    for x, y, z in points:
        assert abs(complex(x, y) - np.sqrt(1 - z * z) * direction) < 1e-12
        direction *= turn


def test_circle_divides_the_turn_evenly():
    points = make_grid("circle", 7).points
    assert (points @ cyclic_rotations(7)[1].T - points.roll(-1, 0)).abs().max() < 1e-15
    assert points[0].tolist() == [1.0, 0.0]


@pytest.mark.skipif(not REFERENCE.exists(), reason="no ../shared/reference beside the checkout")
@pytest.mark.parametrize("name", ["fibonacci", "circle"])
def test_grid_equals_the_reference_files(name):
    arrays = np.load(REFERENCE, allow_pickle=False)
    for n in (1, 2, 3, 4, 6, 8, 12, 16, 20, 32, 60):
        assert np.abs(make_grid(name, n).points.numpy() - arrays[f"{name}_f64/{n}"]).max() < 1e-13
        assert np.abs(make_grid(name, n).points.numpy() - arrays[f"{name}_f32/{n}"]).max() < 5e-5


@pytest.mark.parametrize(("n", "length"), [(12, 0.023), (20, 0.011), (60, 0.0012)])
def test_fibonacci_mean_is_not_zero(n, length):
    assert float(make_grid("fibonacci", n).mean.norm()) == pytest.approx(length, rel=0.05)


@pytest.mark.parametrize("name", PLATONIC_SIZES)
def test_platonic_grid_is_a_frame_with_mean_zero(name):
    grid = make_grid(name)
    assert grid.frame_error < 1e-14 and grid.mean.abs().max() < 1e-15
    assert make_grid("fibonacci", len(grid)).frame_error > 1e-3  # the same number of points does not make a frame


@pytest.mark.parametrize(
    ("name", "neighbours", "cosine"),
    [
        ("tetrahedron", 3, -1 / 3),
        ("octahedron", 4, 0),
        ("cube", 3, 1 / 3),
        ("icosahedron", 5, 1 / np.sqrt(5)),
        ("dodecahedron", 3, np.sqrt(5) / 3),
    ],
)
def test_platonic_vertices_have_the_solids_edges(name, neighbours, cosine):
    points = make_grid(name).points
    gram = points @ points.T - 2 * torch.eye(len(points), dtype=F64)
    assert abs(float(gram.max()) - cosine) < 1e-15
    assert (gram > cosine - 1e-9).sum(1).tolist() == [neighbours] * len(points)


@pytest.mark.parametrize("n", [6, 14, 26, 38, 50, 74, 110, 230])
def test_lebedev_is_exact_up_to_its_degree_and_no_further(n):
    grid, degree = make_grid("lebedev", n), lebedev_sizes()[n]
    assert max(grid.quadrature_error(k) for k in range(1, degree + 1)) < 1e-14
    assert max(grid.quadrature_error(k) for k in (degree + 1, degree + 2)) > 1e-3
    assert grid.frame_error < 1e-14


def test_lebedev_weights_are_negative_for_three_sizes_only():
    negative = [n for n in lebedev_sizes() if bool((make_grid("lebedev", n).weights <= 0).any())]
    assert negative == [74, 230, 266]


# ------------------------------------------------------------------------------------------------------ repulsion
def unit_polygon_energy(n):
    points = make_grid("circle", n).points
    return float(torch.nn.functional.pdist(points).reciprocal().sum())


# Least Coulomb energies that can be written down: antipodes, triangle, two poles and a triangle, Platonic solids.
LEAST_ENERGY = {
    2: 0.5,
    3: np.sqrt(3),
    4: 6 / np.sqrt(8 / 3),
    5: 0.5 + 6 / np.sqrt(2) + np.sqrt(3),
    6: 3 / 2 + 12 / np.sqrt(2),
    12: 66 * make_grid("icosahedron").energy,
}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n", LEAST_ENERGY)
def test_repulsion_reaches_the_least_energy_of_small_sets(n, seed):
    pairs = n * (n - 1) / 2
    assert abs(make_grid("repulsion", n, seed=seed).energy * pairs - LEAST_ENERGY[n]) < 1e-12 * pairs


@pytest.mark.parametrize("n", [7, 20, 33, 60])
def test_repulsion_is_a_converged_local_minimum(n):
    grid = make_grid("repulsion", n, seed=4)
    assert largest_force(grid.points.numpy()) < FORCE_TOLERANCE
    generator = np.random.default_rng(0)
    for size in (1e-4, 1e-2):
        pushed = grid.points.numpy() + size * generator.standard_normal((n, 3))
        pushed /= np.linalg.norm(pushed, axis=1, keepdims=True)
        assert Grid.from_points(pushed).energy > grid.energy
        assert largest_force(pushed) > 1e-5  # the force criterion does notice points that are not converged
    assert grid.energy < make_grid("fibonacci", n).energy < random_grid(n).energy


def test_repulsion_gives_the_same_bits_for_the_same_seed():
    first = make_grid("repulsion", 24, seed=5).points
    repulsion_points.cache_clear()
    assert torch.equal(first, make_grid("repulsion", 24, seed=5).points)
    assert not torch.equal(first, make_grid("repulsion", 24, seed=6).points)


def test_repulsion_bits_do_not_depend_on_the_number_of_threads():
    """In fresh processes, as the number of BLAS threads is read when numpy is loaded; without torch, to be quick."""
    file = Path(__file__).resolve().parents[2] / "ponita_edu/geometry/repulsion.py"
    code = (
        f"import hashlib, runpy; points = runpy.run_path({str(file)!r})['repulsion_points'];"
        "print(hashlib.sha256(points(40, 0).tobytes()).hexdigest())"
    )
    running = []
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        running.append(
            subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        )
    hashes = [process.communicate(timeout=120)[0] for process in running]
    assert hashes[0] == hashes[1] and len(hashes[0]) > 60


@pytest.mark.parametrize("name", GRID_NAMES)
def test_grids_are_on_the_cpu_whatever_the_default_device(name):
    wanted = make_grid(name, None if name in PLATONIC_SIZES else 14)
    with torch.device("meta"):  # stands for a GPU
        grid = make_grid(name, None if name in PLATONIC_SIZES else 14)
        assert torch.equal(grid.points, wanted.points) and torch.equal(grid.weights, wanted.weights)
        assert torch.equal(grid.symmetries()[1], wanted.symmetries()[1]) and grid.frame_error == wanted.frame_error
        assert grid.rotated(grid.symmetries()[0][-1]).points.device.type == "cpu"
        if grid.dim == 3:
            assert Ponita(PonitaConfig(1, hidden=4, basis=4, layers=1), grid).ori.device.type == "meta"


def test_changing_a_grid_does_not_change_the_next_one():
    grid = make_grid("repulsion", 5)
    kept = grid.points.clone()
    grid.points.zero_()
    assert torch.equal(make_grid("repulsion", 5).points, kept)


# ----------------------------------------------------------------------------------------------------- symmetries
@pytest.mark.parametrize(
    ("grid", "order"),
    [
        (make_grid("tetrahedron"), 12),
        (make_grid("octahedron"), 24),
        (make_grid("cube"), 24),
        (make_grid("icosahedron"), 60),
        (make_grid("dodecahedron"), 60),
        (make_grid("lebedev", 110), 24),
        (make_grid("repulsion", 4), 12),
        (make_grid("repulsion", 32), 60),
        (make_grid("repulsion", 3), 6),
        (make_grid("fibonacci", 20), 2),  # half a turn that exchanges point i and point n−1−i
        (make_grid("fibonacci", 2), 2),
        (make_grid("circle", 8), 8),
        (make_grid("circle", 1), 1),
        (random_grid(20), 1),
        (random_grid(5, dim=2), 1),
    ],
    ids=repr,
)
def test_symmetries_permute_the_grid_and_form_a_group(grid, order):
    rotations, permutations = grid.symmetries()
    assert rotations.shape == (order, grid.dim, grid.dim) and permutations.shape == (order, len(grid))
    assert permutations[0].tolist() == list(range(len(grid)))
    assert (rotations[0] - torch.eye(grid.dim, dtype=F64)).abs().max() < 1e-14
    assert (torch.linalg.det(rotations) - 1).abs().max() < 1e-13
    assert (grid.points @ rotations.mT - grid.points[permutations]).abs().max() < 1e-12
    known = {tuple(p) for p in permutations.tolist()}
    assert len(known) == order
    assert {tuple(p[q]) for p in permutations.numpy() for q in permutations.numpy()} == known


def test_a_rotation_outside_the_group_does_not_permute_the_grid():
    points = make_grid("icosahedron").points
    moved = points @ random_rotations(1, seed=0)[0].T
    assert torch.cdist(moved, points).min(1).values.max() > 0.05


@pytest.mark.parametrize(("heavy", "order"), [([0], 4), ([0, 3], 8), ([0, 1], 2), ([0, 1, 2], 3)])
def test_symmetries_respect_the_weights(heavy, order):
    """Octahedron with heavy vertices: one (fourfold axis), an opposite pair, a neighbouring pair, a face."""
    weights = torch.ones(6, dtype=F64)
    weights[heavy] = 2
    grid = Grid.from_points(make_grid("octahedron").points, weights / weights.sum())
    rotations, permutations = grid.symmetries()
    assert len(rotations) == order
    assert torch.equal(grid.weights[permutations], grid.weights.expand(order, -1))


@pytest.mark.parametrize("name", GRID_NAMES)
def test_antipodes_point_the_other_way(name):
    grid = any_grid(name)
    index = grid.antipodes()
    if name in ("tetrahedron", "fibonacci", "repulsion"):
        assert index is None
    else:
        assert (grid.points[index] + grid.points).abs().max() < 1e-15
        assert torch.equal(index[index], torch.arange(len(grid)))


def test_antipodes_of_an_odd_circle_are_absent():
    assert make_grid("circle", 7).antipodes() is None


def test_rotated_grid_keeps_its_figures_and_turns_its_frame():
    grid, rotation = random_grid(12), random_rotations(1, seed=2)[0]
    turned = grid.rotated(rotation)
    assert (turned.points - grid.points @ rotation.T).abs().max() < 1e-15
    assert (turned.mean - rotation @ grid.mean).abs().max() < 1e-15
    assert (turned.frame - rotation @ grid.frame @ rotation.T).abs().max() < 1e-15
    assert (turned.frame - grid.frame).abs().max() > 1e-3
    for figure in ("separation", "covering_radius", "energy"):
        assert abs(getattr(turned, figure) - getattr(grid, figure)) < 1e-12
    assert max(abs(turned.quadrature_error(k) - grid.quadrature_error(k)) for k in range(1, 8)) < 1e-14


# ---------------------------------------------------------------------------------------------------- the figures
def test_frame_and_mean_are_the_weighted_sums():
    grid = random_grid(9)
    mean = sum(w * o for w, o in zip(grid.weights, grid.points, strict=True))
    frame = sum(w * torch.outer(o, o) for w, o in zip(grid.weights, grid.points, strict=True))
    assert (grid.mean - mean).abs().max() < 1e-15 and (grid.frame - frame).abs().max() < 1e-15
    assert abs(float(grid.frame.trace()) - 1) < 1e-14


@pytest.mark.parametrize(
    ("name", "cosine"),
    [
        ("tetrahedron", 1 / 3),
        ("octahedron", 1 / np.sqrt(3)),
        ("cube", 1 / np.sqrt(3)),
        ("icosahedron", np.sqrt((5 + 2 * np.sqrt(5)) / 15)),
        ("dodecahedron", np.sqrt((5 + 2 * np.sqrt(5)) / 15)),
    ],
)
def test_covering_radius_of_platonic_grids_is_the_angle_from_vertex_to_face(name, cosine):
    assert abs(make_grid(name).covering_radius - np.arccos(cosine)) < 1e-14


POLE_CAP = torch.tensor([[0.6, 0, 0.8], [-0.6, 0, 0.8], [0, 0.6, 0.8]], dtype=F64)
FLAT_OR_FEW = [
    make_grid("repulsion", 1),
    make_grid("repulsion", 2),
    make_grid("repulsion", 3),
    make_grid("fibonacci", 2),
    make_grid("fibonacci", 3),
    Grid.from_points(POLE_CAP),
]
ONE_SIDED = [  # the farthest direction is opposite to an edge of the hull
    Grid.from_points(torch.tensor([[1, 0, 0.0], [0.8, 0.6, 0], [0.28, 0.96, 0]], dtype=F64)),
    Grid.from_points(torch.tensor([[0.6, 0, 0.8], [0.48, 0.36, 0.8], [0.36, 0.48, 0.8]], dtype=F64)),
    Grid.from_points(
        torch.tensor([[1, 0, 0.0], [0.28, 0.96, 0], [0.768, 0.576, 0.28], [0.768, 0.576, -0.28]], dtype=F64)
    ),
]
FIGURES = [make_grid("fibonacci", 15), random_grid(5), random_grid(30), make_grid("cube"), *FLAT_OR_FEW, *ONE_SIDED]


@pytest.mark.parametrize("grid", FIGURES, ids=repr)
def test_covering_radius_is_what_dense_sampling_approaches_from_below(grid):
    nearest = (directions(40_000) @ grid.points.T).max(1).values.clamp(-1, 1).arccos()
    assert grid.covering_radius - 0.05 < float(nearest.max()) < grid.covering_radius + 1e-7


@pytest.mark.parametrize("grid", FIGURES, ids=repr)
def test_voronoi_areas_are_the_shares_of_random_directions(grid):
    areas = grid.voronoi_areas()
    assert abs(float(areas.sum()) - 4 * np.pi) < 1e-9
    share = areas / (4 * np.pi)
    counts = torch.bincount((directions(40_000) @ grid.points.T).argmax(1), minlength=len(grid)) / 40_000
    assert ((counts - share).abs() < 5 * (share * (1 - share) / 40_000).sqrt() + 1e-12).all()
    if len(grid) > 2 and share.std() > 0.02:
        assert ((counts - share.roll(1)).abs() > 0.01).any()  # areas given to the wrong points would be noticed


def test_circle_figures_follow_from_the_gaps():
    grid = random_grid(6, dim=2)
    theta = torch.linspace(0, 2 * np.pi, 20_001, dtype=F64)[:-1]
    cosine = torch.stack((theta.cos(), theta.sin()), 1) @ grid.points.T
    nearest = cosine.max(1).values.clamp(-1, 1).arccos()
    assert abs(float(nearest.max()) - grid.covering_radius) < 1e-3
    share = torch.bincount(cosine.argmax(1), minlength=6) / 20_000
    assert (grid.voronoi_areas() / (2 * np.pi) - share).abs().max() < 1e-3
    assert abs(float(grid.voronoi_areas().sum()) - 2 * np.pi) < 1e-14
    even = make_grid("circle", 6)
    assert even.separation == pytest.approx(np.pi / 3, abs=1e-14)
    assert even.covering_radius == pytest.approx(np.pi / 6, abs=1e-14)


def test_separation_and_energy_are_those_of_all_pairs():
    grid = random_grid(9)
    first, second = np.triu_indices(9, 1)
    a, b = grid.points[first], grid.points[second]
    angles = torch.atan2(torch.linalg.cross(a, b).norm(dim=1), (a * b).sum(1))
    assert abs(grid.separation - float(angles.min())) < 1e-14
    assert abs(grid.energy - float((1 / (2 * (angles / 2).sin())).mean())) < 1e-13


@pytest.mark.parametrize("grid", [make_grid("fibonacci", 12), random_grid(7), make_grid("lebedev", 74)], ids=repr)
def test_quadrature_error_obeys_the_addition_theorem(grid):
    """Σ_m |Σ_i w_i Y_lm|² 4π/(2l+1) = Σ_ij w_i w_j P_l(o_i·o_j); the second form knows no harmonics."""
    gram, w = (grid.points @ grid.points.T).numpy(), grid.weights.numpy()
    for degree in range(1, 12):
        assert abs(grid.quadrature_error(degree) ** 2 - w @ eval_legendre(degree, gram) @ w) < 1e-14


def test_quadrature_error_of_one_point_is_one():
    assert max(abs(make_grid("fibonacci", 1).quadrature_error(k) - 1) for k in range(1, 10)) < 1e-13
    assert abs(make_grid("circle", 1).quadrature_error(3) - 1) < 1e-15


@pytest.mark.parametrize(
    ("name", "exact", "first_miss"),
    [("tetrahedron", 2, 3), ("octahedron", 3, 4), ("cube", 3, 4), ("icosahedron", 5, 6), ("dodecahedron", 5, 6)],
)
def test_platonic_grids_are_designs_of_known_strength(name, exact, first_miss):
    grid = make_grid(name)
    assert max(grid.quadrature_error(k) for k in range(1, exact + 1)) < 1e-15
    assert grid.quadrature_error(first_miss) > 0.1


def test_circle_integrates_every_frequency_but_multiples_of_n():
    errors = [make_grid("circle", 5).quadrature_error(k) for k in range(1, 11)]
    assert max(e for k, e in enumerate(errors, 1) if k % 5) < 1e-14
    assert errors[4] == pytest.approx(1) and errors[9] == pytest.approx(1)


@pytest.mark.parametrize("weights", [[1 / 3] * 3, [0.2, 0.3, 0.5], torch.tensor([0.2, 0.3, 0.5])], ids=str)
def test_weights_may_be_rounded_or_a_list(weights):
    grid = Grid.from_points(torch.eye(3), weights)
    assert float(grid.weights.sum()) == pytest.approx(1, abs=1e-15)
    assert grid.weights.tolist() == pytest.approx(torch.as_tensor(weights).tolist(), abs=1e-7)
    with pytest.raises(ValueError, match="weights must sum to 1"):
        Grid.from_points(torch.eye(3), [0.3, 0.3, 0.39])
