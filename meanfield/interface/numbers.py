"""The types of a number that may be many, or be traced: what the fields of blocks and results hold."""

from __future__ import annotations

from typing import TypeAlias

import jax
import numpy as np

Numbers: TypeAlias = jax.Array | np.ndarray
"""What is returned, a scalar or an array: NumPy's float64 from the host, JAX's under a trace."""

Scalar: TypeAlias = float | np.floating | np.ndarray | jax.Array
"""What is given, one number for each case computed: a float as it was typed, or `Numbers`; on a grid, an array."""
