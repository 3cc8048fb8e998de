"""What holds for all inputs, tried on examples that Hypothesis makes: motions, invariants, grids, batches, splits.

``make test`` tries 200 examples of each, always the same; ``HYPOTHESIS_PROFILE=nightly`` tries 10,000 new ones.
"""

import math
import os
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ponita_edu.data.edges import complete_edges, mutual_edges, radius_edges
from ponita_edu.data.graphs import Graphs, collate
from ponita_edu.data.md17 import published_split, split_by_numbers
from ponita_edu.data.packed import pack
from ponita_edu.geometry import (
    Motion,
    axis_angle,
    invariants_r2s1_cosine,
    invariants_r3,
    invariants_r3s2_e3,
    invariants_r3s2_se3,
    invariants_r3s2_triple,
    make_grid,
    rotation_2d,
    to_axis_angle,
)

F64 = torch.float64
SLOW = [HealthCheck.too_slow]  # a busy machine is no fault of the examples
settings.register_profile("quick", max_examples=200, deadline=None, derandomize=True, database=None,
                          suppress_health_check=SLOW)
settings.register_profile("nightly", max_examples=10_000, deadline=None, print_blob=True, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

numbers = st.floats(-100, 100, allow_subnormal=False)
angles = st.floats(-math.pi, math.pi)
sizes = st.lists(st.integers(1, 6), min_size=1, max_size=5)
seeds = st.integers(0, 2**32 - 1)


def tensors(*shape):
    return arrays(np.float64, shape, elements=numbers).map(torch.from_numpy)


@st.composite
def units(draw, n, dim):
    v = draw(tensors(n, dim))
    length = v.norm(dim=-1, keepdim=True)
    return torch.where(length > 1e-3, v / length.clamp(min=1e-3), torch.eye(dim, dtype=F64)[:1])


@st.composite
def motions(draw, dim, mirror=False):
    angle = torch.tensor(draw(angles), dtype=F64)
    rotation = rotation_2d(angle) if dim == 2 else axis_angle(draw(units(1, 3))[0], angle)
    if mirror and draw(st.booleans()):
        rotation = rotation * torch.tensor([-1.0] + (dim - 1) * [1.0], dtype=F64)
    return Motion(rotation, draw(tensors(dim)))


@st.composite
def clouds(draw, dim=3):
    """Graphs with all that turns and all that does not."""
    counts = draw(sizes)
    n = sum(counts)
    batch = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Graphs(draw(tensors(n, dim)), draw(tensors(n, 2)), batch=batch, vec=draw(tensors(n, 1, dim)))


def close(a, b, scale=1.0):
    return bool((a - b).abs().max() <= 1e-9 * (1 + scale)) if a.numel() else a.shape == b.shape


# --- motions and invariants


@given(units(1, 3), angles)
def test_axis_and_angle_give_a_rotation_and_come_back_from_it(axis, angle):
    rotation = axis_angle(axis, torch.tensor([angle], dtype=F64))
    assert close(rotation @ rotation.mT, torch.eye(3, dtype=F64)) and close(torch.linalg.det(rotation), torch.ones(1))
    assert close(rotation @ axis[..., None], axis[..., None])
    again = axis_angle(*to_axis_angle(rotation))
    assert (again - rotation).abs().max() < 1e-7  # near π the axis is a square root of what rounding leaves


@pytest.mark.parametrize("dim", [2, 3])
@given(st.data())
def test_motions_are_a_group_that_keeps_distances(dim, data):
    g, h = data.draw(motions(dim, mirror=True)), data.draw(motions(dim, mirror=True))
    p = data.draw(tensors(2, dim))
    assert close((g @ h).on_points(p), g.on_points(h.on_points(p)), 400)
    assert close(g.inverse().on_points(g.on_points(p)), p, 400)
    assert close(torch.cdist(g.on_points(p), g.on_points(p), compute_mode="donot_use_mm_for_euclid_dist"),
                 torch.cdist(p, p, compute_mode="donot_use_mm_for_euclid_dist"), 400)


@pytest.mark.parametrize("f", [invariants_r2s1_cosine, invariants_r3s2_triple, invariants_r3s2_e3, invariants_r3s2_se3],
                         ids=lambda f: f.__name__)
@given(st.data())
def test_invariants_of_pairs_do_not_see_motions(f, data):
    dim = 2 if f is invariants_r2s1_cosine else 3
    g = data.draw(motions(dim, mirror=f in (invariants_r3s2_triple, invariants_r3s2_e3)))
    r, ori_t, ori_s = data.draw(tensors(2, dim)), data.draw(units(2, dim)), data.draw(units(2, dim))
    before = f(r, ori_t, ori_s)
    after = f(g.on_vectors(r), g.on_orientations(ori_t), g.on_orientations(ori_s))
    # parts of r across an orientation are square roots of differences: half the digits where they vanish
    assert (after - before).abs().max() < 1e-5 * (1 + r.norm(dim=-1).max())


@given(tensors(4, 3), motions(3))
def test_distance_does_not_see_motions_and_the_first_coordinate_does(r, g):
    assert close(invariants_r3(g.on_vectors(r)), invariants_r3(r), 400)
    turned = axis_angle(torch.tensor([0.0, 0.0, 1.0], dtype=F64), torch.tensor(math.pi, dtype=F64)) @ r.mT
    assume(r[:, 0].abs().max() > 1)
    assert not close(turned.mT[:, 0], r[:, 0])  # what a wrong invariant would show


# --- grids


@given(st.sampled_from(["circle", "fibonacci"]), st.integers(2, 120), motions(3))
def test_grids_of_any_size_are_unit_vectors_whose_figures_do_not_see_rotations(name, n, g):
    grid = make_grid(name, n)
    dim = grid.dim
    assert len(grid) == n and close(grid.points.norm(dim=-1), torch.ones(n))
    assert close(grid.weights.sum(), torch.ones(1))
    rotation = g.rotation if dim == 3 else rotation_2d(torch.tensor(0.7, dtype=F64))
    moved = grid.rotated(rotation)
    assert close(moved.points, grid.points @ rotation.mT)
    assert abs(moved.separation - grid.separation) < 1e-7 and abs(moved.frame_error) < 1
    assert close(moved.frame, rotation @ grid.frame @ rotation.mT)


@given(st.sampled_from(["tetrahedron", "octahedron", "cube", "icosahedron", "dodecahedron"]), motions(3), tensors(3))
def test_platonic_solids_give_every_vector_back(name, g, v):
    grid = make_grid(name).rotated(g.rotation)
    read = 3 * (grid.weights[:, None] * grid.points * (grid.points @ v)[:, None]).sum(0)
    assert close(read, v, 200)
    spoilt = grid.points.clone()
    spoilt[0] = -spoilt[1]
    assume(v.norm() > 1)
    assert not close(torch.einsum("nd,ne->de", spoilt, spoilt), torch.eye(3, dtype=F64) * len(grid) / 3)


# --- edges and batches


@given(sizes, st.booleans())
def test_complete_edges_are_all_pairs_within_a_graph(counts, loops):
    batch = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    found = complete_edges(batch, loops).T.tolist()
    wanted = [(s, t) for t, s in product(range(len(batch)), repeat=2) if batch[s] == batch[t] and (loops or s != t)]
    assert found == [list(e) for e in wanted]


@given(clouds(), st.floats(0.1, 300))
def test_neighbours_within_a_radius_are_those_that_a_table_of_distances_shows(graphs, radius):
    distance = (graphs.pos[:, None] - graphs.pos).norm(dim=-1)
    assume(((distance - radius).abs() > 1e-9).all())
    near = (distance <= radius) & (graphs.batch[:, None] == graphs.batch)
    found = radius_edges(graphs.pos, graphs.batch, radius)
    assert {*map(tuple, found.T.tolist())} == {*map(tuple, near.nonzero().tolist())}


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20), st.booleans())
def test_mutual_edges_hold_all_edges_or_there_are_none(edges, complete):
    if complete:
        edges = edges | {(t, s) for s, t in edges}
    index = torch.tensor(sorted(edges), dtype=torch.long).reshape(-1, 2).T
    found = mutual_edges(index, 8)
    assert (found is None) == any((t, s) not in edges for s, t in edges)
    if found is not None:
        pairs = set(zip(found.source.tolist(), found.target.tolist(), strict=True))
        assert pairs | {(t, s) for s, t in pairs} | {(i, i) for i in found.loops.tolist()} == edges


