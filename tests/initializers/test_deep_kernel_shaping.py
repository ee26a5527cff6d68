"""The published parameters of DKS and TAT."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import meanfield as mf
from meanfield.errors import InputError
from meanfield.initializers import dks, tat


def subnet(r, x0, groups=(3, 4, 23, 3), shortcut=0.6):
    """The architecture function of the published tests: residual blocks of three layers, and one block alone."""

    def block(x):
        return r(r(r(x)))

    x = x0
    for count in groups:
        for j in range(count):
            x = shortcut**2 * (x if j else r(x)) + (1 - shortcut**2) * block(x)
    return max(r(x), block(x0))


# (gamma_i, delta_i, delta_o, gamma_o) of the published tests; DKS relu was solved again exactly.
GOLDEN = {
    ("dks", "softplus"): (0.18761008, 0.40688063, -0.92134662, 8.87867254),
    ("dks", "tanh"): (0.07461073, 0.55669152, -0.50343788, 18.00263596),
    ("dks", "relu"): (0.36854363, 1.0, -1.00037394, 2.72167510),
    ("dks", "gelu"): (0.07043253, 0.25948930, -0.15815379, 20.21158902),
    ("dks", "leaky_relu"): (1.0, 0.0, -0.04941869, 1.06518327),
    ("tat", "softplus"): (0.15011490, 0.53745999, -0.99648101, 10.54880188),
    ("tat", "tanh"): (0.05802052, 0.52186398, -0.47964307, 22.36066262),
    ("tat", "leaky_relu"): (1.0, 0.0, 0.0, 1.19699655),
}


@pytest.mark.parametrize("method, name", GOLDEN)
def test_published_parameters(method, name):
    found = dks(name, subnet, zeta=1.2) if method == "dks" else tat(name, subnet, tau=0.2, eta=0.75)
    np.testing.assert_allclose(
        (found.gamma_i, found.delta_i, found.delta_o, found.gamma_o), GOLDEN[method, name], rtol=1e-6, atol=1e-8
    )
    if name == "leaky_relu":
        assert found.slope == pytest.approx({"dks": 0.87612571, "tat": 0.62918003}[method], abs=1e-8)
    if (method, name) == ("dks", "relu"):
        assert found.q_slope_1 == pytest.approx(0.97532, abs=5e-6)
    else:
        assert found.q_slope_1 == pytest.approx(1, abs=1e-8)


def test_the_conditions_hold_of_the_activation_itself():
    found = dks("softplus", depth=30)
    z = np.polynomial.hermite_e.hermegauss(80)
    weight = z[1] / z[1].sum()
    with jax.enable_x64(True):
        y, slope = (np.asarray(f(z[0])) for f in (found.activation, found.activation.slope))
    assert weight @ y == pytest.approx(0, abs=1e-9)
    assert weight @ y**2 == pytest.approx(1, abs=1e-9)
    assert weight @ (z[0] * y * slope) == pytest.approx(1, abs=1e-9)
    assert (weight @ slope**2) ** 30 == pytest.approx(1.5, abs=1e-7)


@pytest.mark.slow
def test_kinks_are_mapped():
    found = dks("relu", depth=20)
    assert found.activation.kinks == pytest.approx((-1 / found.gamma_i,))
    fp = mf.fixed_point(found.block)
    assert fp.q_star == pytest.approx(1, abs=1e-9) and fp.chi_1 == pytest.approx(1.5 ** (1 / 20), abs=1e-9)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: dks("tanh", depth=10, zeta=0.5), "zeta"),
        (lambda: dks("tanh"), "depth="),
        (lambda: dks("step", depth=10), "jumps"),
        (lambda: dks("leaky_relu", depth=1, zeta=2.0), "zeta=1.999|zeta"),
        (lambda: tat("relu", depth=10), "kinks"),
        (lambda: tat("leaky_relu", depth=3, eta=0.999), "eta"),
    ],
)
def test_what_cannot_be_reached_is_said(call, words):
    with pytest.raises(InputError, match=words):
        call()


def leaky_relu(x):
    return jax.numpy.where(x > 0, x, 0.3 * x)


def relu(x):
    return jax.numpy.tanh(3 * x)


def test_an_activation_is_its_function_and_not_its_name():
    with pytest.raises(InputError, match="has kinks"):
        tat(leaky_relu, depth=50)
    shaped = dks(leaky_relu, depth=50)
    assert np.isnan(shaped.slope) and shaped.delta_i == 1
    assert shaped.activation(-1e3) / shaped.activation(1e3) == pytest.approx(-0.3, rel=0.01)
    assert dks(relu, depth=50).gamma_i == pytest.approx(dks("tanh", depth=50).gamma_i / 3, rel=1e-6)
    mine = mf.activation("leaky_relu").named("mine")
    assert tat(mine, depth=50).slope == pytest.approx(0.430523, abs=1e-6)
    # A rectifier by any name has one redundant constant.
    assert dks(jax.nn.relu, depth=50).gamma_i == pytest.approx(dks("relu", depth=50).gamma_i, rel=1e-9)


def test_the_published_rejection_is_said_with_its_remedy():
    with pytest.raises(InputError, match="rejected as published.*scale of phi") as refused:
        tat("sigmoid", depth=50)
    times = float(str(refused.value).split("more than ")[1].split()[0])
    scaled = tat(f"{1.01 * times} / (1 + exp(-x))", depth=50)
    assert scaled.c_curvature_1 == pytest.approx(0.3 / 50, rel=1e-6)
