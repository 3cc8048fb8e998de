"""Who sends to whom: complete graphs, neighbours within a radius, pairs and their reverses."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor


def complete_edges(batch: Int[Tensor, " nodes"], self_loops: bool = True) -> Int[Tensor, "2 edges"]:
    """All ordered pairs of nodes of the same graph, listed receiver by receiver.

    Args:
        batch: number of the graph of each node, ascending (nodes of a graph stand together).
        self_loops: whether a node is its own neighbour.
    """
    sizes = torch.bincount(batch)
    first = torch.cumsum(sizes, 0) - sizes
    degree = sizes[batch]
    target = torch.repeat_interleave(torch.arange(len(batch), device=batch.device), degree)
    first_edge = torch.repeat_interleave(torch.cumsum(degree, 0) - degree, degree)
    rank = torch.arange(len(target), device=batch.device) - first_edge
    edge_index = torch.stack((first[batch[target]] + rank, target))
    return edge_index if self_loops else edge_index[:, edge_index[0] != edge_index[1]]


def radius_edges(
    pos: Float[Tensor, "nodes dim"], batch: Int[Tensor, " nodes"], radius: float, self_loops: bool = True
) -> Int[Tensor, "2 edges"]:
    """All ordered pairs of nodes of the same graph at a distance of at most ``radius``, by receiver.

    A k-d tree (scipy), so the cost is about linear in the number of nodes for a bounded density.

    Raises:
        ValueError: if ``radius`` is not positive.
    """
    if not isinstance(radius, (int, float)) or not radius > 0:
        raise ValueError(f"radius must be a positive number, but is {radius!r}. Use float('inf') to join all nodes of "
                         "a graph.")
    check_finite("pos", pos)
    if radius == float("inf"):
        return complete_edges(batch, self_loops)
    # One further coordinate sets the graphs of a batch more than a radius apart, so one tree serves all of them.
    apart = batch.detach().cpu().double()[:, None] * (2 * radius)
    points = torch.cat((pos.detach().cpu().double(), apart), dim=1).numpy()
    pairs = cKDTree(points).query_pairs(radius, output_type="ndarray")
    one_way = torch.from_numpy(pairs.astype(np.int64)).T.reshape(2, -1)
    edge_index = torch.cat((one_way, one_way.flip(0)), dim=1).to(pos.device)
    if self_loops:
        loops = torch.arange(len(pos), device=pos.device).expand(2, -1)
        edge_index = torch.cat((edge_index, loops), dim=1)
    order = torch.argsort(edge_index[1] * len(pos) + edge_index[0])
    return edge_index[:, order]


def with_self_loops(edge_index: Int[Tensor, "2 edges"], num_nodes: int) -> Int[Tensor, "2 more_edges"]:
    """The edges and a self loop for every node, each pair once, sorted by (source, target)."""
    loops = torch.arange(num_nodes, device=edge_index.device).expand(2, -1)
    return torch.unique(torch.cat((edge_index, loops), dim=1), dim=1)


def without_self_loops(edge_index: Int[Tensor, "2 edges"]) -> Int[Tensor, "2 fewer_edges"]:
    """The edges that join two different nodes, each pair once, sorted by (source, target)."""
    proper: Bool[Tensor, " edges"] = edge_index[0] != edge_index[1]
    return torch.unique(edge_index[:, proper], dim=1)


class MutualEdges(NamedTuple):
    """Edges that come with their reverse, each pair listed once, and nodes that have a self loop."""

    source: Int[Tensor, " pairs"]
    target: Int[Tensor, " pairs"]
    loops: Int[Tensor, " loops"]


def mutual_edges(edge_index: Int[Tensor, "2 edges"], num_nodes: int) -> MutualEdges | None:
    """Split edges into unordered pairs and self loops; None if one has no reverse, or is listed twice."""
    source, target = edge_index
    loops = source[source == target]
    there = torch.sort((source * num_nodes + target)[source < target]).values
    back = torch.sort((target * num_nodes + source)[source > target]).values
    repeated = bool((there[1:] == there[:-1]).any()) or len(torch.unique(loops)) < len(loops)
    if repeated or not torch.equal(there, back):
        return None
    return MutualEdges(there // num_nodes, there % num_nodes, loops)


def check_finite(name: str, a: Tensor) -> None:
    """Raise a ValueError that says where ``a`` is not finite, if it is not."""
    good = torch.isfinite(a)
    if not bool(good.all()):
        where = (~good).nonzero()[0].tolist()
        raise ValueError(f"{name} must be finite, but {int((~good).sum())} of {a.numel()} values are not, first "
                         f"{float(a[tuple(where)])} at {where}. Drop or repair those rows.")
