"""What all networks share: the form of their answer, the sum over each graph, and the check of what they are given."""

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from ponita_edu.data.graphs import Graphs


class Prediction(NamedTuple):
    """Outputs of a network: rows are nodes, or graphs if the level is "graph"."""

    scalar: Float[Tensor, "rows scalars"]
    vector: Float[Tensor, "rows vectors dim"]

    def at(self, level: str, graphs: Graphs) -> "Prediction":
        """The outputs of nodes at the level that is asked for: as they are, or summed over each graph."""
        if level == "node":
            return self
        return Prediction(*(a.new_zeros(graphs.num_graphs, *a.shape[1:]).index_add(0, graphs.batch, a) for a in self))


def check_fits(config: Any, graphs: Graphs, like: Tensor) -> None:
    """Raise a ValueError unless the batch is what the config names, in the dtype and on the device of ``like``.

    Args:
        config: with ``scalars_in`` and ``vectors_in``, and perhaps ``dim`` and ``conditioning``.
    """
    if not isinstance(graphs, Graphs):
        raise ValueError(f"graphs must be a Graphs batch, but is a {type(graphs).__name__}. "
                         "Build one with Graphs(pos, x, edge_index, batch).")
    for name, came in (
        ("dim", graphs.dim),
        ("scalars_in", graphs.x.shape[1]),
        ("vectors_in", 0 if graphs.vec is None else graphs.vec.shape[1]),
        ("conditioning", graphs.cond is not None),
    ):
        wanted = getattr(config, name, came)
        if wanted != came:
            raise ValueError(f"graphs do not fit the network: {name} is {wanted} in its config, but the batch has "
                             f"{came}. Build the network with {name}={came}, or change the features.")
    if graphs.pos.dtype != like.dtype or graphs.pos.device != like.device:
        raise ValueError(f"graphs are {graphs.pos.dtype} on {graphs.pos.device}, but the network is {like.dtype} "
                         f"on {like.device}. Use graphs.to(...) or model.to(...).")
