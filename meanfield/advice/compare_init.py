"""`compare_init`: every initialization scheme for one activation, predicted, and measured on wide networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import nnx

from ..blocks.block import Block, mlp_parts, sub_blocks
from ..blocks.leaves import leaf_paths, with_leaf
from ..errors import InputError, shown
from ..gaussian.activation import Activation
from ..gaussian.named import activation
from ..initializers import Rule, Scaled, gain, glorot, he, heuristic, lecun
from ..initializers.named import orthogonal
from ..interface.arguments import MOST_LAYERS, sigma, switch, whole
from ..interface.result import Result
from ..interface.settings import in_own_settings
from ..measurement.check import is_mlp
from ..measurement.measurement import measure
from ..networks import Network
from ..networks.finite import first_layer
from ..theory.critical import critical as critical_point
from ..theory.fixed_point import fixed_point
from ..theory.trajectory import trajectory
from ..theory.variance_trajectory import lengths
from .operating_point import REACH, operating_point

__all__ = ["SchemeComparison", "compare_init", "schemes", "verdict"]

MEASURED = (
    "measured_q_end",
    "measured_q_end_error",
    "measured_log_gradient",
    "measured_log_gradient_error",
)
_SMALL_SIGMA_B = 0.05


@dataclass(frozen=True, repr=False, eq=False)
class SchemeComparison(Result):
    """The result of `compare_init`; one entry per scheme, arrays (n,).

    sigma_w, sigma_b         : the point that the scheme realizes
    q_star, chi_1, chi_q, xi_c, xi_grad : the theory there, from inputs of variance 1
    q_end, log_gradient      : variance at the last layer; ln of the factor on a squared gradient over the depth
    measured_q_end, measured_log_gradient : the same, averaged over networks of `width` and inputs; NaN where
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
        """(headers, rows) of the comparison, gradients as factors."""
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
    """The rules that `compare_init` compares, by name: those independent of phi, gains, and critical points.

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


def _checked(rules: Any) -> dict[str, Rule]:
    known = isinstance(rules, dict) and all(hasattr(rule, "sigma_w") for rule in rules.values())
    if not (known and rules):
        raise InputError(f"{shown('rules', rules)} must be a dictionary of rules, {{'he': mf.initializers.he, ...}}")
    return rules


@in_own_settings
def compare_init(
    phi: str | Callable | Activation | Block,
    depth: int = 50,
    *,
    width: int = 500,
    seeds: int = 3,
    measured: bool = True,
    key: int = 0,
    rules: dict[str, Rule] | None = None,
) -> SchemeComparison:
    """Every scheme for one activation: the theory of a network of `depth` layers, and measurements on wide ones.

    phi: an activation, for a fully connected network; or a block, in which every sigma is set to the scheme's (by
    default the schemes for its first activation). Theory: the fixed point of the scheme's block, and the variance and
    the gradient's factor along the layers from inputs of variance 1. Measured: `seeds` networks of `width` and random
    inputs of variance 1, skipped with measured=False. rules: others to compare, name -> rule. The verdict requires that
    the squared gradient change by a factor of at most e^6 over the depth either way and that 6 xi_c reach the depth
    (Schoenholz et al. 2017). InputError for sizes that are not positive integers.

    >>> import meanfield as mf
    >>> found = mf.compare_init("relu", depth=30, measured=False, rules={"he": mf.initializers.he,
    ...     "glorot": mf.initializers.glorot})
    >>> found.verdict, f"{np.log2(found.q_end).round(6).tolist()}"
    (('trains', 'gradients vanish'), '[1.0, -30.0]')
    """
    depth, width = whole("depth", depth, below=MOST_LAYERS), whole("width", width, below=MOST_LAYERS)
    seeds, key = whole("seeds", seeds, below=MOST_LAYERS), whole("key", key, least=0)
    switch("measured", measured)
    phi = phi if isinstance(phi, Block) else activation(phi)
    rules = schemes(_activation_of(phi), depth) if rules is None else _checked(rules)
    sigma_w, sigma_b = (np.array([float(getattr(rule, n)) for rule in rules.values()]) for n in ("sigma_w", "sigma_b"))
    for values in (sigma_w, sigma_b):
        sigma("rules", float(values.max()))
    blocks = [_block(rule, phi) for rule in rules.values()]
    q, log_gradient = _along_depth(blocks, depth)
    points = [fixed_point(block, q0=q0) for block, q0 in zip(blocks, q[:, 0], strict=True)]
    at = {n: np.array([float(getattr(p, n)) for p in points]) for n in ("q_star", "chi_1", "chi_q", "xi_c", "xi_grad")}
    # Within rounding of chi = 1 a depth scale comes out as +-1e15; at criticality it is infinite.
    at_edge = np.array([str(p.phase) == "critical" for p in points])
    for name in ("xi_c", "xi_grad"):
        at[name] = np.where(at_edge & ~np.isnan(at[name]), np.inf, at[name])
    words = tuple(
        verdict(end, g, x, str(p.status), depth)
        for end, g, x, p in zip(q[:, -1], log_gradient, at["xi_c"], points, strict=True)
    )
    seen = np.full((4, len(rules)), np.nan)
    if measured:
        seen = _measured(blocks, list(rules.values()), depth, width, seeds, key)
    return SchemeComparison(
        activation=phi.name if isinstance(phi, Activation) else repr(phi),
        depth=depth,
        width=width,
        seeds=seeds,
        schemes=tuple(rules),
        sigma_w=sigma_w,
        sigma_b=sigma_b,
        **at,
        q_end=q[:, -1],
        log_gradient=log_gradient,
        verdict=words,
        **dict(zip(MEASURED, seen, strict=True)),
    )


def _activation_of(phi: Activation | Block) -> Activation:
    if isinstance(phi, Activation):
        return phi
    found = next((known for part in sub_blocks(phi) if (known := getattr(part, "phi", None)) is not None), None)
    if found is None:
        raise InputError(f"phi={phi!r} has no activation; give the schemes to compare as rules={{name: rule}}")
    return found


def _block(rule: Rule, phi: Activation | Block) -> Block:
    """The block whose layers a rule draws."""
    if isinstance(phi, Activation):
        return rule.block(phi)
    ends = {path.rpartition(".")[2] for path in leaf_paths(phi)}
    for name in ("sigma_w", "sigma_b"):
        phi = with_leaf(phi, name, getattr(rule, name)) if name in ends else phi
    return phi


def _along_depth(blocks: list[Block], depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances (n, depth + 1) from inputs of variance 1, and ln of the factor (n,) on a squared gradient."""
    if all(is_mlp(block) for block in blocks):
        parts = [mlp_parts(block) for block in blocks]
        w, b = (np.array([float(getattr(dense, n)) for _, dense in parts]) for n in ("sigma_w", "sigma_b"))
        path = lengths(parts[0][0], w, b, depth, w**2 + b**2)
        return path.q, path.log_gradient[:, -1]
    paths = []
    for block in blocks:
        first = first_layer(block)
        q0 = float(first.sigma_w) ** 2 + float(first.sigma_b) ** 2
        paths.append(trajectory(block, depth, q0=(q0, q0)))
    with np.errstate(divide="ignore"):
        rises = [np.log(path.chi[:-1]).sum() for path in paths]
    return np.stack([path.q1 for path in paths]), np.array(rises)


