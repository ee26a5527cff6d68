"""Moments of a sampled activation at thousands of variances, as matrix products: the cost of filling a table.

The nodes serve every variance, and each Gaussian uses a window of them: from a ten-thousandth of its width to its
reach. Variances are taken in ascending groups, so that one window serves a group, and each moment is one product of
Gaussian weights with a column of samples. Below the window the density is flat to second order: two sums serve the
whole group.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ..gaussian.moments import Samples
from ..gaussian.quadrature import LARGEST, REACH, Estimate, estimate
from .moment_polynomials import Known

_TOGETHER = 32
_INNER = 1e-4
# The nodes between the reach and here show whether the integrand decreases there.
_BEYOND = 1.6 * REACH
_NOTHING = 1e-30


def moments_of_samples(samples: Samples, q: np.ndarray) -> Known:
    """E[phi], E[phi^2], E[phi'^2], Var[phi'], and bounds on errors, at variances q (n,) >= 0.

    The variance of phi' has full relative accuracy. NaN above the variances that the nodes reach.
    """
    order = np.argsort(q, kind="stable")
    groups = [order[i : i + _TOGETHER] for i in range(0, q.size, _TOGETHER)]
    # What grows fast would overflow in a product of matrices.
    of_group = _of_group if samples.reach == REACH else _by_sums
    with np.errstate(all="ignore"):
        found = [of_group(samples, q[group]) for group in groups]
    back = np.argsort(order, kind="stable")
    return jax.tree.map(lambda *parts: np.concatenate(parts)[back], *found)


def _of_group(samples: Samples, q: np.ndarray) -> Known:
    positive = q > 0
    if not positive.all():
        return _with_zeros(samples, q, positive)
    window = _Window(samples, float(np.sqrt(q[0])), float(np.sqrt(q[-1])))
    if q.size > 1 and not window.finite:
        # An overflow at one variance may be out of reach for another.
        return jax.tree.map(lambda *parts: np.concatenate(parts), *[_of_group(samples, one[None]) for one in q])
    return window.moments(np.sqrt(q)[:, None])


def _by_sums(samples: Samples, q: np.ndarray) -> Known:
    sums: Any = samples
    found = sums.moments_at(q)
    mean, second, slope, error, slope_error = found
    return Known(mean, second, slope, error, sums.slope_variance(q), slope_error)


def _with_zeros(samples: Samples, q: np.ndarray, positive: np.ndarray) -> Known:
    at_zero = float(samples.at_zero), float(samples.at_zero) ** 2, float(samples.slope_at_zero), 0.0, 0.0, 0.0
    found = Known(*(np.full(q.shape, value) for value in at_zero))
    if positive.any():
        for into, values in zip(found, _of_group(samples, q[positive]), strict=True):
            into[positive] = values
    return found


class _Window:
    """The panels within the windows of widths from `low` to `high`, and sums over the panels further in."""

    def __init__(self, samples: Samples, low: float, high: float) -> None:
        size = np.abs(samples.x)
        inner = size.max(1) < _INNER * low
        seen = ~inner & (size.min(1) < _BEYOND * high)
        self.x, self.dx, value, slope = (a[seen].ravel() for a in (samples.x, samples.dx, samples.value, samples.slope))
        self.shape = (-1, int(seen.sum()), samples.x.shape[1])
        self.size = size[seen].ravel()
        # phi' is shifted by a nearby value, so that its variance does not cancel.
        near = slope[np.abs(self.size / np.sqrt(low * high) - 1).argmin()]
        shift = near if np.isfinite(near) else 0.0
        self.shift, self.columns = shift, _columns(value, slope, shift)
        self.finite = bool(np.isfinite(self.columns).all())
        within = _columns(samples.value[inner].ravel(), samples.slope[inner].ravel(), shift)
        x, dx = samples.x[inner].ravel(), samples.dx[inner].ravel()
        self.flat, self.bent = dx @ within, (dx * x**2 / 2) @ within
        self.outer = self.size > 0.9 * REACH * low

    def moments(self, std: np.ndarray) -> Known:
        """`Known` at widths (k, 1)."""
        height = 1 / (std * np.sqrt(2 * np.pi))
        bell = np.exp(-((self.x / std) ** 2) / 2)
        weight = np.where(self.size <= REACH * std, bell * self.dx * height, 0.0)
        # phi may overflow where the Gaussian has no weight.
        columns = self.columns if self.finite else np.where(np.any(weight > 0, 0)[:, None], self.columns, 0.0)
        inner = height * (self.flat - self.bent / std**2)
        mean, second, shifted, squared, slope = (weight @ columns + inner).T
        of_second, of_slope = (self._estimate(std, bell, weight, columns, i) for i in (1, 4))
        second = np.where(np.isinf(of_second.value), of_second.value, second)
        reached = std[:, 0] * REACH <= LARGEST
        every = mean, second, slope, of_second.error, squared - shifted**2, of_slope.error
        return Known(*(np.where(reached, of, np.nan) for of in every))

    def _estimate(self, std: np.ndarray, bell: np.ndarray, weight: np.ndarray, columns: np.ndarray, i: int) -> Estimate:
        """The sum of one column by itself, with a bound on its error."""
        terms: Any = (weight * columns[:, i]).reshape(self.shape)
        outer = self.outer
        return estimate(terms, *_ends(self.size[outer] / std, bell[:, outer] * np.abs(self.columns[outer, i])))


def _columns(value: np.ndarray, slope: np.ndarray, shift: float) -> np.ndarray:
    """phi, phi^2, phi' minus the shift, its square, and phi'^2: (nodes, 5)."""
    return np.stack([value, value**2, slope - shift, (slope - shift) ** 2, slope**2], 1)


def _ends(size: np.ndarray, density: np.ndarray) -> tuple[Any, Any]:
    """The largest integrand at the ends of the range, and whether it decreases beyond them or vanishes there."""
    last, beyond = (size > 0.9 * REACH) & (size <= REACH), (size > 1.2 * REACH) & (size < _BEYOND)
    tail, after = (np.where(there, density, 0.0).max(1, initial=0.0) for there in (last, beyond))
    return tail, (after < 1e-6 * tail) | (np.maximum(tail, after) <= _NOTHING)
