"""Where any one leaf of any block makes it critical: chi_1 = 1 at the fixed point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.block import Block, check_block, sampled_block
from ..blocks.leaves import Path, leaf, path_name, with_leaf
from ..errors import InputError
from ..interface.labels import CriticalStatus
from ..interface.precision import host_float64, is_traced
from ..interface.result import Result
from ..solvers.coupled_state import has_more_state
from ..solvers.fixed_variance import chi_perpendicular, solve_variance, variance
from ..solvers.roots import MOST_ROOTS
from .diagram_axes import check_kinks
from .fixed_point import solve_by_state

_SCAN, _ROUNDS = 97, 11
_FOUND, _NONE, _LIMIT, _INVARIANT = range(4)
_CONVERGED, _ZERO, _SCALE_FREE, _DIVERGES = range(4)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class CriticalLeaf(Result):
    """What `solve_critical` returns: NaN where there is none; `all_values` (5,) holds every one found, ascending.

    value : of the leaf;  q_star, chi_q : there;  stable : chi_q < 1;  status : see `CriticalStatus`
    """

    value: Any
    q_star: Any
    chi_q: Any
    stable: Any
    status: CriticalStatus
    all_values: Any


def solve_critical(
    block: Block, leaf: Path, bracket: tuple[float, float] | None = None, q0: float = 1.0
) -> CriticalLeaf:
    """The value of a leaf at which chi_1 = 1 at the fixed point that iteration from q0 reaches.

    `leaf` is a path ("sigma_w" is that of every layer, "blocks.1.sigma_w" one) or a getter; `bracket` is where to look,
    a factor of 8 either way of the leaf's own value if None. Values are scanned in 97 steps and refined to rounding;
    of several the first whose variance is stable comes first. `status` is found, none, limit_q0 (q* = 0 there) or
    scale_invariant (every q is a fixed point there). With dropout chi_1 is what gradients see: xi_c stays finite.
    Raises InputError for an unknown leaf or an empty bracket, and under a trace. Accurate to about 1e-12, or what
    the fixed point's conditioning allows.

    >>> import meanfield as mf
    >>> block = mf.Activate("relu") >> mf.Dropout(0.2) >> mf.Dense(1.0)
    >>> point = mf.solve_critical(block, "sigma_w")
    >>> print(f"{point.value**2:.9f} {point.status}")
    1.600000000 scale_invariant
    """
    check_block(block)
    if is_traced((block, q0)):
        raise InputError("solve_critical searches: call it outside jit, grad and vmap")
    lo, hi = _bracket(block, leaf, bracket)
    for end in (lo, hi):
        check_kinks(block, with_leaf(block, leaf, end), leaf)
    values = np.linspace(lo, hi, _SCAN)
    side, _ = _sides(block, values, q0, path=leaf)
    found = [_refined(block, leaf, values[i], values[i + 1], q0) for i in np.flatnonzero(side[1:] * side[:-1] < 0)]
    exact = [_described(block, leaf, v, v, v, q0) for v in values[side == 0][:MOST_ROOTS]]
    found = sorted((f for f in found + exact if f is not None), key=lambda f: (not f.stable, f.value))[:MOST_ROOTS]
    every = np.full(MOST_ROOTS, np.nan)
    every[: len(found)] = sorted(f.value for f in found)
    if not found:
        nan = np.float64(np.nan)
        return CriticalLeaf(nan, nan, nan, np.bool_(False), CriticalStatus(np.int8(_NONE)), every)
    first = found[0]
    return CriticalLeaf(first.value, first.q_star, first.chi_q, first.stable, first.status, every)


def _bracket(block: Block, path: Path, bracket: Any) -> tuple[float, float]:
    if bracket is None:
        own = float(leaf(block, path))
        if not own > 0:
            raise InputError(f"leaf={path_name(path)!r} is {own}: give bracket=(lo, hi) to say where to look")
        return own / 8, own * 8
    try:
        lo, hi = (float(end) for end in bracket)
    except (TypeError, ValueError):
        raise InputError(f"bracket={bracket!r} must be two numbers (lo, hi)") from None
    if not (np.isfinite(lo) and np.isfinite(hi) and lo < hi):
        raise InputError(f"bracket={bracket!r} must be two finite numbers lo < hi")
    return lo, hi


@host_float64(static=("path",))
def _sides(block: Block, values: Array, q0: Array, *, path: Path) -> tuple[Array, Any]:
    """The side of chi_1 - 1 at each value, where q runs away that of V(q) - q, NaN elsewhere; and what was found."""

    def one(value: Array) -> tuple[Array, Any]:
        at = with_leaf(block, path, value)
        if has_more_state(block):
            point = solve_by_state(at, q0)
            status, chi_1, q_star, chi_q = point.status.code, point.chi_1, point.q_star, point.chi_q
            far, kept = chi_1, chi_1
        else:
            at = sampled_block(at)
            point = solve_variance(at, q0)
            status, chi_1, q_star, chi_q = point.status, point.chi_1, point.q_star, point.chi_q
            far, kept = chi_perpendicular(at, q0), variance(at, q0) / q0
        noise = 64 * jnp.finfo(q0.dtype).eps
        side = jnp.where(jnp.abs(chi_1 - 1) <= noise, 0.0, jnp.sign(chi_1 - 1))
        side = jnp.where(status <= _SCALE_FREE, side, jnp.where(status == _DIVERGES, 1.0, jnp.nan))
        side = jnp.where(status == _SCALE_FREE, 0.0, side)
        return side, (status, q_star, chi_q, far, kept)

    return lax.map(one, values)


def _refined(block: Block, path: Path, lo: float, hi: float, q0: float) -> CriticalLeaf | None:
    """The crossing between two values, by cutting the interval into 96 again and again with one compiled program."""
    for _ in range(_ROUNDS):
        values = np.linspace(lo, hi, _SCAN)
        side, _ = _sides(block, values, q0, path=path)
        crossing = np.flatnonzero(side[1:] * side[:-1] <= 0)
        if crossing.size == 0:
            return None
        lo, hi = values[crossing[0]], values[crossing[0] + 1]
        if hi - lo <= 4 * np.finfo(float).eps * max(abs(lo), abs(hi)):
            break
    return _described(block, path, lo, hi, (lo + hi) / 2, q0)


def _described(block: Block, path: Path, lo: float, hi: float, value: float, q0: float) -> CriticalLeaf | None:
    """What is at a crossing; None where chi_1 jumps over 1 without taking it."""
    _, (status, q_star, chi_q, far, kept) = _sides(block, np.resize([lo, hi, value], _SCAN), q0, path=path)
    status, q_star, chi_q = status[:3], q_star[:3], chi_q[:3]
    if np.all(np.abs(far[:3] - 1) < 1e-9) and np.all(np.abs(kept[:3] - 1) < 1e-9) and status.max() >= _ZERO:
        nan, one = np.float64(np.nan), np.float64(1.0)
        return CriticalLeaf(np.float64(value), nan, one, np.bool_(False), CriticalStatus(np.int8(_INVARIANT)), None)
    if np.any(status > _ZERO):
        return None
    code = _LIMIT if np.any(status == _ZERO) else _FOUND
    q = np.float64(0.0) if code == _LIMIT else q_star[2]
    at = CriticalStatus(np.int8(code))
    return CriticalLeaf(np.float64(value), q, chi_q[2], np.bool_(chi_q[2] < 1), at, None)