@given(st.lists(clouds(), min_size=1, max_size=4))
def test_collated_graphs_are_the_graphs_side_by_side(parts):
    whole, nodes, graphs = collate(parts), 0, 0
    checked = Graphs(whole.pos, whole.x, whole.edge_index, whole.batch, whole.num_graphs, whole.vec)
    assert checked.num_graphs == sum(p.num_graphs for p in parts)
    assert checked.num_nodes == sum(p.num_nodes for p in parts)
    edges = 0
    for part in parts:
        rows, some = slice(nodes, nodes + part.num_nodes), slice(edges, edges + part.edge_index.shape[1])
        assert torch.equal(whole.pos[rows], part.pos) and torch.equal(whole.batch[rows] - graphs, part.batch)
        assert torch.equal(whole.edge_index[:, some] - nodes, part.edge_index)
        nodes, graphs, edges = nodes + part.num_nodes, graphs + part.num_graphs, edges + part.edge_index.shape[1]


@given(clouds(), motions(3), seeds)
def test_moving_and_reordering_commute_and_reordering_can_be_undone(graphs, g, seed):
    shuffle = torch.rand(graphs.num_nodes, generator=torch.Generator().manual_seed(seed), dtype=F64)
    order = torch.argsort(graphs.batch + shuffle)
    one, other = graphs.moved(g).permuted(order), graphs.permuted(order).moved(g)
    assert close(one.pos, other.pos, 400) and close(one.vec, other.vec, 400) and torch.equal(one.x, other.x)
    back = graphs.permuted(order).permuted(torch.argsort(order))
    assert torch.equal(back.pos, graphs.pos) and torch.equal(back.edge_index, graphs.edge_index)


