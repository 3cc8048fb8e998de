"""PONITA written down as in its paper, nothing saved: what the library's speed is measured against.

Lists of edges, a basis value for every edge and orientation, a kernel for every layer, sums by ``index_add``. Only for
the networks that are timed: the separable bundle and positions (PNITA), self loops among the edges, mean readout.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from ponita_edu.data.graphs import Graphs
from ponita_edu.nn.ponita import Ponita, Prediction


class Textbook(nn.Module):
    """The same function of the same weights as ``model``; the parameters are copies under the same names.

    Source: arXiv 2310.02970, section 4.
    """

    def __init__(self, model: Ponita):
        super().__init__()
        self.config, self.names = model.config, [name for name, _ in model.named_parameters()]
        self.values = nn.ParameterList(p.detach().clone() for p in model.parameters())
        if model.grid is not None:
            self.register_buffer("ori", model.ori.clone())

    def forward(self, graphs: Graphs) -> Prediction:
        c, w = self.config, dict(zip(self.names, self.values, strict=True))
        source, target = graphs.edge_index
        r = graphs.pos[source] - graphs.pos[target]
        if c.space == "bundle":
            count = len(self.ori)
            along = (r[:, None] * self.ori).sum(-1)
            across = _norm(r[:, None] - along[..., None] * self.ori)
            phi = _basis(torch.stack((along, across), -1), w, "basis", c.degree)
            psi = _basis((self.ori[:, None] * self.ori).sum(-1, keepdim=True), w, "fiber_basis", c.degree)
            h = graphs.x[:, None].expand(-1, count, -1)
            if graphs.vec is not None:
                h = torch.cat((h, torch.einsum("ncd,od->noc", graphs.vec, self.ori)), -1)
        else:
            phi, h = _basis(_norm(r)[:, None], w, "basis", c.degree), graphs.x
        h = h @ w["embed.weight"].T
        out = 0.0
        for k in range(c.layers):
            b = f"blocks.{k}."
            kernel = phi @ w[b + "conv.spatial.kernel.weight"].T
            y = torch.zeros_like(h).index_add(0, target, kernel * h[source])
            if c.space == "bundle":
                y = torch.einsum("poc,noc->npc", psi @ w[b + "conv.fiber.kernel.weight"].T, y) / count
            y = layer_norm(y + w[b + "conv.bias"], y.shape[-1:], w[b + "norm.weight"], w[b + "norm.bias"])
            y = gelu(y @ w[b + "linear_1.weight"].T + w[b + "linear_1.bias"])
            y = y @ w[b + "linear_2.weight"].T + w[b + "linear_2.bias"]
            h = h + (y if c.layer_scale is None else w[b + "layer_scale"] * y)
            out = out + (h @ w[f"readouts.{k}.weight"].T + w[f"readouts.{k}.bias"]) / c.layers
        scalar, vector = out.split((c.scalars_out, c.vectors_out), -1)
        if c.space == "bundle":
            vector = torch.einsum("noc,od->ncd", vector - vector.mean(1, keepdim=True), self.ori) / count
            scalar = scalar.mean(1)
        else:
            vector = vector[..., None].expand(-1, -1, c.dim)
        return Prediction(scalar, vector).at(c.level, graphs)


def _basis(a: Tensor, w: dict[str, Tensor], name: str, degree: int) -> Tensor:
    """GELU(W_2 GELU(W_1 p + b_1) + b_2) of all products p of up to ``degree`` attributes."""
    products = [a]
    for _ in range(degree - 1):
        products.append((products[-1][..., :, None] * a[..., None, :]).flatten(-2))
    p = torch.cat(products, -1)
    for k in ("1", "3"):
        p = gelu(p @ w[f"{name}.{k}.weight"].T + w[f"{name}.{k}.bias"])
    return p


def _norm(v: Tensor) -> Tensor:
    """|v|, with derivatives 0 at and next to 0, where a plain root has none."""
    squared = v.square().sum(-1)
    small = squared <= 1e-12
    return torch.where(small, 1.0, squared).sqrt().masked_fill(small, 0.0)
