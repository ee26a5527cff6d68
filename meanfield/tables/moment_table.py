"""An activation's moments, and the resulting c*, as piecewise polynomials, computed once per activation.

Moments depend on q and on the pair's angle alone; sigma_w and sigma_b enter linearly. So they are tabulated: panels in
y = arcsinh(sqrt(q) / scale), Chebyshev polynomials in each. A diagram needs only c* of pairs, so c* is tabulated. By
Price's theorem c = C(c) means that the deficit of the slope, E[phi'^2] - E[phi' phi'], has the mean E[phi'^2] (1 -
1/chi_1) from c to 1; in units of its mean from 0 to 1 this is

    r^2 = (chi_1 - 1) / (chi_1 - 1 + C(0)),

0 at criticality and 1 where c* = 0. So c* is one function of (q, r) for all sigma_w and sigma_b. It is kept as rho = (1
- c*) (1 - r^2) / (c* r^2p), smooth and positive from end to end (p is 1 where the deficit begins as 1 - c, 2 where a
kink makes it begin as its square root): 1 - c* keeps its digits near criticality, and c* near 0. Beside it the deficit
at c* in units of its mean, which gives chi_c. Both are polynomials on pieces of r, halved until these resolve them.
They come from the deficit divided by its leading power v or v^2, with v = arcsinh(k t) / arcsinh(k pi/2), t the pair's
angle and k = sqrt(q) / scale, which stretches the layer at small angles; the number of angles follows the decay of the
coefficients.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..gaussian.activation import Activation
from ..gaussian.host_activation import host_activation
from ..gaussian.moments import moments
from ..gaussian.pairs import covariance
from ..gaussian.second_derivative import slope_jumps
from ..interface.precision import in_float64
from ..solvers.fixed_variance import scan_grid
from .atlas import Atlas, side_by_side
from .moment_polynomials import NODES_OF_STEP, Known, interpolated
from .pair_panel import (
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
)
from .sampled_moments import moments_of_samples
from .slope_deficit import deficit

T = TypeVar("T")

_TOP = 20.0
_ANGLES = (32, 48, 80, 112)
_TOGETHER = 512


class Table:
    """The table of one activation; panels of pairs are computed on first use.

    Each call fills the panels that it needs and waits for all of them; two callers that compute a panel get the same.
    """

    def __init__(self, phi: Activation) -> None:
        self.phi, grid = phi, scan_grid(np.float64)
        # Kinks at k leave terms like exp(-k^2 / 2q), which vary faster than those of a smooth phi.
        self.height = 0.25 if phi.kinks else 0.5
        y = self.height * (np.arange(round(_TOP / self.height))[:, None] + (1 + chebyshev(NODES)[0]) / 2)
        self.q = (phi.scale * np.sinh(y)) ** 2
        centre, half = np.sqrt(grid[:-1] * grid[1:]), np.log(grid[1:] / grid[:-1]) / 2
        local = centre[:, None] * np.exp(half[:, None] * chebyshev(NODES_OF_STEP)[0])
        at_zero, scan, within, in_panels = _known(phi, np.zeros(1), grid, local, self.q)
        self.slope_at_zero = float(at_zero.slope[0])
        self.scan, self.spread = scan.second, in_panels.spread
        self.moments = interpolated(grid, centre, half, local, within, np.sqrt(at_zero.second[0]))
        # A saturated E[phi^2] rises by less than its rounding; an infinite one stays infinite.
        known = self.scan[np.isfinite(self.scan)]
        self.rising = bool(np.all(np.diff(known) >= -16 * np.finfo(float).eps * known[1:]))
        self.unit = phi.scale, self.height
        self.order = 1 if np.any(slope_jumps(host_activation(phi), np.dtype(float))) else 2
        self.power = rising_power(self.order)
        self._pairs: dict[int, PairPanel | None] = {}
        self._deficits: dict[int, Deficit | None] = {}
        self._atlas = side_by_side({}, len(self.q))
        self.is_warm = False

    def second_moment(self, q: float) -> float:
        """E[phi^2] at one variance."""
        known = self.moments
        step = np.clip(np.searchsorted(known.grid, q, side="right") - 1, 0, len(known.error) - 1)
        t = np.log(np.clip(q, known.grid[0], known.grid[-1]) / known.centre[step]) / known.half[step]
        return float(horner(known.second[:, step], t) * (q + known.at_zero**2))

    def activation(self) -> Activation:
        """An activation that has only its moments, so that every activation's table runs the same program."""
        return Activation(only_moments, closed=self.moments, name="table")

    def panel_of(self, q: np.ndarray) -> np.ndarray:
        """The panel of each variance."""
        return self.floor(np.arcsinh(np.sqrt(q) / self.phi.scale) / self.height)

    def floor(self, y: np.ndarray) -> np.ndarray:
        """The panel of each y, which is in units of a panel's height."""
        return np.clip(y.astype(int), 0, len(self.q) - 1)

    def deficits(self, panels: Iterable[int]) -> list[Deficit | None]:
        """The deficit of the slope in each panel; None if polynomials do not resolve it."""
        return _looked_up(self._deficits, self._resolved, panels)

    def pairs(self, panel: int) -> PairPanel | None:
        """The pair panel of a panel; None if polynomials do not resolve it."""
        return _looked_up(self._pairs, self._solved, [panel])[0]

    @property
    def panels(self) -> frozenset[int]:
        """The panels that an atlas has without solving any."""
        return self._atlas.panels

    def atlas(self, panels: Iterable[int], margin: int | None = None) -> Atlas:
        """All panels of c* solved so far, including these.

        With a margin, if one is missing, those in between and that many on either side are solved too, so that ranges
        that move a little cost nothing.
        """
        wanted = frozenset(panels)
        if not wanted <= self._atlas.panels:
            if margin is not None:
                wanted = frozenset(range(max(min(wanted) - margin, 0), min(max(wanted) + 1 + margin, len(self.q))))
            self.deficits(wanted)
            _looked_up(self._pairs, self._solved, wanted)
            self._atlas = side_by_side(dict(self._pairs), len(self.q))
        return self._atlas

    def _solved(self, panel: int) -> PairPanel | None:
        (known,) = self.deficits([panel])
        return None if known is None else solve_panel(known)

    def _resolved(self, panel: int) -> Deficit | None:
        at_end = self.spread[panel][:, None]
        if not np.all(at_end > 0):
            return None
        stretch = np.sqrt(self.q[panel]) / self.phi.scale
        # A panel's numbers do not depend on which panels were computed before.
        angles, asked = 0, _ANGLES[0]
        local, e = np.empty((0, 0)), np.empty((0, 0))
        while angles < asked:
            angles = next(count for count in _ANGLES if count >= asked)
            e = _gaps(stretch, angles)
            local = self._over_angles(self._at_gaps(panel, e) / at_end)
            asked = min(coefficients_needed(local.T), _ANGLES[-1])
        if max(tail_of(local.T), tail_of(chebyshev(NODES)[1] @ local)) > RESOLVED:
            return None
        means = [mean_deficit(*column, self.order) for column in zip(local, stretch, e, strict=True)]
        return Deficit(local, self._over_angles(np.stack(means)), stretch, self.order)

    def _over_angles(self, values: np.ndarray) -> np.ndarray:
        """Coefficients in v of values (NODES, angles) over the power of v with which they begin."""
        nodes, matrix = chebyshev(values.shape[1])
        return values / ((1 + nodes) / 2) ** self.order @ matrix.T

    def _at_gaps(self, panel: int, e: np.ndarray) -> np.ndarray:
        """E[phi'^2] - E[phi' phi'] at the panel's variances and, for each, several e (NODES, angles)."""
        if self.phi.closed is None:
            return deficit(self.phi, self.q[panel], e)
        pieces = [_closed_deficits(self.phi, self.q[panel], e[:, i : i + 16]) for i in range(0, e.shape[1], 16)]
        return np.concatenate([np.asarray(p) for p in pieces], 1)


