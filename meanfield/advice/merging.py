"""The layer at which two inputs have merged, in a network whose variance stays at its fixed point."""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import Chebyshev

from ..blocks.block import Block
from ..theory.maps import correlation_map

_START, _DEGREE, _FINE = 0.5, 11, 4096


def merging_depth(block: Block, q: float, reach: float, most: float) -> float:
    """The first layer at which 1 - c has fallen by e^-reach from 1/2, both variances at q; inf beyond `most` layers.

    Iterates the correlation map, which is computed at 12 distances: with kinks or without, one layer's factor
    (1 - c') / (1 - c) is smooth in ln(1 - c). Right to a layer in a thousand.

    >>> import meanfield as mf
    >>> merging_depth(mf.MLP("relu", 2**0.5), 1.0, 6.0, 1024)
    176.0
    """
    high, low = math.log(_START), math.log(_START) - reach
    factor = Chebyshev.interpolate(lambda x: _log_factor(block, q, x), _DEGREE, [low, high])
    steps = factor(np.linspace(low, high, _FINE + 1)).tolist()
    here, scale = high, _FINE / reach
    for layer in range(1, int(most) + 1):
        step = steps[round((here - low) * scale)]
        # A distance that does not shrink is at its fixed point, or beyond.
        if not step < 0:
            break
        here += step
        if here <= low:
            return float(layer)
    return math.inf


def _log_factor(block: Block, q: float, log_distance: np.ndarray) -> np.ndarray:
    c = 1 - np.exp(log_distance)
    # 1 - c is not quite what was asked for, but it is what was mapped.
    return np.log((1 - correlation_map(block, c, q=q)) / (1 - c))
