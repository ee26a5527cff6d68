"""Finite networks in Flax NNX, built from the blocks whose infinite-width limit `theory` describes.

`Network` is made of any block, a depth and a width, and shows its pre-activations layer by layer; `finite` says how
each block becomes a layer. Beside it stand the layers that some initializations need (`linen` has the ones for Flax
Linen). What is measured on a network lives in `measurement`, how it is trained in `training`.
"""

from .branches import FixupBranch, SkipBranch
from .mlp import MLP
from .network import Network
from .weight_standardization import WSConv, WSLinear

__all__ = ["MLP", "FixupBranch", "Network", "SkipBranch", "WSConv", "WSLinear"]
