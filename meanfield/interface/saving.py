"""Files written whole or not at all: aside, flushed to the disk, renamed; and by one run at a time."""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError, shown

try:
    import fcntl
except ImportError:  # not on Windows, where runs are not locked
    fcntl = None

_DAY = 86400.0
_SUFFIX = ".part"


def write_whole(name: str, path: str | os.PathLike[str], content: bytes | memoryview) -> Path:
    """Write a file so that its name holds the old content or all of the new one, whenever the process is killed.

    The content goes to a file beside it, is flushed to the disk (fsync), and renamed; then the folder is flushed, so
    that the new name survives a power cut where the disk keeps what it confirms. What killed writers of the same file
    left is removed. A full disk is an `InputError` that names the argument, and leaves the old file as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole("path", f"{folder}/a.nc", b"abc").read_bytes()
    b'abc'
    """
    # A link keeps pointing to the file, which is what changes.
    target = Path(os.path.realpath(path))
    aside = _beside(target)
    try:
        _remove_leftovers(target)
        _write_flushed(aside, content)
        with suppress(FileNotFoundError):
            os.chmod(aside, target.stat().st_mode & 0o7777)
        os.replace(aside, target)
        _flush_folder(target.parent)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{shown(name, str(path))} could not be written ({reason}); an older file of that name is unchanged"
        ) from None
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    return target


def _stem(target: Path) -> str:
    # 50 characters take at most 200 bytes; a file name may have 255.
    return f".{target.name[:50]}."


def _host() -> str:
    return "".join(c for c in platform.node()[:12] if c.isalnum()) or "host"


def _beside(target: Path) -> Path:
    """A new name in the folder of the target that says who writes there."""
    return target.with_name(f"{_stem(target)}{_host()}-{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}")


def _write_flushed(aside: Path, content: bytes | memoryview) -> None:
    # os.open applies the umask; a file of `tempfile` would be private.
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    # Not every system can open a folder, and not every file system can flush one.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_leftovers(target: Path) -> None:
    """Remove what killed writers of this file left: their process has ended, or nothing was written for a day."""
    stem = _stem(target)
    for found in os.scandir(target.parent):
        if found.name.startswith(stem) and found.name.endswith(_SUFFIX) and _is_abandoned(found, len(stem)):
            with suppress(OSError):
                os.unlink(found.path)


def _is_abandoned(found: os.DirEntry[str], start: int) -> bool:
    host, _, rest = found.name[start:].partition("-")
    process = rest.partition("-")[0]
    try:
        if host == _host() and process.isdigit():
            os.kill(int(process), 0)  # signal 0 only asks whether the process is there
        return time.time() - found.stat().st_mtime > _DAY
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False


@contextmanager
def sole_writer(name: str, path: Path) -> Iterator[None]:
    """Hold a file for one process: `InputError` if another one holds it. The lock ends with the process, even killed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, sole_writer("path", Path(folder, "run.nc")):
    ...     os.listdir(folder)
    ['.run.nc.lock']
    """
    target = Path(os.path.realpath(path))
    lock = target.with_name(f"{_stem(target)}lock")
    handle = None if fcntl is None else _locked(shown(name, str(path)), lock)
    try:
        yield
    finally:
        if handle is not None:
            # Removed while it is held, so that nobody else's lock can be meant.
            with suppress(OSError):
                lock.unlink(missing_ok=True)
            os.close(handle)


def _locked(typed: str, lock: Path) -> int | None:
    """A handle that holds the lock; None where the file system has no locks."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[union-attr]
        except BlockingIOError:
            os.close(handle)
            raise InputError(f"{typed} is being written by another run; wait for it, or name another file") from None
        except OSError:
            os.close(handle)
            return None
        with suppress(FileNotFoundError):
            if os.stat(lock).st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)  # its last holder has just removed it
