"""Who sends to whom: complete graphs, neighbours within a radius, periodic images, pairs and their reverses."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from ponita_edu.data.checks import check_finite


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
    apart = batch.cpu().double()[:, None] * (2 * radius)
    points = torch.cat((pos.detach().cpu().double(), apart), dim=1).numpy()
    pairs = cKDTree(points).query_pairs(radius, output_type="ndarray")
    one_way = torch.from_numpy(pairs.astype(np.int64)).T.reshape(2, -1)
    edge_index = torch.cat((one_way, one_way.flip(0)), dim=1).to(pos.device)
    if self_loops:
        loops = torch.arange(len(pos), device=pos.device).expand(2, -1)
        edge_index = torch.cat((edge_index, loops), dim=1)
    order = torch.argsort(edge_index[1] * len(pos) + edge_index[0])
    return edge_index[:, order]


def periodic_pairs(pos: Float[Tensor, "nodes dim"], batch: Int[Tensor, " nodes"], radius: float,
                   cell: Float[Tensor, "graphs dim dim"], pbc: Bool[Tensor, "*#graphs #dim"] | bool = True
                   ) -> "MutualEdges":
    """All pairs of nodes and images of nodes at a distance of at most ``radius``, each once, and all self loops.

    A node may see several images of another one, and of itself. Positions need not lie in the cell, which may be of any
    shape and smaller than the radius. The search is that of the library vesin, linear in the number of nodes.

    Args:
        cell: the lattice vectors of each graph as rows; those without ``pbc`` may be anything finite.
        pbc: in which of its directions the lattice repeats.

    Raises:
        ValueError: if the radius is not positive and finite, numbers are not finite, shapes do not fit, the lattice
            vectors do not span their directions, or there would be more than a billion pairs.
    """
    from vesin import NeighborList  # here, since a bare machine without it can do all that has no cell

    _check_lattice(pos, radius, cell)
    graphs, dim = cell.shape[:2]
    try:
        pbc = torch.as_tensor(pbc, dtype=torch.bool).cpu().expand(graphs, dim)
    except RuntimeError:
        raise ValueError(f"pbc must be True, False, or have shape [{dim}] or [{graphs}, {dim}], but has "
                         f"{list(pbc.shape)}.") from None
    points = np.zeros((len(pos), 3))
    points[:, :dim] = pos.detach().cpu().double().numpy()
    box, repeats = np.zeros((graphs, 3, 3)), np.zeros((graphs, 3), bool)
    box[:, :dim, :dim], repeats[:, :dim] = cell.detach().cpu().double().numpy(), pbc.numpy()
    sizes = np.bincount(batch.cpu().numpy(), minlength=graphs)
    if len(sizes) > graphs:
        raise ValueError(f"cell must have a row for each of the {len(sizes)} graphs, but has {graphs}.")
    search = NeighborList(cutoff=np.nextafter(radius, np.inf), full_list=False)  # it takes what is strictly nearer
    found = []
    for graph, (first, size) in enumerate(zip(np.cumsum(sizes) - sizes, sizes, strict=True)):
        _check_volume(graph, box[graph][repeats[graph]], radius, int(size))
        pairs, shift = search.compute(points[first:first + size], box[graph], repeats[graph], "PS")
        found.append(np.concatenate((pairs.astype(np.int64) + first, shift.astype(np.int64)[:, :dim]), axis=1))
    found = torch.from_numpy(np.concatenate(found)).to(pos.device)
    return MutualEdges(found[:, 1], found[:, 0], torch.arange(len(pos), device=pos.device), found[:, 2:])


def _check_lattice(pos: Tensor, radius: float, cell: Tensor) -> None:
    if not isinstance(radius, (int, float)) or isinstance(radius, bool) or not 0 < radius < float("inf"):
        raise ValueError(f"radius must be a positive, finite number in a periodic cell, but is {radius!r}.")
    check_finite("pos", pos)
    if not isinstance(cell, Tensor) or cell.dim() != 3 or cell.shape[1:] != (pos.shape[1], pos.shape[1]):
        came = list(cell.shape) if isinstance(cell, Tensor) else type(cell).__name__
        raise ValueError(f"cell must be a tensor [graphs, {pos.shape[1]}, {pos.shape[1]}], a lattice vector a row, but "
                         f"is {came}. Give one graph's cell as cell[None].")
    check_finite("cell", cell)


def _check_volume(graph: int, vectors: Float[np.ndarray, "repeats 3"], radius: float, size: int) -> None:
    if len(vectors) == 0:
        return
    heights = np.abs(np.diag(np.linalg.qr(vectors.T, mode="r")))  # of each vector over the span of those before it
    if not heights.min() > 1e-8 * np.linalg.norm(vectors, axis=1).max():
        raise ValueError(f"cell must have independent lattice vectors in its periodic directions, but that of graph "
                         f"{graph} has {vectors.tolist()}. Repair it, or set pbc to False where nothing repeats.")
    many = size**2 * np.prod(1 + 2 * radius / heights) / 2
    if many > 1e9:
        raise ValueError(f"radius {radius} would give some {many:.0e} pairs in the cell of graph {graph}, "
                         f"{vectors.tolist()}. Are both in the same unit of length?")


def with_self_loops(edge_index: Int[Tensor, "2 edges"], num_nodes: int) -> Int[Tensor, "2 more_edges"]:
    """The edges and a self loop for every node, each pair once, sorted by (source, target)."""
    loops = torch.arange(num_nodes, device=edge_index.device).expand(2, -1)
    return torch.unique(torch.cat((edge_index, loops), dim=1), dim=1)


def without_self_loops(edge_index: Int[Tensor, "2 edges"]) -> Int[Tensor, "2 fewer_edges"]:
    """The edges that join two different nodes, each pair once, sorted by (source, target)."""
    proper: Bool[Tensor, " edges"] = edge_index[0] != edge_index[1]
    return torch.unique(edge_index[:, proper], dim=1)


class MutualEdges(NamedTuple):
    """Edges that come with their reverse, each pair listed once, and nodes that have a self loop.

    ``shift``: lattice vectors by which the source is moved, see ``Graphs``; None without a cell. The reverse has
    -shift.
    """

    source: Int[Tensor, " pairs"]
    target: Int[Tensor, " pairs"]
    loops: Int[Tensor, " loops"]
    shift: Int[Tensor, "pairs dim"] | None = None


def mutual_edges(edge_index: Int[Tensor, "2 edges"], num_nodes: int, shift: Int[Tensor, "edges dim"] | None = None
                 ) -> MutualEdges | None:
    """Split edges into unordered pairs and self loops; None if one has no reverse, or is listed twice.

    A node and its own image in another cell are a pair, no self loop.
    """
    source, target = edge_index
    code, most = torch.zeros_like(source), 0  # a whole number for each shift, of opposite sign for opposite ones
    if shift is not None and shift.numel():
        base = 2 * int(shift.abs().max()) + 1
        code = shift @ base ** torch.arange(shift.shape[1], device=shift.device)
        most = (base ** shift.shape[1] - 1) // 2
    same = source == target
    forward, loops = (source < target) | (same & (code > 0)), source[same & (code == 0)]
    backward = (source > target) | (same & (code < 0))
    there, order = torch.sort(((source * num_nodes + target) * (2 * most + 1) + code)[forward])
    back = torch.sort(((target * num_nodes + source) * (2 * most + 1) - code)[backward]).values
    repeated = bool((there[1:] == there[:-1]).any()) or len(torch.unique(loops)) < len(loops)
    if repeated or not torch.equal(there, back):
        return None
    return MutualEdges(source[forward][order], target[forward][order], loops,
                       None if shift is None else shift[forward][order])


def by_difference(pairs: MutualEdges, batch: Int[Tensor, " nodes"]) -> MutualEdges:
    """The pairs of complete graphs by graph, then by target - source, then by source; others as they are."""
    sizes, (source, target, _, shift) = torch.bincount(batch), pairs
    if shift is not None or len(source) != int((sizes * (sizes - 1) // 2).sum()):
        return pairs
    order = torch.argsort((batch[source] * len(batch) + target - source) * len(batch) + source)
    return pairs._replace(source=source[order], target=target[order])
