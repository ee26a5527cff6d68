"""Every check of an argument: what it accepts, and its message otherwise."""

from __future__ import annotations

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meanfield.errors import InputError, shown
from meanfield.interface import arguments as args


def _called(part):
    return getattr(part, "__name__", str(part)[:40])


SIGMA = "give a standard deviation >= 0"

REFUSED = [
    (args.whole, ("width", 0), {}, "width=0 must be an integer >= 1"),
    (args.whole, ("width", True), {}, "width=True must be an integer >= 1"),
    (args.whole, ("width", 3.0), {}, "width=3.0 must be an integer >= 1"),
    (args.whole, ("width", "3"), {}, "width='3' must be an integer >= 1"),
    (args.whole, ("batch_size", 3), {"least": 4}, "batch_size=3 must be an integer >= 4"),
    (args.whole, ("key", 2**63), {}, f"key={2**63} is too large; give an integer below 2^63"),
    (args.whole, ("--depth", -1), {}, "--depth -1 must be an integer >= 1"),
    (args.random_key, ("key", -1), {}, "key=-1 must be a JAX key or an integer >= 0"),
    (args.random_key, ("key", 0.5), {}, "key=0.5 must be a JAX key or an integer >= 0"),
    (args.sigma, ("sigma_w", -1.0), {}, f"sigma_w=-1.0 must be finite and not negative; {SIGMA}"),
    (args.sigma, ("sigma_w", np.nan), {}, f"sigma_w=nan must be finite and not negative; {SIGMA}"),
    (args.sigma, ("sigma_w", [1.0, -2.0, -3.0]), {}, f"sigma_w=-2.0 must be finite and not negative; {SIGMA}"),
    (args.sigma, ("sigma_w", "1.5"), {}, f"sigma_w='1.5' must be a number; {SIGMA}"),
    (args.sigma, ("sigma_w", True), {}, f"sigma_w=True must be a number; {SIGMA}"),
    (args.sigma, ("sigma_w", None), {}, f"sigma_w=None must be a number; {SIGMA}"),
    (args.sigma, ("sigma_w", 1j), {}, f"sigma_w=1j must be a number; {SIGMA}"),
    (args.sigma, ("sigma_w", [[1.0], [1.0, 2.0]]), {}, f"sigma_w=[[1.0], [1.0, 2.0]] must be a number; {SIGMA}"),
    (args.sigma, ("s", 1e151), {}, "s=1e+151 is too large to be squared; give a standard deviation below 1e150"),
    (args.sigma, ("s", [1.0]), {"single": True}, f"s=[1.0] has shape (1,) where one number is needed; {SIGMA}"),
    (args.variances, ("q0", -1), {}, "q0=-1 must be finite and not negative; give a finite variance >= 0"),
    (args.variances, ("q0", np.inf), {}, "q0=inf must be finite and not negative; give a finite variance >= 0"),
    (args.variances, ("q", -1), {"finite": False}, "q=-1 must not be negative; give a variance >= 0"),
    (args.variances, ("q", np.nan), {"finite": False}, "q=nan must not be negative; give a variance >= 0"),
    (args.correlation, ("c0", 1.5), {}, "c0=1.5 must lie in [-1, 1]; give a number there"),
    (args.correlation, ("c0", [0.0, np.nan]), {}, "c0=nan must lie in [-1, 1]; give a number there"),
    (args.correlation, ("c", -0.1), {"least": 0}, "c=-0.1 must lie in [0, 1]; give a number there"),
    (args.probability, ("alpha", 0), {}, "alpha=0 must lie in (0, 1); give a number there"),
    (args.probability, ("alpha", 1), {}, "alpha=1 must lie in (0, 1); give a number there"),
    (args.drop_rate, ("rate", 1.0), {}, "rate=1.0 must lie in [0, 1); give a number there"),
    (
        args.drop_rate,
        ("rate", [0.1]),
        {},
        "rate=[0.1] has shape (1,) where one number is needed; give a number in [0, 1)",
    ),
    (args.between, ("q", np.inf, 0, np.inf, "()"), {}, "q=inf must lie in (0, inf); give a number there"),
    (args.positive, ("rate", 0.0), {}, "rate=0.0 must be a finite number > 0"),
    (args.positive, ("rate", "fast"), {}, "rate='fast' must be a finite number > 0"),
    (args.positive, ("rate", True), {}, "rate=True must be a finite number > 0"),
    (args.positive, ("momentum", 1.0, 1.0, True), {}, "momentum=1.0 must be a finite number >= 0 and < 1"),
    (
        args.one_of,
        ("by", "adan", ("sgd", "adam")),
        {},
        "by='adan' is not known; did you mean 'adam'? give one of sgd, adam",
    ),
    (args.one_of, ("by", 3, ("sgd", "adam")), {}, "by=3 is not known; give one of sgd, adam"),
    (args.one_of, ("by", np.zeros(2), ("sgd",)), {}, "by=[0. 0.] is not known; give one of sgd"),
    *(
        (args.real_array, ("x", value, "give a float"), {}, f"{shown('x', value)} must be a number; give a float")
        for value in (b"1.5", np.int8(16), np.complex128(1 + 1j), np.ma.array(1.0, mask=True), np.True_, Fraction(1, 2))
    ),
    *((args.sigma, ("s", value), {}, f"{shown('s', value)} must be a number; {SIGMA}") for value in (b"1", 10**400)),
    (args.instance_of, ("data", 3, (str, bytes)), {}, "data=3 must be a str or bytes"),
    (args.finite_number, ("gamma", np.nan), {}, "gamma=nan must be finite; give a number"),
    (args.finite_number, ("gamma", "1"), {}, "gamma='1' must be a number; give a finite number"),
    (
        args.finite_number,
        ("gamma", [1.0]),
        {},
        "gamma=[1.0] must be a number; give a finite number, or an array where it is mapped over",
    ),
    (args.function, ("where", 3, "give a function"), {}, "where=3 cannot be called; give a function"),
    (args.switch, ("resume", "yes"), {}, "resume='yes' must be True or False"),
    (args.shape_of, ("shape", 3), {}, "shape=3 must be a tuple of integers, like (3, 4)"),
    (args.shape_of, ("shape", (-1, 3)), {}, "shape=-1 must be an integer >= 0"),
    (args.float_dtype, ("dtype", "int8"), {}, "dtype='int8' must be a floating-point dtype, like jnp.float32"),
]


