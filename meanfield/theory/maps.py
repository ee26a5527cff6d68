"""The two maps of Poole et al. (2016), one layer at a time."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..blocks.activations import hosted_block
from ..blocks.block import Block, check_block, repeated
from ..blocks.kernel import Kernel
from ..interface.arguments import correlation, variances
from ..interface.precision import host_float64, is_traced
from ..interface.settings import in_own_settings
from ..solvers.fixed_variance import variance
from .fixed_point import fixed_point


@in_own_settings
def variance_map(block: Block, q: Any) -> Any:
    """V(q): the pre-activation variance one block later; sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2 for an MLP.

    q is a variance >= 0 of any shape; the result has that shape. Poole et al. (2016), Schoenholz et al. (2017).
    Raises InputError for a negative q. Accurate to about 1e-15 relative.

    >>> import meanfield as mf
    >>> float(mf.variance_map(mf.MLP("relu", sigma_w=2**0.5), 3.0).round(9))
    3.0
    """
    check_block(block)
    q = variances("q", q, finite=False)
    return _variance_map(block if is_traced((block, q)) else hosted_block(block), q)


@host_float64(compiled=False)
def _variance_map(block: Block, q: Any) -> Any:
    q = jnp.asarray(q)
    return jax.vmap(lambda one: variance(block, one))(q.ravel()).reshape(q.shape)


@in_own_settings
def correlation_map(block: Block, c: Any, q: Any = None) -> Any:
    """The correlation one block later of two inputs of variance q each and correlation c; q=None is q*.

    c in [-1, 1] of any shape; the result has that shape. At q* its fixed point is c* and its slope at 1 is chi_1 (Poole
    et al. 2016). At another q the result is q12' / q'. Raises InputError for c outside that range. NaN if q* is 0 or
    does not exist. Accurate to about 1e-14.

    >>> import meanfield as mf
    >>> float(mf.correlation_map(mf.MLP("relu", sigma_w=2**0.5), 0.0, q=1.0).round(9))
    0.318309886
    """
    check_block(block)
    correlation("c", c)
    if q is not None:
        variances("q", q, single=True, finite=False)
    q = fixed_point(block).q_star if q is None else q
    return _correlation_map(block if is_traced((block, c, q)) else hosted_block(block), c, q)


@host_float64(compiled=False)
def _correlation_map(block: Block, c: Any, q: Any) -> Any:
    c, q = jnp.asarray(c), jnp.asarray(q)
    defined = (q > 0) & jnp.isfinite(q)
    safe = jnp.where(defined, q, 1.0)
    # 1 - c is exact for floats near 1, so the gap loses no digits.
    after = lax.map(lambda one: block(repeated(block, Kernel(safe, safe, safe * (1 - one)))), c.ravel())
    return jnp.where(defined, 1 - after.one_minus_c.reshape(c.shape), jnp.nan)
