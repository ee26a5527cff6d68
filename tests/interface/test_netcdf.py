"""Missing and malformed files; labels and booleans in NetCDF."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.interface.labels import Phase
from meanfield.interface.netcdf import read, variable, write

xarray = pytest.importorskip("xarray")


def test_labels_are_flags_that_explain_themselves():
    phase = variable("phase", Phase(np.array([[0, 2]], np.int8)), ("y", "x", "fixed_point"))
    assert phase.dims == ("y", "x") and phase.dtype == np.int8
    assert phase.attrs["flag_meanings"].split() == list(Phase.words)
    assert phase.attrs["flag_values"].tolist() == [0, 1, 2, 3, 4]
    assert Phase.meanings["chaotic"] in phase.attrs["comment"] and phase.attrs["long_name"]


def test_every_axis_has_a_name_and_units():
    block = mf.Activate("tanh") >> mf.Dropout(0.1) >> mf.Dense(1.0)
    data = mf.phase_diagram(block, x=("blocks.2.sigma_w", [1.0, 1.5]), y=("rate", [0.1, 0.2])).to_xarray()
    assert {data[name].attrs["units"] for name in data.coords} == {"1"}
    assert "weights" in data["blocks.2.sigma_w"].attrs["long_name"] and data["rate"].attrs["long_name"] == "rate"


def test_truths_are_bytes():
    assert variable("stable", np.array([True, False]), ("q",)).dtype == np.int8


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "text.nc").write_text("no NetCDF")
    for name in ("missing.nc", "text.nc"):
        with pytest.raises(mf.InputError, match=f"{name}.*cannot be read") as error:
            read(tmp_path / name, {})
        assert "\n" not in str(error.value)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = write(xarray.Dataset({"a": ("x", [1.0])}), tmp_path / "other.nc")
    assert read(path, {"a": None}).a.values.tolist() == [1.0]
    with pytest.raises(mf.InputError, match="has no q_star"):
        mf.PhaseDiagram.load(path)
