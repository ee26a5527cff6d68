"""Half the mean squared difference of a pair's slopes, E[(phi'(u) - phi'(v))^2] / 2: the basis of pair tables.

With u = a + b and v = a - b the two Gaussians a ~ N(0, q (1 + c) / 2) and b ~ N(0, q (1 - c) / 2) are independent. At a
given b the integrand jumps in a where u or v passes a kink, and nowhere else: panels are cut exactly there, so that no
layer is left to resolve however close the pair. In b they are cut where two such places meet. Panels grow like sinh(t)
away from 0, where activations bend: for a < 0 those of u, for a > 0 those of v, each the nearer one to its bend.

The panels differ from pair to pair, so NumPy finds them on the host; the integral over a panel is compiled, for blocks
of panels.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..gaussian.activation import Activation
from ..gaussian.host_activation import HostActivation, host_activation
from ..gaussian.quadrature import gauss_legendre

_NODES, _REACH = 11, 8.0
_STEP, _FEWEST = 1.0, 3
_BLOCK = 8192
_COLUMNS = 8
"""Gaps per block: enough to amortize NumPy's overhead, few enough for the cache."""
_SAME = 64 * np.finfo(float).eps


class _Shape(NamedTuple):
    """Shortcuts: where phi' is constant below and above, and whether phi'(-x) gives phi'(x) by symmetry."""

    low: float
    high: float
    mirrored: bool


def deficit(phi: Activation, q: np.ndarray, e: np.ndarray) -> np.ndarray:
    """E[(phi'(u) - phi'(v))^2] / 2 of pairs of one variance, to about 1e-11 relative.

    Less where rounding of phi' hides its differences: 2e-9 for tanh in the panel from q = 1e-6 and e near 1e-6.
    For activations without steps and with numeric parameters; in float64. q (k,) and, for each, several e = 1 - c
    in (0, 1], (k, m); returns (k, m).
    """
    kinks, shape = np.asarray(phi.kinks, float), _shape_of(host_activation(phi))
    groups = [e[:, i : i + _COLUMNS] for i in range(0, e.shape[1], _COLUMNS)]
    found = [_of_pairs(phi, kinks, shape, np.repeat(q, group.shape[1]), group.ravel()) for group in groups]
    return np.concatenate([of.reshape(q.size, -1) for of in found], 1)


def _shape_of(phi: HostActivation) -> _Shape:
    """By samples of phi', to rounding."""
    x, slope = phi.samples.x.ravel(), phi.samples.slope.ravel()
    if not np.all(np.isfinite(slope)):
        return _Shape(-np.inf, np.inf, False)
    same = _SAME * np.abs(slope).max()
    low = _end_of_constant(x, np.abs(slope - slope[0]) > same, phi.kinks)
    high = -_end_of_constant(-x[::-1], np.abs(slope - slope[-1])[::-1] > same, -phi.kinks[::-1])
    # For an odd or an even phi, and for x / 2 plus an even function, like GELU.
    mirrored = any(np.ptp(slope + sign * phi.slope(-x)) <= same for sign in (1, -1))
    return _Shape(low, high, mirrored and np.allclose(phi.kinks, -phi.kinks[::-1]))


def _end_of_constant(x: np.ndarray, differs: np.ndarray, kinks: np.ndarray) -> float:
    """Where a function sampled at ascending x first differs from its value at the lower end; snapped to a kink."""
    first = int(np.argmax(differs)) if differs.any() else 0
    if first == 0:
        return -np.inf
    inside = kinks[(kinks >= x[first - 1]) & (kinks <= x[first])]
    return float(inside[0] if inside.size else x[first - 1])


