"""Finite networks in Flax NNX, built from the blocks whose infinite-width limit `theory` describes.

A network here is made of a block, a depth and a width, and shows its pre-activations layer by layer. Residual and
convolutional networks, and adapters that open a user's own NNX or Linen model, will live here. What is measured on a
network lives in `measure`, how it is trained in `training`.
"""

from .mlp import MLP

__all__ = ["MLP"]
