"""One quantity of a network, measured in every layer and compared with its prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from scipy.special import stdtrit

__all__ = ["Comparison", "compare", "threshold"]

_ROUNDING = 1e-6


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """Measurement and theory of one positive quantity, layer by layer: float64 arrays (depth + 1,).

    measured, predicted : geometric means over pairs of inputs, the measured one over networks too
    error   : standard error of `measured` over networks
    z       : (ln measured - ln predicted - finite-width offset) / sqrt(standard error^2 + allowance^2 + 1e-12); the
              last term allows for float32 rounding
    tested  : whether the layer is tested: False, with z NaN, if the theory gives 0, infinity or NaN, or if
              the value is beyond float32
    threshold : the |z| beyond which it is rejected; name: of the quantity
    """

    measured: Any
    predicted: Any
    error: Any
    z: Any
    tested: Any
    threshold: float
    name: str = field(metadata={"static": True})

    @property
    def verdict(self) -> str:
        """ "agrees", "rejected", or "untested" if no layer could be tested."""
        if not self.tested.any():
            return "untested"
        return "rejected" if (np.abs(self.z[self.tested]) > self.threshold).any() else "agrees"

    @property
    def worst(self) -> int | None:
        """The tested layer with the largest |z|; None if no layer was tested."""
        return int(np.argmax(np.where(self.tested, np.abs(self.z), -1.0))) if self.tested.any() else None

    def __repr__(self) -> str:
        if self.worst is None:
            return f"{self.name}: untested"
        return f"{self.name}: {self.verdict}, largest |z| {abs(self.z[self.worst]):.2f} in layer {self.worst}"


def compare(
    name: str, ratio: np.ndarray, predicted: np.ndarray, tested: np.ndarray, offset: Any = None, allowance: Any = None
) -> Comparison:
    """Compare measurements with a prediction in logarithms; the threshold is set later, for all quantities at once.

    ratio (seeds, depth + 1, P): ln(measured / predicted); predicted (depth + 1, P): ln of the prediction; tested (depth
    + 1,). The networks are the independent samples: a network's pairs are averaged first. `offset` and `allowance`
    (depth + 1,) are the expected ln-ratio at finite width and how well it is known. Without them the mean itself is
    assumed to be as predicted, so that the mean logarithm lies half a variance below (exact for a log-normal, the limit
    law of a long product); that half variance, estimated over networks, is then also the allowance, because at order
    1/n the theory does not distinguish the mean from the median.

    >>> import numpy as np
    >>> noise = 0.1 * np.random.default_rng(0).normal(size=(9, 3, 2))
    >>> right, wrong = (compare("q", noise + b, np.zeros((3, 2)), np.ones(3, bool)) for b in (0.0, 0.5))
    >>> bool((abs(right.z) < 4).all()), bool((abs(wrong.z) > 8).all())
    (True, True)
    """
    seeds = len(ratio)
    with np.errstate(all="ignore"):
        per_seed = ratio.mean(2)
        mean, error = per_seed.mean(0), per_seed.std(0, ddof=1) / np.sqrt(seeds)
        half = ratio.var(0, ddof=1).mean(1) / 2
        offset = -half if offset is None else offset
        allowance = half if allowance is None else allowance
        z = (mean - offset) / np.sqrt(error**2 + allowance**2 + _ROUNDING**2)
        # A network with NaN where the theory has a number deviates infinitely.
        z = np.where(tested, np.where(np.isnan(z), np.inf, z), np.nan)
        measured, expected = (np.exp(value) for value in (mean + predicted.mean(1), predicted.mean(1)))
        return Comparison(measured, expected, measured * error, z, tested, np.inf, name)


def threshold(alpha: float, tests: int, seeds: int) -> float:
    """The |z| that a correct theory exceeds anywhere in `tests` comparisons with probability at most alpha.

    Bonferroni's bound over two-sided Student t with seeds - 1 degrees of freedom: layers of one network are
    correlated, strongly and in a way that depends on the phase, and this bound holds whatever the correlation.

    >>> round(threshold(0.01, 1, 10), 3), round(threshold(0.01, 150, 10), 2)
    (3.25, 6.95)
    """
    return float(stdtrit(seeds - 1, 1 - alpha / (2 * max(tests, 1))))
