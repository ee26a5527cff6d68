"""`measure` against moments written out in NumPy, on networks small enough to follow by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.errors import InputError
from meanfield.measurement import measure

TANH = mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3)
SIZES = {"depth": 3, "width": 20, "d_in": 5}
X = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


def factory(block=TANH, network=mf.networks.MLP, **sizes):
    return lambda rngs: network(block, **(SIZES | sizes), rngs=rngs)


def layers(net):
    """(kernel, bias) of every layer, float64 NumPy."""
    p = {name: np.asarray(a, float) for name, a in nnx.to_pure_dict(nnx.state(net, nnx.Param)).items()}
    return [(p["first_kernel"], p["first_bias"]), *zip(p["kernel"], p["bias"], strict=True)]


def preactivations(net, x):
    h, rows = np.asarray(x, float), []
    for layer, (kernel, bias) in enumerate(layers(net)):
        h = (np.tanh(h) if layer else h) @ kernel + bias
        rows.append(h)
    return np.stack(rows)


def test_moments_written_out():
    built = []

    def keeping(rngs):
        built.append(factory()(rngs))
        return built[-1]

    pairs = [(0, 1), (2, 5), (4, 3)]
    found = measure(keeping, X, seeds=2, pairs=pairs)
    assert len(built) == 2 and found.width == 20
    for seed, net in enumerate(built):
        h = preactivations(net, X)
        for pair, (i, j) in enumerate(pairs):
            a, b = h[:, i], h[:, j]
            cosine = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
            # float32 networks: three layers of sums over 20 products
            np.testing.assert_allclose(found.q1[seed, :, pair], (a**2).mean(1), rtol=1e-5)
            np.testing.assert_allclose(found.q2[seed, :, pair], (b**2).mean(1), rtol=1e-5)
            np.testing.assert_allclose(found.one_minus_c[seed, :, pair], 1 - cosine, rtol=1e-5)
            np.testing.assert_allclose(found.c[seed, :, pair], cosine, atol=1e-5)


def test_gradient_of_one_unit_is_the_product_of_slopes():
    net = factory(width=1)(nnx.Rngs(0))
    h, stack = preactivations(net, X[:2])[:, 0, 0], layers(net)
    # with one unit v drops out of |J^T v|^2 / |v|^2
    steps = [(stack[layer + 1][0][0, 0] * (1 - math.tanh(h[layer]) ** 2)) ** 2 for layer in range(3)]
    expected = [math.prod(steps), steps[1] * steps[2], steps[2], 1.0]
    np.testing.assert_allclose(np.exp(measure(net, X[:2]).log_gradient[0, :, 0]), expected, rtol=1e-4)
    swapped = measure(net, X[1::-1])
    assert not np.allclose(np.exp(swapped.log_gradient[0, 0, 0]), expected[0], rtol=1e-4)  # it is the first input's


@pytest.mark.parametrize("scale", [0.05, 20.0])
def test_gradient_of_a_scaled_rotation_is_its_scale(scale):
    # J = scale^(L-l) times a rotation: no v, no x and no width matter; 20^50 and 0.05^50 leave float32
    turn = scale * np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]

    def rule(key, shape, dtype):
        return jnp.asarray(turn[: shape[0]], dtype)

    linear = mf.MLP("linear", sigma_w=1.0)
    found = measure(factory(linear, depth=25, width=16, kernel_init=rule), X[:4], seeds=1).log_gradient
    expected = 2 * math.log(scale) * np.arange(25, -1, -1.0)
    # a logarithm of up to 150, in float32
    np.testing.assert_allclose(found, np.broadcast_to(expected[:, None], (1, 26, 2)), rtol=1e-6, atol=1e-5)


def test_gradient_averages_to_the_norm_of_the_jacobian():
    net = factory()(nnx.Rngs(0))
    h, stack = preactivations(net, X[:2])[:, 0], layers(net)
    found = np.exp(measure(lambda rngs: net, X[:2], seeds=40).log_gradient[:, :, 0])
    np.testing.assert_allclose(found[:, 3], 1.0, rtol=1e-5)
    jacobian = np.eye(20)
    for layer in (2, 1, 0):
        jacobian = np.diag(1 - np.tanh(h[layer]) ** 2) @ stack[layer + 1][0] @ jacobian
        # v/|v| is uniform on the sphere, so the mean over it is |J|_F^2 / n
        expected, mean, error = (
            (jacobian**2).sum() / 20,
            found[:, layer].mean(),
            found[:, layer].std(ddof=1) / math.sqrt(40),
        )
        assert abs(mean - expected) < 5 * error < 0.6 * expected


@pytest.mark.parametrize(("apart", "rtol"), [(1e-2, 1e-3), (1e-3, 1e-3), (3e-5, 2e-2)])
def test_distances_of_near_inputs_keep_their_digits(apart, rtol):
    # 1 - c is 1e-4, 1e-6 and 1e-9 here; 1 - h.h'/|h||h'| in float32 would be off by 1e-7. What is compared with is a
    # float32 network too: two forward passes round apart by 1e-7, which is 4e-3 of a distance of 3e-5, each.
    rng = np.random.default_rng(1)
    x = rng.normal(size=5).astype(np.float32)
    pair = np.stack([x, x + (apart * rng.normal(size=5)).astype(np.float32)])
    net = factory()(nnx.Rngs(0))
    h = preactivations(net, pair)
    unit = h / np.linalg.norm(h, axis=2, keepdims=True)
    expected = ((unit[:, 0] - unit[:, 1]) ** 2).sum(1) / 2
    assert 0.1 * apart**2 < expected[0] < 10 * apart**2
    np.testing.assert_allclose(measure(net, pair).one_minus_c[0, :, 0], expected, rtol=rtol)


def test_equal_opposite_and_silent_inputs():
    block = mf.MLP("tanh", sigma_w=1.5)
    found = measure(factory(block), np.stack([X[0], X[0], X[0], -X[0], 0 * X[0], X[0]]), seeds=1)
    np.testing.assert_allclose(found.one_minus_c[0, :, 0], 0.0, atol=1e-13)  # rows of one product may round apart
    np.testing.assert_allclose(found.one_minus_c[0, :, 1], 2.0, rtol=1e-6)
    assert not found.q1[0, :, 2].any() and np.isfinite(found.one_minus_c).all()


def test_key_and_seeds_decide_the_numbers():
    first, again = measure(factory(), X, seeds=2, key=3), measure(factory(), X, seeds=2, key=3)
    other = measure(factory(), X, seeds=2, key=4)
    for name in ("q1", "q2", "one_minus_c", "log_gradient"):
        a = getattr(first, name)
        assert a.shape == (2, 4, 3) and a.dtype == np.float64
        np.testing.assert_array_equal(a, getattr(again, name))
        untied = a[:, :-1] if name == "log_gradient" else a  # the last layer's gradient factor is 1 for all
        theirs = getattr(other, name)
        assert (untied != (theirs[:, :-1] if name == "log_gradient" else theirs)).all()
        assert (untied[0] != untied[1]).all()
    assert repr(first) == "Measurement(of 2 networks with depth 3, 3 pairs of inputs)"


def test_one_network_is_measured_as_it_is():
    net = factory()(nnx.Rngs(7))
    found = measure(net, X, seeds=10)
    assert found.q1.shape == (1, 4, 3)
    np.testing.assert_allclose(found.q1[0], (preactivations(net, X)[:, ::2] ** 2).mean(2), rtol=1e-5)


@pytest.mark.slow
def test_positions_count_like_units():
    block = mf.Activate("tanh") >> mf.Conv([0.5, 0.3, 0.2], 1.5, 0.2)
    net = mf.networks.Network(block, depth=2, width=9, d_in=3, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    found, h = measure(net, x), np.asarray(net.preactivations(jnp.asarray(x)), float)
    np.testing.assert_allclose(found.q1[0], (h[:, ::2] ** 2).mean((2, 3)), rtol=1e-5)
    dots = (h[:, ::2] * h[:, 1::2]).sum((2, 3))
    norms = np.sqrt((h[:, ::2] ** 2).sum((2, 3)) * (h[:, 1::2] ** 2).sum((2, 3)))
    np.testing.assert_allclose(found.c[0], dots / norms, atol=1e-5)
    assert found.width == 9
    # Without positions an input is the same at each of them.
    flat = measure(net, x[:, 0])
    same = measure(net, np.repeat(x[:, :1], 3, 1))
    np.testing.assert_allclose(flat.q1, same.q1, rtol=1e-6)


def test_noise_is_another_in_each_network_and_the_derivative_is_that_of_one_draw():
    block = mf.Activate("linear") >> mf.Dropout(0.5) >> mf.Dense(1.0)
    found = measure(factory(block, network=mf.networks.Network, depth=1), np.stack([X[0], X[0]]), seeds=2)
    assert (found.one_minus_c[:, 0] < 1e-6).all() and (found.one_minus_c[:, 1] > 0.01).all()
    assert np.isfinite(found.log_gradient).all()


class Mute(nnx.Module):
    """A network that shows nothing."""

    def __call__(self, x):
        return x


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"model": None}, "model=None must be a network or a factory"),
        ({"model": "tanh"}, "model='tanh' must be a network or a factory"),
        ({"model": Mute()}, "model: Mute has no preactivations"),
        ({"model": lambda rngs: Mute()}, "model: Mute has no preactivations"),
        ({"model": lambda rngs: None}, "model: NoneType has no preactivations"),
        ({"x": X[:, :4]}, "x has 4 numbers per input, but the model takes d_in=5"),
        ({"x": None}, "x has 64 numbers per input, but the model takes d_in=5"),
        ({"x": X[:1]}, "x has shape (1, 5)"),
        ({"pairs": 4}, "pairs=4 needs 8 inputs"),
        ({"seeds": 0}, "seeds=0 must be an integer >= 1"),
        ({"seeds": 2.0}, "seeds=2.0 must be an integer >= 1"),
        ({"key": -1}, "key=-1 must be a JAX key or an integer >= 0"),
        ({"key": None}, "key=None must be a JAX key or an integer >= 0"),
        ({"key": 2**70}, "key="),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_arguments_are_one_line_naming_them(arguments, says):
    with pytest.raises(InputError) as caught:
        measure(**({"model": factory(), "x": X, "seeds": 1} | arguments))
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


def test_progress_is_drawn_only_where_it_is_wanted(capsys, monkeypatch):
    measure(factory(), X, seeds=2)  # standard error is no terminal here
    measure(factory(), X, seeds=2, progress=False)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, a terminal
    measure(factory(), X, seeds=2, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "measuring networks" in err


def test_it_is_a_pytree_of_arrays():
    found = measure(factory(), X, seeds=1)
    doubled = jax.tree.map(lambda a: 2 * a, found)
    np.testing.assert_array_equal(doubled.q1, 2 * found.q1)
    assert doubled.width == 20 and len(jax.tree.leaves(found)) == 4


def test_the_room_answers_as_the_function():
    from meanfield import measure as room

    np.testing.assert_array_equal(room(factory(), X, seeds=1).q1, measure(factory(), X, seeds=1).q1)


def test_the_public_face_has_it():
    assert "measure" in mf.__all__ and callable(mf.__getattr__("measure"))


def test_networks_of_one_kind_compile_once(caplog):
    def compiled(work):
        caplog.clear()
        with jax.log_compiles():
            work()
        return sum("Finished XLA compilation" in record.message for record in caplog.records)

    measure(factory(), X, seeds=1)
    assert compiled(lambda: jax.jit(lambda x: x + 1)(1.0)) > 0  # what is new is seen
    assert compiled(lambda: measure(factory(), X, seeds=2)) == 0
