"""Power laws fitted to measured errors, with the uncertainty of their slopes (notebook 07)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from statistics import fmean, stdev

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Law:
    """Errors along x and the power that fits them: error ≈ constant · x^slope.

    Args:
        label: what was measured.
        x: what the error is measured against.
        errors: for each x, one for each network.
        slope, error: of log error on log x, and its standard error; see ``fit_law``.
    """

    label: str
    x: Sequence[Real]
    errors: Sequence[Sequence[Real]]
    slope: float
    error: float

    @property
    def medians(self) -> list[float]:
        """Over the networks, for each x."""
        return [float(np.median(row)) for row in self.errors]

    def __str__(self) -> str:
        return f"{self.label}: slope {self.slope:.2f} ± {self.error:.2f}"

    def within(self, value: Real, times: Real = 3) -> bool:
        """Whether a slope is compatible with this one: at most so many standard errors away."""
        return abs(self.slope - value) <= times * self.error


def fit_law(label: str, x: Sequence[Real], errors: Sequence[Sequence[Real]]) -> Law:
    """Least squares of log error on log x, a slope for each network; their mean, and the larger of two standard errors.

    One is the spread of the networks' slopes over √networks: other weights would give another slope. The other is that
    of the straight line through the means over networks: the points do not lie on it, others would give another slope.

    Args:
        errors: [x, networks], positive.

    Raises:
        ValueError: on fewer than three values of x, one that is not positive, or errors that are not or do not fit x.
    """
    y = np.asarray(errors, dtype=np.float64)
    if y.ndim != 2 or y.shape[1] == 0 or len(y) != len(x) or len(set(x)) < 3:
        raise ValueError(f"errors must be [x, networks] with at least 3 different x, but have shape {list(y.shape)} "
                         f"for {len(x)} values of x. Measure at more values.")
    if not all(0 < value < math.inf for value in x):
        raise ValueError(f"x must be positive and finite, but is {list(x)}: a law in log x has no place for others. "
                         "Leave them out.")
    if not ((y > 0) & np.isfinite(y)).all():
        raise ValueError("errors must be positive and finite: a law of errors that are 0 has no slope.")
    log_x = np.log(np.asarray(x, dtype=np.float64))
    centred, log_y = log_x - log_x.mean(), np.log(y) - np.log(y).mean(0)
    spread = float(centred @ centred)
    slopes = centred @ log_y / spread  # [networks]
    slope = float(slopes.mean())
    off = log_y.mean(1) - slope * centred
    line = float(off @ off / (len(x) - 2) / spread) ** 0.5
    networks = float(slopes.std(ddof=1)) / len(slopes) ** 0.5 if len(slopes) > 1 else 0.0
    return Law(label, tuple(x), tuple(map(tuple, y.tolist())), slope, max(line, networks))


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half the width of its 95 % interval (Student's t); the latter is None for a single value."""
    if len(values) < 2:
        return values[0], None
    half = stdtrit(len(values) - 1, 0.975) * stdev(values) / len(values) ** 0.5
    return fmean(values), float(half)
