"""The quadrature rule of a pair of Gaussian inputs: an outer one over what the two share, inner ones over the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax import Array, lax

from .features import Features
from .moments import smallest
from .quadrature import FLAT, NODES, PANELS, REACH, Rule, fixed, gaussian_rule, legendre_panels, namespace


class Resolution(NamedTuple):
    """Panels of the inner rule, of the outer rule, and of the outer rule per layer; nodes per panel."""

    inner: int
    outer: int
    layer: int
    nodes: int


FINE, ROUGH = Resolution(18, 8, 14, NODES), Resolution(11, 3, 5, 8)
"""Settings that serve every pair, and coarse ones, good to about 1e-4, for a first guess."""

ALONE = FINE._replace(inner=PANELS)
"""Of a rule that is not repeated for every node of another."""


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


def outer_rule(phi: Any, pair: Split, equal: bool, rule: Resolution = FINE) -> tuple[Array, Array]:
    """Nodes and weights over A ~ N(0, 1), dense in the layers where the inner expectation varies fast.

    The density of panels is a sum of bumps 1/sqrt((A - centre)^2 + width^2), one per kink and one for the bend at the
    origin; its integral is a sum of arcsinh's, inverted by bisection. Where phi has narrow features its panels are
    those of the features as well.
    """
    kinks, scale, features = phi.kink_array(pair.s1.dtype), phi.scale, phi.features
    xp, dtype, reach = namespace(pair.s1), pair.s1.dtype, features.reach
    lengths = [pair.s1] if equal else [pair.s1, pair.sign * pair.s2]
    largest = xp.maximum(pair.s1, pair.s2)
    centres, widths = [xp.zeros((1,), dtype)], [(xp.hypot(scale / largest, pair.noise) / pair.shared)[None]]
    for length in lengths if kinks.size else []:
        centres.append(xp.clip(kinks / (length * pair.shared), -2 * reach, 2 * reach))
        widths.append(xp.broadcast_to(pair.noise / pair.shared, kinks.shape))
    centre, width = fixed(xp.concatenate(centres)), xp.clip(fixed(xp.concatenate(widths)), 1e-12, 1e6)

    def cumulative(a: Array) -> Array:
        return xp.sum(xp.arcsinh((a[..., None] - centre) / width), -1) + 0.7 * a

    panels = round((rule.outer + rule.layer * centre.size) * reach / REACH)
    ends = cumulative(xp.asarray([-reach, reach], dtype))
    target = ends[0] + (ends[1] - ends[0]) * np.linspace(0.0, 1.0, panels + 1).astype(dtype)

    def halve(_: Any, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        lo, hi = bracket
        middle = (lo + hi) / 2
        below = cumulative(middle) < target
        return xp.where(below, middle, lo), xp.where(below, hi, middle)

    lo, hi = _repeated(halve, (xp.full_like(target, -reach), xp.full_like(target, reach)), width)
    edges = xp.concatenate([xp.clip((lo + hi) / 2, -reach, reach)[1:-1], xp.asarray([-reach, reach], dtype)])
    cuts = [_thinned(features, length * pair.shared, pair.noise / pair.shared, dtype) for length in lengths]
    edges = xp.sort(xp.concatenate([edges, xp.clip(xp.concatenate([centre, *cuts]), -reach, reach)]))
    nodes, weights = legendre_panels(edges, rule.nodes)
    weights = weights * xp.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    return nodes.ravel(), weights.ravel()


def _thinned(features: Features, length: Array, width: Array, dtype: Any) -> Array:
    """The features' panels as edges over A, without those that a deviation `width` smooths away, where it is known."""
    xp = namespace(length)
    edges: Any = np.asarray(features.cuts, dtype) / length
    if xp is not np or not edges.size:
        return edges
    edges = np.sort(edges[np.abs(edges) < features.reach])
    _, kept = np.unique(np.floor(edges / max(float(width), 1e-9)), return_index=True)
    return edges[kept]


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
    return rule_of(phi, mean, std, rule), mean, std


def rule_of(phi: Any, mean: Array, std: Array, rule: Resolution = ALONE) -> Rule:
    """`gaussian_rule` for an activation, with what its features ask for; mean (...,), std a scalar."""
    xp, features, kinks = namespace(mean), phi.features, phi.kink_array(mean.dtype)
    rough, cuts = kinks[np.flatnonzero(features.rough)], np.asarray(features.cuts, mean.dtype)
    if xp is np and cuts.size:
        far = features.reach * std
        cuts = cuts[slice(*np.searchsorted(cuts, (np.min(mean) - far, np.max(mean) + far)))]
    cuts = xp.concatenate([kinks, cuts])
    return gaussian_rule(mean, std, cuts, phi.scale, rule.inner, rule.nodes, rough, features.reach)


_TOGETHER = 256


def over_nodes(phi: Any, compute: Callable[[Array], tuple[Array, ...]], nodes: Array) -> tuple[Array, ...]:
    """compute(nodes), arrays (len(nodes),); a few at a time where phi needs many panels."""
    if not phi.features.cuts:
        return compute(nodes)
    if namespace(nodes) is np:
        pieces: Any = [compute(nodes[i : i + _TOGETHER]) for i in range(0, nodes.size, _TOGETHER)]
        joined: Any = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        return tuple(joined)
    found = lax.map(compute, nodes.reshape(-1, NODES))
    return tuple(part.ravel() for part in found)
