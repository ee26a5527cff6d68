"""The infinite-width limit: kernels, the blocks that map them, and every quantity that is a function of a block.

Fixed points, susceptibilities, depth scales, trajectories, critical lines and phase diagrams live here. Nothing here
draws a random weight or runs a network, and nothing imports flax, optax, matplotlib or xarray at module level.
"""
