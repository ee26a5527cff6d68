"""The one table of public names: where each lives, and where it used to be found."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

FLAT = {
    "Activation": "gaussian.activation",
    "activation": "gaussian.named",
    "referee": "gaussian.referee",
    "InputError": "errors",
    "Kernel": "blocks.kernel",
    "Block": "blocks.block",
    "Activate": "blocks.block",
    "Dense": "blocks.block",
    "Serial": "blocks.block",
    "MLP": "blocks.block",
    "Pointwise": "blocks.block",
    "Residual": "blocks.residual",
    "Sum": "blocks.residual",
    "Repeat": "blocks.residual",
    "Dropout": "blocks.noise",
    "Noise": "blocks.noise",
    "NReLU": "blocks.noise",
    "LayerNorm": "blocks.normalization",
    "RMSNorm": "blocks.normalization",
    "BatchNorm": "blocks.normalization",
    "WeightStandardized": "blocks.normalization",
    "Conv": "blocks.convolution",
    "GLU": "blocks.gated",
    "Attention": "blocks.attention",
    "architecture": "blocks.architectures",
    "leaf": "blocks.leaves",
    "leaf_paths": "blocks.leaves",
    "with_leaf": "blocks.leaves",
    "to_json": "blocks.leaves",
    "from_json": "blocks.leaves",
    "FixedPoint": "theory.fixed_point",
    "fixed_point": "theory.fixed_point",
    "variance_map": "theory.maps",
    "correlation_map": "theory.maps",
    "trajectory": "theory.trajectory",
    "curvature": "theory.curvature",
    "extrinsic_curvature": "theory.curvature",
    "mode_decay": "theory.mode_decay",
    "Growth": "theory.growth",
    "growth": "theory.growth",
    "critical": "theory.critical",
    "edge_of_chaos": "theory.critical",
    "CriticalLeaf": "theory.critical_leaf",
    "solve_critical": "theory.critical_leaf",
    "LeafDiagram": "theory.leaf_grid",
    "phase_diagram": "theory.phase_diagram",
    "Status": "interface.labels",
    "Phase": "interface.labels",
    "reinitialize": "models.reinitialize",
    "Check": "measurement.check",
    "check": "measurement.check",
    "measure": "measurement.measurement",
    "recommend": "advice.recommendation",
    "compare_init": "advice.compare_init",
    "Sweep": "training.sweep",
    "train": "training.train",
}
"""Public name: its module."""

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
"""Names that users found in another room: {former room: {name: its module}}."""


def look_up(name: str, table: dict[str, str]) -> Any:
    """The object that a table of modules says."""
    return getattr(import_module(f"meanfield.{table[name]}"), name)


def former(room: str) -> Callable[[str], Any]:
    """The `__getattr__` of a room that others have left: it still finds them."""

    def __getattr__(name: str) -> Any:
        if name in FORMER[room]:
            return look_up(name, FORMER[room])
        raise AttributeError(f"module 'meanfield.{room}' has no attribute {name!r}")

    return __getattr__
