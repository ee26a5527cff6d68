"""Fields as labelled data: named axes, long names, units and flags; and NetCDF files of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .labels import Labels
from .paths import path_to_write
from .quantities import QUANTITIES

if TYPE_CHECKING:
    import xarray


def variable(name: str, value: Any, axes: tuple[str, ...]) -> xarray.Variable:
    """A quantity's values over the first of `axes`, with its entry in `QUANTITIES`.

    Labels become flags, their meanings in the comment; booleans become bytes, as NetCDF has no boolean type.
    """
    import xarray

    attributes = describe(name)
    if isinstance(value, Labels):
        attributes |= _flags(value)
        value = value.code
    array = np.asarray(value)
    stored = array.astype(np.int8) if array.dtype == bool else array
    return xarray.Variable(axes[: array.ndim], stored, attributes)


def describe(name: str) -> dict[str, Any]:
    """The NetCDF attributes of a quantity; none for a leaf that is not in `QUANTITIES`."""
    known = QUANTITIES.get(name)
    return {} if known is None else {"long_name": known.long_name, "units": known.units}


def _flags(labels: Labels) -> dict[str, Any]:
    comment = "; ".join(f"{word}: {meaning}" for word, meaning in labels.meanings.items())
    values = np.arange(len(labels.words), dtype=np.int8)
    return {"flag_values": values, "flag_meanings": " ".join(labels.words), "comment": comment}


def write(dataset: xarray.Dataset, path: str | Path) -> Path:
    """Write a dataset to a NetCDF file (.nc); InputError if it cannot be written."""
    target = path_to_write("path", path)
    dataset.to_netcdf(target, engine="scipy")
    return target


def read(path: str | Path, needed: Mapping[str, object]) -> xarray.Dataset:
    """A NetCDF file read into memory; InputError if it is missing or lacks one of the `needed` variables."""
    import xarray

    try:
        dataset = xarray.load_dataset(path, engine="scipy")
    except (OSError, TypeError, ValueError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise InputError(
            f"path={str(path)!r} cannot be read as NetCDF ({reason}); give a file that was saved"
        ) from None
    missing = [name for name in needed if name not in dataset]
    if missing:
        raise InputError(f"path={str(path)!r} has no {', '.join(missing)}; give a file that this result saved")
    return dataset
