"""Finite networks at initialization, measured with standard errors and compared with the theory.

`measure` draws independent networks and records lengths, distances and gradients layer by layer; `check` compares them
with a block's trajectories and gives a verdict. Networks are built in `networks`, inputs come from `data`, and training
belongs to `training`.
"""

from .check import Check, check
from .comparison import Comparison
from .measurement import Measurement, measure

__all__ = ["Check", "Comparison", "Measurement", "check", "measure"]
