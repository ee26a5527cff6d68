"""Finite networks in Flax NNX, built from the blocks whose infinite-width limit `theory` describes.

`Network` is built from any block, a depth and a width, and returns its pre-activations layer by layer; `finite` defines
how each block becomes a layer. Here too are the layers that some initializations need (`linen` has those for Flax
Linen). Measurements on networks live in `measurement`, their training in `training`.
"""

from .branches import FixupBranch, SkipBranch
from .mlp import MLP
from .network import Network
from .weight_standardization import WSConv, WSLinear

__all__ = ["MLP", "FixupBranch", "Network", "SkipBranch", "WSConv", "WSLinear"]
