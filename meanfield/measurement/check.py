"""`check`: real networks at initialization against the prediction, with a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from ..blocks.block import Block, check_block, mlp_parts
from ..errors import InputError
from ..interface.arguments import probability, sigma, whole
from ..interface.result import Result
from ..networks import MLP
from ..theory.finite_width import LengthCorrections, length_corrections
from ..theory.trajectory import Trajectory, trajectory
from .comparison import Comparison, compare, threshold
from .inputs import input_kernel, input_pairs
from .measurement import Measurement, measure

__all__ = ["Check", "check"]

# Below this, rounding of float32 pre-activations is seen in 1 - c: it adds about 1e-13, random, to 1 - c itself.
_SMALLEST_GAP = 1e-9
# Sums of squares of pre-activations outside these bounds leave float32.
_LARGEST, _LARGEST_LOG_GRADIENT = 1e33, 150.0
_ROWS = 13


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False, eq=False)
class Check(Result):
    """What `check` returns.

    q, one_minus_c, gradient : a `Comparison` each, with arrays (depth + 1,) `measured`, `predicted`, `error`, `z`
    gradient is the factor |(dh^L/dh^l)^T v|^2 / |v|^2 of layer l, predicted to be chi over layers l ... L - 1
    verdict : "agrees" or "rejected", of all three together; `q.verdict` and so on are each one's own
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
        """ "rejected" where any of the three is, "untested" where none could be tested, else "agrees"."""
        verdicts = {part.verdict for part in self.comparisons}
        return next(word for word in ("rejected", "agrees", "untested") if word in verdicts)

    def table(self) -> str:
        """Theory, measurement and z-score of some layers evenly spread, and the verdict, as text."""
        return _table(self)

    def plot(self, axes: Any = None) -> Any:
        """Draw the three quantities against the layer; see `meanfield.plots.check`. Returns three Axes."""
        from ..plots.check import check as draw

        return draw(self, axes=axes)

    def rows(self) -> list[tuple[str, str]]:
        """(name, shown value) of what a reader asks first."""
        parts = [(key, str(getattr(self, key))) for key in ("name", "depth", "width", "seeds", "pairs")]
        return [
            *parts,
            *((part.name, repr(part).partition(": ")[2]) for part in self.comparisons),
            ("verdict", self.verdict),
        ]


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
    """Set real networks at initialization against the prediction (Poole et al. 2016; Schoenholz et al. 2017).

    model: a block, of which networks `mf.networks.MLP` with `depth` and `width` are made; or a factory
    `rngs -> network` with `block=`, the block that is said to describe it, and then the network's own depth and width
    count. x (n, d), pairs: inputs, the shipped digits where None, and how many pairs of them (4) or which rows.
    seeds: independent networks, at least 2. key: an integer from which all random numbers come.

    q^l = |h^l|^2 / n, 1 - c^l and the gradient factor of each pair are compared in logarithms with `mf.trajectory`
    from the pair's own first kernel. The networks are the independent samples: z is the deviation of their mean in
    standard errors. Known terms of order 1/n are taken out of q (`length_corrections`) and allowed for elsewhere, see
    `compare`. alpha is the probability that a right theory is rejected anywhere, whatever the correlation between
    layers (Bonferroni over Student's t), as far as logarithms averaged over pairs are normal: width 50 or more and
    depth/width at most 0.2.

    The gradient of a network whose activation jumps (step, sign) is 0, not what chi_1 = inf says: it is not tested.
    InputError: no block, a block that is not `mf.MLP`'s, one single network or one seed (no standard error), sizes.

    >>> import meanfield as mf
    >>> block = mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3)
    >>> mf.check(block, depth=5, width=100, seeds=5).verdict
    'agrees'
    >>> wrong = mf.MLP("tanh", sigma_w=2.0, sigma_b=0.3)
    >>> factory = lambda rngs: mf.networks.MLP(wrong, depth=5, width=100, d_in=64, rngs=rngs)
    >>> mf.check(factory, block=block, seeds=5).verdict
    'rejected'
    """
    if whole("seeds", seeds) < 2:
        raise InputError("seeds=1 leaves no standard error; give at least 2, and 10 for a sharp verdict")
    probability("alpha", alpha)
    inputs = input_pairs(x, pairs)
    if isinstance(model, Block):
        block, model = model, _networks(model, depth, width, inputs.shape[2])
    elif block is None:
        raise InputError(
            "block is missing; give the block that is said to describe the model: check(factory, block=...)"
        )
    elif hasattr(model, "preactivations") and not isinstance(model, type):
        raise InputError("model is one network, which has no standard error; give a factory: lambda rngs: network")
    check_block(block)
    phi, dense = mlp_parts(block)
    sigma("sigma_w", dense.sigma_w, single=True)
    sigma("sigma_b", dense.sigma_b, single=True)
    kernel = input_kernel(dense, inputs)
    rows = inputs.swapaxes(0, 1).reshape(-1, inputs.shape[2])
    measured = measure(model, rows, seeds=seeds, key=key, pairs=len(kernel.c), progress=progress)
    depth = measured.q1.shape[1] - 1
    if depth < 1:
        raise InputError("model has no hidden layer to check; give a network with depth >= 1")
    path = trajectory(block, depth, q0=(kernel.q1, kernel.q2), c0=kernel.c)
    lengths = length_corrections(block, depth, np.concatenate([kernel.q1, kernel.q2]))
    found = _compared(measured, path, lengths, seeds, alpha)
    name = f"{phi.name}, sigma_w = {float(dense.sigma_w):g}, sigma_b = {float(dense.sigma_b):g}"
    return Check(*found, name, depth, measured.width, seeds, len(kernel.c), float(alpha))


