"""Files that a verb writes: found unwritable before anything is computed, and signed with the command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError

FIGURES = (".png", ".pdf", ".svg")
DATA = (".nc",)


def writable(option: str, path: str | None, suffixes: Sequence[str]) -> Path | None:
    """The path, once it is known that a file of that name can be written there; None where no path was given.

    Raises `InputError` where the suffix is not one of `suffixes`, the folder does not exist (none is created) or
    cannot be written, or the path is a folder. An existing file is left as it is.

    >>> writable("-o", None, FIGURES)
    """
    if path is None:
        return None
    target, folder = Path(path), str(Path(path).parent)
    # os.path answers where Path would raise (a name too long, a null byte); _try then says what is wrong.
    if os.path.isdir(target):
        raise InputError(f"{option} {path!r} is a folder; name a file in it, such as {target / 'out'}{suffixes[0]}")
    if target.suffix.lower() not in suffixes:
        raise InputError(f"{option} {path!r} has an unknown suffix; give a name that ends in {' or '.join(suffixes)}")
    if not os.path.exists(folder):
        raise InputError(f"{option} {path!r}: the folder {folder!r} does not exist; create it first")
    if not os.path.isdir(folder):
        raise InputError(f"{option} {path!r}: {folder!r} is not a folder; give a path in a folder")
    _try(option, target)
    return target


def _try(option: str, target: Path) -> None:
    # Permission bits do not tell about read-only disks, full names or root; opening the file does.
    try:
        if os.path.exists(target):
            target.open("ab").close()
        else:
            target.open("xb").close()
            target.unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{option} {str(target)!r} cannot be written ({reason}); give a path you may write") from None


def command_line(argv: Sequence[str]) -> str:
    """The command as one could type it again.

    >>> command_line(["critical", "max(x, 0)", "--sigma-b", "0"])
    "meanfield critical 'max(x, 0)' --sigma-b 0"
    """
    return shlex.join(["meanfield", *argv])


def save_figure(axes: Any, path: Path, argv: Sequence[str]) -> None:
    """Write the figure that `axes` (an Axes, a figure, or several Axes) is in, the command in its metadata."""
    figure = axes
    while isinstance(figure, (tuple, list)) or hasattr(figure, "ravel"):
        figure = figure.ravel()[0] if hasattr(figure, "ravel") else figure[0]
    figure = getattr(figure, "figure", figure)
    # Each format has a field of its own for a free text.
    field = {".png": "Description", ".pdf": "Subject", ".svg": "Description"}[path.suffix.lower()]
    try:
        figure.savefig(path, dpi=150, metadata={field: command_line(argv)})
    except OSError as error:
        raise InputError(f"-o {str(path)!r} could not be written ({error.strerror or error})") from None


def headless() -> None:
    """Draw without a window system; called by the verbs that draw, before pyplot is loaded."""
    import matplotlib

    matplotlib.use("Agg")
