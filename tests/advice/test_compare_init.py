"""The table of schemes: its predictions, and what networks do."""

from __future__ import annotations

import numpy as np
import pytest

import meanfield as mf
from meanfield.advice.compare_init import schemes, verdict
from meanfield.initializers import critical, glorot, he, heuristic, lecun


def _words(phi, depth, rules):
    found = mf.compare_init(phi, depth, measured=False, rules=rules)
    return dict(zip(found.schemes, found.verdict, strict=True))


def test_the_table_foretells_a_hundred_layers_of_tanh():
    rules = {"lecun": lecun, "he": he, "heuristic": heuristic, "critical": critical("tanh", q=0.01)}
    assert _words("tanh", 100, rules) == {
        "lecun": "trains",
        "he": "gradients explode",
        "heuristic": "gradients vanish",
        "critical": "trains",
    }


@pytest.mark.slow
def test_the_table_foretells_a_hundred_layers_of_gelu():
    rules = {"lecun": lecun, "glorot": glorot, "he": he, "critical": critical("gelu", sigma_b=0.5)}
    assert _words("gelu", 100, rules) == {
        "lecun": "gradients vanish",
        "glorot": "gradients vanish",
        "he": "gradients vanish",
        "critical": "trains",
    }


@pytest.mark.slow
def test_networks_do_what_the_table_says():
    found = mf.compare_init("relu", 30, width=300, seeds=4, rules={"he": he, "lecun": lecun})
    np.testing.assert_allclose(np.log2(found.q_end), [1, -30], atol=1e-9)
    # ln of a product of 30 factors of relative variance 5/300: mean -1/2 of its variance, over 4 networks.
    spread = 30 * 5 / 300
    off = found.measured_log_gradient - found.log_gradient
    assert (np.abs(off + spread / 2) < 5 * (spread / 4) ** 0.5).all()
    assert found.verdict == ("trains", "gradients vanish")
    headers, rows = found.table()
    assert len(headers) == len(rows[0]) and rows[0][0] == "he"


def test_schemes_of_an_activation():
    names = set(schemes("tanh", 50))
    assert {"lecun", "glorot", "he", "heuristic", "gain second_moment", "critical q=1/depth", "recommended"} <= names
    assert "recommended" not in schemes("softplus", 50) and "gain gradient" not in schemes("step", 50)


@pytest.mark.parametrize(
    "case, word",
    [
        ((np.inf, 0.0, np.nan, "diverges", 10), "variance diverges"),
        ((1.0, -7.0, 2.0, "converged", 10), "gradients vanish"),
        ((1.0, 7.0, 2.0, "converged", 10), "gradients explode"),
        ((1.0, 1.0, 2.0, "converged", 13), "inputs merge"),
        ((1.0, 1.0, 2.0, "converged", 11), "trains"),
        ((1.0, np.nan, np.nan, "cycles", 11), "undefined"),
    ],
)
def test_verdicts(case, word):
    assert verdict(*case) == word


@pytest.mark.slow
def test_schemes_of_a_block_are_put_on_its_sigmas():
    block = mf.Residual(mf.LayerNorm() >> mf.MLP("relu", 1.0), scale=0.5, skip=0.8)
    found = mf.compare_init(block, 10, width=200, seeds=3, rules={"he": he, "lecun": lecun})
    path = [mf.trajectory(mf.with_leaf(block, "sigma_w", w), 10, q0=(w**2, w**2)) for w in (2**0.5, 1.0)]
    np.testing.assert_allclose(found.q_end, [p.q1[-1] for p in path], rtol=1e-9)
    np.testing.assert_allclose(found.log_gradient, [np.log(p.chi[:-1]).sum() for p in path], rtol=1e-9)
    # Fluctuations of 10 layers over width 200, and those of 3 networks.
    np.testing.assert_allclose(np.log(found.measured_q_end), np.log(found.q_end), atol=0.2)
    assert found.activation == repr(block) and len(schemes("relu", 10)) > 2
