"""Self-attention with vanishing logits: every token sees the mean of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp

from ..errors import InputError
from ..interface.arguments import whole
from ..interface.numbers import Scalar
from .block import Block
from .kernel import Kernel


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Attention(Block):
    """Uniform self-attention, the limit of small query-key weights: x_i -> V mean_j x_j (Noci et al. 2022).

    tokens  : n, the number of tokens (static)
    sigma_v : V ~ N(0, sigma_v^2 / fan_in)

    From variance q and covariance p between tokens, every variance and covariance becomes
    sigma_v^2 (q + (n - 1) p) / n: the tokens collapse, and a residual connection slows that down.
    `mf.trajectory(..., c_within=)` takes the correlation of the tokens.

    >>> import meanfield as mf
    >>> path = mf.trajectory(mf.Residual(mf.Attention(tokens=16), scale=200**-0.5), 200, c_within=0.2)
    >>> print(f"{path.c_within[-1]:.6f}")
    0.439729
    """

    tokens: int = field(metadata={"static": True})
    sigma_v: Scalar = 1.0
    independent_weights: ClassVar[bool] = True
    couples_members: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        whole("tokens", self.tokens)

    def __call__(self, kernel: Kernel) -> Kernel:
        if kernel.gap_within is None:
            raise InputError(f"block={self!r} needs tokens: a kernel with `gap_within`, the gap between two of them")
        others = (self.tokens - 1) / self.tokens
        q = kernel.q1 - others * kernel.gap_within
        none = jnp.zeros_like(q)
        gap = kernel.gap
        if kernel.infinitesimal:
            gap = kernel.gap / self.tokens + others * kernel.gap_across
        elif gap is not None:
            # q12 and p12 are the length minus their gaps.
            gap = kernel.gap / self.tokens + others * (kernel.gap_across - kernel.gap_within)
        after = kernel.replace(q1=q, q2=q, gap=gap, gap_within=none, gap_across=gap, m1=none, m2=none, gaussian=True)
        after = after.replace(factors=None)
        return after.scaled(self.sigma_v)
