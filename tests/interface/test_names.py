"""The table of public names: complete, and compatible with the names of the first version."""

from __future__ import annotations

import pytest

import meanfield as mf
from meanfield.interface.names import DECLARED, FLAT, FORMER, ROOMS, former

# `mf.__all__` of version 0.1, and the `__all__` of its rooms.
FIRST = """Activation activation referee InputError Kernel Block Activate Dense Serial MLP Pointwise Residual Sum Repeat
Dropout Noise NReLU LayerNorm RMSNorm BatchNorm WeightStandardized Conv GLU Attention FixedPoint fixed_point
variance_map correlation_map trajectory curvature extrinsic_curvature mode_decay Growth growth critical edge_of_chaos
CriticalLeaf solve_critical architecture leaf leaf_paths with_leaf to_json from_json LeafDiagram phase_diagram Status
Phase Check check reinitialize recommend compare_init Sweep train data initializers measure networks plots training
theory gaussian cli"""
FIRST_ROOMS = {
    "data": "NAMES Dataset load",
    "initializers": """DeltaOrthogonal Fixup He LsuvReport Orthogonal Recommendation Rule Scaled SelfNormalizing
        ShapedActivation SkipInit WeightStandardized critical delta_orthogonal dks fixup gain glorot he heuristic lecun
        lsuv mup mup_params orthogonal recommend reinitialize rezero roles self_normalizing selu skip_init tat
        weight_standardized""",
    "measure": """Check Comparison CoordinateCheck Measurement SchemeComparison check compare_init coordinate_check
        measure""",
    "networks": "MLP FixupBranch SkipBranch WSConv WSLinear",
    "plots": "depth_scales edge_of_chaos phase_diagram schemes trainability trajectory",
    "training": "Cost Sweep Trainability train",
    "cli": "main",
}


@pytest.mark.parametrize("name", sorted({*FIRST.split(), *mf.__all__}))
def test_every_public_name_is_there(name):
    assert getattr(mf, name) is not None
    assert name in dir(mf)


@pytest.mark.parametrize(("room", "names"), FIRST_ROOMS.items())
def test_every_name_of_a_room_is_there(room, names):
    room = getattr(mf, room)
    for name in names.split():
        assert getattr(room, name) is not None, name


RESULTS = """PhaseDiagram CriticalPoint EdgeOfChaos Trajectory Trainability FixedPoint Growth CriticalLeaf Curvature
Check Comparison Measurement Recommendation SchemeComparison CoordinateCheck coordinate_check"""


@pytest.mark.parametrize("name", RESULTS.split())
def test_results_are_found_from_outside(name):
    assert name in mf.__all__ and getattr(mf, name).__doc__


def test_a_name_is_declared_once():
    assert len(FLAT) == sum(len(names) for names in DECLARED.values())
    assert not set(FLAT) & set(ROOMS)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mf.nonsense  # noqa: B018
    for room in FORMER:
        with pytest.raises(AttributeError, match=f"'meanfield.{room}' has no attribute 'nonsense'"):
            former(room)("nonsense")
