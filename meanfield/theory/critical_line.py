"""The critical line of an activation within a box of sigma_w and sigma_b, for phase diagrams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..gaussian.activation import Activation
from ..interface.precision import host_float64, in_float64
from ..tables.moment_table import table_of
from .critical import EdgeOfChaos, line_at


def critical_line_inside(phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q_star: np.ndarray) -> EdgeOfChaos:
    """The critical line inside the box, NaN where it leaves the box; q_star gives the range of q to follow."""
    known = phi if phi.has_steps else in_float64(table_of)(phi).activation()
    largest = np.max(q_star, initial=1.0, where=np.isfinite(q_star))
    top = max(float(largest), float(sigma_b.max()) ** 2) * 10
    line = _line_at(known, np.geomspace(1e-10, top, 600))
    axes = ((line.sigma_w, sigma_w), (line.sigma_b, sigma_b))
    with np.errstate(invalid="ignore"):
        inside = np.all([(along >= axis.min()) & (along <= axis.max()) for along, axis in axes], 0)
    gap = np.where(inside, 1.0, np.nan)
    return replace(line, sigma_w=line.sigma_w * gap, sigma_b=line.sigma_b * gap)


# Compiled, since every diagram needs it.
_line_at = host_float64(line_at)
