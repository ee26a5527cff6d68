"""What maps a `Kernel` to a `Kernel`: the layers of a network at infinite width, and what composes them.

Each block is data plus one map; what they have in common is in `block`. Nothing here knows of fixed points or of any
other quantity of a block.
"""
