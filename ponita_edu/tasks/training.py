r"""The training loop of all tasks, on Lightning Fabric (notebook 09).

Nothing random is left in hidden state: the order of the data and the rotations follow from (seed, epoch), other noise
from (seed, step). So a run that was cut goes on to the same weights, bit by bit (same machine, same threads).
"""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ponita_edu.tasks import checkpoint
from ponita_edu.tasks.config import TrainConfig
from ponita_edu.tasks.parts import Epoch, Objective, lr_factor, make_optimizer
from ponita_edu.tasks.progress import Log, StopSignals
from ponita_edu.tasks.task import Fabric, Task, evaluate, stream

DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.float32, "64-true": torch.float64}
AGREE_EVERY = 10  # steps after which several processes agree whether to stop or to save
FINISH_SECONDS = 4.0  # for table, picture and files after the last evaluation


@dataclass
class State:
    """Where a run stands, beside its weights."""

    step: int = 0
    minutes: float = 0.0
    evaluation_seconds: float = 0.0  # what is still to come after the last step takes
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))  # since the last validation
    loss_count: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_error: float = math.inf
    history: list[dict[str, Any]] = field(default_factory=list)


def make_fabric(config: TrainConfig) -> Fabric:
    """Fabric by the settings; ``launch()`` then starts the processes.

    Raises:
        ValueError: on devices that are not there or know no float64, on a strategy that wants a function to start, or
            a batch that cannot be shared out evenly.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError:  # the large package has it too
        from lightning.fabric import Fabric

    processes = config.devices * config.num_nodes
    if config.batch_size % processes:
        raise ValueError(f"train.batch_size must be a multiple of the number of processes, {processes}, but is "
                         f"{config.batch_size}.")
    if config.strategy.endswith(("_spawn", "_fork", "_notebook")):
        raise ValueError(f"train.strategy {config.strategy!r} starts its processes from a function, and here each one "
                         "runs the command. Choose ddp.")
    accelerator = config.accelerator
    if accelerator == "auto" and torch.backends.mps.is_available():
        accelerator = "cpu"  # Fabric would take Apple's GPU
    try:
        fabric = Fabric(accelerator=accelerator, devices=config.devices, num_nodes=config.num_nodes,
                        strategy=config.strategy, precision=config.precision)
    except Exception as error:  # Fabric has a different one for each cause
        raise ValueError(f"train.accelerator {config.accelerator!r}, train.devices {config.devices} and train.strategy "
                         f"{config.strategy!r} do not go together here: {str(error).splitlines()[0]}") from None
    if fabric.device.type == "mps":
        raise ValueError(f"train.accelerator {config.accelerator!r} would be Apple's GPU, which has no float64: errors "
                         "are summed, and energies kept, in it. Choose cpu.")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    # DDP's remark on the gradient of a readout to one number, whose strides are of no consequence
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    return fabric


def fit(fabric: Fabric, task: Task, network: nn.Module, config: TrainConfig, folder: Path, info: dict[str, Any],
        started: float | None = None, stop: Callable[[int], bool] = lambda step: False) -> State:
    """Train ``network`` in place, from the newest checkpoint in ``folder`` if there is one; leave it the best weights.

    Args:
        info: facts to keep in the checkpoints.
        started: when the budget of ``max_minutes`` began (``time.monotonic()``); None for now.
        stop: asked after each step whether to stop, beside the budget and signals.

    Returns:
        Where the run stands, with the validation error of the weights. It is complete if the step is
        ``total_steps(task, config)``.

    Raises:
        ValueError: if the training set is smaller than a batch, the loss is not finite, or all checkpoints are damaged.
    """
    started = time.monotonic() if started is None else started
    deadline = started + 60 * (config.max_minutes or math.inf)
    run = Run(fabric, task, network, config, folder, info)
    state = run.state
    try:
        with StopSignals() as wish:
            if not state.history:
                run.validate()
            ask = False
            while state.step < run.total and not ask:
                run.train_step()
                if state.step == run.total or state.step % (config.validate_every * run.steps) == 0:
                    run.validate()
                out_of_time = time.monotonic() + state.evaluation_seconds + FINISH_SECONDS > deadline
                ask, due = run.agree(wish.stop or out_of_time or stop(state.step), run.save_is_due)
                if due and not ask:
                    run.save()
            run.save(final=True)
        run.take_best()
    finally:
        run.log.close()
    return state


def total_steps(task: Task, config: TrainConfig) -> int:
    """Steps of a complete run; incomplete batches are dropped."""
    return config.epochs * (task.size("train") // config.batch_size)


class Run:
    """A run in progress: what ``fit`` does, piece by piece."""

    def __init__(self, fabric: Fabric, task: Task, network: nn.Module, config: TrainConfig, folder: Path,
                 info: dict[str, Any]):
        if task.size("train") < config.batch_size:
            raise ValueError(f"train.batch_size must be at most the number of training graphs, {task.size('train')}, "
                             f"but is {config.batch_size}.")
        self.fabric, self.config, self.folder, self.info = fabric, config, folder, info
        dtype = DTYPES[config.precision]
        self.task = task.to(fabric.device, dtype)
        self.network = network.to(fabric.device, dtype)
        self.steps, self.total = task.size("train") // config.batch_size, total_steps(task, config)
        first = self.task.graphs("train", torch.arange(1, device=fabric.device))
        self.like, self.dim = first.pos, first.dim
        self.state = State(loss_sum=first.pos.new_zeros(()))
        self.epoch: Epoch | None = None
        self.optimizer = make_optimizer(self.network, config)
        found = checkpoint.newest(folder / "checkpoints", fabric.print)
        if found is None:
            self._prepare()
        self.average = self.network  # what is validated
        if config.ema is not None:
            self.ema = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
            self.average = self.ema.module
        if found is not None:
            try:
                self._restore(*found)
            except (KeyError, TypeError, RuntimeError) as error:
                why = f"{type(error).__name__}: {error}".splitlines()[0][:150]
                raise ValueError(f"the checkpoints in {folder / 'checkpoints'} do not go with these settings ({why}). "
                                 "Were they written by another version of ponita_edu? Choose another --out, or delete "
                                 "that folder.") from None
        # from here on the wrapped objective is the one way to a loss; network and optimiser stay what they were
        self.objective, self._stepper = fabric.setup(Objective(self.task, self.network), self.optimizer)
        self._mark = self._saved_at = time.monotonic()
        self._saved_step = self.state.step if found else -1
        self.log = Log(folder, self.total, self.state.step, self.state.history, fabric.is_global_zero)

    def train_step(self) -> None:
        """One step of Adam."""
        state, config = self.state, self.config
        epoch, k = divmod(state.step, self.steps)
        if self.epoch is None or self.epoch.number != epoch:
            self.epoch = Epoch(epoch, self.task.size("train"), self.dim, config, self.like)
        progress = epoch if config.schedule == "epoch" else state.step / self.steps
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * lr_factor(progress, config)
        rank = self.fabric.global_rank
        batch = self.epoch.part(k, rank, self.fabric.world_size)
        loss = self.objective(batch, stream(config.seed, 1, state.step, rank))
        self.fabric.backward(loss)
        if config.clip is not None:
            self.fabric.clip_gradients(self.objective, self._stepper, max_norm=config.clip, error_if_nonfinite=False)
        self._stepper.step()
        self._stepper.zero_grad()
        if config.ema is not None:
            self.ema.update_parameters(self.network)
        state.loss_sum += loss.detach()
        state.loss_count += 1
        state.step += 1
        self.log.step(float(loss.detach()) if self.log.due else None)

    def validate(self) -> None:
        """Errors on the validation set into the history; keep the weights if they are the best so far."""
        state, began = self.state, time.monotonic()
        errors, _ = evaluate(self.task, self.average, "val", fabric=self.fabric)
        state.evaluation_seconds = (time.monotonic() - began) * (1 + self.task.test_work / self.task.size("val"))
        loss = float(self._loss_sum()) / state.loss_count if state.loss_count else None
        if not math.isfinite(errors[self.task.selects]):
            raise ValueError(f"the validation error is not finite any more at step {state.step}. Lower train.lr.")
        if errors[self.task.selects] < state.best_error:
            state.best_error = errors[self.task.selects]
            state.best = {k: v.detach().clone() for k, v in self.average.state_dict().items()}
        self._count_minutes()
        row = {"step": state.step, "epoch": state.step / self.steps, "train_loss": loss,
               **{f"val_{k}": v for k, v in errors.items()}, "minutes": round(state.minutes, 4)}
        state.history.append(row)
        state.loss_sum, state.loss_count = torch.zeros_like(state.loss_sum), 0
        self.log.row(row, state.history)

    @property
    def save_is_due(self) -> bool:
        return time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes

    def agree(self, *wishes: bool) -> tuple[bool, ...]:
        """What any of the processes wishes; several ask each other only now and then."""
        if self.fabric.world_size == 1:
            return wishes
        if self.state.step % AGREE_EVERY and self.state.step < self.total:
            return (False,) * len(wishes)
        votes = torch.tensor(wishes, dtype=torch.float32, device=self.like.device)
        return tuple(bool(v) for v in self.fabric.all_reduce(votes, reduce_op="sum"))

    def save(self, final: bool = False) -> None:
        """Write a checkpoint. If that fails before the end, say so and go on; the one before is still there."""
        state, loss_sum = self.state, self._loss_sum()
        self._saved_at = time.monotonic()
        if state.step == self._saved_step or not self.fabric.is_global_zero:
            return
        self._count_minutes()
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in state.best.items()} | {"loss_sum": loss_sum}
        if self.config.ema is not None:
            tensors |= {f"ema.{k}": v for k, v in self.average.state_dict().items()}
            tensors["ema_count"] = self.ema.n_averaged
        for name, parameter in self.network.named_parameters():
            tensors |= {f"adam.{k}.{name}": v for k, v in self.optimizer.state.get(parameter, {}).items()}
        plain = {k: v for k, v in vars(state).items() if k not in ("best", "loss_sum")}
        try:
            checkpoint.save_step(self.folder / "checkpoints", state.step, tensors, {**self.info, "state": plain})
            self._saved_step = state.step
        except OSError as error:
            if final:
                raise OSError(f"the last checkpoint could not be written in {self.folder} ({error.strerror}). Make "
                              "room there; the same command then goes on from the one before.") from None
            self.log.say(f"the checkpoint of step {state.step} could not be written ({error.strerror}); "
                         "the one before is kept, and training goes on")

    def take_best(self) -> None:
        """Give the network the weights with the least validation error."""
        state, weights = self.state, self.state.best
        if state.loss_count:  # cut between two validations: the last weights may be better, but are not in the record
            errors, _ = evaluate(self.task, self.average, "val", fabric=self.fabric)
            if errors[self.task.selects] < state.best_error:
                state.best_error, weights = errors[self.task.selects], self.average.state_dict()
        self.network.load_state_dict(weights)

    def _prepare(self) -> None:
        # the same batch in every process, hence the same weights
        first = Epoch(0, self.task.size("train"), self.dim, self.config, self.like).part(0)
        self.task.prepare(self.network, first.graphs(self.task))

    def _restore(self, tensors: dict[str, Tensor], info: dict[str, Any]) -> None:
        def under(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v.to(self.like.device) for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(under("network."))
        if self.config.ema is not None:
            self.average.load_state_dict(under("ema."))
            self.ema.n_averaged.copy_(tensors["ema_count"])
        moments = {k: under(f"adam.{k}.") for k in ("step", "exp_avg", "exp_avg_sq")}
        names = {id(p): name for name, p in self.network.named_parameters()}
        order = [names[id(p)] for group in self.optimizer.param_groups for p in group["params"]]
        self.optimizer.load_state_dict({
            "state": {i: {k: m[name] for k, m in moments.items()} for i, name in enumerate(order)
                      if name in moments["step"]},
            "param_groups": self.optimizer.state_dict()["param_groups"],
        })
        self.state = State(**info["state"], loss_sum=tensors["loss_sum"].to(self.like), best=under("best."))

    def _loss_sum(self) -> Tensor:
        total = self.fabric.all_reduce(self.state.loss_sum.clone(), reduce_op="mean")
        if not bool(torch.isfinite(total)):
            raise ValueError(f"the loss is not finite any more at step {self.state.step}. Lower train.lr.")
        return total

    def _count_minutes(self) -> None:
        now = time.monotonic()
        self.state.minutes += (now - self._mark) / 60
        self._mark = now
