"""A second opinion on the moments: adaptive Gauss-Kronrod quadrature, independent of the composite rule.

It chooses its own panels by bisection, on the line in standard deviations, from the kinks and 0 alone, until its own
error estimate is small. Slow (seconds for a new activation, mostly compilation); for activations not yet checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..errors import InputError
from ..interface.arguments import between
from ..interface.precision import is_traced
from ..interface.settings import in_own_settings
from .activation import Activation
from .moments import estimates
from .named import activation
from .pairs import pair_moments

_REACH = 38.0  # standard deviations, where the Gaussian density underflows binary64
_RELATIVE, _MOST_PANELS = 1e-13, 400
_INNER_PANELS = 60
_PAIR_ACCURACY = 1e-11  # as pair_moments claims, relative to the moment at c = 1, with a margin for rounding


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Refereed:
    """The result of `referee`: for each of `names`, arrays of one shape.

    names         : mean E[phi], second E[phi^2], slope E[phi'^2]; of a pair also product E[phi(u) phi(v)] and
                    covariance E[phi'(u) phi'(v)]; without the last two derivatives where phi jumps (they are not
                    integrals of a function)
    ours          : the library's value, and `ours_error`, its own bound on its absolute error
    referee       : the adaptive value, and `referee_error`, its own
    difference    : ours - referee
    agree         : whether that is within the sum of both errors, or both are infinite
    """

    ours: Any
    ours_error: Any
    referee: Any
    referee_error: Any
    difference: Any
    agree: Any
    names: tuple[str, ...] = field(metadata={"static": True})

    def __repr__(self) -> str:
        lines = [f"{'':12}{'ours':>22}{'referee':>22}{'difference':>12}{'errors':>10}  agree"]
        rows = zip(self.names, self.ours, self.referee, self.difference, self.errors, self.agree, strict=True)
        lines += [f"{n:12}{a:22.15g}{b:22.15g}{d:12.1e}{e:10.1e}  {bool(yes)}" for n, a, b, d, e, yes in rows]
        return "\n".join(lines)

    @property
    def errors(self) -> np.ndarray:
        """The sum of both error bounds: the largest difference that counts as agreement."""
        return self.ours_error + self.referee_error


@in_own_settings
def referee(phi: str | Callable | Activation, q: Any, c: Any = None) -> Refereed:
    """The moments of phi(x), x ~ N(0, q), by our rule and by adaptive quadrature (quadax), side by side.

    With a correlation c, also those of a pair of variance q each. q > 0 and c in (-1, 1) are numbers; runs on the CPU
    in float64. A disagreement means that one of the two is wrong, most often because of an undetected kink: declare it
    with `mf.Activation(fn, kinks=...)`. Raises InputError for a q or c that is not such a number.

    >>> import meanfield as mf
    >>> bool(mf.referee("hard_tanh", 1.0).agree.all())
    True
    """
    if is_traced((q, c)):
        raise InputError(f"q={q}: the referee integrates adaptively; call it outside jit, grad and vmap")
    between("q", q, 0.0, np.inf, "()")
    between("c", 0.0 if c is None else c, -1.0, 1.0, "()")
    with jax.ensure_compile_time_eval(), jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        own: Activation = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), activation(phi))
        return _side_by_side(own, np.float64(q), None if c is None else np.float64(c))


def _side_by_side(phi: Activation, q: Any, c: Any) -> Refereed:
    names = ("mean", "second") if phi.has_steps else ("mean", "second", "slope")
    ours, theirs = (np.array(found)[:, : len(names)] for found in (_ours(phi, q), _adaptive(phi, q)))
    if c is not None:
        pair = ("product",) if phi.has_steps else ("product", "covariance")
        ours = np.concatenate([ours, np.array(_our_pair(phi, q, c))[:, : len(pair)]], 1)
        theirs = np.concatenate([theirs, np.array(_adaptive_pair(phi, q, c))[:, : len(pair)]], 1)
        names += pair
    return _compare(names, *ours, *theirs)


def _compare(names: tuple, ours: np.ndarray, our: np.ndarray, theirs: np.ndarray, their: np.ndarray) -> Refereed:
    finite = np.isfinite(ours) & np.isfinite(theirs)
    with np.errstate(invalid="ignore"):
        difference = np.where(finite, ours - theirs, np.where(np.isinf(ours) & np.isinf(theirs), 0.0, np.nan))
        agree = np.where(finite, np.abs(difference) <= our + their, difference == 0)
    return Refereed(ours, our, theirs, their, difference, agree, names)


@jax.jit
def _ours(phi: Activation, q: Array) -> tuple[Array, Array]:
    found = estimates(phi, q)
    return jnp.stack([e.value for e in found]), jnp.stack([e.error for e in found])


def _integral(f: Callable, kinks: Array, panels: int, *args: Any) -> tuple[Array, Array]:
    """The integral of f(z, *args) against the normal density, cut at `kinks`, and the rule's error estimate."""
    from quadax import quadgk

    def integrand(z: Array, *args: Any) -> Array:
        return f(z, *args) * jnp.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    ends = jnp.asarray([-_REACH, 0.0, _REACH])
    edges = jnp.sort(jnp.concatenate([ends, jnp.clip(kinks, -_REACH, _REACH)]))
    rule = {"epsabs": 0.0, "epsrel": _RELATIVE, "max_ninter": panels, "order": 31, "extrapolate": False}
    value, info = quadgk(integrand, edges, args, **rule)
    # Growth that the Gaussian weight does not suppress shows at the ends, which the rule never samples.
    rim = jnp.max(jnp.abs(jnp.stack([integrand(end, *args) for end in (edges[0], edges[-1])])))
    grows = ~jnp.isfinite(value + rim) | (rim > 1e-3 * jnp.abs(value))
    # The rule's estimate omits the rounding of the nodes and of f.
    rounding = 32 * jnp.finfo(value.dtype).eps * jnp.abs(value)
    return jnp.where(grows, jnp.inf, value), jnp.where(grows, jnp.inf, info.err + rounding)


@jax.jit
def _adaptive(phi: Activation, q: Array) -> tuple[Array, Array]:
    std = jnp.sqrt(q)

    def of(z: Array, which: Array) -> Array:
        x = std * z
        value, slope = phi(x), phi.slope(x)
        return jnp.where(which == 0, value, jnp.where(which == 1, value, slope) ** 2)

    kinks = phi.kink_array(q.dtype) / std
    return jax.lax.map(lambda which: _integral(of, kinks, _MOST_PANELS, which), jnp.arange(3))


@jax.jit
def _our_pair(phi: Activation, q: Array, c: Array) -> tuple[Array, Array]:
    mean, second, slope = estimates(phi, q)
    pair = pair_moments(phi, q, q, 1 - c)
    claims = _PAIR_ACCURACY * jnp.stack([second.value, slope.value])
    return jnp.stack([second.value * (1 - pair.distance), pair.covariance]), claims


@jax.jit
def _adaptive_pair(phi: Activation, q: Array, c: Array) -> tuple[Array, Array]:
    """E[f(u) f(v)] as E_u[f(u) E[f(v) | u]] for f = phi and phi': adaptive in v within adaptive in u."""
    std, rest = jnp.sqrt(q), jnp.sqrt((1 - c) * (1 + c))
    kinks = phi.kink_array(q.dtype) / std

    def value(x: Array, which: Array) -> Array:
        return jnp.where(which == 0, phi(x), phi.slope(x))

    def given(z: Array, which: Array) -> Array:
        def inner(y: Array, z: Array) -> Array:
            return value(std * (c * z + rest * y), which)

        return value(std * z, which) * _integral(inner, (kinks - c * z) / rest, _INNER_PANELS, z)[0]

    return jax.lax.map(lambda which: _integral(given, kinks, _INNER_PANELS, which), jnp.arange(2))
