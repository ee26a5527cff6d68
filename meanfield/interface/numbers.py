"""The type of a field that holds a scalar, an array or a traced value."""

from __future__ import annotations

from typing import TypeAlias

import jax
import numpy as np

Numbers: TypeAlias = jax.Array | np.ndarray
"""A scalar or an array: NumPy's float64 from the host, JAX's under a trace."""
