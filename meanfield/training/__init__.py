"""Grids of trained networks, which test what the theory calls trainable.

A `Sweep` defines what to train, `train` trains it and returns a `Trainability`, and `Sweep.cost` estimates the cost
beforehand. The networks are `networks.Network`s of any block; measurements before training are in `measurement`, the
drawing of the map in `plots`.
"""

from .cost import Cost
from .sweep import Sweep
from .train import train
from .trainability import Trainability

__all__ = ["Cost", "Sweep", "Trainability", "train"]
