"""PONITA: ConvNeXt blocks on positions, on lifted edges, or on the bundle R^n x S^(n-1) (notebook 06)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import Grid, make_grid
from ponita_edu.geometry.invariants import orientation_invariants
from ponita_edu.nn import band_limited, spaces
from ponita_edu.nn.blocks import in_blocks, products, worth_blocks
from ponita_edu.nn.chunks import Chunks
from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.conv import FiberConv, FullConv, Pairs, PointConv, SeparableConv, SpatialConv, along
from ponita_edu.nn.kernels import cutoff_window, is_plain, kernel_basis
from ponita_edu.nn.lifting import sphere_to_scalar, sphere_to_vector
from ponita_edu.nn.prediction import Prediction, check_fits
from ponita_edu.nn.seeds import seeded


class Block(nn.Module):
    """A ConvNeXt block: h + g * W_2 GELU(W_1 LayerNorm(conv(h)) + b_1) + b_2, with layer scale g."""

    def __init__(self, conv: nn.Module, channels: int, widening: int, layer_scale: float | None):
        super().__init__()
        self.recompute = False
        self.conv = conv
        self.norm = nn.LayerNorm(channels)
        self.linear_1 = nn.Linear(channels, widening * channels)
        self.linear_2 = nn.Linear(widening * channels, channels)
        self.layer_scale = None if layer_scale is None else nn.Parameter(torch.full((channels,), layer_scale))

    def forward(self, h: Float[Tensor, "points *N channels"], pairs: Pairs) -> Float[Tensor, "points *N channels"]:
        update = in_blocks(self._update, self.conv(h, pairs), self.recompute)
        return h + update if self.layer_scale is None else torch.addcmul(h, self.layer_scale, update)

    def _update(self, rows: Float[Tensor, "*rows channels"]) -> Float[Tensor, "*rows channels"]:
        return self.linear_2(nn.functional.gelu(self.linear_1(self.norm(rows))))


class Ponita(nn.Module):
    """A network on point clouds that shares weights over equivalence classes of point pairs.

    ``model(graphs)`` gives a ``Prediction``. With space ``positions`` or ``edges`` it is equivariant to every motion of
    E(n), exactly (edges in 2D: of SE(2), because one of their attributes is signed). With space ``bundle`` it is
    exactly equivariant when points and grid move together, and to the grid's own symmetries; for any other rotation
    *approximately*, with an error that falls with the number of orientations (``analysis.equivariance`` measures it);
    with ``band_limit`` L exactly too, on a grid that integrates degree 4L. Mirrors are among these motions in 3D, but
    not with the signed attributes ``se3``, and not in 2D, where the bundle's attributes are signed too.

    Any number of derivatives can be taken by ``torch.autograd``, one vector at a time; ``torch.func`` and batches of
    vectors (``is_grads_batched``, ``vectorize=True``) do not know the sums in ``nn.blocks``.

    Where edges come with their reverse and the grid with its antipodes, a pair and its reverse are one class and
    share one kernel evaluation (``share_classes``, an attribute; False computes each anew, with equal results).

    Args:
        config: the settings.
        grid: orientations of the bundle; default: the dodecahedron's 20 vertices in 3D, 8 equal angles in 2D, with a
            ``band_limit`` Lebedev's smallest rule that is exact enough.
        seed: of the initial weights; None draws from torch's global generator.

    Raises:
        ValueError: on a grid of the wrong dimension, or inputs that do not fit the config.

    Source: Bekkers et al., arXiv 2310.02970.
    """

    def __init__(self, config: PonitaConfig, grid: Grid | None = None, seed: int | None = None):
        super().__init__()
        if not isinstance(config, PonitaConfig):
            raise ValueError(f"config must be a PonitaConfig, but is a {type(config).__name__}. Use PonitaConfig(...).")
        self.config = c = config
        with seeded(seed):
            on_bundle, full = c.space == "bundle", c.conv == "full"
            if c.band_limit is None:
                self.basis = kernel_basis(c.num_attributes, c.hidden, c.basis, c.degree, c.distinct_monomials)
                self.fiber_basis = (kernel_basis(1, c.hidden, c.basis, c.degree, c.distinct_monomials)
                                    if on_bundle and not full else None)
                block, fiber = Block, c.basis
            else:
                self.basis = band_limited.spatial_basis(c.hidden, c.basis, c.band_limit, int(c.conditioning))
                self.fiber_basis = band_limited.FiberBasis(c.band_limit)
                block, fiber = band_limited.BandLimitedBlock, c.band_limit + 1
            self.embed = nn.Linear(c.scalars_in + c.vectors_in, c.hidden, bias=False)
            self.blocks = nn.ModuleList()
            for _ in range(c.layers):
                conv = (FullConv(c.hidden, c.basis) if full else
                        SeparableConv(c.hidden, c.basis, c.attention, fiber) if on_bundle else
                        PointConv(c.hidden, c.basis, c.attention))
                self.blocks.append(block(conv, c.hidden, c.widening, c.layer_scale))
            self.readouts = nn.ModuleList(nn.Linear(c.hidden, c.scalars_out + c.vectors_out)
                                          for _ in range(c.layers if c.readout == "mean" else 1))
        if grid is not None and not on_bundle:
            raise ValueError(f"grid is only for space 'bundle', but space is {c.space!r}. Leave it out.")
        self.share_classes = True
        self._recompute, self._edge_chunk = False, None
        self._grid: Grid | None = None
        self.register_buffer("antipodes", None, persistent=False)
        if on_bundle:
            default = (("circle", 8) if c.dim == 2 else ("dodecahedron",) if c.band_limit is None else
                       ("lebedev", band_limited.POINTS[c.band_limit]))
            self.set_grid(make_grid(*default) if grid is None else grid)

    def recompute(self, on: bool = True, edge_chunk: int | None = None) -> None:
        """Keep only each block's input and the kernel basis, and make the rest again in the backward pass.

        Less memory for about a third more time; outputs and derivatives do not change. The backward pass reads the
        network's weights again: with ``torch.func.functional_call``, take derivatives with ``recompute(False)``, or by
        weights and positions they would be those of the network's own weights.

        Args:
            edge_chunk: keep nothing of the edges at all, and never have more than so many of them in work: memory is
                then that of the nodes, however many edges there are. The basis is made anew for every layer, so it
                takes about 2.5 times the time. For large systems: 1000 is a good number.

        Raises:
            ValueError: if ``edge_chunk`` is no positive whole number, or the network has no such sums: a full
                convolution, attention, lifted edges.
        """
        c = self.config
        if edge_chunk is not None:
            if isinstance(edge_chunk, bool) or not isinstance(edge_chunk, int) or edge_chunk < 1 or not on:
                raise ValueError(f"edge_chunk must be None or a whole number of at least 1, with on=True, but is "
                                 f"{edge_chunk!r} with on={on}. Use for example 1000.")
            if c.conv == "full" or c.attention or c.space == "edges":
                raise ValueError("edge_chunk is for separable convolutions on the bundle or on positions, without "
                                 f"attention, but the network has conv {c.conv!r}, space {c.space!r}, attention "
                                 f"{c.attention}. Leave it out.")
        self._recompute = self.basis.recompute = on and edge_chunk is None
        self._edge_chunk = edge_chunk
        for block in self.blocks:
            block.recompute = edge_chunk is not None

    @property
    def grid(self) -> Grid | None:
        """The orientations of the bundle, None for point clouds."""
        return self._grid

    def set_grid(self, grid: Grid) -> None:
        """Use another grid from now on. Weights act on invariants, so they stay as they are."""
        if not isinstance(grid, Grid):
            raise ValueError(f"grid must be a Grid, but is a {type(grid).__name__}. Use make_grid('fibonacci', 20), or "
                             "Grid.from_points(points).")
        if self.config.space != "bundle":
            raise ValueError(f"grid is only for space 'bundle', but space is {self.config.space!r}. Leave it out.")
        if grid.dim != self.config.dim:
            raise ValueError(f"grid must lie in {self.config.dim}D, but {grid.name} lies in {grid.dim}D. Use "
                             f"make_grid({'circle' if self.config.dim == 2 else 'fibonacci'!r}, n).")
        self._put_grid(grid, self.embed.weight)

    def _put_grid(self, grid: Grid, like: Tensor) -> None:
        self._grid = grid
        self.register_buffer("ori", grid.points.to(like.device, like.dtype, copy=True))  # loading writes into them
        self.register_buffer("ori_weights", grid.weights.to(like.device, like.dtype, copy=True))
        antipodes = grid.antipodes()
        self.register_buffer("antipodes", None if antipodes is None else antipodes.to(like.device), persistent=False)

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        if self._grid is not None:  # from float64, so that .float().double() does not leave a rounded grid behind
            self.set_grid(self._grid)
        return self

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args) -> None:
        like = self.embed.weight
        if local_metadata.get("assign_to_params_buffers"):  # the weights will be those of the dict, in their dtype
            like = state_dict.get(prefix + "embed.weight", like)
        points, weights = (state_dict.get(prefix + name) for name in ("ori", "ori_weights"))
        with_grid = self._grid is not None and points is not None and weights is not None
        rounded = with_grid and points.dtype != like.dtype
        same = with_grid and all(a.shape == b.shape and torch.equal(a.to(b), b.to(a.dtype).to(b))
                                 for a, b in ((points, self.ori), (weights, self.ori_weights)))
        if with_grid and not same:
            self.set_grid(_stored_grid(points, weights))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
        if with_grid and (same or rounded):  # from float64 again, not what was stored in fewer digits
            self._put_grid(self._grid, like)

    @property
    def num_parameters(self) -> int:
        """Number of learnt weights."""
        return sum(p.numel() for p in self.parameters())

    def forward(self, graphs: Graphs) -> Prediction:
        check_fits(self.config, graphs, self.embed.weight)
        chunks, rest = None, graphs
        if self._edge_chunk is not None:
            chunks = Chunks(graphs, self._edge_chunk, self.shares, lambda few: self._pairs(self._lift(few), few),
                            self.basis)
            rest = chunks.rest
        points = self._lift(rest)
        pairs = self._pairs(points, rest)._replace(chunks=chunks)
        if self._grid is not None:
            fiber = None
            if self.fiber_basis is not None:
                fiber = self.fiber_basis(orientation_invariants(self.ori[:, None], self.ori[None, :]))
            pairs = pairs._replace(fiber_basis=fiber, weights=self.ori_weights)

        h, hidden, kernels = self.embed(points.features), [], [None] * len(self.blocks)
        if self.config.conv == "separable":
            pairs = pairs._replace(along=along(pairs, h))
        if (self.config.conv == "separable" and not self._recompute and torch.is_grad_enabled()
                and worth_blocks(pairs.basis)):  # without gradients one layer's kernels at a time take less memory
            maps = [block.conv.spatial.kernel for block in self.blocks]
            if all(is_plain(m) and m.bias is None for m in maps):
                kernels = products(pairs.basis, [m.weight for m in maps])
        for block, kernel in zip(self.blocks, kernels, strict=True):
            if self._recompute:
                h = checkpoint(block, h, pairs, use_reentrant=False, preserve_rng_state=False)
            else:
                h = block(h, pairs._replace(kernel=kernel))
            hidden.append(h)
        used = hidden if self.config.readout == "mean" else hidden[-1:]
        signal = sum(readout(h) for readout, h in zip(self.readouts, used, strict=True)) / len(used)
        return self._project(signal, points, graphs)

    def _pairs(self, points: spaces.Points, graphs: Graphs) -> Pairs:
        window = None
        if self.config.radius is not None:
            window = cutoff_window(points.distance, self.config.radius)
            window = window.reshape(-1, *[1] * (points.attributes.dim() - 2)).expand(points.attributes.shape[:-1])
        basis = self.basis(points.attributes, window)
        pairs = Pairs(points.source, points.target, basis, graphs=graphs.num_graphs)
        if points.loops is not None:
            origin = points.attributes.new_zeros(self.config.num_attributes)  # all attributes vanish at r = 0
            if graphs.cond is not None:  # but not the condition
                origin = torch.cat((origin[1:].expand(len(points.loops), -1), graphs.cond[points.loops]), dim=-1)
            pairs = pairs._replace(loops=points.loops, loop_basis=self.basis(origin), antipodes=self.antipodes)
        return pairs

    def calibrate(self, graphs: Graphs) -> Float[Tensor, "layers steps"]:
        """Rescale the kernels of every block so that its steps keep the scale of their input on this batch. Once.

        Spatial kernels are multiplied by sd(h)/sd(y), fiber kernels by sd(y)/sd(z), with h, y, z the input and the
        outputs of the two steps (without bias), all measured in one forward pass with the weights as they were.

        Returns:
            sd(h), sd(y), sd(z) of each block (no third column for one-step convolutions).

        Raises:
            ValueError: if a convolution gives a constant on this batch, or a kernel's weight is made of others.

        Source: the public implementations do this unasked in their first training step.
        """
        stds: dict[nn.Module, tuple[Tensor, Tensor]] = {}

        def measure(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            stds[module] = inputs[0].std(), (output - module.bias if isinstance(module, FullConv) else output).std()

        steps = [[m for m in b.conv.modules() if isinstance(m, (SpatialConv, FiberConv, FullConv))]
                 for b in self.blocks]
        for name, module in self.blocks.named_modules():
            if isinstance(module, (SpatialConv, FiberConv, FullConv)) and not isinstance(module.kernel.weight,
                                                                                         nn.Parameter):
                raise ValueError(f"calibrate rescales weights, but that of blocks.{name}.kernel is made of others anew "
                                 "in each step (weight_norm, pruning). Calibrate first, then add these.")
        hooks = [m.register_forward_hook(measure) for block in steps for m in block]
        try:
            with torch.no_grad():
                self(graphs)
        finally:
            for hook in hooks:
                hook.remove()
        for block in steps:
            for module in block:
                sd_in, sd_out = stds[module]
                if not bool(sd_out > 0):
                    raise ValueError("graphs must make every kernel act, but a convolution gave a constant. Calibrate "
                                     "on a batch with several nodes and edges.")
                module.kernel.weight.data.mul_(sd_in / sd_out)
        return torch.stack([torch.stack([stds[b[0]][0]] + [stds[m][1] for m in b]) for b in steps])

    @property
    def shares(self) -> bool:
        """Whether a pair and its reverse share a kernel, where edges come with their reverse."""
        c = self.config
        return (self.share_classes and not c.attention and c.conv == "separable"
                and (c.space == "positions" or self.antipodes is not None))

    def _lift(self, graphs: Graphs) -> spaces.Points:
        c = self.config
        if c.space == "positions":
            return spaces.positions(graphs, self.shares)
        if c.space == "edges":
            return spaces.edges(graphs, c.radius)
        return spaces.bundle(graphs, self.ori, c.conv, c.attributes, self.shares, c.band_limit is not None)

    def _project(self, signal: Tensor, points: spaces.Points, graphs: Graphs) -> Prediction:
        scalar, vector = signal.split((self.config.scalars_out, self.config.vectors_out), dim=-1)
        if self._grid is not None:
            scalar = sphere_to_scalar(scalar, self.ori_weights)
            vector = sphere_to_vector(vector, self.ori, self.ori_weights, centred=self.config.centred_readout)
        elif points.ori is not None:
            scalar = _mean_by(scalar, points.node, graphs.num_nodes)
            vector = _mean_by(vector[..., None] * points.ori[:, None], points.node, graphs.num_nodes)
        else:
            vector = vector[..., None].expand(-1, -1, self.config.dim)  # no vectors, but of the right shape
        return Prediction(scalar, vector).at(self.config.level, graphs)


def _stored_grid(points: Tensor, weights: Tensor) -> Grid:
    # 16 bits keep lengths and sums of 1 to three digits or two only, which is no fault of the grid
    if points.dtype in (torch.float16, torch.bfloat16):
        length, total = points.double().norm(dim=-1, keepdim=True), weights.double().sum()
        if max(float((length - 1).abs().max()), abs(float(total) - 1)) < 0.01:
            points, weights = points.double() / length, weights.double() / total
    return Grid.from_points(points, weights, "stored")


def _mean_by(a: Tensor, index: Tensor, size: int) -> Tensor:
    total = a.new_zeros(size, *a.shape[1:]).index_add(0, index, a)
    count = torch.bincount(index, minlength=size).clamp(min=1)  # a node without points keeps 0
    return total / count.reshape(-1, *[1] * (a.dim() - 1))
