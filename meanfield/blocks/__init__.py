"""Maps from `Kernel` to `Kernel`: the layers of a network at infinite width, and their compositions.

Each block is data plus one map; `block` has what they share. Nothing here knows of fixed points or any other quantity
of a block.
"""
