"""Activations shaped for an architecture: DKS (Martens et al. 2021) and TAT (Zhang, Botev & Martens 2022).

phi-hat(x) = gamma_o (phi(gamma_i x + delta_i) + delta_o), the four constants chosen so that the network's correlation
map is neither degenerate nor chaotic at its depth. The architecture function writes the network once as a composition
of one layer's map r: it gives the maximal slope if r multiplies by the layer's slope, the curvature if r adds the
layer's curvature, and the map itself if r is the layer's map.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.optimize import root, root_scalar

from ..blocks.block import MLP, Serial
from ..errors import InputError, shown
from ..gaussian.activation import Activation
from ..gaussian.named import activation, source_of
from ..gaussian.quadrature import gaussian_rule
from ..interface.arguments import between, positive, whole
from ..interface.precision import in_float64
from ..interface.result import Result
from ..interface.settings import in_own_settings
from .rule import Scaled
from .transformed import Affine, affine, transformed

Layer = Callable[[float], float]
Architecture = Callable[[Layer, float], float]
_LEAKY = ("leaky_relu", "prelu")
_TOLERANCE = 1e-9
_STEEPEST = 2.0
_STARTS = ((-1.5, -2.8, -0.3, -4.0), (0.4, 1.0, -0.4, -1.0), (0.3, -0.3, 1.0))


@dataclass(frozen=True, repr=False, eq=False)
class ShapedActivation(Result):
    """The result of `dks` and `tat`: the activation, its four constants, and the targets they solve.

    gamma_i, delta_i, delta_o, gamma_o : phi-hat(x) = gamma_o (phi(gamma_i x + delta_i) + delta_o)
    slope      : the negative slope found, for leaky_relu; NaN otherwise
    c_slope_1  : C'(1) = E[phi-hat'^2] of one layer; c_curvature_1 : C''(1) = E[phi-hat''^2], NaN at kinks
    q_slope_1  : Q'(1) = E[z phi-hat phi-hat'], 1 unless phi has no constant left for it (ReLU under DKS)
    target     : the target for one layer, from the architecture function
    activation : phi-hat; use weights of variance 1 / fan_in (or orthogonal) and no biases
    """

    method: str
    gamma_i: float
    delta_i: float
    delta_o: float
    gamma_o: float
    slope: float
    target: float
    q_slope_1: float
    c_slope_1: float
    c_curvature_1: float
    activation: Activation

    @property
    def initializer(self) -> Scaled:
        """The matching weights, variance 1 / fan_in, no biases."""
        return Scaled()

    @property
    def block(self) -> Serial:
        """The block of a layer. q = 1 is a fixed point of slope Q'(1) = 1 and so only half-stable: not an attractor."""
        return MLP(self.activation, 1.0, 0.0)


def plain_network(depth: int) -> Architecture:
    """The architecture function of `depth` layers one after the other.

    >>> plain_network(3)(lambda c: 2 * c, 1.0)
    8.0
    """

    def compose(r: Layer, x: float) -> float:
        for _ in range(depth):
            x = r(x)
        return x

    return compose


@in_own_settings
def dks(
    phi: str | Callable | Activation,
    architecture: Architecture | None = None,
    *,
    depth: int | None = None,
    zeta: float = 1.5,
) -> ShapedActivation:
    """Deep kernel shaping: Q(1) = 1, Q'(1) = 1, C(0) = 0, and maximal network slope zeta (Martens et al. 2021).

    architecture(r, x): the network (or the most nonlinear of its sub-networks) as a composition of one layer's map r,
    with sums weighted to keep variances; or `depth` plain layers. zeta > 1: the slope C'(1) of the whole network. For
    ReLU, which has one redundant constant, delta_i = 1 and Q'(1) is not imposed; for leaky_relu and prelu the slope is
    solved for. Exact integrals; constants to 1e-8. InputError if the target cannot be reached.

    >>> shaped = dks("tanh", depth=50)
    >>> print(f"{shaped.c_slope_1**50:.6f} {shaped.q_slope_1:.6f}")
    1.500000 1.000000
    """
    network, phi = _network(architecture, depth), activation(phi)
    zeta = positive("zeta", zeta)
    if not zeta > 1:
        raise InputError(f"zeta={zeta} must exceed 1, the slope of an identity network")
    slope = _solve_target(lambda s: network(lambda y: s * y, 1.0) - zeta, 1.0, 2.0, "zeta", zeta)
    if source_of(phi) in _LEAKY:
        return _leaky_dks(slope)
    if phi.has_steps:
        raise InputError(f"phi={phi.name!r} jumps: its maps have infinite slope; give a continuous activation")
    if _is_homogeneous(phi):
        gamma_i = _solve_target(lambda s: _layer(phi, np.exp(s), 1.0)[2] - slope, -8.0, 3.0, "zeta", zeta)
        return _shaped("dks", phi, float(np.exp(gamma_i)), 1.0, None, slope)
    gamma_i, delta_i = _solve(phi, lambda at: (at[1] - 1, at[2] - slope), "zeta", zeta)
    return _shaped("dks", phi, gamma_i, delta_i, None, slope)


