"""Fixed points of a block: q*, c*, the susceptibilities there, and the depth scales that follow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..errors import InputError
from .block import Block, alone, check_block, holds
from .correlation import fixed_gap, noisy_gap
from .kernel import Kernel
from .precision import host_float64, is_traced
from .result import Result
from .roots import attach, bracketed_newton, brackets, significant_signs
from .state import germ, has_more_state, next_state, padded, pairs_apart, settle, slowest, uncorrelated
from .status import Phase, Status

_CONVERGED, _ZERO, _INVARIANT, _DIVERGES, _CYCLES = range(5)
_SETTLING = 64
_TOP = 1e16  # where the scan for fixed points ends


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
    if not is_traced(q0) and not (np.ndim(q0) == 0 and np.isfinite(q0) and q0 >= 0):
        raise InputError(f"q0={q0} must be a finite variance >= 0")
    if has_more_state(block):
        return _by_state(block, q0)
    # Three programs, of which the second is the same for all activations.
    return _correlation(block, fixed_variance(block, q0))


def fixed_variance(block: Block, q0: Any = 1.0) -> Variances:
    """The half of `fixed_point` that one input decides, for what needs no c*: a fraction of the work."""
    return _variance(_alone(block), q0)


def variance(block: Block, q: Array) -> Array:
    """V(q): the variance one block later; of an input with uncorrelated members where the block couples them."""
    if holds(block, "couples"):
        return next_state(block, uncorrelated(q))[0]
    return block(Kernel.single(q)).q1


def chi_perpendicular(block: Block, q: Array) -> Array:
    """d gap'/d gap at gap 0 and variance q."""
    return block(Kernel.coincident(q)).gap


def scan_grid(dtype: Any) -> np.ndarray:
    """The variances at which V(q) - q is looked at: twenty a decade where fixed points are, four elsewhere."""
    low = -28 if dtype == np.float64 else -12
    coarse = np.arange(low, -8, 0.25), np.arange(-8, 10, 0.05), np.arange(10, 16.01, 0.25)
    return 10.0 ** np.concatenate(coarse)


class Variances(NamedTuple):
    """The variance half of a fixed point: everything that one input decides."""

    q_star: Array
    q: Array  # q_star where there is one, 1 elsewhere, so that no NaN enters a derivative
    status: Array
    phase: Array
    chaotic: Array  # a finite fixed point where nearby inputs separate
    chi_1: Array
    chi_q: Array
    q_error: Array
    all_q: Array
    all_chi_q: Array


def solve(block: Block, q0: Array) -> FixedPoint:
    """`fixed_point` in the arguments' own dtype, without checks."""
    if has_more_state(block):
        return solve_by_state(block, jnp.asarray(q0))
    return solve_correlation(block, solve_variance(alone(block), jnp.asarray(q0)))


def solve_variance(block: Block, q0: Array) -> Variances:
    """q*, its status, and the susceptibilities there, of a block that may be `alone`."""
    q0 = lax.stop_gradient(q0)
    settled = _settle(block, q0)
    scan, roots = _all_roots(block, q0.dtype)
    roots = jax.vmap(lambda root: attach(_excess, root, block))(roots)
    q_star, status = _reached(q0, settled, roots, scan)
    finite = (status == _CONVERGED) | (status == _ZERO) | (status == _INVARIANT)
    q = jnp.where(finite, q_star, 1.0)
    missing = jnp.isnan(roots)
    here = jax.vmap(partial(_portrait, block))(jnp.append(jnp.where(missing, 1.0, roots), q))
    chi_1, chi_1_slope, chi_q, error = (values[-1] for values in here)
    # Where V(0) = 0 both slopes have one limit, the mean of the squared one-sided slopes of what is next to 0.
    chi_q = jnp.where(status == _ZERO, chi_1, chi_q)
    status = jnp.where((status == _CONVERGED) & (chi_q < -1) & (jnp.abs(settled.q - q) > 1e-3 * q), _CYCLES, status)
    known = finite & (status != _CYCLES)
    q_error = error / jnp.maximum(jnp.abs(1 - chi_q), jnp.finfo(q.dtype).eps)
    q_error = jnp.where((status == _INVARIANT) | (status == _ZERO), 0.0, q_error)
    phase = _phase(chi_1, chi_1_slope * q_error, status, known)
    chaotic = (phase == 2) & ((status == _CONVERGED) | (status == _INVARIANT))
    all_chi_q = jnp.where(missing, jnp.nan, here.chi_q[:-1])
    codes = (code.astype(jnp.int8) for code in (status, phase))
    return Variances(q_star, q, *codes, chaotic, chi_1, chi_q, q_error, roots, all_chi_q)


