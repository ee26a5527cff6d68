"""Finite networks in Flax NNX, built from the blocks whose infinite-width limit `theory` describes.

A network here is made of a block, a depth and a width, and shows its pre-activations layer by layer; beside it stand
the layers that some initializations need (`linen` has the ones for Flax Linen). What is measured on a network lives
in `measure`, how it is trained in `training`.
"""

from .branches import FixupBranch, SkipBranch
from .mlp import MLP
from .weight_standardization import WSConv, WSLinear

__all__ = ["MLP", "FixupBranch", "SkipBranch", "WSConv", "WSLinear"]
