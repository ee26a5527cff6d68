"""`recommend`: how to initialize a deep network, how deep it can then be, and Flax code to paste."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import root_scalar

from ..blocks.block import MLP
from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.closed_forms import TwoSlopes
from ..gaussian.named import NAMED, activation
from ..initializers.deep_kernel_shaping import dks
from ..initializers.named import gain
from ..initializers.orthogonal import DeltaOrthogonal, Orthogonal
from ..initializers.rule import Rule, Scaled
from ..interface.arguments import one_of, whole
from ..interface.result import Result
from ..interface.settings import in_own_settings
from ..theory.fixed_point import fixed_point
from ..theory.variance_trajectory import lengths
from .flax_code import flax_code
from .operating_point import OperatingPoint, operating_point

ARCHITECTURES = ("mlp", "residual", "conv")
WEIGHTS = ("gaussian", "orthogonal")
REACH = 6.0
"""Trainable depth in depth scales: about 6 (Schoenholz et al. 2017); signals may change by e^6 either way."""

_FARTHEST = 1024
_NUMBERS = ("sigma_w", "sigma_b", "q_star", "chi_1", "chi_q", "xi_c", "xi_grad", "log_gradient", "jacobian_spread",
            "depth_limit", "width")  # fmt: skip


@dataclass(frozen=True, repr=False, eq=False)
class Recommendation(Result):
    """The result of `recommend`. NaN if there is nothing to recommend; `caveats` then suggests alternatives.

    status           : "critical", "poor" (a point exists, but slopes vary too much there) or "none"
    sigma_w, sigma_b : the operating point; q_star, chi_1, chi_q, xi_c, xi_grad: the theory there
    branch_scale     : alpha in x + alpha F(x), residual networks only; 1 elsewhere
    log_gradient     : ln of the factor on a squared gradient over the depth, from inputs of variance 1
    jacobian_spread  : variance of the squared singular values over the depth, at mean 1 (Pennington et al. 2017)
    depth_limit      : the maximum useful depth, where a squared gradient has changed by e^6 or 1 - c fallen by e^-6;
                       inf beyond 1024 layers
    width            : the width below which squared gradients of single networks vary by more than 100%
    sigma_w_range    : (2,) the sigma_w around it at which 6 depth scales still reach `depth_wanted`
    caveats          : sentences; nnx, linen: programs that define such a network, `Net`
    """

    activation: str
    depth: int
    architecture: str
    weights: str
    status: str
    sigma_w: float
    sigma_b: float
    q_star: float
    chi_1: float
    chi_q: float
    xi_c: float
    xi_grad: float
    branch_scale: float
    log_gradient: float
    jacobian_spread: float
    depth_limit: float
    width: float
    sigma_w_range: np.ndarray
    caveats: tuple[str, ...]
    nnx: str = field(repr=False)
    linen: str = field(repr=False)

    @property
    def initializer(self) -> Rule:
        """The rule to use as `kernel_init` and `bias_init`; InputError if there is none."""
        if not math.isfinite(self.sigma_w):
            raise InputError(f"activation={self.activation!r}: nothing to recommend; {self.caveats[0]}")
        return _rule(self.architecture, self.weights, self.sigma_w, self.sigma_b)

    def rows(self) -> list[tuple[str, str]]:
        """(name, shown value); the programs are in `.nnx` and `.linen`."""
        rows = [row for row in super().rows() if row[0] not in ("nnx", "linen", "caveats")]
        return rows + [("caveat", text) for text in self.caveats]


@in_own_settings
def recommend(
    phi: str | Callable | Activation,
    depth: int = 50,
    *,
    architecture: str = "mlp",
    weights: str = "gaussian",
    depth_wanted: int | None = None,
) -> Recommendation:
    """The initialization for a network of `depth` layers with this activation, its properties, and Flax code for it.

    architecture "mlp" and "conv": the point of `operating_point` on the critical line, for deep smooth networks
    q* = 1/depth; "residual": x + F(x) / sqrt(depth), which needs no critical point. weights: "gaussian" or "orthogonal"
    (delta-orthogonal for "conv"). depth_wanted: the depth for `sigma_w_range`, by default `depth`.

    The spread is depth (E[phi'^4] / E[phi'^2]^2 - 1 - s_1), s_1 = -1 for Gaussian and 0 for orthogonal weights. Width:
    a squared gradient's relative variance over networks grows as e^(k depth / width) - 1 with k = 3 E[phi'^4] /
    E[phi'^2]^2 - 1 (Gaussian) or 3 less of that ratio's excess over 1 (orthogonal), and is 1 at the width given; never
    below the depth; residual branches add 4 times the logarithm of the squared gradient's growth in all. InputError for
    an unknown activation, architecture or weights, or a depth below 1.

    >>> import meanfield as mf
    >>> advice = mf.recommend("relu", depth=30)
    >>> print(f"{advice.status} {advice.sigma_w:.4f} {advice.sigma_b} {advice.width:.0f}")
    critical 1.4142 0.0 217
    """
    one_of("architecture", architecture, ARCHITECTURES)
    one_of("weights", weights, WEIGHTS)
    depth = whole("depth", depth)
    wanted = depth if depth_wanted is None else whole("depth_wanted", depth_wanted)
    phi = activation(phi)
    shape = {"activation": phi.name, "depth": depth, "architecture": architecture, "weights": weights}
    if architecture == "residual":
        return _residual(phi, shape)
    point = operating_point(phi, depth)
    if point.kind == "none":
        return _nothing(phi, shape)
    return _plain(phi, point, shape, wanted)


def _plain(phi: Activation, point: OperatingPoint, shape: dict, wanted: int) -> Recommendation:
    depth, orthogonal = shape["depth"], shape["weights"] == "orthogonal"
    far = lengths(phi, point.sigma_w, point.sigma_b, _FARTHEST, point.sigma_w**2 + point.sigma_b**2)
    log_gradient = far.log_gradient[0]
    limit = min(_first(np.abs(log_gradient) > REACH), _merging(phi, point))
    width = _width(point.spread, depth, orthogonal)
    return _made(
        phi, shape,
        status="poor" if point.kind == "poor" else "critical",
        sigma_w=point.sigma_w, sigma_b=point.sigma_b, q_star=point.q, chi_1=1.0, chi_q=point.chi_q,
        xi_c=float("inf"), xi_grad=float("inf"),
        log_gradient=float(log_gradient[min(depth, _FARTHEST)]),
        jacobian_spread=depth * (point.spread + (not orthogonal)),
        depth_limit=limit, width=width, sigma_w_range=_range(phi, point, wanted),
        caveats=_caveats(phi, point, shape, limit, width),
    )  # fmt: skip


def _made(phi: Activation, shape: dict, **found: Any) -> Recommendation:
    alpha = found.setdefault("branch_scale", 1.0)
    name = phi.name if phi.name in NAMED else None
    words = ", ".join([repr(name), *(f"{k}={float(v)!r}" for k, v in phi.params.items())])
    source = found.pop("phi_code", f"mf.activation({words})" if name else f"...  # {phi.name}")
    if np.isfinite(found["sigma_w"]):
        rule = repr(_rule(shape["architecture"], shape["weights"], found["sigma_w"], found["sigma_b"]))
    else:
        rule = "Scaled(sigma_w=1.0, sigma_b=0.0, distribution='normal', mode='fan_in')"
    scale = alpha if shape["architecture"] == "residual" else None
    texts: dict[str, Any] = {
        kind: flax_code(kind, shape["architecture"], source, f"mf.initializers.{rule}", scale)
        for kind in ("nnx", "linen")
    }
    return Recommendation(**shape, **found, **texts)


def _rule(architecture: str, weights: str, sigma_w: float, sigma_b: float) -> Rule:
    if weights == "gaussian":
        return Scaled(sigma_w, sigma_b)
    return (DeltaOrthogonal if architecture == "conv" else Orthogonal)(sigma_w, sigma_b, rescaled=True)


def _first(flags: np.ndarray) -> float:
    return float(np.argmax(flags)) if flags.any() else float("inf")


def _merging(phi: Activation, point: OperatingPoint) -> float:
    """The layer at which 1 - c has fallen by e^-6 from 1/2 at criticality: as kappa / l, or as 9 pi^2 / 2 l^2."""
    low = 0.5 * math.exp(-REACH)
    if isinstance(phi.closed, TwoSlopes):
        a = float(phi.params["slope"]) if phi.closed.left is None else phi.closed.left
        if abs(a) == 1:
            return float("inf")
        return math.sqrt(4.5 * math.pi**2 * ((1 + a**2) / (1 - a) ** 2) ** 2 / low)
    kappa = 2 * point.slope_2 / (point.q * point.curvature)
    return kappa / low if kappa / low < _FARTHEST else float("inf")


def _width(spread: float, depth: int, orthogonal: bool) -> float:
    k = 3 * spread + (0 if orthogonal else 2)
    return float(max(depth, math.ceil(k * depth / math.log(2))))


def _range(phi: Activation, point: OperatingPoint, wanted: int) -> np.ndarray:
    """The sigma_w below and above the critical one at which the shorter depth scale is wanted / 6."""

    def short(sigma_w: float) -> float:
        fp = fixed_point(MLP(phi, sigma_w, point.sigma_b), q0=max(point.q, 1e-3))
        scales = [abs(float(v)) for v in (fp.xi_c, fp.xi_grad) if np.isfinite(v)]
        return 1 / min(scales) - REACH / wanted if scales else (1.0 if fp.status == "diverges" else -REACH / wanted)

    return np.array([_edge(short, point.sigma_w, sign) for sign in (-1, 1)])


def _edge(short: Callable[[float], float], centre: float, sign: int) -> float:
    inside, step = centre, 4e-3 * centre
    while abs(sign * step) < centre:
        outside = centre + sign * step
        if short(outside) > 0:
            return _root(short, inside, outside, 1e-4 * centre) if short(inside) < 0 else float(centre)
        inside, step = outside, 2 * step
    return float(inside)


def _root(excess: Callable[[float], float], inside: float, outside: float, tolerance: float) -> float:
    return float(root_scalar(excess, bracket=(inside, outside), xtol=tolerance).root)


def _caveats(phi: Activation, point: OperatingPoint, shape: dict, limit: float, width: float) -> tuple[str, ...]:
    depth, said = shape["depth"], []
    if point.kind == "poor":
        said.append(
            f"{phi.name} is critical only where most units are saturated (q* = {point.q:.3g}, sigma_w = "
            f"{point.sigma_w:.4g}): not a good choice; shift and scale it (mf.initializers.dks), or use residual "
            "branches or normalization"
        )  # fmt: skip
    if point.kind == "stable_branch":
        said.append(
            f"the critical line of {phi.name} near sigma_b = 0 is unstable in the variance (chi_q > 1) or absent; "
            f"this is its stable branch, where biases of {point.sigma_b:.3g} are part of the recipe and chi_q = "
            f"{point.chi_q:.4f}"
        )  # fmt: skip
    if point.kind == "critical" and depth >= 20:
        said.append(
            f"standardized inputs start at variance {point.sigma_w**2 + point.sigma_b**2:.3g}, not q* = {point.q:.3g}; "
            f"times {math.sqrt(max(point.q - point.sigma_b**2, 0)) / point.sigma_w:.3g} they start at the fixed point"
        )
    if shape["weights"] == "gaussian" and point.spread < 0.5:
        said.append(
            "orthogonal weights keep all singular values of the Jacobian together here (weights='orthogonal'); with "
            f"Gaussian ones their squares spread by {depth * (1 + point.spread):.3g} around mean 1"
        )
    if shape["weights"] == "orthogonal" and point.spread >= 0.5:
        said.append("no weights give this activation an isometric Jacobian; orthogonal ones halve the spread at most")
    if shape["architecture"] == "conv" and shape["weights"] == "gaussian":
        said.append("Gaussian kernels damp high spatial frequencies; weights='orthogonal', delta-orthogonal, do not")
    if depth > limit:
        said.append(f"{depth} layers are beyond {limit:.0f}, where signals have changed by e^6; use residual branches")
    said.append(
        f"the theory is that of infinite width: below a width of {width:.0f} single networks of this depth vary "
        "widely, and at depth/width near 1 fluctuations dominate, critical or not"
    )
    return tuple(said)


def _nothing(phi: Activation, shape: dict) -> Recommendation:
    why = "jumps, so its chi_1 is infinite" if phi.has_steps else "has no stable critical point with q* <= 100"
    said = [f"{phi.name} {why}: no sigma_w, sigma_b makes a deep plain network trainable"]
    nan, more = float("nan"), {}
    try:
        shaped = dks(phi, depth=shape["depth"])
        words = f"{phi.name!r}, depth={shape['depth']}"
        more["phi_code"] = f"mf.initializers.dks({words}).activation"
        said.append(
            f"instead, change its scale: mf.initializers.dks({words}) is gamma_o (phi(gamma_i x + delta_i) + delta_o) "
            f"with gamma_i = {shaped.gamma_i:.4g}, delta_i = {shaped.delta_i:.4g}, delta_o = {shaped.delta_o:.4g}, "
            f"gamma_o = {shaped.gamma_o:.4g}, to be used with variance 1 / fan_in; the programs here do that"
        )
    except InputError:
        pass
    said.append("or use architecture='residual', or normalization between the layers")
    found = dict.fromkeys(_NUMBERS, nan) | {"sigma_w_range": np.full(2, nan), "caveats": tuple(said)}
    return _made(phi, shape, status="none", **found, **more)


def _residual(phi: Activation, shape: dict) -> Recommendation:
    depth = shape["depth"]
    if phi.has_steps:
        return _nothing(phi, shape)
    alpha, sigma_w = depth**-0.5, gain(phi).sigma_w
    path = partial(lengths, phi, sigma_w, 0.0, q0=1.0, skip=1.0)
    near = path(depth, alpha=alpha)
    log_gradient = float(near.log_gradient[0, -1])
    said = (
        f"branches are scaled by 1/sqrt(depth) = {alpha:.4g} (De & Smith 2020): variances grow to {near.q[0, -1]:.3g} "
        f"and squared gradients by e^{log_gradient:.3g} over the depth, whatever the depth is",
        "mf.networks.SkipBranch makes the scale learnable, from 0 if desired (ReZero); normalized branches also work",
    )
    return _made(
        phi, shape, status="critical", sigma_w=sigma_w, sigma_b=0.0, q_star=float("nan"), chi_1=float(near.chi[0, 0]),
        chi_q=float("nan"), xi_c=float("nan"), xi_grad=-1 / math.log(near.chi[0, 0]), log_gradient=log_gradient,
        jacobian_spread=float("nan"), depth_limit=float("inf"), branch_scale=alpha,
        width=float(math.ceil(4 * log_gradient / math.log(2))),
        sigma_w_range=np.full(2, float("nan")), caveats=said,
    )  # fmt: skip