def _gaps(stretch: np.ndarray, angles: int) -> np.ndarray:
    """The gaps e at Chebyshev nodes in v, for each stretch (NODES,): (NODES, angles)."""
    v, k = (1 + chebyshev(angles)[0]) / 2, stretch[:, None]
    return 2 * np.sin(np.sinh(v * np.arcsinh(k * np.pi / 2)) / k / 2) ** 2


def _looked_up(known: dict[int, T], compute: Callable[[int], T], keys: Iterable[int]) -> list[T]:
    """The values of keys, missing ones computed several at a time; the first alone, since it compiles for all."""
    keys = list(keys)
    missing = [key for key in keys if key not in known]
    if missing and not known:
        first, *missing = missing
        known[first] = compute(first)
    if len(missing) > 1:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            known.update(zip(missing, pool.map(in_float64(compute), missing), strict=True))
    else:
        known.update((key, compute(key)) for key in missing)
    return [known[key] for key in keys]


def _known(phi: Activation, *variances: np.ndarray) -> list[Known]:
    """The moments at arrays of variances."""
    q = np.concatenate([of.ravel() for of in variances])
    found = moments_of_samples(host_activation(phi).samples, q) if phi.closed is None else _closed_moments(phi, q)
    ends = np.cumsum([of.size for of in variances])
    shapes = [(end - of.size, end, of.shape) for of, end in zip(variances, ends, strict=True)]
    return [Known(*(a[lo:hi].reshape(shape) for a in found)) for lo, hi, shape in shapes]


def _closed_moments(phi: Activation, q: np.ndarray) -> Known:
    """From closed forms, in chunks of one shape."""
    pieces = np.pad(q, (0, -q.size % _TOGETHER), mode="edge").reshape(-1, _TOGETHER)
    parts = [_piece_of_closed_moments(phi, piece) for piece in pieces]
    return Known(*(np.concatenate(columns)[: q.size] for columns in zip(*parts, strict=True)))


@jax.jit
def _piece_of_closed_moments(phi: Activation, q: Array) -> tuple[Array, ...]:
    def one(q: Array) -> tuple[Array, ...]:
        known = moments(phi, q)
        return *known[:4], known.slope - covariance(phi, q, q, jnp.ones_like(q)), known.slope_error

    return lax.map(one, q, batch_size=16)


@jax.jit
def _closed_deficits(phi: Activation, q: Array, e: Array) -> Array:
    """E[phi'^2] - E[phi'(u) phi'(v)] from closed forms, at variances (k,) and, for each, several e (k, m)."""

    def one(q: Array, e: Array) -> Array:
        return moments(phi, q).slope - covariance(phi, q, q, e)

    return jax.vmap(jax.vmap(one, (None, 0)))(q, e)


def only_moments(x: Array) -> Array:
    """Placeholder for the function of an activation that keeps only moments."""
    raise AssertionError("a tabulated activation has moments only")


@lru_cache(maxsize=64)
def _table(fn: Any, params: tuple, kinks: tuple, closed: Any, steps: tuple, scale: float, features: Any) -> Table:
    return Table(Activation(fn, dict(params), kinks, closed, steps, scale, features=features))


def table_of(phi: Activation) -> Table:
    """The cached table of an activation with numeric parameters."""
    params = tuple(sorted((k, float(v)) for k, v in phi.params.items()))
    return _table(phi.fn, params, tuple(float(k) for k in phi.kinks), phi.closed, phi.steps, phi.scale, phi.features)
