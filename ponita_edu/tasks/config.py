"""The settings of training; no torch here, so that the command line is quick. Tasks have their own beside this file."""

from dataclasses import dataclass
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
    accelerator: str = setting("auto", "cpu, cuda or auto (cuda where there is one)")
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
