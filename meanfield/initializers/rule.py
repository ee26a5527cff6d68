"""`Rule`, the base of every initializer, and the rules that scale independent entries by the fan of a kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array, core

from ..blocks.block import MLP, Block
from ..errors import InputError
from ..gaussian.activation import Activation
from ..interface.arguments import finite_number, float_dtype, one_of, random_key, shape_of, sigma
from ..interface.numbers import Scalar
from ..interface.settings import in_own_settings

Distribution = Literal["normal", "truncated_normal", "uniform"]
Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
DISTRIBUTIONS = get_args(Distribution)
MODES = get_args(Mode)


class Rule:
    """A frozen dataclass that draws weights and knows the theory point (sigma_w, sigma_b) that it realizes.

    Called with a key and a shape, `rule(key, shape, dtype, out_sharding)`, it draws, as `jax.nn.initializers` do.
    A shape of two or more axes is a kernel (*window, c_in, c_out); one with fewer is a bias, which gets
    N(0, sigma_b^2). So one rule serves as `kernel_init` and as `bias_init`. Called with options it is the rule with
    those options: `he` and `he()` are the same rule, `he(slope=0.25)` is PReLU's.

    Rules are equal when their fields are, hashable and picklable.
    """

    # Fields in some rules, properties in others.
    sigma_w: Any
    sigma_b: Any

    @in_own_settings
    def __call__(
        self, key: Any = None, shape: Any = None, dtype: Any = jnp.float32, out_sharding: Any = None, **options: Any
    ) -> Any:
        """Draw an array of `shape` and `dtype`; without a key and a shape, the rule with `options` set."""
        if shape is None:
            return self._with(key, options)
        if options:
            raise InputError(f"{', '.join(options)}: set options first, then draw: rule(...)(key, shape)")
        key, shape = random_key("key", key), shape_of("shape", shape)
        dtype = float_dtype("dtype", jnp.float32 if dtype is None else dtype)
        # Draws in half precision are not symmetric, and a rounded sigma is another sigma.
        exact = jnp.promote_types(dtype, jnp.float32)
        # An empty kernel has no fan.
        if len(shape) < 2 or 0 in shape:
            drawn = normal(key, shape, exact, out_sharding) * jnp.asarray(self.sigma_b, exact)
        else:
            drawn = self.kernel(key, shape, exact, out_sharding)
        return drawn.astype(dtype)

    def _with(self, key: Any, options: dict[str, Any]) -> Rule:
        if key is not None:
            raise InputError("shape is missing; draw with rule(key, shape), set options by name")
        try:
            return replace(self, **options)  # type: ignore[type-var]
        except TypeError:
            known = ", ".join(f for f in self.__dataclass_fields__)  # type: ignore[attr-defined]
            raise InputError(f"{', '.join(options)}: unknown option; {type(self).__name__} has {known}") from None

    def kernel(self, key: Array, shape: tuple[int, ...], dtype: Any, out_sharding: Any) -> Array:
        """A kernel of `shape`, two or more axes."""
        raise NotImplementedError

    def gain(self, shape: Sequence[int]) -> float:
        """sigma_w that a kernel of this shape realizes, in units of the rule's own sigma_w; 1 on square kernels."""
        raise NotImplementedError

    def sigma_w_at(self, shape: Sequence[int] | None = None) -> Scalar:
        """The sigma_w realized by a kernel (*window, c_in, c_out): sigma_w^2 = fan_in E[W^2]; None: a square one.

        >>> from meanfield.initializers import glorot
        >>> round(glorot.sigma_w_at((300, 17)) ** 2, 4), glorot.sigma_w_at()
        (1.8927, 1.0)
        """
        if shape is None:
            return self.sigma_w
        shape = shape_of("shape", shape)
        if len(shape) < 2 or 0 in shape:
            raise InputError(f"shape={tuple(shape)} is not the shape of a kernel; give (*window, c_in, c_out)")
        return self.sigma_w * self.gain(tuple(shape))

    def block(self, phi: str | Callable | Activation, shape: Sequence[int] | None = None) -> Block:
        """The block of layers drawn by this rule, so that every quantity of the theory applies to it.

        `shape` is the kernel's if sigma_w depends on it; None means a square one.

        >>> import meanfield as mf
        >>> print(f"{mf.fixed_point(mf.initializers.lecun.block('selu')).chi_1:.5f}")
        1.07157
        """
        return MLP(phi, self.sigma_w_at(shape), self.sigma_b)


