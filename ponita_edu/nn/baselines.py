"""What PONITA is compared with: EGNN, written from its paper's equations (notebook 09)."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.invariants import safe_norm
from ponita_edu.nn.config import check_whole
from ponita_edu.nn.prediction import Prediction, check_fits
from ponita_edu.nn.seeds import seeded


@dataclass(frozen=True)
class EGNNConfig:
    """The settings of an EGNN; the defaults are those of the paper's N-body experiment.

    Args:
        scalars_in, vectors_in, scalars_out, vectors_out: numbers of features per node, and of outputs; at most one
            vector out, the displacement of the node.
        hidden, layers: channels and layers.
        level: outputs per node, or summed over each graph.
        edge_products: the input scalars enter through products x_i x_j on the edges, and in no other way (charges:
            the network cannot tell all signs flipped, as Coulomb's law cannot). False: they are node features.
        distance_gain: factor on the initial weights of the squared distances in φ_e. A bond that stretches by 0.05 Å
            changes |x|² by about 0.1, while |x|² runs from 1 to 20 in a small molecule: a fresh network hardly notices.
            Force errors on ethanol after 600 steps: 719 meV/Å with 1, 164 with 10 (analysis/md17_curves.py).

    Raises:
        ValueError: on an unknown level or numbers out of range.
    """

    scalars_in: int = 1
    vectors_in: int = 1
    scalars_out: int = 0
    vectors_out: int = 1
    hidden: int = 64
    layers: int = 4
    level: str = "node"
    edge_products: bool = False
    distance_gain: float = 1.0

    def __post_init__(self):
        check_whole(self, scalars_in=0, vectors_in=0, scalars_out=0, vectors_out=0, hidden=1, layers=1)
        if self.level not in ("node", "graph"):
            raise ValueError(f"level must be 'node' or 'graph', but is {self.level!r}.")
        if self.vectors_out > 1:
            raise ValueError(f"vectors_out must be 0 or 1, because an EGNN's vector is how far the node moves; it is "
                             f"{self.vectors_out}. Use Ponita for several vectors.")
        if self.scalars_out + self.vectors_out == 0:
            raise ValueError("scalars_out and vectors_out are both 0, so there is nothing to predict. Set one to 1.")
        if self.edge_products and self.scalars_in == 0:
            raise ValueError("edge_products needs scalars to multiply, but scalars_in is 0. Set edge_products=False.")
        if not 0 < self.distance_gain < math.inf:
            raise ValueError(f"distance_gain must be a positive finite number, but is {self.distance_gain!r}.")


def _mlp(*widths: int, last_bias: bool = True) -> nn.Sequential:
    """Linear layers with SiLU between them, none after the last."""
    parts: list[nn.Module] = []
    for a, b in pairwise(widths):
        parts += [nn.Linear(a, b), nn.SiLU()]
    if not last_bias:
        parts[-2] = nn.Linear(*widths[-2:], bias=False)
    return nn.Sequential(*parts[:-1])


class EGNNLayer(nn.Module):
    r"""One step, with i the receiver, j its C_i neighbours (itself not among them), |x⁰_i − x⁰_j|² and x_i x_j in a_ij:

        m_ij = φ_e(h_i, h_j, |x_i − x_j|², a_ij)
        x_i ← x_i + φ_v(h_i) v_i + 1/C_i Σ_j (x_i − x_j) φ_x(m_ij)
        h_i ← h_i + φ_h(h_i, Σ_j m_ij)

    With several vectors v_i each has its own factor; without vectors in, that term is missing.

    Source: Satorras et al., arXiv 2102.09844, equations 3 to 7.
    """

    def __init__(self, hidden: int, edge_features: int, vectors: int, moves: bool, distance_gain: float):
        super().__init__()
        self.edge = nn.Sequential(_mlp(2 * hidden + 1 + edge_features, hidden, hidden), nn.SiLU())
        self.node = _mlp(2 * hidden, hidden, hidden)
        self.coordinate = _mlp(hidden, hidden, 1, last_bias=False) if moves else None
        self.velocity = _mlp(hidden, hidden, vectors) if moves and vectors else None
        with torch.no_grad():  # the columns of |x_i - x_j|² and |x⁰_i - x⁰_j|²
            self.edge[0][0].weight[:, 2 * hidden:2 * hidden + 2] *= distance_gain
        if moves:
            nn.init.xavier_uniform_(self.coordinate[-1].weight, gain=0.001)  # points hardly move at first

    def forward(
        self,
        h: Float[Tensor, "nodes hidden"],
        pos: Float[Tensor, "nodes dim"],
        vec: Float[Tensor, "nodes vectors dim"] | None,
        edge_features: Float[Tensor, "edges features"],
        source: Tensor,
        target: Tensor,
        offset: Float[Tensor, "edges dim"] | None = None,
    ) -> tuple[Float[Tensor, "nodes hidden"], Float[Tensor, "nodes dim"]]:
        difference = pos[target] - pos[source]
        if offset is not None:
            difference = difference - offset
        squared = difference.square().sum(-1, keepdim=True)
        message = self.edge(torch.cat((h[target], h[source], squared, edge_features), dim=-1))
        if self.coordinate is not None:
            count = torch.bincount(target, minlength=len(pos)).clamp(min=1)[:, None]
            pull = torch.zeros_like(pos).index_add(0, target, difference * self.coordinate(message)) / count
            if self.velocity is not None:
                pull = pull + torch.einsum("nv,nvd->nd", self.velocity(h), vec)
            pos = pos + pull
        total = torch.zeros_like(h).index_add(0, target, message)
        return h + self.node(torch.cat((h, total), dim=-1)), pos


class EGNN(nn.Module):
    """E(n)-equivariant graph network: messages depend on distances, and points move along their differences.

    ``model(graphs)`` gives a ``Prediction``. Exactly equivariant to every motion of E(n), in any dimension. The edges
    are those of the batch; self loops among them are left out. The vector output is x_final - x_in.

    Node features: the scalars (unless ``edge_products``) and the lengths of the vectors, or 1 if there is neither.
    Without scalars out, the last layer's node MLP has no effect and no gradient, as in the published N-body model.

    Args:
        config: the settings.
        seed: of the initial weights; None draws from torch's global generator.

    Raises:
        ValueError: on inputs that do not fit the config.

    Source: Satorras et al., arXiv 2102.09844; its variant with velocities.
    """

    def __init__(self, config: EGNNConfig, seed: int | None = None):
        super().__init__()
        if not isinstance(config, EGNNConfig):
            raise ValueError(f"config must be an EGNNConfig, but is a {type(config).__name__}. Use EGNNConfig(...).")
        self.config = c = config
        features = c.vectors_in + (0 if c.edge_products else c.scalars_in)
        edge_features = 1 + (c.scalars_in if c.edge_products else 0)
        with seeded(seed):
            self.embed = nn.Linear(max(features, 1), c.hidden)
            self.layers = nn.ModuleList(EGNNLayer(c.hidden, edge_features, c.vectors_in, c.vectors_out > 0,
                                                  c.distance_gain)
                                        for _ in range(c.layers))
            self.readout = _mlp(c.hidden, c.hidden, c.scalars_out) if c.scalars_out else None

    @property
    def num_parameters(self) -> int:
        """Number of learnt weights."""
        return sum(p.numel() for p in self.parameters())

    def forward(self, graphs: Graphs) -> Prediction:
        c = self.config
        check_fits(c, graphs, self.embed.weight)
        pos = graphs.pos
        (source, target), shift = graphs.proper
        offset = None if shift is None else graphs.offsets(target, shift)
        edge_features = graphs.vectors(source, target, shift).square().sum(-1, keepdim=True)
        features = [] if graphs.vec is None else [safe_norm(graphs.vec)]
        if c.edge_products:
            edge_features = torch.cat((edge_features, graphs.x[target] * graphs.x[source]), dim=-1)
        else:
            features.append(graphs.x)
        h = torch.cat(features, dim=-1) if features else pos.new_zeros(len(pos), 0)
        h = self.embed(h if h.shape[1] else pos.new_ones(len(pos), 1))
        for layer in self.layers:
            h, pos = layer(h, pos, graphs.vec, edge_features, source, target, offset)

        scalar = h[:, :0] if self.readout is None else self.readout(h)
        vector = (pos - graphs.pos)[:, None].expand(-1, c.vectors_out, -1)
        return Prediction(scalar, vector).at(c.level, graphs)
