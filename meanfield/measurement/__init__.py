"""What a finite network does at initialization, with standard errors, set against the theory.

`measure` draws independent networks and records their lengths, distances and gradients layer by layer; `check` sets
those against a block's trajectories and gives a verdict. Networks are built in `networks`, inputs come from `data`,
and training, which happens after initialization, is `training`'s.
"""

from .check import Check, check
from .comparison import Comparison
from .measurement import Measurement, measure

__all__ = ["Check", "Comparison", "Measurement", "check", "measure"]
