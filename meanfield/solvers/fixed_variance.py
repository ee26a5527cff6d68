"""Fixed points of the variance map: all of them, and the one that the iteration from q0 reaches."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.activations import has_surrogate
from ..blocks.block import Block, has_trait, repeated
from ..blocks.kernel import Kernel
from ..interface.labels import Phase, Status
from .coupled_state import next_state, uncorrelated
from .roots import attach, bracketed_newton, brackets, significant_signs

_CONVERGED, _ZERO, _INVARIANT, _DIVERGES, _CYCLES = (
    member.code for member in (Status.CONVERGED, Status.ZERO, Status.SCALE_INVARIANT, Status.DIVERGES, Status.CYCLES)
)
_SETTLING = 64
_TOP = 1e16  # where the scan for fixed points ends


def variance(block: Block, q: Array) -> Array:
    """V(q): the variance one block later, for uncorrelated members if the block couples them."""
    if has_trait(block, "couples_members"):
        return next_state(block, uncorrelated(q))[0]
    return block(repeated(block, Kernel.single(q))).q1


def chi_perpendicular(block: Block, q: Array) -> Array:
    """d gap'/d gap at gap 0 and variance q, of gradients."""
    return block(repeated(block, Kernel.coincident(q).replace(of_gradient=True))).gap


def scan_grid(dtype: Any) -> np.ndarray:
    """The scan grid for V(q) - q: twenty points per decade where fixed points are likely, four elsewhere."""
    low = -28 if dtype == np.float64 else -12
    coarse = np.arange(low, -8, 0.25), np.arange(-8, 10, 0.05), np.arange(10, 16.01, 0.25)
    return 10.0 ** np.concatenate(coarse)


class Variances(NamedTuple):
    """The variance half of a fixed point: everything determined by a single input."""

    q_star: Array
    q: Array  # q_star if finite, else 1, so that no NaN enters a derivative
    status: Array
    phase: Array
    chaotic: Array  # a finite fixed point where nearby inputs separate
    chi_1: Array
    slope_1: Array  # of the correlation map at 1; chi_1 unless gradients see a surrogate
    chi_q: Array
    q_error: Array
    all_q: Array
    all_chi_q: Array


def solve_variance(block: Block, q0: Array) -> Variances:
    """q*, its status, and the susceptibilities there, of a block that may be `alone`."""
    q0 = lax.stop_gradient(q0)
    converged = _settle(block, q0)
    scan, roots = _all_roots(block, q0.dtype)
    roots = jax.vmap(lambda root: attach(_excess, root, block))(roots)
    q_star, status = _reached(q0, converged, roots, scan)
    finite = (status == _CONVERGED) | (status == _ZERO) | (status == _INVARIANT)
    q = jnp.where(finite, q_star, 1.0)
    missing = jnp.isnan(roots)
    here = jax.vmap(partial(_evaluate_at, block))(jnp.append(jnp.where(missing, 1.0, roots), q))
    slope_1, moved, chi_q, error, slope_error = (values[-1] for values in here)
    chi_1 = chi_perpendicular(block, q) if has_surrogate(block) else slope_1
    # If V(0) = 0 both slopes have the same limit, the mean of the squared one-sided slopes at 0.
    chi_q = jnp.where(status == _ZERO, slope_1, chi_q)
    status = jnp.where((status == _CONVERGED) & (chi_q < -1) & (jnp.abs(converged.q - q) > 1e-3 * q), _CYCLES, status)
    known = finite & (status != _CYCLES)
    q_error = error / jnp.maximum(jnp.abs(1 - chi_q), jnp.finfo(q.dtype).eps)
    q_error = jnp.where((status == _INVARIANT) | (status == _ZERO), 0.0, q_error)
    phase = phase_of(slope_1, moved * q_error, status, known, slope_error)
    chaotic = (phase == Phase.CHAOTIC.code) & ((status == _CONVERGED) | (status == _INVARIANT))
    all_chi_q = jnp.where(missing, jnp.nan, here.chi_q[:-1])
    status, phase = status.astype(jnp.int8), phase.astype(jnp.int8)
    return Variances(q_star, q, status, phase, chaotic, chi_1, slope_1, chi_q, q_error, roots, all_chi_q)


class _Portrait(NamedTuple):
    slope_1: Array
    moved: Array  # d slope_1 / dq
    chi_q: Array
    error: Array  # of V(q)
    slope_error: Array  # of slope_1


