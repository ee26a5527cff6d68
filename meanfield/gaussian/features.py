"""What panels graded towards 0 and the kinks miss in an activation: narrow features, singular slopes, fast growth."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.legendre import legvander

from .quadrature import NODES, REACH, gauss_legendre, rough_edges, scale_free_edges

_STEP, _NEAR, _FAR = 1.0 / 1024, 64.0, 512.0
"""Sampled at this step as far as _NEAR, and on 4096 points a panel as far as _FAR."""
_TOLD, _FLOOR = 1e-9, 1e-12
"""What an interpolant may miss, relative to its panel and to all that is nearer to 0; a rule errs by its square."""
_SHORTEST, _MOST = 1e-7, 4096
_GROWTH, _GROWING_REACH = 1.1, 38.0
"""Where phi grows fast the ratio of the panels, and the reach: the density underflows there."""


class Features(NamedTuple):
    """How the rule of one activation departs from the standard one.

    cuts  : further edges of panels, ascending
    rough : for each kink, whether phi' there behaves like a fractional power or a logarithm of the distance
    reach : standard deviations kept on either side
    final : whether they hold for all parameters, so that no call looks for them again
    """

    cuts: tuple[float, ...] = ()
    rough: tuple[bool, ...] = ()
    reach: float = REACH
    final: bool = False

    @property
    def standard(self) -> bool:
        """Whether the standard rule serves."""
        return not self.cuts and not any(self.rough) and self.reach == REACH

    @property
    def shortest(self) -> float:
        """The shortest panel between cuts."""
        return float(np.min(np.diff(self.cuts), initial=np.inf))


Both = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""x -> (phi, phi')"""


def features_of(both: Both, kinks: np.ndarray, scale: float) -> Features:
    """The `Features` of a function, by halving panels until the interpolant on each agrees with samples of it.

    Features wider than 1e-3 within |x| < 64, or than 1/2000 of their distance from 0 within |x| < 512, are seen.

    >>> features_of(lambda x: (np.tanh(x), 1 / np.cosh(x) ** 2), np.array([]), 1.0).standard
    True
    """
    known: Any = kinks
    with np.errstate(all="ignore"):
        rough = tuple(_is_rough(both, float(k), scale) for k in kinks)
        grows = _grows(both)
        far = _GROWTH ** np.arange(np.log(1e4) / np.log(_GROWTH)) if grows else np.zeros(0)
        edges = scale_free_edges(np.zeros(0), scale)
        # The rules of pairs are graded towards 0 down to the scale only.
        graded = edges[np.abs(edges) > scale / 2], known, rough_edges(known, rough, scale)
        cuts = np.union1d(_halved(both, np.unique(np.concatenate([*graded, far, -far]))), np.append(far, -far))
    return Features(tuple(cuts.tolist()), rough, _GROWING_REACH if grows else REACH)


def _grows(both: Both) -> bool:
    """Whether phi^2 or phi'^2 may weigh beyond the standard reach."""
    x = np.geomspace(1.0, 1e3, 512)
    x = np.concatenate([-x, x])
    return not all(np.all(np.abs(of) <= 1e4 * (1 + x**2)) for of in both(x))


def _is_rough(both: Both, k: float, scale: float) -> bool:
    """Whether phi' next to k changes by more than a smooth function does, on either side."""
    length = abs(k) if k else scale
    near = (1e-8 if k else 1e-10) * length
    away = np.array([1.0, 2.0, 0.1 * length / near]) * near
    slope = np.abs(both(k + np.array([[1.0], [-1.0]]) * away)[1])
    change = np.abs(slope[:, 1] - slope[:, 0])
    return not bool(np.all(change <= 3e-7 * np.maximum(slope[:, 2], 1e-30)))


def _halved(both: Both, edges: np.ndarray) -> np.ndarray:
    """The edges to add so that every panel within _FAR is resolved; those nearest to 0 first, _MOST in all."""
    lo, hi = edges[:-1], edges[1:]
    size = np.maximum(np.abs(lo), np.abs(hi))
    # Panels this near to 0 are shorter than any feature.
    inner = (size > 1e-4) & (size < _FAR)
    found: list[float] = []
    level = np.zeros(2)
    for low, high in pairwise((0.0, 1.0, 8.0, _NEAR, _FAR)):
        these = inner & (size > low) & (size <= high)
        pending = np.stack([lo[these], hi[these]], 1)
        while pending.size and len(found) < _MOST:
            missed = _missed(both, pending, level, coarse=True)
            # Most that miss a feature do so at the first glance.
            missed[~missed] = _missed(both, pending[~missed], level)
            short = pending[:, 1] - pending[:, 0] <= _SHORTEST * np.maximum(1.0, np.abs(pending[:, 0]))
            bad = pending[missed & ~short]
            middle = bad.mean(1)
            found += middle.tolist()
            pending = np.concatenate([np.stack([bad[:, 0], middle], 1), np.stack([middle, bad[:, 1]], 1)])
        if len(found) >= _MOST:
            break
    return np.unique(found)


def _missed(both: Both, panels: np.ndarray, level: np.ndarray, coarse: bool = False) -> np.ndarray:
    """Whether the interpolant of phi or phi' on each panel (n, 2) misses it; raises `level`, their largest."""
    centre, half = panels.mean(1)[:, None], np.diff(panels, axis=1) / 2
    count = np.ceil(np.log2(np.pi * half[:, 0] / _STEP)).clip(5, 5 if coarse else 16)
    count = np.where(np.abs(centre[:, 0]) > _NEAR, np.minimum(count, 12), count).astype(int)
    missed = np.zeros(len(panels), bool)
    for power in np.unique(count):
        t, interpolate = _interpolation(2 ** int(power))
        (rows,) = np.nonzero(count == power)
        for part in np.array_split(rows, max(1, rows.size * t.size // 2**18)):
            points = centre[part] + half[part] * np.concatenate([gauss_legendre(NODES)[0], t])
            for i, of in enumerate(both(points)):
                nodes, there = of[:, :NODES], of[:, NODES:]
                size = np.abs(of).max(1)
                level[i] = max(level[i], np.max(size, where=np.isfinite(size), initial=0.0))
                error = np.abs(nodes @ interpolate.T - there).max(1)
                missed[part] |= error > _TOLD * size + _FLOOR * level[i]
    return missed


@lru_cache
def _interpolation(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev points, and the matrix from values at the nodes of a panel to the interpolant there."""
    t = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    nodes, weights = gauss_legendre(NODES)
    to_coefficients = legvander(nodes, NODES - 1) * weights[:, None] * (np.arange(NODES) + 0.5)
    return t, legvander(t, NODES - 1) @ to_coefficients.T
