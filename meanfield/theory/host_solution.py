"""A fixed point for one call from the host: evaluated by NumPy, or compiled where that is faster."""

from __future__ import annotations

import numpy as np

from ..blocks.activations import hosted_block
from ..blocks.block import Block, has_trait
from ..interface.evaluation import evaluated
from ..interface.numbers import Scalar
from ..interface.precision import cast, host_float64, in_float64
from ..solvers.coupled_state import has_more_state
from ..solvers.fixed_variance import Variances, solve_variance
from .solution import FixedPoint, solve_by_state, solve_correlation


@in_float64
def solve_on_host(block: Block, q0: Scalar) -> FixedPoint:
    """`solution.solve`: q* first, then c* from a rough guess; blocks with more state than a variance are compiled."""
    if has_more_state(block):
        return _by_state(block, q0)
    block, q0 = cast((block, q0), np.float64)
    answered = hosted_block(block)
    v = _variance(answered, q0)
    return _correlation(answered, v, rough_start(block, v), np.float64(0.0))


def rough_start(block: Block, v: Variances) -> np.ndarray:
    """A guess of sqrt(1 - c*) that is good to about 1e-4."""
    start = np.ones(())
    # Closer to criticality the error of the rough rule dominates.
    if (v.chaotic and v.slope_1 - 1 > 1e-5) or has_trait(block, "per_input_noise"):
        e = _correlation(hosted_block(block, rough=True), v, start, np.float64(_ROUGHLY)).one_minus_c_star
        # Where c* is small 0 may be the root itself.
        start = np.sqrt(e) if 0 < e < 0.5 else start
    return start


@in_float64
def variance_on_host(block: Block, q0: Scalar) -> Variances:
    """The variance half."""
    return _variance(*cast((hosted_block(block), q0), np.float64))


_ROUGHLY = 1e-6
_variance, _correlation = evaluated(solve_variance), evaluated(solve_correlation)
_by_state = host_float64(solve_by_state)
