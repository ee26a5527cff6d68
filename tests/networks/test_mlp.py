"""`networks.MLP`: the scan against a loop written out in NumPy, its draw against the block's variances."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.errors import InputError
from meanfield.initializers import Scaled
from meanfield.networks import MLP

# One set of sizes nearly everywhere: what is compiled for one network then serves the others.
SIZES = {"depth": 4, "width": 12, "d_in": 7, "d_out": 3}
PHI = {"tanh": np.tanh, "leaky_relu": lambda h: np.where(h > 0, h, 0.01 * h)}
TANH = mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3)
X = np.random.default_rng(0).normal(size=(6, 7))


def make(block=TANH, seed=0, **sizes):
    return MLP(block, **(SIZES | sizes), rngs=nnx.Rngs(seed))


run = nnx.jit(lambda net, x: (net(x), net.preactivations(x)))


@pytest.fixture
def x64():
    """Networks in float64, so that a comparison is to rounding and leaves no room for a wrong layer."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def net64():
    with jax.enable_x64(True):
        return make(dtype=jnp.float64)


def abstract(**sizes):
    """A network of shapes and dtypes alone: nothing is drawn and nothing compiled."""
    return nnx.eval_shape(lambda: make(**sizes))


def parameters(net):
    """Every parameter by its name, float64 NumPy."""
    return {name: np.asarray(array, float) for name, array in nnx.to_pure_dict(nnx.state(net, nnx.Param)).items()}


def layers(net):
    """(kernel, bias) of every layer but the readout."""
    p = parameters(net)
    return [(p["first_kernel"], p["first_bias"]), *zip(p["kernel"], p["bias"], strict=True)]


def loop(net, x, phi=np.tanh, shift=None):
    """h^0 ... h^depth, one after the other."""
    h, rows = None, []
    for layer, (kernel, bias) in enumerate(layers(net)):
        h = (x if h is None else phi(h)) @ kernel + bias
        h = h if shift is None else h + shift[layer]
        rows.append(h)
    return np.stack(rows)


@pytest.mark.parametrize("phi", PHI)
def test_scan_is_the_loop_written_out(x64, phi):
    net = make(mf.MLP(phi, sigma_w=1.5, sigma_b=0.3), dtype=jnp.float64)
    outputs, found = run(net, X)
    rows = loop(net, X, PHI[phi])
    assert found.shape == (5, 6, 12)
    np.testing.assert_allclose(found, rows, rtol=1e-12, atol=1e-13)
    p = parameters(net)
    readout = PHI[phi](rows[-1]) @ p["last_kernel"] + p["last_bias"]  # one more layer, and none of the pre-activations
    np.testing.assert_allclose(outputs, readout, rtol=1e-12, atol=1e-13)


def test_without_a_readout_the_last_preactivations_come_out(x64):
    net = make(depth=1, d_out=None, dtype=jnp.float64)
    outputs, rows = run(net, X)
    np.testing.assert_allclose(rows, loop(net, X), rtol=1e-12, atol=1e-13)
    assert rows.shape == (2, 6, 12)
    np.testing.assert_array_equal(outputs, rows[-1])


@pytest.mark.parametrize("batch", [(), (2, 3)], ids=str)
def test_any_batch_shape(x64, net64, batch):
    outputs, rows = run(net64, X)
    x = X.reshape(2, 3, 7) if batch else X[0]
    outputs, rows = (outputs.reshape(2, 3, 3), rows.reshape(5, 2, 3, 12)) if batch else (outputs[0], rows[:, 0])
    for found, expected in zip(run(net64, x), (outputs, rows), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13, strict=True)


def test_shift_is_added_where_preactivations_arise(x64, net64):
    shift = np.random.default_rng(1).normal(size=(5, 6, 12))
    found = net64.preactivations(jnp.asarray(X), jnp.asarray(shift))
    np.testing.assert_allclose(found, loop(net64, X, shift=shift), rtol=1e-12, atol=1e-13)


def test_derivative_in_the_shift_is_the_gradient_in_every_preactivation(x64, net64):
    x, v = X[0], np.random.default_rng(1).normal(size=12)
    found = jax.grad(lambda shift: net64.preactivations(jnp.asarray(x), shift)[-1] @ v)(jnp.zeros((5, 12)))
    h, stack = loop(net64, x), layers(net64)

    def after_layer_2(start):
        for kernel, bias in stack[3:]:
            start = jnp.tanh(start) @ kernel + bias
        return start @ v

    np.testing.assert_allclose(found[2], jax.grad(after_layer_2)(h[2]), rtol=1e-11, atol=1e-13)
    chain = v
    for layer in (4, 3, 2, 1, 0):
        np.testing.assert_allclose(found[layer], chain, rtol=1e-11, atol=1e-13)
        if layer:  # dh^{l+1}/dh^l = W^T diag(phi'(h^l)), from the last layer down
            chain = (stack[layer][0] @ chain) * (1 - np.tanh(h[layer - 1]) ** 2)


