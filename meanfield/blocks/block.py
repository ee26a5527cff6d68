"""Blocks: pytrees that map a `Kernel` to a `Kernel`. An architecture is one, a quantity a function of one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.moments import gradient_moments, moments
from ..gaussian.named import activation, source_of
from ..gaussian.pairs import pair_moments
from ..interface.arguments import finite_number, sigma
from ..interface.names import load_blocks
from ..interface.numbers import Scalar
from .averaged_activation import RandomOutput, averaged
from .batch_sphere import on_sphere
from .kernel import Kernel, geometric_mean
from .notebook import block_html
from .random_factors import Mixture, RandomFactors, live, mixed

_FORMER_TRAITS = {"fresh": "independent_weights", "noisy": "per_input_noise", "couples": "couples_members"}


_REGISTERED: dict[str, type[Block]] = {}
"""The latest subclass of each name: one that is defined again, in a notebook, replaces the one before."""


def block_classes() -> dict[str, type[Block]]:
    """The blocks that text may name: every subclass of `Block` that is a dataclass itself, by name.

    >>> block_classes()["Dense"]
    <class 'meanfield.blocks.block.Dense'>
    """
    load_blocks()
    return {name: kind for name, kind in _REGISTERED.items() if "__dataclass_fields__" in vars(kind)}


class Block:
    """Base class of blocks: a frozen pytree with `__call__(kernel) -> kernel`; `a >> b` is b after a.

    A block of your own is a registered dataclass that inherits from this, with its hyperparameters as fields. Its
    traits are class attributes:

    independent_weights : its output passes through its own random weights, so that it is independent of its input
    per_input_noise     : it separates identical inputs
    couples_members     : it couples the members of an input (examples of a batch, tokens of a sequence)
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    independent_weights: ClassVar[bool] = False
    per_input_noise: ClassVar[bool] = False
    couples_members: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _REGISTERED[cls.__name__] = cls
        for old, new in _FORMER_TRAITS.items():
            if isinstance(cls.__dict__.get(old), bool):
                warnings.warn(f"{cls.__name__}.{old} is now called {new}", DeprecationWarning, stacklevel=2)
                setattr(cls, new, cls.__dict__[old])

    def __call__(self, kernel: Kernel) -> Kernel:
        raise NotImplementedError

    def check(self) -> None:
        """InputError where a hyperparameter is illegal; what is named sigma is a standard deviation."""
        for part in fields(self):
            if part.name.startswith("sigma"):
                sigma(part.name, getattr(self, part.name))

    def check_numbers(self, single: bool) -> None:
        """InputError where a field annotated as a number holds none, or, if `single`, an array of them."""
        for part in fields(self):
            if str(getattr(part.type, "__name__", part.type)) in ("Scalar", "float"):
                finite_number(part.name, getattr(self, part.name), single)

    def mixing(self, before: Mixture | None) -> Mixture | None:
        """The mixture of Gaussians behind this block, given the one in front of it; None where there is none.

        InputError where a block would act on a mixture that it cannot integrate.
        """
        return None if self.independent_weights else before

    def __rshift__(self, following: Block) -> Serial:
        if not isinstance(following, Block):
            return NotImplemented
        before, after = (b.blocks if type(b) is Serial else (b,) for b in (self, following))
        return Serial((*before, *after))

    def _repr_html_(self) -> str:
        return block_html(self)


def has_trait(block: Block, trait: str) -> bool:
    """Whether a block, or one inside it, has a trait: `independent_weights`, `per_input_noise`, `couples_members`."""
    return any(getattr(part, trait) for part in sub_blocks(block))


def sub_blocks(part: Any) -> Iterator[Block]:
    """A block and all blocks inside it."""
    if isinstance(part, Block):
        yield part
        part = [getattr(part, f.name) for f in fields(part)]
    if isinstance(part, (tuple, list)):
        for inner in part:
            yield from sub_blocks(inner)


