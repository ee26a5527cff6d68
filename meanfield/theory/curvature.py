"""Second order in the distance of a pair: the curvature of the correlation map at c = 1, and of curves of inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.block import Activate, Block, Dense, Serial, check_block
from ..errors import InputError
from ..gaussian.moments import moments
from ..gaussian.second_derivative import second_derivative
from ..interface.arguments import MOST_LAYERS, between, variances, whole
from ..interface.labels import Phase
from ..interface.numbers import Numbers
from ..interface.precision import host_float64
from ..interface.result import Result
from ..interface.settings import in_own_settings
from .fixed_point import fixed_variance


class ClosePairExpansion(NamedTuple):
    """A block at a close pair of one variance: gap -> linear gap - root gap^(3/2) - square gap^2 / 2 + ...

    `variance` is that after the block. `square` is inf where `root` is not 0: the second derivative diverges.
    """

    variance: Array
    linear: Array
    root: Array
    square: Array


@singledispatch
def close_pair_expansion(block: Block, q: Array) -> ClosePairExpansion:
    """The `ClosePairExpansion` of a block at variance q.

    A new kind of block registers its own with `close_pair_expansion.register`.
    """
    raise InputError(f"block={block!r}: second-order quantities are known for activations and Dense layers in series")


@close_pair_expansion.register
def _(block: Activate, q: Array) -> ClosePairExpansion:
    first, bend = moments(block.phi, q), second_derivative(block.phi, q)
    # The deltas of phi'' integrated twice in the gap: s^2 N(x0) / sqrt(4 pi gap) -> (4/3) gap^(3/2) of it.
    root = 2 / (3 * np.sqrt(np.pi)) * bend.kinks
    return ClosePairExpansion(first.second, first.slope, root, jnp.where(root > 0, jnp.inf, bend.smooth))


@close_pair_expansion.register
def _(block: Dense, q: Array) -> ClosePairExpansion:
    w_var = jnp.square(jnp.asarray(block.sigma_w, q.dtype))
    zero = jnp.zeros_like(q)
    return ClosePairExpansion(w_var * q + jnp.square(jnp.asarray(block.sigma_b, q.dtype)), w_var, zero, zero)


@close_pair_expansion.register
def _(block: Serial, q: Array) -> ClosePairExpansion:
    zero = jnp.zeros_like(q)
    total = ClosePairExpansion(q, jnp.ones_like(q), zero, zero)
    for part in block.blocks:
        total = _then(total, close_pair_expansion(part, total.variance))
    return total


def _then(first: ClosePairExpansion, second: ClosePairExpansion) -> ClosePairExpansion:
    root = second.linear * first.root + second.root * first.linear**1.5
    square = second.linear * _finite(first.square) + _finite(second.square) * first.linear**2
    return ClosePairExpansion(
        second.variance,
        second.linear * first.linear,
        root,
        jnp.where(jnp.isinf(first.square) | jnp.isinf(second.square), jnp.inf, square),
    )


def _finite(value: Array) -> Array:
    # Avoid 0 times inf for sigma_w = 0 after a kink, also in the derivative.
    return jnp.where(jnp.isinf(value), 0.0, value)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Curvature(Result):
    """The result of `curvature`; scalars. C is the correlation map at variance q, e = 1 - c.

    q            : the variance at which the map is taken
    slope        : C'(1); chi_1 where q is q*
    curvature    : C''(1), inf where phi has kinks
    three_halves : k of C(1 - e) = 1 - slope e + k e^(3/2) + ...; 0 without kinks
    critical     : whether q = V(q) and slope = 1, each to within its own rounding
    kappa        : lim (1 - c) l on the critical line, 2 / C''(1); NaN off it
    coefficient  : lim (1 - c) l^2 on the critical line, 4 / k^2; NaN off it
    """

    q: Numbers
    slope: Numbers
    curvature: Numbers
    three_halves: Numbers
    critical: Numbers
    kappa: Numbers
    coefficient: Numbers


@in_own_settings
def curvature(block: Block, q: Any = None) -> Curvature:
    """The curvature of the correlation map at c = 1, which sets how correlations approach 1 on the critical line.

    With q' = V(q), C''(1) = (q^2 / q') sigma_w^2 E[phi''^2] for an MLP: at q* (q=None) that is q* sigma_w^2 E[phi''^2].
    On the critical line 1 - c -> kappa / l, kappa = 2 / C''(1), for an activation without kinks (Hayou et al. 2019),
    inf for a linear one. A jump s of phi' at x0 makes phi'' a delta there and C''(1) infinite; instead
    C(1 - e) = 1 - C'(1) e + k e^(3/2), k = (q^(3/2) / q') sigma_w^2 (2 / (3 sqrt(pi))) sum s^2 N(x0; 0, q), and
    1 - c -> (4 / k^2) / l^2: 44.4132 / l^2 for ReLU. A kink of phi' alone (ELU) does not count. Where phi itself
    jumps (step, sign) C'(1) and C''(1) are inf and k is NaN: 1 - C starts with e^(1/2).

    NaN where q is 0 or q* is not a positive number. The limits are NaN off the critical line (`critical`), which
    `mf.critical` finds to the last digit. Differentiable in every leaf of the block. Raises InputError for an illegal
    block or q. Accurate to 1e-12 relative, and at q* to what q*'s conditioning allows.

    >>> import meanfield as mf
    >>> print(f"{mf.curvature(mf.MLP('relu', sigma_w=2**0.5)).coefficient:.4f}")
    44.4132
    >>> point = mf.critical("tanh", sigma_b=0.05**0.5)
    >>> print(f"{mf.curvature(mf.MLP('tanh', point.sigma_w, point.sigma_b)).kappa:.4f}")
    6.1711
    """
    check_block(block)
    if q is not None:
        return _curvature(block, variances("q", q, single=True), None)
    point = fixed_variance(block)
    return _curvature(block, point.q_star, point.phase)


@host_float64
def _curvature(block: Block, q: Any, phase: Any) -> Curvature:
    q = jnp.asarray(q)
    defined = (q > 0) & jnp.isfinite(q)
    safe = jnp.where(defined, q, 1.0)
    here = close_pair_expansion(block, safe)
    steps = jnp.isinf(here.linear)
    share = safe / jnp.where(here.variance > 0, here.variance, 1.0)
    slope, second = share * here.linear, share * safe * here.square
    root = share * jnp.sqrt(safe) * here.root
    if phase is None:
        near = 1e3 * jnp.finfo(q.dtype).eps
        critical = (jnp.abs(slope - 1) <= near) & (jnp.abs(share - 1) <= near)
    else:
        critical = phase == Phase.CRITICAL.code
    critical = critical & defined & ~steps
    nan = jnp.full_like(q, jnp.nan)

    def limit(above: float, below: Array) -> Array:
        bends = critical & (below > 0)
        return jnp.where(critical, jnp.where(bends, above / jnp.where(bends, below, 1.0), jnp.inf), nan)

    defined = defined & (here.variance > 0)
    return Curvature(
        q=q,
        slope=jnp.where(defined, slope, nan),
        curvature=jnp.where(defined, jnp.where(steps, jnp.inf, second), nan),
        three_halves=jnp.where(defined & ~steps, root, nan),
        critical=critical,
        kappa=limit(2.0, second),
        coefficient=limit(4.0, root**2),
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class ExtrinsicCurvature(Result):
    """The result of `extrinsic_curvature`; arrays (depth + 1,), index 0 the input, and a scalar.

    curvature_squared : kappa-bar^2 = N kappa^2, kappa the curvature of the curve's image in N neurons
    metric            : g-bar = |d h / d theta|^2 / N, which grows by chi_1 per layer
    gauss_metric      : kappa-bar^2 g-bar, the squared speed of the unit tangent
    fixed_point       : the limit of kappa-bar^2: 3 chi_2 / (chi_1 (chi_1 - 1)); NaN unless chaotic
    """

    curvature_squared: Numbers
    metric: Numbers
    gauss_metric: Numbers
    fixed_point: Numbers


@in_own_settings
def extrinsic_curvature(block: Block, depth: int, start: Any = None) -> ExtrinsicCurvature:
    """Poole's recursion for a curve of inputs of variance q*: its length and its curvature, layer by layer.

    kappa-bar^2 -> 3 chi_2 / chi_1^2 + kappa-bar^2 / chi_1 and g-bar -> chi_1 g-bar, chi_2 = sigma_w^2 E[phi''^2], at q*
    (Poole et al. 2016). `start` is kappa-bar^2 of the input; None means a great circle, 1 / q*, with metric q* when
    parametrized by the angle. In the chaotic phase kappa-bar^2 has a fixed point, elsewhere it grows without bound.
    Infinite from the first layer on for an activation with kinks, since chi_2 is infinite (see `curvature`): the image
    of a curve has a corner wherever a neuron crosses its kink. NaN if phi jumps (the image is not a curve) or q* is not
    a positive number. Raises InputError for a depth that is not a positive integer and a negative start.

    >>> import meanfield as mf
    >>> bent = mf.extrinsic_curvature(mf.MLP("tanh", sigma_w=2.5, sigma_b=0.3), depth=50)
    >>> print(f"{bent.curvature_squared[-1]:.4f} {bent.fixed_point:.4f}")
    3.8677 3.8677
    """
    check_block(block)
    depth = whole("depth", depth, below=MOST_LAYERS)
    if start is not None:
        between("start", start, 0.0, np.inf, "[)")
    return _extrinsic(block, fixed_variance(block).q_star, start, depth=depth)


@host_float64(static=("depth",))
def _extrinsic(block: Block, q: Any, start: Any, *, depth: int) -> ExtrinsicCurvature:
    q = jnp.asarray(q)
    defined = (q > 0) & jnp.isfinite(q)
    safe = jnp.where(defined, q, 1.0)
    _, chi_1, _, chi_2 = close_pair_expansion(block, safe)
    defined = defined & jnp.isfinite(chi_1)
    chi_1, chi_2 = (jnp.where(defined, chi, 1.0) for chi in (chi_1, chi_2))

    def layer(state: tuple[Array, Array], _: None) -> tuple:
        bent, metric = state
        return (3 * chi_2 / chi_1**2 + bent / chi_1, chi_1 * metric), state

    first = 1 / safe if start is None else jnp.asarray(start, q.dtype)
    _, (bent, metric) = lax.scan(layer, (first, safe), length=depth + 1)
    chaotic = defined & (chi_1 > 1)
    end = jnp.where(chaotic, 3 * chi_2 / (chi_1 * jnp.where(chaotic, chi_1 - 1, 1.0)), jnp.nan)
    bent, metric, speed = (jnp.where(defined, field, jnp.nan) for field in (bent, metric, bent * metric))
    return ExtrinsicCurvature(bent, metric, speed, end)
