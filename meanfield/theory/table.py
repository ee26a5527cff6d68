"""An activation's moments as piecewise polynomials in (variance, angle): what a phase diagram pays for once.

Moments depend on q and on the pair's angle alone; sigma_w and sigma_b enter linearly. So they are tabulated: panels in
y = arcsinh(sqrt(q) / scale), Chebyshev polynomials in each, and for pairs Chebyshev polynomials in
v = arcsinh(k t) / arcsinh(k pi/2), t the pair's angle and k = sqrt(q) / scale, which stretches the layer at small
angles. For pairs the table holds what is small and smooth: the deficit of the slope, 1 - E[phi' phi'] / E[phi'^2], and
its mean over gaps from 0, both divided by v, so that c* is as good near criticality as far from it.

A table stands where closed forms stand: an `Activation` that carries one runs through the same blocks and solvers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..gaussian.activation import Activation
from ..gaussian.closed_forms import ClosedForms
from ..gaussian.moments import Detail, covariances, moments

_HEIGHT = 0.5
_PANELS = 40
_NODES = 16
ANGLES = 40
_MEAN_NODES = 16


def _chebyshev(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in (-1, 1) and the matrix from values there to Chebyshev coefficients."""
    angle = np.pi * (np.arange(count) + 0.5) / count
    matrix = np.cos(np.outer(np.arange(count), angle)) * 2 / count
    matrix[0] /= 2
    return np.cos(angle), matrix


_Y_NODES, _Y_MATRIX = _chebyshev(_NODES)
_V_NODES, _V_MATRIX = _chebyshev(ANGLES)


