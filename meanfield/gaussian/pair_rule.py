"""The quadrature rule of a pair of Gaussian inputs: an outer one over what the two share, inner ones over the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax import Array, lax

from .moments import smallest
from .quadrature import FLAT, NODES, REACH, Rule, fixed, gaussian_rule, legendre_panels, namespace


class Resolution(NamedTuple):
    """Panels of the inner rule, of the outer rule, and of the outer rule per layer; nodes per panel."""

    inner: int
    outer: int
    layer: int
    nodes: int


FINE, ROUGH = Resolution(18, 8, 14, NODES), Resolution(11, 3, 5, 8)
"""Settings that serve every pair, and coarse ones, good to about 1e-4, for a first guess."""


def resolution(pair: Split, scale: float, kinks: Array, rough: bool = False) -> Resolution:
    """The fewest panels that give this pair to rounding, or roughly; FINE if that is unknown."""
    std, layer = pair.s1 * pair.noise / scale, pair.noise / pair.shared if kinks.size else np.inf
    inner = (10 if kinks.size else FLAT) if std < 0.5 else 12 if std < 1.5 else FINE.inner
    if rough:
        return ROUGH._replace(inner=min(inner, ROUGH.inner))
    return Resolution(inner, *((4, 8) if layer > 0.1 and pair.s1 < 10 * scale else FINE[1:3]), NODES)


_BISECTIONS = 52


class Split(NamedTuple):
    """A pair as shared and own parts: u = s1 (shared A + noise z), v = sign s2 (shared A + noise z')."""

    s1: Array
    s2: Array
    shared: Array  # sqrt|c|
    noise: Array  # sqrt(1 - |c|), exact near c = 1
    sign: Array


def split(q1: Array, q2: Array, e: Array) -> Split:
    """The `Split` of a pair of variances q1, q2 and correlation 1 - e."""
    xp, tiny = namespace(q1), smallest(q1.dtype)
    apart = xp.clip(xp.where(e <= 1, e, 2 - e), tiny, 1.0)
    return Split(
        xp.sqrt(xp.maximum(q1, tiny)),
        xp.sqrt(xp.maximum(q2, tiny)),
        xp.sqrt(xp.maximum(1 - apart, tiny)),
        xp.sqrt(apart),
        xp.where(e <= 1, 1.0, -1.0).astype(q1.dtype),
    )


def outer_rule(kinks: Array, scale: float, pair: Split, equal: bool, rule: Resolution = FINE) -> tuple[Array, Array]:
    """Nodes and weights over A ~ N(0, 1), dense in the layers where the inner expectation varies fast.

    The density of panels is a sum of bumps 1/sqrt((A - centre)^2 + width^2), one per kink and one for the bend at the
    origin; its integral is a sum of arcsinh's, inverted by bisection.
    """
    xp, dtype = namespace(pair.s1), pair.s1.dtype
    lengths = [pair.s1] if equal else [pair.s1, pair.sign * pair.s2]
    largest = xp.maximum(pair.s1, pair.s2)
    centres, widths = [xp.zeros((1,), dtype)], [(xp.hypot(scale / largest, pair.noise) / pair.shared)[None]]
    for length in lengths if kinks.size else []:
        centres.append(xp.clip(kinks / (length * pair.shared), -2 * REACH, 2 * REACH))
        widths.append(xp.broadcast_to(pair.noise / pair.shared, kinks.shape))
    centre, width = fixed(xp.concatenate(centres)), xp.clip(fixed(xp.concatenate(widths)), 1e-12, 1e6)

    def cumulative(a: Array) -> Array:
        return xp.sum(xp.arcsinh((a[..., None] - centre) / width), -1) + 0.7 * a

    panels = rule.outer + rule.layer * centre.size
    ends = cumulative(xp.asarray([-REACH, REACH], dtype))
    target = ends[0] + (ends[1] - ends[0]) * np.linspace(0.0, 1.0, panels + 1).astype(dtype)

    def halve(_: Any, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        lo, hi = bracket
        middle = (lo + hi) / 2
        below = cumulative(middle) < target
        return xp.where(below, middle, lo), xp.where(below, hi, middle)

    lo, hi = _repeated(halve, (xp.full_like(target, -REACH), xp.full_like(target, REACH)), width)
    edges = xp.concatenate([xp.clip((lo + hi) / 2, -REACH, REACH)[1:-1], xp.asarray([-REACH, REACH], dtype)])
    edges = xp.sort(xp.concatenate([edges, xp.clip(centre, -REACH, REACH)]))
    nodes, weights = legendre_panels(edges, rule.nodes)
    weights = weights * xp.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    return nodes.ravel(), weights.ravel()


def _repeated(halve: Callable, bracket: tuple[Array, Array], width: Array) -> tuple[Array, Array]:
    """Bisection steps until brackets are short compared with the layers, as many as these need if known."""
    if namespace(width) is not np:
        return lax.fori_loop(0, _BISECTIONS, halve, bracket)
    shortest = np.min(width, initial=1.0)
    asked = np.log2(2 * REACH / shortest) + 6 if shortest > 0 else _BISECTIONS
    for i in range(int(min(asked, _BISECTIONS))):
        bracket = halve(i, bracket)
    return bracket


def inner_rule(phi: Any, length: Array, pair: Split, nodes: Array, rule: Resolution) -> tuple[Rule, Array, Array]:
    """The rules over z given each A: arrays (len(nodes), panels, nodes); and the conditional means and deviation."""
    mean, std = length * pair.shared * nodes, namespace(length).abs(length) * pair.noise
    return gaussian_rule(mean, std, phi.kink_array(mean.dtype), phi.scale, rule.inner, rule.nodes), mean, std