class _Portrait(NamedTuple):
    chi_1: Array
    chi_1_slope: Array  # d chi_1 / dq
    chi_q: Array
    error: Array  # of V(q)


def _portrait(block: Block, q: Array) -> _Portrait:
    """What one evaluation of the block tells about a variance q."""

    def image(q: Array) -> tuple[tuple[Array, Array], Array]:
        after = block(Kernel.coincident(q))
        return (after.q1, after.gap), after.error

    (_, chi_1), (chi_q, chi_1_slope), error = jax.jvp(image, (q,), (jnp.ones_like(q),), has_aux=True)
    return _Portrait(chi_1, chi_1_slope, chi_q, error)


class _Settled(NamedTuple):
    q: Array
    image: Array  # V(q)


def _settle(block: Block, q0: Array) -> _Settled:
    """q after a good number of layers from q0; the direction rule of `_reached` does the rest."""
    held = lax.stop_gradient(block)

    def step(state: tuple) -> tuple:
        i, _, image = state
        q = jnp.minimum(image, _TOP)
        return i + 1, q, variance(held, q)

    def unfinished(state: tuple) -> Array:
        i, q, image = state
        return (i < _SETTLING) & ((i == 0) | (jnp.abs(image - q) > 4 * jnp.finfo(q.dtype).eps * q))

    return _Settled(*lax.while_loop(unfinished, step, (jnp.int32(0), q0, q0))[1:])


class _Scan(NamedTuple):
    signs: Array  # of V(q) - q on the scan grid
    at_zero: Array  # V(0)


def _excess(q: Array, block: Block) -> Array:
    return variance(block, q) - q


def _all_roots(block: Block, dtype: Any) -> tuple[_Scan, Array]:
    """Every fixed point of V in the range of the grid, ascending, NaN-padded; and the scan that found them."""
    held = lax.stop_gradient(block)
    grid = jnp.asarray(scan_grid(dtype), dtype)
    images = jax.vmap(lambda q: held(Kernel.coincident(q)))(jnp.append(grid, 0.0))
    image = images.q1[:-1]
    # Near q = 0 the slope there decides what rounding hides: relu6 at sigma_w^2 = 2 (1 + 2^-52) has a fixed point.
    below = jnp.where(images.q1[-1] > 0, 1.0, jnp.sign(images.gap[-1] - 1))
    signs = significant_signs(image - grid, 64 * jnp.finfo(dtype).eps * grid, below)

    def log_excess(s: Array) -> tuple[Array, Array]:
        q = jnp.exp(s)
        image, slope = jax.vmap(partial(_value_and_slope, held))(q)
        return (image - q) / q, slope - image / q

    roots = jnp.exp(bracketed_newton(log_excess, brackets(signs, jnp.log(grid))))
    # log q has |log q| times fewer digits than q: one step in q itself.
    image, slope = jax.vmap(partial(_value_and_slope, held))(roots)
    moved = roots - jnp.where(slope != 1, (image - roots) / jnp.where(slope != 1, slope - 1, 1.0), 0.0)
    # Where V becomes infinite V(q) - q changes its sign and has no root.
    return _Scan(signs, images.q1[-1]), jnp.where(jnp.abs(image - roots) <= 1e-3 * roots, moved, jnp.nan)


def _value_and_slope(block: Block, q: Array) -> tuple[Array, Array]:
    return jax.jvp(partial(variance, block), (q,), (jnp.ones_like(q),))


