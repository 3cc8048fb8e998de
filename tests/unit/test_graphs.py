"""Batches of point clouds: edges, putting together, taking apart, reordering, moving."""

from itertools import product

import pytest
import torch
from clouds import F64, cloud, hard_batch, hard_parts

from ponita_edu.data.edges import complete_edges, mutual_edges, radius_edges, with_self_loops, without_self_loops
from ponita_edu.data.graphs import Graphs, collate
from ponita_edu.geometry import Motion, random_rotations

BATCHES = {"one": [5], "sizes 3 1 4": [3, 1, 4], "singles": [1, 1, 1], "a gap": [2, 0, 3]}


def batch_of(sizes):
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))


def pairs(edge_index):
    found = list(zip(*edge_index.tolist(), strict=True))
    assert len(set(found)) == len(found), "an edge is listed twice"
    return set(found)


def brute_force(pos, batch, radius, self_loops):
    n = range(len(pos))
    return {(s, t) for s, t in product(n, n) if batch[s] == batch[t] and (s != t or self_loops)
            and float(((pos[s] - pos[t]).double() ** 2).sum()) <= radius**2}


# --------------------------------------------------------------------------------------------------------- edges
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES)
def test_complete_edges_are_all_pairs_of_each_graph(sizes, self_loops):
    batch = batch_of(sizes)
    found = complete_edges(batch, self_loops)
    assert pairs(found) == brute_force(torch.zeros(len(batch), 2), batch, 1.0, self_loops)
    assert found.shape[1] == sum(n * n - (0 if self_loops else n) for n in sizes)
    assert torch.equal(found[1], found[1].sort().values)  # receiver by receiver


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("radius", [0.3, 1.0, 2.5, float("inf")])
def test_radius_edges_equal_brute_force(radius, dim, self_loops, dtype):
    batch = batch_of([12, 1, 0, 20, 7])
    pos = torch.randn(len(batch), dim, generator=torch.Generator().manual_seed(0), dtype=F64).to(dtype)
    pos[3] = pos[5]  # two points at the same place, in graph 0
    pos[13] = pos[0]  # and at the place of a point of another graph, which is no neighbour
    found = radius_edges(pos, batch, radius, self_loops)
    assert pairs(found) == brute_force(pos, batch, radius, self_loops)
    assert torch.equal(found[1], found[1].sort().values)  # receiver by receiver


def test_radius_edges_include_points_at_the_radius_exactly():
    pos = torch.tensor([[0.0, 0.0], [3.0, 4.0], [-3.0, -4.0]])
    batch = torch.zeros(3, dtype=torch.long)
    assert pairs(radius_edges(pos, batch, 5.0, self_loops=False)) == {(0, 1), (1, 0), (0, 2), (2, 0)}
    assert pairs(radius_edges(pos, batch, 4.999, self_loops=False)) == set()


def test_radius_edges_of_far_away_graphs_are_found_too():
    # the tree's extra coordinate must not cost digits: graph 4000 of 5000
    batch = torch.arange(5000).repeat_interleave(2)
    pos = torch.zeros(10_000, 3, dtype=F64)
    pos[1::2, 0] = 0.1 * (1 + 1e-9 * torch.tensor([-1.0, 1.0], dtype=F64)).repeat(2500)
    found = radius_edges(pos, batch, 0.1, self_loops=False)
    assert sorted(set(batch[found[0]].tolist())) == list(range(0, 5000, 2))


def test_self_loops_are_added_once_and_taken_away():
    edges = torch.tensor([[0, 1, 1, 1, 0], [1, 1, 0, 2, 1]])
    assert pairs(with_self_loops(edges, 4)) == {(0, 0), (1, 1), (2, 2), (3, 3), (0, 1), (1, 0), (1, 2)}
    assert pairs(without_self_loops(edges)) == {(0, 1), (1, 0), (1, 2)}


def test_mutual_edges_are_each_pair_once_and_the_loops():
    edges = complete_edges(batch_of([3, 2]))
    edges = edges[:, torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(1))]
    edges = edges[:, ~((edges[0] == 2) & (edges[1] == 2))]
    found = mutual_edges(edges, 5)
    assert pairs(torch.stack((found.source, found.target))) == {(0, 1), (0, 2), (1, 2), (3, 4)}
    assert sorted(found.loops.tolist()) == [0, 1, 3, 4]


