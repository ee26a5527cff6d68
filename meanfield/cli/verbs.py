"""The verbs: every module of this folder with `configure` and `run`, named after its file."""

from __future__ import annotations

import argparse
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast


class Verb(Protocol):
    """What a module must have to be a verb; the first line of its docstring is its help."""

    __doc__: str | None

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add its options."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the verb, and return the exit code."""
        ...


def verbs() -> dict[str, Verb]:
    """Verb: its module, in alphabetical order; `phase_diagram.py` is `phase-diagram`.

    >>> list(verbs())[:3]
    ['activations', 'check', 'compare-init']
    """
    names = (found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)]) if found.name[0] != "_")
    modules = {name.replace("_", "-"): import_module(f"{__package__}.{name}") for name in names}
    return {name: cast(Verb, module) for name, module in modules.items() if hasattr(module, "configure")}


def summary(verb: Verb) -> str:
    """The help text, one line without a full stop: the docstring's first line after "verb: "."""
    line = (verb.__doc__ or "").splitlines()[0].rstrip(".")
    return line.split(": ", 1)[-1]
