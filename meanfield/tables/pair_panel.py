"""A panel of variances in the table of pairs: the deficit of the slope, and c* from it."""

from __future__ import annotations

from functools import lru_cache, reduce
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.polynomial.chebyshev import cheb2poly, chebder, chebval

from ..gaussian.quadrature import gauss_legendre

NODES = 16
"""Variances tabulated in each panel, and nodes in each piece of it."""
ENOUGH, RESOLVED = 1e-9, 1e-8
_ANGLES_ENOUGH = 1e-11
"""Of the deficit, whose error chi_1 multiplies in chi_c."""
FINEST = 4096
"""Pieces of r are at least 1 / FINEST long."""
_FINE = 64
_MEAN_NODES = 64


@lru_cache
def chebyshev(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in (-1, 1) and the matrix from values there to Chebyshev coefficients."""
    angle = np.pi * (np.arange(count) + 0.5) / count
    matrix = np.cos(np.outer(np.arange(count), angle)) * 2 / count
    matrix[0] /= 2
    return np.cos(angle), matrix


@lru_cache
def to_powers(count: int) -> np.ndarray:
    """The matrix from Chebyshev coefficients to those of powers.

    Powers keep all digits if the coefficients decay faster than 1 + sqrt(2) per degree, as in a resolved table: T_n has
    coefficients of size (1 + sqrt(2))^n.
    """
    return np.array([np.pad(cheb2poly(row), (0, count))[:count] for row in np.eye(count)]).T


def horner(coefficients: Array, t: Array) -> Array:
    """A polynomial in powers of t, by Horner's rule; the first axis of `coefficients` counts them."""
    return reduce(lambda value, c: value * t + c, coefficients[::-1])


def polynomials(t: Array, count: int) -> Array:
    """T_0(t) ... T_{count-1}(t), stacked on a new first axis."""
    rows = [jnp.ones_like(t), t]
    for _ in range(count - 2):
        rows.append(2 * t * rows[-1] - rows[-2])
    return jnp.stack(rows)


def tail_of(coefficients: np.ndarray) -> float:
    """The size of the last two of the coefficients along the first axis, relative to the largest."""
    return float(np.abs(coefficients[-2:]).sum(0).max() / np.abs(coefficients).max())


def coefficients_needed(coefficients: np.ndarray) -> float:
    """How many coefficients bring the tail down enough, extrapolating the decay over the second half of these."""
    count = len(coefficients)
    half, whole = tail_of(coefficients[: count // 2]), tail_of(coefficients)
    if whole <= _ANGLES_ENOUGH:
        return count
    return count * (1 + np.log(whole / _ANGLES_ENOUGH) / np.log(half / whole) / 2) if whole < half else np.inf


def mean_deficit(local: np.ndarray, stretch: float, e: np.ndarray, order: int) -> np.ndarray:
    """The mean of the deficit over gaps from 0 to each e, from the coefficients of deficit / v^order."""
    t, dt = gauss_legendre(_MEAN_NODES)
    height = np.arcsinh(stretch * np.pi / 2)
    end = np.arcsinh(stretch * 2 * np.arcsin(np.sqrt(e / 2)))[:, None] / height
    # In v, which has no layer left at small gaps, however large the stretch.
    v = end * (t + 1) / 2
    angle = np.sinh(v * height) / stretch
    gap_over_v = np.sin(angle) * np.cosh(v * height) * height / stretch
    return (v**order * chebval(2 * v - 1, local) * gap_over_v * end / e[:, None]) @ (dt / 2)


class Deficit(NamedTuple):
    """The deficit of the slope at NODES variances, in units of its value at c = 0.

    local, mean : Chebyshev coefficients (NODES, angles) in v of it and of its mean over gaps from 0, both over v^order
    stretch     : (NODES,) k of each variance's v
    order       : the power of v with which it begins: 1 where the slope of phi jumps, else 2
    """

    local: np.ndarray
    mean: np.ndarray
    stretch: np.ndarray
    order: int

    def at(self, coefficients: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Either of the two, evaluated at v (NODES, m)."""
        return v**self.order * chebval(2 * v - 1, coefficients.T[:, :, None], tensor=False)

    def invert_mean(self, mean: np.ndarray) -> np.ndarray:
        """v at which the mean deficit has the given values (NODES, m), by bracketed Newton in logarithms."""
        steep = chebder(self.mean.T, scl=2.0).T
        s, lo, hi = np.zeros_like(mean), np.full_like(mean, -60.0), np.zeros_like(mean)
        for _ in range(60):
            v = np.exp(s)
            value, slope = (chebval(2 * v - 1, c.T[:, :, None], tensor=False) for c in (self.mean, steep))
            excess = np.log(value / mean) + self.order * s
            lo, hi = np.where(excess < 0, s, lo), np.where(excess < 0, hi, s)
            newton = s - excess / (self.order + v * slope / value)
            before, s = s, np.where((newton >= lo) & (newton <= hi), newton, (lo + hi) / 2)
            # The rounding of the sums leaves nothing more to gain.
            if np.max(np.abs(s - before)) < 1e-13:
                break
        return np.exp(s)


class PairPanel(NamedTuple):
    """Pairs of variances in one panel: c* and chi_c of (q, r), polynomials in both on pieces of r.

    coefficients : (pieces, 2, NODES in r, NODES in y) of powers, of rho and of the deficit in units of its mean
    edges        : (pieces + 1,) ascending, from 0 to 1
    """

    coefficients: np.ndarray
    edges: np.ndarray


def solve_panel(deficit: Deficit) -> PairPanel | None:
    """The panel of c*, its pieces of r halved until they resolve it; None if the finest do not."""
    end = deficit.at(deficit.mean, np.ones((NODES, 1)))
    power = rising_power(deficit.order)
    nodes, matrix = chebyshev(NODES)
    found, pending = [], [(0.0, 1.0)]
    while pending:
        lo, hi = pending.pop()
        r = np.broadcast_to((lo + hi) / 2 + (hi - lo) / 2 * nodes, (NODES, NODES))
        v = deficit.invert_mean(r**2 * end)
        angle = np.sinh(v * np.arcsinh(deficit.stretch[:, None] * np.pi / 2)) / deficit.stretch[:, None]
        rho = 2 * np.sin(angle / 2) ** 2 / np.cos(angle) * (1 - r**2) / r ** (2 * power)
        ratio = deficit.at(deficit.local, v) / (r**2 * end)
        over_r = np.stack([rho, ratio]) @ matrix.T
        tail = max(tail_of(np.moveaxis(part, -1, 0)) for part in over_r)
        # Near r = 1 the rounding of the deficit's mean is divided by 1 - r^2.
        if tail < ENOUGH or (hi - lo <= 1 / _FINE and tail < RESOLVED):
            found.append((lo, np.swapaxes(matrix @ over_r, 1, 2)))
        elif hi - lo <= 1 / FINEST:
            return None
        else:
            pending += [((lo + hi) / 2, hi), (lo, (lo + hi) / 2)]
    change = to_powers(NODES)
    edges = np.array([lo for lo, _ in found] + [1.0])
    return PairPanel(np.stack([change @ c @ change.T for _, c in found]), edges)


def rising_power(order: int) -> int:
    """p: 1 - c* begins as r^2 where the deficit begins as 1 - c, as r^4 where it begins as its square root."""
    return 3 - order
