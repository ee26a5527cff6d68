"""Blocks as HTML, for notebooks."""

from __future__ import annotations

import html
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ..gaussian.activation import Activation
from ..interface.result import show

if TYPE_CHECKING:
    from .block import Block


def block_html(block: Block) -> str:
    """A nested list: each block with its hyperparameters, and under it the blocks inside, in the order of the signal.

    >>> import meanfield as mf
    >>> block_html(mf.Dense(1.5, 0.1))
    '<b>Dense</b> sigma_w = 1.5, sigma_b = 0.1'
    """
    numbers, inner = [], []
    for part in fields(block):
        value = getattr(block, part.name)
        found = _blocks_in(value)
        if found:
            inner += found
        elif value is not None:
            numbers.append(f"{html.escape(part.name)} = {html.escape(_shown(value))}")
    head = f"<b>{html.escape(type(block).__name__)}</b> {', '.join(numbers)}".rstrip()
    items = "".join(f"<li>{block_html(part)}</li>" for part in inner)
    return f"{head}<ol>{items}</ol>" if items else head


def _blocks_in(value: Any) -> list[Any]:
    from .block import Block

    values = value if isinstance(value, (tuple, list)) else [value]
    return [one for one in values if isinstance(one, Block)]


def _shown(value: Any) -> str:
    if isinstance(value, Activation):
        return ", ".join([value.name, *(f"{name} = {show(number)}" for name, number in value.params.items())])
    return f"{value:.10g}" if isinstance(value, float) else show(value)
