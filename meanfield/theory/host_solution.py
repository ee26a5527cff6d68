"""A fixed point for one call from the host: carried out by NumPy, compiled where that is faster."""

from __future__ import annotations

import numpy as np

from ..blocks.activations import hosted_block
from ..blocks.block import Block, has_trait
from ..interface.numbers import Scalar
from ..interface.precision import cast, host_float64, in_float64
from ..solvers.coupled_state import has_more_state
from ..solvers.fixed_variance import Variances, solve_variance
from .solution import FixedPoint, solve_by_state, solve_correlation


@in_float64
def solve_on_host(block: Block, q0: Scalar) -> FixedPoint:
    """`solution.solve`: q* first, then c* from a rough one; blocks with more state than a variance are compiled."""
    if has_more_state(block):
        return _by_state(block, q0)
    block, q0 = cast((block, q0), np.float64)
    v, start = halves(block, q0)
    return _correlation(hosted_block(block), v, start)


def halves(block: Block, q0: Scalar) -> tuple[Variances, Scalar]:
    """The variance half, and a guess of sqrt(1 - c*) that is good to about 1e-4."""
    v, start = variance_on_host(block, q0), np.float64(1.0)
    # Closer to criticality the rough rule's own error decides.
    if (v.chaotic and v.chi_1 - 1 > 1e-5) or has_trait(block, "per_input_noise"):
        e = _correlation(hosted_block(block, rough=True), v, start).one_minus_c_star
        # Where c* is small 0 may be the root itself.
        start = np.sqrt(e) if 0 < e < 0.5 else start
    return v, start


def variance_on_host(block: Block, q0: Scalar) -> Variances:
    """The variance half."""
    return _variance(hosted_block(block), q0)


_variance = host_float64(solve_variance, compiled=False)
_correlation = host_float64(solve_correlation, compiled=False)
_by_state = host_float64(solve_by_state)
