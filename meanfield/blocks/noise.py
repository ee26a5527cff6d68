"""Noise drawn independently for every input and unit: dropout, additive and multiplicative noise, noisy rectifiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..gaussian.activation import Activation
from ..interface.arguments import drop_rate, sigma
from ..interface.numbers import Scalar
from ..interface.precision import is_traced
from .averaged_activation import RandomOutput
from .block import Block, Pointwise, with_random_output
from .kernel import Kernel
from .random_factors import Mixture, RandomFactors


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dropout(Block):
    """Dropout with drop rate `rate`, kept units divided by 1 - rate: q -> q / (1 - rate), q12 -> q12.

    Two identical inputs draw different masks and are separated, so that c* < 1 and xi_c is bounded (Schoenholz et al.
    2017). chi_c, the slope of the map at c*, has no factor 1 / (1 - rate); chi_1, which governs gradients, does: a
    gradient passes back through the same mask as its input. ReLU is critical at sigma_w^2 = 2 (1 - rate) (Pretorius et
    al. 2018).

    >>> import meanfield as mf
    >>> point = mf.fixed_point(mf.Activate("relu") >> mf.Dropout(0.1) >> mf.Dense(1.8**0.5))
    >>> print(f"{point.chi_1:.6f} {point.c_star:.6f} {point.xi_c:.5f}")
    1.000000 0.627146 2.27403
    """

    rate: Scalar
    per_input_noise: ClassVar[bool] = True

    def mixing(self, before: Mixture | None) -> Mixture | None:
        return _behind(self, before, lambda factors: factors.masked(self.rate))

    def check(self) -> None:
        drop_rate("rate", self.rate)

    def __call__(self, kernel: Kernel) -> Kernel:
        factors = (kernel.factors or RandomFactors()).masked(self.rate)
        return _multiplied(kernel, self.rate / (1 - self.rate)).replace(factors=factors)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Noise(Block):
    """x -> x (1 + multiplicative xi) + additive xi', xi and xi' of variance 1, drawn per input and unit.

    Both are standard deviations. q -> (1 + multiplicative^2) q + additive^2, q12 -> q12; chi_1 takes the factor
    mu_2 = 1 + multiplicative^2. ReLU is critical at sigma_w^2 = 2 / mu_2, and never with additive noise (Pretorius et
    al. 2018).

    >>> float(Noise(multiplicative=1.0, additive=0.5)(Kernel.single(jnp.float32(1.0))).q1)
    2.25
    """

    multiplicative: Scalar = 0.0
    additive: Scalar = 0.0
    per_input_noise: ClassVar[bool] = True

    def mixing(self, before: Mixture | None) -> Mixture | None:
        if before is None and self.is_additive:
            return None
        return _behind(self, before, self._behind)

    def check(self) -> None:
        sigma("multiplicative", self.multiplicative)
        sigma("additive", self.additive)

    def __call__(self, kernel: Kernel) -> Kernel:
        after, factors = kernel, kernel.factors
        if not (factors is None and self.is_additive):
            factors = self._behind(factors or RandomFactors())
        if not self.is_additive:
            after = _multiplied(kernel, jnp.square(self.multiplicative))
        added = jnp.square(0.0 if self.additive is None else self.additive) * jnp.ones_like(kernel.q1)
        return after.with_noise(added, added).replace(factors=factors)

    @property
    def is_additive(self) -> bool:
        """Whether nothing is multiplied, as far as that is known."""
        return is_zero(self.multiplicative)

    def _behind(self, factors: RandomFactors) -> RandomFactors | None:
        """The law behind this noise; None if it is none of `RandomFactors`."""
        if not self.is_additive:
            if factors.noise is not None or factors.added is not None:
                return None
            factors = replace(factors, noise=self.multiplicative)
        return factors if is_zero(self.additive) else factors.with_added(self.additive**2)


def is_zero(std: Any) -> bool:
    """Whether a standard deviation is known to be 0; None stands for 0 too."""
    return std is None or (not is_traced(std) and bool(np.all(np.asarray(std) == 0)))


def _behind(block: Block, before: Mixture | None, change: Callable[[RandomFactors], RandomFactors | None]) -> Mixture:
    """The mixture that a block's random factors leave behind another one."""
    factors = RandomFactors() if before is None else before.factors
    return Mixture(block, None if factors is None else change(factors))


def _multiplied(kernel: Kernel, var: Scalar) -> Kernel:
    return kernel.with_noise(var * kernel.q1, var * kernel.q2, tangent=1 + var)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NReLU(Pointwise):
    """The noisy rectifier max(0, x + xi), xi ~ N(0, logistic(x)): noise that depends on its input (Nair & Hinton 2010).

    With s^2 = logistic(x), t = x / s, and Phi and n the normal distribution and density, one unit has the mean m(x) = x
    Phi(t) + s n(t) and the second moment (x^2 + s^2) Phi(t) + x s n(t); q12 -> E[m(u) m(v)]. chi_1 is that of the
    reparametrized noise s(x) xi with xi held fixed, so that s is differentiated too.

    >>> round(float(NReLU()(Kernel.single(jnp.float32(1.0))).q1), 4)
    0.8198
    """

    per_input_noise: ClassVar[bool] = True

    def pair(self, kernel: Kernel) -> Kernel:
        parts = (Activation(fn, name="nrelu") for fn in (_mean, _variance, _squared_slope))
        return with_random_output(RandomOutput(*parts), kernel)


def _parts(x: Array) -> tuple[Array, Array, Array, Array]:
    # Far to the left the noise vanishes, and 0 / 0 must not arise.
    s = jnp.exp(jax.nn.log_sigmoid(jnp.maximum(x, -60.0)) / 2)
    t = x / s
    return s, t, jax.scipy.special.ndtr(t), jnp.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)


def _mean(x: Array) -> Array:
    s, _, below, density = _parts(x)
    return x * below + s * density


def _variance(x: Array) -> Array:
    s, _, below, density = _parts(x)
    return jnp.maximum((x**2 + s**2) * below + x * s * density - _mean(x) ** 2, 0.0)


def _squared_slope(x: Array) -> Array:
    """E[(d max(0, x + s(x) xi) / dx)^2]."""
    s, t, below, density = _parts(x)
    ds = s * (1 - s**2) / 2
    return below + 2 * ds * density + ds**2 * (below - t * density)
