"""`Kernel`: the second moments of a pair of inputs, passed from layer to layer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..errors import InputError
from ..gaussian.quadrature import namespace

# Names of the first version that a user's block may still use.
_FORMER = {
    "within": "gap_within",
    "across": "gap_across",
    "sphere": "batch_size_on_sphere",
    "settled": "as_arrays",
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Kernel:
    """Variances q1, q2 of a pair's pre-activations and their gap = sqrt(q1 q2) - q12 = sqrt(q1 q2) (1 - c).

    The gap is carried instead of the covariance, so that 1 - c keeps its digits down to 1e-16 and below: an affine
    layer scales it, and no layer computes it by subtraction. Scalars, or arrays of one shape: positions of a
    convolution.

    gap None       : a single input; blocks map q1 alone
    error          : a bound on q1's absolute error from quadrature in the last block
    gap_error      : a bound on that of the gap of an infinitesimal pair
    m1, m2         : means over the channels, 0 behind a layer of random weights
    gap_within     : the gap between two members of one input (tokens of a sequence, examples of a batch), all alike;
                     None where inputs have no members or no block couples them
    gap_across     : the gap between a member of one input and another member of the other
    equal          : (static) q2 is q1 and the covariance is not negative, which halves the work
    infinitesimal  : (static) the pair is at distance zero and `gap` is a tangent, the first order of a gap, which every
                     block maps linearly. Its factor through a block is chi, the perpendicular susceptibility.
                     `gap_across` is then the tangent of gap_across - gap_within.
    of_gradient    : (static) the tangent is what gradients see, an activation's `backward` where it has one
    gaussian       : (static) whether the pre-activations are Gaussian, as an activation requires
    factors        : `RandomFactors` of the units, behind which they are a mixture of Gaussians; None without any
    batch_size_on_sphere : (static) the batch size where a batch's pre-activations lie on a sphere, else 0
    """

    q1: Any
    q2: Any
    gap: Any = None
    error: Any = 0.0
    m1: Any = 0.0
    m2: Any = 0.0
    gap_within: Any = None
    gap_across: Any = None
    factors: Any = None
    gap_error: Any = 0.0
    equal: bool = field(default=False, metadata={"static": True})
    infinitesimal: bool = field(default=False, metadata={"static": True})
    of_gradient: bool = field(default=False, metadata={"static": True})
    gaussian: bool = field(default=True, metadata={"static": True})
    batch_size_on_sphere: int = field(default=0, metadata={"static": True})

    @classmethod
    def single(cls, q: Array) -> Kernel:
        """One input of variance q, without a partner."""
        return cls(q, q, None, jnp.zeros_like(q), equal=True)

    @classmethod
    def pair(cls, q: Array, gap: Array) -> Kernel:
        """Two inputs of one variance q, `gap` <= q apart."""
        return cls(q, q, gap, jnp.zeros_like(q), equal=True)

    @classmethod
    def coincident(cls, q: Array) -> Kernel:
        """Two coinciding inputs with a unit tangent, which a block maps to chi."""
        return cls(q, q, jnp.ones_like(q), jnp.zeros_like(q), equal=True, infinitesimal=True)

    @property
    def length(self) -> Array:
        """sqrt(q1 q2)."""
        return self.q1 if self.equal else geometric_mean(self.q1, self.q2)

    @property
    def one_minus_c(self) -> Array:
        """1 - c = gap / sqrt(q1 q2); NaN where a length is 0."""
        return self.gap / self.length

    def replace(self, **changes: Any) -> Kernel:
        """A copy with some fields changed."""
        return replace(self, **{_FORMER.get(name, name): value for name, value in changes.items()})

    def __getattr__(self, name: str) -> Any:
        if name not in _FORMER:
            raise AttributeError(f"a Kernel has no attribute {name!r}")
        warnings.warn(f"Kernel.{name} is now called {_FORMER[name]}", DeprecationWarning, stacklevel=2)
        return getattr(self, _FORMER[name])

    def as_arrays(self) -> Kernel:
        """The same kernel with every field an array of the shape and dtype of q1, so that a loop can carry it."""
        xp = namespace(self.q1)
        like = xp.asarray(self.q1)
        return jax.tree.map(lambda a: xp.broadcast_to(xp.asarray(a, like.dtype), like.shape), self)

    def scaled(self, s1: Any, s2: Any = None) -> Kernel:
        """The kernel of s1 x1 and s2 x2 (s1 x2 where s2 is None)."""
        if self.batch_size_on_sphere:
            raise InputError(
                f"a BatchNorm of batch_size={self.batch_size_on_sphere} needs the activation that follows: "
                'put an Activate behind it ("linear" where there is none)'
            )
        s2 = s1 if s2 is None else s2
        var1, var2, cross = jnp.square(s1), jnp.square(s2), s1 * s2
        gap = self.gap
        if self.infinitesimal:
            # Zero weights remove an infinite slope.
            gap = jnp.where(jnp.isinf(gap) & (cross == 0), 0.0, gap)
        return self.replace(
            q1=var1 * self.q1,
            q2=var2 * self.q2,
            gap=None if gap is None else cross * gap,
            error=var1 * self.error,
            gap_error=jnp.abs(cross) * self.gap_error,
            m1=s1 * self.m1,
            m2=s2 * self.m2,
            gap_within=None if self.gap_within is None else var1 * self.gap_within,
            gap_across=None if self.gap_across is None else cross * self.gap_across,
            factors=None if self.factors is None else self.factors.scaled(cross),
        )

    def add(self, other: Kernel) -> Kernel:
        """The kernel of x + y, with x and y independent except for their channel means.

        gap_x + gap_y, and a third term that is positive where the lengths of the two inputs differ; nothing cancels
        except the contribution of the means, where both have means and the lengths differ.
        """
        both = not (self.gaussian or other.gaussian)
        gap = None if self.gap is None else self.gap + other.gap
        if gap is not None and not self.equal:
            gap = _gap_of_means(self, other) if both else orthogonal_gap(*_pair(self), *_pair(other))
        return self.replace(
            q1=self.q1 + other.q1 + (2 * self.m1 * other.m1 if both else 0.0),
            q2=self.q2 + other.q2 + (2 * self.m2 * other.m2 if both else 0.0),
            gap=gap,
            error=self.error + other.error,
            gap_error=self.gap_error + other.gap_error,
            m1=self.m1 + other.m1,
            m2=self.m2 + other.m2,
            gap_within=None if self.gap_within is None else self.gap_within + other.gap_within,
            gap_across=None if self.gap_across is None else self.gap_across + other.gap_across,
            gaussian=self.gaussian and other.gaussian,
            factors=None,
        )

    def centred(self) -> Kernel:
        """The kernel of x minus its mean over the channels."""
        if self.gaussian:
            return self
        gap = self.gap
        if gap is not None and not self.equal:
            gap = gap - _share_of_means(*_pair(self)[:2], self.m1, self.m2)
        none = jnp.zeros_like(self.q1)
        return self.replace(q1=self.q1 - self.m1**2, q2=self.q2 - self.m2**2, gap=gap, m1=none, m2=none)

    def with_noise(self, n1: Array, n2: Array, tangent: Any = 1.0) -> Kernel:
        """The kernel of x plus noise of variances n1, n2, independent between the inputs, their members and channels.

        A gradient sees one draw of the noise: a tangent is only multiplied by `tangent`.
        """
        gap = self.gap
        if self.infinitesimal:
            gap = tangent * gap
        elif gap is not None:
            gap = gap + (n1 if self.equal else gap_increase(self.q1, self.q2, n1, n2))
        return self.replace(
            q1=self.q1 + n1,
            q2=self.q2 + n2,
            gap=gap,
            gap_within=None if self.gap_within is None else self.gap_within + n1,
            gap_across=self.gap_across if self.infinitesimal or self.gap_across is None else self.gap_across + n1,
        )


def _pair(kernel: Kernel) -> tuple[Array, Array, Array]:
    return kernel.q1, kernel.q2, kernel.gap


def geometric_mean(a: Array, b: Array) -> Array:
    """sqrt(a b) where the product would leave the range of floats; a itself where b is a, which two roots are not."""
    exponents = jnp.finfo(jnp.result_type(a, b)).maxexp
    far = exponents // 4
    scales = [
        jnp.where(x > 2.0 ** (far + 1), 2.0**-far, jnp.where(x < 2.0 ** (-far - 1), 2.0**far, 1.0)) for x in (a, b)
    ]
    first, second = (lax.stop_gradient(scale).astype(jnp.result_type(a, b)) for scale in scales)
    return jnp.sqrt((a * first * first) * (b * second * second)) / first / second


def root(x: Array) -> Array:
    """sqrt(x) with derivative 0 at 0, for terms that vanish there faster than a square root."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)


