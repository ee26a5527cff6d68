"""meanfield: the mean-field theory of deep networks at initialization, for any activation.

A block maps a kernel to a kernel; every quantity is a function of a block. The flat names below load their modules
when they are first used, so that `import meanfield` costs next to nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Activation": "gaussian.activation",
    "activation": "gaussian.named",
    "referee": "gaussian.referee",
    "InputError": "errors",
    "Kernel": "theory.kernel",
    "Block": "theory.block",
    "Activate": "theory.block",
    "Dense": "theory.block",
    "Serial": "theory.block",
    "MLP": "theory.block",
    "Pointwise": "theory.block",
    "Residual": "theory.blocks.residual",
    "Sum": "theory.blocks.residual",
    "Repeat": "theory.blocks.residual",
    "Dropout": "theory.blocks.noise",
    "Noise": "theory.blocks.noise",
    "NReLU": "theory.blocks.noise",
    "LayerNorm": "theory.blocks.normalization",
    "RMSNorm": "theory.blocks.normalization",
    "BatchNorm": "theory.blocks.normalization",
    "WeightStandardized": "theory.blocks.normalization",
    "Conv": "theory.blocks.convolution",
    "GLU": "theory.blocks.gated",
    "Attention": "theory.blocks.attention",
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
    "architecture": "theory.architectures",
    "leaf": "theory.leaves",
    "leaf_paths": "theory.leaves",
    "with_leaf": "theory.leaves",
    "to_json": "theory.leaves",
    "from_json": "theory.leaves",
    "LeafDiagram": "theory.leaf_grid",
    "phase_diagram": "theory.phase_diagram",
    "Status": "theory.status",
    "Phase": "theory.status",
    "Check": "measure.check",
    "check": "measure.check",
    "reinitialize": "initializers.redrawing",
    "recommend": "initializers.recommendation",
    "compare_init": "measure.schemes",
    "Sweep": "training.sweep",
    "train": "training.grid",
}
_ROOMS = ("data", "initializers", "measure", "networks", "plots", "training", "theory", "gaussian", "cli")

__all__ = [*_HOME, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'meanfield' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
