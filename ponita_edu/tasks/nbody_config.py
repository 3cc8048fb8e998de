"""The settings of N-body runs and their presets; no torch here, so that the command line is quick."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from ponita_edu.tasks.config import TrainConfig, check_range
from ponita_edu.tasks.settings import choose, setting


@dataclass(frozen=True)
class NBodyData:
    """How many simulations of the benchmark, the first ones of each official part."""

    train: int = setting(3000, "training simulations, at most 10,000")
    val: int = setting(2000, "validation simulations, at most 2,000")
    test: int = setting(2000, "test simulations, at most 2,000")
    seed: int = setting(43, "of the simulations; 43 is the benchmark's")

    def __post_init__(self):
        for name, most in (("train", 10_000), ("val", 2_000), ("test", 2_000)):
            check_range(name, getattr(self, name), 1, most)
        check_range("seed", self.seed, 0, 2**32 - 1)


@dataclass(frozen=True)
class NBodyModel:
    """Which network; the defaults are the published ones."""

    METHODS: ClassVar = ("ponita", "edges", "egnn")
    method: str = setting("ponita", "ponita (bundle), edges (PONITA on lifted edges) or egnn")
    hidden: int = setting(128, "channels")
    layers: int = setting(5, "blocks")
    basis: int = setting(256, "kernel basis functions")
    degree: int = setting(3, "degree of the monomials")
    widening: int = setting(4, "factor of the pointwise MLP")
    layer_scale: float | None = setting(1e-6, "initial weight of each block; none for 1, not learnt")
    readout: str = setting("mean", "mean of all blocks' readouts, or the last")
    grid: str = setting("repulsion", "orientations: fibonacci, repulsion, octahedron, cube, icosahedron, ...")
    orientations: int | None = setting(16, "number of them; none for the Platonic solids")

    def __post_init__(self):
        choose("method", self.method, self.METHODS)
        choose("readout", self.readout, ("mean", "last"))
        for name in ("hidden", "layers", "basis", "degree", "widening", "orientations"):
            check_range(name, getattr(self, name), 1)


@dataclass(frozen=True)
class NBodySettings:
    """All settings of an N-body run."""

    preset: str = "paper"
    data: NBodyData = field(default_factory=NBodyData)
    model: NBodyModel = field(default_factory=NBodyModel)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self):
        if self.train.batch_size > self.data.train:
            raise ValueError(f"train.batch_size must be at most data.train, {self.data.train}, but is "
                             f"{self.train.batch_size}.")


_PAPER = NBodySettings()
# A thirtieth of the weights and a hundredth of the steps: two minutes on one core. Networks as small as this
# gain nothing from a second thread, and lose much where other programs compute at the same time.
_QUICK = NBodySettings(
    preset="quick",
    model=NBodyModel(hidden=32, layers=3, basis=32, layer_scale=None, grid="icosahedron", orientations=None),
    train=replace(_PAPER.train, epochs=25, batch_size=25, lr=3e-3, warmup_epochs=1.0, schedule="step",
                  validate_every=4, max_minutes=3.2, checkpoint_minutes=0.5, threads=1),
)

PRESETS = {"quick": _QUICK, "paper": _PAPER}
