"""What to use, and why: recommendations for an activation and a depth, and schemes of initialization side by side.

Everything here only weighs what other rooms compute or measure.
"""

from .compare_init import SchemeComparison, compare_init
from .recommendation import Recommendation, recommend

__all__ = ["Recommendation", "SchemeComparison", "compare_init", "recommend"]
