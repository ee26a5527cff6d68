"""`compare_init`: every initialization scheme on one activation, by the theory and on a wide network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.named import activation
from ..initializers import Rule, Scaled, gain, glorot, he, heuristic, lecun, orthogonal
from ..interface.arguments import sigma, whole
from ..interface.result import Result
from ..measurement.measurement import measure
from ..networks import MLP
from ..theory.critical import critical as critical_point
from ..theory.fixed_point import fixed_point
from ..theory.variance_trajectory import lengths
from .operating_point import operating_point

__all__ = ["SchemeComparison", "compare_init", "schemes", "verdict"]

REACH = 6.0
_SMALL_SIGMA_B = 0.05


@dataclass(frozen=True, repr=False, eq=False)
class SchemeComparison(Result):
    """What `compare_init` returns; one entry a scheme, arrays (n,).

    sigma_w, sigma_b         : the point that it realizes
    q_star, chi_1, chi_q, xi_c, xi_grad : the theory there, from inputs of variance 1
    q_end, log_gradient      : variance at the last layer; ln of the factor on a squared gradient over the depth
    measured_q_end, measured_log_gradient : mean over networks and inputs of the same on networks of `width`, NaN where
                               nothing was measured; *_error: their standard errors; ln q for q_end
    verdict                  : "trains", or the first thing that goes wrong
    """

    activation: str
    depth: int
    width: int
    seeds: int
    schemes: tuple[str, ...]
    sigma_w: np.ndarray
    sigma_b: np.ndarray
    q_star: np.ndarray
    chi_1: np.ndarray
    chi_q: np.ndarray
    xi_c: np.ndarray
    xi_grad: np.ndarray
    q_end: np.ndarray
    log_gradient: np.ndarray
    verdict: tuple[str, ...]
    measured_q_end: np.ndarray
    measured_q_end_error: np.ndarray
    measured_log_gradient: np.ndarray
    measured_log_gradient_error: np.ndarray

    def table(self) -> tuple[tuple[str, ...], list[tuple]]:
        """(headers, rows) of what a reader compares, gradients as factors."""
        headers = ("scheme", "sigma_w", "sigma_b", "q*", "chi_1", "chi_q", "xi_c", "gradient", "measured", "verdict")
        with np.errstate(over="ignore"):
            columns = (
                self.schemes, self.sigma_w, self.sigma_b, self.q_star, self.chi_1, self.chi_q, self.xi_c,
                np.exp(self.log_gradient), np.exp(self.measured_log_gradient), self.verdict,
            )  # fmt: skip
        return headers, list(zip(*columns, strict=True))

    def plot(self, ax: Any = None) -> Any:
        """Draw the schemes as points on the phase diagram; see `meanfield.plots.schemes`."""
        from ..plots import schemes as draw

        return draw(self, ax=ax)


def schemes(phi: str | Callable | Activation, depth: int) -> dict[str, Rule]:
    """The rules that `compare_init` compares, by name: those without knowledge of phi, gains, and critical points.

    >>> list(schemes("relu", 30))[:5]
    ['lecun', 'glorot', 'he', 'heuristic', 'orthogonal']
    """
    phi = activation(phi)
    rules: dict[str, Rule] = dict(lecun=lecun, glorot=glorot, he=he, heuristic=heuristic, orthogonal=orthogonal)
    for kind in ("second_moment", "variance", "gradient"):
        try:
            rules[f"gain {kind}"] = gain(phi, kind)
        except InputError:
            continue  # no weights preserve a moment that is 0 or infinite
    for label, given in ((f"critical sigma_b={_SMALL_SIGMA_B}", {"sigma_b": _SMALL_SIGMA_B}),
                         ("critical q=1/depth", {"q": 1.0 / depth})):  # fmt: skip
        point = critical_point(phi, **given)
        if point.status == "found":
            rules[label] = Scaled(point.sigma_w, point.sigma_b)
    best = operating_point(phi, depth)
    if best.kind != "none":
        rules["recommended"] = Scaled(best.sigma_w, best.sigma_b)
    return rules


def compare_init(
    phi: str | Callable | Activation,
    depth: int = 50,
    *,
    width: int = 500,
    seeds: int = 3,
    measured: bool = True,
    key: int = 0,
    rules: dict[str, Rule] | None = None,
) -> SchemeComparison:
    """Every scheme on one activation: what the theory says of a network of `depth` layers, and what a wide one does.

    Theory: the fixed point of the scheme's block, and the variance and the gradient's factor along the layers from
    inputs of variance 1. Measured: `seeds` networks of `width` and random inputs of variance 1, skipped with
    measured=False. rules: others to compare, name -> rule. The verdict asks that the squared gradient changes by no
    more than e^6 over the depth either way and that 6 xi_c reach the depth (Schoenholz et al. 2017). InputError for
    sizes that are not positive integers.

    >>> import meanfield as mf
    >>> found = mf.compare_init("relu", depth=30, measured=False, rules={"he": mf.initializers.he,
    ...     "glorot": mf.initializers.glorot})
    >>> found.verdict, f"{np.log2(found.q_end).round(6).tolist()}"
    (('trains', 'gradients vanish'), '[1.0, -30.0]')
    """
    depth, width, seeds = (whole(n, v) for n, v in (("depth", depth), ("width", width), ("seeds", seeds)))
    phi = activation(phi)
    rules = schemes(phi, depth) if rules is None else rules
    sigma_w, sigma_b = (np.array([float(getattr(rule, n)) for rule in rules.values()]) for n in ("sigma_w", "sigma_b"))
    for values in (sigma_w, sigma_b):
        sigma("rules", float(values.max()))
    path = lengths(phi, sigma_w, sigma_b, depth, sigma_w**2 + sigma_b**2)
    points = [fixed_point(rule.block(phi), q0=q0) for rule, q0 in zip(rules.values(), path.q[:, 0], strict=True)]
    at = {n: np.array([float(getattr(p, n)) for p in points]) for n in ("q_star", "chi_1", "chi_q", "xi_c", "xi_grad")}
    # Within rounding of chi = 1 a depth scale is +-1e15: at criticality it is infinite.
    at_edge = np.array([str(p.phase) == "critical" for p in points])
    for name in ("xi_c", "xi_grad"):
        at[name] = np.where(at_edge & ~np.isnan(at[name]), np.inf, at[name])
    log_gradient = path.log_gradient[:, -1]
    words = tuple(
        verdict(q, g, x, str(p.status), depth)
        for q, g, x, p in zip(path.q[:, -1], log_gradient, at["xi_c"], points, strict=True)  # noqa: E501
    )
    seen = _measured(phi, rules, depth, width, seeds, key) if measured else np.full((4, len(rules)), np.nan)
    return SchemeComparison(
        phi.name, depth, width, seeds, tuple(rules), sigma_w, sigma_b, *at.values(), path.q[:, -1], log_gradient, words,
        *seen,
    )  # fmt: skip


def verdict(q_end: float, log_gradient: float, xi_c: float, status: str, depth: int) -> str:
    """What goes wrong first in a network of that depth, or "trains".

    >>> verdict(1.0, -20.0, float("nan"), "converged", 30)
    'gradients vanish'
    """
    if status == "diverges" or not q_end < 1e30:
        return "variance diverges"
    if np.isnan(log_gradient):
        return "undefined"
    if log_gradient < -REACH:
        return "gradients vanish"
    if log_gradient > REACH:
        return "gradients explode"
    # NaN: correlations keep (q* = 0) or follow a power law (criticality).
    return "inputs merge" if REACH * xi_c < depth else "trains"


def _measured(phi: Activation, rules: dict[str, Rule], depth: int, width: int, seeds: int, key: int) -> np.ndarray:
    """ln-means of q and of the gradient's factor over networks and inputs, with standard errors: (4, schemes)."""
    x = np.random.default_rng(key).normal(size=(8, width)).astype(np.float32)
    x /= np.sqrt((x**2).mean(1, keepdims=True))
    rows = []
    for rule in rules.values():

        def network(rngs: Any, rule: Rule = rule) -> MLP:
            return MLP(rule.block(phi), depth=depth, width=width, d_in=width, rngs=rngs, kernel_init=rule)

        found = measure(network, x, seeds=seeds, key=key, progress=False)
        with np.errstate(divide="ignore", invalid="ignore"):
            q = np.log(np.concatenate([found.q1, found.q2], 2)[:, -1]).mean(1)
            gradient = found.log_gradient[:, 0].mean(1)
            errors = [v.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else np.nan for v in (q, gradient)]
            rows.append((np.exp(q.mean()), errors[0], gradient.mean(), errors[1]))
    return np.array(rows).T
