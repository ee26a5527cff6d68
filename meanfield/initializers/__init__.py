"""Rules that draw weights, each with the theory point that it realizes; drop-in for Flax.

A rule is called like Flax's and JAX's initializers, `rule(key, shape, dtype)`, and `rule.block(phi)` is the block of
layers drawn by it, so that every quantity of the theory applies. Here are the named schemes, the rules that find the
critical point of an activation, and activations shaped for a depth. Networks that use them live in `networks`,
initialization from data in `models`, recommendations in `advice`.
"""

from ..interface.names import former
from .branches import Fixup, SkipInit, fixup, rezero, skip_init
from .deep_kernel_shaping import ShapedActivation, dks, tat
from .maximal_update import mup, mup_params, roles
from .named import critical, delta_orthogonal, gain, glorot, he, heuristic, lecun, orthogonal, selu
from .orthogonal import DeltaOrthogonal, Orthogonal
from .rule import He, Rule, Scaled
from .self_normalization import SelfNormalizing, self_normalizing
from .weight_standardization import WeightStandardized, weight_standardized

__all__ = [
    "DeltaOrthogonal",
    "Fixup",
    "He",
    "LsuvReport",
    "Orthogonal",
    "Recommendation",
    "Rule",
    "Scaled",
    "SelfNormalizing",
    "ShapedActivation",
    "SkipInit",
    "WeightStandardized",
    "critical",
    "delta_orthogonal",
    "dks",
    "fixup",
    "gain",
    "glorot",
    "he",
    "heuristic",
    "lecun",
    "lsuv",
    "mup",
    "mup_params",
    "orthogonal",
    "recommend",
    "reinitialize",
    "rezero",
    "roles",
    "self_normalizing",
    "selu",
    "skip_init",
    "tat",
    "weight_standardized",
]

__getattr__ = former("initializers")
