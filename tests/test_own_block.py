"""A user's own block, in a user's file, works everywhere that a shipped one works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.initializers import Scaled
from meanfield.training import Sweep, train


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MaskedDense(mf.Block):
    """A dense layer whose weights are each kept with probability 1 - rate and rescaled (after Wan et al. 2013)."""

    sigma_w: Any
    rate: Any
    independent_weights = True
    per_input_noise = True

    def __call__(self, kernel: mf.Kernel) -> mf.Kernel:
        ratio = self.rate / (1 - self.rate)
        return mf.Dense(self.sigma_w)(kernel.with_noise(ratio * kernel.q1, ratio * kernel.q2, tangent=1 + ratio))

    def finite(self, x, layer):
        kernel = layer.parameter("kernel", (x.shape[-1], layer.width), Scaled(self.sigma_w))
        if layer.deterministic:
            return x @ kernel
        kept = jax.random.bernoulli(layer.key(), 1 - self.rate, (*x.shape, layer.width))
        return jnp.einsum("...i,ij,...ij->...j", x, kernel, kept / (1 - self.rate))


OWN = mf.Activate("relu") >> MaskedDense(sigma_w=1.2, rate=0.2)


def test_fixed_point_and_the_critical_leaf():
    critical = mf.solve_critical(OWN, "sigma_w")
    assert critical.value**2 == pytest.approx(1.6, rel=1e-9)  # 2 (1 - rate)
    point = mf.fixed_point(mf.with_leaf(OWN, "sigma_w", 1.0))
    assert point.chi_1 == pytest.approx(0.5 / 0.8) and str(point.status) == "zero"


def test_phase_diagram_over_two_leaves():
    diagram = mf.phase_diagram(OWN, x=("sigma_w", [1.0, 1.2]), y=("rate", [0.1, 0.2, 0.25]))
    expected = np.array([1.0, 1.44]) / 2 / (1 - np.array([[0.1], [0.2], [0.25]]))
    np.testing.assert_allclose(diagram.chi_1, expected, rtol=1e-9)


def test_trajectory():
    path = mf.trajectory(OWN, 3, q0=(1.0, 1.0), c0=1.0)
    np.testing.assert_allclose(path.q1, 0.9 ** np.arange(4), rtol=1e-9)
    assert path.c[1] == pytest.approx(0.8)  # two identical inputs lose different weights


def test_network():
    net = mf.networks.Network(OWN, depth=3, width=20, d_in=7, d_out=2, rngs=nnx.Rngs(0))
    assert net.stacked == ("kernel",) and net.kernel.shape == (3, 20, 20) and net.last_kernel.shape == (20, 2)
    x = jnp.ones((4, 7))
    assert (net(x)[0] != net(x)[1]).any()
    net.eval()
    h = np.asarray(net.preactivations(x), float)
    np.testing.assert_allclose(h[1], np.maximum(h[0], 0) @ np.asarray(net.kernel[0], float), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_check_agrees_and_rejects_a_wrong_rate():
    sizes = {"depth": 4, "width": 200, "seeds": 8, "pairs": 2}
    assert mf.check(OWN, **sizes).verdict == "agrees"
    wrong = mf.with_leaf(OWN, "rate", 0.35)

    def factory(rngs):
        return mf.networks.Network(wrong, depth=4, width=200, d_in=64, rngs=rngs)

    assert mf.check(factory, block=OWN, **sizes).verdict == "rejected"


def test_sweep():
    sweep = Sweep(OWN, axes={"rate": [0.0, 0.25], "depth": (2,)}, width=16, steps=20, learning_rate=0.02)
    found = train(sweep)
    assert found.complete and found.train_accuracy.shape == (1, 2, 1)
    assert found.train_accuracy.mean() > 0.3  # chance is 0.1
    np.testing.assert_allclose(found.chi_1, 0.72 / np.array([1.0, 0.75]), rtol=1e-9)
    assert Sweep.from_json(sweep.to_json()) == sweep
