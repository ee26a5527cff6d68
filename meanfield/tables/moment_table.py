"""An activation's moments, and the c* that follow, as piecewise polynomials: what a phase diagram pays for once.

Moments depend on q and on the pair's angle alone; sigma_w and sigma_b enter linearly. So they are tabulated: panels in
y = arcsinh(sqrt(q) / scale), Chebyshev polynomials in each. What a diagram asks of pairs is c*, so that is what is
tabulated. By Price's theorem c = C(c) says that the deficit of the slope, E[phi'^2] - E[phi' phi'], has the mean
E[phi'^2] (1 - 1/chi_1) from c to 1; in units of its mean from 0 to 1 this is

    r^2 = (chi_1 - 1) / (chi_1 - 1 + C(0)),

0 at criticality and 1 where c* = 0. So c* is one function of (q, r) for all sigma_w and sigma_b. It is kept as
rho = (1 - c*) (1 - r^2) / (c* r^2p), smooth and positive from end to end (p is 1 where the deficit begins as 1 - c, 2
where a kink makes it begin as its square root): 1 - c* keeps its digits near criticality, and c* near 0. Beside it the
deficit at c* in units of its mean, which gives chi_c. Both are polynomials on pieces of r, halved until these resolve
them. They come from the deficit over v or v^2, as it begins, with v = arcsinh(k t) / arcsinh(k pi/2), t the pair's
angle and k = sqrt(q) / scale, which stretches the layer at small angles; there are as many angles as its coefficients
ask for.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..gaussian.activation import Activation
from ..gaussian.closed_forms import ClosedForms, Moments
from ..gaussian.moments import Samples, moments, sampled
from ..gaussian.pairs import covariance
from ..gaussian.second_derivative import slope_jumps
from ..gaussian.slope_deficit import deficit
from ..interface.precision import in_float64
from ..solvers.fixed_variance import scan_grid
from .pair_panel import (
    FINEST,
    NODES,
    RESOLVED,
    Deficit,
    PairPanel,
    chebyshev,
    coefficients_needed,
    horner,
    mean_deficit,
    rising_power,
    solve_panel,
    tail_of,
    to_powers,
)

_LOCAL = 10
_TOP = 20.0
_ANGLES = (32, 48, 80, 112)
_TOGETHER = 512


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MomentTable(ClosedForms):
    """One-dimensional moments, as polynomials in log q between the variances of the scan grid.

    grid (steps + 1,); centre and half (steps,): q = centre exp(half t) for t in [-1, 1]; mean, second, slope, spread:
    coefficients (nodes, steps) of powers of t, `second` of E[phi^2] / (q + phi(0)^2) and `spread` of
    Var[phi'] / E[phi'^2]; `error` (steps,) bounds the relative error of the second moment.
    """

    grid: Any
    centre: Any
    half: Any
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
        """q's place in its interval, in [-1, 1] to rounding; what is off the grid is put at its end."""
        centre, half = (jnp.asarray(of)[step] for of in (self.centre, self.half))
        # Not the place is clipped: at the end of an interval that would hide half of its slope.
        return jnp.log(jnp.clip(q, self.grid[0], self.grid[-1]) / centre) / half

    def variance_and_second(self, t: Array, step: Array) -> tuple[Array, Array]:
        """q and E[phi^2] at places in intervals."""
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
        return Moments(self.mean_at(t, step), second, self.slope_at(t, step), jnp.asarray(self.error)[step] * second)


class Atlas(NamedTuple):
    """Panels of c*, side by side.

    panels       : which these are
    piece        : (all panels, FINEST) the number of the piece of each panel and r; -1 where there is none
    corners      : (pieces, 3) the panel of each piece, and its ends in r
    coefficients : (pieces, 2 * NODES in r, NODES in y), as in `PairPanel`
    """

    panels: frozenset[int]
    piece: np.ndarray
    corners: np.ndarray
    coefficients: np.ndarray


def side_by_side(panels: dict[int, PairPanel | None], count: int) -> Atlas:
    """The atlas of some of `count` panels; None stands for one that polynomials do not resolve."""
    piece = np.full((count, FINEST), -1, np.int16)
    corners, coefficients = [np.zeros((0, 3))], [np.zeros((0, 2 * NODES, NODES))]
    first = 0
    for n, panel in panels.items():
        if panel is None:
            continue
        lo, hi = panel.edges[:-1], panel.edges[1:]
        piece[n] = first + np.repeat(np.arange(lo.size), ((hi - lo) * FINEST).astype(int))
        corners.append(np.stack([np.full(lo.size, n), lo, hi], 1))
        coefficients.append(panel.coefficients.reshape(lo.size, 2 * NODES, NODES))
        first += lo.size
    return Atlas(frozenset(panels), piece, np.concatenate(corners), np.concatenate(coefficients))


