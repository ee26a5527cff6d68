"""Data sets of images, flat and standardized, ready for a network.

One real data set is shipped inside the package: scikit-learn's 1,797 handwritten digits (see DIGITS.md beside this
file for where they come from and their licence). The others are read from files that the user already has; nothing is
downloaded and nothing is replaced by something else. What is done with the data lives in `measure` and `training`.
"""

from .dataset import NAMES, Dataset, load

__all__ = ["NAMES", "Dataset", "load"]
