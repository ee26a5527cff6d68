"""The main calls under JAX's own settings, and from many threads at once: the same numbers as without."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.interface.settings import in_own_settings, own_settings

SETTINGS = {
    "promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "ranks": lambda: jax.numpy_rank_promotion("raise"),
    "nans": lambda: jax.debug_nans(True),
    "infs": lambda: jax.debug_infs(True),
    "guard": lambda: jax.transfer_guard("disallow"),
    "guard to device": lambda: jax.transfer_guard_host_to_device("disallow"),
    "checks": lambda: jax.enable_checks(True),
    "no jit": lambda: jax.disable_jit(),
    "leaks": lambda: jax.check_tracer_leaks(True),
    "x64": lambda: jax.enable_x64(True),
}
TANH = mf.MLP("tanh", 1.5, 0.3)


def _relu_like(x):
    return jnp.where(x > 0, x, 0.1 * x**2)


class _Model(nnx.Module):
    def __init__(self, rngs):
        self.first, self.last = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x):
        return self.last(jnp.tanh(self.first(x)))


def _network():
    return mf.networks.Network(TANH, depth=2, width=8, d_in=4, rngs=nnx.Rngs(0))


@cache
def _given():
    """What a user has made before: keys and arrays on the device."""
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    return jax.random.key(0), jnp.float32(1.5), jnp.ones((3, 4)), _Model(nnx.Rngs(0)), x, nnx.Rngs(3), _network()


def _drawn():
    key, shape = _given()[0], (8, 8)
    rules = mf.initializers.he(), mf.initializers.orthogonal(), mf.initializers.critical("tanh", sigma_b=0.1)
    return [rule(key, shape) for rule in rules] + [mf.initializers.lecun()(key, shape, jnp.bfloat16)]


CALLS = {
    "fixed_point": lambda: mf.fixed_point(TANH).chi_c,
    "fixed_point, infinite": lambda: mf.fixed_point(mf.MLP("relu", 2.2, 0.3)).q_star,
    "fixed_point, callable": lambda: mf.fixed_point(mf.MLP(_relu_like, 1.0, 0.3)).chi_1,
    "fixed_point, expression": lambda: mf.fixed_point(mf.MLP("where(x > 0, x, .2 * x)", 1.0, 0.3)).chi_1,
    "fixed_point, jump": lambda: mf.fixed_point(mf.MLP("sign", 1.2, 0.3)).c_star,
    "fixed_point, LayerNorm": lambda: mf.fixed_point(mf.LayerNorm() >> mf.MLP("tanh", 2.0, 0.1)).c_star,
    "trajectory": lambda: mf.trajectory(TANH, 10, q0=(1.0, 2.0)).c,
    "trajectory, residual": lambda: mf.trajectory(mf.Residual(TANH), 4, q0=(1.0, 2.0)).c,
    "maps": lambda: [mf.variance_map(TANH, 1.0), mf.correlation_map(TANH, 0.5)],
    "critical": lambda: mf.critical("tanh", sigma_b=0.3).sigma_w,
    "edge_of_chaos": lambda: mf.edge_of_chaos("tanh", q=(1e-3, 1.0, 10)).sigma_w,
    "phase_diagram": lambda: mf.phase_diagram("tanh", (0.5, 4.0, 6), (0.0, 1.0, 5)).chi_1,
    "growth": lambda: mf.growth(mf.Residual(mf.MLP("tanh", 1.0, 0.0))).rate,
    "recommend": lambda: mf.recommend("tanh", depth=20).sigma_w,
    "solve_critical": lambda: mf.solve_critical(mf.MLP("tanh", 1.4, 0.2), "sigma_w", (1.0, 2.0)).value,
    "activation": lambda: mf.activation("leaky_relu", slope=np.float64(0.2))(_given()[2]),
    "initializers": _drawn,
    "reinitialize": lambda: jax.tree.leaves(mf.reinitialize(_given()[3], mf.initializers.he(), key=0)),
    "lsuv": lambda: jax.tree.leaves(nnx.state(mf.initializers.lsuv(_given()[3], _given()[4])[0])),
    "measure": lambda: mf.measure(_given()[6], _given()[4], pairs=2).q1,
    "Network": lambda: mf.networks.Network(TANH, depth=2, width=8, d_in=4, rngs=_given()[5])(_given()[2]).shape,
    "check": lambda: mf.check(TANH, depth=2, width=32, seeds=2).c,
    "train": lambda: mf.train(mf.Sweep("tanh", depths=(2,), sigma_w=[1.5], width=16, steps=2)).test_accuracy,
}


@cache
def _expected(name):
    return _numbers(name)


def _numbers(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [np.asarray(leaf, float) for leaf in jax.tree.leaves(CALLS[name]())]


def _same(name):
    for found, right in zip(_numbers(name), _expected(name), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-6)


def _hold_under(settings, names):
    _given()
    for name in names:
        _expected(name)
        with ExitStack() as stack:
            for setting in settings:
                stack.enter_context(SETTINGS[setting]())
            try:
                _same(name)
            except Exception as error:
                raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error


def test_main_calls_under_all_settings_together():
    slow = ("solve_critical", "phase_diagram", "growth", "fixed_point, LayerNorm", "recommend", "check", "train")
    _hold_under(("promotion", "ranks", "nans", "guard", "checks"), [name for name in CALLS if name not in slow])


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_main_calls_under_one_setting(setting):
    _hold_under((setting,), CALLS)


def test_calls_from_eight_threads_half_of_them_under_settings():
    names = ["fixed_point", "fixed_point, jump", "trajectory", "maps", "critical", "edge_of_chaos", "activation"]
    names += ["fixed_point, LayerNorm"]
    for name in names:
        _expected(name)

    def work(i):
        _hold_under(("promotion", "nans", "guard") if i % 2 else (), names[i:] + names[:i])
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_the_settings_are_the_users_again():
    with jax.numpy_dtype_promotion("strict"), jax.debug_nans(True), jax.transfer_guard("disallow"):
        with own_settings():
            assert jax.config.jax_numpy_dtype_promotion == "standard" and not jax.config.jax_debug_nans
        assert jax.config.jax_numpy_dtype_promotion == "strict" and jax.config.jax_debug_nans
        assert jax.config.jax_transfer_guard_host_to_device == "disallow"
        assert in_own_settings(lambda: jax.config.jax_debug_nans)() is False
    assert isinstance(own_settings(), nullcontext)