def z_of_variance(draws, variance):
    """Deviation of the mean square of independent normals from `variance`, in its own standard deviations."""
    draws = np.asarray(draws, float).ravel()
    return (np.mean(draws**2) / variance - 1) * math.sqrt(draws.size / 2)


@pytest.fixture(scope="module")
def wide():
    return parameters(make(mf.MLP("tanh", sigma_w=2.0, sigma_b=0.5), depth=5, width=200, d_in=50, d_out=100))


def test_every_layer_has_the_variances_of_the_block(wide):
    kernels = [(wide["first_kernel"], 50), *((kernel, 200) for kernel in wide["kernel"]), (wide["last_kernel"], 200)]
    for kernel, fan_in in kernels:
        assert abs(z_of_variance(kernel, 4.0 / fan_in)) < 5
        assert abs(z_of_variance(kernel, 4.0 / fan_in * 1.1)) > 5
    for bias in (wide["first_bias"], wide["bias"], wide["last_bias"]):
        assert abs(z_of_variance(bias, 0.25)) < 5
    assert abs(z_of_variance(wide["bias"], 0.5)) > 5  # sigma_b is a standard deviation


@pytest.mark.parametrize("stack", ["kernel", "bias"])
def test_layers_are_drawn_independently(wide, stack):
    rows = wide[stack].reshape(5, -1)
    correlation = np.corrcoef(rows)[np.triu_indices(5, 1)]
    assert (abs(correlation) < 5 / math.sqrt(rows.shape[1])).all()


def shapes(net):
    return {name: leaf.shape for name, leaf in nnx.to_pure_dict(nnx.state(net, nnx.Param)).items()}


def test_parameters_are_stacked_along_the_layers():
    expected = {
        "first_kernel": (7, 12),
        "first_bias": (12,),
        "kernel": (4, 12, 12),
        "bias": (4, 12),
        "last_kernel": (12, 3),
        "last_bias": (3,),
    }
    assert shapes(abstract()) == expected
    assert shapes(abstract(d_out=None)).keys() == expected.keys() - {"last_kernel", "last_bias"}


def test_program_does_not_grow_with_the_depth():
    def size(depth):
        return len(
            str(jax.make_jaxpr(lambda x: (net := make(depth=depth))(x) + net.preactivations(x).sum())(X)).splitlines()
        )

    assert size(14) == size(41)


def test_rngs_decide_every_bit(x64, net64):
    def same(other):
        return [np.array_equal(array, parameters(other)[name]) for name, array in parameters(net64).items()]

    assert all(same(make(dtype=jnp.float64))) and not any(same(make(seed=1, dtype=jnp.float64)))
    # of rngs only params is used
    assert all(same(MLP(TANH, **SIZES, dtype=jnp.float64, rngs=nnx.Rngs(params=0, dropout=5))))


def test_another_rule_for_the_weights(x64, net64):
    calls = set()

    def rule(key, shape, dtype):
        calls.add((shape, dtype))
        return 2 * jax.random.normal(key, shape, dtype)

    found = parameters(make(kernel_init=rule, dtype=jnp.float64))
    assert calls == {((7, 12), jnp.float64), ((12, 12), jnp.float64), ((12, 3), jnp.float64)}  # a layer at a time
    for name, fan_in in (("first_kernel", 7), ("kernel", 12), ("last_kernel", 12)):
        own = parameters(net64)[name]  # of the same keys
        np.testing.assert_allclose(found[name], own * 2 * math.sqrt(fan_in) / 1.5, rtol=1e-14)
    for name in ("first_bias", "bias", "last_bias"):
        np.testing.assert_array_equal(found[name], parameters(net64)[name])  # biases stay the block's


