"""Blocks whose activations go by their tables: a pair costs microseconds instead of a quadrature's milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..gaussian.activation import Activation
from ..gaussian.closed_forms import ClosedForms, Moments
from ..gaussian.moments import sampled
from .block import Block
from .panels import NODES, chebyshev, polynomials
from .precision import in_float64
from .table import MomentTable, only_moments, table_of

_MOST_PANELS = 24


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PairTable(ClosedForms):
    """Moments of pairs of one variance and correlation >= 0 in a range of panels, to 1e-9; NaN outside.

    shares : (2, panels, NODES, angles), polynomials in y and v of the deficit of the slope and of its mean over gaps
    from 0, both over v^order, in units of what they are at c = 0; the first panel is number `first`.
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
        # At the ends of the range and at c = 0 a variance or a gap may be off by its rounding.
        near = 1e-9
        known = (y > -near) & (y < self.shares.shape[1] + near) & (e < 1 + near) & (jnp.abs(q1 - q2) <= 1e-12 * q1)
        step = self.single.step_of(q1)
        spread = self.single.spread_at(self.single.place(q1, step), step)
        return jnp.where(known, spread * share, jnp.nan)


class _Range:
    """The variances that an activation was asked for."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf

    def note(self, q: Any) -> None:
        self.low, self.high = min(self.low, float(np.min(q))), max(self.high, float(np.max(q)))


_SEEN: dict[int, _Range] = {}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Watched(ClosedForms):
    """Moments that tell which variances they are asked for; `number` is the activation's place in its block."""

    samples: Any
    number: int = field(metadata={"static": True})

    def moments(self, phi: Any, q: Array) -> Moments:
        number = self.number
        jax.debug.callback(lambda q: _SEEN[number].note(q), q)
        return self.samples.moments(phi, q)


@in_float64
def tables_for(block: Block, visit: Callable[[Block], Any]) -> list[Activation] | None:
    """Each activation of a block with its `PairTable`, for the variances that visit(block) makes a single input meet.

    None where a table does not serve: closed forms everywhere, value jumps, variances that polynomials do not resolve.
    """
    parts = activations_of(block)
    if all(phi.closed is not None for phi in parts) or any(phi.has_steps for phi in parts):
        return None
    _SEEN.clear()
    _SEEN.update({i: _Range() for i in range(len(parts))})
    watched = [replace(sampled(phi, jnp.float64), closed=_Watched(sampled(phi, jnp.float64).closed, i))
               for i, phi in enumerate(parts)]  # fmt: skip
    jax.block_until_ready(visit(with_activations(block, watched)))
    jax.effects_barrier()
    found = [phi if phi.closed is not None else _tabulated(phi, _SEEN[i]) for i, phi in enumerate(parts)]
    return None if any(phi is None for phi in found) else found


@in_float64
def single_tables(block: Block) -> list[Activation] | None:
    """Each activation of a block with a table of its moments of one input, at every variance; None where phi jumps."""
    parts = activations_of(block)
    if any(phi.has_steps and phi.closed is None for phi in parts):
        return None
    return [phi if phi.closed is not None else table_of(phi).activation() for phi in parts]


def with_activations(block: Block, activations: Sequence[Activation]) -> Block:
    """The block with other activations, in the order of its pytree."""
    following = iter(activations)
    return jax.tree.map(lambda part: next(following) if _is_activation(part) else part, block, is_leaf=_is_activation)


def activations_of(block: Block) -> list[Activation]:
    """Every activation in a block, in the order of its pytree."""
    return [part for part in jax.tree.leaves(block, is_leaf=_is_activation) if _is_activation(part)]


def _is_activation(part: Any) -> bool:
    return isinstance(part, Activation)


def _tabulated(phi: Activation, seen: _Range) -> Activation | None:
    table = table_of(phi)
    if not (seen.low > 0 and np.isfinite(seen.high)):
        return None
    first, last = (int(n) for n in table.panel_of(np.array([seen.low, seen.high])))
    if last - first >= _MOST_PANELS:
        return None
    deficits = [table.deficit(n) for n in range(first, last + 1)]
    if any(d is None for d in deficits):
        return None
    over_q, angles = chebyshev(NODES)[1], max(d.local.shape[1] for d in deficits)
    shares = [[np.pad(over_q @ part, ((0, 0), (0, angles - part.shape[1]))) for part in (d.local, d.mean)]
              for d in deficits]  # fmt: skip
    place = (np.float64(x) for x in (first, table.height, phi.scale))
    pairs = PairTable(table.moments, np.swapaxes(shares, 0, 1), *place, order=table.order)
    return Activation(only_moments, closed=pairs, name="table")
