"""An activation's moments as piecewise polynomials in (variance, angle): what a phase diagram pays for once.

Moments depend on q and on the pair's angle alone; sigma_w and sigma_b enter linearly. So they are tabulated: panels in
y = arcsinh(sqrt(q) / scale), Chebyshev polynomials in each, and for pairs Chebyshev polynomials in
v = arcsinh(k t) / arcsinh(k pi/2), t the pair's angle and k = sqrt(q) / scale, which stretches the layer at small
angles. For pairs the table holds what is small and smooth: the deficit of the slope, E[phi'^2] - E[phi' phi'] in units
of what it is at c = 0, and its mean over gaps from 0, both divided by v, so that c* is as good near criticality as far.

There are as many angles as the activation asks for: the coefficients tell when they are enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..gaussian.activation import Activation
from ..gaussian.closed_forms import ClosedForms, Moments
from ..gaussian.moments import Samples, moments, sampled
from ..gaussian.pairs import Detail, covariance, deficit_at
from ..gaussian.quadrature import gauss_legendre
from .fixed_point import scan_grid

NODES = 16
"""Variances tabulated in each panel of pairs."""
_LOCAL = 10
_TOP = 20.0
_ANGLES = (32, 48, 80, 112)
_MEAN_NODES = 64
_GUESSES = 65
_ENOUGH, _RESOLVED = 1e-9, 1e-8
_TOGETHER = 512


@lru_cache
def _chebyshev(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in (-1, 1) and the matrix from values there to Chebyshev coefficients."""
    angle = np.pi * (np.arange(count) + 0.5) / count
    matrix = np.cos(np.outer(np.arange(count), angle)) * 2 / count
    matrix[0] /= 2
    return np.cos(angle), matrix


def polynomials(t: Array, count: int) -> Array:
    """T_0(t) ... T_{count-1}(t), stacked on a new first axis."""
    rows = [jnp.ones_like(t), t]
    for _ in range(count - 2):
        rows.append(2 * t * rows[-1] - rows[-2])
    return jnp.stack(rows)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MomentTable(ClosedForms):
    """One-dimensional moments, as polynomials in log q between the variances of the scan grid.

    grid (steps + 1,); coefficients mean, second, slope, spread: (nodes, steps); `second` is of
    E[phi^2] / (q + phi(0)^2), `spread` of Var[phi'] / E[phi'^2]; `error` (steps,) bounds the relative error of the
    second moment.
    """

    grid: Any
    mean: Any
    second: Any
    slope: Any
    spread: Any
    error: Any
    at_zero: Any

    def step_of(self, q: Array) -> Array:
        """The interval of the grid that q is in."""
        return jnp.clip(
            jnp.searchsorted(jnp.asarray(self.grid), lax.stop_gradient(q), side="right") - 1, 0, len(self.error) - 1
        )

    def place(self, q: Array, step: Array) -> Array:
        """q's place in an interval, in [-1, 1]; what is off the grid is put at its end."""
        lo, hi = jnp.asarray(self.grid)[step], jnp.asarray(self.grid)[step + 1]
        return jnp.clip(2 * jnp.log(jnp.maximum(q, 1e-30) / lo) / jnp.log(hi / lo) - 1, -1.0, 1.0)

    def second_moment(self, q: Array, step: Array) -> Array:
        """E[phi^2] at arrays of variances and their intervals."""
        return _sum(jnp.asarray(self.second)[:, step], self.place(q, step)) * (q + self.at_zero**2)

    def slope_moment(self, q: Array, step: Array) -> Array:
        """E[phi'^2] at arrays of variances and their intervals."""
        return _sum(jnp.asarray(self.slope)[:, step], self.place(q, step))

    def spread_at(self, q: Array, step: Array) -> Array:
        """Var[phi'] / E[phi'^2], the deficit of the slope at c = 0, at arrays of variances and their intervals."""
        return _sum(jnp.asarray(self.spread)[:, step], self.place(q, step))

    def moments(self, phi: Any, q: Array) -> Moments:
        """`Moments` at variance q."""
        step = self.step_of(q)
        second = self.second_moment(q, step)
        mean = _sum(jnp.asarray(self.mean)[:, step], self.place(q, step))
        return Moments(mean, second, self.slope_moment(q, step), jnp.asarray(self.error)[step] * second)


def _sum(coefficients: Array, t: Array) -> Array:
    """A Chebyshev sum at t by Clenshaw's recurrence; coefficients (count, *shape of t)."""
    b1, b2 = jnp.zeros_like(t), jnp.zeros_like(t)
    for k in range(coefficients.shape[0] - 1, 0, -1):
        b1, b2 = coefficients[k] + 2 * t * b1 - b2, b1
    return coefficients[0] + t * b1 - b2