def _of_pairs(phi: Activation, kinks: np.ndarray, shape: _Shape, q: np.ndarray, e: np.ndarray) -> np.ndarray:
    """The deficit at pairs of q and e, both (k,)."""
    std_a, std_b = np.sqrt(q * (1 - e / 2))[:, None], np.sqrt(q * e / 2)[:, None]
    meeting = np.unique(np.abs(kinks[:, None] - kinks)[np.triu_indices(kinks.size, 1)] / 2)
    meeting = np.broadcast_to(meeting, (q.size, 1, meeting.size))
    lo, hi = (ends[..., None] for ends in _panels(np.zeros_like(std_b), _REACH * std_b, meeting, phi.scale))
    t, dt = gauss_legendre(_NODES)
    b, db = (a.reshape(q.size, -1) for a in ((hi + lo) / 2 + (hi - lo) / 2 * t, (hi - lo) * dt))
    db = db * np.exp(-((b / std_b) ** 2) / 2) / (std_b * np.sqrt(2 * np.pi))
    # The second half is the first one of phi'(-x).
    sides = [_half(phi, side, kinks, shape, b, std_a, std_b) for side in ((1.0,) if shape.mirrored else (1.0, -1.0))]
    return np.sum(db * sum(sides), -1) / len(sides)


def _half(
    phi: Activation,
    side: float,
    kinks: np.ndarray,
    shape: _Shape,
    b: np.ndarray,
    std_a: np.ndarray,
    std_b: np.ndarray,
) -> np.ndarray:
    """The integral over a < 0 at each b (k, nodes), of phi'(side x)."""
    cuts = np.concatenate([side * kinks + shift[..., None] for shift in (0 * b, 2 * b)], -1)
    lo, hi = _panels(b - _REACH * std_a, b, cuts, phi.scale)
    # The reach is that of both Gaussians together; a cut outside it leaves an empty panel.
    within = ((b / std_b) ** 2)[..., None] + ((b[..., None] - hi) / std_a[..., None]) ** 2 < _REACH**2
    low, high = (shape.low, shape.high) if side > 0 else (-shape.high, -shape.low)
    bends = (hi > low) & (lo - 2 * b[..., None] < high)
    lo, hi, b, std_a = np.broadcast_arrays(lo, hi, b[..., None], std_a[..., None])
    return _integrals(phi, side, lo, hi, b, std_a, within & bends & (lo < hi)).sum(-1)


def _panels(lo: np.ndarray, hi: np.ndarray, cuts: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The ends (..., panels) of the panels of [lo, hi] (...,), cut at those of `cuts` (..., n) that lie inside."""
    lo, hi = lo[..., None], hi[..., None]
    first, last = np.arcsinh(lo / scale), np.arcsinh(hi / scale)
    count = max(_FEWEST, int(np.ceil(np.max(last - first) / _STEP)))
    edges = scale * np.sinh(first + (last - first) * np.linspace(0.0, 1.0, count + 1))
    edges[..., :1], edges[..., -1:] = lo, hi
    edges = np.sort(np.concatenate([edges, np.clip(cuts, lo, hi)], -1), -1)
    return edges[..., :-1], edges[..., 1:]


def _integrals(
    phi: Activation, side: float, lo: np.ndarray, hi: np.ndarray, b: np.ndarray, std: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """`_integral` of the wanted panels of arrays of one shape, in blocks of one size; 0 elsewhere."""
    found, columns = np.zeros(wanted.shape), np.stack([of[wanted] for of in (lo, hi, b, std)])
    count = columns.shape[1]
    columns = np.pad(columns, ((0, 0), (0, -count % _BLOCK)), mode="edge")
    blocks = [_integral(phi, side, *columns[:, i : i + _BLOCK]) for i in range(0, columns.shape[1], _BLOCK)]
    found[wanted] = np.concatenate(blocks)[:count]
    return found


@jax.jit
def _integral(phi: Activation, side: Array, lo: Array, hi: Array, b: Array, std: Array) -> Array:
    """The integral over u in [lo, hi] of N(u - b; std^2) (phi'(u) - phi'(u - 2 b))^2, of phi(side x)."""
    t, dt = (jnp.asarray(of, lo.dtype) for of in gauss_legendre(_NODES))

    def add(i: int, total: Array) -> Array:
        u = (lo + hi) / 2 + (hi - lo) / 2 * t[i]
        gap = phi.slope(side * u) - phi.slope(side * (u - 2 * b))
        return total + dt[i] * jnp.exp(-(((u - b) / std) ** 2) / 2) * gap**2

    # Node by node: one small program, and nothing in memory but the panels.
    return lax.fori_loop(0, _NODES, add, jnp.zeros_like(lo)) * (hi - lo) / (2 * np.sqrt(2 * np.pi) * std)