@pytest.mark.parametrize("edges", [[(0, 1)], [(0, 1), (1, 0), (1, 2)], [(0, 1), (0, 1), (1, 0), (1, 0)],
                                   [(0, 1), (0, 1), (1, 0), (1, 0), (0, 2), (2, 0)], [(2, 2), (2, 2)],
                                   [(0, 1), (2, 1)]], ids=str)
def test_edges_without_their_reverse_or_listed_twice_are_not_mutual(edges):
    assert mutual_edges(torch.tensor(edges).T, 3) is None


def test_pairs_of_complete_graphs_are_listed_by_the_difference_of_their_nodes_and_others_by_source():
    batch = batch_of([3, 1, 0, 4])
    complete = Graphs(torch.zeros(8, 2), torch.zeros(8, 0), batch=batch)
    wanted = [(s, t) for b, d in product(range(4), range(1, 8)) for s, t in product(range(8), repeat=2)
              if t - s == d and batch[s] == batch[t] == b]
    assert list(zip(complete.mutual.source.tolist(), complete.mutual.target.tolist(), strict=True)) == wanted
    fewer = complete._replace(edge_index=complete.edge_index[:, (complete.source + complete.target) != 7 + 4])
    assert list(zip(fewer.mutual.source.tolist(), fewer.mutual.target.tolist(), strict=True)) == sorted(
        (s, t) for s, t in wanted if s + t != 11)


# --------------------------------------------------------------------------------------------------- construction
def test_defaults_are_one_complete_graph_with_self_loops():
    graphs = Graphs(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(4, 0))
    assert graphs.num_graphs == 1 and graphs.dim == 3 and graphs.num_nodes == 4
    assert graphs.batch.tolist() == [0] * 4 and graphs.edge_index.shape == (2, 16)
    assert torch.equal(torch.stack((graphs.source, graphs.target)), graphs.edge_index)


# -------------------------------------------------------------------------------------------------------- collate
def test_collate_shifts_node_and_graph_numbers():
    parts = hard_parts(3)
    whole = collate(parts)
    assert whole.num_graphs == 5 and whole.num_nodes == sum(p.num_nodes for p in parts)
    first = 0
    for k, part in enumerate(parts):
        rows = whole.batch == k
        assert int(rows.sum()) == part.num_nodes
        for name in ("pos", "x", "vec"):
            assert torch.equal(getattr(whole, name)[rows], getattr(part, name))
        inside = (whole.source >= first) & (whole.source < first + part.num_nodes)
        assert torch.equal(whole.edge_index[:, inside] - first, part.edge_index)
        assert torch.equal(whole.y["charge"][rows], part.y["charge"])
        assert torch.equal(whole.y["energy"][k : k + 1], part.y["energy"])
        assert torch.equal(whole.y_vec["dipole"][k : k + 1], part.y_vec["dipole"])
        first += part.num_nodes
    again = collate([whole, collate(parts[:2])])  # batches of batches
    assert again.num_graphs == 7 and again.batch[-1] == 6


def test_collate_keeps_the_place_of_a_graph_without_nodes():
    gap = cloud(2, 2, 0)._replace(num_graphs=2, y={}, y_vec={})
    whole = collate([gap, cloud(3, 2, 1)._replace(y={}, y_vec={})])
    assert whole.batch.tolist() == [0, 0, 2, 2, 2] and whole.num_graphs == 3


# ----------------------------------------------------------------------------------------------------- reordering
def test_permuted_moves_everything_with_its_node():
    graphs = hard_batch(3, cond=True)
    generator = torch.Generator().manual_seed(2)
    order = torch.cat([(graphs.batch == b).nonzero()[:, 0][torch.randperm(int((graphs.batch == b).sum()),
                                                                          generator=generator)] for b in range(5)])
    moved = graphs.permuted(order)
    for name in ("pos", "x", "vec", "cond", "batch"):
        assert torch.equal(getattr(moved, name), getattr(graphs, name)[order])
    assert torch.equal(moved.y["charge"], graphs.y["charge"][order])
    assert torch.equal(moved.y["energy"], graphs.y["energy"])
    old = {(int(s), int(t)) for s, t in graphs.edge_index.T}
    assert {(int(order[s]), int(order[t])) for s, t in moved.edge_index.T} == old
    back = moved.permuted(torch.argsort(order))
    assert torch.equal(back.pos, graphs.pos) and torch.equal(back.edge_index, graphs.edge_index)


