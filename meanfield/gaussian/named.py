"""The named activations, and `activation`, which turns a name, callable or expression into an `Activation`.

Constants are the papers', as exact decimals; `gelu` is the erf form (Hendrycks & Gimpel 2016) and
`gelu_tanh` its approximation, which is what the callable `jax.nn.gelu` computes by default.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..errors import InputError, shown
from ..interface.arguments import nearest
from ..interface.callables import check_declared, check_traceable, number, opened, stand_ins
from ..interface.custom_derivatives import Gradient, Values, has_own_derivative
from ..interface.precision import is_traced
from ..interface.settings import in_own_settings
from .activation import Activation
from .closed_forms import ErrorFunction, Sinusoid, TwoLevels, TwoSlopes
from .expression import Expression, is_expression, parse
from .features import Features
from .host_activation import host_activation
from .kinks import Found, inspect_callable

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _linear(x: Array) -> Array:
    return x


def _relu(x: Array) -> Array:
    return jnp.where(x > 0, x, 0.0)


def _leaky_relu(x: Array, slope: Any) -> Array:
    return jnp.where(x > 0, x, slope * x)


def _relu6(x: Array) -> Array:
    return jnp.where(x > 6, 6.0, jnp.where(x > 0, x, 0.0))


def _squared_relu(x: Array) -> Array:
    return jnp.where(x > 0, x, 0.0) ** 2


def _elu(x: Array, alpha: Any) -> Array:
    return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0.0)))


def _celu(x: Array, alpha: Any) -> Array:
    return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0.0) / alpha))


def _selu(x: Array) -> Array:
    return _SELU_SCALE * _elu(x, _SELU_ALPHA)


def _gelu(x: Array) -> Array:
    return x * jax.scipy.special.erfc(-x / float(np.sqrt(2.0))) / 2


def _gelu_tanh(x: Array) -> Array:
    return x * (1 + jnp.tanh(float(np.sqrt(2 / np.pi)) * (x + 0.044715 * x**3))) / 2


def _silu(x: Array) -> Array:
    return x * jax.nn.sigmoid(x)


def _mish(x: Array) -> Array:
    return x * jnp.tanh(jax.nn.softplus(x))


def _softsign(x: Array) -> Array:
    return x / (1 + jnp.abs(x))


def _lecun_tanh(x: Array) -> Array:
    return 1.7159 * jnp.tanh(2 * x / 3)


def _hard_tanh(x: Array) -> Array:
    return jnp.where(x > 1, 1.0, jnp.where(x < -1, -1.0, x))


def _hard_sigmoid(x: Array) -> Array:
    return jnp.where(x > 3, 1.0, jnp.where(x < -3, 0.0, x / 6 + 0.5))


def _hard_swish(x: Array) -> Array:
    return x * _hard_sigmoid(x)


def _hard_shrink(x: Array, threshold: Any) -> Array:
    return jnp.where(jnp.abs(x) > threshold, x, 0.0)


def _soft_shrink(x: Array, threshold: Any) -> Array:
    return jnp.where(x > threshold, x - threshold, jnp.where(x < -threshold, x + threshold, 0.0))


def _gaussian(x: Array) -> Array:
    return jnp.exp(-(x**2))


def _step(x: Array) -> Array:
    return jnp.where(x > 0, 1.0, 0.0).astype(x.dtype)


def _sign(x: Array) -> Array:
    return jnp.where(x > 0, 1.0, -1.0).astype(x.dtype)


def _quadratic(x: Array) -> Array:
    return x + 0.1 * x**2


def _make(name: str, fn: Callable, kinks: tuple | Callable[..., tuple] = (), **more: Any) -> Callable[..., Activation]:
    """A constructor of a named activation; `defaults` are its parameters, `kinks` may be a function of them."""
    defaults = more.pop("defaults", {})

    def construct(*values: Any, **given: Any) -> Activation:
        unknown = [k for k in given if k not in defaults]
        if unknown or len(values) > len(defaults):
            known = ", ".join(defaults) or "none"
            raise InputError(f"{name} has no parameter {unknown or values!r}; its parameters: {known}")
        params = defaults | dict(zip(defaults, values, strict=False)) | given
        for parameter, value in params.items():
            number(parameter, value)
        where = kinks(**params) if callable(kinks) else kinks
        return Activation(fn, params, where, name=name, features=Features(final=True), **more)

    construct.__name__ = name
    construct.__doc__ = f"The activation {name}" + (f" with parameters {defaults}." if defaults else ".")
    return construct


NAMED: dict[str, Callable[..., Activation]] = {
    made.__name__: made
    for made in (
        _make("linear", _linear, closed=TwoSlopes(1.0)),
        _make("relu", _relu, (0.0,), closed=TwoSlopes(0.0)),
        _make("leaky_relu", _leaky_relu, (0.0,), closed=TwoSlopes(), defaults={"slope": 0.01}),
        _make("prelu", _leaky_relu, (0.0,), closed=TwoSlopes(), defaults={"slope": 0.25}),
        _make("abs", jnp.abs, (0.0,), closed=TwoSlopes(-1.0)),
        _make("relu6", _relu6, (0.0, 6.0)),
        _make("squared_relu", _squared_relu, (0.0,)),
        _make("elu", _elu, (0.0,), defaults={"alpha": 1.0}),
        _make("celu", _celu, (0.0,), defaults={"alpha": 1.0}),
        _make("selu", _selu, (0.0,)),
        _make("gelu", _gelu),
        _make("gelu_tanh", _gelu_tanh),
        _make("silu", _silu),
        _make("mish", _mish),
        _make("softplus", jax.nn.softplus),
        _make("softsign", _softsign, (0.0,)),
        _make("tanh", jnp.tanh),
        _make("lecun_tanh", _lecun_tanh),
        _make("erf", jax.scipy.special.erf, closed=ErrorFunction()),
        _make("sigmoid", jax.nn.sigmoid),
        _make("hard_tanh", _hard_tanh, (-1.0, 1.0)),
        _make("hard_sigmoid", _hard_sigmoid, (-3.0, 3.0)),
        _make("hard_swish", _hard_swish, (-3.0, 3.0)),
        _make(
            "hard_shrink",
            _hard_shrink,
            lambda threshold: (-threshold, threshold),
            steps=(True, True),
            defaults={"threshold": 0.5},
        ),
        _make("soft_shrink", _soft_shrink, lambda threshold: (-threshold, threshold), defaults={"threshold": 0.5}),
        _make("sin", jnp.sin, closed=Sinusoid(-1)),
        _make("cos", jnp.cos, closed=Sinusoid(+1)),
        _make("gaussian", _gaussian, scale=0.7),
        _make("sign", _sign, (0.0,), steps=(True,), closed=TwoLevels(-1.0)),
        _make("step", _step, (0.0,), steps=(True,), closed=TwoLevels(0.0)),
        _make("quadratic", _quadratic),
    )
}
"""Constructors by name: NAMED["leaky_relu"](0.2)."""

_ALIASES = {
    "swish": "silu",
    "identity": "linear",
    "id": "linear",
    "hardtanh": "hard_tanh",
    "logistic": "sigmoid",
    "relu2": "squared_relu",
    "heaviside": "step",
    "lrelu": "leaky_relu",
}

# mf.Activation.leaky_relu(0.2) reads better than a second import.
for _name, _construct in NAMED.items():
    setattr(Activation, _name, staticmethod(_construct))


@in_own_settings
def activation(phi: str | Callable | Activation, **params: Any) -> Activation:
    """The `Activation` of a name, a JAX callable, an expression in x, or an Activation.

    Names take their parameters as keywords, and so do the free names of an expression and the further arguments of a
    callable. A callable that is a pytree, such as a registered dataclass, keeps its leaves as parameters. Kinks are
    found numerically (between 1e-7 and 1e7, at least 1/2000 apart); if that is not enough, declare them with
    `mf.Activation(fn, kinks=...)`. Traced parameters, inside `jax.grad` or `jax.vmap`, must not move kinks. Narrow
    features, waves and fast growth are found as well; docs/accuracy.md says how narrow. A UserWarning says where the
    derivative in JAX is not that of the values (a straight-through estimator): gradients, hence chi_1 and xi_grad, then
    see the former, everything else follows from the latter. InputError for an
    unknown name (with the nearest) or parameter, an expression that is not arithmetic, a callable that is not
    elementwise, that JAX cannot trace, that computes in less than double precision or that returns NaN.

    >>> activation("leaky_relu", slope=0.2)
    Activation('leaky_relu', slope=0.2)
    >>> activation("where(x > 0, x, a * x)", a=0.1).kinks
    (0.0,)
    >>> activation(lambda x, a: jnp.tanh(a * x), a=0.1).params
    {'a': 0.1}
    """
    if isinstance(phi, Activation):
        if params:
            raise InputError(f"activation={phi!r} is made already; set {', '.join(params)} where it is made")
        check_declared(phi)
        _check_derivative(phi)
        return phi
    if isinstance(phi, str):
        name = phi.strip()
        if _ALIASES.get(name, name) in NAMED:
            return NAMED[_ALIASES.get(name, name)](**params)
        if is_expression(name):
            return _from_expression(name, params)
        near = nearest(name, [*NAMED, *_ALIASES], cutoff=0.4).strip() or "`meanfield activations` lists the names"
        raise InputError(f"activation={phi!r} is not a known name; {near}")
    if callable(phi):
        return _from_callable(phi, params)
    raise InputError(f"{shown('activation', phi)} must be a name, a callable, an expression in x or an mf.Activation")


def _with_features(phi: Activation) -> Activation:
    if is_traced(phi.params):
        return phi
    return replace(phi, features=host_activation(phi).features._replace(final=not phi.params))


def _from_callable(fn: Callable, given: dict[str, Any]) -> Activation:
    name = str(getattr(fn, "__name__", type(fn).__name__)).strip("<>")
    label = f"activation={name}"
    fn, params = opened(fn, label, given)
    backward = None
    if not is_traced(params) and _has_surrogate(fn, label, params):
        warnings.warn(
            f"{label} has a derivative of its own in JAX, not that of its values: chi_1 and xi_grad are what gradients "
            "see, all else follows from the values; mf.Activation(fn, backward=g) says so without this warning",
            stacklevel=4,
        )
        backward = _from_inspected(Values(Gradient(fn)), f"the derivative of {label}", params, f"{name}'")
        fn = Values(fn)
    return replace(_from_inspected(fn, label, params, name), backward=backward)


def _has_surrogate(fn: Callable, label: str, params: dict[str, Any]) -> bool:
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        check_traceable(fn, label, params)
    return has_own_derivative(fn, params)


def _check_derivative(phi: Activation) -> None:
    """InputError where the derivative in JAX is not that of the values, and it is not said what gradients see."""
    made_here = phi.closed is not None or phi.backward is not None or source_of(phi) is not None
    if not made_here and not is_traced((phi.params, phi.kinks)) and has_own_derivative(phi.fn, phi.params):
        raise InputError(
            f"activation={phi.name} has a derivative of its own in JAX, not that of its values; declare it, "
            "mf.Activation(fn, backward=g), or give the function itself"
        )


def _from_inspected(fn: Callable, label: str, params: dict[str, Any], name: str) -> Activation:
    found = _inspected(fn, label, params)
    return _with_features(Activation(fn, params, found.kinks, steps=found.steps, scale=found.scale, name=name))


def source_of(phi: Activation) -> str | None:
    """The name or expression of which phi is the function, whatever it is called; None for a callable or surrogate.

    >>> source_of(activation("relu").named("mine")), source_of(activation(lambda x: x).named("relu"))
    ('relu', None)
    """
    if phi.backward is not None:
        return None
    if isinstance(phi.fn, Expression):
        return phi.fn.text
    # One function may have two names: leaky_relu and prelu.
    names = [phi.name, *NAMED] if phi.name in NAMED else [*NAMED]
    return next((name for name in names if NAMED[name]().fn is phi.fn), None)


def remade(source: str, params: dict[str, Any], kinks: tuple, steps: tuple, closed: Any, more: tuple) -> Activation:
    """An activation that was pickled by its source."""
    fn = NAMED[source]().fn if source in NAMED else parse(source)[0]
    return Activation(fn, params, kinks, closed, steps, *more)


def _from_expression(text: str, params: dict[str, Any]) -> Activation:
    fn, names = parse(text)
    missing, extra = [n for n in names if n not in params], [n for n in params if n not in names]
    if missing or extra:
        what = f"needs a value for {', '.join(missing)}" if missing else f"has no parameter {', '.join(extra)}"
        raise InputError(f"activation={text!r} {what}; pass the free names as keywords")
    for name, value in params.items():
        if np.ndim(number(name, value)):
            raise InputError(f"{shown(name, value)} has shape {np.shape(value)} where one number is needed")
    found = _inspected(fn, f"activation={text!r}", params)
    return _with_features(Activation(fn, dict(params), found.kinks, steps=found.steps, scale=found.scale, name=text))


def _inspected(fn: Callable, label: str, params: dict[str, Any]) -> Found:
    """`inspect_callable`, once for the same function and numbers; with stand-ins for numbers that are traced."""
    traced = is_traced(params)
    leaves, tree = jax.tree.flatten(stand_ins(fn, label, params) if traced else params)
    numbers = [np.asarray(leaf, np.float64) for leaf in leaves]
    found = _inspect(fn, label, tree, tuple((leaf.shape, leaf.tobytes()) for leaf in numbers))
    if not traced:
        return found
    if any(found.steps):
        raise InputError(
            f"{label} jumps by what may depend on traced parameters; make it outside jit, grad and vmap and replace "
            "its leaves, or declare mf.Activation(fn, params, kinks, steps=)"
        )
    return found._replace(scale=1.0)


@lru_cache(maxsize=256)
def _inspect(fn: Callable, label: str, tree: Any, numbers: tuple) -> Found:
    leaves = [np.frombuffer(data).reshape(shape) for shape, data in numbers]
    return inspect_callable(fn, label, jax.tree.unflatten(tree, leaves))
