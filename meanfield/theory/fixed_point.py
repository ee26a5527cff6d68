"""Fixed points of a block: q*, c*, the susceptibilities there, and the depth scales that follow."""

from __future__ import annotations

import jax.numpy as jnp

from ..blocks.activations import sampled_block
from ..blocks.block import Block, check_block
from ..interface.arguments import variances
from ..interface.numbers import Scalar
from ..interface.precision import following, is_traced
from ..interface.settings import in_own_settings
from ..solvers.fixed_variance import Variances, solve_variance
from .derivatives import differentiable
from .host_solution import solve_on_host, variance_on_host
from .solution import FixedPoint, assemble, solve, solve_by_state, solve_correlation

__all__ = ["FixedPoint", "assemble", "fixed_point", "fixed_variance", "solve", "solve_by_state", "solve_correlation"]


@in_own_settings
def fixed_point(block: Block, q0: Scalar = 1.0) -> FixedPoint:
    """The fixed point that a block's iteration reaches from variance q0, with both susceptibilities.

    q* = V(q*), chi_1 = d gap'/d gap at gap 0, c* the stable fixed point of the correlation map (Poole et al. 2016),
    xi = -1/ln chi (Schoenholz et al. 2017). For an MLP chi_1 = sigma_w^2 E[phi'^2]. Differentiable in every leaf of the
    block, under jit and vmap. If a block separates identical inputs (dropout, noise), c* < 1 in every phase, chi_c is
    the slope at c*, and chi_1, which decides the phase, governs gradients. Blocks that couple a batch or tokens are
    iterated; all_q then lists the fixed point reached, and chi_q is their slowest decay.

    Raises InputError for an illegal sigma or q0; a number that the theory does not define is NaN and `status` says why.
    Float64 on the host: q* to 1e-12 relative, or what its conditioning 2^-52 / |1 - chi_q| allows.

    >>> import meanfield as mf
    >>> point = mf.fixed_point(mf.MLP("tanh", sigma_w=2**0.5, sigma_b=0.05**0.5))
    >>> print(f"{point.q_star:.6f} {point.c_star:.6f} {point.xi_c:.2f} {point.phase}")
    0.721762 0.744082 25.21 chaotic
    """
    check_block(block)
    variances("q0", q0, single=True)
    return differentiable(*following((block, q0))) if is_traced((block, q0)) else solve_on_host(block, q0)


@in_own_settings
def fixed_variance(block: Block, q0: Scalar = 1.0) -> Variances:
    """The variance half of `fixed_point`, for callers that do not need c*: a fraction of the work."""
    if is_traced((block, q0)):
        block, q0 = following((block, q0))
        return solve_variance(sampled_block(block), jnp.asarray(q0))
    return variance_on_host(block, q0)