def polynomials(t: Array, count: int) -> Array:
    """T_0(t) ... T_{count-1}(t), stacked on a new last axis."""
    rows = [jnp.ones_like(t), t]
    for _ in range(count - 2):
        rows.append(2 * t * rows[-1] - rows[-2])
    return jnp.stack(rows, -1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MomentTable(ClosedForms):
    """Coefficients: mean, second, slope (panels, nodes); pairs (panels, nodes, angles, 2), NaN where not computed.

    `second` is of E[phi^2] / (q + phi(0)^2), and `error` (panels,) a bound on its relative error.
    """

    mean: Any
    second: Any
    slope: Any
    pairs: Any
    at_zero: Any
    scale: Any
    error: Any

    def _place(self, q: Array) -> tuple[Array, Array]:
        """The panel of q, and q's place in it, in [-1, 1]."""
        y = jnp.arcsinh(jnp.sqrt(jnp.maximum(q, 1e-30)) / self.scale) / _HEIGHT
        panel = jnp.clip(jnp.floor(jax.lax.stop_gradient(y)), 0, _PANELS - 1).astype(jnp.int32)
        return panel, 2 * (y - panel) - 1

    def rows(self, q: Array) -> Array:
        """The y-polynomials at q, (*shape of q, nodes)."""
        return polynomials(self._place(q)[1], _NODES)

    def _value(self, coefficients: Array, q: Array) -> Array:
        panel, t = self._place(q)
        return jnp.sum(coefficients[panel] * polynomials(t, _NODES), -1)

    def second_and_growth(self, q: Array) -> tuple[Array, Array]:
        """E[phi^2] and its derivative by q."""
        return jax.jvp(lambda q: self._value(self.second, q) * (q + self.at_zero**2), (q,), (jnp.ones_like(q),))

    def slope_and_growth(self, q: Array) -> tuple[Array, Array]:
        """E[phi'^2] and its derivative by q."""
        return jax.jvp(lambda q: self._value(self.slope, q), (q,), (jnp.ones_like(q),))

    def error_at(self, q: Array) -> Array:
        """A bound on the relative error of E[phi^2]."""
        return self.error[self._place(q)[0]]

    def e_of(self, q: Array, v: Array) -> Array:
        """1 - c at the table's angular coordinate v."""
        stretch = jnp.sqrt(q) / self.scale
        return 2 * jnp.sin(jnp.sinh(v * jnp.arcsinh(stretch * np.pi / 2)) / stretch / 2) ** 2

    def moments(self, phi: Any, q: Array) -> tuple[Array, Array, Array]:
        second = self._value(self.second, q) * (q + self.at_zero**2)
        return self._value(self.mean, q), second, self._value(self.slope, q)

    def _deficits(self, q: Array, e: Array) -> tuple[Array, Array]:
        """The slope's deficit at e, and its mean over gaps from 0 to there."""
        panel, t = self._place(q)
        coefficients = jnp.einsum("j,jak->ak", polynomials(t, _NODES), self.pairs[panel])
        stretch = jnp.sqrt(q) / self.scale
        angle = 2 * jnp.arcsin(jnp.sqrt(jnp.clip(e / 2, 1e-32, 0.5)))
        v = jnp.arcsinh(stretch * angle) / jnp.arcsinh(stretch * np.pi / 2)
        both = v * (polynomials(2 * v - 1, ANGLES) @ coefficients)
        return both[0], both[1]

    def distance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        _, second, slope = self.moments(phi, q1)
        return q1 * e * slope * (1 - self._deficits(q1, e)[1]) / second

    def covariance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        return self.moments(phi, q1)[2] * (1 - self._deficits(q1, e)[0])


class TableBuilder:
    """The table of one activation, grown panel by panel as variances ask for it."""

    def __init__(self, phi: Activation) -> None:
        self.phi = phi
        y = _HEIGHT * (np.arange(_PANELS)[:, None] + (1 + _Y_NODES) / 2)
        self.q = (phi.scale * np.sinh(y)) ** 2
        flat = jax.vmap(partial(moments, phi))(jnp.asarray(self.q.ravel()))
        mean, second, slope = (np.asarray(v).reshape(y.shape) for v in flat[:3])
        self.slopes = slope
        self.rising = bool(np.all(np.diff(second.ravel()[np.argsort(self.q.ravel())]) >= 0))
        at_zero = float(phi(jnp.zeros(())))
        relative = second / (self.q + at_zero**2) @ _Y_MATRIX.T
        self.table = MomentTable(
            mean=mean @ _Y_MATRIX.T,
            second=relative,
            slope=slope @ _Y_MATRIX.T,
            pairs=np.full((_PANELS, _NODES, ANGLES, 2), np.nan),
            at_zero=np.float64(at_zero),
            scale=np.float64(phi.scale),
            error=np.abs(relative[:, -2:]).sum(1) / np.abs(relative[:, 0]) + 16 * np.finfo(float).eps,
        )

    def activation(self) -> Activation:
        """An activation that knows only its moments: it compiles like every other one's table."""
        return Activation(_no_function, closed=self.table, name="table")

    def panel_of(self, q: np.ndarray) -> np.ndarray:
        """Which panel each variance falls into."""
        y = np.arcsinh(np.sqrt(q) / self.phi.scale) / _HEIGHT
        return np.clip(np.floor(y), 0, _PANELS - 1).astype(int)

    def cover(self, q: np.ndarray) -> None:
        """Compute the pair panels that the variances q need."""
        for panel in np.unique(self.panel_of(q)):
            if np.isnan(self.table.pairs[panel, 0, 0, 0]):
                self.table = replace(self.table, pairs=self.table.pairs.copy())
                self.table.pairs[panel] = self._pairs(int(panel))

    def _pairs(self, panel: int) -> np.ndarray:
        """Coefficients (nodes, angles, 2) of one panel."""
        detail = _detail(float(np.sinh(_HEIGHT * (panel + 1))))
        v = (1 + _V_NODES) / 2
        columns = []
        for q, slope in zip(self.q[panel], self.slopes[panel], strict=True):
            stretch = np.sqrt(q) / self.phi.scale
            e = 2 * np.sin(np.sinh(v * np.arcsinh(stretch * np.pi / 2)) / stretch / 2) ** 2
            values = np.asarray(covariances(self.phi, jnp.asarray(q), jnp.asarray(e), detail))
            local = _V_MATRIX @ ((1 - values / slope) / v)
            columns.append(np.stack([local, _V_MATRIX @ (_mean_deficit(local, stretch, e) / v)], -1))
        return np.tensordot(_Y_MATRIX, np.stack(columns), 1)


def _mean_deficit(local: np.ndarray, stretch: float, e: np.ndarray) -> np.ndarray:
    """The mean of the deficit over gaps from 0 to each e, from the coefficients of deficit / v."""
    t, dt = np.polynomial.legendre.leggauss(_MEAN_NODES)
    t, dt = (t + 1) / 2, dt / 2
    angle = 2 * np.arcsin(np.outer(np.sqrt(e / 2), t))
    v = np.arcsinh(stretch * angle) / np.arcsinh(stretch * np.pi / 2)
    return (v * np.polynomial.chebyshev.chebval(2 * v - 1, local)) @ (2 * t * dt)


def _detail(ratio: float) -> Detail:
    """How finely to integrate where sqrt(q) is `ratio` times the length on which phi bends."""
    # In steps of five, so that few shapes compile.
    graded = 0 if ratio < 0.8 else 5 * int(np.ceil((1 + 2 * np.arcsinh(1.3 * ratio) / 1.2) / 5))
    return Detail(8 + graded, 6, 10, nodes=10, reach=7.5)


def _no_function(x: Array) -> Array:
    raise AssertionError("a tabulated activation has moments only")


@lru_cache(maxsize=64)
def _builder(fn: Any, params: tuple, kinks: tuple, closed: Any, steps: tuple, scale: float) -> TableBuilder:
    return TableBuilder(Activation(fn, dict(params), kinks, closed, steps, scale))


def builder_of(phi: Activation) -> TableBuilder:
    """The cached builder of an activation whose parameters are numbers."""
    params = tuple(sorted((k, float(v)) for k, v in phi.params.items()))
    return _builder(phi.fn, params, tuple(float(k) for k in phi.kinks), phi.closed, phi.steps, phi.scale)