class Pointwise(Block):
    """A block that acts on each channel, position and member separately, defined by its action on one pair, `pair`."""

    def pair(self, kernel: Kernel) -> Kernel:
        """The kernel after the block, for a Gaussian pair of scalars without members."""
        raise NotImplementedError

    integrates_mixtures: ClassVar[bool] = False

    def mixing(self, before: Mixture | None) -> None:
        if before is not None and not (self.integrates_mixtures and before.factors is not None):
            raise InputError(
                f"block={self!r} follows {before.block!r}, whose random factors leave a mixture of Gaussians that has "
                "no exact integral; put the factors behind the activation, or a Dense between them"
            )

    def __call__(self, kernel: Kernel) -> Kernel:
        if not kernel.gaussian:
            raise InputError(f"block={self!r} meets pre-activations that are not Gaussian; put a Dense before it")
        if jnp.ndim(kernel.q1):
            return jax.vmap(self)(kernel.as_arrays())
        after = self.pair(kernel)
        return after if kernel.gap_within is None else after.replace(**self._members(kernel))

    def _members(self, kernel: Kernel) -> dict[str, Array | None]:
        def inside(gap: Array) -> Array:
            return self.pair(Kernel(kernel.q1, kernel.q1, gap, factors=kernel.factors)).gap

        if kernel.infinitesimal:
            gap_within, slope = jax.jvp(inside, (kernel.gap_within,), (jnp.ones_like(kernel.gap_within),))
            return {"gap_within": gap_within, "gap_across": slope * kernel.gap_across}
        return {
            "gap_within": inside(kernel.gap_within),
            "gap_across": None if kernel.gap_across is None else inside(kernel.gap_across),
        }


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Activate(Pointwise):
    """An activation: q -> E[phi^2], gap -> the normalized half squared distance of the outputs (Poole et al. 2016).

    phi is what `mf.activation` takes.

    >>> float(Activate("relu")(Kernel.single(jnp.float32(2.0))).q1.round(5))
    1.0
    """

    phi: Any
    integrates_mixtures: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "phi", as_activation(self.phi))

    def check(self) -> None:
        activation(self.phi)

    def check_numbers(self, single: bool) -> None:
        check_parameters(self.phi, single)

    def mixing(self, before: Mixture | None) -> None:
        if self.phi.backward is not None and before is not None and before.factors is not None:
            # What the noise leaves of a surrogate is not tabulated.
            before = before._replace(factors=None) if before.factors.noise is not None else before
        super().mixing(before)

    def __call__(self, kernel: Kernel) -> Kernel:
        return on_sphere(self.phi, kernel) if kernel.batch_size_on_sphere else super().__call__(kernel)

    def pair(self, kernel: Kernel) -> Kernel:
        if kernel.factors is not None:
            return self._of_mixture(kernel)
        first = (gradient_moments if kernel.of_gradient else moments)(self.phi, kernel.q1)
        known = {"error": first.error, "m1": first.mean, "gaussian": False}
        if kernel.gap is None or kernel.infinitesimal:
            gap = kernel.gap
            if gap is not None:
                known["gap_error"] = first.slope_error * jnp.abs(gap) + first.slope * kernel.gap_error
                gap = first.slope * gap
            return kernel.replace(q1=first.second, q2=first.second, gap=gap, m2=first.mean, **known)
        second = first if kernel.equal else moments(self.phi, kernel.q2)
        length = kernel.length
        e = jnp.where(length > 0, kernel.gap / jnp.where(length > 0, length, 1.0), 0.0)
        apart = pair_moments(self.phi, kernel.q1, kernel.q2, e, kernel.equal).distance
        out = first.second if kernel.equal else geometric_mean(first.second, second.second)
        return kernel.replace(q1=first.second, q2=second.second, gap=out * apart, m2=second.mean, **known)

    def _of_mixture(self, kernel: Kernel) -> Kernel:
        factors = kernel.factors
        if factors.noise is None:
            outputs = self.pair(live(factors.source(kernel), factors))
        else:
            outputs = self._averaged(factors.source(kernel).scaled(1 / factors.keep), factors)
        one = jnp.ones_like(kernel.q1)
        dead = [(weight, self.pair(Kernel.single(var * one))) for weight, var in factors.dead]
        return mixed(outputs, dead, factors)

    def _averaged(self, kernel: Kernel, factors: RandomFactors) -> Kernel:
        outputs = averaged(self.phi, factors.noise, 0.0 if factors.added is None else factors.added)
        after = with_random_output(outputs, kernel)
        if kernel.infinitesimal:
            # Noise does not smooth a jump that it moves with the input.
            jumps = jnp.isinf(moments(self.phi, kernel.q1).slope)
            after = after.replace(gap=jnp.where(jumps, jnp.inf, after.gap))
        return after


def with_random_output(outputs: RandomOutput, kernel: Kernel) -> Kernel:
    """The kernel after an activation that draws noise of its own for every input and unit."""
    after = Activate(outputs.mean).pair(kernel)
    n1 = moments(outputs.variance, kernel.q1).mean
    after = after.with_noise(n1, n1 if kernel.equal else moments(outputs.variance, kernel.q2).mean)
    if not kernel.infinitesimal:
        return after
    return after.replace(gap=moments(outputs.squared_slope, kernel.q1).mean * kernel.gap)


def check_parameters(phi: Activation, single: bool) -> None:
    """InputError where, if `single`, a parameter of a name or an expression is an array; a callable's may be one."""
    for name, value in phi.params.items() if single and source_of(phi) is not None else ():
        finite_number(name, value)


def as_activation(phi: Any) -> Any:
    """`activation` of a user's argument; placeholders of pytree operations pass through."""
    typed = isinstance(phi, str) or (callable(phi) and not isinstance(phi, (Activation, type)))
    return activation(phi) if typed else phi


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dense(Block):
    """A fully connected layer, W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2): q -> sigma_w^2 q + sigma_b^2.

    The gap is scaled; where the two lengths differ, the bias adds the cross term of independent kernels, computed
    without cancellation.

    >>> float(Dense(2.0, 1.0)(Kernel.single(jnp.float32(3.0))).q1)
    13.0
    """

    sigma_w: Scalar = 1.0
    sigma_b: Scalar = 0.0
    independent_weights: ClassVar[bool] = True

    def __call__(self, kernel: Kernel) -> Kernel:
        return biased(kernel.scaled(self.sigma_w), self.sigma_b)


