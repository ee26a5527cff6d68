"""Random factors of the units, behind which pre-activations are a mixture of Gaussians."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .kernel import Kernel, gap_increase

if TYPE_CHECKING:
    from .block import Block


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RandomFactors:
    """The law of a unit given the Gaussian z in front of its random factors, which every input and unit draws anew.

    A live unit, with probability `keep`, is (1 + noise xi) z / keep + sqrt(added) xi'; a dead one is Gaussian with one
    of the variances in `dead`, [(probability, variance), ...]. xi, xi' ~ N(0, 1). The factor of z has mean 1, so that
    the covariance of two inputs is that of z.

    noise : None where there is no multiplicative noise; added: None where none was added behind the factors
    """

    keep: Any = 1.0
    noise: Any = None
    added: Any = None
    dead: tuple[tuple[Any, Any], ...] = ()

    def masked(self, rate: Any) -> RandomFactors:
        """Behind a mask that drops units at `rate` and divides the others by 1 - rate."""
        kept = 1 - rate
        dead = [(kept * weight, var / kept**2) for weight, var in self.dead]
        if self.added is None:
            # Dead units are all 0.
            dead = [(1 - kept * self.keep, 0 * rate)]
        else:
            dead.append((rate, 0 * rate))
        added = None if self.added is None else self.added / kept**2
        return RandomFactors(kept * self.keep, self.noise, added, tuple(dead))

    def with_added(self, var: Any) -> RandomFactors:
        """Behind additive noise of variance `var`."""
        added = var if self.added is None else self.added + var
        return replace(self, added=added, dead=tuple((weight, before + var) for weight, before in self.dead))

    def scaled(self, var: Any) -> RandomFactors:
        """Behind a factor sqrt(var) common to all units."""
        added = None if self.added is None else var * self.added
        return replace(self, added=added, dead=tuple((weight, var * before) for weight, before in self.dead))

    def idle(self) -> RandomFactors:
        """The law of units without factors, in the form of this one."""
        zero = 0.0 * self.keep
        return RandomFactors(
            zero + 1.0,
            None if self.noise is None else zero,
            None if self.added is None else zero,
            tuple((zero, zero) for _ in self.dead),
        )

    @property
    def mean_square(self) -> Any:
        """E[d^2] of the factor d of z."""
        return (1 if self.noise is None else 1 + jnp.square(self.noise)) / self.keep

    @property
    def added_variance(self) -> Any:
        """The variance of a unit beyond E[d^2] that of z."""
        live = 0.0 if self.added is None else self.keep * self.added
        return live + sum(weight * var for weight, var in self.dead)

    def source(self, kernel: Kernel) -> Kernel:
        """The Gaussian kernel of z from that of the units."""
        share, beyond = self.mean_square, self.added_variance
        q1, q2 = (jnp.maximum(q - beyond, 0.0) / share for q in (kernel.q1, kernel.q2))
        gap = kernel.gap
        if kernel.infinitesimal:
            gap = gap / share
        elif gap is not None:
            # Both have the covariance of z. A smaller gap than the factors make is that of one z.
            drawn = kernel.q1 - q1 if kernel.equal else gap_increase(q1, q2, kernel.q1 - q1, kernel.q2 - q2)
            gap = jnp.where(gap < drawn, 0.0, gap - drawn)
        return Kernel(
            q1,
            q2,
            gap,
            kernel.error / share,
            equal=kernel.equal,
            infinitesimal=kernel.infinitesimal,
            of_gradient=kernel.of_gradient,
        )


class Mixture(NamedTuple):
    """The block that leaves a mixture of Gaussians behind it, and its law; None where that is no `RandomFactors`."""

    block: Block
    factors: RandomFactors | None


def live(kernel: Kernel, factors: RandomFactors) -> Kernel:
    """The kernel of units that no mask has dropped, z / keep + noise, from that of z."""
    kernel = kernel.scaled(1 / factors.keep)
    if factors.added is None:
        return kernel
    added = factors.added * jnp.ones_like(kernel.q1)
    return kernel.with_noise(added, added)


def mixed(outputs: Kernel, dead: list[tuple[Array, Kernel]], factors: RandomFactors) -> Kernel:
    """The kernel of a function of masked units: `outputs` where they live, one of `dead` with its probability.

    With keep = p, a live output of mean m and mean square Q, and a dead one of mean f and mean square s, the mean given
    z is p phi + (1 - p) f, and the mask and the dead unit's own noise add p (1 - p) E[(phi - f)^2] + (1 - p) (s - f^2).
    """
    if not dead:
        return outputs
    p = factors.keep
    total = sum(weight for weight, _ in dead)
    safe = jnp.where(total > 0, total, 1.0)
    f = sum(weight * kernel.m1 for weight, kernel in dead) / safe
    s = sum(weight * kernel.q1 for weight, kernel in dead) / safe

    def drawn(q: Array, m: Array) -> Array:
        apart = jnp.maximum(q - 2 * f * m + f**2, 0.0)
        return p * (1 - p) * apart + (1 - p) * jnp.maximum(s - f**2, 0.0)

    gap = outputs.gap
    if outputs.infinitesimal:
        # The same draw: only live units pass a tangent on.
        gap = p * gap
    elif gap is not None:
        shift = (1 - p) * f
        constant = Kernel(shift**2, shift**2, 0 * shift, m1=shift, m2=shift, equal=outputs.equal, gaussian=False)
        given_z = outputs.scaled(p).add(constant)
        gap = given_z.with_noise(drawn(outputs.q1, outputs.m1), drawn(outputs.q2, outputs.m2)).gap
    return outputs.replace(
        q1=p * outputs.q1 + (1 - p) * s,
        q2=p * outputs.q2 + (1 - p) * s,
        gap=gap,
        error=p * outputs.error + sum(weight * kernel.error for weight, kernel in dead),
        m1=p * outputs.m1 + (1 - p) * f,
        m2=p * outputs.m2 + (1 - p) * f,
    )
