"""Fixed points of a block's maps: of the variance, of a pair's gap, of states that are more than a variance.

Roots are bracketed, every lane has a status, and what is found is differentiable by the implicit function theorem.
What a fixed point means (phases, depth scales) is `theory`'s; how moments are integrated is `gaussian`'s.
"""