def biased(kernel: Kernel, sigma_b: Any) -> Kernel:
    """The kernel after random weights and a bias: Gaussian, with zero mean over the channels."""
    b_var = jnp.square(sigma_b)
    a1, a2, gap = kernel.q1, kernel.q2, kernel.gap
    if gap is not None and not kernel.equal:
        gap = gap + _cross(a1, a2, b_var)
    eps = jnp.finfo(jnp.result_type(a1)).eps
    error = kernel.error + 4 * eps * (a1 + b_var)
    none = jnp.zeros_like(a1)
    return kernel.replace(
        q1=a1 + b_var, q2=a2 + b_var, gap=gap, error=error, gaussian=True, m1=none, m2=none, factors=None
    )


def _cross(a1: Array, a2: Array, b: Array) -> Array:
    """sqrt((a1 + b)(a2 + b)) - sqrt(a1 a2) - b, every term positive."""
    below = jnp.sqrt(a1 + b) * jnp.sqrt(a2 + b) + jnp.sqrt(a1) * jnp.sqrt(a2) + b
    apart = (a1 - a2) / jnp.where((a1 > 0) | (a2 > 0), jnp.sqrt(a1) + jnp.sqrt(a2), 1.0)
    return b * (apart / jnp.where(below > 0, below, 1.0)) * apart


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Serial(Block):
    """Blocks in series; `a >> b` makes one."""

    blocks: tuple[Block, ...]

    def check(self) -> None:
        check_parts("blocks", self.blocks)

    def mixing(self, before: Mixture | None) -> Mixture | None:
        for block in self.blocks:
            before = block.mixing(before)
        return before

    def __call__(self, kernel: Kernel) -> Kernel:
        for i, block in enumerate(self.blocks):
            if i and isinstance(block, Pointwise) and not (kernel.gaussian or kernel.batch_size_on_sphere):
                before = self.blocks[i - 1]
                raise InputError(
                    f"block={block!r} follows {before!r}, which leaves no Gaussian; put a Dense between them"
                )
            kernel = block(kernel)
        return kernel


def MLP(phi: str | Callable | Activation, sigma_w: Scalar, sigma_b: Scalar = 0.0) -> Serial:
    """The block of a fully connected network, from pre-activations to the next layer's pre-activations.

    phi is a name, a callable, an expression in x or an `Activation`; sigma_w and sigma_b are standard deviations
    (scalars, traced or not; leaves of the block). A negative or non-finite sigma is an InputError.

    >>> MLP("tanh", sigma_w=1.5, sigma_b=0.3).blocks[1]
    Dense(sigma_w=1.5, sigma_b=0.3)
    """
    block = Activate(phi) >> Dense(sigma_w, sigma_b)
    check_block(block, arrays=True)
    return block


def check_parts(name: str, parts: Any) -> None:
    """InputError unless `parts` is a tuple or list of blocks."""
    for part in parts if isinstance(parts, (tuple, list)) else [parts]:
        if not isinstance(part, Block):
            raise InputError(f"{name}={part!r} is not a block; make one with mf.MLP(phi, sigma_w=, sigma_b=)")


def check_block(block: Any, arrays: bool = False) -> None:
    """InputError unless block is a `Block` whose hyperparameters are legal; with `arrays`, they may be arrays."""
    if not isinstance(block, Block):
        raise InputError(f"block={block!r} is not a block; make one with mf.MLP(phi, sigma_w=, sigma_b=)")
    for part in sub_blocks(block):
        part.check()
        part.check_numbers(single=not arrays)
    left_by(block)


def left_by(block: Block) -> Mixture | None:
    """The mixture of Gaussians that a repeated block leaves; InputError where a block in it cannot integrate one."""
    # What ends it stands before what begins it.
    return block.mixing(block.mixing(None))


def repeated(block: Block, kernel: Kernel) -> Kernel:
    """The kernel as the block itself would have left it, with the random factors that end the block."""
    left = left_by(block)
    return kernel if left is None else kernel.replace(factors=left.factors).as_arrays()


def gaussian_input(block: Block, kernel: Kernel) -> Kernel:
    """The kernel of Gaussian inputs of a repeated block, in the form in which the block leaves kernels."""
    left = left_by(block)
    if left is None or left.factors is None:
        return kernel
    return kernel.replace(factors=left.factors.idle()).as_arrays()


def mlp_parts(block: Block) -> tuple[Any, Dense]:
    """The activation and the dense block of an `mf.MLP`; InputError for a block of another kind.

    >>> import meanfield as mf
    >>> mlp_parts(mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3))[1]
    Dense(sigma_w=1.5, sigma_b=0.3)
    """
    match block:
        case Serial(blocks=(Activate(phi=phi), Dense() as dense)):
            return phi, dense
    raise InputError(f"block={block!r} is not a fully connected block; make one with mf.MLP(phi, sigma_w=, sigma_b=)")
