"""How far apart the slopes of a pair are, E[(phi'(u) - phi'(v))^2] / 2: what tables of pairs rest on.

With u = a + b and v = a - b the two Gaussians a ~ N(0, q (1 + c) / 2) and b ~ N(0, q (1 - c) / 2) are independent. At a
given b the integrand jumps in a where u or v passes a kink, and nowhere else: panels are cut exactly there, so that no
layer is left to resolve however close the pair. In b they are cut where two such places meet. Panels grow like sinh(t)
away from 0, where activations bend: for a < 0 those of u, for a > 0 those of v, each the nearer one to its bend.

Where the panels lie differs from pair to pair, so that is NumPy's, on the host; the integral over one panel is
compiled, for blocks of them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .activation import Activation
from .quadrature import gauss_legendre

_NODES, _REACH = 12, 8.0
_STEP, _FEWEST = 0.8, 4
_BLOCK = 8192


def deficit(phi: Activation, q: np.ndarray, e: np.ndarray) -> np.ndarray:
    """E[(phi'(u) - phi'(v))^2] / 2 of pairs of one variance, right relative to itself to about 1e-11.

    Less where rounding of phi' hides its differences: 2e-9 for tanh in the panel from q = 1e-6 and e near 1e-6.
    For activations without steps, whose parameters are numbers; in float64. q (k,) and, for each, several e = 1 - c
    in (0, 1], (k, m); returns (k, m).
    """
    kinks = np.asarray(phi.kinks, float)
    return np.stack([_of_gaps(phi, kinks, q, gaps) for gaps in e.T], 1)


def _of_gaps(phi: Activation, kinks: np.ndarray, q: np.ndarray, e: np.ndarray) -> np.ndarray:
    """The deficit at pairs of q and e, both (k,)."""
    std_a, std_b = np.sqrt(q * (1 - e / 2))[:, None], np.sqrt(q * e / 2)[:, None]
    meeting = np.unique(np.abs(kinks[:, None] - kinks)[np.triu_indices(kinks.size, 1)] / 2)
    meeting = np.broadcast_to(meeting, (q.size, 1, meeting.size))
    lo, hi = (ends[..., None] for ends in _panels(np.zeros_like(std_b), _REACH * std_b, meeting, phi.scale))
    t, dt = gauss_legendre(_NODES)
    b, db = (a.reshape(q.size, -1) for a in ((hi + lo) / 2 + (hi - lo) / 2 * t, (hi - lo) * dt))
    db = db * np.exp(-((b / std_b) ** 2) / 2) / (std_b * np.sqrt(2 * np.pi))
    apart = np.zeros_like(b)
    # The second half is the first one of phi'(-x).
    for side in (1.0, -1.0):
        cuts = np.concatenate([side * kinks + shift[..., None] for shift in (0 * b, 2 * b)], -1)
        lo, hi = _panels(b - _REACH * std_a, b, cuts, phi.scale)
        columns = np.broadcast_arrays(lo, hi, b[..., None], std_a[..., None])
        # Out of reach is what both Gaussians together make unlikely; a cut outside leaves an empty panel.
        within = ((b / std_b) ** 2)[..., None] + ((b[..., None] - hi) / std_a[..., None]) ** 2 < _REACH**2
        apart += _integrals(phi, side, *columns, within & (lo < hi)).sum(-1) / 2
    return np.sum(db * apart, -1)


def _panels(lo: np.ndarray, hi: np.ndarray, cuts: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper ends (..., panels) of panels of [lo, hi] (...,), cut at what of `cuts` (..., n) is inside."""
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
