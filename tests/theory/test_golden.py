"""Every row of the reference tables: fixed points (golden.json) and critical points (eoc.json).

The tables were computed in binary128 by a kink-split Gauss-Legendre code, and checked with Arb and closed forms, as
recorded in them. `marginal` rows are decided by the last bit of sigma_w^2: there `scale_invariant` is the right answer.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import meanfield as mf

REFERENCE = Path(__file__).parents[1] / "reference"
GOLDEN = json.loads((REFERENCE / "golden.json").read_text())["records"]
EOC = json.loads((REFERENCE / "eoc.json").read_text())["records"]
ACTIVATIONS = sorted({row["activation"] for row in GOLDEN})
STATUS = {"finite": "converged", "zero": "zero", "diverges": "diverges", "marginal": "scale_invariant"}
EPS = 2.0**-52


def number(text):
    return math.nan if text is None else float(text)


def conditioning(row):
    """The effect of rounding the inputs to binary64 on q*, and on quantities near criticality."""
    distances = abs(1 - number(row["chi_q"])), abs(number(row["chi_1_minus_1"]))
    return tuple(math.inf if distance == 0 else 8 * EPS / distance for distance in distances)


def tolerance(row, field):
    of_q, of_c = conditioning(row)
    if field in ("q_star", "chi_1", "chi_q"):
        return max(1e-9, of_q)
    # 1e-7, and 1e-4 where chi_1 is 1e-8 from 1.
    near = 1e-12 / max(abs(number(row["chi_1_minus_1"])), 1e-300)
    return max(1e-7, near, of_c)


def same(found, row, field, key):
    expected, tol = number(row[key]), tolerance(row, field)
    if math.isnan(expected):
        return math.isnan(found)
    if not math.isfinite(expected) or expected == 0 or tol > 1:
        return found == expected or tol > 1
    # sin at (100, 1) has chi = exp(-5000): below the smallest binary64, where xi is 0 rather than 2e-4 layers.
    if field.startswith("xi") and 0 < expected < 1 / 745:
        return found == 0
    return abs(found - expected) <= tol * abs(expected)


FIELDS = {
    "q_star": "q_star",
    "chi_1": "chi_1",
    "chi_q": "chi_q",
    "c_star": "c_star",
    "one_minus_c_star": "one_minus_c_star",
    "xi_c": "xi_c",
    "xi_q": "xi_q",
    "xi_grad": "xi_grad",
    "chi_c": "chi_c_star",
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_golden(name):
    rows = [row for row in GOLDEN if row["activation"] == name]
    wrong = []
    for row in rows:
        point = mf.fixed_point(mf.MLP(name, float(row["sigma_w"]), float(row["sigma_b"])))
        here = (name, row["sigma_w"], row["sigma_b"])
        expected = (
            "scale_invariant" if "marginal" in row["tags"] and "scale" in str(point.status) else STATUS[row["q_status"]]
        )
        if str(point.status) != expected:
            wrong.append((*here, "status", str(point.status), expected))
            continue
        if expected in ("diverges", "scale_invariant"):
            continue
        for field, key in FIELDS.items():
            if not same(float(getattr(point, field)), row, field, key):
                wrong.append((*here, field, float(getattr(point, field)), row[key]))
        every = [float(known["q"]) for known in row["fixed_points"] if float(known["q"]) > 0]
        found = point.all_q[~np.isnan(point.all_q)]
        if len(every) != len(found) or not np.allclose(found, every, rtol=min(1.0, max(1e-6, conditioning(row)[0]))):
            wrong.append((*here, "all_q", found, every))
        error, q_star = abs(float(point.q_star) - number(row["q_star"])), number(row["q_star"])
        # The bound is honest, and not a thousand times what double precision allows.
        if error > point.q_error + 2 * EPS * q_star:
            wrong.append((*here, "q_error below the error", float(point.q_error), error))
        if q_star > 0 and point.q_error > 1e3 * (error + q_star * conditioning(row)[0] / 8 + EPS * q_star):
            wrong.append((*here, "q_error too large", float(point.q_error), error))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(rows) >= 4


@pytest.mark.parametrize("name", sorted({row["activation"] for row in EOC}))
def test_critical_points(name):
    kinds = {"interior": "found", "q*=0 limit": "limit_q0", "homogeneous": "scale_invariant", None: "none"}
    for row in (row for row in EOC if row["activation"] == name):
        point = mf.critical(name, sigma_b=float(row["sigma_b"]))
        assert str(point.status) == kinds[row["kind"]], row
        if not row["exists"]:
            assert math.isnan(point.sigma_w) and math.isnan(point.q_star)
            continue
        assert float(point.sigma_w) == pytest.approx(float(row["sigma_w"]), rel=1e-9)
        if row["q"] not in (None, "any"):
            assert float(point.q_star) == pytest.approx(float(row["q"]), rel=1e-9, abs=0)
            assert float(point.chi_q) == pytest.approx(float(row["chi_q"]), rel=1e-9)
            assert bool(point.stable) == (float(row["chi_q"]) < 1)


def test_a_wrong_digit_is_seen():
    row = dict(next(row for row in GOLDEN if row["activation"] == "tanh" and row["q_status"] == "finite"))
    point = mf.fixed_point(mf.MLP("tanh", float(row["sigma_w"]), float(row["sigma_b"])))
    assert same(float(point.q_star), row, "q_star", "q_star")
    assert not same(float(point.q_star) * (1 + 1e-8), row, "q_star", "q_star")
