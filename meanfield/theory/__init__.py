"""The quantities of a block: fixed points, maps, trajectories, critical points, phase diagrams, curvature, growth.

Each is a function of any block. `solvers` finds fixed points, `tables` makes grids fast; finite networks live further
down the house.
"""
