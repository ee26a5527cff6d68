"""What a finite network does at initialization, with standard errors, set against the theory.

`measure` draws independent networks and records their lengths, distances and gradients layer by layer; `check` sets
those against a block's trajectories and gives a verdict.
`compare_init` sets initialization schemes side by side. Networks are built in `networks`, inputs come from `data`,
and training, which happens after initialization, is `training`'s.
"""

import sys
from types import ModuleType
from typing import Any

from .check import Check, check
from .comparison import Comparison
from .coordinates import CoordinateCheck, coordinate_check
from .measurement import Measurement, measure
from .schemes import SchemeComparison, compare_init

__all__ = [
    "Check",
    "Comparison",
    "CoordinateCheck",
    "Measurement",
    "SchemeComparison",
    "check",
    "compare_init",
    "coordinate_check",
    "measure",
]


class _Room(ModuleType):
    # The public face has `mf.measure(model, x)` and the house a folder of that name: Python binds the folder to the
    # name as soon as anything in it is imported, so the folder answers a call as the function does.
    def __call__(self, *args: Any, **kwargs: Any) -> Measurement:
        return measure(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
