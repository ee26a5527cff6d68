"""The variance of one input layer by layer, for many blocks of one activation at once; no pairs, hence cheap."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.hosted import hosted
from ..gaussian.activation import Activation
from ..gaussian.moments import gradient_moments
from ..interface.precision import host_float64

_STRETCH = 64


class Lengths(NamedTuple):
    """Variances q and perpendicular susceptibilities chi of the layers 0 ... depth; arrays (n, depth + 1)."""

    q: np.ndarray
    chi: np.ndarray

    @property
    def log_gradient(self) -> np.ndarray:
        """ln of the factor by which a squared gradient changes from layer l to layer 0, (n, depth + 1); 0 at l = 0."""
        with np.errstate(divide="ignore"):
            rises = np.cumsum(np.log(self.chi[:, :-1]), axis=1)
        return np.pad(rises, ((0, 0), (1, 0)))


def lengths(phi: Activation, sigma_w: Any, sigma_b: Any, depth: int, q0: Any, skip: float = 0.0, alpha: float = 1.0):
    """The `Lengths` of networks h' = skip h + alpha (W phi(h) + b), at arrays (n,) of sigma_w, sigma_b and q0.

    q' = skip^2 q + alpha^2 V(q), chi = skip^2 + alpha^2 sigma_w^2 E[phi'^2]; skip = 0, alpha = 1 is a plain network.

    >>> from meanfield.gaussian.named import activation
    >>> path = lengths(activation("relu"), [2**0.5, 1.0], [0.0, 0.0], 30, [1.0, 1.0])
    >>> bool(np.allclose(path.q[:, -1] * 2.0 ** np.array([0, 30]), 1))
    True
    """
    sizes = (np.atleast_1d(np.asarray(v, np.float64)) for v in (sigma_w, sigma_b, q0))
    sigma_w, sigma_b, q = np.broadcast_arrays(*sizes)
    known = hosted(phi)
    pieces = []
    for _ in range(0, depth + 1, _STRETCH):
        before = q
        q, piece = _stretch(known, sigma_w, sigma_b, q, skip, alpha)
        pieces.append(piece)
        if np.array_equal(q, before, equal_nan=True):
            # At rest: every further layer is the last one again.
            rest = max(depth + 1 - _STRETCH * len(pieces), 0)
            pieces.append(tuple(np.repeat(part[:, -1:], rest, 1) for part in piece))
            break
    return Lengths(*(np.concatenate(part, axis=1)[:, : depth + 1] for part in zip(*pieces, strict=True)))


@host_float64(compiled=False)
def _stretch(phi: Activation, sigma_w: Any, sigma_b: Any, q: Any, skip: Any, alpha: Any) -> tuple[Array, tuple]:
    w_var, b_var, skipped, taken = (jnp.square(jnp.asarray(v)) for v in (sigma_w, sigma_b, skip, alpha))

    def layer(q: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        at = jax.vmap(lambda q: gradient_moments(phi, q))(q)
        following = skipped * q + taken * (w_var * at.second + b_var)
        return following, (q, skipped + taken * w_var * at.slope)

    after, path = lax.scan(layer, jnp.asarray(q), length=_STRETCH)
    return after, tuple(part.T for part in path)