def test_the_blocks_own_rule_is_scaled(x64, net64):
    own = make(kernel_init=Scaled(1.5), dtype=jnp.float64)
    np.testing.assert_array_equal(net64.kernel[...], own.kernel[...])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dtype_is_that_of_all_parameters(dtype):
    net = abstract(dtype=dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(net, nnx.Param))} == {jnp.dtype(dtype)}
    outputs = nnx.eval_shape(lambda: make(dtype=dtype)(jnp.asarray(X, dtype)))
    rows = nnx.eval_shape(lambda: make(dtype=dtype).preactivations(jnp.asarray(X, dtype)))
    assert outputs.dtype == rows.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float64, np.uint8, jnp.bfloat16])
def test_inputs_of_other_types_leave_float32(dtype):
    x = np.ones((2, 7), dtype)
    assert nnx.eval_shape(lambda: make()(x)).dtype == jnp.float32
    assert nnx.eval_shape(lambda: make().preactivations(x)).dtype == jnp.float32


def test_split_and_copy_keep_the_function(x64, net64):
    for again in (nnx.merge(*nnx.split(net64)), nnx.clone(net64)):
        for found, expected in zip(run(again, X), run(net64, X), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_compiled_and_eager_agree(x64, net64):
    for found, eager in zip(run(net64, X), (net64(X), net64.preactivations(X)), strict=True):
        np.testing.assert_allclose(found, eager, rtol=1e-12, atol=1e-13)


def test_a_step_on_the_parameters_changes_the_outputs_as_the_gradient_says(x64, net64):
    loss = nnx.jit(lambda net: jnp.sum(net(X) ** 2))
    gradient = nnx.grad(loss)(net64)
    size = sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(gradient))
    graph, params, rest = nnx.split(net64, nnx.Param, ...)
    moved = (nnx.merge(graph, jax.tree.map(lambda p, g, s=s: p + s * g, params, gradient), rest) for s in (1e-6, -1e-6))
    up, down = (float(loss(net)) for net in moved)
    # central differences: truncation is 1e-12 times a third derivative, rounding 1e-16 / 1e-6 of the loss
    assert (up - down) / 2e-6 == pytest.approx(size, rel=1e-6)


def test_leaves_of_the_block_are_differentiable(x64):
    @jax.jit
    @jax.value_and_grad
    def outputs(leaves):
        slope, sigma_w, sigma_b = leaves
        net = make(
            mf.MLP(mf.activation("prelu", slope=slope), sigma_w, sigma_b), depth=2, d_out=None, dtype=jnp.float64
        )
        return net(X).sum()

    at = np.array([0.3, 1.5, 0.3])
    gradient = outputs(at)[1]
    assert (abs(gradient) > 1e-3).all()
    for found, step in zip(gradient, 1e-6 * np.eye(3), strict=True):
        assert float(outputs(at + step)[0] - outputs(at - step)[0]) / 2e-6 == pytest.approx(float(found), rel=1e-6)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("size", [0, -1, 2.5, 2.0, True, "5"], ids=str)
def test_sizes_that_are_none(name, size):
    with pytest.raises(InputError) as caught:
        make(**{name: size})
    assert str(caught.value) == f"{name}={size!r} must be an integer >= 1"


def test_sizes_may_be_numpy_integers():
    sizes = {"depth": np.int64(4), "width": np.int32(12), "d_in": np.int16(7), "d_out": np.uint8(3)}
    assert shapes(abstract(**sizes)) == shapes(abstract())


@pytest.mark.parametrize(
    "block",
    [
        TANH.blocks[1],
        TANH.blocks[0],
        mf.Serial(TANH.blocks * 2),
        mf.Serial(TANH.blocks[::-1]),
        mf.Serial((TANH,)),
        "tanh",
        None,
    ],
    ids=["dense", "activation", "two layers", "dense first", "nested", "a name", "none"],
)
def test_blocks_of_another_kind(block):
    with pytest.raises(InputError) as caught:
        make(block)
    assert str(caught.value).startswith("block=") and "mf.MLP" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("sigmas", [(-1.0, 0.3), (1.5, -0.3), (math.nan, 0.3), (1.5, math.inf)], ids=str)
def test_a_block_made_by_hand_is_checked_too(sigmas):
    with pytest.raises(InputError, match=r"sigma_[wb]="):
        make(mf.Serial((TANH.blocks[0], mf.Dense(*sigmas))))


@pytest.mark.parametrize(
    "sigmas", [{"sigma_w": np.full(12, 1.5)}, {"sigma_w": 1.5, "sigma_b": np.full(12, 0.3)}], ids=list
)
def test_a_block_of_many_sigmas_is_many_networks(sigmas):
    with pytest.raises(InputError, match="sigma"):
        abstract(block=mf.MLP("tanh", **sigmas), d_out=12)
