"""`Scaled`: the variance it promises for every shape, as a value among values, and inside Flax."""

import math
import pickle
from dataclasses import FrozenInstanceError

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from meanfield import initializers
from meanfield.errors import InputError
from meanfield.initializers import Scaled

KEY = jax.random.key(0)
# shape and fan_in, written out; no other product of axes comes near
SHAPES = [
    ((800, 200), 800),
    ((200, 800), 200),
    ((3, 3, 16, 640), 144),
]


def z_of_variance(weights, variance):
    """Deviation of the mean square of n independent normals from `variance`, in its own standard deviations."""
    weights = np.asarray(weights, float).ravel()
    return (np.mean(weights**2) / variance - 1) * math.sqrt(weights.size / 2)


@pytest.mark.parametrize(("shape", "fan_in"), SHAPES, ids=str)
@pytest.mark.parametrize("sigma", [0.3, 1.5])
def test_variance_is_sigma_squared_over_fan_in(shape, fan_in, sigma):
    weights = Scaled(sigma)(KEY, shape)
    assert weights.shape == shape and weights.dtype == jnp.float32
    assert abs(z_of_variance(weights, sigma**2 / fan_in)) < 5
    assert abs(z_of_variance(weights, (1.03 * sigma) ** 2 / fan_in)) > 5  # three percent are seen


@pytest.mark.parametrize(("shape", "fan_in"), SHAPES, ids=str)
def test_weights_are_normal_around_zero(shape, fan_in):
    z = np.asarray(Scaled(1.0)(KEY, shape), float).ravel() * math.sqrt(fan_in)
    assert abs(z.mean()) * math.sqrt(z.size) < 5
    # E z^4 = 3 with variance 96; a uniform of variance 1 has 1.8, one cut off at two standard deviations 2.1 at most
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / z.size) < 1
    assert 4 < abs(z).max() < 6


def test_axes_are_independent():
    z = np.asarray(Scaled(1.0)(KEY, (200, 800)), float) * math.sqrt(200)
    for a, b in ((z[:, :-1], z[:, 1:]), (z[:-1], z[1:])):
        assert abs((a * b).mean()) * math.sqrt(a.size) < 5


def test_sigma_scales_one_draw():
    # a factor of two is exact in floating point
    np.testing.assert_array_equal(Scaled(3.0)(KEY, (200, 800)), 2 * Scaled(1.5)(KEY, (200, 800)))
    assert not Scaled(0.0)(KEY, (200, 800)).any()
    assert (Scaled(1.0)(jax.random.key(1), (200, 800)) != Scaled(1.0)(KEY, (200, 800))).all()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), [4, 2], (np.int64(4), 2)], ids=str)
def test_shapes_at_the_edge(shape):
    weights = Scaled(1.0)(KEY, shape)
    assert weights.shape == tuple(shape) and np.isfinite(weights).all()


def test_equal_rules_are_equal_values():
    rule = Scaled(1.5)
    assert rule == Scaled(1.5) == Scaled(np.float64(1.5)) and rule != Scaled(1.25)
    assert len({rule, Scaled(1.5), Scaled(1.25)}) == 2
    assert hash(Scaled(2)) == hash(Scaled(2.0))
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert Scaled() == Scaled(1.0)
    assert repr(rule) == "Scaled(sigma_w=1.5, sigma_b=0.0, distribution='normal', mode='fan_in')"
    with pytest.raises(FrozenInstanceError):
        rule.sigma_w = 2.0


def test_a_rule_of_a_jax_scalar_is_hashable():
    assert len({Scaled(jnp.float32(1.5)), Scaled(1.5)}) == 1


def test_equal_rules_compile_once():
    traces = []

    @jax.jit
    def count(key, rule):
        traces.append(rule)
        return rule(key, (3, 2))

    draw = jax.jit(count.__wrapped__, static_argnums=1)
    draw(KEY, Scaled(1.5))
    draw(KEY, Scaled(1.5))
    assert len(traces) == 1
    draw(KEY, Scaled(1.25))
    assert len(traces) == 2


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16, "float32"], ids=str)
@pytest.mark.parametrize("sigma", [1.5, np.float64(1.5), jnp.float32(1.5)], ids=["float", "float64", "jax"])
def test_dtype_is_what_is_asked_for(dtype, sigma):
    weights = Scaled(sigma)(KEY, (200, 800), dtype)
    assert weights.dtype == jnp.dtype(dtype)
    assert abs(z_of_variance(weights.astype(jnp.float32), 1.5**2 / 200)) < 5


