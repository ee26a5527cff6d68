"""Layer-sequential unit variance: each layer's weights scaled so that its outputs on a batch have variance 1."""

from __future__ import annotations

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
from .reader import Layer, linen_layers, linen_outputs, nnx_layers, recorded
from .reinitialize import replaced


@dataclass(frozen=True, repr=False, eq=False)
class LsuvReport(Result):
    """The report of `lsuv`, layer by layer in call order; arrays (n,).

    before, variance : variance of each layer's outputs over the batch, in the model given and in the model returned
    scale            : the factor applied to its weights
    attempts         : how many times; converged: |variance - 1| <= tolerance
    passes           : forward passes through the network
    """

    layers: tuple[str, ...]
    before: np.ndarray
    variance: np.ndarray
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
    times; one forward pass checks a layer and measures the next. Biases stay; where they are large, more attempts are
    needed. call: how the model is called, `lambda model, x: model(x, train=False)`.

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
    found = _scales(jax.jit(lambda scales, x: opened.variances(names, scales, x)), x, names, tolerance, attempts)
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

    def outputs(self, scales: dict[str, Any], x: Any) -> dict[str, Array]:
        model = nnx.merge(self.graph, self.state, copy=True)
        layers = _apply(nnx_layers(model), scales)
        with recorded(layers) as log:
            self.call(model, x)
        return log

    def variances(self, names: tuple[str, ...], scales: Array, x: Any) -> Array:
        log = self.outputs(dict(zip(names, scales, strict=True)), x)
        return jnp.stack([jnp.var(log[name].astype(jnp.float32)) for name in names])

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

    def outputs(self, scales: dict[str, Any], x: Any) -> dict[str, Array]:
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
        seen.extend(name for name, out in log.items() if hasattr(out, "dtype"))
        return [log[name] for name in seen]

    try:
        jax.eval_shape(trace, x)
    except jax.errors.UnexpectedTracerError:
        raise InputError(f"model calls its layers inside a transformation (scan, jit, remat); {advice}") from None
    if not seen:
        raise InputError("model has no weight layer that is called on x")
    return tuple(seen)


def _scales(measure: Callable[..., Array], x: Any, names: tuple[str, ...], tolerance: float, most: int) -> LsuvReport:
    scale, tried = np.ones(len(names)), np.zeros(len(names), int)
    variance = before = np.asarray(measure(scale, x), float)
    passes = 1
    for i, name in enumerate(names):
        while abs(variance[i] - 1) > tolerance and tried[i] < most:
            if not 0 < variance[i] < np.inf:
                raise InputError(
                    f"model: the outputs of {name} have variance {variance[i]}; its weights cannot be scaled"
                )
            scale[i] /= np.sqrt(variance[i])
            tried[i] += 1
            variance, passes = np.asarray(measure(scale, x), float), passes + 1
    converged = np.abs(variance - 1) <= tolerance
    return LsuvReport(names, before, variance, scale, tried, converged, float(tolerance), passes)