@in_own_settings
def tat(
    phi: str | Callable | Activation,
    architecture: Architecture | None = None,
    *,
    depth: int | None = None,
    tau: float = 0.3,
    eta: float = 0.9,
) -> ShapedActivation:
    """Tailored activation transformation: Q(1) = Q'(1) = C'(1) = 1 and network curvature tau (Zhang et al. 2022).

    architecture, depth: as for `dks`. tau > 0: C''(1) of the whole network, for smooth activations. For leaky_relu and
    prelu instead the slope is chosen so that the network maps correlation 0 to eta, and the output scaled by sqrt(2 /
    (1 + slope^2)). Solutions with gamma_i gamma_o >= 2 are rejected, as published; a bound that depends on the scale
    of phi, so that sigmoid needs a multiple. InputError if the target cannot be reached, or if phi has kinks and is
    neither of these two.

    >>> print(f"{tat('leaky_relu', depth=50).slope:.6f}")
    0.430523
    """
    network, phi, tau = _network(architecture, depth), activation(phi), positive("tau", tau)
    if source_of(phi) in _LEAKY:
        between("eta", eta, 0.0, 1.0, "()")
        slope = _solve_target(lambda a: eta - network(partial(_leaky_c_map, a), 0.0), 0.0, 1.0, "eta", eta)
        return _shaped("tat", activation("leaky_relu", slope=slope), 1.0, 0.0, 0.0, eta)
    if phi.kinks:
        raise InputError(f"phi={phi.name!r} has kinks, so C''(1) is infinite; use leaky_relu, or dks")
    curvature = _solve_target(lambda s: network(lambda y: y + s, 0.0) - tau, 0.0, tau, "tau", tau)
    gamma_i, delta_i, delta_o = _solve(
        phi, lambda at: (at[1] - 1, at[2] - 1, at[3] / curvature - 1), "tau", tau, centred=False
    )
    return _shaped("tat", phi, gamma_i, delta_i, delta_o, curvature)


@in_float64
def _is_homogeneous(phi: Activation) -> bool:
    """Whether phi is linear on each side of a kink at 0, so that a gain of its argument is one of its value."""
    x = jnp.asarray([-8.0, -1.0, 1.0, 8.0])
    far_left, left, right, far_right = np.asarray(phi(x), float)
    return phi.kinks == (0.0,) and bool(np.allclose([far_left, far_right], [8 * left, 8 * right], rtol=1e-12, atol=0))


def _network(architecture: Architecture | None, depth: int | None) -> Architecture:
    if (architecture is None) == (depth is None):
        raise InputError("give the architecture function, architecture(r, x), or depth=, the number of plain layers")
    if callable(architecture):
        return architecture
    if architecture is not None:
        raise InputError(
            f"{shown('architecture', architecture)} must be a function architecture(r, x); for plain layers give depth="
        )
    return plain_network(whole("depth", depth))


def _solve_target(excess: Callable[[float], float], lo: float, hi: float, name: str, value: float) -> float:
    """The root of an increasing function in [lo, hi]; InputError about the target if there is none."""
    below, above = excess(lo), excess(hi)
    if not below <= 0 <= above:
        raise InputError(f"{name}={value} cannot be reached by this activation in this architecture; change {name}")
    return float(root_scalar(excess, bracket=(lo, hi), xtol=1e-15, rtol=1e-14).root)


@in_float64
def _layer(phi: Activation, gamma_i: float, delta_i: float, delta_o: float | None = None) -> np.ndarray:
    """gamma_o, Q'(1), C'(1), C''(1), delta_o of one layer; delta_o None: E[phi-hat] = 0."""
    u = [gamma_i, delta_i] + ([] if delta_o is None else [delta_o])
    return np.asarray(_quantities(phi, jnp.asarray(u, float), len(u) == 2))


