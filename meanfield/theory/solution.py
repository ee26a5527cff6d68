"""The parts of a fixed point: the variance half, the fixed pair, and the depth scales."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from ..blocks.activations import sampled_block
from ..blocks.block import Block, has_trait
from ..interface.labels import Phase, Status
from ..interface.numbers import Numbers
from ..interface.result import Result
from ..solvers.coupled_state import (
    chi_at_state,
    has_more_state,
    next_state,
    padded,
    pairs_apart,
    settle,
    slowest,
    uncorrelated,
)
from ..solvers.fixed_gap import fixed_gap, noisy_gap
from ..solvers.fixed_variance import Variances, phase_of, solve_variance

_CONVERGED, _ZERO, _INVARIANT = Status.CONVERGED.code, Status.ZERO.code, Status.SCALE_INVARIANT.code


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class FixedPoint(Result):
    """The result of `fixed_point`; every field is a scalar, except all_q and all_chi_q of shape (5,).

    q_star, c_star, one_minus_c_star : limits of the variance and correlation maps
    chi_1, chi_1_minus_1             : perpendicular susceptibility, of gradients; slope of the c-map at c = 1
    chi_c                            : the same at c*
    chi_q                            : dq'/dq at q*, the parallel susceptibility
    xi_c, xi_q, xi_grad              : -1/ln chi_c, -1/ln|chi_q|, -1/ln chi_1, in layers; xi_grad < 0 where they grow
    phase, status                    : see `Phase`, `Status`
    q_error                          : bound on |q_star - exact|
    all_q, all_chi_q                 : every fixed point of the variance map, ascending, NaN-padded
    """

    q_star: Numbers
    c_star: Numbers
    one_minus_c_star: Numbers
    chi_1: Numbers
    chi_1_minus_1: Numbers
    chi_c: Numbers
    chi_q: Numbers
    xi_c: Numbers
    xi_q: Numbers
    xi_grad: Numbers
    phase: Phase
    status: Status
    q_error: Numbers
    all_q: Numbers
    all_chi_q: Numbers


def solve(block: Block, q0: Array) -> FixedPoint:
    """`fixed_point` in the arguments' own dtype, without checks."""
    if has_more_state(block):
        return solve_by_state(block, jnp.asarray(q0))
    return solve_correlation(block, solve_variance(sampled_block(block), jnp.asarray(q0)))


def depth_scale(chi: Array) -> Array:
    """-1/ln|chi|, in layers: 0 at chi = 0, inf at |chi| = 1, negative above, NaN where chi is infinite."""
    size = jnp.abs(chi)
    positive = jnp.where(size > 0, size, 1.0)
    # log1p keeps the digits of chi near 1; a single one serves both sides.
    near = positive > 0.5
    log = jnp.where(near, 1.0, -1.0) * jnp.log1p(jnp.where(near, positive, 1 / positive) - 1)
    scale = -1 / jnp.where(log == 0, 1.0, log)
    return jnp.where(
        size == 0, 0.0, jnp.where((log == 0) & ~jnp.isnan(size), jnp.inf, jnp.where(jnp.isfinite(size), scale, jnp.nan))
    )


def solve_correlation(
    block: Block, v: Variances, start: Array | None = None, tolerance: Array | float = 0.0
) -> FixedPoint:
    """c* and the quantities derived from it; `start` is a first guess of sqrt(1 - c*), 1 if None."""
    e, chi_c = _fixed_pair(block, v, start, tolerance)
    return assemble(v, e, chi_c)


def _fixed_pair(block: Block, v: Variances, start: Array | None, tolerance: Array | float) -> tuple[Array, Array]:
    """1 - c* and chi_c."""
    if has_trait(block, "per_input_noise"):
        gap, chi_c = noisy_gap(block, v.q, None if start is None else v.q * start**2)
    else:
        gap, chi_c = fixed_gap(block, v.q, v.slope_1, v.chaotic, start, tolerance)
    return gap / jnp.where(v.q > 0, v.q, 1.0), chi_c


def solve_by_state(block: Block, q0: Array) -> FixedPoint:
    """`fixed_point` of a block whose state is more than a variance, in the arguments' own dtype."""
    q0 = jnp.asarray(q0)
    state, status = settle(block, q0)
    known = (status == _CONVERGED) | (status == _INVARIANT)
    state = jnp.where(known, state, jnp.where(status == _ZERO, 0.0, uncorrelated(jnp.ones_like(q0))))
    chi_1, slope_1 = chi_at_state(block, state), chi_at_state(block, state, of_gradient=False)
    flow = jax.jacfwd(partial(next_state, block))(state)
    # The mean over the channels follows at once; variance and gap_within decay together.
    chi_q = slowest(flow[:2, :2])
    eps = jnp.finfo(q0.dtype).eps
    error = jnp.where(known, 64 * eps * state[0] / jnp.maximum(jnp.abs(1 - chi_q), eps), 0.0)
    phase = phase_of(slope_1, jnp.zeros_like(slope_1), status, known | (status == _ZERO))
    chaotic = known & (phase == Phase.CHAOTIC.code)
    q_star = jnp.where(status == Status.DIVERGES.code, jnp.inf, state[0])
    gap, chi_c = pairs_apart(block, state, chaotic, slope_1)
    status, phase = status.astype(jnp.int8), phase.astype(jnp.int8)
    every = padded(jnp.where(known, state[0], jnp.nan)), padded(jnp.where(known, chi_q, jnp.nan))
    v = Variances(q_star, state[0], status, phase, chaotic, chi_1, slope_1, chi_q, error, *every)
    return assemble(v, gap / jnp.where(state[0] > 0, state[0], 1.0), chi_c)


def assemble(v: Variances, e: Array, chi_c: Array) -> FixedPoint:
    """Every field, NaN where the theory defines no number."""
    known = (v.status == _CONVERGED) | (v.status == _ZERO) | (v.status == _INVARIANT)
    # What quadrature does not resolve says nothing about pairs.
    resolved = (v.phase != Phase.UNDEFINED.code) & ~(v.q_error * jnp.abs(1 - v.chi_q) > 1e-3 * v.q)
    pair = known & (v.status != _ZERO) & resolved
    invariant = v.status == _INVARIANT

    def where(condition: Array, value: Array) -> Array:
        return jnp.where(condition, value, jnp.nan)

    e = where(pair, e)
    # c* is stable: a slope above 1 is due to rounding, and 1/ln of it bounds the scale from below.
    toward = jnp.abs(depth_scale(chi_c))
    return FixedPoint(
        q_star=where(v.status != Status.CYCLES.code, v.q_star),
        c_star=1 - e,
        one_minus_c_star=e,
        chi_1=where(known, v.chi_1),
        chi_1_minus_1=where(known, v.chi_1 - 1),
        chi_c=where(pair, chi_c),
        chi_q=where(known, v.chi_q),
        xi_c=where(pair, jnp.where(invariant & (e == 0), jnp.inf, toward)),
        xi_q=where(known, jnp.where(invariant, jnp.inf, depth_scale(v.chi_q))),
        xi_grad=where(known, depth_scale(v.chi_1)),
        phase=Phase(v.phase),
        status=Status(v.status),
        q_error=where(known, v.q_error),
        all_q=v.all_q,
        all_chi_q=v.all_chi_q,
    )
