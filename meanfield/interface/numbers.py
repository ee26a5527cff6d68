"""Types for scalar-or-array fields of blocks and results, which may also be traced."""

from __future__ import annotations

from typing import TypeAlias

import jax
import numpy as np

Numbers: TypeAlias = jax.Array | np.ndarray
"""A result, scalar or array: NumPy float64 on the host, a JAX array under a trace."""

Scalar: TypeAlias = float | np.floating | np.ndarray | jax.Array
"""An argument, one number per case computed: a plain float, or `Numbers`; on a grid, an array."""
