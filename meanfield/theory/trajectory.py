"""The moments of a pair, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..errors import InputError
from ..gaussian.control import is_traced, map_rows, scan_steps
from .block import Block, check_block
from .fixed_point import chi_perpendicular
from .kernel import Kernel
from .precision import host_float64
from .result import Result


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
    once. The recursion carries the gap, so that 1 - c is right to rounding relative to itself however deep (Poole et
    al. 2016; Schoenholz et al. 2017). Raises InputError for a depth that is not a positive integer, a negative
    variance, a correlation outside [-1, 1].

    >>> import meanfield as mf
    >>> path = mf.trajectory(mf.MLP("relu", sigma_w=2**0.5), depth=2, q0=(1.0, 1.0), c0=0.0)
    >>> path.c.round(6).tolist()
    [0.0, 0.31831, 0.493728]
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
    equal = not is_traced((q1, q2)) and np.array_equal(q1, q2)
    return _trajectory(block, q1, q2, c0, depth=int(depth), equal=bool(equal))


@host_float64
def _trajectory(block: Block, q1: Any, q2: Any, c0: Any, *, depth: int, equal: bool) -> Trajectory:
    q1, q2, c0 = jnp.broadcast_arrays(jnp.asarray(q1), jnp.asarray(q2), jnp.asarray(c0))
    rows = (q1.ravel(), q2.ravel(), c0.ravel())
    paths = map_rows(lambda row: _one(block, *row, depth, equal), rows)
    return jax.tree.map(lambda a: jnp.moveaxis(a, 0, -1).reshape((depth + 1, *q1.shape)), paths)


def _one(block: Block, q1: Array, q2: Array, c0: Array, depth: int, equal: bool) -> Trajectory:
    start = Kernel(q1, q2, jnp.sqrt(q1 * q2) * (1 - c0), jnp.zeros_like(q1), equal=equal)

    def layer(kernel: Kernel) -> tuple[Kernel, Trajectory]:
        def gap_after(gap: Array) -> tuple[Array, Kernel]:
            after = block(kernel.replace(gap=gap))
            return after.gap, after

        _, chi_c, after = jax.jvp(gap_after, (kernel.gap,), (jnp.ones_like(kernel.gap),), has_aux=True)
        chi = chi_perpendicular(block, kernel.q1)
        e = kernel.one_minus_c
        return after, Trajectory(kernel.q1, kernel.q2, 1 - e, e, chi, chi_c)

    return scan_steps(layer, start, depth + 1)
