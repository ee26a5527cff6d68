"""Moments tabulated, so that warm calls and grids cost next to nothing.

Tables of one activation's moments and of the pairs that follow, blocks that read them instead of integrating, and the
grids of fully connected networks that are solved on them. A table never says more than the quadrature that filled it;
which quantities are asked of it is `theory`'s business.
"""
