"""The settings of training and of the tasks, with their presets; no torch here, so that the command line is quick."""

from dataclasses import dataclass, field, replace
from math import inf

from ponita_edu.tasks.settings import choose, setting

Number = int | float


def check_range(name: str, value: Number | None, least: Number, most: Number = inf, above: bool = False) -> None:
    """Raise a ValueError unless least <= value <= most (least < value if ``above``); None passes."""
    if value is None or ((value > least if above else value >= least) and value <= most and abs(value) != inf):
        return
    bound = f"above {least}" if above else f"at least {least}"
    raise ValueError(f"{name} must be {bound}{'' if most == inf else f' and at most {most}'}, but is {value}.")


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained; the defaults are the published N-body settings.

    Raises:
        ValueError: on a number out of range or an unknown schedule.
    """

    epochs: int = setting(10_000, "passes over the training set")
    batch_size: int = setting(100, "graphs in a step, over all devices; a last incomplete batch is dropped")
    lr: float = setting(1e-3, "largest learning rate of Adam")
    weight_decay: float = setting(1e-10, "on weights of linear maps only, not on biases, norms and layer scales")
    warmup_epochs: float = setting(10.0, "epochs over which the learning rate rises linearly")
    schedule: str = setting("epoch", "change the learning rate every `epoch` (as published) or every `step`")
    clip: float | None = setting(0.5, "largest norm of the gradient; none for no clipping")
    ema: float | None = setting(None, "decay of a moving average of the weights, used for validation and test")
    augment: bool = setting(True, "turn each graph by a random rotation in every step")
    validate_every: int = setting(5, "epochs from one validation to the next; the best weights are kept")
    checkpoint_minutes: float = setting(2.0, "minutes from one checkpoint to the next")
    seed: int = setting(0, "of the initial weights, the order of the data and the rotations")
    max_minutes: float | None = setting(None, "stop by then, with a result; the same command goes on from there")
    accelerator: str = setting("auto", "cpu, cuda, mps or auto")
    devices: int = setting(1, "devices on each node")
    num_nodes: int = setting(1, "machines")
    strategy: str = setting("auto", "of Lightning Fabric, for example ddp")
    threads: int | None = setting(None, "CPU threads; none for torch's choice")
    precision: str = setting("32-true", "32-true, 64-true or bf16-mixed")

    def __post_init__(self):
        for name in ("epochs", "batch_size", "validate_every", "devices", "num_nodes", "threads"):
            check_range(name, getattr(self, name), 1)
        for name in ("weight_decay", "warmup_epochs", "checkpoint_minutes", "seed"):
            check_range(name, getattr(self, name), 0)
        for name in ("lr", "clip", "max_minutes"):
            check_range(name, getattr(self, name), 0, above=True)
        check_range("ema", self.ema, 0, 1)
        check_range("seed", self.seed, 0, 2**32 - 1)
        choose("schedule", self.schedule, ("epoch", "step"))
        choose("precision", self.precision, ("32-true", "64-true", "bf16-mixed"))


# What may change when a run goes on: none of it changes the numbers (devices only their rounding).
FREE = ("max_minutes", "checkpoint_minutes", "accelerator", "devices", "num_nodes", "strategy", "threads")


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
        choose("method", self.method, ("ponita", "edges", "egnn"))
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


_NBODY_PAPER = NBodySettings()
# A twentieth of the weights and a hundredth of the steps: two minutes on one core. Networks as small as this
# gain nothing from a second thread, and lose much where other programs compute at the same time.
_NBODY_QUICK = NBodySettings(
    preset="quick",
    model=NBodyModel(hidden=32, layers=3, basis=32, layer_scale=None, grid="icosahedron", orientations=None),
    train=replace(_NBODY_PAPER.train, epochs=25, batch_size=25, lr=3e-3, warmup_epochs=1.0, schedule="step",
                  validate_every=4, max_minutes=3.2, checkpoint_minutes=0.5, threads=1),
)

PRESETS = {"nbody": {"quick": _NBODY_QUICK, "paper": _NBODY_PAPER}}
