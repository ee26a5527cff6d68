"""Architectures by name: the blocks that papers and the command line speak of, around any activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..interface.arguments import one_of
from .block import MLP, Activate, Block, Dense
from .convolution import Conv
from .gated import GLU
from .leaves import with_leaf
from .noise import Dropout, Noise
from .normalization import BatchNorm, LayerNorm, WeightStandardized
from .residual import Residual

ARCHITECTURES: dict[str, Callable[[Any], Block]] = {
    "mlp": lambda phi: MLP(phi, 1.0),
    "residual": lambda phi: Residual(MLP(phi, 1.0)),
    "layer_norm": lambda phi: LayerNorm() >> MLP(phi, 1.0),
    "pre_ln_residual": lambda phi: Residual(LayerNorm() >> MLP(phi, 1.0)),
    "batch_norm": lambda phi: Activate(phi) >> Dense() >> BatchNorm(),
    "weight_standardized": lambda phi: Activate(phi) >> WeightStandardized(),
    "dropout": lambda phi: Activate(phi) >> Dropout(0.1) >> Dense(),
    "noise": lambda phi: Activate(phi) >> Noise(0.1, 0.0) >> Dense(),
    "conv": lambda phi: Activate(phi) >> Conv("uniform"),
    "glu": lambda phi: GLU(phi) >> Dense(),
}
"""Block by name, of an activation; every leaf starts at a plain value and is set with `mf.with_leaf`."""


def architecture(name: str, phi: Any, **leaves: Any) -> Block:
    """The block of a named architecture around an activation, with leaves set by name.

    Names: mlp, residual, layer_norm, pre_ln_residual, batch_norm, weight_standardized, dropout, noise, conv, glu.
    InputError for another name, or a leaf that the block does not have.

    >>> architecture("dropout", "tanh", rate=0.2, sigma_w=1.5).blocks[1:]
    (Dropout(rate=0.2), Dense(sigma_w=1.5, sigma_b=0.0))
    """
    block = ARCHITECTURES[one_of("architecture", name, tuple(ARCHITECTURES))](phi)
    for path, value in leaves.items():
        block = with_leaf(block, path, value)
    return block
