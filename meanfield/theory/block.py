"""Blocks: pytrees that map a `Kernel` to a `Kernel`. An architecture is one; all else is a function of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.moments import moments, sampled
from ..gaussian.named import activation
from ..gaussian.pairs import pair_moments
from .kernel import Kernel


class Block:
    """What every block is: a frozen pytree with `__call__(kernel) -> kernel`."""

    def __call__(self, kernel: Kernel) -> Kernel:
        raise NotImplementedError


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Activate(Block):
    """An activation: q -> E[phi^2], gap -> the normalized half squared distance of the outputs (Poole et al. 2016).

    >>> relu = Activate(activation("relu"))
    >>> float(relu(Kernel.single(jnp.float32(2.0))).q1.round(5))
    1.0
    """

    phi: Activation

    def __call__(self, kernel: Kernel) -> Kernel:
        if not kernel.gaussian:
            raise InputError(f"block={self!r} follows a block that leaves no Gaussian; put a Dense between them")
        first = moments(self.phi, kernel.q1)
        if kernel.gap is None or kernel.infinitesimal:
            gap = None if kernel.gap is None else first.slope * kernel.gap
            return kernel.replace(q1=first.second, q2=first.second, gap=gap, error=first.error, gaussian=False)
        second = first.second if kernel.equal else moments(self.phi, kernel.q2).second
        length = kernel.length
        e = jnp.where(length > 0, kernel.gap / jnp.where(length > 0, length, 1.0), 0.0)
        apart = pair_moments(self.phi, kernel.q1, kernel.q2, e, kernel.equal).distance
        out = first.second if kernel.equal else jnp.sqrt(first.second * second)
        return kernel.replace(q1=first.second, q2=second, gap=out * apart, error=first.error, gaussian=False)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dense(Block):
    """A fully connected layer, W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2): q -> sigma_w^2 q + sigma_b^2.

    The gap is scaled; where the two lengths differ, the bias adds the cross term of independent kernels, in a form
    in which nothing cancels.

    >>> float(Dense(2.0, 1.0)(Kernel.single(jnp.float32(3.0))).q1)
    13.0
    """

    sigma_w: Any = 1.0
    sigma_b: Any = 0.0

    def __call__(self, kernel: Kernel) -> Kernel:
        w_var, b_var = jnp.square(self.sigma_w), jnp.square(self.sigma_b)
        a1, a2 = w_var * kernel.q1, w_var * kernel.q2
        gap = None
        if kernel.gap is not None:
            gap = w_var * kernel.gap
            if not kernel.equal:
                gap = gap + _cross(a1, a2, b_var)
        eps = jnp.finfo(jnp.result_type(a1)).eps
        error = w_var * kernel.error + 4 * eps * (a1 + b_var)
        return kernel.replace(q1=a1 + b_var, q2=a2 + b_var, gap=gap, error=error, gaussian=True)


def _cross(a1: Array, a2: Array, b: Array) -> Array:
    """sqrt((a1 + b)(a2 + b)) - sqrt(a1 a2) - b, every term positive."""
    below = jnp.sqrt((a1 + b) * (a2 + b)) + jnp.sqrt(a1 * a2) + b
    apart = (a1 - a2) / jnp.where((a1 > 0) | (a2 > 0), jnp.sqrt(a1) + jnp.sqrt(a2), 1.0)
    return b * apart**2 / jnp.where(below > 0, below, 1.0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Serial(Block):
    """Blocks one after the other."""

    blocks: tuple[Block, ...]

    def __call__(self, kernel: Kernel) -> Kernel:
        for block in self.blocks:
            kernel = block(kernel)
        return kernel


def MLP(phi: str | Callable | Activation, sigma_w: Any, sigma_b: Any = 0.0) -> Serial:
    """The block of a fully connected network, from pre-activations to the next layer's pre-activations.

    phi is a name, a callable, an expression in x or an `Activation`; sigma_w and sigma_b are standard deviations
    (scalars, traced or not; leaves of the block). A negative or non-finite sigma is an InputError.

    >>> MLP("tanh", sigma_w=1.5, sigma_b=0.3).blocks[1]
    Dense(sigma_w=1.5, sigma_b=0.3)
    """
    check_sigma("sigma_w", sigma_w)
    check_sigma("sigma_b", sigma_b)
    return Serial((Activate(activation(phi)), Dense(sigma_w, sigma_b)))


def alone(block: Block) -> Block:
    """The block as a single input sees it: activations by samples of them, which one program serves (see `sampled`)."""
    dtype = jnp.result_type(*jax.tree.leaves(block))

    def one(part: Any) -> Any:
        return sampled(part, dtype) if isinstance(part, Activation) else part

    return jax.tree.map(one, block, is_leaf=lambda part: isinstance(part, Activation))


def check_sigma(name: str, value: Any) -> None:
    """InputError unless value is a non-negative finite number (or array of them); traced values pass."""
    if isinstance(value, jax.core.Tracer):
        return
    try:
        if isinstance(value, str):
            raise TypeError("NumPy would read a number, JAX would not")
        numbers = np.asarray(value, float)
    except (TypeError, ValueError):
        raise InputError(f"{name}={value!r} must be a number; give a standard deviation >= 0") from None
    if not np.all(np.isfinite(numbers)) or np.any(numbers < 0):
        shown = value if numbers.ndim == 0 else f"[... {numbers[~(numbers >= 0)].ravel()[:1]} ...]"
        raise InputError(f"{name}={shown} must be finite and not negative; give a standard deviation >= 0")
    if np.max(numbers, initial=0.0) > 1e150:
        raise InputError(f"{name}={value} is too large to be squared; give a standard deviation below 1e150")


def check_one_sigma(name: str, value: Any) -> None:
    """`check_sigma`, and that there is one."""
    check_sigma(name, value)
    if np.ndim(value) != 0:
        raise InputError(f"{name}={value} is of shape {np.shape(value)}, but one network has one; give a number")


def check_block(block: Any) -> None:
    """InputError unless block is a `Block` whose sigmas are legal."""
    if not isinstance(block, Block):
        raise InputError(f"block={block!r} is not a block; make one with mf.MLP(phi, sigma_w=, sigma_b=)")
    for part in jax.tree.leaves(block, is_leaf=lambda b: isinstance(b, Dense)):
        if isinstance(part, Dense):
            check_sigma("sigma_w", part.sigma_w)
            check_sigma("sigma_b", part.sigma_b)
