"""Output files: a bad path is found before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, shown

NETCDF = (".nc",)


def path_to_write(name: str, path: str | os.PathLike[str], suffixes: Sequence[str] = ()) -> Path:
    """The path, once a file of that name is known to be writable there.

    Raises `InputError` where the suffix is not one of `suffixes` (of any, if there are none), the folder does not
    exist (none is created) or cannot be written, or the path is a folder. An existing file is left as it is.

    >>> path_to_write("path", "tanh.nc", NETCDF).name
    'tanh.nc'
    """
    target, folder = Path(path), str(Path(path).parent)
    typed = shown(name, str(path))
    # os.path answers where Path would raise (a name too long, a null byte); _try then reports the problem.
    if os.path.isdir(target):
        raise InputError(f"{typed} is a folder; name a file in it, such as {target / 'out'}{(*suffixes, '')[0]}")
    if suffixes and target.suffix.lower() not in suffixes:
        raise InputError(f"{typed} has an unknown suffix; give a name that ends in {' or '.join(suffixes)}")
    if not os.path.exists(folder):
        raise InputError(f"{typed}: the folder {folder!r} does not exist; create it first")
    if not os.path.isdir(folder):
        raise InputError(f"{typed}: {folder!r} is not a folder; give a path in a folder")
    _try(typed, target)
    return target


def _try(typed: str, target: Path) -> None:
    # Permission bits miss read-only disks, overlong names and root; opening the file does not.
    try:
        if os.path.exists(target):
            target.open("ab").close()
        else:
            target.open("xb").close()
            target.unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{typed} cannot be written ({reason}); give a path you may write") from None
