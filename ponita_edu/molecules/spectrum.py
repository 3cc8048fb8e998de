"""At which wavenumbers a molecule vibrates, from the velocities of a stretch of dynamics (notebook 10)."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

LIGHT = 0.0299792458  # cm/ps


def vibration_spectrum(time: Float[ndarray, " frames"], vel: Float[ndarray, "frames atoms 3"],
                       masses: Float[ndarray, " atoms"]) -> tuple[Float[ndarray, " wavenumbers"], ...]:
    r"""Wavenumbers in 1/cm and the power that moves at each of them: the density of vibrational states.

        P(k) = sum over atoms a and x, y, z of m_a |sum over t of w(t) v_a(t) exp(-2 pi i k t)|^2,

    the Fourier transform of the mass-weighted velocity autocorrelation (Wiener and Khinchin), with a Hann window w so
    that a run's two ends leave no ripples. Two lines closer than about 2/T, T being the duration, run into one. P is
    scaled so that its largest value is 1. A classical density of states: no selection rules, no quantum corrections.

    Args:
        time: in ps, at equal steps.
        vel: in any unit.

    Raises:
        ValueError: on steps that are not equal, fewer than 16 frames, or shapes that do not fit.
    """
    steps = np.diff(time)
    if len(time) < 16 or vel.shape[:1] != time.shape or np.ptp(steps) > 1e-6 * abs(steps[0]) or steps[0] <= 0:
        raise ValueError(f"time must ascend in equal steps, at least 16 frames of them, one for each of vel, but has "
                         f"shape {list(time.shape)} and vel {list(vel.shape)}. Use a Run of molecules.dynamics.")
    if masses.shape != vel.shape[1:2]:
        raise ValueError(f"masses must hold one number for each of the {vel.shape[1]} atoms, but has shape "
                         f"{list(masses.shape)}.")
    moving = np.hanning(len(time))[:, None, None] * (vel - vel.mean(0))
    power = np.einsum("a,kac->k", masses, np.abs(np.fft.rfft(moving, axis=0)) ** 2)
    return np.fft.rfftfreq(len(time), steps[0]) / LIGHT, power / power.max()
