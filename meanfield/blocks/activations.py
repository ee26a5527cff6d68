"""The activations of a block, and replacing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ..gaussian.activation import Activation
from ..gaussian.moments import sampled
from .block import Block, has_trait, sub_blocks
from .hosted import hosted
from .noise import Noise, is_zero


def activations_of(block: Block) -> list[Activation]:
    """Every activation in a block, in the order of its pytree."""
    return [part for part in jax.tree.leaves(block, is_leaf=_is_activation) if _is_activation(part)]


def has_surrogate(block: Block) -> bool:
    """Whether gradients see another derivative than that of the values anywhere in a block."""
    return any(phi.backward is not None for phi in activations_of(block))


def with_activations(block: Block, activations: Sequence[Activation]) -> Block:
    """The block with other activations, in the order of its pytree."""
    following = iter(activations)
    return _replaced(block, lambda _: next(following))


def sampled_block(block: Block) -> Block:
    """The block for a single input: each activation replaced by samples, so that one program serves all."""
    if has_trait(block, "couples_members") or draws_factors(block):
        # Members of an input form pairs, and noise is averaged over activations themselves.
        return block
    block = without_idle_noise(block)
    dtype = jnp.result_type(float, *jax.tree.leaves(block))
    return _replaced(block, lambda phi: sampled(phi, dtype))


def hosted_block(block: Block, rough: bool = False) -> Block:
    """The block with activations whose moments NumPy computes; see `gaussian.host_activation`.

    A block that couples members is unchanged, since its activations act on non-Gaussian pre-activations.
    """
    if has_trait(block, "couples_members"):
        return block
    always = draws_factors(block)
    block = without_idle_noise(block)
    return _replaced(block, lambda phi: hosted(phi, rough, always))


def without_idle_noise(block: Block) -> Block:
    """The block with None for every noise known to be 0, so that programs in which leaves are traced omit it."""
    return jax.tree.map(_without_zeros, block, is_leaf=_is_noise)


def _without_zeros(part: Any) -> Any:
    if not _is_noise(part):
        return part
    idle: Any = None
    return Noise(idle if part.is_additive else part.multiplicative, idle if is_zero(part.additive) else part.additive)


def _is_noise(part: Any) -> bool:
    return isinstance(part, Noise)


def draws_factors(block: Block) -> bool:
    """Whether an activation may stand behind multiplicative noise that no random weights separate from it."""
    return any(isinstance(part, Noise) and not part.is_additive for part in sub_blocks(block))


def _replaced(block: Block, other: Callable[[Activation], Activation]) -> Block:
    return jax.tree.map(lambda part: other(part) if _is_activation(part) else part, block, is_leaf=_is_activation)


def _is_activation(part: Any) -> bool:
    return isinstance(part, Activation)
