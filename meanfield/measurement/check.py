"""`check`: compares real networks at initialization with the prediction, and gives a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from flax import nnx

from ..blocks.block import Block, check_block, mlp_parts, sub_blocks
from ..errors import InputError
from ..interface.arguments import MOST_LAYERS, probability, sigma, whole
from ..interface.result import Result
from ..interface.settings import in_own_settings
from ..networks import Network
from ..networks.finite import first_layer
from ..theory.finite_width import length_corrections
from ..theory.trajectory import trajectory
from .comparison import Comparison
from .inputs import input_kernel, input_pairs
from .measurement import measure
from .quantities import compared

__all__ = ["Check", "check"]

_ROWS = 13


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False, eq=False)
class Check(Result):
    """The result of `check`.

    q, one_minus_c, gradient : a `Comparison` each, with arrays (depth + 1,) `measured`, `predicted`, `error`, `z`
    gradient is the factor |(dh^L/dh^l)^T v|^2 / |v|^2 of layer l, predicted to be chi over layers l ... L - 1
    verdict : "agrees" or "rejected", for all three together; `q.verdict` and so on for each alone
    corrected : whether q was corrected by the terms of order 1/width, known only for `mf.MLP`
    """

    q: Comparison
    one_minus_c: Comparison
    gradient: Comparison
    name: str = field(metadata={"static": True})
    depth: int = field(metadata={"static": True})
    width: int = field(metadata={"static": True})
    seeds: int = field(metadata={"static": True})
    pairs: int = field(metadata={"static": True})
    alpha: float = field(metadata={"static": True})
    corrected: bool = field(default=True, metadata={"static": True})

    @property
    def comparisons(self) -> tuple[Comparison, Comparison, Comparison]:
        """The three comparisons."""
        return self.q, self.one_minus_c, self.gradient

    @property
    def c(self) -> np.ndarray:
        """The measured correlation, (depth + 1,)."""
        return 1 - self.one_minus_c.measured

    @property
    def verdict(self) -> str:
        """ "rejected" if any of the three is, "untested" if none could be tested, else "agrees"."""
        verdicts = {part.verdict for part in self.comparisons}
        return next(word for word in ("rejected", "agrees", "untested") if word in verdicts)

    def table(self) -> str:
        """Theory, measurement and z-score of evenly spaced layers, and the verdict, as text."""
        return _table(self)

    def plot(self, axes: Any = None) -> Any:
        """Draw the three quantities against the layer; see `meanfield.plots.check`. Returns three Axes."""
        from ..plots.check import check as draw

        return draw(self, axes=axes)

    def rows(self) -> list[tuple[str, str]]:
        """(name, shown value) of a summary."""
        parts = [(key, str(getattr(self, key))) for key in ("name", "depth", "width", "seeds", "pairs")]
        return [
            *parts,
            *((part.name, repr(part).partition(": ")[2]) for part in self.comparisons),
            ("verdict", self.verdict),
        ]


@in_own_settings
def check(
    model: Any,
    x: Any = None,
    *,
    block: Block | None = None,
    depth: int = 50,
    width: int = 1000,
    seeds: int = 10,
    pairs: Any = None,
    key: int = 0,
    alpha: float = 0.01,
    progress: bool | None = None,
) -> Check:
    """Compare real networks at initialization with the prediction (Poole et al. 2016; Schoenholz et al. 2017).

    model: a block, from which `mf.networks.Network`s of `depth` and `width` are built; or a factory `rngs -> network`
    with `block=`, the block that should describe it; depth and width are then the network's own.
    x (n, d), pairs: inputs (None: the shipped digits), and how many pairs of them (4) or which rows; for a convolution
    they are the same at every position, as its theory assumes.
    seeds: independent networks, at least 2. key: an integer from which all random numbers come.

    q^l = |h^l|^2 / n, 1 - c^l and the gradient factor of each pair are compared in logarithms with `mf.trajectory` from
    the pair's own first kernel. The networks are the independent samples: z is the deviation of their mean in standard
    errors. For the q of an `mf.MLP` the terms of order 1/n are corrected (`length_corrections`); for all other
    quantities and blocks they are estimated from the scatter of the networks, see `compare`. alpha is the probability
    that a right theory is rejected anywhere, whatever the correlation between layers (Bonferroni over Student's t), as
    far as logarithms averaged over pairs are normal: width 50 or more and depth/width at most 0.2.

    The gradient of a network whose activation jumps (step, sign) is 0, while chi_1 = inf: it is not tested. InputError
    for a missing block, a block that couples the members of an input (BatchNorm, Attention), a single network or one
    seed (no standard error), and illegal sizes.

    >>> import meanfield as mf
    >>> block = mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3)
    >>> mf.check(block, depth=5, width=100, seeds=5).verdict
    'agrees'
    >>> wrong = mf.MLP("tanh", sigma_w=2.0, sigma_b=0.3)
    >>> factory = lambda rngs: mf.networks.MLP(wrong, depth=5, width=100, d_in=64, rngs=rngs)
    >>> mf.check(factory, block=block, seeds=5).verdict
    'rejected'
    >>> residual = mf.Residual(mf.LayerNorm() >> mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3), scale=0.5)
    >>> mf.check(residual, depth=5, width=100, seeds=5).verdict
    'agrees'
    """
    if whole("seeds", seeds, below=MOST_LAYERS) < 2:
        raise InputError("seeds=1 leaves no standard error; give at least 2, and 10 for a sharp verdict")
    probability("alpha", alpha)
    inputs = input_pairs(x, pairs)
    if isinstance(model, Block):
        block, model = model, _networks(model, depth, width, inputs.shape[2])
    elif block is None:
        raise InputError("block is missing; give the block that should describe the model: check(factory, block=...)")
    elif hasattr(model, "preactivations") and not isinstance(model, type):
        raise InputError("model is one network, which has no standard error; give a factory: lambda rngs: network")
    _check_pairwise(block)
    kernel = input_kernel(first_layer(block), inputs)
    rows = inputs.swapaxes(0, 1).reshape(-1, inputs.shape[2])
    measured = measure(model, rows, seeds=seeds, key=key, pairs=len(kernel.c), progress=progress)
    depth = measured.q1.shape[1] - 1
    if depth < 1:
        raise InputError("model has no hidden layer to check; give a network with depth >= 1")
    path = trajectory(block, depth, q0=(kernel.q1, kernel.q2), c0=kernel.c)
    first_order = None
    if is_mlp(block):
        first_order = length_corrections(block, depth, np.concatenate([kernel.q1, kernel.q2]))
    found = compared(measured, path, first_order, seeds, alpha)
    known = first_order is not None
    return Check(*found, _name(block), depth, measured.width, seeds, len(kernel.c), float(alpha), corrected=known)


def _check_pairwise(block: Block) -> None:
    """InputError unless pairs of inputs suffice to test the block and its sigmas are single numbers."""
    check_block(block)
    coupled = next((part for part in sub_blocks(block) if part.couples_members), None)
    if coupled is not None:
        raise InputError(
            f"block: {coupled!r} couples the members of an input, which pairs of inputs cannot test; check the block "
            "without it"
        )
    first = first_layer(block)
    sigma("sigma_w", first.sigma_w, single=True)
    sigma("sigma_b", first.sigma_b, single=True)


def is_mlp(block: Block) -> bool:
    """Whether a block is an `mf.MLP`, for which `mlp_parts` does not raise."""
    try:
        return bool(mlp_parts(block))
    except InputError:
        return False


def _name(block: Block) -> str:
    if not is_mlp(block):
        return repr(block)
    phi, dense = mlp_parts(block)
    return f"{phi.name}, sigma_w = {float(dense.sigma_w):g}, sigma_b = {float(dense.sigma_b):g}"


def _networks(block: Block, depth: int, width: int, d_in: int) -> Callable[[nnx.Rngs], Network]:
    whole("depth", depth, below=MOST_LAYERS)
    whole("width", width)
    return lambda rngs: Network(block, depth=depth, width=width, d_in=d_in, rngs=rngs)


def _table(found: Check) -> str:
    title = (
        f"{found.name}: {found.seeds} networks, depth {found.depth}, width {found.width}, {found.pairs} pairs of inputs"
    )
    head = f"{'layer':>5}" + "".join(
        f" | {part.name + ' theory':>15} {'measured':>11} {'z':>6}" for part in found.comparisons
    )
    lines = [title, "", head, "-" * len(head)]
    for layer in np.unique(np.linspace(0, found.depth, min(_ROWS, found.depth + 1)).round().astype(int)):
        cells = (_cell(part, layer) for part in found.comparisons)
        lines.append(f"{layer:>5}" + "".join(f" | {cell}" for cell in cells))
    limit = found.q.threshold
    lines += ["", f"rejected if |z| > {limit:.2f} in any layer; a right theory is, with probability {found.alpha:g}"]
    if not found.corrected:
        lines.append(
            "corrections of order 1/width are known for MLP blocks only: here the error is that of sampling alone"
        )
    lines += [f"  {part!r}" for part in found.comparisons]
    meaning = {"agrees": "theory and networks agree", "rejected": "the networks reject the theory"}
    return "\n".join([*lines, f"verdict: {found.verdict} ({meaning.get(found.verdict, 'no layer could be tested')})"])


def _cell(part: Comparison, layer: int) -> str:
    z = f"{part.z[layer]:6.2f}" if part.tested[layer] else f"{'-':>6}"
    return f"{part.predicted[layer]:>15.5g} {part.measured[layer]:>11.5g} {z}"
