"""A progress bar on standard error for long work, with the time left; silent if that is not a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bar(total: float, description: str, progress: bool | None = None) -> Iterator[Callable[..., None]]:
    """A function advance(work, description=None) to be called as work gets done; the bar goes away at the end.

    progress True shows it, False does not, None where standard error is a terminal.

    >>> with bar(2, "counting", progress=False) as advance:
    ...     advance(1)
    """
    if not (sys.stderr.isatty() if progress is None else progress):
        yield lambda work, description=None: None
        return
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TaskProgressColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("left"),
        rich_progress.TimeRemainingColumn(),
    )
    # Estimate over minutes: work that compiles first stands still for a while.
    shown = rich_progress.Progress(
        *columns, console=Console(stderr=True), speed_estimate_period=300, transient=progress is None
    )
    with shown:
        task = shown.add_task(description, total=total)
        yield lambda work, description=None: shown.update(task, advance=work, description=description)
