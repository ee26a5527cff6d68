"""Layer-sequential unit variance: each layer's weights scaled so that its outputs on a batch have variance 1."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from ..errors import InputError, shown
from ..interface.arguments import function, positive, whole
from ..interface.callables import first_line
from ..interface.result import Result
from ..interface.settings import in_own_settings
from .reader import Layer, linen_layers, linen_outputs, nnx_layers, raw, recorded
from .reinitialize import replaced


@dataclass(frozen=True, repr=False, eq=False)
class LsuvReport(Result):
    """The report of `lsuv`, layer by layer in call order; arrays (n,).

    before, variance : variance of each layer's outputs over the batch, in the model given and in the model returned;
                       of a layer that is called several times, the mean over its calls
    lowest, highest  : the smallest and the largest variance of one call, in the model returned
    from_biases      : the part of it that the biases give, which no scale of the weights removes
    scale            : the factor applied to its weights
    attempts         : how many times; converged: |variance - 1| <= tolerance in every call
    passes           : forward passes through the network
    """

    layers: tuple[str, ...]
    before: np.ndarray
    variance: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    from_biases: np.ndarray
    scale: np.ndarray
    attempts: np.ndarray
    converged: np.ndarray
    tolerance: float
    passes: int

    def rows(self) -> list[tuple[str, str]]:
        """(name, shown value); many layers are shown by the first and the last name."""
        count = len(self.layers)
        names = ", ".join(self.layers) if count <= 6 else f"{count}: {self.layers[0]} ... {self.layers[-1]}"
        done = f"{int(self.converged.sum())} of {count}"
        shown = {"layers": names, "converged": done}
        return [(name, shown.get(name, value)) for name, value in super().rows()]


@in_own_settings
def lsuv(
    model: Any,
    x: Any,
    variables: Any = None,
    *,
    tolerance: float = 0.01,
    attempts: int = 10,
    call: Callable[..., Any] | None = None,
) -> tuple[Any, LsuvReport]:
    """A model whose weight layers each give outputs of variance 1 on a batch, and a report (Mishkin & Matas 2016).

    model: an NNX module, of which a new one is returned; or a Linen module with its `variables`, and new variables are
    returned. x: a batch of inputs. In the order in which the layers are called, the weights of each are divided by the
    standard deviation of its outputs, before the activation, until |variance - 1| <= tolerance, at most `attempts`
    times; one forward pass checks a layer and measures the next. Biases stay, and their part of the variance is left
    out of the standard deviation; where it alone exceeds 1 the weights are kept, with a UserWarning that names the
    layer. A layer that is called several times gets one scale, for which its variance is 1 on average over its calls; a
    UserWarning says where single calls are farther from 1 than the tolerance.
    call: how the model is called, `lambda model, x: model(x, train=False)`.

    The paper starts from orthonormal weights: `lsuv(mf.reinitialize(model, mf.initializers.orthogonal), x)`.
    In the mean-field limit it puts every layer at q = 1, chi_1 = E[phi'^2] / E[phi^2]: critical for ReLU, chaotic for
    tanh (1.178), GELU (1.072) and SiLU (1.067), ordered for softplus (0.318). InputError for a model without weight
    layers, with stacked or scanned ones, or with a layer whose outputs have no variance.

    >>> from flax import nnx
    >>> layer = nnx.Linear(64, 32, rngs=nnx.Rngs(0))
    >>> scaled, report = lsuv(layer, 5 * jax.random.normal(jax.random.key(1), (100, 64)))
    >>> print(f"{report.before[0]:.0f} {report.variance[0]:.4f} {report.attempts[0]}")
    25 1.0000 1
    """
    positive("tolerance", tolerance)
    whole("attempts", attempts)
    call = (lambda model, x: model(x)) if call is None else function("call", call, "give lambda model, x: ...")
    _demand_batch(x)
    if isinstance(model, nnx.Module):
        opened: Any = _OpenedNNX(model, call)
    elif isinstance(model, nn.Module) and variables is not None:
        opened = _OpenedLinen(model, variables, call)
    else:
        raise InputError("model must be an nnx.Module, or a Linen module together with its variables")
    try:
        names = _order(opened, x)
    except InputError:
        raise
    except Exception as error:  # whatever a user's model raises becomes one line
        raise InputError(f"x: the model cannot be called on it ({first_line(error)}); give a batch it takes") from None
    measure = jax.jit(lambda scales, x: opened.variances(names, scales, x))
    found = _scales(measure, x, names, _biased(opened, tolerance), tolerance, attempts)
    return opened.scaled(dict(zip(names, found.scale, strict=True))), found


def _demand_batch(x: Any) -> None:
    """InputError unless x is an array, or a pytree of them; floats must be finite."""
    for leaf in jax.tree.leaves(x) or [x]:
        if not hasattr(leaf, "dtype"):
            raise InputError(f"{shown('x', leaf)} is no batch of inputs; give an array")
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not bool(jnp.all(jnp.isfinite(leaf))):
            raise InputError("x has values that are not finite; give inputs that are")


class _OpenedNNX:
    def __init__(self, model: nnx.Module, call: Callable[..., Any]) -> None:
        self.model, self.call = model, call
        self.graph, self.state = nnx.split(model)
        self.layers = nnx_layers(model)

    def outputs(self, scales: dict[str, Any], x: Any) -> dict[str, list[Array]]:
        model = nnx.merge(self.graph, self.state, copy=True)
        layers = _apply(nnx_layers(model), scales)
        with recorded(layers) as log:
            self.call(model, x)
        return log

    def variances(self, names: tuple[str, ...], scales: Array, x: Any) -> Array:
        """Each layer's variance over the batch: mean, smallest and largest over its calls, (3, n)."""
        log = self.outputs(dict(zip(names, scales, strict=True)), x)
        calls = [jnp.stack([jnp.var(out.astype(jnp.float32)) for out in log[name]]) for name in names]
        return jnp.stack([jnp.stack([v.mean(), v.min(), v.max()]) for v in calls], axis=1)

    def scaled(self, scales: dict[str, float]) -> nnx.Module:
        model = nnx.clone(self.model)
        _apply(nnx_layers(model), scales)
        return model


def _apply(layers: list[Layer], scales: dict[str, Any]) -> list[Layer]:
    for layer in layers:
        for param in layer.kernels.values() if layer.name in scales else ():
            old = param[...]
            param[...] = (old * jnp.asarray(scales[layer.name], jnp.float32)).astype(old.dtype)
    return layers


class _OpenedLinen:
    def __init__(self, module: nn.Module, variables: Any, call: Callable[..., Any]) -> None:
        if "params" not in variables:
            raise InputError("variables must be what `init` returned, with the collection 'params'")
        self.module, self.variables, self.call = module, variables, call
        self.layers = linen_layers(variables["params"])

    def outputs(self, scales: dict[str, Any], x: Any) -> dict[str, list[Array]]:
        return linen_outputs(self.module, self.scaled(scales), self.layers, self.call, x)

    variances = _OpenedNNX.variances

    def scaled(self, scales: dict[str, Any]) -> Any:
        params = self.variables["params"]
        for layer in self.layers:
            for name in layer.kernels if layer.name in scales else ():
                by = scales[layer.name]
                params = replaced(
                    params, (*layer.path, name), lambda w, by=by: (w * jnp.asarray(by, jnp.float32)).astype(w.dtype)
                )
        return {**self.variables, "params": params}


def _order(opened: Any, x: Any) -> tuple[str, ...]:
    """The names of the layers in call order; nothing is computed."""
    stacked = next((layer.name for layer in opened.layers if layer.stacked), None)
    advice = "LSUV needs one module per layer, called in a plain Python loop"
    if stacked is not None:
        raise InputError(f"model: {stacked} is a stack of layers in one array; {advice}")
    seen: list[str] = []

    def trace(x: Any) -> Any:
        log = opened.outputs({}, x)
        seen.extend(name for name, outs in log.items() if all(hasattr(out, "dtype") for out in outs))
        return [log[name] for name in seen]

    try:
        jax.eval_shape(trace, x)
    except jax.errors.UnexpectedTracerError:
        raise InputError(f"model calls its layers inside a transformation (scan, jit, remat); {advice}") from None
    if not seen:
        raise InputError("model has no weight layer that is called on x")
    return tuple(seen)


def _scales(
    measure: Callable[..., Array], x: Any, names: tuple[str, ...], biased: set[str], tolerance: float, most: int
) -> LsuvReport:
    scale, tried, floor = np.ones(len(names)), np.zeros(len(names), int), np.zeros(len(names))
    found = before = np.asarray(measure(scale, x), float)
    passes = 1
    for i, name in enumerate(names):
        if name in biased and abs(found[0, i] - 1) > tolerance:
            silent = np.where(np.arange(len(names)) == i, 0.0, scale)
            floor[i], passes = float(np.asarray(measure(silent, x), float)[0, i]), passes + 1
        while abs(found[0, i] - 1) > tolerance and tried[i] < most and floor[i] < 1:
            if not 0 < found[0, i] < np.inf:
                raise InputError(
                    f"model: the outputs of {name} have variance {found[0, i]}; its weights cannot be scaled"
                )
            scale[i] *= _factor(found[0, i], floor[i])
            tried[i] += 1
            found, passes = np.asarray(measure(scale, x), float), passes + 1
    converged = np.all(np.abs(found - 1) <= tolerance, axis=0)
    _warn(names, found, floor, converged)
    mean, low, high = found
    return LsuvReport(names, before[0], mean, low, high, floor, scale, tried, converged, float(tolerance), passes)


def _factor(variance: float, floor: float) -> float:
    """The factor of the weights that gives variance 1 if weights and biases do not correlate."""
    return float(np.sqrt((1 - floor) / (variance - floor) if variance > floor else 1 / variance))


def _warn(names: tuple[str, ...], found: np.ndarray, floor: np.ndarray, converged: np.ndarray) -> None:
    """Say of which layers no scale makes the variance 1, and of which it is 1 on average only."""
    for i in np.flatnonzero(~converged):
        if floor[i] >= 1:
            said = (
                f"the biases of {names[i]} alone have variance {floor[i]:.3g} >= 1; its weights are kept: use smaller"
            )
            warnings.warn(f"{said} biases", UserWarning, stacklevel=4)
        elif found[1, i] < found[2, i]:
            span = f"{found[1, i]:.3g} to {found[2, i]:.3g}"
            said = f"{names[i]} is called several times, with variances {span}: one scale cannot make them all 1"
            warnings.warn(said, UserWarning, stacklevel=4)


def _biased(opened: Any, least: float) -> set[str]:
    """The names of the layers with biases that vary by more than the variance `least`."""
    values = {layer.name: [raw(value) for value in layer.biases.values()] for layer in opened.layers}
    return {name for name, biases in values.items() if any(np.var(np.asarray(b, float)) > least for b in biases)}
