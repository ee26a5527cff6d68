"""Fixed points of a block's maps: of the variance, of a pair's gap, and of states beyond a variance.

Roots are bracketed, every lane has a status, and results are differentiable by the implicit function theorem. The
meaning of a fixed point (phases, depth scales) belongs to `theory`, the integration of moments to `gaussian`.
"""
