"""Fields as labelled data: named axes, long names, units and flags; and NetCDF files of them."""

from __future__ import annotations

import hashlib
import io
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError, shown
from .labels import Labels
from .paths import path_to_write, read_file
from .quantities import QUANTITIES
from .saving import write_whole

if TYPE_CHECKING:
    import xarray

_SEAL = "checksum"
_UNSEALED = "sha256:" + 64 * "0"
_SEALED = re.compile(rb"sha256:[0-9a-f]{64}")


class Stored(NamedTuple):
    """What a variable of a file must be: its dimensions (None: any) and the interval of its values; NaN is allowed."""

    dims: tuple[str, ...] | None = None
    low: float = -np.inf
    high: float = np.inf


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
    """The NetCDF attributes of a quantity, or of a leaf by its path; leaves are pure numbers."""
    known = QUANTITIES.get(name) or QUANTITIES.get(name.rpartition(".")[2])
    return {"long_name": name, "units": "1"} if known is None else {"long_name": known.long_name, "units": known.units}


def _flags(labels: Labels) -> dict[str, Any]:
    comment = "; ".join(f"{word}: {meaning}" for word, meaning in labels.meanings.items())
    values = np.arange(len(labels.words), dtype=np.int8)
    return {"flag_values": values, "flag_meanings": " ".join(labels.words), "comment": comment}


def write(dataset: xarray.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a dataset to a NetCDF file (.nc), whole or not at all; InputError if it cannot be written.

    Its attribute `checksum` is the SHA-256 of the file, taken with zeros in its place.
    """
    target = path_to_write("path", path)
    content = bytes(dataset.assign_attrs({_SEAL: _UNSEALED}).to_netcdf(engine="scipy"))
    return write_whole("path", target, content.replace(_UNSEALED.encode(), _seal_of(content)))


def _seal_of(unsealed: bytes) -> bytes:
    return b"sha256:" + hashlib.sha256(unsealed).hexdigest().encode()


def read(path: str | os.PathLike[str], needed: Mapping[str, Stored | None]) -> xarray.Dataset:
    """A NetCDF file read into memory, with the `needed` variables verified; InputError says in one line what is wrong.

    The checksum is verified. Files of the first version have none; these are read with a warning.
    """
    import xarray

    content = read_file("path", path)
    typed = shown("path", str(path))
    sealed = _verify_checksum(typed, content)
    try:
        dataset = xarray.load_dataset(io.BytesIO(content), engine="scipy")
    except Exception as error:  # a damaged header can fail anywhere in the parser
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:80]
        raise InputError(f"{typed} cannot be read as NetCDF ({reason}); give a file that was saved") from None
    missing = [name for name in needed if name not in dataset]
    if missing:
        raise InputError(f"{typed} has no {', '.join(missing)}; give a file that this result saved")
    for name, stored in needed.items():
        wrong = _what_is_wrong(dataset[name], stored or Stored())
        if wrong:
            raise InputError(f"{typed} is damaged: {name} {wrong}; move it aside, or repair it")
    if not sealed:
        warnings.warn(f"{typed} has no checksum, as files of the first version: shapes and ranges are verified, "
                      "values are not", UserWarning, stacklevel=3)  # fmt: skip
    return dataset


def _verify_checksum(typed: str, content: bytes) -> bool:
    """Whether the file has a checksum; InputError where it has another one than it should."""
    found = _SEALED.findall(content)
    if not found:
        return False
    if len(found) > 1 or _seal_of(content.replace(found[0], _UNSEALED.encode())) != found[0]:
        raise InputError(
            f"{typed} is damaged or was edited (its checksum is another); move it aside, or, to use it as it is, "
            f"remove the attribute {_SEAL!r}"
        )
    return True


def _what_is_wrong(found: xarray.DataArray, stored: Stored) -> str | None:
    if found.dtype.kind not in "iufb":
        return f"holds {found.dtype}, not numbers"
    if stored.dims is not None and found.dims != stored.dims:
        return f"is over {', '.join(map(str, found.dims)) or 'nothing'}, not {', '.join(stored.dims)}"
    values = found.values
    if found.size and not np.all(np.isnan(values) | ((values >= stored.low) & (values <= stored.high))):
        return f"holds values outside [{stored.low:g}, {stored.high:g}]"
    return None
