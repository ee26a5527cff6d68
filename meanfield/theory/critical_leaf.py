"""Where any one leaf of any block makes it critical: chi_1 = 1 at the fixed point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.activations import sampled_block
from ..blocks.block import Block, check_block
from ..blocks.leaves import Path, leaf, path_name, with_leaf
from ..errors import InputError, shown
from ..interface.arguments import real_array, variances
from ..interface.labels import CriticalStatus, Status
from ..interface.numbers import Numbers
from ..interface.precision import host_float64, is_traced
from ..interface.result import Result
from ..interface.settings import in_own_settings
from ..solvers.coupled_state import has_more_state
from ..solvers.fixed_variance import Variances, chi_perpendicular, solve_variance, variance
from ..solvers.roots import MOST_ROOTS
from .diagram_axes import check_kinks
from .fixed_point import FixedPoint, solve_by_state

_SCAN, _ROUNDS = 97, 11
# How close to 1 chi_1 is where a root was refined to rounding, and how far from its exact value q* may be.
_AT_ONE, _Q_KNOWN = 1e-6, 1e-3


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class CriticalLeaf(Result):
    """The result of `solve_critical`: NaN if there is no critical value; `all_values` (5,) holds all found, ascending.

    value : of the leaf;  q_star, chi_q : there;  stable : chi_q < 1;  status : see `CriticalStatus`
    """

    value: Numbers
    q_star: Numbers
    chi_q: Numbers
    stable: Numbers
    status: CriticalStatus
    all_values: Numbers


@in_own_settings
def solve_critical(
    block: Block, leaf: Path, bracket: tuple[float, float] | None = None, q0: float = 1.0
) -> CriticalLeaf:
    """The value of a leaf at which chi_1 = 1 at the fixed point that iteration from q0 reaches.

    `leaf` is a path ("sigma_w" in every layer, "blocks.1.sigma_w" in one) or a getter; `bracket` is the interval to
    search, if None a factor of 8 around the leaf's present value. Values are scanned in 97 steps and refined to
    rounding; of several the first whose variance is stable comes first. A value counts where a fixed point is reached
    and |chi_1 - 1| is rounding, not where a fixed point merely ends (`mf.critical` has the unstable points of a fully
    connected network as well). `status` is found, none, limit_q0 (q* = 0 there) or scale_invariant (every q is a fixed
    point there). With dropout chi_1 governs gradients only: xi_c stays
    finite. Raises InputError for an unknown leaf or an empty bracket, and under a trace. Accurate to about 1e-12, or
    what the fixed point's conditioning allows.

    >>> import meanfield as mf
    >>> block = mf.Activate("relu") >> mf.Dropout(0.2) >> mf.Dense(1.0)
    >>> point = mf.solve_critical(block, "sigma_w")
    >>> print(f"{point.value**2:.9f} {point.status}")
    1.600000000 scale_invariant
    """
    check_block(block)
    variances("q0", q0, single=True)
    if is_traced((block, q0)):
        raise InputError("solve_critical searches: call it outside jit, grad and vmap")
    lo, hi = _bracket(block, leaf, bracket)
    for end in (lo, hi):
        check_kinks(block, with_leaf(block, leaf, end), leaf)
    values = np.linspace(lo, hi, _SCAN)
    side = _probe(block, values, q0, path=leaf).side
    found = [_refined(block, leaf, values[i], values[i + 1], q0) for i in np.flatnonzero(side[1:] * side[:-1] < 0)]
    exact = [_described(block, leaf, v, v, v, q0) for v in values[side == 0][:MOST_ROOTS]]
    known = sorted((f for f in found + exact if f is not None), key=lambda f: (not f.stable, f.value))[:MOST_ROOTS]
    every = np.full(MOST_ROOTS, np.nan)
    every[: len(known)] = sorted(f.value for f in known)
    first = known[0] if known else _Crossing(np.nan, np.nan, np.nan, CriticalStatus.NONE)
    value, q_star, chi_q, stable = (np.asarray(number)[()] for number in (*first[:3], first.stable))
    return CriticalLeaf(value, q_star, chi_q, stable, first.status, every)


class _Crossing(NamedTuple):
    """A value at which chi_1 = 1, with q* and chi_q there."""

    value: float
    q_star: float
    chi_q: float
    status: CriticalStatus

    @property
    def stable(self) -> bool:
        return self.chi_q < 1


def _bracket(block: Block, path: Path, bracket: Any) -> tuple[float, float]:
    if bracket is None:
        own = float(leaf(block, path))
        if not own > 0:
            raise InputError(f"leaf={path_name(path)!r} is {own}: give bracket=(lo, hi) to search")
        return own / 8, own * 8
    ends = real_array("bracket", bracket, "give two numbers (lo, hi)")
    if ends.shape != (2,):
        raise InputError(f"{shown('bracket', bracket)} must be two numbers (lo, hi)")
    if not (np.all(np.isfinite(ends)) and ends[0] < ends[1]):
        raise InputError(f"{shown('bracket', bracket)} must be two finite numbers lo < hi")
    return float(ends[0]), float(ends[1])


class _Probe(NamedTuple):
    """Results at values of the leaf; arrays of their shape.

    side : of chi_1 - 1, of V(q) - q where q diverges, NaN elsewhere;  far, kept : chi and V(q) / q at q0
    """

    side: Array
    status: Array
    q_star: Array
    q_error: Array
    chi_1: Array
    chi_q: Array
    far: Array
    kept: Array


@host_float64(static=("path",))
def _probe(block: Block, values: Numbers, q0: float | Array, *, path: Path) -> _Probe:
    q0 = jnp.asarray(q0)

    def one(value: Array) -> _Probe:
        at = with_leaf(block, path, value)
        if has_more_state(block):
            point = solve_by_state(at, q0)
            far = kept = jnp.asarray(point.chi_1)
            return _probe_of(point, point.status.code, far, kept)
        at = sampled_block(at)
        point = solve_variance(at, q0)
        far, kept = chi_perpendicular(at, q0), variance(at, q0) / q0
        return _probe_of(point, point.status, far, kept)

    return lax.map(one, jnp.asarray(values))


def _probe_of(point: FixedPoint | Variances, status: Any, far: Array, kept: Array) -> _Probe:
    chi_1 = jnp.asarray(point.chi_1)
    noise = 64 * jnp.finfo(kept.dtype).eps
    side = jnp.where(jnp.abs(chi_1 - 1) <= noise, 0.0, jnp.sign(chi_1 - 1))
    known = (status == Status.CONVERGED.code) | (status == Status.ZERO.code)
    side = jnp.where(known, side, jnp.where(status == Status.DIVERGES.code, 1.0, jnp.nan))
    side = jnp.where(status == Status.SCALE_INVARIANT.code, 0.0, side)
    q_star, q_error, chi_q = map(jnp.asarray, (point.q_star, point.q_error, point.chi_q))
    return _Probe(side, status, q_star, q_error, chi_1, chi_q, far, kept)


def _refined(block: Block, path: Path, lo: float, hi: float, q0: float) -> _Crossing | None:
    """The crossing between two values, by repeatedly dividing the interval into 96 with one compiled program."""
    for _ in range(_ROUNDS):
        values = np.linspace(lo, hi, _SCAN)
        side = _probe(block, values, q0, path=path).side
        crossing = np.flatnonzero(side[1:] * side[:-1] <= 0)
        if crossing.size == 0:
            return None
        lo, hi = float(values[crossing[0]]), float(values[crossing[0] + 1])
        if hi - lo <= 4 * np.finfo(float).eps * max(abs(lo), abs(hi)):
            break
    return _described(block, path, lo, hi, (lo + hi) / 2, q0)


def _described(block: Block, path: Path, lo: float, hi: float, value: float, q0: float) -> _Crossing | None:
    """The result at a crossing; None if chi_1 jumps across 1 without attaining it, or the fixed point ends there."""
    found = _probe(block, np.resize([lo, hi, value], _SCAN), q0, path=path)
    at = Status(found.status[:3])
    kept = np.all(np.abs(np.stack([found.far[:3], found.kept[:3]]) - 1) < 1e-12)
    if kept and not np.all(at == Status.CONVERGED):
        return _Crossing(value, np.nan, 1.0, CriticalStatus.SCALE_INVARIANT)
    if not np.all((at == Status.ZERO) | (at == Status.CONVERGED)):
        return None
    if np.any(np.abs(found.chi_1[:3] - 1) > _AT_ONE):
        return None
    # A fixed point that runs away takes chi_1 to 1 without being there: then q* is known to no digit.
    lost = np.any(found.q_error[:3] > _Q_KNOWN * found.q_star[:3])
    if lost and np.all(found.q_star[:3] > 1):
        return None
    if lost or np.any(at == Status.ZERO):
        return _Crossing(value, 0.0, float(found.chi_q[2]), CriticalStatus.LIMIT_Q0)
    return _Crossing(value, float(found.q_star[2]), float(found.chi_q[2]), CriticalStatus.FOUND)
