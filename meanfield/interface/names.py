"""The one table of public names: where each lives now, and where it lived before."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

DECLARED = {
    "errors": ("InputError",),
    "interface.labels": ("Status", "Phase"),
    "gaussian.activation": ("Activation",),
    "gaussian.named": ("activation",),
    "gaussian.referee": ("referee",),
    "blocks.kernel": ("Kernel",),
    "blocks.block": ("Block", "Activate", "Dense", "Serial", "MLP", "Pointwise"),
    "blocks.residual": ("Residual", "Sum", "Repeat"),
    "blocks.noise": ("Dropout", "Noise", "NReLU"),
    "blocks.normalization": ("LayerNorm", "RMSNorm", "BatchNorm", "WeightStandardized"),
    "blocks.convolution": ("Conv",),
    "blocks.gated": ("GLU",),
    "blocks.attention": ("Attention",),
    "blocks.architectures": ("architecture",),
    "blocks.leaves": ("leaf", "leaf_paths", "with_leaf", "to_json", "from_json"),
    "theory.solution": ("FixedPoint",),
    "theory.fixed_point": ("fixed_point",),
    "theory.maps": ("variance_map", "correlation_map"),
    "theory.trajectory": ("Trajectory", "trajectory"),
    "theory.curvature": ("Curvature", "ExtrinsicCurvature", "curvature", "extrinsic_curvature"),
    "theory.mode_decay": ("mode_decay",),
    "theory.growth": ("Growth", "growth"),
    "theory.critical": ("CriticalPoint", "EdgeOfChaos", "critical", "edge_of_chaos"),
    "theory.critical_leaf": ("CriticalLeaf", "solve_critical"),
    "theory.phase_diagram": ("PhaseDiagram", "phase_diagram"),
    "models.reinitialize": ("reinitialize",),
    "measurement.check": ("Check", "check"),
    "measurement.comparison": ("Comparison",),
    "measurement.measurement": ("Measurement", "measure"),
    "advice.recommendation": ("Recommendation", "recommend"),
    "advice.compare_init": ("SchemeComparison", "compare_init"),
    "training.coordinate_check": ("CoordinateCheck", "coordinate_check"),
    "training.sweep": ("Sweep",),
    "training.trainability": ("Trainability",),
    "training.train": ("train",),
}
"""Module: its public names. A new public name is one word here."""

FLAT = {name: module for module, names in DECLARED.items() for name in names}
"""Public name: its module."""

ALIASES = {"LeafDiagram": "PhaseDiagram"}
"""Former names of what has since been renamed."""

ROOMS = (
    "interface",
    "gaussian",
    "blocks",
    "solvers",
    "tables",
    "theory",
    "initializers",
    "data",
    "networks",
    "models",
    "measurement",
    "training",
    "advice",
    "plots",
    "cli",
)
"""The rooms in the order in which data flows; an import points up this list."""

FORMER = {
    "initializers": {
        "LsuvReport": "models.lsuv",
        "lsuv": "models.lsuv",
        "reinitialize": "models.reinitialize",
        "Recommendation": "advice.recommendation",
        "recommend": "advice.recommendation",
    },
    "measure": {
        "Check": "measurement.check",
        "check": "measurement.check",
        "Comparison": "measurement.comparison",
        "Measurement": "measurement.measurement",
        "measure": "measurement.measurement",
        "CoordinateCheck": "training.coordinate_check",
        "coordinate_check": "training.coordinate_check",
        "SchemeComparison": "advice.compare_init",
        "compare_init": "advice.compare_init",
    },
}
"""Names that used to live in another room: {former room: {name: its module}}."""


def look_up(name: str, table: dict[str, str]) -> Any:
    """The object that a table of modules points to."""
    return getattr(import_module(f"meanfield.{table[name]}"), name)


class PublicNames:
    """The public names as attributes, each importing its module on first use, like `mf` in the examples.

    >>> PublicNames().InputError.__name__
    'InputError'
    """

    def __getattr__(self, name: str) -> Any:
        if name not in FLAT:
            raise AttributeError(f"meanfield has no public name {name!r}")
        return look_up(name, FLAT)


def load_blocks() -> None:
    """Import every module of blocks with a public name, so that block classes can be found by name."""
    for module in DECLARED:
        if module.startswith("blocks."):
            import_module(f"meanfield.{module}")


def former(room: str) -> Callable[[str], Any]:
    """The `__getattr__` of a room from which names have moved: it still finds them."""

    def __getattr__(name: str) -> Any:
        if name in FORMER[room]:
            return look_up(name, FORMER[room])
        raise AttributeError(f"module 'meanfield.{room}' has no attribute {name!r}")

    return __getattr__
