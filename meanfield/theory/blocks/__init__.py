"""The blocks beyond a fully connected layer: residual, noisy, normalized, convolutional, gated and attention.

Each is data plus one map of a `Kernel`; what composes them is `Block` in the module above. Nothing here knows of fixed
points or any other quantity of a block.
"""
