"""The network as a diagram, with the shapes of what flows (notebook 06)."""

from numbers import Real

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ponita_edu.analysis.cost import Cost, cost_table
from ponita_edu.data.graphs import Graphs
from ponita_edu.nn.ponita import Ponita
from ponita_edu.viz import theme

_TOP, _BELOW = 2.35, 0.55  # heights of the two rows
_BOX = {"boxstyle": "round,pad=0.35", "linewidth": 1.2}


def plot_architecture(model: Ponita, graphs: Graphs) -> Figure:
    """Boxes are steps, arrows what flows, with its shape on this batch; one block is drawn for all.

    Upper row: features, from input to output. Lower row: the kernels, made once for all blocks.

    Raises:
        ValueError: if the network is not a separable one on the bundle, or band-limited, which has other blocks.
    """
    c = model.config
    if c.space != "bundle" or c.conv != "separable":
        raise ValueError(f"model must have space 'bundle' and conv 'separable', but has {c.space!r} and {c.conv!r}.")
    if c.band_limit is not None:
        raise ValueError(f"model must have no band_limit, but has {c.band_limit}: its blocks have products instead of "
                         "the norm and MLP that are drawn. Take PonitaConfig(..., band_limit=None).")
    rows = {row.name: row for row in cost_table(model, graphs)}
    figure = Figure(figsize=(12.0, 4.1), dpi=theme.DPI, layout="constrained")
    ax = figure.subplots()
    ax.set(xlim=(-0.7, 15.1), ylim=(-0.25, 3.75))
    ax.set_axis_off()
    shape = {name: row.shape for name, row in rows.items()}
    rows_out, out = shape["to scalars and vectors"]  # a row for each node, or for each graph
    nodes, read = graphs.num_nodes, "readouts,\ntheir mean" if len(model.readouts) > 1 else "readout"

    ax.add_patch(FancyBboxPatch((5.1, 1.6), 5.8, 1.9, boxstyle="round,pad=0.02", facecolor="none",
                                edgecolor=theme.GREY, linestyle="--"))
    ax.text(5.2, 3.28, f"block, {c.layers} times", fontsize=10, color=theme.GREY, style="italic")
    _box(ax, 0, _TOP, f"x {_say((nodes, c.scalars_in))}\nv {_say((nodes, c.vectors_in, c.dim))}", theme.LIGHT)
    for x, words in ((1.65, "lifting\nx, v·o"), (3.15, "embedding\n$W$"), (5.95, "spatial\nconvolution"),
                     (7.6, "fiber\nconvolution"), (8.9, "norm"), (9.85, "MLP"), (12.75, read),
                     (14.5, f"{_outputs(c.scalars_out, c.vectors_out)}\n{_say((rows_out, out))}")):
        _box(ax, x, _TOP, words, theme.SKY)
    _box(ax, 0, _BELOW, f"pos {_say((nodes, c.dim))}\ngrid {_say((len(model.grid), c.dim))}", theme.LIGHT)
    pair, turn = shape["kernel basis"], shape["fiber kernel basis"]
    for x, words in ((2.0, "attributes"), (5.95, "polynomials\nand MLP"), (7.6, "polynomials\nand MLP")):
        _box(ax, x, _BELOW, words, theme.YELLOW)

    stream = _say(shape["embedding"])
    for a, b, words in ((0.6, 1.25, ""), (2.05, 2.5, _say(shape["lifting"])), (3.8, 5.32, stream), (6.6, 6.95, ""),
                        (8.25, 8.5, ""), (9.25, 9.5, ""), (10.2, 10.4, ""), (10.8, 12.15, stream),
                        (13.4, 14.0, _say(shape["readout 1"]))):
        _arrow(ax, (a, _TOP), (b, _TOP), words, up=0.42)
    _arrow(ax, (0.65, _BELOW), (1.4, _BELOW))
    _arrow(ax, (2.6, _BELOW), (5.25, _BELOW), _say((*pair[:-1], c.num_attributes)), up=0.15)
    ax.annotate("", (7.6, 0.25), (2.0, 0.25), arrowprops=_style("arc3,rad=0.12"))
    ax.text(4.8, -0.2, f"{_say((*turn[:-1], 1))}  o·o'", ha="center", va="center", fontsize=9)
    _arrow(ax, (5.95, 0.9), (5.95, 2.0), _say(pair), side=-0.1)
    _arrow(ax, (7.6, 0.9), (7.6, 2.0), _say(turn), side=0.1)
    ax.text(10.6, _TOP, "+", ha="center", va="center", fontsize=12,
            bbox={"boxstyle": "circle,pad=0.12", "facecolor": theme.WHITE})
    above = _TOP + 0.55  # past the boxes of the block
    ax.plot([5.22, 5.22, 10.6], [_TOP, above, above], color=theme.BLACK, linewidth=1.1)
    _arrow(ax, (10.6, above), (10.6, _TOP + 0.2))
    ax.text(7.9, above + 0.1, "residual", ha="center", fontsize=9, color=theme.GREY)
    return figure


def architecture_alt(model: Ponita, rows: list[Cost]) -> str:
    """The diagram in words."""
    shape = {row.name: list(row.shape) for row in rows}
    return (f"Diagram of the network. Scalars and vectors are lifted to {shape['lifting']}, embedded to "
            f"{shape['embedding']}, pass through {model.config.layers} blocks (spatial convolution, fiber convolution, "
            f"norm, MLP, residual) and are read out to {shape['readout 1']}. Below: pair attributes become the kernel "
            f"basis {shape['kernel basis']} for the spatial convolution, angles between orientations the basis "
            f"{shape['fiber kernel basis']} for the fiber convolution.")


def _say(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _outputs(scalars: int, vectors: int) -> str:
    return "\n".join(([f"{scalars} scalar" + "s" * (scalars > 1)] if scalars else [])
                     + ([f"{vectors} vector" + "s" * (vectors > 1)] if vectors else []))


def _box(ax: Axes, x: Real, y: Real, words: str, colour: str) -> None:
    ax.text(x, y, words, ha="center", va="center", fontsize=9.5,
            bbox={**_BOX, "facecolor": colour + "66", "edgecolor": theme.BLACK})


def _style(curve: str = "arc3") -> dict:
    return {"arrowstyle": "-|>", "color": theme.BLACK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0,
            "connectionstyle": curve}


def _arrow(ax: Axes, start: tuple[Real, Real], end: tuple[Real, Real], words: str = "", up: Real = 0.0,
           side: Real = 0.0) -> None:
    ax.annotate("", end, start, arrowprops=_style())
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    ax.text(x + side, y + up, words, fontsize=9, va="center",
            ha="center" if not side else "left" if side > 0 else "right")
