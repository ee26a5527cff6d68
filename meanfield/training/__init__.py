"""Grids of trained networks: what the theory calls trainable, put to the test.

A `Sweep` says what to train, `train` does it and returns a `Trainability`, `Sweep.cost` says beforehand what it
takes. The networks are `networks.Network`s of any block; what a network does before training is in `measurement`, and
the drawing of the map in `plots`.
"""

from .cost import Cost
from .sweep import Sweep
from .train import train
from .trainability import Trainability

__all__ = ["Cost", "Sweep", "Trainability", "train"]