def _reached(q0: Array, settled: _Settled, roots: Array, scan: _Scan) -> tuple[Array, Array]:
    """The fixed point that the iteration ends at, and its status.

    After the first layers the iterate moves towards the nearest fixed point in the direction of V(q) - q, which is
    where a monotone V takes it; a V that falls spirals in around its only fixed point.
    """
    held = lax.stop_gradient(roots)
    eps = jnp.finfo(q0.dtype).eps
    q, excess = settled.q, settled.image - settled.q
    at_root = jnp.abs(held - q) <= 1e-6 * held
    up = jnp.where(excess <= 0, held < q, held > q)
    candidate = at_root | up
    distance = jnp.where(candidate, jnp.abs(jnp.log(held / jnp.maximum(q, 1e-30))), jnp.inf)
    distance = jnp.where(at_root, 0.0, distance)
    best = jnp.argmin(jnp.where(jnp.isnan(distance), jnp.inf, distance))
    exists = jnp.any(candidate)
    invariant = jnp.all(scan.signs == 0)
    resting = (scan.at_zero == 0) & ((excess <= 0) | (q < 1e-26))
    stuck = jnp.abs(excess) <= 4 * eps * q
    grows = ~jnp.isfinite(excess) | (excess > 0)
    status = jnp.where(exists, _CONVERGED, jnp.where(grows, _DIVERGES, jnp.where(resting | stuck, _ZERO, _DIVERGES)))
    status = jnp.where(q == 0, _ZERO, status)
    status = jnp.where(invariant & (q0 > 0), _INVARIANT, status)
    q_star = jnp.select(
        [status == _CONVERGED, status == _ZERO, status == _INVARIANT],
        [roots[best], jnp.zeros_like(q0), q0],
        jnp.inf,
    )
    return q_star, status


def _phase(chi_1: Array, moved: Array, status: Array, known: Array) -> Array:
    """By the sign of chi_1 - 1, critical where that is within its own error; `moved` is what q's error does to it."""
    moved = jnp.where(jnp.isfinite(moved), moved, 0.0)
    error = 8 * jnp.finfo(chi_1.dtype).eps * (1 + jnp.abs(chi_1)) + jnp.abs(moved)
    by_chi = jnp.where((jnp.abs(chi_1 - 1) <= error) & jnp.isfinite(chi_1), 1, jnp.where(chi_1 < 1, 0, 2))
    return jnp.where(known, by_chi, jnp.where(status == _DIVERGES, 3, 4))


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


def solve_correlation(block: Block, v: Variances) -> FixedPoint:
    """c* and what follows from it."""
    if holds(block, "noisy"):
        gap, chi_c = noisy_gap(block, v.q)
    else:
        gap, chi_c = fixed_gap(block, v.q, v.chi_1, v.chaotic)
    return assemble(v, gap / jnp.where(v.q > 0, v.q, 1.0), chi_c)


def solve_by_state(block: Block, q0: Array) -> FixedPoint:
    """`fixed_point` of a block whose state is more than a variance, in the arguments' own dtype."""
    q0 = jnp.asarray(q0)
    state, status = settle(block, q0)
    known = (status == _CONVERGED) | (status == _INVARIANT)
    state = jnp.where(known, state, jnp.where(status == _ZERO, 0.0, uncorrelated(jnp.ones_like(q0))))
    chi_1 = germ(block, state)
    flow = jax.jacfwd(partial(next_state, block))(state)
    # The mean over the channels follows at once; variance and members decay together.
    chi_q = slowest(flow[:2, :2])
    eps = jnp.finfo(q0.dtype).eps
    error = jnp.where(known, 64 * eps * state[0] / jnp.maximum(jnp.abs(1 - chi_q), eps), 0.0)
    phase = _phase(chi_1, jnp.zeros_like(chi_1), status, known | (status == _ZERO))
    chaotic = known & (phase == 2)
    q_star = jnp.where(known | (status == _ZERO), state[0], jnp.where(status == _DIVERGES, jnp.inf, state[0]))
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
        q_star=where(v.status != _CYCLES, v.q_star),
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


_alone, _variance, _correlation = (host_float64(part) for part in (alone, solve_variance, solve_correlation))
_by_state = host_float64(solve_by_state)
