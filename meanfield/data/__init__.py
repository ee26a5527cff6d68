"""Data sets of images, flat and standardized, ready for a network.

One real data set is shipped inside the package: scikit-learn's 1,797 handwritten digits (see DIGITS.md beside this file
for their origin and licence). The others are read from files that the user already has; nothing is downloaded and
nothing is substituted. The data are used in `measurement` and `training`.
"""

from .dataset import NAMES, Dataset, load

__all__ = ["NAMES", "Dataset", "load"]
