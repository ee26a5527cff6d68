"""`networks.Network` of every shipped block against the block's own theory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.errors import InputError
from meanfield.networks import Network
from meanfield.networks.finite import first_layer

DENSE = mf.Dense(1.2, 0.3)
BLOCKS = {
    "mlp": mf.MLP("erf", 1.5, 0.3),
    "residual": mf.Residual(mf.LayerNorm() >> mf.MLP("erf", 1.2, 0.3), scale=0.8),
    "post-activation": mf.Residual(DENSE >> mf.Activate("relu"), scale=0.8) >> mf.Dense(0.8),
    "sum": mf.Sum((mf.MLP("erf", 1.1, 0.2), mf.MLP("relu", 0.8))),
    "repeat": mf.Repeat(mf.MLP("erf", 1.3, 0.2), 2),
    "dropout": mf.Activate("erf") >> mf.Dropout(0.2) >> DENSE,
    "noise": mf.Activate("relu") >> mf.Noise(0.4, 0.3) >> DENSE,
    "mask first": mf.Activate("sigmoid") >> mf.Dense(2.2, 0.3) >> mf.Dropout(0.3),
    "noise first": mf.Activate("tanh") >> mf.Dense(2.0, 0.3) >> mf.Noise(0.7, 0.2),
    "mask and noise": mf.Dense(2.0, 0.3) >> mf.Dropout(0.2) >> mf.Noise(0.0, 0.4) >> mf.Activate("sigmoid"),
    "masks within": mf.LayerNorm() >> mf.MLP("tanh", 2.0) >> mf.Dropout(0.5),
    "nrelu": mf.NReLU() >> DENSE,
    "layer norm": mf.Activate("relu") >> mf.LayerNorm(1.2) >> DENSE,
    "rms norm": mf.Activate("relu") >> mf.RMSNorm(1.2) >> DENSE,
    "weight standardized": mf.Activate("relu") >> mf.WeightStandardized(1.5, 0.2),
    "convolution": mf.Activate("erf") >> mf.Conv([0.5, 0.3, 0.2], 1.5, 0.2),
    "glu": mf.Dense(1.0, 0.3) >> mf.GLU("silu") >> mf.Dense(1.0, 0.5),  # larger ones explode and vary too much
}
DEPTH, C0, D_IN = 3, 0.6, 64


def pair(key):
    """Two inputs of length 1 per unit and correlation C0, exactly."""
    u, v = jnp.linalg.qr(jax.random.normal(key, (D_IN, 2)))[0].T * D_IN**0.5
    return jnp.stack([u, C0 * u + (1 - C0**2) ** 0.5 * v])


def measured(block, width, key):
    """(q1, q2, q12) after DEPTH blocks, and the factor of a gradient over them, of one network."""
    draw, inputs, noise, cotangent = jax.random.split(key, 4)
    net = Network(block, depth=DEPTH, width=width, d_in=D_IN, rngs=nnx.Rngs(params=draw, noise=noise))
    x = pair(inputs)
    # Inputs that do not vary over positions give outputs that do not.
    x = jnp.repeat(x[:, None], 3, 1) if "Convolution" in repr(block) else x

    def rows(shift):
        return net.preactivations(x, shift, key=noise)

    out, back = jax.vjp(rows, jnp.zeros((DEPTH + 1, *x.shape[:-1], width)))
    v = jnp.zeros_like(out).at[-1, 0].set(jax.random.normal(cotangent, out.shape[2:]))
    (moved,) = back(v)
    a, b = out[-1].reshape(2, -1)
    factor = jnp.sum(moved[0] ** 2) / jnp.sum(v**2)
    return jnp.array([jnp.mean(a**2), jnp.mean(b**2), jnp.mean(a * b), factor])


def theory_of(block):
    first = first_layer(block)
    q0 = first.sigma_w**2 + first.sigma_b**2
    path = mf.trajectory(block, DEPTH, q0=(q0, q0), c0=(C0 * first.sigma_w**2 + first.sigma_b**2) / q0)
    q, c = path.q1[-1], path.c[-1]
    return np.array([q, q, q * c, np.prod(path.chi[:-1])])


def compare(block, width, seeds):
    run = jax.jit(lambda keys: jax.lax.map(partial(measured, block, width), keys))
    found = np.asarray(run(jax.random.split(jax.random.key(7), seeds)), float)
    theory = theory_of(block)
    error = found.std(0, ddof=1) / np.sqrt(seeds)
    # The mean at finite width is off by a few layers / width.
    allowed = 5 * error + 4 * DEPTH / width * np.abs(theory)
    return np.abs(found.mean(0) - theory), allowed, theory


# The others are slow for what compiling costs, not for their networks.
QUICK = ("residual",)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in BLOCKS])
def test_a_network_of_width_512_agrees(name):
    distance, allowed, theory = compare(BLOCKS[name], 512, 24)
    assert np.all(distance < allowed), (distance / allowed, theory)


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_a_network_of_width_2000_agrees(name):
    distance, allowed, theory = compare(BLOCKS[name], 2000, 24)
    assert np.all(distance < allowed), (distance / allowed, theory)
    # A theory 25% off is rejected.
    assert np.any(0.25 * np.abs(theory) > distance + allowed)


def test_a_wrong_theory_is_refused():
    _, allowed, theory = compare(BLOCKS["dropout"], 512, 24)
    other = theory_of(mf.Activate("erf") >> mf.Dropout(0.2) >> mf.Dense(1.35, 0.3))
    assert np.any(np.abs(other - theory) > 2 * allowed)


@pytest.mark.slow
def test_tokens_of_a_network_agree():
    block, width, tokens = mf.Residual(mf.Attention(tokens=8), scale=0.5), 512, 8

    def one(key):
        draw, inputs = jax.random.split(key)
        net = Network(block, depth=5, width=width, d_in=32, rngs=nnx.Rngs(draw))
        shared, *own = jax.random.normal(inputs, (tokens + 1, 32))
        x = np.sqrt(0.2) * shared + np.sqrt(0.8) * jnp.stack(own)
        ends = net.preactivations(x[None])[jnp.array([0, -1]), 0]
        gram = jnp.einsum("lik,ljk->lij", ends, ends) / width
        q = jnp.trace(gram, axis1=1, axis2=2) / tokens
        return jnp.stack([q, (jnp.sum(gram, (1, 2)) - tokens * q) / (tokens * (tokens - 1))], 1)

    found = np.asarray(jax.lax.map(one, jax.random.split(jax.random.key(3), 20)), float)
    (q0, p0), (q, p) = found.mean(0)
    path = mf.trajectory(block, 5, q0=(q0, q0), c_within=p0 / q0)
    error = found[:, 1].std(0, ddof=1) / np.sqrt(len(found))
    assert abs(q - path.q1[-1]) < 5 * error[0] + 0.01
    assert abs(p - path.q1[-1] * path.c_within[-1]) < 5 * error[1] + 0.01
    assert abs(path.c_within[-1] - p0 / q0) > 0.1


def test_a_normalized_batch_has_mean_0_and_the_variance_of_theory():
    block = mf.Activate("relu") >> mf.Dense(1.5, 0.3) >> mf.BatchNorm(gamma=0.7)
    h = Network(block, depth=2, width=40, d_in=8, rngs=nnx.Rngs(0)).preactivations(
        jax.random.normal(jax.random.key(1), (16, 8))
    )
    np.testing.assert_allclose(h[1:].mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(h[1:].var(1), 0.49, rtol=1e-4)


def make(block, seed=0, **sizes):
    return Network(block, **({"depth": 3, "width": 8, "d_in": 5} | sizes), rngs=nnx.Rngs(seed))


NOISY = BLOCKS["dropout"]


def test_noise_comes_from_its_stream_and_can_be_turned_off():
    net, x = make(NOISY), jnp.ones((2, 5))
    first, second = net(x), net(x)
    assert (first != second).any() and (first[0] != first[1]).any()  # another mask each time and for each input
    again = make(NOISY)
    np.testing.assert_array_equal(again(x), first)
    key = jax.random.key(3)
    np.testing.assert_array_equal(net(x, key=key), net.preactivations(x, key=key)[-1])
    net.eval()
    np.testing.assert_array_equal(net(x), net(x))
    np.testing.assert_allclose(net(x)[0], net(x)[1], rtol=1e-6)
    assert make(BLOCKS["mlp"]).noise is None


def test_parameters_are_stacked_whatever_the_block():
    block = mf.Sum((mf.LayerNorm() >> mf.MLP("tanh", 1.0), mf.Repeat(mf.Dense(0.5), 2)))
    state = nnx.to_pure_dict(nnx.state(make(block, d_out=2), nnx.Param))
    assert {name: leaf.shape for name, leaf in state.items()} == {
        "first_kernel": (5, 8),
        "first_bias": (8,),
        "scale": (3, 8),
        "kernel": (3, 8, 8),
        "bias": (3, 8),
        "kernel_2": (3, 2, 8, 8),
        "bias_2": (3, 2, 8),
        "last_kernel": (8, 2),
        "last_bias": (2,),
    }


@pytest.mark.parametrize("name", ["residual", "repeat", "dropout", "convolution"])
def test_program_does_not_grow_with_the_depth(name):
    x = jnp.ones((2, 4, 5) if name == "convolution" else (2, 5))

    def size(depth):
        def run(x, key):
            net = Network(BLOCKS[name], depth=depth, width=8, d_in=5, d_out=2, rngs=nnx.Rngs(0))
            return net(x, key=key) + net.preactivations(x, key=key).sum()

        return len(str(jax.make_jaxpr(run)(x, jax.random.key(0))).splitlines())

    assert size(14) == size(41)


def test_a_block_that_ends_with_a_sum_is_read_by_a_dense_layer():
    net, x = make(BLOCKS["residual"], d_out=2), jnp.ones((6, 5))
    expected = net.preactivations(x)[-1] @ net.last_kernel[...] + net.last_bias[...]
    np.testing.assert_allclose(net(x), expected, rtol=1e-5)


@pytest.mark.slow
def test_a_convolution_is_read_by_one_more_and_averaged():
    net, x = make(BLOCKS["convolution"], d_out=2), jax.random.normal(jax.random.key(0), (6, 4, 5))
    mean = jax.scipy.special.erf(net.preactivations(x)[-1]).mean(1)
    expected = mean @ net.last_kernel.sum(0) + net.last_bias[...]
    assert net.last_kernel.shape == (3, 8, 2)
    np.testing.assert_allclose(net(x), expected, rtol=1e-5, atol=1e-6)


def test_a_circular_convolution_written_out():
    block = mf.Conv([0.5, 0.3, 0.2], 1.5, 0.2)
    net, x = make(block, depth=1), jax.random.normal(jax.random.key(0), (2, 4, 5))
    before, after = np.asarray(net.preactivations(x), float)
    kernel, bias = np.asarray(net.kernel[0], float), np.asarray(net.bias[0], float)
    expected = sum(np.roll(before, 1 - k, 1) @ kernel[k] for k in range(3)) + bias
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-5)
    variance = (np.asarray(make(block, width=100).kernel, float) ** 2).mean((0, 2, 3)) * 100
    np.testing.assert_allclose(variance, 1.5**2 * np.array([0.5, 0.3, 0.2]), rtol=0.05)


class Unknown(mf.Block):
    """A block without a finite realization."""

    __dataclass_fields__ = {}


@pytest.mark.parametrize(
    ("block", "sizes", "says"),
    [
        (mf.GLU("silu"), {}, "turns 8 units into 4; end it with a layer"),
        (BLOCKS["glu"], {"width": 7}, "width=7 must be even"),
        (Unknown(), {}, "has no finite network; define finite(self, x, layer) on Unknown"),
        (mf.MLP("tanh", 1.0), {"depth": -1}, "depth=-1 must be an integer >= 0"),
        (mf.Residual("tanh"), {}, "tanh"),
        ("tanh", {}, "block='tanh' is not a block"),
    ],
    ids=["gated end", "odd width", "unknown", "depth", "no branch", "a name"],
)
def test_what_cannot_be_built_is_one_line(block, sizes, says):
    with pytest.raises(InputError) as caught:
        make(block, **sizes)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_coupled_inputs_must_be_as_many_as_the_block_says():
    with pytest.raises(InputError, match="give as many"):
        make(mf.Attention(tokens=8))(jnp.ones((2, 4, 5)))
    with pytest.raises(InputError, match="give as many"):
        make(mf.BatchNorm(8) >> mf.MLP("relu", 1.0))(jnp.ones((4, 5)))
