"""How each field of a diagram is coloured."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import CenteredNorm, LogNorm, Normalize, SymLogNorm, TwoSlopeNorm

from ..errors import InputError, shown
from ..interface.arguments import between
from ..interface.quantities import QUANTITIES

# Beyond a factor of 30 either way the colour saturates, since one extreme cell would wash out the rest.
_WIDEST = 1.5
_LOGARITHMIC = ("q_star", "q_error", "one_minus_c_star", "xi_c", "xi_q")
FIELDS = ("chi_1", "chi_1_minus_1", "chi_c", "chi_q", "c_star", "xi_grad", *_LOGARITHMIC)


class Colours(NamedTuple):
    """What is drawn: the values, NaN where there is no number, a norm, a colour map and the label of the bar."""

    values: np.ndarray
    norm: Normalize
    cmap: str
    label: str

    @property
    def ends(self) -> tuple[float, float]:
        """The values at the ends of the bar."""
        return float(self.norm.vmin or 0.0), float(self.norm.vmax or 0.0)


def colours(field: str, values: Any, vmin: float | None, vmax: float | None) -> Colours:
    """The colours of a field; vmin and vmax are on the scale of the bar, which for chi_1 is log10.

    >>> colours("xi_c", np.array([[1.0, 100.0, np.inf]]), None, None).norm.vmax
    100.0
    """
    label = _label(field)
    values = np.asarray(values, float)
    if values.ndim != 2:
        raise InputError(f"field={field!r} has shape {values.shape}; a diagram has two axes")
    for name, end in (("vmin", vmin), ("vmax", vmax)):
        if end is not None:
            between(name, end, -1e300, 1e300)
    if field == "chi_1":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log10(values)
        words = r"$\log_{10}\,\chi_1$    (blue: ordered, red: chaotic)"
        return Colours(values, _centred(values, vmin, vmax), "RdBu_r", words)
    if field == "chi_1_minus_1":
        return Colours(values, _centred(values, vmin, vmax, 1e-12, np.inf), "RdBu_r", label)
    finite = values[np.isfinite(values)]
    if field == "xi_grad":
        given = [end for end in (vmin, vmax) if end is not None]
        high = float(np.abs([10.0, *finite, *given]).max())
        low, high = (-high if vmin is None else vmin), (high if vmax is None else vmax)
        return Colours(values, SymLogNorm(1.0, vmin=low, vmax=_above("vmin", low, high)), "PuOr", label)
    if field in _LOGARITHMIC:
        positive = finite[finite > 0]
        low = (positive.min() if positive.size else 1.0) if vmin is None else vmin
        high = max(positive.max() if positive.size else 1.0, 1.001 * low) if vmax is None else vmax
        if low <= 0:
            raise InputError(f"{shown('vmin', low)} must be > 0: {field} is drawn on a log scale")
        return Colours(values, LogNorm(low, _above("vmin", low, high)), "viridis", label)
    low = (finite.min() if finite.size else 0.0) if vmin is None else vmin
    high = max(finite.max() if finite.size else 1.0, low + 1e-12) if vmax is None else vmax
    return Colours(values, Normalize(low, _above("vmin", low, high)), "viridis", label)


def _above(name: str, low: float, high: float) -> float:
    if not low < high:
        raise InputError(f"{shown(name, low)} must lie below vmax={high}")
    return high


def _centred(
    values: np.ndarray, vmin: float | None, vmax: float | None, least: float = 0.05, most: float = _WIDEST
) -> Normalize:
    """A norm with 0 in its middle colour; without ends, a few extreme cells in a corner take the end colours."""
    if vmin is None and vmax is None:
        finite = np.abs(values[np.isfinite(values)])
        return CenteredNorm(0.0, float(np.clip(np.percentile(finite, 98) if finite.size else 0.0, least, most)))
    low = -abs(float(vmax)) if vmin is None else float(vmin)  # type: ignore[arg-type]
    high = abs(low) if vmax is None else float(vmax)
    _above("vmin", low, high)
    return TwoSlopeNorm(0.0, low, high) if low < 0 < high else Normalize(low, high)


def _label(field: str) -> str:
    if field not in FIELDS:
        raise InputError(f"{shown('field', field)} is not a field that can be drawn; give one of {', '.join(FIELDS)}")
    known = QUANTITIES[field]
    return f"{known.symbol} (layers)" if known.units == "layers" else known.symbol
