"""The quantities of a block: fixed points, maps, trajectories, critical points, phase diagrams, curvature, growth.

Each is a function of any block. How a fixed point is found is `solvers`', how a grid is made fast is `tables`';
finite networks live further down the house.
"""
