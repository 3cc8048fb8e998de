"""One batch type for everything: several point clouds, their features and their edges, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ponita_edu.data.checks import check_feature, check_indices, check_points
from ponita_edu.data.edges import MutualEdges, by_difference, complete_edges, mutual_edges
from ponita_edu.geometry.groups import Motion


@dataclass(frozen=True, eq=False)
class Graphs:
    """A batch of point clouds with features and directed edges (notebook 00).

    Edge e runs from the source s = ``edge_index[0, e]`` (sender) to the target t = ``edge_index[1, e]`` (receiver).
    A motion (R, b) maps ``pos`` to R p + b, ``vec``, every entry of ``y_vec`` and the lattice vectors to R v, and
    leaves the rest alone.

    In a periodic cell edge e comes from an image of its source: r_e = pos[s] + ``shift[e]`` @ ``cell`` - pos[t].

    Args:
        pos: positions, in the length unit of the data.
        x: invariant features of the nodes.
        edge_index: edges; ``None`` joins all nodes of each graph, each node with itself too.
        batch: number of the graph that each node belongs to, ascending; ``None`` means one graph.
        num_graphs: number of graphs; ``None`` means ``batch.max() + 1``.
        vec: vector features of the nodes (velocities, for instance).
        cond: one number per node that kernels may depend on (the noise level of a diffusion model).
        y, y_vec: targets by name: invariant ones, and vectors, which turn with the points. One row per node or per
            graph; if there are as many nodes as graphs, some without nodes, nobody could say which, so that is refused.
        cell: the lattice vectors of each graph as rows; None if nothing repeats. ``data.edges.periodic_pairs`` finds
            who sees whom, and ``joined_by`` takes it over.
        shift: whole numbers of lattice vectors for each edge; with a cell, and only then.

    Raises:
        ValueError: on wrong shapes or dtypes, values that are not finite, no node at all, or indices out of range.
    """

    pos: Float[Tensor, "nodes dim"]
    x: Float[Tensor, "nodes scalars"]
    edge_index: Int[Tensor, "2 edges"] | None = None
    batch: Int[Tensor, " nodes"] | None = None
    num_graphs: int | None = None
    vec: Float[Tensor, "nodes vectors dim"] | None = None
    cond: Float[Tensor, "nodes 1"] | None = None
    y: dict[str, Tensor] = field(default_factory=dict)
    y_vec: dict[str, Tensor] = field(default_factory=dict)
    cell: Float[Tensor, "graphs dim dim"] | None = None
    shift: Int[Tensor, "edges dim"] | None = None

    def __post_init__(self):
        check_points(self.pos)
        n, dim = self.pos.shape
        check_feature("x", self.x, (n, None), self.pos)
        if self.vec is not None:
            check_feature("vec", self.vec, (n, None, dim), self.pos)
        if self.cond is not None:
            check_feature("cond", self.cond, (n, 1), self.pos)
        if self.batch is None:
            object.__setattr__(self, "batch", torch.zeros(n, dtype=torch.long, device=self.pos.device))
        if self.num_graphs is not None and (isinstance(self.num_graphs, bool) or not isinstance(self.num_graphs, int)
                                            or self.num_graphs < 1):
            raise ValueError(f"num_graphs must be a whole number, at least 1, or None, but is {self.num_graphs!r}. "
                             "Leave it out to count the graphs that have nodes.")
        check_indices("batch", self.batch, (n,), self.num_graphs)
        if bool((self.batch[1:] < self.batch[:-1]).any()):
            raise ValueError("batch must ascend, so that the nodes of a graph stand together, but it does not. "
                             "Sort the nodes by graph, or use collate().")
        if self.num_graphs is None:
            object.__setattr__(self, "num_graphs", int(self.batch.max()) + 1)
        if self.edge_index is None:
            object.__setattr__(self, "edge_index", complete_edges(self.batch))
        check_indices("edge_index", self.edge_index, (2, None), n)
        if bool((self.batch[self.edge_index[0]] != self.batch[self.edge_index[1]]).any()):
            raise ValueError("edge_index must join nodes of the same graph, but some edge joins two graphs of the "
                             "batch. Offset the node indices graph by graph, or use collate().")
        if (self.cell is None) != (self.shift is None):
            raise ValueError("cell and shift must be given together, since edges of a periodic graph come from images; "
                             f"missing is {'cell' if self.cell is None else 'shift'}. Use periodic_pairs() of "
                             "ponita_edu.data.edges and joined_by().")
        if self.cell is not None:
            check_feature("cell", self.cell, (self.num_graphs, dim, dim), self.pos, "graph")
            check_indices("shift", self.shift, (self.edge_index.shape[1], dim), None, signed=True)
        for name, targets in (("y", self.y), ("y_vec", self.y_vec)):
            if not isinstance(targets, dict):
                raise ValueError(f"{name} must be a dictionary of tensors by name, but is a {type(targets).__name__}. "
                                 f"Use {name}={{'energy': tensor}}, or leave it out.")
        for name in self.y:
            self._check_target(f"y[{name!r}]", self.y[name], vector=False)
        for name in self.y_vec:
            self._check_target(f"y_vec[{name!r}]", self.y_vec[name], vector=True)

    def _check_target(self, name: str, a: Tensor, vector: bool) -> None:
        n, graphs = self.num_nodes, self.num_graphs
        rows = a.shape[0] if isinstance(a, Tensor) and a.dim() > 0 else None
        if rows not in (n, graphs) or (vector and (a.dim() < 2 or a.shape[-1] != self.dim)):
            came = list(a.shape) if isinstance(a, Tensor) else f"a {type(a).__name__}"
            last = f" and {self.dim} components in its last axis" if vector else ""
            raise ValueError(f"{name} must be a tensor with {n} rows (one per node) or {graphs} (one per graph){last}, "
                             f"but is {came}. Give single numbers as torch.tensor([value]).")
        if n == graphs and len(torch.unique(self.batch)) < n:
            raise ValueError(f"{name} has {n} rows, which may belong to the {n} nodes or to the {graphs} graphs, some "
                             "of which have no nodes. Drop those graphs from the batch.")

    @property
    def dim(self) -> int:
        """Dimension of the space, 2 or 3."""
        return self.pos.shape[1]

    @property
    def num_nodes(self) -> int:
        """Number of nodes of all graphs together."""
        return self.pos.shape[0]

    @property
    def source(self) -> Int[Tensor, " edges"]:
        """The sender of each edge."""
        return self.edge_index[0]

    @property
    def target(self) -> Int[Tensor, " edges"]:
        """The receiver of each edge."""
        return self.edge_index[1]

    @property
    def mutual(self) -> "MutualEdges | None":
        """The edges as unordered pairs and self loops, None if some edge lacks its reverse; worked out once.

        All pairs of a complete graph are listed by the difference of their nodes, in long runs (``nn.blocks.ways``).
        """
        if not hasattr(self, "_mutual"):
            with torch.inference_mode(False):  # it is kept, and may be needed where gradients are
                found = mutual_edges(self.edge_index, self.num_nodes, self.shift)
                object.__setattr__(self, "_mutual", found and by_difference(found, self.batch))
        return self._mutual

    @property
    def proper(self) -> tuple[Int[Tensor, "2 proper_edges"], Int[Tensor, "proper_edges dim"] | None]:
        """The edges without self loops, and their shifts; worked out once, as it makes a GPU wait."""
        if not hasattr(self, "_proper"):
            with torch.inference_mode(False):
                keep = self.source != self.target
                if self.shift is not None:
                    keep = keep | (self.shift != 0).any(1)
                object.__setattr__(self, "_proper", (self.edge_index[:, keep],
                                                     None if self.shift is None else self.shift[keep]))
        return self._proper

    def vectors(self, source: Int[Tensor, " some"], target: Int[Tensor, " some"],
                shift: Int[Tensor, "some dim"] | None) -> Float[Tensor, "some dim"]:
        """r = pos[source] + shift @ cell - pos[target], from the receiver to the (image of the) sender."""
        r = self.pos[source] - self.pos[target]
        return r if shift is None else r + self.offsets(target, shift)

    def offsets(self, target: Int[Tensor, " some"], shift: Int[Tensor, "some dim"]) -> Float[Tensor, "some dim"]:
        """shift @ cell, by which the senders are moved."""
        shift = shift.to(self.pos)
        if self.num_graphs == 1:
            return shift @ self.cell[0]
        return torch.einsum("ei,eij->ej", shift, self.cell[self.batch[target]])

    def joined_by(self, pairs: MutualEdges) -> "Graphs":
        """The same batch with these edges, taken at their word: each pair both ways, and self loops."""
        there, shift = torch.stack((pairs.source, pairs.target)), pairs.shift
        if (shift is None) != (self.cell is None):
            raise ValueError(f"pairs must {'not ' if self.cell is None else ''}have shifts, since the batch has "
                             f"{'no' if self.cell is None else 'a'} cell.")
        if shift is not None:
            shift = torch.cat((shift, -shift, shift.new_zeros(len(pairs.loops), self.dim)))
        new = self._replace(edge_index=torch.cat((there, there.flip(0), pairs.loops.expand(2, -1)), dim=1), shift=shift)
        object.__setattr__(new, "_mutual", pairs)
        return new

    def moved(self, motion: Motion) -> "Graphs":
        """The same batch after a motion: one for all graphs, or one for each (leading axis ``num_graphs``)."""
        if not isinstance(motion, Motion) or motion.dim != self.dim or motion.rotation.dim() > 3:
            came = list(motion.rotation.shape) if isinstance(motion, Motion) else type(motion).__name__
            raise ValueError(f"motion must have rotations [{self.dim}, {self.dim}] or [{self.num_graphs}, {self.dim}, "
                             f"{self.dim}] to move this batch, but is {came}. Use Motion.random(1, {self.dim})[0].")
        rotation, shift = motion.rotation.to(self.pos), motion.translation.to(self.pos)
        if rotation.dim() == 3 and rotation.shape[0] != self.num_graphs:
            raise ValueError(f"motion must be a single one or hold one for each of the {self.num_graphs} graphs, but "
                             f"holds {rotation.shape[0]}. Use Motion.random({self.num_graphs}, ...).")
        rotation = rotation.expand(self.num_graphs, self.dim, self.dim)
        shift = shift.expand(self.num_graphs, self.dim)

        def turn(v: Tensor) -> Tensor:  # [nodes, ..., dim] or [graphs, ..., dim]
            rows = rotation[self.batch] if v.shape[0] == self.num_nodes else rotation
            return torch.einsum("nij,n...j->n...i", rows.to(v), v)

        return self._replace(
            pos=turn(self.pos) + shift[self.batch],
            vec=None if self.vec is None else turn(self.vec),
            y_vec={name: turn(v) for name, v in self.y_vec.items()},
            cell=None if self.cell is None else self.cell @ rotation.to(self.cell).mT,
        )

    def rotate(self, rotation: Float[Tensor, "*graphs dim dim"]) -> "Graphs":
        """The same batch turned about the origin: one rotation for all graphs, or one for each."""
        return self.moved(Motion(rotation, torch.zeros(rotation.shape[:-1], dtype=rotation.dtype)))

    def permuted(self, order: Int[Tensor, " nodes"]) -> "Graphs":
        """The same batch with nodes reordered within their graphs: new node i is old node ``order[i]``."""
        check_indices("order", order, (self.num_nodes,), self.num_nodes)
        if sorted(order.tolist()) != list(range(self.num_nodes)) or not torch.equal(self.batch[order], self.batch):
            raise ValueError(f"order must permute 0..{self.num_nodes - 1} within each graph, but is {order.tolist()}. "
                             "Shuffle the nodes of one graph at a time.")

        def pick(a: Tensor) -> Tensor:
            return a[order] if a.shape[0] == self.num_nodes else a

        return self._replace(
            pos=self.pos[order], x=self.x[order],
            edge_index=torch.argsort(order)[self.edge_index],
            vec=None if self.vec is None else self.vec[order],
            cond=None if self.cond is None else self.cond[order],
            y={k: pick(v) for k, v in self.y.items()}, y_vec={k: pick(v) for k, v in self.y_vec.items()},
        )

    def to(self, target: torch.device | torch.dtype | str) -> "Graphs":
        """The same batch on another device, or with its real numbers in another dtype."""

        def move(a: Tensor | None) -> Tensor | None:
            keep = a is None or (isinstance(target, torch.dtype) and not a.is_floating_point())
            return a if keep else a.to(target)

        return self._replace(
            **{name: move(getattr(self, name)) for name in ("pos", "x", "edge_index", "batch", "vec", "cond",
                                                            "cell", "shift")},
            y={k: move(v) for k, v in self.y.items()}, y_vec={k: move(v) for k, v in self.y_vec.items()},
        )

    def requires_grad_(self) -> "Graphs":
        """The same batch with positions that are leaves of the autograd graph, so that forces can be asked for."""
        return self._replace(pos=self.pos.detach().clone().requires_grad_(True))

    def _replace(self, **changes) -> "Graphs":
        # What came from a checked batch needs no second check, which would wait for the GPU.
        new = object.__new__(Graphs)
        for name in self.__dataclass_fields__:
            object.__setattr__(new, name, changes.get(name, getattr(self, name)))
        for name in ("_mutual", "_proper"):
            if hasattr(self, name) and new.edge_index is self.edge_index and new.shift is self.shift:
                object.__setattr__(new, name, getattr(self, name))
        return new


def collate(graphs: Sequence[Graphs]) -> Graphs:
    """Put several batches side by side, with node and graph numbers shifted.

    Raises:
        ValueError: if there is none, or if they do not have the same features and targets.
    """
    if len(graphs) == 0:
        raise ValueError("graphs must hold at least one graph, but is empty. Check the data set or the indices.")
    for name in ("vec", "cond", "cell"):
        if len({getattr(g, name) is None for g in graphs}) > 1:
            raise ValueError(f"graphs must all have {name} or all lack it. "
                             f"{'Keep periodic graphs apart' if name == 'cell' else 'Give the missing ones zeros'}.")
    if len({(g.dim, g.x.shape[1], tuple(sorted(g.y)), tuple(sorted(g.y_vec))) for g in graphs}) > 1:
        raise ValueError("graphs must agree in dimension, number of scalar features and names of targets; got "
                         + "; ".join(f"dim {g.dim}, x {tuple(g.x.shape)}, y {sorted(g.y) + sorted(g.y_vec)}"
                                     for g in graphs[:5]) + ".")
    for name in ("pos", "x", "vec", "cond", "cell"):
        kinds = {(a.dtype, a.device, a.shape[1:]) for g in graphs if (a := getattr(g, name)) is not None}
        if len(kinds) > 1:
            came = "; ".join(f"{dtype} on {device}, {list(shape)} a node" for dtype, device, shape in kinds)
            raise ValueError(f"graphs must agree in dtype, device and shape of {name}; got {came}. "
                             "Use graphs.to(...) on each, and the same number of features.")
    nodes = np.cumsum([0] + [g.num_nodes for g in graphs])
    count = np.cumsum([0] + [g.num_graphs for g in graphs])

    def cat(name: str) -> Tensor | None:
        return None if getattr(graphs[0], name) is None else torch.cat([getattr(g, name) for g in graphs])

    return graphs[0]._replace(
        pos=cat("pos"), x=cat("x"), vec=cat("vec"), cond=cat("cond"), cell=cat("cell"), shift=cat("shift"),
        num_graphs=int(count[-1]),
        edge_index=torch.cat([g.edge_index + int(k) for g, k in zip(graphs, nodes, strict=False)], dim=1),
        batch=torch.cat([g.batch + int(k) for g, k in zip(graphs, count, strict=False)]),
        y={k: torch.cat([g.y[k] for g in graphs]) for k in graphs[0].y},
        y_vec={k: torch.cat([g.y_vec[k] for g in graphs]) for k in graphs[0].y_vec},
    )
