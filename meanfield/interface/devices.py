"""Many independent computations spread over all devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np


def over_devices(devices: Sequence[Any]) -> jax.sharding.NamedSharding | None:
    """A sharding of the rows of an array evenly over devices; None for a single device."""
    if len(devices) == 1:
        return None
    mesh = jax.sharding.Mesh(np.array(devices), ("rows",))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
