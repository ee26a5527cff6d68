"""The blocks beyond a fully connected layer: residual, noisy, normalized, convolutional, gated and attention.

Each is data plus one map of a `Kernel`; what composes them is `Block` in the module above. Nothing here knows of fixed
points or any other quantity of a block.
"""

from importlib import import_module

NAMES = ("residual", "noise", "normalization", "convolution", "gated", "attention")


def load() -> None:
    """Import every module of blocks, so that their classes are known by name."""
    for name in NAMES:
        import_module(f".{name}", __name__)
