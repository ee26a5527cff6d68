"""Results printed: as JSON for machines, or as a table to read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ..interface.jsonable import to_jsonable


def print_json(values: Any) -> None:
    """Print one JSON object, strictly valid: no NaN, no Infinity."""
    print(json.dumps(to_jsonable(values), indent=2, allow_nan=False))


def figures(value: Any) -> str:
    """A readable number: ten decimals if they suffice, else an exponent; other values as words.

    >>> figures(1.76095463960123), figures(1.5), figures(float("inf")), figures(3.2e-9), figures("found")
    ('1.7609546396', '1.5', 'inf', '3.2000000000e-09', 'found')
    """
    value = to_jsonable(value)
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = f"{value:.10f}"
        return text.rstrip("0").rstrip(".")
    return f"{value:.10e}"


def print_quantities(title: str, rows: Iterable[tuple[str, Any, str]]) -> None:
    """Print the title, then a line `name = value   meaning` each, aligned at the equals sign."""
    lines = [(name, figures(value), meaning) for name, value, meaning in rows]
    left, middle = (max((len(line[i]) for line in lines), default=0) for i in (0, 1))
    print(title)
    for name, value, meaning in lines:
        print(f"  {name:>{left}} = {value:<{middle}}   {meaning}".rstrip())


def print_columns(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under headers: the first column left-aligned, the others right-aligned."""
    table = [list(headers), *([figures(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(headers))]
    for row in table:
        rest = (f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        print("  ".join([f"{row[0]:<{widths[0]}}", *rest]).rstrip())
