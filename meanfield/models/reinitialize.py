"""`reinitialize`: redraw the weights of any existing model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx
from jax import Array

from ..errors import InputError
from ..initializers.rule import Rule
from ..interface.arguments import function, random_key
from ..interface.settings import in_own_settings
from .reader import Layer, drawn, linen_layers, nnx_layers


@in_own_settings
def reinitialize(
    model: Any,
    initializer: Callable[..., Array],
    key: Any = 0,
    *,
    bias_init: Callable[..., Array] | None = None,
    where: Callable[[str], bool] | None = None,
) -> Any:
    """The same model with weights redrawn by an initializer; the given model is unchanged.

    model: an NNX module, or Linen's variables (the dict that `init` returns, or its "params"). Every array of two or
    more axes in a layer is redrawn, whatever its name, except embeddings; scales of normalizations stay. initializer:
    any rule `(key, shape, dtype)`, of this library or another. Biases are drawn by `bias_init`; without one, by the
    initializer if it is a rule of this library, which knows its sigma_b; otherwise they stay. key: a JAX key or an
    integer. where: which layers, by their path, `lambda path: "head" not in path`.

    Kernels are (*window, c_in, c_out). In NNX, `nnx.LinearGeneral` (attention) and stacks of `Linear` and `Conv` made
    by `nnx.vmap` are recognized; from Linen's variables alone neither can be told from a convolution. InputError for a
    model without weight layers.

    >>> import meanfield as mf
    >>> from flax import nnx
    >>> layer = nnx.Linear(400, 300, rngs=nnx.Rngs(0))
    >>> again = reinitialize(layer, mf.initializers.he, 1)
    >>> print(f"{float(layer.kernel.std()) * 20:.1f} {float(again.kernel.std()) * 20:.1f}")
    1.0 1.4
    """
    rule = "give a rule (key, shape, dtype), like mf.initializers.he"
    function("initializer", initializer, rule)
    if bias_init is not None:
        function("bias_init", bias_init, rule)
    if where is not None:
        function("where", where, "give a function of a layer's path")
    if bias_init is None and isinstance(initializer, Rule):
        bias_init = initializer
    if isinstance(model, nnx.Module):
        model = nnx.clone(model)
        layers = _chosen(nnx_layers(model), where)
        for layer, k in zip(layers, jax.random.split(random_key("key", key), len(layers)), strict=True):
            for params, name, new in _draws(layer, initializer, bias_init, k):
                params[name][...] = new
        return model
    if not isinstance(model, Mapping):
        raise InputError(f"model={type(model).__name__} must be an nnx.Module or Linen's variables, a dict")
    inner = model.get("params")
    params = inner if isinstance(inner, Mapping) else model  # variables, or their "params" alone
    layers = _chosen(linen_layers(params), where)
    for layer, k in zip(layers, jax.random.split(random_key("key", key), len(layers)), strict=True):
        for _, name, new in _draws(layer, initializer, bias_init, k):
            params = replaced(params, (*layer.path, name), lambda _, new=new: new)
    return {**model, "params": params} if "params" in model and params is not model else params


def _chosen(layers: list[Layer], where: Callable[[str], bool] | None) -> list[Layer]:
    chosen = [layer for layer in layers if where is None or where(layer.name)]
    if not chosen:
        raise InputError("model has no weight layer" + (" that `where` chooses" if layers else "") + " to redraw")
    return chosen


def _draws(layer: Layer, initializer: Any, bias_init: Any, key: Array) -> list[tuple[dict, str, Array]]:
    """(kernels or biases, name, new array) of everything redrawn in a layer."""
    work = [(layer.kernels, name, initializer) for name in layer.kernels]
    work += [(layer.biases, name, bias_init) for name in layer.biases if bias_init is not None]
    keys = jax.random.split(key, len(work))
    return [
        (params, n, drawn(rule, k, layer, n, _array(params[n])))
        for (params, n, rule), k in zip(work, keys, strict=True)
    ]


def _array(param: Any) -> Array:
    if isinstance(param, nnx.Param):
        return param[...]
    return param.unbox() if hasattr(param, "unbox") else param


def replaced(tree: Any, path: tuple, change: Callable[[Array], Array]) -> Any:
    """Nested dicts with the array at a path replaced, the rest shared; boxes of partitioned parameters are kept.

    >>> replaced({"a": {"w": 1.0}, "b": 2.0}, ("a", "w"), lambda w: w + 1)
    {'a': {'w': 2.0}, 'b': 2.0}
    """
    if not path:
        return tree.replace_boxed(change(tree.unbox())) if hasattr(tree, "replace_boxed") else change(tree)
    return {**tree, path[0]: replaced(tree[path[0]], path[1:], change)}
