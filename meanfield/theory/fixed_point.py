"""Fixed points of a block: q*, c*, the susceptibilities there, and the depth scales that follow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..blocks.activations import activations_of, hosted_block, sampled_block, with_activations
from ..blocks.block import Block, check_block, has_trait
from ..interface.arguments import variances
from ..interface.differentiation import is_zero, no_tangent, partial_jvp
from ..interface.labels import Phase, Status
from ..interface.precision import cast, following, host_float64, in_float64, is_traced
from ..interface.result import Result
from ..solvers.coupled_state import (
    has_more_state,
    next_state,
    padded,
    pairs_apart,
    settle,
    slowest,
    tangent,
    uncorrelated,
)
from ..solvers.fixed_gap import fixed_gap, noisy_gap
from ..solvers.fixed_variance import Variances, phase_of, solve_variance

_CONVERGED, _ZERO, _INVARIANT = Status.CONVERGED.code, Status.ZERO.code, Status.SCALE_INVARIANT.code


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class FixedPoint(Result):
    """What `fixed_point` returns; every field a scalar, all_q and all_chi_q of shape (5,).

    q_star, c_star, one_minus_c_star : where the variance and correlation maps end
    chi_1, chi_1_minus_1             : perpendicular susceptibility, what gradients see; slope of the c-map at c = 1
    chi_c                            : the same at c*
    chi_q                            : dq'/dq at q*, the parallel susceptibility
    xi_c, xi_q, xi_grad              : -1/ln chi_c, -1/ln|chi_q|, -1/ln chi_1, in layers; xi_grad < 0 where they grow
    phase, status                    : see `Phase`, `Status`
    q_error                          : bound on |q_star - exact|
    all_q, all_chi_q                 : every fixed point of the variance map, ascending, NaN-padded
    """

    q_star: Any
    c_star: Any
    one_minus_c_star: Any
    chi_1: Any
    chi_1_minus_1: Any
    chi_c: Any
    chi_q: Any
    xi_c: Any
    xi_q: Any
    xi_grad: Any
    phase: Phase
    status: Status
    q_error: Any
    all_q: Any
    all_chi_q: Any


def fixed_point(block: Block, q0: Any = 1.0) -> FixedPoint:
    """The fixed point that a block's iteration reaches from variance q0, with both susceptibilities.

    q* = V(q*), chi_1 = d gap'/d gap at gap 0, c* the stable fixed point of the correlation map (Poole et al. 2016),
    xi = -1/ln chi (Schoenholz et al. 2017). For an MLP chi_1 = sigma_w^2 E[phi'^2]. Differentiable in every leaf of the
    block, under jit and vmap. Where a block leaves equal inputs apart (dropout, noise), c* < 1 in every phase, chi_c is
    the slope at c*, and chi_1, which says the phase, is what a gradient sees. Blocks that couple a batch or tokens are
    followed by iteration; all_q then lists the fixed point reached, and chi_q is their slowest decay.

    Raises InputError for an illegal sigma or q0; where the theory defines no number it is
    NaN and `status` says why. Float64 on the host: q* to 1e-12 relative, or what its conditioning
    2^-52 / |1 - chi_q| allows.

    >>> import meanfield as mf
    >>> point = mf.fixed_point(mf.MLP("tanh", sigma_w=2**0.5, sigma_b=0.05**0.5))
    >>> print(f"{point.q_star:.6f} {point.c_star:.6f} {point.xi_c:.2f} {point.phase}")
    0.721762 0.744082 25.21 chaotic
    """
    check_block(block)
    variances("q0", q0, single=True)
    if is_traced((block, q0)):
        return _differentiable(*following((block, q0)))
    return _by_state(block, q0) if has_more_state(block) else _on_host(*cast((block, q0), np.float64))


def fixed_variance(block: Block, q0: Any = 1.0) -> Variances:
    """The half of `fixed_point` that one input decides, for what needs no c*: a fraction of the work."""
    if is_traced((block, q0)):
        return _variance(sampled_block(block), q0)
    return _variance(hosted_block(block), q0)


def solve(block: Block, q0: Array) -> FixedPoint:
    """`fixed_point` in the arguments' own dtype, without checks."""
    if has_more_state(block):
        return solve_by_state(block, jnp.asarray(q0))
    return solve_correlation(block, solve_variance(sampled_block(block), jnp.asarray(q0)))


def depth_scale(chi: Array) -> Array:
    """-1/ln|chi|, in layers: 0 at chi = 0, inf at |chi| = 1, negative above, NaN where chi is infinite."""
    size = jnp.abs(chi)
    positive = jnp.where(size > 0, size, 1.0)
    # log1p keeps the digits of chi near 1; one of it serves both sides.
    near = positive > 0.5
    log = jnp.where(near, 1.0, -1.0) * jnp.log1p(jnp.where(near, positive, 1 / positive) - 1)
    scale = -1 / jnp.where(log == 0, 1.0, log)
    return jnp.where(
        size == 0, 0.0, jnp.where((log == 0) & ~jnp.isnan(size), jnp.inf, jnp.where(jnp.isfinite(size), scale, jnp.nan))
    )


def solve_correlation(block: Block, v: Variances, start: Array | None = None) -> FixedPoint:
    """c* and what follows from it; `start` is a first guess of sqrt(1 - c*), 1 if None."""
    e, chi_c = _fixed_pair(block, v, start)
    return assemble(v, e, chi_c)


def _fixed_pair(block: Block, v: Variances, start: Array | None = None) -> tuple[Array, Array]:
    """1 - c* and chi_c."""
    if has_trait(block, "per_input_noise"):
        gap, chi_c = noisy_gap(block, v.q, None if start is None else v.q * start**2)
    else:
        gap, chi_c = fixed_gap(block, v.q, v.chi_1, v.chaotic, start)
    return gap / jnp.where(v.q > 0, v.q, 1.0), chi_c


@in_float64
def _on_host(block: Block, q0: np.ndarray) -> FixedPoint:
    """`fixed_point` by NumPy: q* first, then c* from a rough one."""
    v, start = _halves(block, q0)
    return _correlation(hosted_block(block), v, start)


def _halves(block: Block, q0: np.ndarray) -> tuple[Variances, np.ndarray]:
    v, start = _variance(hosted_block(block), q0), np.float64(1.0)
    if v.chaotic or has_trait(block, "per_input_noise"):
        e = _correlation(hosted_block(block, rough=True), v, start).one_minus_c_star
        # Where c* is small 0 may be the root itself.
        start = np.sqrt(e) if 0 < e < 0.5 else start
    return v, start


def solve_by_state(block: Block, q0: Array) -> FixedPoint:
    """`fixed_point` of a block whose state is more than a variance, in the arguments' own dtype."""
    q0 = jnp.asarray(q0)
    state, status = settle(block, q0)
    known = (status == _CONVERGED) | (status == _INVARIANT)
    state = jnp.where(known, state, jnp.where(status == _ZERO, 0.0, uncorrelated(jnp.ones_like(q0))))
    chi_1 = tangent(block, state)
    flow = jax.jacfwd(partial(next_state, block))(state)
    # The mean over the channels follows at once; variance and members decay together.
    chi_q = slowest(flow[:2, :2])
    eps = jnp.finfo(q0.dtype).eps
    error = jnp.where(known, 64 * eps * state[0] / jnp.maximum(jnp.abs(1 - chi_q), eps), 0.0)
    phase = phase_of(chi_1, jnp.zeros_like(chi_1), status, known | (status == _ZERO))
    chaotic = known & (phase == Phase.CHAOTIC.code)
    q_star = jnp.where(status == Status.DIVERGES.code, jnp.inf, state[0])
    gap, chi_c = pairs_apart(block, state, chaotic, chi_1)
    codes = (code.astype(jnp.int8) for code in (status, phase))
    every = padded(jnp.where(known, state[0], jnp.nan)), padded(jnp.where(known, chi_q, jnp.nan))
    v = Variances(q_star, state[0], *codes, chaotic, chi_1, chi_q, error, *every)
    return assemble(v, gap / jnp.where(state[0] > 0, state[0], 1.0), chi_c)


def assemble(v: Variances, e: Array, chi_c: Array) -> FixedPoint:
    """Every field, NaN where the theory defines no number."""
    known = (v.status == _CONVERGED) | (v.status == _ZERO) | (v.status == _INVARIANT)
    pair = known & (v.status != _ZERO)
    invariant = v.status == _INVARIANT

    def where(condition: Array, value: Array) -> Array:
        return jnp.where(condition, value, jnp.nan)

    e = where(pair, e)
    # c* is stable: a slope above 1 there is one of rounding, and 1/ln of it says how long the scale is at least.
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


_variance, _correlation = (host_float64(part, compiled=False) for part in (solve_variance, solve_correlation))
_by_state, _compiled = host_float64(solve_by_state), jax.jit(solve)


@jax.custom_jvp
def _differentiable(block: Block, q0: Array) -> FixedPoint:
    return _compiled(block, q0)


@partial(_differentiable.defjvp, symbolic_zeros=True)
def _fixed_point_jvp(primals: tuple, tangents: tuple) -> tuple[FixedPoint, FixedPoint]:
    """Outside jit, where the block is known, values and slopes are the host's; else those of the compiled program."""
    block, q0 = primals
    if is_traced(primals) or not _host_has_slopes(block, tangents):
        return _compiled(*primals), partial_jvp(_compiled, primals, tangents)
    moving = [t for t in _flat(tangents[0]) if not is_zero(t)]
    chosen = [i for i, t in enumerate(_flat(tangents[0])) if not is_zero(t)]
    value, slopes = _slopes_on_host(*cast(primals, np.float64), chosen)
    dtype = jnp.result_type(q0)
    value = jax.tree.map(lambda a: jnp.asarray(a, dtype if a.dtype == np.float64 else a.dtype), value)
    moved = jax.tree.map(no_tangent, value)
    for slope, t in zip(slopes, moving, strict=True):
        moved = jax.tree.map(partial(_added, t), moved, slope)
    return value, moved


def _added(t: Array, total: Array, slope: np.ndarray | None) -> Array:
    return total if slope is None else total + slope.astype(total.dtype) * t


def _host_has_slopes(block: Block, tangents: tuple) -> bool:
    """Whether what moves are leaves of blocks, or of activations with closed forms, and one state is a variance."""
    by_quadrature = [phi for phi in activations_of(tangents[0]) if phi.closed is None]
    steps = any(phi.has_steps for phi in by_quadrature)
    return is_zero(tangents[1]) and all(map(is_zero, _flat(by_quadrature))) and not (steps or has_more_state(block))


def _flat(tangents: Any) -> list:
    return jax.tree.leaves(tangents, is_leaf=is_zero)


@in_float64
def _slopes_on_host(block: Block, q0: np.ndarray, chosen: list[int]) -> tuple[FixedPoint, list[FixedPoint]]:
    """`fixed_point` and its derivatives in some leaves of the block, of which the numbers are given."""
    start, answered = _halves(block, q0)[1], hosted_block(block)
    leaves, tree = jax.tree.flatten(block)
    found = []
    for which in chosen:
        direction = jax.tree.unflatten(tree, [np.full_like(leaf, i == which) for i, leaf in enumerate(leaves)])
        value, slope = _slope(answered, with_activations(direction, activations_of(answered)), q0, start)
        found.append(slope)
    return value, found


@partial(host_float64, compiled=False)
def _slope(block: Block, direction: Block, q0: Array, start: Array) -> tuple[FixedPoint, FixedPoint]:
    """`fixed_point` and its derivative in one direction; None for what has none."""

    def at(block: Block) -> FixedPoint:
        return solve_correlation(block, solve_variance(block, q0), start)

    towards = jax.tree.map(lambda a, d: d if jnp.issubdtype(a.dtype, jnp.inexact) else no_tangent(a), block, direction)
    value, slope = jax.jvp(at, (block,), (towards,))
    return value, jax.tree.map(lambda a, d: d if jnp.issubdtype(a.dtype, jnp.inexact) else None, value, slope)
