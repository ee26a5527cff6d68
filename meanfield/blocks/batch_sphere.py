"""An activation after batch normalization: pre-activations lie on a sphere and are not Gaussian (Yang et al. 2019)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..gaussian.activation import Activation
from ..gaussian.quadrature import gauss_legendre
from .kernel import Kernel

_RADII, _ANGLES, _NODES = 24, 16, 16


class Batch(NamedTuple):
    """Moments of an activation of the members z_i of a batch on its sphere: z = gamma sqrt(B) zhat, |zhat| = 1.

    mean, second, cross : E[phi(z_i)], E[phi(z_i)^2], E[phi(z_i) phi(z_j)]
    tangent             : the factor of a gap after the linear layer, times that layer's centred variance
    """

    mean: Array
    second: Array
    cross: Array
    tangent: Array


def batch_moments(phi: Activation, gamma_var: Array, size: int, of_gradient: bool = False) -> Batch:
    """`Batch` at batch size B >= 4, zhat uniform on the unit sphere in the subspace sum z = 0.

    (zhat_i, zhat_j) = sqrt(1 - 1/B) (t1, k t1 + sqrt(1 - k^2) t2), k = -1/(B - 1), with the density of (t1, t2)
    proportional to (1 - t1^2 - t2^2)^((B - 5) / 2) on the unit disc. After Yang et al. (2019), with B E[D_i^2 ...] and
    (B - 1) E[D_i D_j ...] of the Jacobian of the normalization; derived for every phi. Accurate to about 1e-12.
    """
    rho, weight = (jnp.asarray(a, gamma_var.dtype) for a in _radial_rule(size))
    reach = jnp.sqrt(gamma_var * size * (1 - 1 / size))
    kinks = phi.kink_array(gamma_var.dtype)
    if phi.backward is not None:
        kinks = jnp.concatenate([kinks, phi.backward.kink_array(gamma_var.dtype)])
    k = -1 / (size - 1)
    # At a given radius, z_j is z_i rotated by arccos k.
    turn = np.arccos(k)
    levels = jnp.clip(kinks[None, :] / (reach * rho[:, None]), -1.0, 1.0)
    at = jnp.arccos(levels)
    cuts = jnp.concatenate([at, -at, turn + at, turn - at], 1)
    cuts = jnp.mod(cuts + np.pi, 2 * np.pi) - np.pi
    even = jnp.broadcast_to(jnp.asarray(np.linspace(-np.pi, np.pi, _ANGLES + 1), rho.dtype), (rho.size, _ANGLES + 1))
    edges = jnp.sort(jnp.concatenate([even, cuts], 1), 1)
    angle, d_angle = _angular_rule(edges)
    u, v = (rho[:, None] * jnp.cos(angle - shift) for shift in (0.0, turn))
    weight = weight[:, None] * d_angle / (2 * np.pi)
    hat = np.sqrt(1 - 1 / size)
    first, other = phi(reach * u), phi(reach * v)
    rising, steps = phi.slope, phi.has_steps
    if of_gradient and phi.backward is not None:
        rising, steps = phi.backward, False
    slope, other_slope = rising(reach * u), rising(reach * v)

    def mean(x: Array) -> Array:
        return jnp.sum(weight * x)

    own = size * mean(slope**2 * (1 - 1 / size) * (1 - 1 / size - hat**2 * u**2))
    mixed = (size - 1) * mean(slope * other_slope * (1 / size + hat**2 * u * v))
    tangent = gamma_var * size / ((size - 3) * (size - 1)) * (own + mixed)
    return Batch(mean(first), mean(first**2), mean(first * other), tangent + (jnp.inf if steps else 0.0))


def _angular_rule(edges: Array) -> tuple[Array, Array]:
    lo, hi = edges[:, :-1, None], edges[:, 1:, None]
    t, weight = (jnp.asarray(a, edges.dtype) for a in gauss_legendre(_NODES))
    shape = edges.shape[0], -1
    return ((lo + hi) / 2 + (hi - lo) / 2 * t).reshape(shape), ((hi - lo) / 2 * weight).reshape(shape)


@lru_cache(maxsize=64)
def _radial_rule(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Radii and weights of (t1, t2): density proportional to rho (1 - rho^2)^((B - 5) / 2) on [0, 1]."""
    # With rho = sin s the density is sin s cos(s)^(B - 4): smooth for every B >= 4, and narrow where B is large.
    top = min(np.pi / 2, 9.0 / np.sqrt(max(size - 4, 1)))
    nodes, weight = gauss_legendre(_RADII * 4)
    s, weight = top * (nodes + 1) / 2, weight * top / 2
    density = weight * np.sin(s) * np.cos(s) ** (size - 4)
    return np.sin(s), density / density.sum()


def on_sphere(phi: Activation, kernel: Kernel) -> Kernel:
    """The kernel after an activation of a normalized batch; NaN for two batches at a finite distance."""
    size = kernel.batch_size_on_sphere
    at = batch_moments(phi, kernel.q1, size, kernel.of_gradient)
    none = jnp.full_like(at.second, jnp.nan)
    gap = None if kernel.gap is None else at.tangent * kernel.gap if kernel.infinitesimal else none
    return kernel.replace(
        q1=at.second,
        q2=at.second,
        gap=gap,
        error=64 * jnp.finfo(at.second.dtype).eps * at.second,
        m1=at.mean,
        m2=at.mean,
        gap_within=at.second - at.cross,
        gap_across=None if kernel.gap_across is None else 0 * kernel.gap_across if kernel.infinitesimal else none,
        gaussian=False,
        batch_size_on_sphere=0,
    )