@pytest.mark.parametrize(("check", "given", "options", "says"), REFUSED, ids=_called)
def test_refused_in_these_words(check, given, options, says):
    with pytest.raises(InputError) as error:
        check(*given, **options)
    assert str(error.value) == says


ACCEPTED = [
    (args.whole, ("width", np.int32(3))),
    (args.whole, ("key", 0, 0)),
    (args.sigma, ("sigma_w", 0)),
    (args.sigma, ("sigma_w", np.float32(1.5))),
    (args.sigma, ("sigma_w", jnp.float32(1.5), True)),
    (args.sigma, ("sigma_w", [0.5, 1.0])),
    (args.variances, ("q", np.inf, False, False)),
    (args.correlation, ("c0", [-1.0, 1.0])),
    (args.drop_rate, ("rate", 0)),
    (args.probability, ("alpha", 1e-300)),
    (args.positive, ("rate", 3)),
    (args.one_of, ("kind", "a", ("a", "b"))),
    (args.instance_of, ("data", "digits", (str,))),
    (args.finite_number, ("gamma", -1.5)),
    (args.finite_number, ("gamma", np.ones(2), False)),
    (args.shape_of, ("shape", (3, 0))),
    (args.switch, ("resume", False)),
    (args.float_dtype, ("dtype", jnp.bfloat16)),
]


@pytest.mark.parametrize(("check", "given"), ACCEPTED, ids=_called)
def test_accepted_and_returned(check, given):
    assert np.all(np.asarray(check(*given)) == np.asarray(given[1]))


@pytest.mark.parametrize("check", [args.sigma, args.variances, args.correlation, args.drop_rate, args.probability])
def test_traced_values_pass(check):
    assert jax.jit(lambda x: check("x", x))(-7.0) == -7.0


def test_a_traced_value_has_a_shape_all_the_same():
    with pytest.raises(InputError, match="has shape"):
        jax.jit(lambda x: args.sigma("sigma_w", x, single=True))(jnp.ones(3))
    with pytest.raises(InputError, match="must be an integer"):
        jax.jit(lambda n: args.whole("width", n))(3)


def test_seeds_above_32_bits_are_keys_of_their_own():
    keys = [args.random_key("key", seed) for seed in (0, 1, 2**32, 2**32 + 1, 2**63 - 1)]
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 5
    assert args.random_key("key", 7) == jax.random.key(7)
    for no_key in (jnp.ones(3), jax.random.split(jax.random.key(0), 2)):
        with pytest.raises(InputError, match="must be a JAX key"):
            args.random_key("key", no_key)


def test_keys():
    for key in (jax.random.key(3), jax.random.PRNGKey(3)):
        assert args.random_key("key", key) is key
    assert args.random_key("key", 3) == jax.random.key(3)


def test_messages_are_one_short_line():
    assert shown("x", np.ones((3, 3))) == "x=[[1. 1. 1.] [1. 1. 1.] [1. 1. 1.]]"
    assert len(shown("x", "y" * 1000)) <= 110


def test_every_check_is_in_the_table():
    checks = {f for f in vars(args).values() if callable(f) and getattr(f, "__module__", "") == args.__name__}
    public = {f for f in checks if not f.__name__.startswith("_")}
    assert public - {args.nearest} == {row[0] for row in REFUSED}  # `nearest` only words what `one_of` refuses
