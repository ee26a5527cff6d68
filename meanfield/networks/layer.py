"""`Layer`: passed to a block's finite realization, to declare its parameters and draw its noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ..initializers.rule import Scaled
from ..interface.arguments import sigma
from ..interface.precision import is_traced

__all__ = ["Biases", "Declared", "Layer", "Step"]

Initializer = Callable[..., Array]
Step = Callable[[Array, "Layer"], Array]
"""A realization: maps activations (..., channels) and a `Layer` to the activations after it."""


@dataclass(frozen=True)
class Biases:
    """Independent N(0, sigma_b^2), all layers in one draw."""

    sigma_b: Any

    def __post_init__(self) -> None:
        sigma("sigma_b", self.sigma_b, single=True)

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return jax.random.normal(key, shape, dtype) * jnp.asarray(self.sigma_b, dtype)


@dataclass(frozen=True)
class Declared:
    """A parameter of a layer before it is drawn: its rule, called (key, shape, dtype), and its shape.

    stacked: how many of the first axes count layers.
    """

    rule: Initializer
    shape: tuple[int, ...]
    stacked: int = 0

    def times(self, times: int) -> Declared:
        """The same parameter of `times` layers, (times, *shape)."""
        # Biases are independent entries anyway, and one draw of all is cheaper than one per layer.
        rule = self.rule if isinstance(self.rule, Biases) else partial(_layer_by_layer, self.rule)
        return Declared(rule, (times, *self.shape), self.stacked + 1)


def _layer_by_layer(rule: Initializer, key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Independent draws of shape[0] layers, one after the other to keep only one layer's scratch memory."""
    times, *rest = shape
    keys = jax.random.split(key, times)
    if times == 0:
        return jnp.zeros(shape, dtype)
    if is_traced(keys):
        return jax.lax.map(lambda key: rule(key, tuple(rest), dtype), keys)
    # A loop reuses compiled code; a map over a new function would compile for every network.
    return jnp.stack([rule(key, tuple(rest), dtype) for key in keys])


@dataclass
class Layer:
    """One layer of a finite network, both while it is declared and whenever it is applied.

    A block's `finite(x, layer)` defines the layer's action on activations x (inputs, ..., channels), with `layer.width`
    units, `layer.parameter` for parameters, `layer.key` for noise. It runs first on shapes alone, to find the
    parameters, then on numbers, with the drawn parameters in `values` by name.

    kernel_init: a rule for every parameter whose name begins with "kernel", instead of the block's own. noise: the key
    of this pass, None if noise is off (`deterministic`).

    >>> layer = Layer(width=4)
    >>> layer.declare(lambda x, layer: layer.dense(x, sigma_w=1.5, sigma_b=0.3), jnp.ones((2, 3)))
    (2, 4)
    >>> {name: declared.shape for name, declared in layer.declared.items()}
    {'kernel': (3, 4), 'bias': (4,)}
    """

    width: int
    dtype: DTypeLike = jnp.float32
    kernel_init: Initializer | None = None
    prefix: str = ""
    values: dict[str, Array] | None = None
    noise: Array | None = None
    declared: dict[str, Declared] = field(default_factory=dict)
    noisy: bool = False
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def deterministic(self) -> bool:
        """Whether this pass is without noise: dropout keeps every unit."""
        return self.values is not None and self.noise is None

    def parameter(self, name: str, shape: tuple[int, ...], rule: Initializer) -> Array:
        """The layer's parameter of that name, which `rule(key, shape, dtype)` draws; a second one becomes name_2."""
        if self.kernel_init is not None and name.startswith("kernel"):
            rule = self.kernel_init
        return self._declare(name, Declared(rule, tuple(shape)))

    def _declare(self, name: str, declared: Declared) -> Array:
        call = self._count(name)
        name = f"{self.prefix}{name}{'' if call == 1 else f'_{call}'}"
        if self.values is not None:
            return self.values[name]
        self.declared[name] = declared
        return jnp.zeros(declared.shape, self.dtype)

    def key(self) -> Array:
        """A key for noise, a new one at each call; only if the layer is not `deterministic`."""
        self.noisy = True
        if self.values is None:
            return jax.random.key(0)
        assert self.noise is not None, "noise is off in this pass, so there is no key; check layer.deterministic first"
        return jax.random.fold_in(self.noise, self._count("noise key"))

    def dense(self, x: Array, sigma_w: Any, sigma_b: Any = None) -> Array:
        """x W + b with W ~ N(0, sigma_w^2 / fan_in) and b ~ N(0, sigma_b^2), None for no biases; to `width` units."""
        kernel = self.parameter("kernel", (x.shape[-1], self.width), Scaled(sigma_w))
        return x @ kernel if sigma_b is None else x @ kernel + self.biases(sigma_b)

    def biases(self, sigma_b: Any) -> Array:
        """One bias per unit, N(0, sigma_b^2)."""
        return self.parameter("bias", (self.width,), Biases(sigma_b))

    def repeat(self, step: Step, times: int, x: Array) -> Array:
        """`step` repeated `times` times with independent parameters, as one scan."""
        inner = Layer(self.width, self.dtype, self.kernel_init)
        inner.declare(step, x)
        self.noisy |= inner.noisy
        stacks = {}
        for name, declared in inner.declared.items():
            stacks[name] = self._declare(name, declared.times(times))
        keys = None if self.deterministic or not inner.noisy else jax.random.split(self.key(), times)

        def one(h: Array, part: tuple[dict[str, Array], Array | None]) -> tuple[Array, None]:
            values, noise = part
            return step(h, replace(inner, values=values, noise=noise, calls={})).astype(h.dtype), None

        return jax.lax.scan(one, x, (stacks, keys))[0]

    def declare(self, step: Step, x: Array | jax.ShapeDtypeStruct) -> tuple[int, ...]:
        """Run `step` on the shapes of x, which fills `declared` with its parameters; returns the shape after it."""
        after = jax.eval_shape(lambda x: step(x, self), x)
        self.calls = {}
        return after.shape

    def _count(self, name: str) -> int:
        self.calls[name] = self.calls.get(name, 0) + 1
        return self.calls[name]
