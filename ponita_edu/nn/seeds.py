"""Weights from a seed, with torch's global generator left as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_ONE_AT_A_TIME = RLock()  # the generator is one for all threads


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """torch's global generator starts from ``seed`` inside; None leaves it as it is, to be drawn from."""
    if seed is None:
        yield
        return
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
