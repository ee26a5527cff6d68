"""Files that a verb writes: checked before anything is computed, and signed with the command."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..interface.paths import NETCDF, path_to_write
from ..interface.saving import write_whole

FIGURES = (".png", ".pdf", ".svg")
DATA = NETCDF


def writable(option: str, path: str | None, suffixes: Sequence[str]) -> Path | None:
    """The path, once a file of that name is known to be writable there; None if no path was given.

    >>> writable("-o", None, FIGURES)
    """
    return None if path is None else path_to_write(option, path, suffixes)


def command_line(argv: Sequence[str]) -> str:
    """The command, as it could be typed again.

    >>> command_line(["critical", "max(x, 0)", "--sigma-b", "0"])
    "meanfield critical 'max(x, 0)' --sigma-b 0"
    """
    return shlex.join(["meanfield", *argv])


def save_figure(axes: Any, path: Path, argv: Sequence[str]) -> None:
    """Write the figure that `axes` (an Axes, a figure, or several Axes) is in, the command in its metadata."""
    from matplotlib.cbook import flatten

    first: Any = next(flatten([axes]))
    figure = getattr(first, "figure", first)
    # Each format has its own field for free text.
    field = {".png": "Description", ".pdf": "Subject", ".svg": "Description"}[path.suffix.lower()]
    stream = io.BytesIO()
    figure.savefig(stream, format=path.suffix[1:].lower(), dpi=150, metadata={field: command_line(argv)})
    write_whole("-o", path, stream.getvalue())


def headless() -> None:
    """Draw without a window system; called by the verbs that draw, before pyplot is loaded."""
    import matplotlib

    matplotlib.use("Agg")
