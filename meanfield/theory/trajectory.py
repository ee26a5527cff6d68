"""The moments of a pair, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..errors import InputError
from .block import Block, check_block
from .deep import stretch as by_table
from .deep import table_for
from .fixed_point import chi_perpendicular
from .kernel import Kernel
from .precision import host_float64, is_traced
from .result import Result

_STRETCH, _EXACT = 32, 256


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Trajectory(Result):
    """What `trajectory` returns; every field has shape (depth + 1, *S), index 0 the input.

    q1, q2 : variances of the two inputs; c, one_minus_c : their correlation, the latter with all its digits
    chi    : perpendicular susceptibility at q1: a squared gradient's factor over layers l..L is the product
    chi_c  : d gap'/d gap at the pair's own gap
    """

    q1: Any
    q2: Any
    c: Any
    one_minus_c: Any
    chi: Any
    chi_c: Any

    def plot(self, ax: Any = None) -> Any:
        """Draw q, 1 - c and chi over the layers; see `meanfield.plots.trajectory`."""
        from ..plots import trajectory as draw

        return draw(self, ax=ax)


def trajectory(block: Block, depth: int, q0: Any = (1.0, 1.0), c0: Any = 0.5) -> Trajectory:
    """Variances, correlation and susceptibilities of a pair after 0, 1, ..., depth blocks.

    q0 holds the two input variances and c0 their correlation: scalars, or arrays of one shape S for many pairs at
    once. The recursion carries the gap, so that 1 - c keeps its digits however deep (Poole et al. 2016; Schoenholz et
    al. 2017): right to 1e-13 relative to itself, and to 1e-9 after 256 layers of an activation without closed forms,
    which go by its table. Raises InputError for a depth that is not a positive integer, a negative variance, a
    correlation outside [-1, 1].

    >>> import meanfield as mf
    >>> path = mf.trajectory(mf.MLP("relu", sigma_w=2**0.5), depth=2, q0=(1.0, 1.0), c0=0.0)
    >>> path.c.round(6).tolist()
    [0.0, 0.31831, 0.493731]
    """
    check_block(block)
    if isinstance(depth, bool) or not isinstance(depth, (int, np.integer)) or depth < 1:
        raise InputError(f"depth={depth!r} must be a whole number of layers >= 1")
    try:
        q1, q2 = q0
    except (TypeError, ValueError):
        raise InputError(f"q0={q0!r} must hold two variances, one per input") from None
    if not is_traced((q1, q2, c0)):
        if not all(np.all(np.isfinite(v)) and np.all(np.asarray(v) >= 0) for v in (q1, q2)):
            raise InputError(f"q0={q0!r} must hold two finite variances >= 0")
        if not np.all(np.abs(np.asarray(c0, float)) <= 1):
            raise InputError(f"c0={c0!r} must be a correlation in [-1, 1]")
    q1, q2, c0 = jnp.broadcast_arrays(q1, q2, c0) if is_traced((q1, q2, c0)) else np.broadcast_arrays(q1, q2, c0)
    shape = q1.shape
    pairs = tuple(a.reshape(-1) for a in (q1, q2, c0))
    equal = not is_traced(pairs) and bool(np.array_equal(q1, q2) and np.all(c0 >= 0))
    if is_traced((block, pairs)):
        path = _layers(block, _start(*pairs), length=depth + 1, equal=False)[1]
    else:
        path = _long(block, _start(*(np.asarray(a, np.float64) for a in pairs)), int(depth) + 1, equal)
    return jax.tree.map(lambda a: a.reshape((depth + 1, *shape)), path)


def _start(q1: Any, q2: Any, c0: Any) -> tuple[Any, Any, Any]:
    # 1 - c of a float is exact near 1, so nothing is lost on the way to the gap.
    return q1, q2, (q1 * q2) ** 0.5 * (1 - c0)


def _long(block: Block, state: tuple, length: int, equal: bool) -> Trajectory:
    """Stretches of one length, so that every depth runs the same program; a state at rest repeats itself."""
    pieces: list[Trajectory] = []
    table, first = None, 0
    while first < length:
        before = state
        if first == _EXACT:
            table = table_for(block)
        state, piece = _stretch(table, block, state, equal)
        pieces.append(jax.tree.map(lambda a, n=length - first: a[:n], piece))
        first += len(piece.c)
        if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, state, strict=True)):
            rest = max(length - first, 0)
            pieces.append(jax.tree.map(lambda a, n=rest: np.repeat(a[-1:], n, 0), piece))
            break
    return jax.tree.map(lambda *parts: np.concatenate(parts), *pieces)


def _stretch(table: Any, block: Block, state: tuple, equal: bool) -> tuple[tuple, Trajectory]:
    """Some layers: many by the table where it serves, else a few by quadrature."""
    tabulated = None if table is None else by_table(table, block, state)
    if tabulated is None:
        return _layers(block, state, length=_STRETCH, equal=equal)
    state, (q, e, chi, chi_c) = tabulated
    return state, Trajectory(q, q, 1 - e, e, chi, chi_c)


@host_float64(static=("length", "equal"))
def _layers(block: Block, state: tuple, *, length: int, equal: bool) -> tuple[tuple, Trajectory]:
    """`length` layers of pairs (P,), from (q1, q2, gap): the state after them, and the path (length, P)."""
    start = tuple(jnp.asarray(a) for a in state)
    end, path = lax.map(lambda row: _one(block, row, length, equal), start)
    return end, jax.tree.map(lambda a: jnp.moveaxis(a, 0, -1), path)


def _one(block: Block, row: tuple, length: int, equal: bool) -> tuple[tuple, Trajectory]:
    def layer(state: tuple, _: None) -> tuple[tuple, Trajectory]:
        q1, q2, gap = state

        def gap_after(gap: Array) -> tuple[Array, Kernel]:
            after = block(Kernel(q1, q2, gap, equal=equal))
            return after.gap, after

        _, chi_c, after = jax.jvp(gap_after, (gap,), (jnp.ones_like(gap),), has_aux=True)
        e = Kernel(q1, q2, gap, equal=equal).one_minus_c
        here = Trajectory(q1, q2, 1 - e, e, chi_perpendicular(block, q1), chi_c)
        return (after.q1, after.q2, after.gap), here

    return lax.scan(layer, row, length=length)
