"""Fresh inputs for the checks, float64, from a generator."""

import numpy as np
import torch
from torch import Tensor

from ponita_edu.geometry import random_rotations


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Gaussian numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def unit(generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform directions: unit vectors along the last axis."""
    return torch.nn.functional.normalize(normal(generator, *shape), dim=-1)


def rotation(generator: torch.Generator, dim: int = 3) -> Tensor:
    """A Haar rotation [dim, dim]."""
    return random_rotations(1, dim, generator=generator)[0]


def whole(generator: torch.Generator, low: int, high: int) -> int:
    """A whole number, low ≤ k < high."""
    return int(torch.randint(low, high, (), generator=generator))


def numpy_random(generator: torch.Generator) -> np.random.Generator:
    """A numpy generator whose seed comes from ``generator``."""
    return np.random.default_rng(whole(generator, 0, 2**31))
