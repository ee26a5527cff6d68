"""NumPy evaluates what JAX traces: every operation against jax.jit, in float64 and in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from meanfield.interface.evaluation import evaluated
from meanfield.interface.operations import OPERATIONS

X = np.linspace(-1.7, 2.3, 12).reshape(3, 4)
I = np.array([2, 0, 1])  # noqa: E741

ELEMENTWISE = {
    "arithmetic": lambda x: (
        (x + 2 * x - x**3) / (1 + x * x) + lax.rem(x, x.dtype.type(0.7)) + lax.pow(jnp.abs(x), x.dtype.type(1.5))
    ),
    "powers": lambda x: lax.integer_pow(x, -3) + jnp.sqrt(jnp.abs(x)) + lax.rsqrt(jnp.abs(x)) + jnp.cbrt(x),
    "exponentials": lambda x: jnp.exp(x) + jnp.exp2(x) + jnp.expm1(x) + jnp.log(jnp.abs(x)) + jnp.log1p(x**2),
    "circular": lambda x: jnp.sin(x) + jnp.cos(x) + jnp.tan(x) + jnp.arctan(x) + jnp.arctan2(x, 1 - x),
    "inverses": lambda x: jnp.arcsin(x / 3) + jnp.arccos(x / 3) + jnp.arcsinh(x) + jnp.arccosh(3 + x),
    "hyperbolic": lambda x: jnp.sinh(x) + jnp.cosh(x) + jnp.tanh(x) + jnp.arctanh(x / 3),
    "special": lambda x: jax.nn.sigmoid(x) + lax.erf(x) + lax.erfc(x) + lax.erf_inv(x / 3) + lax.lgamma(3 + x),
    "rounding": lambda x: jnp.floor(x) + jnp.ceil(2 * x) + jnp.round(3 * x) + jnp.sign(x) + jnp.abs(x),
    "comparisons": lambda x: jnp.where((x > 0) & (x <= 1) | ~(x != 2), jnp.maximum(x, 0.5), jnp.minimum(x, -0.5)),
    "clips": lambda x: lax.clamp(x.dtype.type(-1), x, x.dtype.type(1)) + jnp.clip(x, 0.1, None) + jnp.nextafter(x, 9.0),
    "finite": lambda x: jnp.isfinite(1 / (x - x)) * 1.0 + jnp.isnan(jnp.log(x)) * 2.0,
    "activations": lambda x: jax.nn.gelu(x) + jax.nn.softplus(x) + jax.nn.silu(x) + jax.nn.relu(x) + jax.nn.selu(x),
}
SHAPES = {
    "reshape": lambda x: (x.reshape(4, 3).T.ravel()[None] + jnp.zeros((2, 1))).reshape(2, 3, 4),
    "slices": lambda x: x[::-1, 1:3] + x[:, ::2] + lax.dynamic_slice(x, (1, 7), (3, 2)),
    "update": lambda x: lax.dynamic_update_slice(x, x[:1, :2], (2, 1)),
    "joins": lambda x: jnp.concatenate([x, jnp.stack([x[0], x[1]]), jnp.pad(x, ((1, 0), (0, 0)))]),
    "pads": lambda x: lax.pad(x, x.dtype.type(0.5), ((1, -1, 0), (0, 2, 1))),
    "split": lambda x: jnp.split(x, 2, axis=1)[1] * lax.iota(x.dtype, 2),
    "reductions": lambda x: x.sum(0) + x.max(0) + x.min() + x.prod(1).sum() + jnp.any(x > 0, 0) + jnp.all(x > 0, 0),
    "arguments": lambda x: jnp.argmax(x, 1) + 1.0 * jnp.argmin(x, 0)[:3],
    "cumulative": lambda x: (
        jnp.cumsum(x, 1) + lax.cummax(x, axis=0, reverse=True) + lax.cummin(x, axis=1) + jnp.cumprod(x, 0)
    ),
    "sorts": lambda x: jnp.sort(-x, 0) + x[jnp.argsort(jnp.sin(9 * x[:, 0]))] + lax.sort((x % 1, x), num_keys=2)[1],
    "products": lambda x: x @ x.T + jnp.einsum("ij,ik->jk", x, x)[:3, :3] + jax.vmap(jnp.outer)(x, x).sum(0)[:3, :3],
    "gather": lambda x: x[I][:, jnp.array([0, 3, 1, 1])] + jnp.take(x, jnp.array([3, 0, 1, 9]), axis=1, mode="clip"),
    "out of bounds": lambda x: jnp.take(x, jnp.array([3, 5]), axis=1),
    "rows": lambda x: jax.vmap(lambda row: row[jnp.argmax(row)])(x),
    "scatter": lambda x: x.at[0].set(2.0).at[1, 2].add(x[0, 0]),
    "integers": lambda x: lax.div(jnp.asarray([-7, 7]), jnp.asarray([2, -2])) + lax.rem(jnp.asarray([-7, 7]), 3),
    "choices": lambda x: lax.select_n(jnp.asarray([2, 0, 1]), x[:, 0], x[:, 1], x[:, 2]),
}
CONTROL = {
    "while": lambda x: lax.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, jnp.sin(s[1]) + x.sum()), (0, x))[1],
    "batched while": lambda x: jax.vmap(lambda v: lax.while_loop(lambda v: v < 9, lambda v: 2 * v + 3, v))(x[0]),
    "scan": lambda x: lax.scan(lambda c, row: (c + row, (c * row, row)), x[0], x),
    "reversed scan": lambda x: lax.scan(lambda c, row: (c * 0.5 + row + x[0], c), x[0], x, reverse=True),
    "empty scan": lambda x: lax.scan(lambda c, _: (c + 1, c), x[0], None, length=0),
    "map": lambda x: lax.map(lambda row: row.sum(), x, batch_size=2),
    "cond": lambda x: lax.cond(x[0, 0] > 0, lambda: x, lambda: 2 * x) + lax.switch(7, [lambda: x, lambda: -x]),
    "gradient": lambda x: jax.grad(lambda x: jnp.sum(jnp.tanh(x) ** 3))(x),
    "second": lambda x: jax.jvp(jax.grad(lambda x: jnp.sum(jnp.exp(-x * x))), (x,), (x,))[1],
    "remat": lambda x: jax.grad(jax.checkpoint(lambda x: jnp.sin(x).sum()))(x),
    "nested jit": lambda x: jax.jit(jax.jit(jnp.sin))(x) + jax.jit(lambda a, b: b)(x, 2 * x),
}
EVERY = ELEMENTWISE | SHAPES | CONTROL


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", EVERY)
def test_what_numpy_carries_out_is_what_jax_compiles(name, dtype):
    with jax.enable_x64(True):
        x = X.astype(dtype)
        found, expected = evaluated(EVERY[name])(x), jax.jit(EVERY[name])(x)
    tolerance = 40 * np.finfo(dtype).eps
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def _count(compute, *args):
    found = []

    def listen(name, _, **more):
        if name.endswith("backend_compile_duration"):
            found.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    compute(*args)
    compiled = len(found)
    jax.monitoring.unregister_event_duration_listener(listen)
    return compiled


def test_nothing_is_compiled_but_what_numpy_lacks():
    known = evaluated(lambda x: lax.while_loop(lambda s: s < 5, lambda s: s * 1.37 + 0.11, x))
    assert _count(known, np.float32(1.0)) == 0
    assert "igamma" not in OPERATIONS
    lacking = evaluated(lambda x: lax.igamma(x + 0.123, x))
    assert _count(lacking, np.float32(1.0)) >= 1
    assert lacking(np.float32(1.0)) == pytest.approx(float(lax.igamma(jnp.float32(1.123), jnp.float32(1.0))), rel=1e-5)


def test_what_no_output_needs_is_left_out():
    called = []

    def compute(x):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        used, unused = (jax.pure_callback(lambda x, i=i: called.append(i) or x, shape, x) for i in range(2))
        return used + 0 * x, unused  # the second is dropped below

    assert evaluated(lambda x: compute(x)[0])(np.float32(2.0)) == 2.0
    assert called == [0]


def test_one_trace_for_each_shape_and_static_argument():
    traced = []

    def compute(x, *, times):
        traced.append(times)
        return x * times

    run = evaluated(compute, static=("times",))
    for _ in range(2):
        assert run(np.ones(2), times=3).tolist() == [3.0, 3.0]
    assert run(np.ones(3), times=3).size == 3 and run(np.ones(2), times=4)[0] == 4
    assert traced == [3, 3, 4]
