"""A trajectory as labelled data and as a file."""

from __future__ import annotations

import numpy as np
import pytest

import meanfield as mf
from meanfield.errors import InputError

xarray = pytest.importorskip("xarray")


@pytest.fixture(scope="module")
def path():
    return mf.trajectory(mf.MLP("relu", 1.3, 0.2), 4, q0=(np.ones(3), np.ones(3)), c0=np.array([0.0, 0.5, 0.9]))


def test_a_trajectory_is_labelled(path):
    data = path.to_xarray()
    assert data.q1.dims == ("layer", "pair") and data.layer.values.tolist() == [0, 1, 2, 3, 4]
    assert {data[name].attrs["units"] for name in data.data_vars} == {"1"} and data.layer.attrs["units"] == "layers"


def test_a_trajectory_comes_back_from_its_file(path, tmp_path):
    found = mf.Trajectory.load(path.save(tmp_path / "path.nc"))
    for name in ("q1", "q2", "c", "one_minus_c", "chi", "chi_c", "chi_relative"):
        np.testing.assert_array_equal(getattr(found, name), getattr(path, name))
    assert found.c_within is None


def test_another_file_is_refused(tmp_path):
    saved = mf.phase_diagram("relu", sigma_w=[1.0], sigma_b=[0.1]).save(tmp_path / "diagram.nc")
    with pytest.raises(InputError, match="has no q1"):
        mf.Trajectory.load(saved)


@pytest.mark.parametrize("q", [1e300, 1e-300])
def test_the_product_of_two_variances_may_leave_the_range_of_floats(q):
    path = mf.trajectory(mf.MLP("relu", 2**0.5), 1, q0=(q, q / 4), c0=0.5)
    usual = mf.trajectory(mf.MLP("relu", 2**0.5), 1, q0=(1.0, 0.25), c0=0.5)
    np.testing.assert_allclose(path.one_minus_c, usual.one_minus_c, rtol=1e-14)
    assert path.one_minus_c[0] == pytest.approx(0.5, rel=1e-14)
