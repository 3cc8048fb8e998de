"""The settings of a network."""

from dataclasses import dataclass

# lists of monomials and of blocks would fill the memory before torch refuses; grids of higher degree have 146 points
_MOST = {"degree": 12, "layers": 1000, "band_limit": 4}
_CHOICES = {
    "dim": (2, 3),
    "space": ("bundle", "edges", "positions"),
    "conv": ("separable", "full"),
    "attributes": ("triple", "e3", "se3", "se2"),
    "readout": ("mean", "last"),
    "level": ("node", "graph"),
}


def check_whole(config: object, **least: int) -> None:
    """The named settings must be whole numbers, no smaller than said and no larger than any network of use has them.

    Raises:
        ValueError: otherwise.
    """
    for name, bound in least.items():
        value, most = getattr(config, name), _MOST.get(name, 2**20)
        if isinstance(value, bool) or not isinstance(value, int) or not bound <= value <= most:
            limit = f"most {most}" if isinstance(value, int) and value > most else f"least {bound}"
            raise ValueError(f"{name} must be an integer of at {limit}, but is {value!r:.100}. "
                             f"Use for example {max(bound, 1)}.")


@dataclass(frozen=True)
class PonitaConfig:
    """The settings of a network; the defaults are the paper's.

    Args:
        scalars_in, vectors_in, scalars_out, vectors_out: numbers of features per node, and of outputs.
        dim: dimension of the space.
        space: ``bundle`` (every node carries a grid of orientations), ``edges`` (edges become position-orientation
            points) or ``positions`` (no orientations; also called PNITA; scalars only).
        conv: ``separable``, or ``full``: one kernel of all ``attributes`` of a pair (bundle only).
        attributes: of the full convolution, see ``spaces.full_attributes``.
        hidden, basis, layers, widening: channels, kernel basis functions, blocks, factor of the pointwise MLP.
        degree: highest total degree of the monomials; ``distinct_monomials`` keeps each of them once.
        layer_scale: initial weight of each block's residual branch; None for none (weight 1, not learnt).
        readout: average the readouts of all blocks, or read out after the last one only.
        level: outputs per node, or summed over each graph.
        radius: cutoff of the smooth window, in the unit of the positions; None for none. It does not make the edges.
        conditioning: kernels also see ``Graphs.cond`` of the sender.
        attention: weigh messages by softmax attention.
        centred_readout: subtract the mean over the grid before reading out vectors, so that nothing leaks where the
            grid's own mean is not 0. No effect on Platonic and Lebedev grids; False to equal public code.
        band_limit: L from 1 to 4: kernels of degree L in the orientation, and blocks of products instead of GELU, so
            that the network is equivariant to rounding for every rotation on a grid that is exact to degree 4L (the
            default grid then); see ``nn.band_limited``. Separable, on the 3D bundle, without attention; ``degree``
            and ``distinct_monomials`` have no effect. None for the paper's kernels and blocks.

    Raises:
        ValueError: on unknown choices, numbers out of range, or combinations that cannot be.
    """

    scalars_in: int
    vectors_in: int = 0
    scalars_out: int = 1
    vectors_out: int = 0
    dim: int = 3
    space: str = "bundle"
    conv: str = "separable"
    attributes: str = "triple"
    hidden: int = 128
    basis: int = 256
    layers: int = 5
    widening: int = 4
    degree: int = 3
    distinct_monomials: bool = False
    layer_scale: float | None = None
    readout: str = "mean"
    level: str = "node"
    radius: float | None = None
    conditioning: bool = False
    attention: bool = False
    centred_readout: bool = True
    band_limit: int | None = None

    def __post_init__(self):
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, "
                                 f"but is {getattr(self, name)!r}. Choose one of these.")
        check_whole(self, scalars_in=0, vectors_in=0, scalars_out=0, vectors_out=0, hidden=1, basis=1, layers=1,
                    widening=1, degree=1)
        for name in ("distinct_monomials", "conditioning", "attention", "centred_readout"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, but is {getattr(self, name)!r}. Use one of these.")
        for name in ("radius", "layer_scale"):
            value = getattr(self, name)
            least = 0 if name == "radius" else float("-inf")
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))
                                      or not least < value < float("inf")):
                raise ValueError(f"{name} must be a {'positive' if least == 0 else 'finite'} number or None, but is "
                                 f"{value!r}. Use None for none.")
        if self.scalars_in + self.vectors_in == 0 or self.scalars_out + self.vectors_out == 0:
            raise ValueError("a network needs at least one input and one output; give the nodes a constant scalar "
                             "feature if they have none (scalars_in=1, x = ones).")
        if self.space == "positions" and self.vectors_in + self.vectors_out > 0:
            raise ValueError("space 'positions' has no orientations, so it can neither take nor give vectors; "
                             f"vectors_in is {self.vectors_in}, vectors_out {self.vectors_out}. "
                             "Use 'bundle' or 'edges'.")
        if self.conv == "full" and (self.space != "bundle" or self.attention):
            raise ValueError("conv 'full' is for space 'bundle' without attention; "
                             f"space is {self.space!r}, attention {self.attention}. Use conv='separable'.")
        if self.band_limit is not None:
            check_whole(self, band_limit=1)
            if self.conv == "full" or self.space != "bundle" or self.dim != 3 or self.attention:
                raise ValueError(f"band_limit {self.band_limit} is for separable convolutions on the 3D bundle without "
                                 f"attention, but conv is {self.conv!r}, space {self.space!r}, dim {self.dim}, "
                                 f"attention {self.attention}. Use None.")
        if self.conv == "separable" and self.attributes != "triple":
            raise ValueError(f"attributes {self.attributes!r} are for the full convolution; a separable one has its "
                             "own. Use conv='full', or leave attributes out.")
        if (self.attributes == "se2") != (self.dim == 2) and self.attributes != "triple":
            raise ValueError(f"attributes {self.attributes!r} do not exist in {self.dim}D; use 'triple' or "
                             f"{'se2' if self.dim == 2 else 'e3 or se3'!r}.")

    @property
    def num_attributes(self) -> int:
        """How many numbers the spatial kernel sees."""
        if self.space == "positions":
            count = 1
        elif self.conv == "full":
            count = {"triple": 3, "e3": 4, "se3": 5, "se2": 4}[self.attributes]
        else:
            count = 3 if self.space == "edges" else 2
        return count + self.conditioning
