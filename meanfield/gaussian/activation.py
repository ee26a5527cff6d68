"""`Activation`: a function of one real variable, with the metadata that exact Gaussian expectations need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..errors import InputError, shown
from ..interface.custom_derivatives import Values, has_own_derivative
from ..interface.settings import in_own_settings
from .features import Features
from .quadrature import derivative


@partial(jax.jit, static_argnums=0)
def _evaluate(fn: Callable[..., Array], params: dict[str, Any], x: Array) -> Array:
    return fn(x, **params)


@lru_cache(maxsize=512)
def _slope_of(fn: Callable[..., Array]) -> Callable[..., Array]:
    # Cached, so that one function has one derivative object and compiles once.
    return lambda x, **params: derivative(lambda y: fn(y, **params), x)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Activation:
    """An activation phi: smooth pieces and the points where they meet.

    fn      : maps (x, **params) elementwise; compared by identity, so that one function compiles once
    params  : its parameters, leaves of the pytree: d(chi_1)/d(slope) is `jax.grad` through here
    kinks   : positions, ascending, where phi or one of its derivatives jumps; leaves as well
    closed  : `ClosedForms` of its moments, where they are known
    steps   : for each kink, whether phi itself jumps there (step, sign); static
    scale   : the length over which phi bends near the origin (1 for tanh)
    name    : its name in tables and figures
    features: where its quadrature needs more than the standard panels, as `mf.activation` found it; outside a trace it
              is found anew
    backward : where gradients see another derivative than phi', a surrogate: an Activation, made of a function of
              (x, **params). phi' remains that of the values of fn. None where the two are the same

    Called on an array it is phi. Declare one by hand where `mf.activation` cannot find the kinks:

    >>> import jax.numpy as jnp
    >>> clipped = Activation(lambda x: jnp.clip(x, -1, 1), kinks=(-1.0, 1.0), name="clipped")
    >>> float(clipped(jnp.array(3.0)))
    1.0
    """

    fn: Callable[..., Array] = field(metadata={"static": True})
    params: dict[str, Any] = field(default_factory=dict)
    kinks: tuple = ()
    closed: Any = None
    steps: tuple[bool, ...] = field(default=(), metadata={"static": True})
    scale: float = field(default=1.0, metadata={"static": True})
    name: str = field(default="activation", metadata={"static": True})
    features: Features = field(default=Features(), metadata={"static": True})
    backward: Any = None

    def __post_init__(self) -> None:
        if callable(self.backward) and not isinstance(self.backward, Activation):
            from .named import activation

            object.__setattr__(self, "backward", activation(self.backward, **self.params))
            if has_own_derivative(self.fn, self.params):
                object.__setattr__(self, "fn", Values(self.fn))
        if not callable(self.fn):
            raise InputError(f"{shown('fn', self.fn)} must be a JAX function of an array; mf.activation takes names")
        if not self.steps and isinstance(self.kinks, tuple):
            object.__setattr__(self, "steps", (False,) * len(self.kinks))

    @in_own_settings
    def __call__(self, x: Array) -> Array:
        return _evaluate(self.fn, self.params, x)

    def apply(self, x: Array) -> Array:
        """phi(x) in a network: the same value, and `backward` is its derivative."""
        return self(x) if self.backward is None else _with_backward(self, x)

    def slope(self, x: Array) -> Array:
        """phi'(x) on the smooth pieces; `kinks` and `jumps` describe the rest."""
        return _evaluate(_slope_of(self.fn), self.params, x)

    @property
    def slope_activation(self) -> Activation:
        """phi' on the smooth pieces as an Activation: slope jumps of phi become its value jumps."""
        return replace(self, fn=_slope_of(self.fn), steps=(True,) * len(self.kinks), closed=None)

    def kink_array(self, dtype: Any) -> Array:
        """The kink positions as an array (k,) of `dtype`."""
        return jnp.stack([jnp.asarray(k, dtype) for k in self.kinks]) if self.kinks else jnp.zeros((0,), dtype)

    def jumps(self, dtype: Any) -> Array:
        """phi(k+) - phi(k-) at each kink, exactly 0 where phi is declared continuous; shape (k,)."""
        if not any(self.steps):
            return jnp.zeros((len(self.kinks),), dtype)
        at = self.kink_array(dtype)
        aside = 16 * jnp.finfo(dtype).eps * jnp.maximum(jnp.abs(at), self.scale)
        return jnp.where(np.array(self.steps), self(at + aside) - self(at - aside), 0.0)

    @property
    def has_steps(self) -> bool:
        """Whether phi itself jumps somewhere, so that E[phi'^2] is infinite."""
        return any(self.steps)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Not every function of JAX can be pickled; those with a name or a text are, by it.
        from .named import remade, source_of

        source = source_of(self)
        if source is None:
            return super().__reduce_ex__(protocol)
        more = self.scale, self.name, self.features
        return remade, (source, self.params, self.kinks, self.steps, self.closed, more)

    def named(self, name: str) -> Activation:
        """The same activation under another name."""
        return replace(self, name=name)

    def __repr__(self) -> str:
        params = "".join(f", {k}={v}" for k, v in self.params.items())
        backward = "" if self.backward is None else f", backward={self.backward.name!r}"
        return f"Activation({self.name!r}{params}{backward})"


@jax.custom_jvp
def _with_backward(phi: Activation, x: Array) -> Array:
    return phi(x)


@_with_backward.defjvp
def _with_backward_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    phi, x = primals
    value, moved = jax.jvp(lambda phi: phi(x), primals[:1], tangents[:1])
    return value, moved + phi.backward(x) * tangents[1]
