"""Critical points of eoc.json found from each of the three numbers, and activations without one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import meanfield as mf

RECORDS = json.loads((Path(__file__).parent.parent / "reference" / "eoc.json").read_text())["records"]
INTERIOR = [r for r in RECORDS if r["kind"] == "interior"]


def _row(record):
    return (record["activation"], *(float(record[k]) for k in ("sigma_w", "sigma_b", "q", "chi_q")))


@pytest.mark.slow
@pytest.mark.parametrize("record", INTERIOR, ids=lambda r: f"{r['activation']}-{r['sigma_b']}")
def test_every_row_from_q_and_from_sigma_w(record):
    name, sigma_w, sigma_b, q, chi_q = _row(record)
    at_q = mf.critical(name, q=q)
    assert at_q.sigma_w == pytest.approx(sigma_w, rel=1e-9)
    assert at_q.sigma_b == pytest.approx(sigma_b, rel=1e-6, abs=1e-8)
    assert bool(at_q.stable) == (chi_q < 1)
    branches = mf.critical(name, sigma_w=sigma_w).branches
    # d q / d sigma_w is large where the line is steep.
    assert np.nanmin(np.abs(branches.q / q - 1)) < 1e-7


@pytest.mark.parametrize(
    "name, given, status, stable",
    [
        ("sigmoid", {"sigma_w": 9.0}, "none", False),
        ("sigmoid", {"sigma_w": 10.2}, "found", True),
        ("softplus", {"sigma_b": 0.1}, "none", False),
        ("relu", {"sigma_b": 0.0}, "scale_invariant", False),
        ("relu", {"sigma_b": 0.1}, "none", False),
        ("gelu", {"sigma_b": 0.2}, "found", False),
        ("gelu", {"sigma_b": 0.5}, "found", True),
        ("silu", {"sigma_b": 0.745}, "found", False),
        ("silu", {"sigma_b": 0.746}, "found", True),
        ("tanh", {"sigma_b": 0.0}, "limit_q0", False),
    ],
)
def test_gaps(name, given, status, stable):
    found = mf.critical(name, **given)
    assert (str(found.status), bool(found.stable)) == (status, stable)


def test_the_logistic_line_starts_at_its_corner():
    found = mf.critical("sigmoid", sigma_b=0.0)
    # The logistic line begins at sigma_w = 10.149 (docs/theory.md, under what is often mis-stated).
    assert found.sigma_w == pytest.approx(10.1493, abs=5e-5) and found.q_star == pytest.approx(45.6243, abs=5e-5)


def test_the_half_stable_points():
    # C_W, K* of SWISH and GELU where both susceptibilities are 1 (Roberts, Yaida & Hanin 2022).
    for name, w_var, q in (("silu", 1.988004678, 14.320173618), ("gelu", 1.983058257, 3.561552813)):
        found = mf.critical(name, q=q)
        assert found.sigma_w**2 == pytest.approx(w_var, rel=1e-9) and found.chi_q == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize(
    "given, values", [("sigma_b", [[0.0, 0.1], [0.3, 0.8]]), ("sigma_w", [1.1, 2.0]), ("q", [0.0, 3.0])]
)
def test_an_array_is_its_numbers_one_by_one(given, values):
    values = np.array(values)
    found = mf.critical("gelu", **{given: values})
    for i in np.ndindex(values.shape):
        one = mf.critical("gelu", **{given: values[i]})
        assert str(found.status[i]) == str(one.status)
        for name in ("sigma_w", "sigma_b", "q_star", "chi_q", "stable"):
            np.testing.assert_allclose(getattr(found, name)[i], getattr(one, name), rtol=1e-10)
        np.testing.assert_allclose(found.branches.q[i], one.branches.q, rtol=1e-9)
