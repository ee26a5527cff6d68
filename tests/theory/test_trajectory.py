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


@pytest.mark.parametrize("sigma_w, sigma_b", [(0.7, 0.3), (0.85, 0.05)])
def test_the_difference_of_two_lengths_keeps_its_digits(sigma_w, sigma_b):
    # Where it decays more slowly than the gap it feeds the gap: subtraction left 4.6e-5 of error at layer 40.
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 150
    w, b = mp.mpf(sigma_w) ** 2, mp.mpf(sigma_b) ** 2
    q1, q2, q12, expected = mp.mpf(1), mp.mpf(0.25), mp.mpf(0.25), []
    for _ in range(301):
        expected.append(float(1 - q12 / mp.sqrt(q1 * q2)))
        angles = [
            mp.asin(2 * x / mp.sqrt((1 + 2 * u) * (1 + 2 * v)))
            for x, u, v in ((q12, q1, q2), (q1, q1, q1), (q2, q2, q2))
        ]
        q12, q1, q2 = (2 * w / mp.pi * angle + b for angle in angles)
    path = mf.trajectory(mf.MLP("erf", sigma_w, sigma_b), 300, q0=(1.0, 0.25), c0=0.5)
    np.testing.assert_allclose(path.one_minus_c, expected, rtol=5e-13)