def _evaluate_at(block: Block, q: Array) -> _Portrait:
    """The result of one evaluation of the block at variance q."""

    def image(q: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        after = block(repeated(block, Kernel.coincident(q)))
        return (after.q1, after.gap), (after.error, jnp.asarray(after.gap_error, q.dtype))

    (_, slope_1), (chi_q, moved), errors = jax.jvp(image, (q,), (jnp.ones_like(q),), has_aux=True)
    return _Portrait(slope_1, moved, chi_q, *errors)


class _Settled(NamedTuple):
    q: Array
    image: Array  # V(q)


def _settle(block: Block, q0: Array) -> _Settled:
    """q many layers after q0; the direction rule of `_reached` does the rest."""
    frozen = lax.stop_gradient(block)

    def step(state: tuple) -> tuple:
        i, _, image = state
        q = jnp.minimum(image, _TOP)
        return i + 1, q, variance(frozen, q)

    def unfinished(state: tuple) -> Array:
        i, q, image = state
        return (i < _SETTLING) & ((i == 0) | (jnp.abs(image - q) > max(4 * jnp.finfo(q.dtype).eps, 1e-10) * q))

    return _Settled(*lax.while_loop(unfinished, step, (np.int32(0), q0, q0))[1:])


class _Scan(NamedTuple):
    signs: Array  # of V(q) - q on the scan grid
    at_zero: Array  # V(0)


def _excess(q: Array, block: Block) -> Array:
    return variance(block, q) - q


def _all_roots(block: Block, dtype: Any) -> tuple[_Scan, Array]:
    """Every fixed point of V in the range of the grid, ascending, NaN-padded; and the scan that found them."""
    frozen = lax.stop_gradient(block)
    grid = jnp.asarray(scan_grid(dtype), dtype)
    images = jax.vmap(lambda q: frozen(repeated(frozen, Kernel.coincident(q))))(jnp.append(grid, 0.0))
    image = images.q1[:-1]
    # Near q = 0 the slope there decides what rounding hides: relu6 at sigma_w^2 = 2 (1 + 2^-52) has a fixed point.
    below = jnp.where(images.q1[-1] > 0, 1.0, jnp.sign(images.gap[-1] - 1))
    signs = significant_signs(image - grid, 64 * jnp.finfo(dtype).eps * grid, below)

    def log_excess(s: Array) -> tuple[Array, Array]:
        q = jnp.exp(s)
        image, slope = jax.vmap(partial(_value_and_slope, frozen))(q)
        return (image - q) / q, slope - image / q

    roots = jnp.exp(bracketed_newton(log_excess, brackets(signs, jnp.log(grid))))
    # log q has |log q| times fewer digits than q: take one last step in q itself.
    image, slope = jax.vmap(partial(_value_and_slope, frozen))(roots)
    moved = roots - jnp.where(slope != 1, (image - roots) / jnp.where(slope != 1, slope - 1, 1.0), 0.0)
    # Where V becomes infinite, V(q) - q changes sign without a root.
    return _Scan(signs, images.q1[-1]), jnp.where(jnp.abs(image - roots) <= 1e-3 * roots, moved, jnp.nan)


def _value_and_slope(block: Block, q: Array) -> tuple[Array, Array]:
    return jax.jvp(partial(variance, block), (q,), (jnp.ones_like(q),))


def _reached(q0: Array, converged: _Settled, roots: Array, scan: _Scan) -> tuple[Array, Array]:
    """The fixed point that the iteration ends at, and its status.

    After the first layers the iterate moves towards the nearest fixed point in the direction of V(q) - q, which is
    where a monotone V takes it; a V that falls spirals in around its only fixed point.
    """
    frozen = lax.stop_gradient(roots)
    eps = jnp.finfo(q0.dtype).eps
    q, excess = converged.q, converged.image - converged.q
    at_root = jnp.abs(frozen - q) <= 1e-6 * frozen
    up = jnp.where(excess <= 0, frozen < q, frozen > q)
    candidate = at_root | up
    distance = jnp.where(candidate, jnp.abs(jnp.log(frozen / jnp.maximum(q, 1e-30))), jnp.inf)
    distance = jnp.where(at_root, 0.0, distance)
    best = jnp.argmin(jnp.where(jnp.isnan(distance), jnp.inf, distance))
    exists = jnp.any(candidate)
    invariant = jnp.all(scan.signs == 0)
    # A map that gives no number keeps no q.
    nothing = invariant & jnp.isnan(converged.image)
    resting = (scan.at_zero == 0) & ((excess <= 0) | (q < 1e-26))
    stuck = jnp.abs(excess) <= 4 * eps * q
    grows = ~jnp.isfinite(excess) | (excess > 0)
    status = jnp.where(exists, _CONVERGED, jnp.where(grows, _DIVERGES, jnp.where(resting | stuck, _ZERO, _DIVERGES)))
    status = jnp.where(q == 0, _ZERO, status)
    status = jnp.where(invariant & (q0 > 0), _INVARIANT, status)
    status = jnp.where(nothing, Status.NOT_CONVERGED.code, status)
    q_star = jnp.select(
        [status == _CONVERGED, status == _ZERO, status == _INVARIANT, nothing],
        [roots[best], jnp.zeros_like(q0), q0, jnp.nan],
        jnp.inf,
    )
    return q_star, status


def phase_of(chi_1: Array, moved: Array, status: Array, known: Array, own: Array | float = 0.0) -> Array:
    """By the sign of chi_1 - 1; critical if that is within a small error, undefined if within a large one.

    `moved` is the error inherited from q, `own` that of the quadrature.
    """
    moved, eps = jnp.where(jnp.isfinite(moved), moved, 0.0), jnp.finfo(chi_1.dtype).eps
    error = 8 * eps * (1 + jnp.abs(chi_1)) + jnp.abs(moved) + own
    by_sign = jnp.where(chi_1 < 1, Phase.ORDERED.code, Phase.CHAOTIC.code)
    within = jnp.where(error < max(1e-6, eps**0.5), Phase.CRITICAL.code, Phase.UNDEFINED.code)
    by_chi = jnp.where((jnp.abs(chi_1 - 1) <= error) & jnp.isfinite(chi_1), within, by_sign)
    without = jnp.where(status == _DIVERGES, Phase.UNBOUNDED.code, Phase.UNDEFINED.code)
    return jnp.where(known, by_chi, without)
