"""One-dimensional moments of an activation at every variance, as polynomials in log q."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..gaussian.closed_forms import ClosedForms, Moments
from .pair_panel import chebyshev, horner, to_powers

NODES_OF_STEP = 10
"""Variances in each interval of the grid."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MomentTable(ClosedForms):
    """One-dimensional moments, as polynomials in log q between the variances of the scan grid.

    grid (steps + 1,), and the step of each of many equal cells of log q, as a float; centre and half (steps,):
    q = centre exp(half t) for t in [-1, 1]; mean, second, slope, spread: coefficients (nodes, steps) of powers of t,
    `second` of E[phi^2] / (q + phi(0)^2) and `spread` of Var[phi'] / E[phi'^2]; `error` and `slope_error` (steps,)
    bound the relative errors of `second` and `slope`.
    """

    grid: Any
    step_of_cell: Any
    centre: Any
    half: Any
    mean: Any
    second: Any
    slope: Any
    spread: Any
    error: Any
    slope_error: Any
    at_zero: Any

    def step_of(self, q: Array) -> Array:
        """The interval of the grid that contains q."""
        cells = len(self.step_of_cell)
        known = jnp.clip(lax.stop_gradient(q), self.grid[0], self.grid[-1])
        cell = jnp.log(known / self.grid[0]) * (cells / jnp.log(self.grid[-1] / self.grid[0]))
        return jnp.asarray(self.step_of_cell)[jnp.minimum(cell.astype(int), cells - 1)].astype(int)

    def place(self, q: Array, step: Array) -> Array:
        """The position of q in its interval, in [-1, 1] to rounding; values off the grid are moved to its end."""
        centre, half = (jnp.asarray(of)[step] for of in (self.centre, self.half))
        # The position is not clipped: at the end of an interval that would lose half the slope.
        return jnp.log(jnp.clip(q, self.grid[0], self.grid[-1]) / centre) / half

    def variance_and_second(self, t: Array, step: Array) -> tuple[Array, Array]:
        """q and E[phi^2] at positions in intervals."""
        q = jnp.asarray(self.centre)[step] * jnp.exp(jnp.asarray(self.half)[step] * t)
        return q, self._at(self.second, t, step) * (q + self.at_zero**2)

    def mean_at(self, t: Array, step: Array) -> Array:
        """E[phi]."""
        return self._at(self.mean, t, step)

    def slope_at(self, t: Array, step: Array) -> Array:
        """E[phi'^2]."""
        return self._at(self.slope, t, step)

    def spread_at(self, t: Array, step: Array) -> Array:
        """Var[phi'] / E[phi'^2], the deficit of the slope at c = 0."""
        return self._at(self.spread, t, step)

    def _at(self, coefficients: Any, t: Array, step: Array) -> Array:
        return horner(jnp.asarray(coefficients)[:, step], t)

    def moments(self, phi: Any, q: Array) -> Moments:
        """`Moments` at variance q."""
        step = self.step_of(q)
        t = self.place(q, step)
        second = self._at(self.second, t, step) * (q + self.at_zero**2)
        slope, error, slope_error = self.slope_at(t, step), jnp.asarray(self.error), jnp.asarray(self.slope_error)
        return Moments(self.mean_at(t, step), second, slope, error[step] * second, slope_error[step] * slope)


class Known(NamedTuple):
    """`Moments` at arrays of variances, and the variance of phi', `spread`."""

    mean: np.ndarray
    second: np.ndarray
    slope: np.ndarray
    error: np.ndarray
    spread: np.ndarray
    slope_error: np.ndarray


def interpolated(
    grid: np.ndarray, centre: np.ndarray, half: np.ndarray, q: np.ndarray, known: Known, at_zero: np.float64
) -> MomentTable:
    """The moments as polynomials, from values at the Chebyshev nodes q (steps, nodes) of each step."""
    finite = np.all(np.isfinite(known.mean + known.second + known.slope + known.spread), 1)
    known = jax.tree.map(lambda part: np.where(finite[:, None], part, 1.0), known)
    spread = known.spread / np.where(known.slope > 0, known.slope, 1.0)
    parts = known.mean, known.second / (q + at_zero**2), known.slope, spread
    coefficients = [chebyshev(NODES_OF_STEP)[1] @ part.T for part in parts]
    _, second, slope, _ = coefficients
    # Where phi vanishes near 0, so do its moments at tiny q: nothing to resolve.
    tail = np.fmax(*(np.abs(c[-2:]).sum(0) / np.where(c[0] == 0, 1.0, np.abs(c[0])) for c in (second, slope)))
    own, own_slope = (
        (error / np.where(of > 0, of, 1.0)).max(1)
        for error, of in ((known.error, known.second), (known.slope_error, known.slope))
    )
    # Powers of t: the steps are short, so that the coefficients decay too fast to cancel.
    mean, second, slope, spread = (to_powers(NODES_OF_STEP) @ part for part in coefficients)
    # A moment that becomes infinite within a step makes both infinite there.
    second[:, ~finite], slope[:, ~finite] = (
        np.where(np.arange(NODES_OF_STEP) == 0, np.inf, 0.0)[:, None] for _ in range(2)
    )
    place = grid, _steps_of_cells(np.log(grid)), centre, half
    return MomentTable(*place, mean, second, slope, spread, tail + own, tail + own_slope, at_zero)


def _steps_of_cells(edges: np.ndarray) -> np.ndarray:
    """The step of each of the cells of log q; edges lie between cells, since all steps are multiples of the least."""
    cells = round((edges[-1] - edges[0]) / np.diff(edges).min())
    middle = edges[0] + (np.arange(cells) + 0.5) * (edges[-1] - edges[0]) / cells
    return np.searchsorted(edges, middle) - 1.0
