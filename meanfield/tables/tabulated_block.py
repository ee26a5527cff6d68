"""Blocks whose activations go by their tables: a pair costs microseconds instead of a quadrature's milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..blocks.block import Block
from ..gaussian.activation import Activation
from ..gaussian.closed_forms import ClosedForms, Moments
from ..gaussian.moments import sampled
from ..interface.precision import in_float64
from .moment_table import only_moments, table_of
from .pair_panel import NODES, chebyshev
from .pair_table import PairTable

_MOST_PANELS = 24


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
