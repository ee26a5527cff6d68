"""Blocks whose activations are read from tables: a pair costs microseconds instead of milliseconds by quadrature."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ..blocks.activations import activations_of, draws_factors, has_surrogate
from ..blocks.block import Block
from ..gaussian.activation import Activation
from ..gaussian.moments import sampled
from ..interface.precision import in_float64
from .moment_table import only_moments, table_of
from .pair_panel import NODES, chebyshev
from .pair_table import PairTable

_MOST_PANELS = 24


@in_float64
def tables_for(block: Block, visit: Callable[[list[Activation]], np.ndarray | jax.Array]) -> list[Activation] | None:
    """Each activation of a block with its `PairTable`, for the variances at which the block evaluates it.

    visit(activations) runs the block with these and returns the ranges of `visited`, (..., activations, 2): the
    smallest and largest variance, the leading axes being points and layers. None if a table does not apply: closed
    forms everywhere, value jumps, multiplicative noise, surrogate gradients, variances that polynomials do not resolve,
    a block that contains its own loop.
    """
    parts = activations_of(block)
    if all(phi.closed is not None for phi in parts) or any(phi.has_steps for phi in parts) or _untabled(block):
        return None
    try:
        ranges = np.asarray(visit([sampled(phi, jnp.float64) for phi in parts]))
    except jax.errors.UnexpectedTracerError:
        return None
    low, high = (ranges[..., i].reshape(-1, len(parts)) for i in (0, 1))
    ends = zip(parts, low.min(0), high.max(0), strict=True)
    found = [phi if phi.closed is not None else _tabulated(phi, *range_) for phi, *range_ in ends]
    known = [phi for phi in found if phi is not None]
    return known if len(known) == len(found) else None


@in_float64
def single_tables(block: Block) -> list[Activation] | None:
    """Each activation of a block with a table of its single-input moments at every variance; None if phi jumps."""
    parts = activations_of(block)
    if any(phi.has_steps and phi.closed is None for phi in parts) or _untabled(block):
        return None
    return [phi if phi.closed is not None else table_of(phi).activation() for phi in parts]


def _untabled(block: Block) -> bool:
    """Whether more is asked of an activation than its moments and those of pairs."""
    return draws_factors(block) or has_surrogate(block)


def _tabulated(phi: Activation, low: float, high: float) -> Activation | None:
    """The activation's pair table from variance low to high; None if polynomials do not resolve it."""
    table = table_of(phi)
    if not (low > 0 and np.isfinite(high)):
        return None
    first, last = (int(n) for n in table.panel_of(np.array([low, high])))
    if last - first >= _MOST_PANELS:
        return None
    deficits = [d for d in table.deficits(range(first, last + 1)) if d is not None]
    if len(deficits) <= last - first:
        return None
    over_q, angles = chebyshev(NODES)[1], max(d.local.shape[1] for d in deficits)
    shares = [
        [np.pad(over_q @ part, ((0, 0), (0, angles - part.shape[1]))) for part in (d.local, d.mean)] for d in deficits
    ]
    place = (np.float64(x) for x in (first, table.height, phi.scale))
    pairs = PairTable(table.moments, np.swapaxes(shares, 0, 1), *place, order=table.order)
    return Activation(only_moments, closed=pairs, name="table")
