"""Figures: functions that draw a result on an Axes and return the Axes.

Each takes a finished result and draws it: theory as lines, measurements as points with error bars. Nothing here
computes a quantity of the theory, shows a window, or changes matplotlib's global style. Colours have one meaning
throughout: red is chaotic, blue is ordered, black is critical.
"""

from .depth_scales import depth_scales
from .edge_of_chaos import edge_of_chaos
from .phase_diagram import phase_diagram
from .scheme_points import schemes
from .trainability import trainability
from .trajectory import trajectory

__all__ = ["depth_scales", "edge_of_chaos", "phase_diagram", "schemes", "trainability", "trajectory"]
