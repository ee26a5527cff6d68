"""Residual branches that start at or near zero: Fixup, SkipInit and ReZero."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array

from ..blocks.block import Activate, Block, Dense
from ..blocks.residual import Residual
from ..errors import InputError
from ..gaussian.activation import Activation
from ..interface.arguments import whole
from .rule import Distribution, He, Mode, Rule, Scaled, canonicalize_sigmas


@dataclass(frozen=True)
class Fixup(Rule):
    """The layers inside a residual branch under Fixup: He's times branches^(-1 / (2 layers - 2)) (Zhang et al. 2019).

    branches: L, residual branches in the network; layers: m >= 2, weight layers in each. The rule itself is for all
    layers of a branch but the last. `.last` (zeros) is for the last layer of each branch and for the classifier;
    `.bias` (0) and `.multiplier` (1) are the scalars before each layer and activation and at the branch's end, whose
    learning rate is a tenth of the weights' (`.scalar_learning_rate`). mode: the published code takes "fan_out".
    `mf.networks.FixupBranch` puts them together.

    >>> rule = Fixup(branches=54, layers=2)
    >>> print(f"{rule.shrink:.6f} {rule.sigma_w:.6f}")
    0.136083 0.192450
    """

    branches: int = 1
    layers: int = 2
    slope: float = 0.0
    distribution: Distribution = "normal"
    mode: Mode = "fan_in"

    def __post_init__(self) -> None:
        for name, least in (("branches", 1), ("layers", 2)):
            whole(name, getattr(self, name), least)
        He(self.slope, 0.0, self.distribution, self.mode)

    @property
    def shrink(self) -> float:
        """branches^(-1 / (2 layers - 2))."""
        return float(self.branches) ** (-1 / (2 * self.layers - 2))

    @property
    def sigma_w(self) -> float:
        """He's sigma_w times `shrink`."""
        return He(self.slope).sigma_w * self.shrink

    @property
    def sigma_b(self) -> float:
        """0: Fixup's biases are scalars that start at 0."""
        return 0.0

    def block(self, phi: str | Callable | Activation, shape: Sequence[int] | None = None) -> Residual:
        """One residual block at initialization: its branch ends in zeros, so that the block is the identity.

        >>> import meanfield as mf
        >>> float(mf.variance_map(fixup(branches=16).block("relu"), 3.0))
        3.0
        """
        inner = Dense(self.sigma_w_at(shape)) >> Activate(phi)
        branch = inner
        for _ in range(self.layers - 2):
            branch = branch >> inner
        return Residual(branch >> Dense(0.0))

    @property
    def last(self) -> Scaled:
        """Zeros: for the last layer of each branch, and for the classifier."""
        return Scaled(0.0)

    bias = 0.0
    multiplier = 1.0
    scalar_learning_rate = 0.1

    def kernel(self, key: Array, shape: tuple[int, ...], dtype: Any, out_sharding: Any) -> Array:
        """A kernel of `shape`."""
        return Scaled(self.sigma_w, 0.0, self.distribution, self.mode).kernel(key, shape, dtype, out_sharding)

    def gain(self, shape: Sequence[int]) -> float:
        """sqrt(fan_in / fan) of this mode's fan."""
        return Scaled(1.0, 0.0, self.distribution, self.mode).gain(shape)


@dataclass(frozen=True)
class SkipInit:
    """The scalar alpha in x + alpha F(x), one per branch: an initializer for a parameter of any shape.

    alpha = 0 makes every block the identity (SkipInit, De & Smith 2020; ReZero, Bachlechner et al. 2021); 1/sqrt(L)
    for L branches keeps the variance of the sum bounded, where alpha = 1 doubles it in each block.

    >>> import jax
    >>> float(skip_init(jax.random.key(0), ())), round(skip_init(branches=100).alpha, 3)
    (0.0, 0.1)
    """

    alpha: float = 0.0

    def __post_init__(self) -> None:
        canonicalize_sigmas(self, "alpha")

    def __call__(
        self, key: Any = None, shape: Any = None, dtype: Any = jnp.float32, out_sharding: Any = None, **options: Any
    ) -> Any:
        """An array of `shape` filled with alpha; without a key, the rule with `alpha` or `branches` set."""
        if shape is not None:
            place = {} if out_sharding is None else {"device": out_sharding}
            return jnp.full(tuple(shape), self.alpha, jnp.float32 if dtype is None else dtype, **place)
        if key is not None or not set(options) <= {"alpha", "branches"} or len(options) > 1:
            raise InputError("skip_init takes alpha= or branches=, or (key, shape)")
        if "branches" in options:
            return SkipInit(1 / math.sqrt(whole("branches", options["branches"])))
        return SkipInit(**options) if options else self

    def block(self, branch: Block) -> Residual:
        """The block x + alpha F(x) of a branch F that is a block.

        >>> import meanfield as mf
        >>> float(mf.variance_map(skip_init(alpha=0.5).block(mf.Dense(2.0)), 1.0))
        2.0
        """
        return Residual(branch, scale=self.alpha)


def fixup(branches: int, layers: int = 2, **options: Any) -> Fixup:
    """`Fixup` for `branches` residual branches of `layers` weight layers each.

    >>> fixup(branches=16, layers=3).shrink
    0.5
    """
    return Fixup(branches, layers, **options)


skip_init = SkipInit()
"""alpha = 0 (De & Smith 2020); `skip_init(branches=L)` is 1/sqrt(L)."""

rezero = SkipInit()
"""alpha = 0 (Bachlechner et al. 2021)."""
