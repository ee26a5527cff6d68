"""How fast each Fourier mode of a convolutional network's correlations decays."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..blocks.block import Block, check_block, repeated
from ..blocks.kernel import Kernel
from ..errors import InputError
from ..interface.arguments import MOST_LAYERS, whole
from ..interface.precision import host_float64
from ..interface.settings import in_own_settings
from .fixed_point import fixed_point


@in_own_settings
def mode_decay(block: Block, positions: int | tuple[int, ...], q0: float = 1.0) -> np.ndarray:
    """The factor per block of each Fourier mode, over the positions, of a small change of the gap at the fixed point.

    lambda_k = chi_c sum_b v_b exp(-i b alpha_k), alpha_k = 2 pi k / n, for Activate >> Conv with variance profile v
    (Xiao et al. 2018), but computed from the derivative of the block at (q*, c*): the Fourier transform of its response
    to a change at one position. `positions` is n, or a tuple of lengths where a profile has more axes; the result has
    that shape, k in the order of np.fft.fft, and is complex if the profile is not symmetric (the modulus decays). NaN
    if there is no c*. Raises InputError for a length below 1.

    >>> import meanfield as mf
    >>> decay = mf.mode_decay(mf.Activate("erf") >> mf.Conv("uniform", 1.2, 0.3), 8)
    >>> (decay / decay[0]).real.round(5)[:5].tolist()
    [1.0, 0.80474, 0.33333, -0.13807, -0.33333]
    """
    check_block(block)
    lengths = positions if isinstance(positions, (tuple, list)) else (positions,)
    shape = tuple(whole("positions", n, below=MOST_LAYERS) for n in lengths)
    if math.prod(shape) >= MOST_LAYERS:
        raise InputError(f"positions={shape} are {math.prod(shape)}; give fewer than {MOST_LAYERS}")
    if not shape:
        raise InputError("positions=() is empty; give at least one length")
    point = fixed_point(block, q0)
    if not np.isfinite(point.one_minus_c_star):
        return np.full(shape, np.nan + 0j)
    return np.conj(np.fft.fftn(_response(block, point.q_star, point.one_minus_c_star, shape=shape)))


@host_float64(static=("shape",))
def _response(block: Block, q: Any, e: Any, *, shape: tuple[int, ...]) -> Array:
    """d gap'(x) / d gap(0): a tangent at one position if c* = 1, else a derivative at the gap."""
    q, impulse = jnp.full(shape, q), jnp.zeros(shape).at[(0,) * len(shape)].set(1.0)

    def after(gap: Array) -> Array:
        return block(repeated(block, Kernel(q, q, gap, jnp.zeros_like(q), equal=True))).gap

    apart = jax.jvp(after, (q * e,), (impulse,))[1]
    tangent = block(repeated(block, Kernel.coincident(q).replace(gap=impulse))).gap
    return jnp.where(e > 0, apart, tangent)