def verdict(q_end: float, log_gradient: float, xi_c: float, status: str, depth: int) -> str:
    """The first failure in a network of that depth, or "trains".

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
    # NaN: correlations are preserved (q* = 0) or follow a power law (criticality).
    return "inputs merge" if REACH * xi_c < depth else "trains"


def _measured(
    blocks: list[Block], rules: list[Rule], depth: int, width: int, seeds: int, key: int
) -> tuple[np.ndarray, ...]:
    """The four arrays `MEASURED`: means over networks and inputs of q and ln of the gradient's factor, with errors."""
    x = np.random.default_rng(key).normal(size=(8, width)).astype(np.float32)
    x /= np.sqrt((x**2).mean(1, keepdims=True))
    rows = []
    for block, rule in zip(blocks, rules, strict=True):

        def network(rngs: nnx.Rngs, block: Block = block, rule: Rule = rule) -> Network:
            return Network(block, depth=depth, width=width, d_in=width, rngs=rngs, kernel_init=rule)

        found = measure(network, x, seeds=seeds, key=key, progress=False)
        with np.errstate(divide="ignore", invalid="ignore"):
            q = np.log(np.concatenate([found.q1, found.q2], 2)[:, -1]).mean(1)
            gradient = found.log_gradient[:, 0].mean(1)
            errors = [v.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else np.nan for v in (q, gradient)]
            rows.append((np.exp(q.mean()), errors[0], gradient.mean(), errors[1]))
    return tuple(np.array(rows).T)
