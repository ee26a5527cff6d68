"""Panels of a table: when they are filled, and that the results do not depend on it."""

import jax
import numpy as np
import pytest

import meanfield as mf
from meanfield.tables.moment_table import Table


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def test_numbers_do_not_depend_on_what_was_asked_before():
    phi = mf.activation("sin")
    fresh, used = Table(phi), Table(phi)
    hard, easy = fresh.panel_of(np.array([30.0**2, 1.0]))
    used.pairs(hard)
    for one, other in zip(fresh.pairs(easy), used.pairs(easy), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_margin_is_filled_with_what_is_missing_and_not_otherwise():
    table = Table(mf.activation("erf"))
    assert table.atlas({3, 5}).panels == {3, 5}
    assert table.atlas({3}, margin=2).panels == {3, 5}
    assert table.atlas({4}, margin=2).panels == {2, 3, 4, 5, 6}
    assert table.atlas({0}, margin=1).panels == {0, 1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("name", ["tanh", "gelu", "hard_tanh"])
def test_moments_are_interpolated_to_what_they_say(name):
    phi = mf.activation(name)
    table, q = Table(phi), np.geomspace(1e-6, 1e6, 40)
    known = mf.gaussian.host_activation.host_activation(phi).samples.moments_at(q)
    found = [table.activation().closed.moments(None, np.float64(one)) for one in q]
    np.testing.assert_allclose([m.second for m in found], known.second, rtol=1e-11)
    np.testing.assert_allclose([m.slope for m in found], known.slope, rtol=1e-9)
    assert all(abs(m.second - exact) <= m.error + 1e-15 for m, exact in zip(found, known.second, strict=True))
