"""The type of a number that may be many: what the fields of blocks and results hold."""

from __future__ import annotations

from typing import TypeAlias

import jax
import numpy as np

Scalar: TypeAlias = float | np.floating | np.ndarray | jax.Array
"""One number for each case computed: a float as typed in, NumPy as host calls return it, JAX under a transformation.

Of a grid or under vmap it is the array of them; a docstring says the shape where it is another than the grid's.
"""
