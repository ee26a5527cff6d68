"""muP against the tables of its paper."""

from __future__ import annotations

import jax.numpy as jnp
import optax
import pytest

from meanfield.errors import InputError
from meanfield.initializers import mup, mup_params, roles


def _tree(n, d=3, out=2):
    return {
        "in": jnp.ones((d, n)),
        "b": jnp.ones(n),
        "mid": jnp.ones((n, n)),
        "out": jnp.ones((n, out)),
        "c": jnp.ones(out),
    }


def test_mup_rates_are_the_papers():
    wide, base = _tree(64), _tree(16)
    assert roles(wide, base) == {"in": "input", "b": "input", "mid": "hidden", "out": "output", "c": "fixed"}
    rates = {}
    for kind in ("adam", "sgd"):
        step = mup(optax.sgd(1.0), wide, base, kind=kind)
        updates, _ = step.update(wide, step.init(wide), wide)
        rates[kind] = {k: -float(v.ravel()[0]) for k, v in updates.items()}
    assert rates["adam"] == {"in": 1, "b": 1, "mid": 0.25, "out": 0.25, "c": 1}
    assert rates["sgd"] == {"in": 4, "b": 4, "mid": 1, "out": 0.25, "c": 1}
    assert {k: float(v.ravel()[0]) for k, v in mup_params(wide, base).items()} == {
        "in": 1, "b": 1, "mid": 1, "out": 0.5, "c": 1,
    }  # fmt: skip
    with pytest.raises(InputError, match="base"):
        mup(optax.sgd(1.0), wide, {"in": jnp.ones((3, 4))})