@partial(jax.jit, static_argnames="centred")
def _quantities(phi: Activation, u: Array, centred: bool) -> Array:
    one, zero = jnp.ones((), u.dtype), jnp.zeros((), u.dtype)
    shape = {"gamma_i": u[0], "delta_i": u[1], "delta_o": zero, "gamma_o": one}
    inner = transformed(Affine, phi, shape, (), steps=())
    kinks = (phi.kink_array(u.dtype) - u[1]) / u[0]
    rule = gaussian_rule(zero, one, kinks, phi.scale / u[0])
    bend = inner.slope_activation.slope(rule.x)
    value, slope = inner(rule.x), inner.slope(rule.x)
    delta_o = -jnp.sum(rule.weight * value) if centred else u[2]
    value = value + delta_o
    second = jnp.sum(rule.weight * value**2)
    means = [jnp.sum(rule.weight * m) / second for m in (rule.z * value * slope, slope**2, bend**2)]
    return jnp.stack([second**-0.5, *means, delta_o])


def _solve(
    phi: Activation, conditions: Callable[[np.ndarray], tuple], name: str, value: float, centred: bool = True
) -> np.ndarray:
    """gamma_i, delta_i (and delta_o) that meet the conditions, by Powell's hybrid method from a lattice of starts.

    The unknowns are ln gamma_i, delta_i and delta_o + E[phi] in units of the standard deviation of phi's argument.
    """

    def unknowns(u: np.ndarray) -> np.ndarray:
        found = [float(np.exp(np.clip(u[0], -12, 4))), float(u[1])]
        return np.array(found if centred else [*found, _layer(phi, *found)[4] + found[0] * u[2]])

    def residual(u: np.ndarray) -> np.ndarray:
        found = np.array(conditions(_layer(phi, *unknowns(u))), float)
        return np.where(np.isfinite(found), found, 1e3)

    rejected = math.inf
    for start in product(*_STARTS[: 2 if centred else 3]):
        solution = root(residual, start, method="hybr", options={"xtol": 1e-13})
        if np.max(np.abs(residual(solution.x))) < _TOLERANCE:
            u = unknowns(solution.x)
            gain = u[0] * _layer(phi, *u)[0]
            if gain < _STEEPEST or centred:
                return u
            rejected = min(rejected, gain)
    if math.isfinite(rejected):
        raise InputError(
            f"{name}={value} is reached by {phi.name} only at gamma_i gamma_o = {rejected:.3g}, rejected as published "
            f"(>= {_STEEPEST:g}); that bound depends on the scale of phi: give a multiple of it, more than "
            f"{rejected / _STEEPEST:.3g} times {phi.name}"
        )
    raise InputError(f"{name}={value} cannot be reached by {phi.name} in this architecture; change {name} or phi")


def _shaped(
    method: str, phi: Activation, gamma_i: float, delta_i: float, delta_o: float | None, target: float
) -> ShapedActivation:
    gamma_i, delta_i = float(gamma_i), float(delta_i)
    gamma_o, q_slope, c_slope, c_curvature, found = (float(v) for v in _layer(phi, gamma_i, delta_i, delta_o))
    slope = float(phi.params["slope"]) if source_of(phi) in _LEAKY else np.nan
    made = affine(phi, gamma_i, delta_i, found, gamma_o, f"{method}({phi.name})")
    curvature = np.nan if phi.kinks else c_curvature
    return ShapedActivation(
        method, gamma_i, delta_i, found, gamma_o, slope, float(target), q_slope, c_slope, curvature, made
    )


def _leaky_dks(target: float) -> ShapedActivation:
    """C'(1) = ((1 + a^2) / 2) / Var[phi], Var = (1 + a^2) / 2 - (1 - a)^2 / (2 pi): falls from pi/(pi-1) to 1."""

    def excess(a: float) -> float:
        return target - 1 / (1 - (1 - a) ** 2 / (np.pi * (1 + a**2)))

    slope = _solve_target(excess, 0.0, 1.0, "zeta", target)
    return _shaped("dks", activation("leaky_relu", slope=slope), 1.0, 0.0, None, target)


def _leaky_c_map(a: float, c: float) -> float:
    """The correlation map of leaky ReLU (Cho & Saul 2009)."""
    c = min(max(c, -1.0), 1.0)
    arc = np.sqrt(1 - c**2) + (np.pi - np.arccos(c)) * c
    return float(((1 - a) ** 2 / np.pi * arc + 2 * a * c) / (1 + a**2))
