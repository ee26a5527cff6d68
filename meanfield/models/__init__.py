"""A user's Flax model: finding its weight layers, redrawing them, and scaling them by data (LSUV).

The rules that draw weights live in `initializers`; networks that we build ourselves live in `networks`.
"""

from .lsuv import LsuvReport, lsuv
from .reinitialize import reinitialize

__all__ = ["LsuvReport", "lsuv", "reinitialize"]
