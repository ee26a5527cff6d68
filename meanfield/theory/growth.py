"""How a network without a fixed point grows: the laws of its variance and of its gradients with depth."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from jax import Array

from ..blocks.activations import sampled_block
from ..blocks.block import Block, check_block
from ..blocks.residual import Residual
from ..errors import InputError
from ..interface.arguments import variances
from ..interface.labels import GrowthLaw, Status
from ..interface.numbers import Numbers
from ..interface.precision import host_float64, is_traced
from ..interface.result import Result
from ..interface.settings import in_own_settings
from ..solvers.coupled_state import has_more_state
from ..solvers.fixed_variance import chi_perpendicular, variance
from .fixed_point import fixed_variance

# Asymptotic series here are in powers of q^(-1/2), which halve from one of these to the next.
_HIGH, _LOW = 4.0 ** np.arange(14, 25), 4.0 ** np.arange(3, 14)
# Extrapolations a factor of four apart in q agree to this if a law holds, at high and at low variances.
_FITS, _FITS_BELOW = 1e-6, 1e-3


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Growth(Result):
    """The result of `growth`; l and L count blocks, and parameters that a law does not have are NaN.

    law                  : see `GrowthLaw`
    rate                 : ln of the variance's factor per block; 0 for a power law
    exponent, coefficient: q_l -> coefficient l^exponent, for a power law
    grad_exponent, grad_coefficient : ln of a squared gradient's factor over L blocks -> grad_coefficient
                           L^grad_exponent, and grad_coefficient ln L where grad_exponent is 0
    """

    law: GrowthLaw
    rate: Numbers
    exponent: Numbers
    coefficient: Numbers
    grad_exponent: Numbers
    grad_coefficient: Numbers


@in_own_settings
def growth(block: Block, q0: float = 1.0) -> Growth:
    """The law by which the variance of a block's network, and its gradients, grow from variance q0.

    From V(q) and chi at large q, extrapolated: V -> B q with B > 1 grows exponentially; V - q -> A q^s with s < 1 as
    the power 1 / (1 - s) of the depth. With chi - 1 -> D q^-t, gradients follow: tanh residual networks have
    ln chi ~ sqrt(L) (Yang & Schoenholz 2017), pre-LayerNorm ones chi = 1 + zeta / l, so zeta ln L (Doshi et al. 2023).
    A law is given where it holds over the decades up to q = 4^24 (4^13 without an outermost `Residual`); where none
    does, `law` is other and the numbers are NaN, and so are a gradient's alone if these follow no power of the depth.
    Accurate to about 1e-8 where a `Residual` is the outermost block, 1e-4 elsewhere. InputError for a block whose state
    is more than a variance (a batch, tokens, channel means), and under a trace; use `mf.trajectory` there.

    >>> import meanfield as mf
    >>> law = mf.growth(mf.Residual(mf.LayerNorm() >> mf.MLP("tanh", sigma_w=1.5**0.5, sigma_b=0.1**0.5)))
    >>> print(f"{law.law}: q = {law.coefficient:.6f} l^{law.exponent:.1f}, zeta = {law.grad_coefficient:.6f}")
    power: q = 0.691442 l^1.0, zeta = 1.007466
    """
    check_block(block)
    variances("q0", q0, single=True)
    if is_traced((block, q0)):
        raise InputError("growth extrapolates numbers: call it outside jit, grad and vmap")
    if has_more_state(block):
        raise InputError(f"block={block!r} has a state of more than a variance; use mf.trajectory")
    if fixed_variance(block, q0).status != Status.DIVERGES.code:
        return _law(GrowthLaw.BOUNDED)
    exact = isinstance(block, Residual) and float(block.skip) == 1.0
    q = _HIGH if exact else _LOW
    step, excess = (np.asarray(a) for a in _far(_sampled_block(block), q, exact=exact))
    with np.errstate(all="ignore"):
        return _from(q, step, excess, _FITS if exact else _FITS_BELOW)


_sampled_block = host_float64(sampled_block)


@host_float64(static=("exact",))
def _far(block: Block, q: Numbers, *, exact: bool) -> tuple[Array, Array]:
    """V(q) - q and chi - 1 at large variances; without subtraction if the block is a residual branch with skip 1."""
    if exact and isinstance(block, Residual):
        inside = Residual(block.branch, block.scale, 0.0)
        return jax.vmap(lambda q: (variance(inside, q), chi_perpendicular(inside, q)))(q)
    return jax.vmap(lambda q: (variance(block, q) - q, chi_perpendicular(block, q) - 1))(q)


def _law(
    law: GrowthLaw,
    rate: float = np.nan,
    exponent: float = np.nan,
    coefficient: float = np.nan,
    of_gradient: tuple[float, float] = (np.nan, np.nan),
) -> Growth:
    numbers = (rate, exponent, coefficient, *of_gradient)
    return Growth(law, *(np.asarray(number, np.float64)[()] for number in numbers))


def _from(q: np.ndarray, step: np.ndarray, excess: np.ndarray, tolerance: float) -> Growth:
    """The law that V(q) - q and chi - 1 follow over the decades of q, `OTHER` where it is none of them."""
    power = _order(step, tolerance)
    ratio = step / q
    if not np.all(np.isfinite(ratio)) or power > 1 or (ratio[-1] > 2 * ratio[-3] and ratio[-1] > 1):
        return _law(GrowthLaw.SUPEREXPONENTIAL)
    if power == 1:
        rate = np.log1p(_limit(ratio, tolerance))
        return _law(GrowthLaw.EXPONENTIAL, rate, of_gradient=_along_exponential(excess, rate, tolerance))
    if not np.isfinite(power):
        return _law(GrowthLaw.OTHER)
    exponent = 1 / (1 - power)
    coefficient = ((1 - power) * _limit(step / q**power, tolerance)) ** exponent
    gradient = _along_power(q, excess, exponent, coefficient, tolerance)
    return _law(GrowthLaw.POWER, 0.0, exponent, coefficient, gradient)


def _along_exponential(excess: np.ndarray, rate: float, tolerance: float) -> tuple[float, float]:
    """Exponent and coefficient of the sum of ln chi over the layers, q = exp(rate l)."""
    if np.all(np.abs(excess) < 1e-14):
        return 0.0, 0.0
    order = _order(1 + excess, tolerance)
    if order != 0:
        # ln chi is itself linear in the depth.
        return (2.0, order * rate / 2) if np.isfinite(order) else (np.nan, np.nan)
    left = _limit(excess, tolerance)
    # Where chi - 1 falls with q the sum converges.
    return (0.0, 0.0) if _order(excess, tolerance) < 0 else (1.0, np.log1p(left))


def _along_power(
    q: np.ndarray, excess: np.ndarray, exponent: float, coefficient: float, tolerance: float
) -> tuple[float, float]:
    """The same of chi - 1 = D q^-t, q = coefficient l^exponent; NaN where that is no power of the depth."""
    if np.all(np.abs(excess) < 1e-14):
        return 0.0, 0.0
    fall = -_order(excess, tolerance)
    if fall == 0:
        return 1.0, np.log1p(_limit(excess, tolerance))
    if not fall > 0:
        return np.nan, np.nan
    per_layer = _limit(excess * q**fall, tolerance) * coefficient**-fall
    left = 1 - exponent * fall
    if abs(left) < 1e-6:
        return 0.0, per_layer
    return (left, per_layer / left) if left > 0 else (0.0, 0.0)


def _order(values: np.ndarray, tolerance: float) -> float:
    """The power of q with which values at q = 4^k grow, a simple fraction if near one; NaN if it is none."""
    if not (np.all(values > 0) or np.all(values < 0)):
        return np.nan
    power = _limit(np.diff(np.log(np.abs(values))) / np.log(4), tolerance)
    simple = np.round(power * 12) / 12
    return float(simple if abs(power - simple) < tolerance else power)


def _limit(values: np.ndarray, tolerance: float) -> float:
    """The limit of a sequence with errors in powers of 1 / 2; NaN where its end and what precedes it disagree."""
    last, before = _extrapolated(values), _extrapolated(values[:-1])
    return last if abs(last - before) <= tolerance * max(abs(last), 1.0) else np.nan


def _extrapolated(values: np.ndarray) -> float:
    """Richardson extrapolation of the end of a sequence."""
    row = values[-5:]
    for j in range(1, 5):
        row = row[1:] + (row[1:] - row[:-1]) / (2.0**j - 1)
    return float(row[-1])
