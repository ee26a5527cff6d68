"""The one table of names, units and symbols has every field, and figures and files use it."""

from dataclasses import fields

import pytest

import meanfield as mf
from meanfield.interface.netcdf import describe
from meanfield.interface.quantities import QUANTITIES, symbol
from meanfield.theory.critical import EdgeOfChaos


@pytest.mark.parametrize("result", [mf.FixedPoint, EdgeOfChaos])
def test_every_field_is_declared(result):
    assert not [f.name for f in fields(result) if f.name not in QUANTITIES]


def test_depth_scales_are_in_layers_and_all_else_is_a_number():
    assert {name for name, known in QUANTITIES.items() if known.units == "layers"} == {
        "layer",
        "xi_c",
        "xi_q",
        "xi_grad",
    }
    assert {known.units for known in QUANTITIES.values()} == {"1", "layers"}


def test_a_leaf_that_is_no_quantity_is_called_by_its_path():
    assert symbol("blocks.1.rate") == "blocks.1.rate"
    assert describe("rate") == {"long_name": "rate", "units": "1"}
    assert describe("xi_c") == {"long_name": QUANTITIES["xi_c"].long_name, "units": "layers"}
