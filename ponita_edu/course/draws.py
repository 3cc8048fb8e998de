"""Random inputs of the checks, all from one generator."""

import numpy as np
import torch
from torch import Tensor


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def integer(generator: torch.Generator, low: int, high: int) -> int:
    """One of low, …, high − 1."""
    return int(torch.randint(low, high, (), generator=generator))


def numpy_random(generator: torch.Generator) -> np.random.Generator:
    """A numpy generator whose seed comes from `generator`."""
    return np.random.default_rng(integer(generator, 0, 2**31))