def test_float64_where_it_is_enabled():
    with jax.enable_x64(True):
        assert Scaled(1.5)(KEY, (4, 3), jnp.float64).dtype == jnp.float64
        assert Scaled(np.float64(1.5))(KEY, (4, 3)).dtype == jnp.float32


@pytest.mark.parametrize("sigma", [-1.0, -1e-300, math.nan, math.inf, "wide", None, 1j, [1.0, -2.0]], ids=str)
def test_bad_sigmas_are_one_line_naming_sigma_w(sigma):
    with pytest.raises(InputError) as caught:
        Scaled(sigma)
    assert str(caught.value).startswith("sigma_w=") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sigma",
    [
        1e200,
        "1.5",
        [1.0, 2.0],
        np.array([1.0, 2.0]),
    ],
    ids=str,
)
def test_a_sigma_that_is_no_finite_scalar_is_refused(sigma):
    with pytest.raises(InputError, match="sigma"):
        Scaled(sigma)


def test_sigma_may_be_traced():
    def draw(sigma):
        return Scaled(sigma)(KEY, (200, 800))

    weights = draw(1.5)
    traced, slope = jax.jit(lambda sigma: jax.jvp(draw, (sigma,), (1.0,)))(1.5)
    # the compiler may round sigma / sqrt(fan_in) once more; weights are linear in sigma
    np.testing.assert_allclose(traced, weights, rtol=1e-6)
    np.testing.assert_allclose(slope, weights / 1.5, rtol=1e-6)


def _nnx(layer):
    return layer.kernel[...]


def _linen(layer, inputs):
    return layer.init(KEY, jnp.ones(inputs))["params"]["kernel"]


FLAX = [
    ("nnx.Linear", lambda rule: _nnx(nnx.Linear(200, 800, kernel_init=rule, rngs=nnx.Rngs(0))), 200),
    ("nnx.Conv", lambda rule: _nnx(nnx.Conv(16, 640, (3, 3), kernel_init=rule, rngs=nnx.Rngs(0))), 144),
    ("linen.Dense", lambda rule: _linen(linen.Dense(800, kernel_init=rule), (1, 200)), 200),
    ("linen.Conv", lambda rule: _linen(linen.Conv(640, (3, 3), kernel_init=rule), (1, 8, 8, 16)), 144),
]


@pytest.mark.parametrize(("make", "fan_in"), [row[1:] for row in FLAX], ids=[row[0] for row in FLAX])
def test_inside_flax(make, fan_in):
    weights = make(Scaled(1.5))
    assert abs(z_of_variance(weights, 1.5**2 / fan_in)) < 5
    assert (weights == make(Scaled(1.5))).all()


def test_a_linen_module_that_holds_a_rule_is_a_value():
    dense = linen.Dense(3, kernel_init=Scaled(1.5))
    assert dense == linen.Dense(3, kernel_init=Scaled(1.5)) != linen.Dense(3, kernel_init=Scaled(1.25))
    assert hash(dense) == hash(linen.Dense(3, kernel_init=Scaled(1.5)))


def test_weights_can_be_placed_on_a_mesh():
    mesh = jax.make_mesh((1,), ("model",), axis_types=(jax.sharding.AxisType.Explicit,))
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "model"))
    weights = Scaled(1.5)(KEY, (8, 4), jnp.float32, out_sharding=place)
    assert weights.sharding == place
    np.testing.assert_array_equal(np.asarray(weights), np.asarray(Scaled(1.5)(KEY, (8, 4))))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["he", "lecun", "glorot", "orthogonal", "weight_standardized"])
def test_half_precision_is_a_draw_in_float32_rounded_once(name, dtype):
    rule, key, shape = getattr(initializers, name)(), jax.random.key(3), (512, 256)
    rounded = rule(key, shape, jnp.float32).astype(dtype)
    np.testing.assert_array_equal(np.asarray(rule(key, shape, dtype), float), np.asarray(rounded, float))


def test_weights_of_half_precision_have_no_mean():
    drawn = np.asarray(initializers.he()(jax.random.key(0), (1024, 1024), jnp.bfloat16), float)
    assert abs(drawn.mean()) < 4 * (2 / 1024) ** 0.5 / 1024


def test_a_large_fan_does_not_overflow_half_precision():
    drawn = np.asarray(initializers.weight_standardized()(jax.random.key(0), (70_000, 2), jnp.float16), float)
    assert drawn.var() * 70_000 == pytest.approx(1.0, rel=1e-3)
