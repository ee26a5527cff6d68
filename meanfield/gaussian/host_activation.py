"""An activation for single answers: all that is compiled is x -> (phi, phi'), the quadrature is NumPy's.

`HostActivation` has phi's moments by the same formulas and panels that are traced for everything else. `hosted` puts
it behind an `Activation`, whose moments are then calls out of the traced program (see `interface.evaluation`). Such a
program is the same for all activations: which one is meant is a number among its inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..interface.differentiation import is_zero
from ..interface.precision import following, is_traced
from .activation import Activation
from .closed_forms import ClosedForms, Moments
from .elementwise import Elementwise
from .moments import Samples, sampled, samples_of, smallest
from .pairs import (
    FINE,
    NEAR_NODES,
    ROUGH,
    Pair,
    Resolution,
    covariance_at,
    from_deficits,
    from_stretched,
    integrate_pair,
    is_near,
    near_gaps,
    resolution,
    split,
    stretched,
)
from .quadrature import LARGEST, REACH

Number: TypeAlias = Any
Arrays: TypeAlias = Any
"""NumPy's, where they go into formulas that serve both namespaces and are annotated for JAX's arrays."""
_NONE: Number = np.float64(0.0)

_ROWS = 16
_MOST_REMEMBERED, _MOST_KNOWN = 64, 512


class HostActivation:
    """phi as NumPy sees it; float64, parameters that are numbers. Arrays of any shape."""

    def __init__(self, phi: Activation) -> None:
        self._evaluate = Elementwise(phi.fn, phi.params)
        self.kinks: Arrays = np.asarray(phi.kinks, np.float64)
        self.scale, self.has_steps = phi.scale, phi.has_steps
        self._steps = np.asarray(phi.steps, bool)
        self._latest: tuple = (None, None, None)
        self._grids: dict[Any, Any] = {}
        self._points: dict[Any, Any] = {}
        self.number = next(_NUMBERS)
        edges: Arrays = np.pad(
            self.kinks, (0, max(4 - self.kinks.size, -self.kinks.size % 4)), constant_values=phi.scale
        )
        self.samples = samples_of(self, edges)
        value, slope = self.samples.value, self.samples.slope
        with np.errstate(over="ignore"):  # far out, where no Gaussian that has moments has weight
            self._columns: Arrays = np.stack([value, value**2, slope**2])
        self._starts = self.samples.x[:, 0].copy()
        self._tame = self.samples.tame

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self._both(x)[0]

    def slope(self, x: np.ndarray) -> np.ndarray:
        """phi'(x) on the smooth pieces."""
        return self._both(x)[1]

    def _both(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # phi and phi' are asked for one after the other, of one array.
        latest, *found = self._latest
        if latest is not x:
            found = self._evaluate(x)
            self._latest = (x, *found)
        return found[0], found[1]

    def kink_array(self, dtype: Any) -> np.ndarray:
        """The kink positions, (k,)."""
        return self.kinks

    def jumps(self, dtype: Any) -> np.ndarray:
        """phi(k+) - phi(k-) at each kink, exactly 0 where phi is declared continuous; shape (k,)."""
        aside = 16 * np.finfo(np.float64).eps * np.maximum(np.abs(self.kinks), self.scale)
        return np.where(self._steps, self(self.kinks + aside) - self(self.kinks - aside), 0.0)

    def moments(self, q: np.ndarray) -> Moments:
        """`Moments` at variances q."""
        return Moments(*self._remembered((0, q.shape, q.tobytes()), lambda: self._by_rows(q, Samples.moments_at)))

    def sums(self, q: np.ndarray) -> tuple[Arrays, ...]:
        """`moments` but for the error."""
        if not self._tame:
            return tuple(self.moments(q)[:3])
        return self._remembered(("sums", q.shape, q.tobytes()), lambda: self._by_rows(q, self._sums)[:3])

    def _sums(self, samples: Samples, q: Arrays) -> Moments:
        return samples.sums_at(q, self._columns[:, self._cut(np.max(q))])

    def error(self, q: np.ndarray) -> tuple[Arrays]:
        """The error of `moments`."""
        return (self.moments(q).error,)

    def derivatives(self, q: np.ndarray, order: int) -> tuple[np.ndarray, ...]:
        """`Samples.derivatives` at variances q."""
        return self._remembered((order, q.shape, q.tobytes()), lambda: self._by_rows(q, Samples.derivatives, order))

    def slope_variance(self, q: np.ndarray) -> np.ndarray:
        """Var[phi'] at variances q."""
        return self._by_rows(q, lambda samples, q: (samples.slope_variance(q),))[0]

    def _by_rows(self, q: np.ndarray, ask: Callable[..., tuple], *more: Any) -> tuple[np.ndarray, ...]:
        """What is asked of `Samples` at variances q, a few at a time on no more nodes than these reach."""
        flat = q.ravel()
        rows = [flat[i : i + _ROWS] for i in range(0, flat.size, _ROWS)]
        with np.errstate(all="ignore"):
            found = [ask(self._within_reach(np.max(some)), some, *more) for some in rows]
        return tuple(np.concatenate(column).reshape(q.shape) for column in zip(*found, strict=True))

    def _within_reach(self, q: np.float64) -> Samples:
        """The samples without the panels that no variance up to q sees, neither by weight nor at its ends."""
        samples, cut = self.samples, self._cut(q)
        x, dx, value, slope = (of[cut] for of in (samples.x, samples.dx, samples.value, samples.slope))
        return Samples(x, dx, value, slope, samples.at_zero, samples.slope_at_zero, samples.jump)

    def _cut(self, q: np.float64) -> slice:
        far = 1.7 * REACH * np.sqrt(max(q, smallest(np.float64)))
        if not far < LARGEST:
            return slice(None)
        first, last = np.searchsorted(self._starts, (-far, far))
        return slice(max(first - 1, 0), last + 1)

    def pair(self, q1: float, q2: float, e: float, rough: bool = False) -> Pair:
        """`Pair` of one pair of variances q1, q2 and correlation 1 - e; `rough`: to about 1e-4."""
        pair = np.float64(q1), np.float64(q2), np.float64(e)
        return self._remembered((q1, q2, e, rough), lambda: self._pair(*pair, rough))

    def _pair(self, q1: Number, q2: Number, e: Number, rough: bool) -> Pair:
        first = self._moments_at(q1)
        second = first if q1 == q2 else self._moments_at(q2)
        equal = bool(q1 == q2 and e <= 1)
        if rough or not (equal and self._is_near(q1, e)):
            rule = ROUGH if rough else self._rule(q1, e) if equal else FINE
            return integrate_pair(self, q1, q2, e, first.second, second.second, equal, rule)[0]
        norm: Number = first.second
        deficits: Number = np.array(
            [integrate_pair(self, q1, q1, gap, norm, norm, True, self._rule(q1, gap))[1] for gap in self._gaps(q1, e)]
        )
        return from_deficits(q1, e, first.slope, norm, deficits)

    def pair_derivatives(self, q: float, e: float) -> tuple[Number, Number]:
        """d/dq of `Pair` at a fixed e, of one pair of one variance; phi without steps."""
        return self._remembered(("stretched", q, e), lambda: self._pair_derivatives(np.float64(q), np.float64(e)))

    def _pair_derivatives(self, q: Number, e: Number) -> tuple[Number, Number]:
        own, near = self._moments_at(q), self._is_near(q, e)
        growth = Moments(*(of[0] for of in self.derivatives(np.reshape(q, 1), 1)), error=_NONE)
        gaps = self._gaps(q, e) if near else [e]
        moved: Arrays = np.array([stretched(self, q, gap, self._rule(q, gap)) for gap in gaps]).T
        if not near:
            # Only the first is read.
            moved = np.repeat(moved, 2, 1)
        return from_stretched(near, q, e, self.pair(q, q, e).distance, own, growth, moved)

    def covariance(self, q1: float, q2: float, e: float, order: int) -> Number:
        """E[phi^(n)(u) phi^(n)(v)] of one pair, n = order."""
        with np.errstate(all="ignore"):
            pair: tuple[Number, Number, Number] = np.float64(q1), np.float64(q2), np.float64(e)
            return covariance_at(self, *pair, order, bool(q1 == q2 and e <= 1))

    def _moments_at(self, q: Number) -> Moments:
        mean, second, slope = (of[0] for of in self.sums(np.reshape(q, 1)))
        return Moments(mean, second, slope, _NONE)

    def _is_near(self, q: Number, e: Number) -> bool:
        return not self.has_steps and bool(is_near(q, e, self.scale))

    def _rule(self, q: Number, e: Number) -> Resolution:
        # A singular slope asks for every node.
        return FINE if self.has_steps else resolution(split(q, q, e), self.scale, self.kinks)

    def _gaps(self, q: Number, e: Number) -> np.ndarray:
        """The gaps of `near_gaps`: the closer the pair, the fewer tell the mean of their deficits to rounding."""
        closeness = max(q * e / self.scale**2, e)
        nodes = NEAR_NODES if closeness > 3e-3 else 6 if closeness > 5e-4 else 5 if closeness > 2e-5 else 4
        return e * near_gaps(np.float64, nodes)

    def _remembered(self, key: Any, compute: Callable[[], Any]) -> Any:
        # The scan for fixed points asks for the same variances every time.
        known = self._grids if isinstance(key[1], tuple) and key[1] else self._points
        found = known.get(key)
        if found is None:
            if len(known) >= _MOST_REMEMBERED:
                known.clear()
            with np.errstate(all="ignore"):
                found = known[key] = compute()
        return found


_ACTIVATIONS: WeakValueDictionary[int, HostActivation] = WeakValueDictionary()
"""By number, those that `_kept` holds."""


_NUMBERS = itertools.count()


@lru_cache(maxsize=_MOST_KNOWN)
def _kept(fn: Any, params: tuple, kinks: tuple, steps: tuple, scale: float) -> HostActivation:
    made = HostActivation(Activation(fn, dict(params), kinks, None, steps, scale))
    _ACTIVATIONS[made.number] = made
    return made


def host_activation(phi: Activation) -> HostActivation:
    """The `HostActivation` of an activation whose parameters are numbers; the latest ones are kept."""
    params = tuple(sorted((name, float(value)) for name, value in phi.params.items()))
    return _kept(phi.fn, params, tuple(map(float, phi.kinks)), phi.steps, phi.scale)


def hosted(phi: Activation, rough: bool = False) -> Activation:
    """phi with moments that call out to its `HostActivation`: phi itself where it has closed forms."""
    if phi.closed is not None:
        return phi
    return Activation(_only_moments, closed=Hosted(np.uint32(2 * host_activation(phi).number + rough)), name="hosted")


def for_single_inputs(phi: Activation, *args: Any) -> Activation:
    """phi for moments of single inputs: `hosted` on the host, `sampled` where it or what goes with it is traced.

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
    """Moments of the activation of a number, twice it and 1 more where a rough answer will do."""

    key: Any

    def moments(self, phi: Any, q: Array) -> Moments:
        """`Moments` at variance q."""
        mean, second, slope = _sums(self.key, q)
        return Moments(mean, second, slope, _error(self.key, q))

    def distance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """One minus the correlation of the outputs."""
        return _pair_moments(self.key, q1, q2, e)[0]

    def covariance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """E[phi'(u) phi'(v)]."""
        return _pair_moments(self.key, q1, q2, e)[1]


def _call(method: str, count: int, like: Array, key: Array, *args: Array, **options: Any) -> tuple[Array, ...]:
    """A method of the activation of a number, at arrays: `count` results like one of them."""

    def answer(key: Any, *args: Any) -> tuple[np.ndarray, ...]:
        phi = _ACTIVATIONS[int(np.ravel(key)[0]) // 2]
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
def _error(key: Array, q: Array) -> Array:
    return _call("error", 1, q, key, q)[0]


@_error.defjvp
def _error_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return _error(*primals), jnp.zeros_like(primals[1])


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _derivatives(order: int, key: Array, q: Array) -> tuple[Array, ...]:
    return _call("derivatives", 3, q, key, q, order=order)


@_derivatives.defjvp
def _derivatives_jvp(order: int, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    found = _derivatives(order, *primals)
    if order == 2:
        # Of a third order nothing is asked but what is then not used.
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
        length = jnp.sqrt(q1 * q2)
        norm = jnp.sqrt(_sums(key, q1)[1] * _sums(key, q2)[1])
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
    """`_call` of what takes one pair at a time."""

    def answer(key: Any, *args: Any) -> tuple[np.ndarray, ...]:
        phi = _ACTIVATIONS[int(key) // 2]
        if method == "pair":
            options["rough"] = bool(int(key) % 2)
        found = getattr(phi, method)(*map(float, args), **options)
        return tuple(np.asarray(part) for part in (found if count > 1 else (found,)))

    out = (jax.ShapeDtypeStruct((), args[0].dtype),) * count
    return tuple(jax.pure_callback(answer, out, key, *args, vmap_method="sequential"))
