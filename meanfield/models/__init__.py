"""A user's Flax model: finding its weight layers, redrawing them, and scaling them to data (LSUV).

The rules that draw weights live in `initializers`, our own networks in `networks`.
"""

from .lsuv import LsuvReport, lsuv
from .reinitialize import reinitialize

__all__ = ["LsuvReport", "lsuv", "reinitialize"]
