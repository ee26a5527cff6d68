"""Fixed points of blocks whose state is more than a variance: coupled batches or tokens, channel means.

A state is (q, within, m): variance, gap between two members of an input, mean over the channels. It is iterated, since
scanning three dimensions for every fixed point is not feasible; `all_q` lists the one reached.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.block import Block, Dense, Serial, has_trait, repeated
from ..blocks.convolution import Convolution
from ..blocks.kernel import Kernel
from ..interface.labels import Status
from .roots import MOST_ROOTS

_CONVERGED, _ZERO, _INVARIANT, _DIVERGES = (
    member.code for member in (Status.CONVERGED, Status.ZERO, Status.SCALE_INVARIANT, Status.DIVERGES)
)
_FIRST, _MOST = 64, 2048
_FAR = 10.0 ** np.arange(1, 9)


def has_more_state(block: Block) -> bool:
    """Whether a block's action on the variance depends on more than the variance."""
    if has_trait(block, "couples_members"):
        return True
    first = block.blocks[0] if isinstance(block, Serial) and block.blocks else block
    return not (leaves_gaussian(block) or isinstance(first, (Dense, Convolution)))


def leaves_gaussian(block: Block) -> bool:
    """Whether a block maps Gaussian pre-activations to Gaussian ones."""
    last = block
    while isinstance(last, Serial) and last.blocks:
        last = last.blocks[-1]
    if isinstance(last, (Dense, Convolution)):
        return True
    one = jnp.ones(())
    start = Kernel(one, one, gap_within=one, equal=True) if has_trait(block, "couples_members") else Kernel.single(one)
    return jax.eval_shape(block, start).gaussian


def kernel_of(block: Block, state: Array, gap: Array | None = None, gap_across: Array | None = None) -> Kernel:
    """The kernel of a state (3,), as a pair if a gap is given."""
    q, gap_within, m = state
    members = {"gap_within": gap_within, "gap_across": gap_across} if has_trait(block, "couples_members") else {}
    kernel = Kernel(q, q, gap, jnp.zeros_like(q), m, m, equal=True, gaussian=leaves_gaussian(block), **members)
    return repeated(block, kernel)


def next_state(block: Block, state: Array) -> Array:
    """The state one block later."""
    after = block(kernel_of(block, state))
    return jnp.stack([after.q1, after.q1 if after.gap_within is None else after.gap_within, after.m1])


def uncorrelated(q: Array) -> Array:
    """The state of an input of variance q whose members are uncorrelated and whose channels have no mean."""
    return jnp.stack([q, q, jnp.zeros_like(q)])


def chi_at_state(block: Block, state: Array, of_gradient: bool = True) -> Array:
    """chi_1 at a state: the factor of a tangent between two replicas of the input, the same for all members."""
    one, none = jnp.ones_like(state[0]), jnp.zeros_like(state[0])
    return block(kernel_of(block, state, one, none).replace(infinitesimal=True, of_gradient=of_gradient)).gap


def _iterate(
    f: Callable[[Array], Array], start: Array, most: int | Array, size: Callable[[Array], Array] = jnp.abs
) -> tuple[Array, Array]:
    """x after at most `most` steps of x -> f(x), and whether it rests, to the rounding of numbers of that size."""

    def step(carry: tuple) -> tuple:
        i, _, x = carry
        return i + 1, x, f(x)

    def going(carry: tuple) -> Array:
        i, before, x = carry
        moves = (i == 0) | ~_rests(before, x, size(x))
        return (i < most) & moves & jnp.all(jnp.isfinite(x)) & (jnp.max(jnp.abs(x)) < 1e30)

    _, before, x = lax.while_loop(going, step, (np.int32(0), start, start))
    return x, _rests(before, x, size(x))


def _rests(before: Array, x: Array, size: Array) -> Array:
    return jnp.all(jnp.abs(x - before) <= 4 * jnp.finfo(x.dtype).eps * size)


def _iterate_faster(f: Callable[[Array], Array], start: Array, most: int | Array) -> Array:
    """x after at most `most` steps of x -> f(x), of which each third is to where the last two lead (Aitken 1926).

    Near criticality the slowest direction has a slope of almost 1, which alone takes thousands of steps. On a convex
    map, as the correlation's is, the longer steps do not pass its first fixed point. One outside of (0, start] is left.
    """

    def step(carry: tuple) -> tuple:
        i, _, x0, x1 = carry
        x2 = f(x1)
        last, now = x1 - x0, x2 - x1
        square = last @ last
        slope = jnp.where(square > 0, last @ now, 0.0) / jnp.where(square > 0, square, 1.0)
        ahead = x2 + now * slope / jnp.where(slope < 1, 1 - slope, 1.0)
        taken = (i % 3 == 2) & (slope < 1) & jnp.all((ahead > 0) & (ahead <= start))
        return i + 1, _rests(x1, x2, jnp.abs(x2)), x1, jnp.where(taken, ahead, x2)

    def going(carry: tuple) -> Array:
        i, rests, _, x = carry
        return (i < most) & ~rests & jnp.all(jnp.isfinite(x))

    return lax.while_loop(going, step, (np.int32(0), jnp.zeros((), bool), start, start))[3]


def _size(state: Array) -> Array:
    """What rounding in a state is relative to. A mean is a cancelled sum: one of 1e-18 beside a variance of 1 is 0."""
    q, gap_within, _ = jnp.abs(state)
    return jnp.stack([q, gap_within, jnp.sqrt(q)])


