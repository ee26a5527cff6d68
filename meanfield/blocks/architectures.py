"""Architectures by name: the blocks of the papers and the command line, with any activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..interface.names import PublicNames

if TYPE_CHECKING:
    from ..gaussian.activation import Activation
    from .block import Block

# Blocks are looked up by public name on use, because the command line reads this table to print its help without JAX.
ARCHITECTURES: dict[str, Callable[[Any, Any], Block]] = {
    "mlp": lambda mf, phi: mf.MLP(phi, 1.0),
    "residual": lambda mf, phi: mf.Residual(mf.MLP(phi, 1.0)),
    "layer_norm": lambda mf, phi: mf.LayerNorm() >> mf.MLP(phi, 1.0),
    "pre_ln_residual": lambda mf, phi: mf.Residual(mf.LayerNorm() >> mf.MLP(phi, 1.0)),
    "batch_norm": lambda mf, phi: mf.Activate(phi) >> mf.Dense() >> mf.BatchNorm(),
    "weight_standardized": lambda mf, phi: mf.Activate(phi) >> mf.WeightStandardized(),
    "dropout": lambda mf, phi: mf.Activate(phi) >> mf.Dropout(0.1) >> mf.Dense(),
    "noise": lambda mf, phi: mf.Activate(phi) >> mf.Noise(0.1, 0.0) >> mf.Dense(),
    "conv": lambda mf, phi: mf.Activate(phi) >> mf.Conv("uniform"),
    "glu": lambda mf, phi: mf.GLU(phi) >> mf.Dense(),
}
"""Constructors by name, taking an activation; every leaf has a default and is set with `mf.with_leaf`."""


def architecture(name: str, phi: str | Callable | Activation, **leaves: Any) -> Block:
    """The block of a named architecture around an activation, with leaves set by name.

    The names are those of `ARCHITECTURES`: "mlp", "residual", "dropout", "conv", ... InputError for an unknown name
    (listing the known ones) or an unknown leaf.

    >>> architecture("dropout", "tanh", rate=0.2, sigma_w=1.5).blocks[1:]
    (Dropout(rate=0.2), Dense(sigma_w=1.5, sigma_b=0.0))
    """
    from ..interface.arguments import one_of
    from .leaves import with_leaf

    block = ARCHITECTURES[one_of("architecture", name, tuple(ARCHITECTURES))](PublicNames(), phi)
    for path, value in leaves.items():
        block = with_leaf(block, path, value)
    return block