class PairPanel(NamedTuple):
    """Pairs of variances in one panel: coefficients (nodes, angles) of the two deficits over v, and a first guess.

    local : (E[phi'^2] - E[phi' phi']) / Var[phi'] at the angle;  mean : its mean over gaps from 0 to there
    guess : (65,) v / r^power where the mean deficit is r^2 of what it is at c = 0, r evenly from 0 to 1; mid-panel
    base  : the panel's number; panels are `height` high in y = arcsinh(sqrt(q) / scale)
    """

    local: np.ndarray
    mean: np.ndarray
    guess: np.ndarray
    power: np.ndarray
    base: np.ndarray
    height: np.ndarray
    scale: np.ndarray

    def rows(self, q: Array) -> Array:
        """The polynomials in y at variances (n,) of this panel: (nodes, n)."""
        y = jnp.arcsinh(jnp.sqrt(q) / self.scale) / self.height
        return polynomials(2 * (y - self.base) - 1, NODES)


class Table:
    """The table of one activation; pair panels are computed when they are first asked for."""

    def __init__(self, phi: Activation) -> None:
        self.phi, self._samples = phi, sampled(phi, jnp.float64)
        self.moments = self._moments()
        self.scan = self._known(self.moments.grid).second
        self.slope_at_zero = float(self._known(np.zeros(1)).slope[0])
        # A saturated E[phi^2] rises by less than its rounding.
        self.rising = bool(np.all(np.diff(self.scan) >= -16 * np.finfo(float).eps * self.scan[1:]))
        nodes, _ = _chebyshev(NODES)
        # Kinks at k leave terms like exp(-k^2 / 2q), which bend more than a smooth phi's.
        self.height = 0.25 if phi.kinks else 0.5
        y = self.height * (np.arange(round(_TOP / self.height))[:, None] + (1 + nodes) / 2)
        self.q = (phi.scale * np.sinh(y)) ** 2
        self._pairs: dict[int, PairPanel | None] = {}
        self._angles = _ANGLES[0]

    def _known(self, q: np.ndarray) -> _Known:
        """What is known at an array of variances, in pieces of one shape."""
        flat = np.pad(q.ravel(), (0, -q.size % _TOGETHER), mode="edge").reshape(-1, _TOGETHER)
        found = [_moments_of(self._samples, piece) for piece in flat]
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: q.size].reshape(q.shape), *found)

    def _moments(self) -> MomentTable:
        nodes, matrix = _chebyshev(_LOCAL)
        grid = scan_grid(np.float64)
        lo, hi = np.log(grid[:-1, None]), np.log(grid[1:, None])
        q = np.exp((lo + hi) / 2 + (hi - lo) / 2 * nodes)
        known, at_zero = self._known(q), float(self._known(np.zeros(1)).second[0]) ** 0.5
        spread = known.spread / np.where(known.slope > 0, known.slope, 1.0)
        parts = known.mean, known.second / (q + at_zero**2), known.slope, spread
        mean, second, slope, spread = (matrix @ part.T for part in parts)
        tail = np.fmax(*(np.abs(c[-2:]).sum(0) / np.abs(c[0]) for c in (second, slope)))
        own = (known.error / np.where(known.second > 0, known.second, 1.0)).max(1)
        return MomentTable(grid, mean, second, slope, spread, tail + own, np.float64(at_zero))

    def activation(self) -> Activation:
        """An activation that knows only its moments: it compiles like every other one's table."""
        return Activation(_only_moments, closed=self.moments, name="table")

    def panel_of(self, q: np.ndarray) -> np.ndarray:
        """Which panel each variance falls into."""
        y = np.arcsinh(np.sqrt(q) / self.phi.scale) / self.height
        return np.clip(np.floor(y), 0, len(self.q) - 1).astype(int)

    def pairs(self, panel: int) -> PairPanel | None:
        """The pair panel of a panel; None where polynomials do not resolve it."""
        if panel not in self._pairs:
            self._pairs[panel] = self._pair_panel(panel)
        return self._pairs[panel]

    def _pair_panel(self, panel: int) -> PairPanel | None:
        detail = _detail(float(np.sinh(self.height * (panel + 1))), bool(self.phi.kinks))
        at_end = self._known(self.q[panel]).spread[:, None]
        if not np.all(at_end > 0):
            return None
        stretch = np.sqrt(self.q[panel]) / self.phi.scale
        # Neighbouring panels ask for about as many angles.
        for angles in _ANGLES[_ANGLES.index(self._angles) :]:
            self._angles = angles
            nodes, matrix = _chebyshev(angles)
            v = (1 + nodes) / 2
            e = 2 * np.sin(np.sinh(v * np.arcsinh(stretch[:, None] * np.pi / 2)) / stretch[:, None] / 2) ** 2
            local = self._deficits(panel, e, detail) / at_end / v @ matrix.T
            if _tail(local.T) < _ENOUGH:
                break
        over_q = _chebyshev(NODES)[1]
        if max(_tail(local.T), _tail(over_q @ local)) > _RESOLVED:
            return None
        columns = [_mean_deficit(*column) / v for column in zip(local, stretch, e, strict=True)]
        mean = np.stack(columns) @ matrix.T
        middle = np.tile([1.0, 0.0, -1.0, 0.0], NODES // 4) @ over_q @ mean
        place = (np.float64(x) for x in (panel, self.height, self.phi.scale))
        return PairPanel(over_q @ local, over_q @ mean, *_guess(middle), *place)

    def _deficits(self, panel: int, e: np.ndarray, detail: Detail) -> np.ndarray:
        """E[phi'^2] - E[phi' phi'] at the panel's variances and e (nodes, angles), in pieces of one shape."""
        pieces = [_deficits(self.phi, self.q[panel], e[:, i : i + 16], detail) for i in range(0, e.shape[1], 16)]
        return np.concatenate([np.asarray(p) for p in pieces], 1)


def _tail(coefficients: np.ndarray) -> float:
    """The size of the last two of the coefficients along the first axis, relative to the largest."""
    return float(np.abs(coefficients[-2:]).sum(0).max() / np.abs(coefficients).max())


def _mean_deficit(local: np.ndarray, stretch: float, e: np.ndarray) -> np.ndarray:
    """The mean of the deficit over gaps from 0 to each e, from the coefficients of deficit / v."""
    t, dt = gauss_legendre(_MEAN_NODES)
    t, dt = (t + 1) / 2, dt / 2
    angle = 2 * np.arcsin(np.outer(np.sqrt(e / 2), t))
    v = np.arcsinh(stretch * angle) / np.arcsinh(stretch * np.pi / 2)
    return (v * np.polynomial.chebyshev.chebval(2 * v - 1, local)) @ (2 * t * dt)


def _guess(mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`PairPanel.guess` and `.power`, from the coefficients of mean deficit / v: v ~ r, or r^2 where phi has kinks."""
    v = np.linspace(1e-4, 1.0, 2001) ** 2
    share = np.maximum.accumulate(v * np.polynomial.chebyshev.chebval(2 * v - 1, mean))
    r = np.sqrt(np.maximum(share, 1e-30) / share[-1])
    power = 1.0 if np.log(v[20] / v[5]) < 1.5 * np.log(r[20] / r[5]) else 2.0
    wanted = np.linspace(0.0, 1.0, _GUESSES)
    return np.interp(wanted, r, v / r**power), np.float64(power)


def _detail(ratio: float, kinked: bool) -> Detail:
    """How finely to integrate where sqrt(q) is `ratio` times the length on which phi bends; few sizes, few programs."""
    nodes, reach = (14, 9.0) if kinked else (10, 7.5)
    return Detail(18 if ratio < 100 else 32, 6, 10, nodes=nodes, reach=reach)


class _Known(NamedTuple):
    """`Moments`, and the variance of phi'."""

    mean: Array
    second: Array
    slope: Array
    error: Array
    spread: Array


@jax.jit
def _moments_of(phi: Activation, q: Array) -> _Known:
    def one(q: Array) -> _Known:
        known = moments(phi, q)
        if isinstance(phi.closed, Samples):
            return _Known(*known, phi.closed.slope_variance(q))
        return _Known(*known, known.slope - covariance(phi, q, q, jnp.ones_like(q)))

    return lax.map(one, q, batch_size=64)


@partial(jax.jit, static_argnames="detail")
def _deficits(phi: Activation, q: Array, e: Array, detail: Detail) -> Array:
    """E[phi'^2] - E[phi'(u) phi'(v)] at variances (k,) and, for each, several e (k, m) in (0, 1]."""

    def one(q: Array, e: Array) -> Array:
        if phi.closed is not None:
            return moments(phi, q).slope - covariance(phi, q, q, e)
        return deficit_at(phi, q, e, detail)

    return lax.map(lambda row: jax.vmap(partial(one, row[0]))(row[1]), (q, e))


def _only_moments(x: Array) -> Array:
    raise AssertionError("a tabulated activation has moments only")


@lru_cache(maxsize=64)
def _table(fn: Any, params: tuple, kinks: tuple, closed: Any, steps: tuple, scale: float) -> Table:
    return Table(Activation(fn, dict(params), kinks, closed, steps, scale))


def table_of(phi: Activation) -> Table:
    """The cached table of an activation whose parameters are numbers."""
    params = tuple(sorted((k, float(v)) for k, v in phi.params.items()))
    return _table(phi.fn, params, tuple(float(k) for k in phi.kinks), phi.closed, phi.steps, phi.scale)