def normal(key: Array, shape: tuple[int, ...], dtype: Any, out_sharding: Any = None) -> Array:
    """Independent standard normals; `out_sharding`, where given, places them on a mesh."""
    place = {} if out_sharding is None else {"out_sharding": out_sharding}
    return jax.random.normal(key, shape, dtype, **place)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """fan_in and fan_out of a kernel (*window, c_in, c_out): k k c_in and k k c_out.

    In Flax the kernel of a grouped convolution already has c_in / groups.

    >>> fans((3, 3, 8, 64))
    (72, 576)
    """
    *window, c_in, c_out = shape
    field = math.prod(window)
    return field * c_in, field * c_out


def canonicalize_sigmas(rule: Any, *names: str) -> None:
    """Check the standard deviations of a rule and convert them to plain floats: equal values, equal rules."""
    for name in names:
        value = getattr(rule, name)
        sigma(name, value, single=True)
        if not isinstance(value, core.Tracer):
            object.__setattr__(rule, name, float(value))


@dataclass(frozen=True)
class Scaled(Rule):
    """Independent entries of variance sigma_w^2 / fan, by `jax.nn.initializers.variance_scaling`.

    sigma_w, sigma_b: standard deviations, dimensionless. mode: which fan, one of `MODES`; with "fan_in" the theory's
    sigma_w equals the rule's on every shape, with the others on square kernels (see `sigma_w_at`). distribution: one of
    `DISTRIBUTIONS`; the theory depends only on the variance. Raises InputError for a negative sigma, unknown words.

    >>> import jax
    >>> kernel = Scaled(1.5, 0.3)(jax.random.key(0), (400, 300))
    >>> abs(float(kernel.std()) * 400**0.5 - 1.5) < 0.02
    True
    """

    sigma_w: Scalar = 1.0
    sigma_b: Scalar = 0.0
    distribution: Distribution = "normal"
    mode: Mode = "fan_in"

    def __post_init__(self) -> None:
        canonicalize_sigmas(self, "sigma_w", "sigma_b")
        one_of("distribution", self.distribution, DISTRIBUTIONS)
        one_of("mode", self.mode, MODES)

    def kernel(self, key: Array, shape: tuple[int, ...], dtype: Any, out_sharding: Any) -> Array:
        """A kernel of `shape`, by `jax.nn.initializers.variance_scaling`."""
        draw = jax.nn.initializers.variance_scaling(1.0, self.mode, self.distribution)
        place = {} if out_sharding is None else {"out_sharding": out_sharding}
        # Multiplied by sigma_w rather than scaled by sigma_w^2: linear in a traced sigma_w, even at 0.
        return draw(key, shape, dtype, **place) * jnp.asarray(self.sigma_w, dtype)

    def gain(self, shape: Sequence[int]) -> float:
        """sqrt(fan_in / fan) of this mode's fan."""
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        return math.sqrt(fan_in / fan.get(self.mode, math.sqrt(fan_in * fan_out)))


@dataclass(frozen=True)
class He(Rule):
    """Variance 2 / ((1 + slope^2) fan_in): the second moment survives a rectifier (He et al. 2015).

    slope: of PReLU or leaky ReLU for x < 0, 0 for ReLU; sigma_b: of the biases. mode: "fan_in", or "fan_out", which
    preserves gradients instead. Critical for its activation at any variance.

    >>> print(f"{He().sigma_w:.6f} {He(slope=0.25).sigma_w**2:.5f}")
    1.414214 1.88235
    """

    slope: Scalar = 0.0
    sigma_b: Scalar = 0.0
    distribution: Distribution = "normal"
    mode: Mode = "fan_in"

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", float(finite_number("slope", self.slope)))
        canonicalize_sigmas(self, "sigma_b")
        one_of("distribution", self.distribution, DISTRIBUTIONS)
        one_of("mode", self.mode, MODES)

    @property
    def sigma_w(self) -> float:
        """sqrt(2 / (1 + slope^2))."""
        return math.sqrt(2 / (1 + self.slope**2))

    @property
    def _scaled(self) -> Scaled:
        return Scaled(self.sigma_w, self.sigma_b, self.distribution, self.mode)

    def kernel(self, key: Array, shape: tuple[int, ...], dtype: Any, out_sharding: Any) -> Array:
        """A kernel of `shape`."""
        return self._scaled.kernel(key, shape, dtype, out_sharding)

    def gain(self, shape: Sequence[int]) -> float:
        """sqrt(fan_in / fan) of this mode's fan."""
        return self._scaled.gain(shape)
