"""Moments tabulated, so that warm calls and grids cost next to nothing.

Tables of one activation's moments and of pairs, blocks that read them instead of integrating, and the grids of fully
connected networks solved on them. A table is never more accurate than the quadrature that filled it; which quantities
are computed from it is decided in `theory`.
"""
