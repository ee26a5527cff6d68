"""Paths as users type them: a bad one is found before anything is computed, or opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, shown

NETCDF = (".nc",)


def path_to_write(name: str, path: str | os.PathLike[str], suffixes: Sequence[str] = ()) -> Path:
    """The path, once a file of that name is known to be writable there.

    Raises `InputError` where the suffix is not one of `suffixes` (of any, if there are none), the folder does not
    exist (none is created) or cannot be written, or the path is a folder or a device. An existing file is left as it
    is.

    >>> path_to_write("path", "tanh.nc", NETCDF).name
    'tanh.nc'
    """
    target = a_path(name, path)
    folder, typed = str(target.parent), shown(name, str(target))
    # os.path answers where Path would raise; `_kind` then reports a name that no file can have.
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


def a_path(name: str, path: str | os.PathLike[str]) -> Path:
    """A path from a string or an `os.PathLike`.

    >>> a_path("path", "a/b.nc").name
    'b.nc'
    """
    found = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    if not isinstance(found, str):
        raise InputError(f"{shown(name, path)} must be the path of a file, as a string")
    if "\0" in found or not _has_bytes(found):
        raise InputError(f"{shown(name, path)} has characters that no file's name can have")
    return Path(found)


def _has_bytes(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def read_file(name: str, path: str | os.PathLike[str]) -> bytes:
    """The content of a file; InputError where there is none, or it is a folder or a device.

    >>> read_file("path", __file__)[:3]
    b'\"\"\"'
    """
    target = a_path(name, path)
    typed = shown(name, str(target))
    try:
        if not stat.S_ISREG(os.stat(target).st_mode):
            raise InputError(f"{typed} cannot be read: it is no file; give a file that was saved")
        return target.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{typed} cannot be read ({reason}); give a file that was saved") from None


def _try(typed: str, target: Path) -> None:
    # Permission bits miss read-only disks, overlong names and root; opening a file does not.
    try:
        if _is_there(target):
            if not stat.S_ISREG(os.stat(target).st_mode):  # opening a pipe would wait for its reader
                raise InputError(f"{typed} is a device or a pipe; give the name of a file")
            target.open("ab").close()
        # The target itself is not made: a process killed here would leave an empty file that looks like a run.
        probe = target.with_name(f".{os.getpid()}.part")
        probe.open("wb").close()
        probe.unlink()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{typed} cannot be written ({reason}); give a path you may write") from None


def _is_there(target: Path) -> bool:
    try:
        os.stat(target)
    except FileNotFoundError:
        return False
    return True
