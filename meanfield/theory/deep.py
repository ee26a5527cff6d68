"""Pairs of one variance through very many layers, by an activation's table: what 100,000 layers take."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .block import Activate, Block, Dense, Serial
from .panels import NODES, chebyshev, polynomials
from .precision import in_float64
from .table import MomentTable, Table, table_of

LENGTH = 2048
"""Layers in one compiled stretch."""


def table_for(block: Block) -> Table | None:
    """The table of a fully connected block's activation; None where quadrature layer by layer is the only way."""
    if not (isinstance(block, Serial) and [type(b) for b in block.blocks] == [Activate, Dense]):
        return None
    phi = block.blocks[0].phi
    # Closed forms are as fast; value jumps have no slope to tabulate.
    return None if phi.closed is not None or phi.has_steps else in_float64(table_of)(phi)


@in_float64
def stretch(table: Table, block: Block, state: tuple) -> tuple[tuple, tuple] | None:
    """LENGTH layers of pairs (P,) from (q1, q2, gap): the state after them, and (q, 1 - c, chi, chi_c) of each layer.

    None where the table does not serve: two variances, negative correlation, or variances of several panels.
    """
    q, other, gap = state
    if np.any(np.abs(q - other) > 1e-14 * q) or np.any(gap > q) or not np.all((q > 0) & np.isfinite(q)):
        return None
    panel = np.unique(table.panel_of(q))
    deficit = table.deficit(int(panel[0])) if panel.size == 1 else None
    if deficit is None:
        return None
    over_q = chebyshev(NODES)[1]
    shares = over_q @ deficit.local, over_q @ deficit.mean
    dense = block.blocks[1]
    variances = (np.float64(s) ** 2 for s in (dense.sigma_w, dense.sigma_b))
    geometry = tuple(np.float64(x) for x in (table.phi.scale, table.height, panel[0], table.order))
    end, path = jax.tree.map(np.asarray, _layers(table.moments, shares, geometry, *variances, q, gap))
    if np.any(table.panel_of(path[0]) != panel[0]) or np.any(table.panel_of(end[0]) != panel[0]):
        return None
    return (end[0], end[0], end[1]), path


@jax.jit
def _layers(
    table: MomentTable, shares: tuple, geometry: tuple, w_var: Array, b_var: Array, q: Array, gap: Array
) -> Any:
    def layer(state: tuple, _: None) -> tuple[tuple, tuple]:
        q, gap = state
        step = table.step_of(q)
        e = gap / q
        chi = w_var * table.slope_moment(q, step)
        local, mean = (table.spread_at(q, step) * part for part in _at(shares, geometry, q, e))
        after = w_var * table.second_moment(q, step) + b_var, chi * (1 - mean) * gap
        return after, (q, e, chi, chi * (1 - local))

    return lax.scan(layer, (q, gap), length=LENGTH)


def _at(shares: tuple, geometry: tuple, q: Array, e: Array) -> list[Array]:
    """The deficit of the slope at e, and its mean over gaps up to there, in units of what it is at c = 0."""
    scale, height, panel, order = geometry
    stretched = jnp.sqrt(q) / scale
    rows = polynomials(2 * (jnp.arcsinh(stretched) / height - panel) - 1, NODES)
    angle = 2 * jnp.arcsin(jnp.sqrt(e / 2))
    v = jnp.arcsinh(stretched * angle) / jnp.arcsinh(stretched * np.pi / 2)
    columns = polynomials(2 * v - 1, shares[0].shape[1])
    return [v**order * jnp.einsum("np,na,ap->p", rows, c, columns) for c in shares]
