"""The settings of rMD17 runs and their presets; no torch here, so that the command line is quick."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from ponita_edu.tasks.config import TrainConfig, check_range
from ponita_edu.tasks.nbody_config import NBodyModel
from ponita_edu.tasks.settings import choose, setting


@dataclass(frozen=True)
class Md17Data:
    """Which frames, and how they are shared out."""

    source: str = setting("ethanol", "a file (.npz as in rMD17, extended XYZ) or a name; short: --data")
    split: str = setting("published", "published (whole rMD17 files), rows (in file order) or random (by data.seed)")
    train: int = setting(950, "training frames")
    val: int = setting(50, "validation frames")
    test: int | None = setting(None, "test frames at most; none for all others")
    seed: int = setting(0, "of the random split")

    def __post_init__(self):
        choose("split", self.split, ("published", "rows", "random"))
        for name in ("train", "val", "test"):
            check_range(name, getattr(self, name), 1)
        check_range("seed", self.seed, 0, 2**32 - 1)
        if self.split == "published" and (self.train, self.val) != (950, 50):
            raise ValueError("split published has 950 training and 50 validation frames, but train is "
                             f"{self.train} and val {self.val}. Use split random or rows.")


@dataclass(frozen=True)
class Md17Model(NBodyModel):
    """Which network; the defaults are the published ones, on a grid closed under o -> -o."""

    METHODS: ClassVar = ("ponita", "positions", "edges", "egnn")
    method: str = setting("ponita", "ponita (bundle), positions (PNITA), edges (PONITA on lifted edges) or egnn")
    layer_scale: float | None = setting(None, "initial weight of each block; none for 1, not learnt")
    grid: str = setting("dodecahedron", "orientations: fibonacci, repulsion, octahedron, cube, icosahedron, ...")
    orientations: int | None = setting(None, "number of them; none for the Platonic solids")
    elements: str = setting("1 6 7 8 9 15 16 17", "atomic numbers that the network can tell apart")
    cutoff: float | None = setting(None, "atoms up to this distance (Å) are neighbours; none for all of them")

    def __post_init__(self):
        super().__post_init__()
        check_range("cutoff", self.cutoff, 0, above=True)
        if not self.elements.split() or not all(k.isdigit() for k in self.elements.split()):
            raise ValueError(f"elements must be atomic numbers with spaces between, but is {self.elements!r}.")


@dataclass(frozen=True)
class Md17Protocol:
    """Loss and test."""

    energy_weight: float = setting(1 / 500, "of the squared energy error in the loss; that of the forces is 1")
    turns: int = setting(5, "rotations over which test predictions are averaged (bundle only)")

    def __post_init__(self):
        check_range("energy_weight", self.energy_weight, 0)
        check_range("turns", self.turns, 1)


@dataclass(frozen=True)
class Md17Settings:
    """All settings of an rMD17 run."""

    preset: str = "paper"
    data: Md17Data = field(default_factory=Md17Data)
    model: Md17Model = field(default_factory=Md17Model)
    protocol: Md17Protocol = field(default_factory=Md17Protocol)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(
        epochs=5000, batch_size=5, lr=5e-4, weight_decay=1e-16, warmup_epochs=100.0, ema=0.99, validate_every=10))

    def __post_init__(self):
        if self.train.batch_size > self.data.train:
            raise ValueError(f"train.batch_size must be at most data.train, {self.data.train}, but is "
                             f"{self.train.batch_size}.")
        if self.train.precision == "bf16-mixed":
            raise ValueError("train.precision bf16-mixed is too coarse for forces. Use 32-true or 64-true.")


_PAPER = Md17Settings()
# A small bundle on our own frames: two minutes on one core. For lower errors see configs/md17_ethanol_cpu.yaml.
_QUICK = Md17Settings(
    preset="quick",
    data=Md17Data(source="ethanol_xtb", split="rows", train=900),
    model=Md17Model(hidden=32, layers=4, basis=32, widening=2, grid="octahedron"),
    train=replace(_PAPER.train, epochs=20, batch_size=10, lr=1e-2, warmup_epochs=1.0, schedule="step",
                  validate_every=2, max_minutes=3.2, checkpoint_minutes=0.5, threads=1),
)

PRESETS = {"quick": _QUICK, "paper": _PAPER}