# --------------------------------------------------------------------------------------------------------- moving
@pytest.mark.parametrize("dim", [2, 3])
def test_moved_acts_on_points_vectors_and_vector_targets_only(dim):
    graphs = hard_batch(dim, cond=True)
    g = Motion.random(1, dim, seed=1, reflections=True)[0]
    moved = graphs.moved(g)
    assert torch.allclose(moved.pos, graphs.pos @ g.rotation.T + g.translation, atol=1e-14)
    assert torch.allclose(moved.vec, graphs.vec @ g.rotation.T, atol=1e-14)
    for name in ("velocity", "dipole"):
        assert torch.allclose(moved.y_vec[name], graphs.y_vec[name] @ g.rotation.T, atol=1e-14)
    for name in ("x", "cond", "edge_index", "batch"):
        assert getattr(moved, name) is getattr(graphs, name)
    assert all(moved.y[k] is v for k, v in graphs.y.items())
    assert torch.allclose(moved.moved(g.inverse()).pos, graphs.pos, atol=1e-13)


def test_moved_takes_a_motion_for_each_graph():
    graphs = hard_batch(3)
    motions = Motion.random(5, 3, seed=4)
    moved = graphs.moved(motions)
    for k, part in enumerate(hard_parts(3)):
        alone = part.moved(motions[k])
        assert torch.allclose(moved.pos[graphs.batch == k], alone.pos, atol=1e-14)
        assert torch.allclose(moved.vec[graphs.batch == k], alone.vec, atol=1e-14)
        assert torch.allclose(moved.y_vec["velocity"][graphs.batch == k], alone.y_vec["velocity"], atol=1e-14)
        assert torch.allclose(moved.y_vec["dipole"][k], alone.y_vec["dipole"][0], atol=1e-14)


def test_distances_stay_and_differ_after_a_map_that_is_no_motion():
    graphs = hard_batch(3)

    def lengths(g):
        return (g.pos[g.source] - g.pos[g.target]).norm(dim=1)

    assert torch.allclose(lengths(graphs.rotate(random_rotations(5, seed=3))), lengths(graphs), atol=1e-13)
    assert (lengths(graphs._replace(pos=2 * graphs.pos)) - lengths(graphs)).abs().max() > 0.1


def test_targets_that_may_be_of_nodes_or_of_graphs_are_refused():
    # two nodes in the first of two graphs: two rows could turn with the nodes or with the graphs
    points, dipole = torch.zeros(2, 3, dtype=F64), torch.eye(3, dtype=F64)[:2]
    with pytest.raises(ValueError, match=r"y_vec\['dipole'\] has 2 rows.*no nodes.*Drop those graphs"):
        Graphs(points, points[:, :1], num_graphs=2, y_vec={"dipole": dipole})
    alone = Graphs(points, points[:, :1], batch=torch.arange(2), y_vec={"dipole": dipole})  # here both agree
    turns = random_rotations(2, seed=5)
    assert torch.allclose(alone.rotate(turns).y_vec["dipole"], torch.einsum("gij,gj->gi", turns, dipole), atol=1e-14)


# ---------------------------------------------------------------------------------------------------- other copies
def test_to_casts_real_numbers_and_leaves_indices():
    graphs = hard_batch(2, cond=True).to(torch.float32)
    for name in ("pos", "x", "vec", "cond"):
        assert getattr(graphs, name).dtype == torch.float32
    assert graphs.edge_index.dtype == graphs.batch.dtype == torch.long
    assert graphs.y["energy"].dtype == graphs.y_vec["dipole"].dtype == torch.float32


def test_requires_grad_makes_positions_a_leaf_of_their_own():
    graphs = hard_batch(2)
    leaf = graphs.requires_grad_()
    leaf.pos.sum().backward()
    assert bool((leaf.pos.grad == 1).all()) and not graphs.pos.requires_grad


def test_copies_share_what_was_worked_out_about_their_edges():
    graphs = hard_batch(3)
    known = graphs.mutual
    assert graphs.moved(Motion.random(1, 3)[0]).mutual is known
    order = torch.arange(graphs.num_nodes).flip(0)
    order = order[torch.argsort(graphs.batch[order], stable=True)]
    fresh = graphs.permuted(order)
    assert fresh.mutual is not known
    assert {frozenset(p) for p in zip(fresh.mutual.source.tolist(), fresh.mutual.target.tolist(), strict=True)} == {
        frozenset(e) for e in fresh.edge_index.T.tolist() if e[0] != e[1]}
