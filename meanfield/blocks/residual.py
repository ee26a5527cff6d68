"""Blocks in parallel and repeated: residual connections, sums of branches, repetition."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
from jax import lax

from ..errors import InputError
from ..interface.arguments import MOST_LAYERS, whole
from ..interface.numbers import Scalar
from .block import Block, check_parts, has_trait
from .kernel import Kernel
from .random_factors import Mixture


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Residual(Block):
    """x -> skip x + scale branch(x): variances add, q -> skip^2 q + scale^2 V(q) (Yang & Schoenholz 2017).

    The branch must hold random weights, which make it independent of x; otherwise InputError. With skip = 1 the
    variance grows and `fixed_point` returns status `diverges`: `mf.growth` gives the law. Channel means, as after an
    activation that ends a branch, are accounted for.

    >>> import meanfield as mf
    >>> block = mf.Residual(mf.MLP("tanh", sigma_w=1.5, sigma_b=0.1), scale=0.5)
    >>> round(float(mf.variance_map(block, 1.0)), 6)
    1.224291
    """

    branch: Block
    scale: Scalar = 1.0
    skip: Scalar = 1.0

    def check(self) -> None:
        check_parts("branch", [self.branch])

    def mixing(self, before: Mixture | None) -> Mixture | None:
        return _summed([self.branch.mixing(before), before])

    def __call__(self, kernel: Kernel) -> Kernel:
        _check_independent(self.branch)
        return kernel.scaled(self.skip).add(self.branch(kernel).scaled(self.scale))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sum(Block):
    """x -> a(x) + b(x) + ..., branches of independent random weights: variances and gaps add.

    InputError if more than one branch lacks random weights.

    >>> import meanfield as mf
    >>> float(mf.variance_map(mf.Sum((mf.Dense(1.0), mf.Dense(2.0))), 3.0))
    15.0
    """

    branches: tuple[Block, ...]

    def check(self) -> None:
        check_parts("branches", self.branches)

    def mixing(self, before: Mixture | None) -> Mixture | None:
        return _summed([branch.mixing(before) for branch in self.branches])

    def __call__(self, kernel: Kernel) -> Kernel:
        for branch in sorted(self.branches, key=lambda b: has_trait(b, "independent_weights"))[1:]:
            _check_independent(branch)
        first, *rest = (branch(kernel) for branch in self.branches)
        for other in rest:
            first = first.add(other)
        return first


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Repeat(Block):
    """A block repeated `depth` times with independent weights; compile time does not grow with depth.

    >>> import meanfield as mf
    >>> float(mf.variance_map(mf.Repeat(mf.Dense(2.0), depth=3), 1.0))
    64.0
    """

    block: Block
    depth: int = field(metadata={"static": True})

    def check(self) -> None:
        whole("depth", self.depth, 0, below=MOST_LAYERS)
        check_parts("block", [self.block])

    def mixing(self, before: Mixture | None) -> Mixture | None:
        # Random weights end a mixture, so that later repetitions leave what the second one does.
        for _ in range(min(self.depth, 2) if has_trait(self.block, "independent_weights") else self.depth):
            before = self.block.mixing(before)
        return before

    def __call__(self, kernel: Kernel) -> Kernel:
        if self.depth < 1:
            return kernel
        # The first one separately: it may change static fields of the kernel.
        kernel = self.block(kernel).as_arrays()
        if kernel.factors is not None and kernel.factors.added is not None:
            # Every mask behind additive noise is one more component.
            for _ in range(self.depth - 1):
                kernel = self.block(kernel)
            return kernel
        return lax.scan(lambda k, _: (self.block(k).as_arrays(), None), kernel, length=self.depth - 1)[0]


def _summed(parts: list[Mixture | None]) -> Mixture | None:
    """What a sum of mixtures and other parts leaves: a mixture of many components."""
    mixtures = [part for part in parts if part is not None]
    return mixtures[0]._replace(factors=None) if mixtures else None


def _check_independent(branch: Block) -> None:
    if not has_trait(branch, "independent_weights"):
        raise InputError(
            f"branch={branch!r} has no random weights, so that it depends on what it is added to; end it with a Dense "
            "(or set `independent_weights = True` on a block of your own that has them)"
        )