@given(sizes, st.data())
def test_batches_of_packed_molecules_are_the_molecules(counts, data):
    n = sum(counts)
    elements = data.draw(arrays(np.int64, n, elements=st.sampled_from([1, 6, 7, 8, 9])))
    pos = data.draw(arrays(np.float64, (n, 3), elements=numbers))
    packed = pack(elements, pos, np.array(counts))
    index = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=6))
    batch = packed.batch(torch.tensor(index))
    starts = np.cumsum(counts) - counts
    rows = np.concatenate([np.arange(starts[m], starts[m] + counts[m]) for m in index])
    assert torch.equal(batch.pos, torch.from_numpy(pos[rows])) and batch.num_graphs == len(index)
    assert torch.equal(batch.batch.bincount(), torch.tensor([counts[m] for m in index]))
    wanted = complete_edges(batch.batch).T.tolist()
    assert sorted(batch.edge_index.T.tolist()) == sorted(wanted)


# --- splits


@given(st.integers(3, 3000), st.data())
def test_split_by_numbers_parts_every_frame_once_and_smaller_sets_lie_in_larger(count, data):
    train = data.draw(st.integers(1, count - 2))
    val = data.draw(st.integers(1, count - train))
    seed = data.draw(st.none() | seeds)
    parts = split_by_numbers(count, train, val, seed)
    assert [len(p) for p in parts] == [train, val, count - train - val]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(count))
    fewer = split_by_numbers(count, (train + 1) // 2, val, seed)[0]
    assert torch.equal(fewer, parts[0][: len(fewer)])


@given(st.integers(99_901, 130_000))
@settings(max_examples=20)
def test_published_split_parts_the_first_hundred_thousand(count):
    train, val, test = published_split(count)
    assert (len(train), len(val)) == (950, 50)
    assert torch.equal(torch.cat((train, val, test)).sort().values, torch.arange(min(count, 100_000)))


def test_a_false_property_is_refuted():
    """Hypothesis does find the example: not every pair of rotations commutes."""

    @given(motions(3), motions(3))
    def commute(g, h):
        assert close((g @ h).rotation, (h @ g).rotation)

    with pytest.raises(AssertionError):
        commute()
