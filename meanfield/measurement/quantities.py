"""The three quantities that `check` compares, each with its prediction and its testable layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..theory.finite_width import LengthCorrections
from ..theory.trajectory import Trajectory
from .comparison import Comparison, compare, threshold
from .measurement import Measurement

__all__ = ["compared"]

# Below this, float32 rounding of pre-activations shows in 1 - c: it adds a random error of about 1e-13.
_SMALLEST_GAP = 1e-9
# Sums of squares of pre-activations outside these bounds leave float32.
_LARGEST, _LARGEST_LOG_GRADIENT = 1e33, 150.0


def compared(
    measured: Measurement, path: Trajectory, first_order: LengthCorrections | None, seeds: int, alpha: float
) -> tuple[Comparison, Comparison, Comparison]:
    """The comparisons of q, 1 - c and gradients, under one threshold for all their tested layers."""
    with np.errstate(all="ignore"):
        found = _lengths(measured, path, first_order), _distances(measured, path), _gradients(measured, path)
    limit = threshold(alpha, sum(int(part.tested.sum()) for part in found), seeds)
    q, one_minus_c, gradient = (replace(part, threshold=limit) for part in found)
    return q, one_minus_c, gradient


def _in_float32_range(path: Trajectory) -> np.ndarray:
    """The layers (depth + 1,) before lengths leave the range of float32, from which they never recover."""
    q = np.concatenate([path.q1, path.q2], 1)
    inside = np.isfinite(q) & (q > 1 / _LARGEST) & (q < _LARGEST)
    return np.logical_and.accumulate(np.all(inside, 1))


def _lengths(measured: Measurement, path: Trajectory, first: LengthCorrections | None) -> Comparison:
    # Both inputs of a pair are measured; each is compared with its own trajectory.
    q = np.concatenate([path.q1, path.q2], 1)
    ratio = np.log(np.concatenate([measured.q1, measured.q2], 2)) - np.log(q)
    if first is None:
        return compare("q", ratio, np.log(q), _in_float32_range(path))
    relative = (first.variance / q**2 / measured.width).mean(1)
    offset = (first.bias / q / measured.width).mean(1) - relative / 2
    # The next order in 1/n is the square of this one.
    return compare("q", ratio, np.log(q), _in_float32_range(path), offset, relative**2 + offset**2)


def _distances(measured: Measurement, path: Trajectory) -> Comparison:
    e = path.one_minus_c
    tested = _in_float32_range(path) & (np.isfinite(e) & (e > _SMALLEST_GAP)).all(1)
    return compare("1 - c", np.log(measured.one_minus_c) - np.log(e), np.log(e), tested)


def _gradients(measured: Measurement, path: Trajectory) -> Comparison:
    """The factor of layers l ... L - 1 is the product of their chi, so its logarithm is a sum from the end."""
    steps = np.log(path.chi[:-1])
    predicted = np.concatenate([np.cumsum(steps[::-1], 0)[::-1], np.zeros_like(steps[:1])])
    shown = np.isfinite(predicted) & (np.abs(predicted) < _LARGEST_LOG_GRADIENT)
    tested = np.asarray(np.all(shown, 1) & _in_float32_range(path).all())
    # The last layer's factor is 1 by construction.
    tested[-1] = False
    return compare("gradient", measured.log_gradient - predicted, predicted, tested)
