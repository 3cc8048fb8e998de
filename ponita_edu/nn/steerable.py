"""What PONITA is compared with: a steerable network, whose features are spherical tensors (notebooks 08, 09).

Its constants come from e3nn, an extra: pip install 'ponita_edu[compare]'.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.invariants import safe_norm
from ponita_edu.nn.config import check_whole
from ponita_edu.nn.kernels import cutoff_window, kernel_basis
from ponita_edu.nn.prediction import Prediction, check_fits
from ponita_edu.nn.seeds import seeded


@dataclass(frozen=True)
class SteerableConfig:
    """The settings of a steerable network.

    Args:
        scalars_in, vectors_in, scalars_out, vectors_out: numbers of features per node, and of outputs.
        l_max: highest order of the features and of the spherical harmonics, 1 to 3.
        hidden, layers: channels of every order, and layers.
        basis, degree: of the radial kernels, as for ``PonitaConfig``.
        level: outputs per node, or summed over each graph.
        radius: cutoff of the smooth window, in the unit of the positions; None for none. It does not make the edges.
        group: ``e3`` keeps the products that reflections allow (l1 + l2 + l3 even); ``se3`` takes all, so that the
            network tells mirror images apart.

    Raises:
        ValueError: on unknown choices or numbers out of range.
    """

    scalars_in: int = 1
    vectors_in: int = 0
    scalars_out: int = 1
    vectors_out: int = 0
    l_max: int = 1
    hidden: int = 32
    layers: int = 4
    basis: int = 32
    degree: int = 3
    level: str = "node"
    radius: float | None = None
    group: str = "e3"

    def __post_init__(self):
        check_whole(self, scalars_in=0, vectors_in=0, scalars_out=0, vectors_out=0, hidden=1, layers=1, basis=1,
                    degree=1, l_max=1)
        if self.l_max > 3:
            raise ValueError(f"l_max must be 1, 2 or 3, but is {self.l_max}. Higher orders cost more than they give.")
        for name, allowed in (("level", ("node", "graph")), ("group", ("e3", "se3"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, but is {getattr(self, name)!r}.")
        if self.radius is not None and (isinstance(self.radius, bool) or not isinstance(self.radius, (int, float))
                                        or not 0 < self.radius < float("inf")):
            raise ValueError(f"radius must be a positive number or None, but is {self.radius!r}. Use None for none.")
        if self.scalars_out + self.vectors_out == 0:
            raise ValueError("scalars_out and vectors_out are both 0, so there is nothing to predict. Set one to 1.")


class SteerableLayer(nn.Module):
    r"""One step; h_l are C channels of tensors of order l, Y_l solid harmonics, * the Clebsch-Gordan product:

        m_{l3} = sum over edges (s -> i) and paths (l1, l2, l3) of k_path(|r|) (h_{l1}[s] * Y_{l2})_{l3} + W_l3 h_{l3}
        (u_0, g_1, g_2, ...) = MLP(m_0, |m_1|^2, |m_2|^2, ...)        m normalised: m / sqrt(1 + mean over C of |m|^2)
        h_0 <- h_0 + u_0,    h_l <- h_l + g_l V_l m_l

    The squared norms make products of two neighbours' directions within one layer.

    Source: the ideas of arXiv 2101.03164 (products with radial kernels) and 2110.02905 (gates), in the smallest form.
    """

    def __init__(self, config: SteerableConfig, paths: list[tuple[int, int, int]]):
        super().__init__()
        c, orders = config.hidden, config.l_max + 1
        self.paths, self.channels = paths, c
        self.kernel = nn.Linear(config.basis, len(paths) * c, bias=False)
        self.own = nn.ModuleList(nn.Linear(c, c, bias=False) for _ in range(orders))
        self.mix = nn.ModuleList(nn.Linear(c, c, bias=False) for _ in range(orders - 1))
        self.gate = nn.Sequential(nn.Linear(orders * c, 2 * c), nn.SiLU(), nn.Linear(2 * c, orders * c))

    def forward(
        self,
        h: list[Float[Tensor, "nodes _ channels"]],
        basis: Float[Tensor, "edges basis"],
        products: list[Float[Tensor, "edges _ _"]],
        source: Tensor,
        target: Tensor,
    ) -> list[Float[Tensor, "nodes _ channels"]]:
        kernels = self.kernel(basis).reshape(-1, len(self.paths), 1, self.channels)
        sent = [a.index_select(0, source) for a in h]
        message = [0.0] * len(h)
        for p, ((l1, _, l3), product) in enumerate(zip(self.paths, products, strict=True)):
            message[l3] = message[l3] + kernels[:, p] * (product @ sent[l1])
        m = [own(a).index_add(0, target, b) for own, a, b in zip(self.own, h, message, strict=True)]
        m = [a * (1 + a.square().sum(1, keepdim=True).mean(-1, keepdim=True)).rsqrt() for a in m]
        invariants = torch.cat([m[0][:, 0]] + [a.square().sum(1) for a in m[1:]], dim=-1)
        update, *gates = self.gate(invariants)[:, None].chunk(len(h), dim=-1)
        return [h[0] + update] + [a + g * mix(b) for a, g, mix, b in zip(h[1:], gates, self.mix, m[1:], strict=True)]


class Steerable(nn.Module):
    """A tensor-product network of orders up to ``l_max`` on point clouds in 3D, in the manner of NequIP and SEGNN.

    ``model(graphs)`` gives a ``Prediction``. Exactly equivariant to every motion of E(3) (group ``se3``: of SE(3)), and
    smooth: the harmonics are those of r / sqrt(1 + |r|^2), which have no kink at r = 0. The edges are those of the
    batch; self loops among them are left out, as every node sees itself anyway.

    Node features: the scalars (a constant 1 if there are none) and the vectors. For the same kernels as PONITA's, the
    radial ones are k = W phi(|r|) with a basis phi that all layers share.

    Args:
        config: the settings.
        seed: of the initial weights; None draws from torch's global generator.

    Raises:
        ImportError: without e3nn.
        ValueError: on inputs that do not fit the config.
    """

    def __init__(self, config: SteerableConfig, seed: int | None = None):
        super().__init__()
        if not isinstance(config, SteerableConfig):
            raise ValueError(f"config must be a SteerableConfig, but is a {type(config).__name__}. "
                             "Use SteerableConfig(...).")
        self.config = c = config
        o3, orders = _e3nn(), range(c.l_max + 1)
        self.paths = [(l1, l2, l3) for l3 in orders for l1 in orders for l2 in orders
                      if abs(l1 - l2) <= l3 <= l1 + l2 and (c.group == "se3" or (l1 + l2 + l3) % 2 == 0)]
        into = [sum(path[2] == order for path in self.paths) for order in orders]
        # e3nn's symbols have norm 1; so that each order's message has about the variance of what was sent
        self._exact = [o3.wigner_3j(*path, dtype=torch.float64) * ((2 * path[2] + 1) / into[path[2]]) ** 0.5
                       for path in self.paths]
        with seeded(seed):
            self.basis = kernel_basis(1, c.hidden, c.basis, c.degree)
            self.embed = nn.Linear(max(c.scalars_in, 1), c.hidden)
            self.embed_vectors = nn.Linear(c.vectors_in, c.hidden, bias=False) if c.vectors_in else None
            self.layers = nn.ModuleList(SteerableLayer(c, self.paths) for _ in range(c.layers))
            self.readout = nn.Linear(c.hidden, c.scalars_out) if c.scalars_out else None
            self.readout_vectors = nn.Linear(c.hidden, c.vectors_out, bias=False) if c.vectors_out else None
        self._set_constants()

    def _set_constants(self) -> None:
        for p, exact in enumerate(self._exact):
            self.register_buffer(f"coupling_{p}", exact.to(self.embed.weight), persistent=False)

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        self._set_constants()  # from float64, so that .float().double() does not leave rounded constants behind
        return self

    @property
    def num_parameters(self) -> int:
        """Number of learnt weights."""
        return sum(p.numel() for p in self.parameters())

    def forward(self, graphs: Graphs) -> Prediction:
        c = self.config
        check_fits(c, graphs, self.embed.weight)
        if graphs.dim != 3:
            raise ValueError(f"graphs must lie in 3D for a steerable network, but lie in {graphs.dim}D. Use EGNN, or "
                             "Ponita with dim=2.")
        (source, target), shift = graphs.proper
        r = graphs.vectors(source, target, shift)
        distance = safe_norm(r)
        basis = self.basis(distance[:, None], None if c.radius is None else cutoff_window(distance, c.radius))
        bent = r * (1 + r.square().sum(-1, keepdim=True)).rsqrt()
        harmonics = _e3nn().spherical_harmonics(list(range(c.l_max + 1)), bent, False, "component")
        y = harmonics.split([2 * order + 1 for order in range(c.l_max + 1)], dim=-1)
        products = [torch.einsum("ijk,ej->eki", getattr(self, f"coupling_{p}"), y[l2])
                    for p, (_, l2, _) in enumerate(self.paths)]

        x = graphs.x if c.scalars_in else graphs.pos.new_ones(graphs.num_nodes, 1)
        h = [self.embed(x)[:, None]]
        h += [h[0].new_zeros(graphs.num_nodes, 2 * order + 1, c.hidden) for order in range(1, c.l_max + 1)]
        if self.embed_vectors is not None:
            h[1] = self.embed_vectors(graphs.vec.transpose(1, 2))  # of order 1, e3nn's components are x, y, z
        for layer in self.layers:
            h = layer(h, basis, products, source, target)
        scalar, vector = h[0][:, 0], h[1]
        out = Prediction(scalar[:, :0] if self.readout is None else self.readout(scalar),
                         (vector[..., :0] if self.readout_vectors is None else self.readout_vectors(vector)).mT)
        return out.at(c.level, graphs)


def _e3nn():
    try:
        from e3nn import o3
    except ImportError as error:
        raise ImportError("a steerable network needs e3nn, which is not installed. Install the extra 'compare': "
                          "pip install 'ponita_edu[compare]'.") from error
    return o3
