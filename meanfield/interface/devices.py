"""Many independent computations spread over all devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np


def over_devices(devices: Sequence[Any]) -> jax.sharding.NamedSharding | None:
    """Rows of an array, spread evenly over devices; None where there is one."""
    if len(devices) == 1:
        return None
    mesh = jax.sharding.Mesh(np.array(devices), ("rows",))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
