"""Where the features live: positions, position-orientation points made of edges, or the whole bundle (notebook 06)."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ponita_edu.data.edges import radius_edges, with_self_loops, without_self_loops
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.invariants import orientation_invariants, safe_norm, spatial_invariants
from ponita_edu.nn.lifting import scalar_to_sphere, vector_to_sphere


class Points(NamedTuple):
    """A batch as the network sees it. On the bundle every node carries N orientations, an axis of its own."""

    features: Float[Tensor, "points *N channels"]
    source: Int[Tensor, " edges"]
    target: Int[Tensor, " edges"]
    attributes: Float[Tensor, "edges *N attributes"]
    distance: Float[Tensor, " edges"]
    node: Int[Tensor, " points"] | None = None  # the node that a point reads out to; None: point k is node k
    ori: Float[Tensor, "points dim"] | None = None  # the orientation of each point of a lifted cloud
    loops: Int[Tensor, " loops"] | None = None  # if given, each edge stands for its reverse too: see conv.Pairs


def positions(graphs: Graphs, share: bool = False) -> Points:
    """Points are positions: the attribute of a pair is its distance |r|, complete for R^n."""
    source, target, loops, shift = edges_of(graphs, share)
    distance = safe_norm(graphs.vectors(source, target, shift))
    attributes = _with_condition(distance[:, None], graphs, source)
    return Points(graphs.x, source, target, attributes, distance, loops=loops)


def bundle(graphs: Graphs, ori: Float[Tensor, "N dim"], conv: str, attributes: str, share: bool = False,
           squared: bool = False) -> Points:
    """Every node carries all orientations of the grid.

    Separable: attributes of pairs with equal orientation, [edges, N, 2], and |r|^2 as a third if ``squared``. Full: of
    all pairs, [edges, N, N, A], the receiver's orientation first.
    """
    source, target, loops, shift = edges_of(graphs, share)
    features = scalar_to_sphere(graphs.x, ori)
    if graphs.vec is not None:
        features = torch.cat((features, vector_to_sphere(graphs.vec, ori)), dim=-1)
    r = graphs.vectors(source, target, shift)
    if conv == "separable":
        named = spatial_invariants(r[:, None], ori)
        if squared:
            named = torch.cat((named, r.square().sum(-1)[:, None, None].expand(-1, len(ori), 1)), dim=-1)
    else:
        named = full_attributes(attributes, r[:, None, None], ori[:, None], ori[None, :])
    named = _with_condition(named, graphs, source)
    return Points(features, source, target, named, safe_norm(r), loops=loops)


def edges(graphs: Graphs, radius: float | None) -> Points:
    """Edges become points of R^n x S^(n-1): edge s -> t is the position of t with the direction from t to s.

    Point k sends to point m if their positions are the same node, or joined by an edge of the graph (with a radius:
    if they are at most that far apart). Edges of length 0 have no direction, so they make no point; they still join.
    """
    if graphs.cell is not None:
        raise ValueError("graphs have a periodic cell, which space 'edges' does not know. Use 'bundle' or 'positions'.")
    joined = proper = without_self_loops(graphs.edge_index)
    r = graphs.pos[proper[0]] - graphs.pos[proper[1]]
    length = safe_norm(r)
    if bool((length == 0).any()):
        proper, r, length = proper[:, length > 0], r[length > 0], length[length > 0]
    ori, node = r / length[:, None], proper[1]

    features = graphs.x[node]
    if graphs.vec is not None:
        features = torch.cat((features, torch.einsum("pcd,pd->pc", graphs.vec[node], ori)), dim=-1)
    linked = with_self_loops(joined, graphs.num_nodes) if radius is None else radius_edges(graphs.pos, graphs.batch,
                                                                                           radius)
    source, target = _pairs_of_members(linked, node, graphs.num_nodes)
    r = graphs.pos[node[source]] - graphs.pos[node[target]]
    named = torch.cat((spatial_invariants(r, ori[target]), orientation_invariants(ori[target], ori[source])), dim=-1)
    named = _with_condition(named, graphs, node[source])
    return Points(features, source, target, named, safe_norm(r), node, ori)


def full_attributes(name: str, r: Float[Tensor, "*#pairs dim"], ori_t: Float[Tensor, "*#pairs dim"],
                    ori_s: Float[Tensor, "*#pairs dim"]) -> Float[Tensor, "*pairs attributes"]:
    """Attributes of general pairs of position-orientation points, for the full convolution.

    ``triple``: the paper's (r.o_t, |r_perp|, o_t.o_s); ``e3``: r.o_t, r.o_s, o_t.o_s, |r|^2, complete for E(3);
    ``se3``: these and det[r, o_t, o_s], complete for SE(3). In 2D ``triple`` has the cosine of the angle between the
    orientations and ``se2`` its sine too, complete for SE(2). All but |r_perp| are smooth.
    """
    cos = orientation_invariants(ori_t, ori_s)
    if name in ("triple", "se2"):
        along = spatial_invariants(r, ori_t)
        parts = [along, cos]
        if name == "se2":
            parts.append((ori_t[..., 0] * ori_s[..., 1] - ori_t[..., 1] * ori_s[..., 0])[..., None])
    else:
        parts = [(r * ori_t).sum(-1, keepdim=True), (r * ori_s).sum(-1, keepdim=True), cos,
                 (r * r).sum(-1, keepdim=True)]
        if name == "se3":
            parts.append((r * torch.linalg.cross(ori_t, ori_s)).sum(-1, keepdim=True))
    shape = torch.broadcast_shapes(*(p.shape[:-1] for p in parts))
    return torch.cat([p.expand(*shape, p.shape[-1]) for p in parts], dim=-1)


def edges_of(graphs: Graphs, share: bool) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Source, target, loops and shift; with ``share`` each pair once, if it can be (else loops is None)."""
    # The sender's condition must not tell the two directions apart; nor may its derivative go to one end for both.
    mutual = graphs.mutual if share else None
    if mutual is not None and graphs.cond is not None:
        differs = not torch.equal(graphs.cond[mutual.source], graphs.cond[mutual.target])
        if differs or (graphs.cond.requires_grad and torch.is_grad_enabled()):
            mutual = None
    return (graphs.source, graphs.target, None, graphs.shift) if mutual is None else mutual


def _with_condition(attributes: Tensor, graphs: Graphs, sender: Tensor) -> Tensor:
    # The kernel may know a number of the sender (a noise level), the same for all of its orientations.
    if graphs.cond is None:
        return attributes
    cond = graphs.cond[sender].reshape(-1, *[1] * (attributes.dim() - 1))
    return torch.cat((attributes, cond.expand(*attributes.shape[:-1], 1)), dim=-1)


def _pairs_of_members(linked: Int[Tensor, "2 links"], node: Int[Tensor, " points"], num_nodes: int
                      ) -> Int[Tensor, "2 edges"]:
    # All (k, m) with node[k] -> node[m] linked: for each link, every point of the one with every point of the other.
    order = torch.argsort(node, stable=True)
    count = torch.bincount(node, minlength=num_nodes)
    first = torch.cumsum(count, 0) - count
    a, b = linked
    sizes = count[a] * count[b]
    link = torch.repeat_interleave(torch.arange(len(a), device=a.device), sizes)
    rank = torch.arange(len(link), device=a.device) - torch.repeat_interleave(torch.cumsum(sizes, 0) - sizes, sizes)
    width = count[b][link]
    return torch.stack((order[first[a][link] + rank // width], order[first[b][link] + rank % width]))
