"""The host's driver against the traced path, the reference: held equal to 1e-13, or what conditioning allows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf

BLOCKS = {
    "chaotic": mf.MLP("tanh", 1.5, 0.3),
    "ordered": mf.MLP("tanh", 0.9, 0.3),
    "kinked": mf.MLP("hard_tanh", 2.0, 0.1),
    "gelu": mf.MLP("gelu", 1.408, 0.458),
    "decorrelated": mf.MLP("tanh", 2.0, 0.0),
    "vanishing": mf.MLP("silu", 0.5, 0.0),
    "diverging": mf.MLP("gelu", 3.0, 0.0),
    "steps": mf.MLP("hard_shrink", 2.0, 0.1),
    "composed": mf.Residual(mf.RMSNorm() >> mf.MLP("silu", 1.4), skip=0.5),
    "noisy": mf.Activate("tanh") >> mf.Dropout(0.1) >> mf.Dense(1.5, 0.1),
    "two": mf.Sum((mf.MLP("tanh", 1.1, 0.2), mf.MLP("elu", 0.6))),
    "gated": mf.Dense(1.0, 0.3) >> mf.GLU("silu") >> mf.Dense(1.0, 0.5),
    "parametric": mf.MLP(mf.activation("elu", alpha=0.7), 1.2, 0.3),
}


# Each compiles the whole traced solver.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "chaotic" else pytest.mark.slow) for name in BLOCKS]
)
def test_the_host_is_the_traced_path(name):
    block = BLOCKS[name]
    found = mf.fixed_point(block)
    with jax.enable_x64(True):
        # Leaves that are traced keep the call on the traced path.
        expected = jax.jit(mf.fixed_point)(jax.tree.map(jnp.float64, block))
    assert str(found.status) == str(expected.status) and str(found.phase) == str(expected.phase)
    margin = 1e-13 / max(min(abs(float(found.chi_1_minus_1)), 1.0), 1e-3) if found.status == "converged" else 1e-13
    for field in ("q_star", "chi_1", "chi_q", "one_minus_c_star", "chi_c", "xi_c", "xi_q", "xi_grad", "all_q"):
        a, b = getattr(found, field), getattr(expected, field)
        np.testing.assert_allclose(a, b, rtol=margin, atol=1e-15, err_msg=field)


def test_a_wrong_digit_would_be_seen():
    a = mf.fixed_point(mf.MLP("tanh", 1.5, 0.3)).one_minus_c_star
    b = mf.fixed_point(mf.MLP("tanh", 1.5 * (1 + 1e-11), 0.3)).one_minus_c_star
    assert abs(a / b - 1) > 1e-12


def test_an_answer_does_not_depend_on_what_was_asked_before():
    first = mf.fixed_point(mf.MLP("mish", 1.7, 0.4))
    for sigma_w in np.linspace(0.5, 2.5, 40):
        mf.fixed_point(mf.MLP("mish", sigma_w, 0.1))
    again = mf.fixed_point(mf.MLP("mish", 1.7, 0.4))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_block_inside_somebodys_jit_is_answered_all_the_same():
    expected = mf.fixed_point(mf.MLP("tanh", 1.5, 0.3)).q_star
    assert jax.jit(lambda x: x + mf.fixed_point(mf.MLP("tanh", 1.5, 0.3)).q_star)(0.0) == pytest.approx(expected)
