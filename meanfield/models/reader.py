"""Finds the weight layers of a user's Flax model, in NNX modules and in Linen's variables.

A weight layer is a module (Linen: a node of the parameters) that itself holds an array of two or more axes. Names of
attributes do not matter, except that biases are arrays of one axis called `bias`, `b`, or ending in `bias` or `_b`, a
second one perhaps numbered (`bias_2`).
Embeddings are skipped: their rows are looked up, not summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array


class Layer(NamedTuple):
    """One weight layer: its path, the module (None in Linen), its kernels and its biases by name.

    kernels, biases: names -> `nnx.Param`s, or arrays in Linen. stacked: names -> how many first axes count layers.
    """

    path: tuple
    module: Any
    kernels: dict[str, Any]
    biases: dict[str, Any]
    stacked: Mapping[str, int]

    @property
    def name(self) -> str:
        """The path as one string, "blocks/3/conv"."""
        return "/".join(map(str, self.path)) or "model"


def nnx_layers(model: nnx.Module) -> list[Layer]:
    """The weight layers of an NNX module, in the order of its attributes.

    >>> class Net(nnx.Module):
    ...     def __init__(self, rngs):
    ...         self.stuff = nnx.List([nnx.Linear(3, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)])
    >>> [layer.name for layer in nnx_layers(Net(nnx.Rngs(0)))]
    ['stuff/0']
    """
    found = []
    for path, module in nnx.iter_modules(model):
        if isinstance(module, nnx.Embed):
            continue
        params = {k: v for k, v in vars(module).items() if isinstance(v, nnx.Param) and v.get_value() is not None}
        stacked = _stacked(module, params)
        kernels = {k: v for k, v in params.items() if v.ndim - stacked.get(k, 0) >= 2}
        if kernels:
            biases = {k: v for k, v in params.items() if _is_bias(k) and v.ndim - stacked.get(k, 0) < 2}
            found.append(Layer(path, module, kernels, biases, stacked))
    return found


def _stacked(module: nnx.Module, params: Mapping[str, Any]) -> dict[str, int]:
    """The number of leading axes that count layers: declared by the module, or inferred from a known layer's rank."""
    declared = dict(getattr(module, "stack_axes", {}))
    if isinstance(module, nnx.Linear):
        rank = 2
    elif isinstance(module, (nnx.Conv, nnx.ConvTranspose)):
        rank = 2 + len(module.kernel_size)
    else:
        return declared
    extra = params["kernel"].ndim - rank
    return declared | (dict.fromkeys(params, 1) if extra == 1 else {})


def linen_layers(params: Mapping[str, Any]) -> list[Layer]:
    """The weight layers of Linen's parameters, nested dicts with arrays at the leaves.

    >>> tree = {"Dense_0": {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}, "norm": {"scale": jnp.ones(4)}}
    >>> [layer.name for layer in linen_layers(tree)]
    ['Dense_0']
    """
    return list(_walk(params, ()))


def _walk(node: Mapping[str, Any], path: tuple) -> Iterator[Layer]:
    leaves = {k: v for k, v in node.items() if not isinstance(v, Mapping)}
    kernels = {k: v for k, v in leaves.items() if jnp.ndim(raw(v)) >= 2 and k != "embedding"}
    if kernels:
        biases = {k: v for k, v in leaves.items() if _is_bias(k) and jnp.ndim(raw(v)) < 2}
        yield Layer(path, None, kernels, biases, {})
    for name, child in node.items():
        if isinstance(child, Mapping):
            yield from _walk(child, (*path, name))


def raw(leaf: Any) -> Any:
    """The array inside an `nnx.Param`, or inside the box that Linen puts around a partitioned parameter."""
    return leaf.get_value() if isinstance(leaf, nnx.Variable) else nn.meta.unbox(leaf)


def _is_bias(name: str) -> bool:
    name = name.rstrip("0123456789").removesuffix("_")
    return name in ("bias", "b") or name.endswith(("bias", "_b"))


def drawn(rule: Callable[..., Array], key: Array, layer: Layer, name: str, old: Array) -> Array:
    """A new array for a parameter of a layer, with the old shape and dtype; stacked layers are drawn one by one."""

    def draw(key: Array, old: Array, stacked: int) -> Array:
        if not stacked:
            return _one(rule, key, layer.module, old)
        return jnp.stack([draw(k, old[0], stacked - 1) for k in jax.random.split(key, len(old))])

    return draw(key, old, layer.stacked.get(name, 0))


def _one(rule: Callable[..., Array], key: Array, module: Any, old: Array) -> Array:
    shape = old.shape
    if isinstance(module, nnx.LinearGeneral) and old.ndim >= 2 and not module.batch_axis:
        # Input axes first, then output axes: each fan is the product of its axes.
        into = len(module.in_features)
        shape = (math.prod(shape[:into]), math.prod(shape[into:]))
    return jnp.asarray(rule(key, shape, old.dtype), old.dtype).reshape(old.shape)


@contextmanager
def recorded(layers: list[Layer]) -> Iterator[dict[str, list[Array]]]:
    """A context in which calls of these NNX modules record their outputs under the layer's name, in call order.

    Flax looks `__call__` up on the class, so the classes are wrapped, as in `nnx.capture`, and restored afterwards.
    """
    names, log = {id(layer.module): layer.name for layer in layers}, {}

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def wrapper(self: Any, *args: Any, **options: Any) -> Any:
            out = call(self, *args, **options)
            if id(self) in names:
                log.setdefault(names[id(self)], []).append(out)
            return out

        return wrapper

    classes = {type(layer.module) for layer in layers}
    own = {cls: cls.__dict__.get("__call__") for cls in classes}
    try:
        for cls, wrapped in [(cls, wrap(cls.__call__)) for cls in classes]:
            cls.__call__ = wrapped
        yield log
    finally:
        for cls, call in own.items():
            if call is None:
                del cls.__call__
            else:
                cls.__call__ = call


def linen_outputs(module: nn.Module, variables: Any, layers: list[Layer], call: Callable[..., Any], x: Any) -> dict:
    """The outputs of each weight layer of a Linen module, one for each call, by name, in call order."""
    names, log = {layer.path: layer.name for layer in layers}, {}

    def watch(following: Callable[..., Any], args: tuple, options: dict, context: Any) -> Any:
        out = following(*args, **options)
        if context.method_name == "__call__" and context.module.path in names:
            log.setdefault(names[context.module.path], []).append(out)
        return out

    with nn.intercept_methods(watch):
        # BatchNorm's statistics may change; the update is dropped with the other outputs.
        nn.apply(call, module, mutable=True)(variables, x)
    return log
