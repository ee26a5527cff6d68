"""`recommend`: how to initialize a deep network, how deep it can then be, and Flax code to paste."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.named import activation, source_of
from ..initializers.deep_kernel_shaping import dks
from ..initializers.named import gain
from ..initializers.orthogonal import DeltaOrthogonal, Orthogonal
from ..initializers.rule import Rule, Scaled
from ..interface.arguments import one_of, whole
from ..interface.result import Result
from ..interface.settings import in_own_settings
from ..theory.variance_trajectory import lengths
from .flax_code import flax_code
from .operating_point import OperatingPoint, operating_point, promise
from .sigma_range import sigma_w_range

ARCHITECTURES = ("mlp", "residual", "conv")
WEIGHTS = ("gaussian", "orthogonal")
_DEEPEST = 2**17
# Within 5% of q* inputs need no scaling.
_NEAR = 0.05
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
    depth_limit      : the maximum useful depth: where a squared gradient, from inputs of variance 1, has changed by
                       e^6, or 1 - c at q* has fallen by e^-6 from 1/2; inf beyond 1024 layers and the depth
    width            : the width below which squared gradients of single networks vary by more than 100%
    sigma_w_range    : (2,) the sigma_w around it between which 6 depth scales reach `depth_wanted`
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
        """(name, shown value) of the numbers and caveats; printed, the program in `.nnx` follows."""
        rows = [row for row in super().rows() if row[0] not in ("nnx", "linen", "caveats")]
        return rows + [("caveat", text) for text in self.caveats]

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n\nFlax NNX (`.linen` has it in Linen):\n\n{self.nnx.rstrip()}"

    def _repr_html_(self) -> str:
        return f"{super()._repr_html_()}<pre>{html.escape(self.nnx)}</pre>"


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
    below the depth; in residual networks k depth is 6 times the logarithm of the squared gradient's growth.
    InputError for an unknown activation, architecture or weights, or a depth that is not an integer from 1 to 2^17.

    >>> import meanfield as mf
    >>> advice = mf.recommend("relu", depth=30)
    >>> print(f"{advice.status} {advice.sigma_w:.4f} {advice.sigma_b} {advice.width:.0f}")
    critical 1.4142 0.0 217
    """
    one_of("architecture", architecture, ARCHITECTURES)
    one_of("weights", weights, WEIGHTS)
    depth = whole("depth", depth, below=_DEEPEST)
    wanted = depth if depth_wanted is None else whole("depth_wanted", depth_wanted, below=_DEEPEST)
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
    log_gradient, limit = promise(phi, point, depth)
    width = _width(point.spread, depth, orthogonal)
    return _made(
        phi, shape,
        status="poor" if point.kind == "poor" else "critical",
        sigma_w=point.sigma_w, sigma_b=point.sigma_b, q_star=point.q, chi_1=1.0, chi_q=point.chi_q,
        xi_c=float("inf"), xi_grad=float("inf"),
        log_gradient=log_gradient,
        jacobian_spread=depth * (point.spread + (not orthogonal)),
        depth_limit=limit, width=width, sigma_w_range=sigma_w_range(phi, point, wanted),
        caveats=_caveats(phi, point, shape, log_gradient, limit, width),
    )  # fmt: skip


def _made(phi: Activation, shape: dict, **found: Any) -> Recommendation:
    alpha = found.setdefault("branch_scale", 1.0)
    source = found.pop("phi_code", None) or _phi_code(phi) or f"...  # your function {phi.name}"
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


def _phi_code(phi: Activation) -> str | None:
    """Python that makes this activation, by the name or expression of its function; None for a callable."""
    source = source_of(phi)
    if source is None:
        return None
    words = [repr(source), *(f"{name}={float(value)!r}" for name, value in phi.params.items())]
    return f"mf.activation({', '.join(words)})"


def _rule(architecture: str, weights: str, sigma_w: float, sigma_b: float) -> Rule:
    if weights == "gaussian":
        return Scaled(sigma_w, sigma_b)
    return (DeltaOrthogonal if architecture == "conv" else Orthogonal)(sigma_w, sigma_b, rescaled=True)


def _width(spread: float, depth: int, orthogonal: bool) -> float:
    k = 3 * spread + (0 if orthogonal else 2)
    return float(max(depth, math.ceil(k * depth / math.log(2))))


def _caveats(
    phi: Activation, point: OperatingPoint, shape: dict, log_gradient: float, limit: float, width: float
) -> tuple[str, ...]:
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
    start = point.sigma_w**2 + point.sigma_b**2
    if point.kind != "scale_invariant" and abs(math.log(start / point.q)) > _NEAR:
        said.append(
            f"standardized inputs start at variance {start:.3g}, not q* = {point.q:.3g}, and change squared gradients "
            f"by e^{log_gradient:.2g} over the depth; times "
            f"{math.sqrt(max(point.q - point.sigma_b**2, 0)) / point.sigma_w:.3g} they start at the fixed point"
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
        known = repr(source_of(phi)) if source_of(phi) and not phi.params else _phi_code(phi)
        words = f"{known or '...'}, depth={shape['depth']}"
        note = "" if known else f"  # your function {phi.name} for ..."
        more["phi_code"] = f"mf.initializers.dks({words}).activation{note}"
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
    near = lengths(phi, sigma_w, 0.0, depth, 1.0, skip=1.0, alpha=alpha)
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
        width=float(math.ceil(6 * log_gradient / math.log(2))),
        sigma_w_range=np.full(2, float("nan")), caveats=said,
    )  # fmt: skip
