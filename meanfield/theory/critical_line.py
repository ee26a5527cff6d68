"""The critical line of an activation within a box of sigma_w and sigma_b, for phase diagrams."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

from ..gaussian.activation import Activation
from ..interface.precision import host_float64, in_float64
from ..tables.moment_table import table_of
from .critical import EdgeOfChaos, line_at

_POINTS, _ROUNDS = 600, 3


def critical_line_inside(phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q_star: np.ndarray) -> EdgeOfChaos:
    """The critical line inside the box, NaN where it leaves the box; q_star gives the range of q to follow."""
    known = phi if phi.has_steps else in_float64(table_of)(phi).activation()
    largest = np.max(q_star, initial=1.0, where=np.isfinite(q_star))
    top = max(float(largest), float(sigma_b.max()) ** 2) * 10
    q = np.geomspace(1e-10, top, _POINTS)
    box = (sigma_w.min(), sigma_w.max()), (sigma_b.min(), sigma_b.max())
    inside = _inside(_line_at(known, q), box)
    ends = [_end(known, q[i : i + 2], box) for i in np.flatnonzero(inside[1:] != inside[:-1])]
    line = _line_at(known, q)
    if ends:
        order = np.argsort(np.append(q, [float(end.q) for end in ends]), kind="stable")
        line = jax.tree.map(lambda a, *more: np.append(a, more)[order], line, *ends)
    gap = np.where(_inside(line, box), 1.0, np.nan)
    return replace(line, sigma_w=line.sigma_w * gap, sigma_b=line.sigma_b * gap)


def _inside(line: EdgeOfChaos, box: tuple) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        along = zip((line.sigma_w, line.sigma_b), box, strict=True)
        return np.all([(a >= low) & (a <= high) for a, (low, high) in along], 0)


def _end(phi: Activation, between: np.ndarray, box: tuple) -> EdgeOfChaos:
    """The last point inside the box, of a line that leaves it between two q: on the frame to 1e-9."""
    line, last = _line_at(phi, np.geomspace(between[0], between[1], _POINTS)), 0
    for _ in range(_ROUNDS):
        line = _line_at(phi, np.geomspace(between[0], between[1], _POINTS))
        inside = _inside(line, box)
        i = int(np.flatnonzero(inside[1:] != inside[:-1])[0])
        between, last = np.asarray(line.q)[i : i + 2], i if inside[i] else i + 1
    return jax.tree.map(lambda a: np.asarray(a)[last], line)


# Compiled, since every diagram needs it.
_line_at = host_float64(line_at)
