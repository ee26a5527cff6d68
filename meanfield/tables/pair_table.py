"""Moments of pairs of one variance, as polynomials in the variance and the angle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..gaussian.closed_forms import ClosedForms, Moments
from .moment_polynomials import MomentTable
from .pair_panel import NODES, polynomials


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PairTable(ClosedForms):
    """Moments of pairs of one variance and correlation >= 0 in a range of panels, to 1e-9; NaN outside.

    shares : (2, panels, NODES, angles), polynomials in y and v of the deficit of the slope and of its mean over gaps
    from 0, both over v^order, in units of their values at c = 0; the first panel is number `first`.
    """

    single: MomentTable
    shares: Any
    first: Any
    height: Any
    scale: Any
    order: int = field(metadata={"static": True})

    def moments(self, phi: Any, q: Array) -> Moments:
        """`Moments` at variance q."""
        return self.single.moments(phi, q)

    def distance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """One minus the correlation of the outputs, by Price's theorem from the mean deficit of the slope."""
        at = self.single.moments(phi, q1)
        second = jnp.where(at.second > 0, at.second, 1.0)
        return q1 * e * at.slope * (1 - self._deficit(1, q1, q2, e)) / second

    def covariance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """E[phi'(u) phi'(v)]."""
        return self.single.moments(phi, q1).slope * (1 - self._deficit(0, q1, q2, e))

    def _deficit(self, which: int, q1: Array, q2: Array, e: Array) -> Array:
        stretch = jnp.sqrt(q1) / self.scale
        y = jnp.arcsinh(stretch) / self.height - self.first
        panel = jnp.clip(jnp.floor(y), 0, self.shares.shape[1] - 1).astype(int)
        v = jnp.arcsinh(stretch * 2 * jnp.arcsin(jnp.sqrt(jnp.clip(e / 2, 0.0, 1.0))))
        v = v / jnp.arcsinh(stretch * np.pi / 2)
        rows, columns = polynomials(2 * (y - panel) - 1, NODES), polynomials(2 * v - 1, self.shares.shape[3])
        share = v**self.order * (rows @ jnp.asarray(self.shares)[which][panel] @ columns)
        # A variance at the end of the range, or a gap at c = 0, may be outside by rounding.
        near = 1e-9
        known = (y > -near) & (y < self.shares.shape[1] + near) & (e < 1 + near) & (jnp.abs(q1 - q2) <= 1e-12 * q1)
        step = self.single.step_of(q1)
        spread = self.single.spread_at(self.single.place(q1, step), step)
        return jnp.where(known, spread * share, jnp.nan)
