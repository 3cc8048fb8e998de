"""Training for a fixed number of steps or seconds of processor time, to compare networks (notebooks 10 and 11)."""

import math
import time

import torch
from torch import nn

from ponita_edu.tasks.config import Number, TrainConfig
from ponita_edu.tasks.parts import Epoch, lr_factor, make_optimizer
from ponita_edu.tasks.task import Task


def train(network: nn.Module, task: Task, config: TrainConfig, seconds: Number = math.inf, steps: Number = math.inf
          ) -> int:
    """Train in place for so much processor time or so many steps, whichever ends first; returns the number of steps.

    Adam with the learning rate's schedule over the budget, and the task's loss, order of the data and random rotations.

    Args:
        config: ``epochs`` must be 1, the budget, which ``warmup_epochs`` is a share of.

    Raises:
        ValueError: without a budget, or if an epoch has no batch.
    """
    if not (seconds > 0 and steps > 0) or math.inf == seconds == steps:
        raise ValueError(f"seconds and steps must be positive, and one of them finite, but are {seconds} and {steps}.")
    batches = task.size("train") // config.batch_size
    if config.epochs != 1 or not batches:
        raise ValueError(f"config must have 1 epoch, the budget, and a batch of at most {task.size('train')} graphs, "
                         f"but has {config.epochs} and {config.batch_size}.")
    first = task.graphs("train", torch.arange(config.batch_size))
    task.prepare(network, first)
    optimizer, step, used, epoch = make_optimizer(network, config), 0, 0.0, None
    began = time.process_time()
    while used < 1:
        if step % batches == 0:
            epoch = Epoch(step // batches, task.size("train"), first.dim, config, first.pos)
        for group in optimizer.param_groups:
            group["lr"] = config.lr * lr_factor(used, config)
        task.loss(network, epoch.part(step % batches).graphs(task), torch.Generator()).backward()
        if config.clip is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        used = max(step / steps, (time.process_time() - began) / seconds)
    return step