def settle(block: Block, q0: Array) -> tuple[Array, Array]:
    """The state that iteration from uncorrelated members of variance q0 reaches, and its status code.

    Differentiable by one Newton step of the implicit equation.
    """
    frozen = lax.stop_gradient(block)
    f = partial(next_state, frozen)
    state, rests = _iterate(f, uncorrelated(lax.stop_gradient(q0)), _FIRST, _size)
    upward = f(state)[0] - state[0]
    # Is there no fixed point above on the way up, or below on the way down?
    ladder = jnp.where(upward > 0, _FAR, 1 / _FAR).astype(state.dtype)
    scale = jnp.stack([ladder, ladder, jnp.sqrt(ladder)], 1)
    beyond = jax.vmap(lambda s: (f(s * state)[0] - s[0] * state[0]) / s[0])(scale)
    noise = 64 * jnp.finfo(state.dtype).eps * state[0]
    free = ~rests & jnp.all(beyond * jnp.sign(upward) > -noise)
    state, rests = _iterate(f, state, jnp.where(free | rests, 0, _MOST), _size)
    rests = rests & ~free
    invariant = rests & jnp.all(jnp.abs(beyond) <= noise) & (state[0] > 0)
    finite = jnp.all(jnp.isfinite(state))
    status = jnp.where(rests, jnp.where(state[0] == 0, _ZERO, _CONVERGED), Status.NOT_CONVERGED.code)
    status = jnp.where(free, jnp.where(upward > 0, _DIVERGES, _ZERO), status)
    status = jnp.where(invariant, _INVARIANT, jnp.where(finite, status, _DIVERGES))
    state = jnp.where(status == _ZERO, 0.0, state)
    known = (status == _CONVERGED) | (status == _INVARIANT)
    safe = jnp.where(known, state, uncorrelated(jnp.ones_like(state[0])))
    return jnp.where(status == _DIVERGES, jnp.inf, _polished(block, safe, status == _CONVERGED, state)), status


def _polished(block: Block, safe: Array, wanted: Array, state: Array) -> Array:
    safe = lax.stop_gradient(safe)
    slopes, after = _slopes_and_value(partial(next_state, block), safe)
    system = jnp.eye(3, dtype=safe.dtype) - lax.stop_gradient(slopes)
    usable = wanted & (jnp.abs(jnp.linalg.det(system)) > 1e-12) & jnp.all(jnp.isfinite(system))
    system = jnp.where(usable, system, jnp.eye(3, dtype=safe.dtype))
    return jnp.where(usable, safe + jnp.linalg.solve(system, after - safe), state)


def _slopes_and_value(f: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """The Jacobian of f and f itself at x, from one program."""
    return jax.jacfwd(lambda x: (f(x),) * 2, has_aux=True)(x)


def slowest(matrix: Array) -> Array:
    """The eigenvalue of largest modulus of a real 2 x 2 matrix; its modulus where the two are complex."""
    half, det = (matrix[0, 0] + matrix[1, 1]) / 2, matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    square = half**2 - det
    spread = jnp.sqrt(jnp.where(square > 0, square, 1.0))
    real = half + jnp.where(half < 0, -1.0, 1.0) * spread
    return jnp.where(square > 0, real, jnp.where(square == 0, half, jnp.sqrt(jnp.abs(det))))


def pairs_apart(block: Block, state: Array, chaotic: Array, chi_1: Array) -> tuple[Array, Array]:
    """The fixed gap of two inputs at a state, and chi_c there: the slowest decay of (gap, gap_across) towards it.

    Equal inputs stay equal in the ordered phase, unless a block draws noise for each of them.
    """
    apart = chaotic | has_trait(block, "per_input_noise")

    def f(block: Block, state: Array, pair: Array) -> Array:
        after = block(kernel_of(block, state, pair[0], pair[1]))
        return jnp.stack([after.gap, after.gap if after.gap_across is None else after.gap_across])

    frozen = partial(f, lax.stop_gradient(block), lax.stop_gradient(state))
    uncorrelated_pair = lax.stop_gradient(jnp.stack([state[0], state[0]]))
    pair = _iterate_faster(frozen, uncorrelated_pair, jnp.where(apart, _MOST, 0))
    slopes, after = _slopes_and_value(partial(f, block, state), pair)
    system = jnp.eye(2, dtype=pair.dtype) - lax.stop_gradient(slopes)
    usable = jnp.all(jnp.isfinite(system)) & (jnp.abs(jnp.linalg.det(system)) > 1e-12)
    system = jnp.where(usable, system, jnp.eye(2, dtype=pair.dtype))
    pair = pair + jnp.linalg.solve(system, after - pair)
    chi_c = slowest(jax.jacfwd(partial(f, block, state))(pair))
    # Where a block maps pairs to NaN there is no slope either.
    chi_c = jnp.where(jnp.isnan(pair[0]), jnp.nan, chi_c)
    gap = jnp.minimum(pair[0], state[0])
    return jnp.where(apart, gap, 0.0), jnp.where(apart, chi_c, chi_1)


def padded(value: Array) -> Array:
    """A value followed by NaN up to MOST_ROOTS entries."""
    return jnp.where(jnp.arange(MOST_ROOTS) == 0, value, jnp.nan)