class Table:
    """The table of one activation; pair panels are computed when they are first asked for."""

    def __init__(self, phi: Activation) -> None:
        self.phi, grid = phi, scan_grid(np.float64)
        # Kinks at k leave terms like exp(-k^2 / 2q), which bend more than a smooth phi's.
        self.height = 0.25 if phi.kinks else 0.5
        y = self.height * (np.arange(round(_TOP / self.height))[:, None] + (1 + chebyshev(NODES)[0]) / 2)
        self.q = (phi.scale * np.sinh(y)) ** 2
        centre, half = np.sqrt(grid[:-1] * grid[1:]), np.log(grid[1:] / grid[:-1]) / 2
        local = centre[:, None] * np.exp(half[:, None] * chebyshev(_LOCAL)[0])
        at_zero, scan, within, in_panels = _known(phi, np.zeros(1), grid, local, self.q)
        self.slope_at_zero = float(at_zero.slope[0])
        self.scan, self.spread = scan.second, in_panels.spread
        self.moments = _interpolated(grid, centre, half, local, within, np.sqrt(at_zero.second[0]))
        # A saturated E[phi^2] rises by less than its rounding; one that is infinite stays so.
        known = self.scan[np.isfinite(self.scan)]
        self.rising = bool(np.all(np.diff(known) >= -16 * np.finfo(float).eps * known[1:]))
        self.unit = phi.scale, self.height
        self.order = 1 if np.any(np.asarray(slope_jumps(phi, jnp.float64))) else 2
        self.power = rising_power(self.order)
        self._pairs: dict[int, PairPanel | None] = {}
        self._deficits_of: dict[int, Deficit | None] = {}
        self._filling, self._drawing = [Lock() for _ in self.q], Lock()
        self._atlas = side_by_side({}, len(self.q))
        self.is_warm = False

    def second_moment(self, q: float) -> float:
        """E[phi^2] at one variance."""
        known = self.moments
        step = np.clip(np.searchsorted(known.grid, q, side="right") - 1, 0, len(known.error) - 1)
        t = np.log(np.clip(q, known.grid[0], known.grid[-1]) / known.centre[step]) / known.half[step]
        return float(horner(known.second[:, step], t) * (q + known.at_zero**2))

    def activation(self) -> Activation:
        """An activation that knows only its moments: it compiles like every other one's table."""
        return Activation(only_moments, closed=self.moments, name="table")

    def panel_of(self, q: np.ndarray) -> np.ndarray:
        """Which panel each variance falls into."""
        return self.floor(self.y_of(q))

    def y_of(self, q: np.ndarray) -> np.ndarray:
        """y at variances q, in units of a panel's height."""
        return np.arcsinh(np.sqrt(q) / self.phi.scale) / self.height

    def floor(self, y: np.ndarray) -> np.ndarray:
        """The panel of each y."""
        return np.clip(y.astype(int), 0, len(self.q) - 1)

    def pairs(self, panel: int) -> PairPanel | None:
        """The pair panel of a panel; None where polynomials do not resolve it."""
        deficit = self.deficit(panel)
        with self._filling[panel]:
            if panel not in self._pairs:
                self._pairs[panel] = None if deficit is None else solve_panel(deficit)
            return self._pairs[panel]

    def deficit(self, panel: int) -> Deficit | None:
        """The deficit of the slope in a panel; None where polynomials do not resolve it."""
        with self._filling[panel]:
            if panel not in self._deficits_of:
                self._deficits_of[panel] = self._resolved(panel)
            return self._deficits_of[panel]

    def atlas(self, panels: list[int]) -> Atlas:
        """All panels of c* solved so far, these among them.

        Missing ones are filled several at a time; the very first alone, since it compiles what the others use.
        """
        missing = [n for n in panels if n not in self._atlas.panels]
        if not missing:
            return self._atlas
        alone = 0 if self._pairs else 1
        for n in missing[:alone]:
            self.pairs(n)
        if missing[alone:]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(in_float64(self.pairs), missing[alone:]))
        with self._drawing:
            self._atlas = side_by_side(dict(self._pairs), len(self.q))
            return self._atlas

    def _resolved(self, panel: int) -> Deficit | None:
        at_end = self.spread[panel][:, None]
        if not np.all(at_end > 0):
            return None
        stretch = np.sqrt(self.q[panel]) / self.phi.scale
        asked = 0
        # A panel's numbers do not depend on which others were asked for before it.
        for angles in _ANGLES:
            if angles < asked:
                continue
            nodes, matrix = chebyshev(angles)
            v = (1 + nodes) / 2
            e = 2 * np.sin(np.sinh(v * np.arcsinh(stretch[:, None] * np.pi / 2)) / stretch[:, None] / 2) ** 2
            local = self._deficits(panel, e) / at_end / v**self.order @ matrix.T
            asked = min(coefficients_needed(local.T), _ANGLES[-1])
            if asked <= angles:
                break
        over_q = chebyshev(NODES)[1]
        if max(tail_of(local.T), tail_of(over_q @ local)) > RESOLVED:
            return None
        columns = [mean_deficit(*column, self.order) / v**self.order for column in zip(local, stretch, e, strict=True)]
        return Deficit(local, np.stack(columns) @ matrix.T, stretch, self.order)

    def _deficits(self, panel: int, e: np.ndarray) -> np.ndarray:
        """E[phi'^2] - E[phi' phi'] at the panel's variances and, for each, several e (NODES, angles)."""
        if self.phi.closed is None:
            return deficit(self.phi, self.q[panel], e)
        pieces = [_closed_deficits(self.phi, self.q[panel], e[:, i : i + 16]) for i in range(0, e.shape[1], 16)]
        return np.concatenate([np.asarray(p) for p in pieces], 1)


