"""Float32 inside the user's jit: the rows of golden.json rounded to float32, against float64 at the rounded inputs.

A number may be wrong by 1e-4, or by 8 roundings of an input amplified by its distance from criticality. A number in
float64 may not be NaN, and away from criticality the status is the same.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf

GOLDEN = json.loads((Path(__file__).parents[1] / "reference" / "golden.json").read_text())["records"]
EPS, TINY = 2.0**-23, float(np.finfo(np.float32).tiny)
QUICK = ("relu", "erf")
OF_Q = ("q_star", "chi_1", "chi_q", "xi_q")
OF_C = ("c_star", "one_minus_c_star", "chi_c", "xi_c", "xi_grad")
SLOW = tuple(
    pytest.param(name, marks=pytest.mark.slow)
    for name in sorted({row["activation"] for row in GOLDEN})
    if name not in QUICK
)


def gaps(point):
    """|1 - chi_q| and |1 - chi_1|; infinite where there is no such number."""
    return tuple(np.inf if np.isnan(chi) else abs(1 - float(chi)) for chi in (point.chi_q, point.chi_1))


def tolerance(point, field):
    of_q, of_c = gaps(point)
    gap = of_q if field in OF_Q else min(of_q, of_c)
    return np.inf if gap == 0 else max(1e-4, 8 * EPS / gap)


# A pair is carried as 1 - c, so that a c near 0 has absolute digits only; and so has a chi_c that is exponentially
# small in q and proportional to c (cos at c* = 2e-4), whose logarithm xi_c is held to its digits.
FLOOR = {"c_star": 8 * EPS, "chi_c": 8 * EPS}


def same(found, expected, tolerance, floor=TINY):
    if np.isnan(expected) or tolerance > 1:
        return np.isnan(expected) or not np.isnan(found)
    if not np.isfinite(expected) or expected == found:
        return expected == found
    return abs(found - expected) <= tolerance * abs(expected) + floor


def wrong_fields(found, exact):
    """Names of the fields of a float32 point that differ from the float64 one by more than allowed."""
    if str(found.status) != str(exact.status):
        return ["status"] if min(gaps(exact)) > 1e-3 else []
    fields = [field for field in OF_Q + OF_C if not underflows(exact, field)]
    values = ((field, float(getattr(found, field)), float(getattr(exact, field))) for field in fields)
    return [field for field, a, b in values if not same(a, b, tolerance(exact, field), FLOOR.get(field, TINY))]


def underflows(exact, field):
    """Whether a depth scale is that of a chi which float32 cannot hold, and so is 0 there."""
    chi = {"xi_c": exact.chi_c, "xi_q": exact.chi_q, "xi_grad": exact.chi_1}.get(field, np.nan)
    return abs(float(chi)) < TINY


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_float32(name):
    solve = jax.jit(lambda w, b: mf.fixed_point(mf.MLP(name, w, b)))
    wrong = []
    for row in (row for row in GOLDEN if row["activation"] == name):
        w, b = np.float32(row["sigma_w"]), np.float32(row["sigma_b"])
        exact = mf.fixed_point(mf.MLP(name, float(w), float(b)))
        found = solve(w, b)
        assert found.q_star.dtype == jnp.float32
        for field in wrong_fields(found, exact):
            wrong.append((name, float(w), float(b), field, getattr(found, field), getattr(exact, field), gaps(exact)))
    assert not wrong, "\n".join(map(str, wrong))


def test_a_wrong_number_is_seen():
    exact = mf.fixed_point(mf.MLP("tanh", 1.5, 0.3))
    assert not wrong_fields(exact, exact)
    moved = jax.tree.map(lambda value: value, exact)
    for field, value in (("q_star", exact.q_star * 1.001), ("xi_c", np.nan), ("chi_c", exact.chi_c * 0.999)):
        object.__setattr__(moved, field, value)
    assert wrong_fields(moved, exact) == ["q_star", "chi_c", "xi_c"]
