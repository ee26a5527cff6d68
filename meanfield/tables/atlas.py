"""Panels of c* side by side, so that one program solves points of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .pair_panel import FINEST, NODES, PairPanel


class Atlas(NamedTuple):
    """Panels of c*, side by side.

    panels       : their numbers
    piece        : (all panels, FINEST) the number of the piece of each panel and r; -1 if there is none
    corners      : (pieces, 3) the panel of each piece, and its ends in r
    coefficients : (pieces, 2 * NODES in r, NODES in y), as in `PairPanel`
    """

    panels: frozenset[int]
    piece: np.ndarray
    corners: np.ndarray
    coefficients: np.ndarray


def side_by_side(panels: Mapping[int, PairPanel | None], count: int) -> Atlas:
    """The atlas of some of `count` panels; None for a panel that polynomials do not resolve."""
    piece = np.full((count, FINEST), -1, np.int16)
    corners: list[np.ndarray] = [np.zeros((0, 3))]
    coefficients: list[np.ndarray] = [np.zeros((0, 2 * NODES, NODES))]
    first = 0
    for n, panel in panels.items():
        if panel is None:
            continue
        lo, hi = panel.edges[:-1], panel.edges[1:]
        piece[n] = first + np.repeat(np.arange(lo.size), ((hi - lo) * FINEST).astype(int))
        corners.append(np.stack([np.full(lo.size, n), lo, hi], 1))
        coefficients.append(panel.coefficients.reshape(lo.size, 2 * NODES, NODES))
        first += lo.size
    return Atlas(frozenset(panels), piece, np.concatenate(corners), np.concatenate(coefficients))
