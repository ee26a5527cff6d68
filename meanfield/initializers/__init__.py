"""Rules that draw weights, each with the theory point that it realizes; drop-in for Flax.

A rule is called as Flax and JAX call theirs, `rule(key, shape, dtype)`, and knows nothing of layers or networks.
`ScaledNormal` is the one that mean-field theory itself speaks of. Named schemes (lecun, glorot, he, orthogonal,
delta_orthogonal) and rules that find the critical point of an activation (critical) will live here; the networks
that use them live in `networks`.
"""

from .scaled_normal import ScaledNormal

__all__ = ["ScaledNormal"]