class _Known(NamedTuple):
    """`Moments`, and the variance of phi'."""

    mean: Array
    second: Array
    slope: Array
    error: Array
    spread: Array


def _known(phi: Activation, *variances: np.ndarray) -> list[_Known]:
    """What is known at arrays of variances, in pieces of one shape."""
    samples = _sampled(phi, jnp.float64)
    q = np.concatenate([of.ravel() for of in variances])
    pieces = np.pad(q, (0, -q.size % _TOGETHER), mode="edge").reshape(-1, _TOGETHER)
    found = jax.tree.map(lambda *parts: np.concatenate(parts), *[_moments_of(samples, piece) for piece in pieces])
    ends = np.cumsum([of.size for of in variances])
    return [jax.tree.map(lambda a: a[end - of.size : end].reshape(of.shape), found)  # noqa: B023
            for of, end in zip(variances, ends, strict=True)]  # fmt: skip


# One program in place of a dozen small ones.
_sampled = jax.jit(sampled, static_argnums=1)


@jax.jit
def _moments_of(phi: Activation, q: Array) -> _Known:
    def one(q: Array) -> _Known:
        known = moments(phi, q)
        if isinstance(phi.closed, Samples):
            return _Known(*known, phi.closed.slope_variance(q))
        return _Known(*known, known.slope - covariance(phi, q, q, jnp.ones_like(q)))

    # More together would not fit the cache.
    return lax.map(one, q, batch_size=16)


def _interpolated(
    grid: np.ndarray, centre: np.ndarray, half: np.ndarray, q: np.ndarray, known: _Known, at_zero: np.float64
) -> MomentTable:
    """The moments as polynomials, from what is known at the Chebyshev nodes q (steps, nodes) of each step."""
    finite = np.all(np.isfinite(known.second + known.slope), 1)
    known = jax.tree.map(lambda part: np.where(finite[:, None], part, 1.0), known)
    spread = known.spread / np.where(known.slope > 0, known.slope, 1.0)
    parts = known.mean, known.second / (q + at_zero**2), known.slope, spread
    coefficients = [chebyshev(_LOCAL)[1] @ part.T for part in parts]
    _, second, slope, _ = coefficients
    # Where phi vanishes next to 0, so do its moments: at tiny q there is nothing to resolve.
    tail = np.fmax(*(np.abs(c[-2:]).sum(0) / np.where(c[0] == 0, 1.0, np.abs(c[0])) for c in (second, slope)))
    own = (known.error / np.where(known.second > 0, known.second, 1.0)).max(1)
    # In powers of t: the steps are short, so that the coefficients fall too fast for these to cancel.
    mean, second, slope, spread = (to_powers(_LOCAL) @ part for part in coefficients)
    # A step in which a moment becomes infinite is one in which both are.
    second[:, ~finite], slope[:, ~finite] = (np.where(np.arange(_LOCAL) == 0, np.inf, 0.0)[:, None] for _ in range(2))
    return MomentTable(grid, centre, half, mean, second, slope, spread, tail + own, at_zero)


@jax.jit
def _closed_deficits(phi: Activation, q: Array, e: Array) -> Array:
    """E[phi'^2] - E[phi'(u) phi'(v)] by closed forms, at variances (k,) and, for each, several e (k, m)."""

    def one(q: Array, e: Array) -> Array:
        return moments(phi, q).slope - covariance(phi, q, q, e)

    return jax.vmap(jax.vmap(one, (None, 0)))(q, e)


def only_moments(x: Array) -> Array:
    """Stands for the function of an activation of which only moments are kept."""
    raise AssertionError("a tabulated activation has moments only")


@lru_cache(maxsize=64)
def _table(fn: Any, params: tuple, kinks: tuple, closed: Any, steps: tuple, scale: float) -> Table:
    return Table(Activation(fn, dict(params), kinks, closed, steps, scale))


def table_of(phi: Activation) -> Table:
    """The cached table of an activation whose parameters are numbers."""
    params = tuple(sorted((k, float(v)) for k, v in phi.params.items()))
    return _table(phi.fn, params, tuple(float(k) for k in phi.kinks), phi.closed, phi.steps, phi.scale)