def _networks(block: Block, depth: int, width: int, d_in: int) -> Any:
    mlp_parts(block)
    whole("depth", depth)
    whole("width", width)
    return lambda rngs: MLP(block, depth=depth, width=width, d_in=d_in, rngs=rngs)


def _compared(
    measured: Measurement, path: Trajectory, lengths: LengthCorrections, seeds: int, alpha: float
) -> tuple[Comparison, ...]:
    """The three comparisons, under one threshold for all their tested layers."""
    with np.errstate(all="ignore"):
        found = _lengths(measured, path, lengths), _distances(measured, path), _gradients(measured, path)
    limit = threshold(alpha, sum(int(part.tested.sum()) for part in found), seeds)
    return tuple(replace(part, threshold=limit) for part in found)


def _held(path: Trajectory) -> np.ndarray:
    """The layers (depth + 1,) up to which lengths stay inside float32: what overflows or vanishes never comes back."""
    q = np.concatenate([path.q1, path.q2], 1)
    inside = np.isfinite(q) & (q > 1 / _LARGEST) & (q < _LARGEST)
    return np.logical_and.accumulate(inside.all(1))


def _lengths(measured: Measurement, path: Trajectory, first: LengthCorrections) -> Comparison:
    # Both inputs of a pair are measured; each is compared with its own trajectory.
    q = np.concatenate([path.q1, path.q2], 1)
    ratio = np.log(np.concatenate([measured.q1, measured.q2], 2)) - np.log(q)
    relative = (first.variance / q**2 / measured.width).mean(1)
    offset = (first.bias / q / measured.width).mean(1) - relative / 2
    # The next order in 1/n is the square of this one.
    return compare("q", ratio, np.log(q), _held(path), offset, relative**2 + offset**2)


def _distances(measured: Measurement, path: Trajectory) -> Comparison:
    e = path.one_minus_c
    tested = _held(path) & (np.isfinite(e) & (e > _SMALLEST_GAP)).all(1)
    return compare("1 - c", np.log(measured.one_minus_c) - np.log(e), np.log(e), tested)


def _gradients(measured: Measurement, path: Trajectory) -> Comparison:
    """The factor of layers l ... L - 1 is the product of their chi, so its logarithm is a sum from the end."""
    steps = np.log(path.chi[:-1])
    predicted = np.concatenate([np.cumsum(steps[::-1], 0)[::-1], np.zeros_like(steps[:1])])
    tested = _held(path).all() & (np.isfinite(predicted) & (np.abs(predicted) < _LARGEST_LOG_GRADIENT)).all(1)
    # The last layer's factor is 1 by construction.
    tested[-1] = False
    return compare("gradient", measured.log_gradient - predicted, predicted, tested)


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
    lines += ["", f"rejected where |z| > {limit:.2f} in any layer; a right theory is, with probability {found.alpha:g}"]
    lines += [f"  {part!r}" for part in found.comparisons]
    meaning = {"agrees": "theory and networks agree", "rejected": "the networks reject the theory"}
    return "\n".join([*lines, f"verdict: {found.verdict} ({meaning.get(found.verdict, 'no layer could be tested')})"])


def _cell(part: Comparison, layer: int) -> str:
    z = f"{part.z[layer]:6.2f}" if part.tested[layer] else f"{'-':>6}"
    return f"{part.predicted[layer]:>15.5g} {part.measured[layer]:>11.5g} {z}"