def orthogonal_gap(a1: Array, a2: Array, a: Array, b1: Array, b2: Array, b: Array) -> Array:
    """The gap of the sum of two orthogonal parts with variances a1, a2 and b1, b2 and gaps a and b."""
    below = root(a1 + b1) * root(a2 + b2) + root(a1) * root(a2) + root(b1) * root(b2)
    distance = root(a1) * root(b2) - root(a2) * root(b1)
    return a + b + distance * (distance / jnp.where(below > 0, below, 1.0))


def _share_of_means(q1: Array, q2: Array, m1: Array, m2: Array) -> Array:
    """The means' contribution to the gap beyond the centred parts', at variances q1, q2."""
    means = jnp.abs(m1 * m2) - m1 * m2
    return orthogonal_gap(q1 - m1**2, q2 - m2**2, jnp.zeros_like(q1), m1**2, m2**2, means)


def _gap_of_means(x: Kernel, y: Kernel) -> Array:
    centred = [_pair(part.centred()) for part in (x, y)]
    distance = orthogonal_gap(*centred[0], *centred[1])
    v1, v2 = (a + b for a, b in zip(centred[0][:2], centred[1][:2], strict=True))
    m1, m2 = x.m1 + y.m1, x.m2 + y.m2
    return distance + _share_of_means(v1 + m1**2, v2 + m2**2, m1, m2)


def gap_increase(q1: Array, q2: Array, n1: Array, n2: Array) -> Array:
    """sqrt((q1 + n1)(q2 + n2)) - sqrt(q1 q2), every term positive."""
    below = root(q1 + n1) * root(q2 + n2) + root(q1) * root(q2)
    below = jnp.where(below > 0, below, 1.0)
    return q1 * (n2 / below) + q2 * (n1 / below) + n1 * (n2 / below)
