"""Diagrams as labelled data: fixed-point fields with named axes, and NetCDF files of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .labels import Labels


def variables(diagram: Any, names: Sequence[str], axes: tuple[str, str]) -> dict[str, Any]:
    """Fields of a diagram as an xarray.Variable over `axes`; statuses and phases as flags."""
    import xarray

    found = {}
    for name in names:
        value, attributes = getattr(diagram, name), {}
        if isinstance(value, Labels):
            flags = np.arange(len(value.words), dtype=np.int8)
            attributes = {"flag_values": flags, "flag_meanings": " ".join(value.words)}
            value = value.code
        found[name] = xarray.Variable((*axes, "fixed_point")[: np.ndim(value)], value, attributes)
    return found


def write(dataset: Any, path: str | Path) -> Path:
    """A dataset as a NetCDF file (.nc); InputError where its folder does not exist."""
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"path={str(path)!r}: the folder {str(path.parent)!r} does not exist; create it first")
    dataset.to_netcdf(path, engine="scipy")
    return path
