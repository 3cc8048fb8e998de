"""Power laws fitted to measured errors, with the uncertainty of their slopes (notebook 07)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000


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
    x: Sequence[float]
    errors: Sequence[Sequence[float]]
    slope: float
    error: float

    @property
    def medians(self) -> list[float]:
        """Over the networks, for each x."""
        return [float(np.median(row)) for row in self.errors]

    def __str__(self) -> str:
        return f"{self.label}: slope {self.slope:.2f} ± {self.error:.2f}"

    def within(self, value: float, times: float = 3.0) -> bool:
        """Whether a slope is compatible with this one: at most so many standard errors away."""
        return abs(self.slope - value) <= times * self.error


def fit_law(label: str, x: Sequence[float], errors: Sequence[Sequence[float]], seed: int = 0) -> Law:
    """Least squares of the mean over networks of log error on log x.

    The standard error is that of 1,000 bootstrap samples which draw networks *and* values of x with replacement: a
    slope is uncertain because other weights would give other errors, and because the points do not lie on a line.

    Args:
        errors: [x, networks], positive.

    Raises:
        ValueError: on fewer than three values of x, or errors that are not positive or do not fit x.
    """
    y = np.asarray(errors, dtype=np.float64)
    if y.ndim != 2 or y.shape[1] == 0 or len(y) != len(x) or len(set(x)) < 3:
        raise ValueError(f"errors must be [x, networks] with at least 3 different x, but have shape {list(y.shape)} "
                         f"for {len(x)} values of x. Measure at more values.")
    if not ((y > 0) & np.isfinite(y)).all():
        raise ValueError("errors must be positive and finite: a law of errors that are 0 has no slope.")
    log_x, log_y = np.log(np.asarray(x, dtype=np.float64)), np.log(y)
    rng = np.random.default_rng(seed)
    networks = rng.integers(y.shape[1], size=(RESAMPLES, y.shape[1]))
    points = rng.integers(len(x), size=(RESAMPLES, len(x)))
    means = log_y[:, networks].mean(-1).T  # [resamples, x]
    slopes = _slope(log_x[points], np.take_along_axis(means, points, axis=1))
    return Law(label, tuple(x), tuple(map(tuple, y.tolist())), float(_slope(log_x, log_y.mean(1))),
               float(np.nanstd(slopes, ddof=1)))


def _slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Along the last axis; NaN where all x are equal."""
    x = x - x.mean(-1, keepdims=True)
    spread = (x * x).sum(-1)
    return (x * (y - y.mean(-1, keepdims=True))).sum(-1) / np.where(spread > 1e-12, spread, np.nan)
