"""Base class of results: a readable repr, in a terminal and in a notebook."""

from __future__ import annotations

import html
from dataclasses import fields
from typing import Any

import jax
import numpy as np

from .labels import Labels
from .precision import is_traced


def show(value: Any) -> str:
    """A value in a few characters: a number to ten digits, an array as its shape and range."""
    if isinstance(value, Labels):
        return str(value) if value.shape == () else f"{type(value).__name__} {list(value.shape)}"
    if isinstance(value, (np.ndarray, np.generic, jax.Array)) and not is_traced(value):
        return _show_array(np.asarray(value))
    return str(value)


def _show_array(array: np.ndarray) -> str:
    if array.ndim == 0:
        return f"{array[()]:.10g}" if array.dtype.kind == "f" else str(array[()])
    if array.size <= 6:
        return "[" + ", ".join(f"{v:.6g}" for v in array.ravel()) + "]"
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    span = f" in [{finite.min():.4g}, {finite.max():.4g}]" if finite.size else " all NaN"
    return f"array {list(array.shape)}{span}"


class Result:
    """A frozen dataclass printed one field per line."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, shown value) of every field."""
        return [(f.name, show(getattr(self, f.name))) for f in fields(self)]  # type: ignore[arg-type]

    def __repr__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join([type(self).__name__, *(f"  {name:<{width}}  {value}" for name, value in rows)])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(value)}</td></tr>"
            for name, value in self.rows()
        )
        return f"<table><caption>{type(self).__name__}</caption>{cells}</table>"
