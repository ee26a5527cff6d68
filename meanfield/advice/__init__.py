"""Recommendations for an activation and a depth, and a comparison of initialization schemes.

Everything here only weighs results that other rooms compute or measure.
"""

from .compare_init import SchemeComparison, compare_init
from .recommendation import Recommendation, recommend

__all__ = ["Recommendation", "SchemeComparison", "compare_init", "recommend"]
