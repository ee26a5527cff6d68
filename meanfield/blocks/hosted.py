"""Activations whose moments a traced program gets from NumPy by callback.

`hosted` puts a `HostActivation` behind an `Activation`. A program evaluated without compiling (see
`interface.evaluation`) is then the same for all activations: a number among its inputs selects one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..gaussian.activation import Activation
from ..gaussian.closed_forms import ClosedForms, Moments
from ..gaussian.host_activation import by_number, host_activation
from ..gaussian.moments import sampled
from ..interface.differentiation import is_zero
from ..interface.precision import following, is_traced


def hosted(phi: Activation, rough: bool = False, always: bool = False) -> Activation:
    """phi with moments that call its `HostActivation`; phi itself if it has closed forms, unless `always`."""
    if phi.backward is not None:
        backward = hosted(phi.backward, rough, always)
        return replace(hosted(replace(phi, backward=None), rough, always), backward=backward)
    if phi.closed is not None and not always:
        return phi
    return Activation(_only_moments, closed=Hosted(np.float64(2 * host_activation(phi).number + rough)), name="hosted")


def for_single_inputs(phi: Activation, *args: Any) -> Activation:
    """phi for moments of single inputs: `hosted` on the host, `sampled` if it or an argument beside it is traced.

    Either way one program serves all activations.
    """
    if not is_traced((phi, args)):
        return hosted(phi)
    phi, *_ = following((phi, *args))
    dtypes = [jnp.result_type(leaf) for leaf in jax.tree.leaves((phi, args)) if is_traced(leaf)]
    return sampled(phi, jnp.promote_types(jnp.result_type(*dtypes), jnp.float32))


def _only_moments(x: Array) -> Array:
    raise AssertionError("a hosted activation has moments only")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Hosted(ClosedForms):
    """Moments of the activation with number n, encoded as 2n, or 2n + 1 for rough answers."""

    key: Any

    def moments(self, phi: Any, q: Array) -> Moments:
        """`Moments` at variance q."""
        mean, second, slope = _sums(self.key, q)
        return Moments(mean, second, slope, *_errors(self.key, q))

    def distance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """One minus the correlation of the outputs."""
        return _pair_moments(self.key, q1, q2, e)[0]

    def covariance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """E[phi'(u) phi'(v)]."""
        return _pair_moments(self.key, q1, q2, e)[1]


def _call(method: str, count: int, like: Array, key: Array, *args: Array, **options: Any) -> tuple[Array, ...]:
    """Call a method of the numbered activation on arrays; `count` results shaped like one of them."""

    def answer(key: Any, *args: Any) -> tuple[np.ndarray, ...]:
        phi = by_number(int(np.ravel(key)[0]) // 2)
        return getattr(phi, method)(*args, **options)

    out = (jax.ShapeDtypeStruct(like.shape, like.dtype),) * count
    return tuple(jax.pure_callback(answer, out, key, *args, vmap_method="expand_dims"))


@jax.custom_jvp
def _sums(key: Array, q: Array) -> tuple[Array, ...]:
    return _call("sums", 3, q, key, q)


@_sums.defjvp
def _sums_jvp(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    return _sums(*primals), tuple(slope * tangents[1] for slope in _derivatives(1, *primals))


@jax.custom_jvp
def _errors(key: Array, q: Array) -> tuple[Array, ...]:
    return _call("errors", 2, q, key, q)


@_errors.defjvp
def _errors_jvp(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    return _errors(*primals), (jnp.zeros_like(primals[1]),) * 2


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _derivatives(order: int, key: Array, q: Array) -> tuple[Array, ...]:
    return _call("derivatives", 3, q, key, q, order=order)


@_derivatives.defjvp
def _derivatives_jvp(order: int, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    found = _derivatives(order, *primals)
    if order == 2:
        # A third order is only traced, never used.
        return found, tuple(jnp.full_like(part, jnp.nan) for part in found)
    return found, tuple(slope * tangents[1] for slope in _derivatives(2, *primals))


@jax.custom_jvp
def _pair_moments(key: Array, q1: Array, q2: Array, e: Array) -> tuple[Array, ...]:
    return _call_pair("pair", 2, key, q1, q2, e)


@partial(_pair_moments.defjvp, symbolic_zeros=True)
def _pair_moments_jvp(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    """As `pairs.pair_moments`, by Price's theorem in e; in q for pairs of one variance, which moves both."""
    key, q1, q2, e = primals
    _, d_q, _, d_e = (jnp.zeros(()) if is_zero(t) else t for t in tangents)
    distance, covariance = _pair_moments(*primals)
    moved = [jnp.zeros_like(e)] * 2
    if not is_zero(tangents[1]):
        moved = [slope * d_q for slope in _pair_derivatives(key, q1, e)]
    if not is_zero(tangents[3]):
        length = jnp.sqrt(q1) * jnp.sqrt(q2)
        norm = jnp.sqrt(_sums(key, q1)[1]) * jnp.sqrt(_sums(key, q2)[1])
        curved = _curved_covariance(key, q1, q2, e)
        moved[0] = moved[0] + length * covariance / jnp.where(norm > 0, norm, 1.0) * d_e
        moved[1] = moved[1] - length * curved * d_e
    return (distance, covariance), tuple(moved)


@jax.custom_jvp
def _curved_covariance(key: Array, q1: Array, q2: Array, e: Array) -> Array:
    """E[phi''(u) phi''(v)], kinks counted."""
    return _call_pair("covariance", 1, key, q1, q2, e, order=2)[0]


@jax.custom_jvp
def _pair_derivatives(key: Array, q: Array, e: Array) -> tuple[Array, ...]:
    return _call_pair("pair_derivatives", 2, key, q, e)


@_curved_covariance.defjvp
def _no_third_derivative(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    found = _curved_covariance(*primals)
    return found, jnp.full_like(found, jnp.nan)


@_pair_derivatives.defjvp
def _no_second_derivative(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    found = _pair_derivatives(*primals)
    return found, tuple(jnp.full_like(part, jnp.nan) for part in found)


def _call_pair(method: str, count: int, key: Array, *args: Array, **options: Any) -> tuple[Array, ...]:
    """`_call` for methods that take one pair at a time."""

    def answer(key: Any, *args: Any) -> tuple[np.ndarray, ...]:
        number, rough = divmod(int(key), 2)
        more = {"rough": bool(rough)} if method == "pair" else options
        found = getattr(by_number(number), method)(*map(float, args), **more)
        return tuple(np.asarray(part) for part in (found if count > 1 else (found,)))

    out = (jax.ShapeDtypeStruct((), args[0].dtype),) * count
    return tuple(jax.pure_callback(answer, out, key, *args, vmap_method="sequential"))
