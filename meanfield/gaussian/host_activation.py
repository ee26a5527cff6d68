"""An activation for single answers: only x -> (phi, phi') is compiled, NumPy does the quadrature.

`HostActivation` computes phi's moments with the formulas and panels of the traced path; `hosted` lets traced programs
call it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import jax
import numpy as np

from ..interface.elementwise import Elementwise
from .activation import Activation
from .closed_forms import Moments
from .features import Features, features_of
from .moments import Samples, samples_of, smallest
from .pair_rule import FINE, ROUGH, Resolution, resolution, split
from .pairs import (
    NEAR_NODES,
    Pair,
    covariance_at,
    deficit_at,
    from_deficits,
    from_stretched,
    integrate_pair,
    is_near,
    near_gaps,
    stretched,
)
from .quadrature import LARGEST

Number: TypeAlias = Any
Arrays: TypeAlias = Any
"""NumPy arrays passed to formulas that serve both namespaces and are annotated for JAX arrays."""
_NONE: Number = np.float64(0.0)

_ROWS = 16
_MOST_REMEMBERED, _MOST_KEPT = 64, 512


class HostActivation:
    """phi for NumPy arrays of any shape; float64, with numeric parameters."""

    def __init__(self, phi: Activation) -> None:
        self._evaluate = Elementwise(phi.fn, phi.params)
        self.kinks: Arrays = np.asarray(phi.kinks, np.float64)
        self.scale, self.has_steps = phi.scale, phi.has_steps
        self.steps = phi.steps
        self._steps = np.asarray(phi.steps, bool)
        self._latest: tuple = ()
        self._grids: dict[Any, Any] = {}
        self._points: dict[Any, Any] = {}
        self._pairs: dict[Any, Any] = {}
        self.number = next(_NUMBERS)
        known = phi.features.final
        self.features = phi.features if known else features_of(self._both, self.kinks, self.scale)
        self.activation = replace(phi, features=self.features)
        edges: Arrays = np.pad(
            self.kinks, (0, max(4 - self.kinks.size, -self.kinks.size % 4)), constant_values=phi.scale
        )
        with np.errstate(all="ignore"):
            self.samples = samples_of(self, edges)
        self._singular = self.has_steps or not self.features.standard
        self._starts = self.samples.x[:, 0].copy()
        self._tame = self.samples.tame

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self._both(x)[0]

    def slope(self, x: np.ndarray) -> np.ndarray:
        """phi'(x) on the smooth pieces."""
        return self._both(x)[1]

    def _both(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # phi and then phi' are called on the same two arrays.
        for known, *found in self._latest:
            if known is x:
                return found[0], found[1]
        value, slope = self._evaluate(x)
        self._latest = ((x, value, slope), *self._latest[:1])
        return value, slope

    def kink_array(self, dtype: Any) -> np.ndarray:
        """The kink positions, (k,)."""
        return self.kinks

    def jumps(self, dtype: Any) -> np.ndarray:
        """phi(k+) - phi(k-) at each kink, exactly 0 where phi is declared continuous; shape (k,)."""
        aside = 16 * np.finfo(np.float64).eps * np.maximum(np.abs(self.kinks), self.scale)
        return np.where(self._steps, self(self.kinks + aside) - self(self.kinks - aside), 0.0)

    def moments(self, q: np.ndarray) -> Moments:
        """`Moments` at variances q."""
        return Moments(*self._by_rows(q, Samples.moments_at))

    def errors(self, q: np.ndarray) -> tuple[Arrays, Arrays]:
        """Bounds on the errors of the second moment and of the slope's."""
        return self.moments(q)[3:]

    def sums(self, q: np.ndarray) -> tuple[Arrays, ...]:
        """`moments` without the error bound."""
        # The scan for fixed points visits the same variances every time.
        known, key = self._grids if q.size > 1 else self._points, (q.shape, q.tobytes())
        found = known.get(key)
        if found is None:
            found = self._by_rows(q, Samples.sums_at if self._tame else Samples.moments_at)[:3]
            _keep(known, key, found)
        return found

    def derivatives(self, q: np.ndarray, order: int) -> tuple[np.ndarray, ...]:
        """`Samples.derivatives` at variances q."""
        return self._by_rows(q, Samples.derivatives, order)

    def slope_variance(self, q: np.ndarray) -> np.ndarray:
        """Var[phi'] at variances q."""
        return self._by_rows(q, lambda samples, q: (samples.slope_variance(q),))[0]

    def _by_rows(self, q: np.ndarray, ask: Callable[..., tuple], *more: Any) -> tuple[Arrays, ...]:
        """A method of `Samples` at variances q, in groups, each on no more nodes than it reaches."""
        flat, found = q.ravel() if q.size else np.ones(1), []
        with np.errstate(all="ignore"):
            for i in range(0, flat.size, _ROWS):
                rows = flat[i : i + _ROWS]
                found.append(ask(self._within_reach(np.max(rows)), rows, *more))
        return tuple(np.concatenate(column)[: q.size].reshape(q.shape) for column in zip(*found, strict=True))

    def _within_reach(self, q: np.float64) -> Samples:
        """The samples without the panels beyond the reach of every variance up to q."""
        samples = self.samples
        far = 1.7 * self.features.reach * np.sqrt(max(q, smallest(np.float64)))
        if not far < LARGEST:
            return samples
        start, end = np.searchsorted(self._starts, (-far, far))
        cut = slice(max(start - 1, 0), end + 1)
        part = {name: getattr(samples, name)[cut] for name in ("x", "dx", "value", "slope")}
        return replace(samples, **part)

    def pair(self, q1: float, q2: float, e: float, rough: bool = False) -> Pair:
        """`Pair` of one pair of variances q1, q2 and correlation 1 - e; `rough`: to about 1e-4."""
        key = q1, q2, e, rough
        found = self._pairs.get(key)
        if found is None:
            with np.errstate(all="ignore"):
                found = self._pair(np.float64(q1), np.float64(q2), np.float64(e), rough)
            _keep(self._pairs, key, found)
        return found

    def _pair(self, q1: Number, q2: Number, e: Number, rough: bool) -> Pair:
        first = self._moments_at(q1)
        second = first if q1 == q2 else self._moments_at(q2)
        equal = bool(q1 == q2 and e <= 1)
        if rough or not (equal and self._is_near(q1, e)):
            rule = self._rule(q1, e, rough) if equal else ROUGH if rough else FINE
            return integrate_pair(self, q1, q2, e, first.second, second.second, equal, rule)[0]
        deficits: Number = np.array([deficit_at(self, q1, gap, self._rule(q1, gap)) for gap in self._gaps(q1, e)])
        return from_deficits(q1, e, first.slope, first.second, deficits)

    def pair_derivatives(self, q: float, e: float) -> tuple[Number, Number]:
        """d/dq of `Pair` at a fixed e, of one pair of one variance; phi without steps."""
        with np.errstate(all="ignore"):
            return self._pair_derivatives(np.float64(q), np.float64(e))

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
        return not self.has_steps and bool(is_near(self, q, e))

    def _rule(self, q: Number, e: Number, rough: bool = False) -> Resolution:
        # A singular slope needs every node.
        return FINE if self._singular and not rough else resolution(split(q, q, e), self.scale, self.kinks, rough)

    def _gaps(self, q: Number, e: Number) -> np.ndarray:
        """The gaps of `near_gaps`: the closer the pair, the fewer are needed for the mean deficit."""
        closeness = max(q * e / min(self.scale, self.features.shortest) ** 2, e)
        nodes = NEAR_NODES if closeness > 3e-3 else 6 if closeness > 5e-4 else 5 if closeness > 2e-5 else 4
        return e * near_gaps(np.float64, nodes)


def _keep(known: dict[Any, Any], key: Any, found: Any) -> None:
    """Cache an answer among the most recent."""
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
    known[key] = found


_KEPT: dict[Any, HostActivation] = {}
_BY_NUMBER: dict[int, HostActivation] = {}
_NUMBERS = itertools.count()


def host_activation(phi: Activation) -> HostActivation:
    """The `HostActivation` of an activation with numeric parameters; the most recent ones are cached."""
    leaves, tree = jax.tree.flatten((phi.params, tuple(phi.kinks)))
    numbers = [np.asarray(leaf, np.float64) for leaf in leaves]
    key = phi.fn, tuple(phi.steps), phi.scale, tree, tuple((a.shape, a.tobytes()) for a in numbers)
    known = _KEPT.get(key)
    if known is None:
        params, kinks = jax.tree.unflatten(tree, numbers)
        features = phi.features if phi.features.final else Features()
        known = HostActivation(Activation(phi.fn, params, kinks, None, tuple(phi.steps), phi.scale, features=features))
        # Two threads may make one each; both keep an answer to their own number.
        _BY_NUMBER[known.number], _KEPT[key] = known, known
        for oldest in list(_KEPT)[:-_MOST_KEPT]:
            dropped = _KEPT.pop(oldest, None)
            if dropped is not None:
                _BY_NUMBER.pop(dropped.number, None)
    return known


def by_number(number: int) -> HostActivation:
    """The activation with this number."""
    return _BY_NUMBER[number]
