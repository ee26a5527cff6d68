"""Diagrams as labelled data: fixed-point fields with named axes, and NetCDF files of them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .fixed_point import FixedPoint
from .status import Labels


def variables(diagram: Any, axes: tuple[str, str]) -> dict[str, Any]:
    """Every `FixedPoint` field of a diagram as an xarray.Variable over `axes`; statuses and phases as flags."""
    import xarray

    found = {}
    for f in fields(FixedPoint):
        value, attributes = getattr(diagram, f.name), {}
        if isinstance(value, Labels):
            flags = np.arange(len(value.words), dtype=np.int8)
            attributes = {"flag_values": flags, "flag_meanings": " ".join(value.words)}
            value = value.code
        found[f.name] = xarray.Variable((*axes, "fixed_point")[: np.ndim(value)], value, attributes)
    return found


def write(dataset: Any, path: str | Path) -> Path:
    """A dataset as a NetCDF file (.nc); InputError where its folder does not exist."""
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"path={str(path)!r}: the folder {str(path.parent)!r} does not exist; create it first")
    dataset.to_netcdf(path, engine="scipy")
    return path
