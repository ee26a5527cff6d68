"""The axes of a sweep: depth, seed, and leaves of a block, parsed from a user's arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from ..blocks.block import Block, sub_blocks
from ..blocks.leaves import with_leaf
from ..errors import InputError, shown
from ..interface.arguments import instance_of, whole
from ..interface.ranges import MOST_POINTS, distinct, values_of, whole_values
from ..networks.finite import positions

__all__ = ["Axes", "check_leaves", "check_trainable", "leaf_values", "read_axes"]

LeafAxes = tuple[tuple[str, tuple[float, ...]], ...]


class Axes(NamedTuple):
    """Axes by kind; None if not given. Leaves other than sigma_w, in the order given."""

    depths: tuple[int, ...] | None
    sigma_w: Any
    seeds: int | None
    leaves: LeafAxes


def read_axes(given: Any) -> Axes:
    """The `Axes` of a mapping {"depth": ..., "seed": ..., leaf: ...}; leaves are values or ranges (lo, hi, n).

    >>> read_axes({"depth": (8, 4), "rate": (0.0, 0.5, 3)})
    Axes(depths=(4, 8), sigma_w=None, seeds=None, leaves=(('rate', (0.0, 0.25, 0.5)),))
    """
    try:
        found = dict(instance_of("axes", given, (Mapping,)) if not isinstance(given, (tuple, list)) else given)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{shown('axes', given)} must map depth, seed or a leaf to its values") from None
    wrong = next((name for name in found if not isinstance(name, str)), None)
    if wrong is not None:
        raise InputError(f"{shown('axes', wrong)} must name depth, seed or a leaf")
    depths, seeds, sigma_w = (found.pop(name, None) for name in ("depth", "seed", "sigma_w"))
    return Axes(
        depths=None if depths is None else whole_values("depth", depths),
        sigma_w=sigma_w,
        seeds=None if seeds is None else _seed_count(seeds),
        leaves=tuple((name, leaf_values(name, values)) for name, values in found.items()),
    )


def _seed_count(given: Any) -> int:
    """The number of seeds: an integer, or 0, 1, ..., n - 1 written out."""
    if not isinstance(given, Iterable) or isinstance(given, str):
        return whole("seed", given)
    seeds = list(islice(given, MOST_POINTS))
    if seeds != list(range(len(seeds))) or not seeds:
        raise InputError(f"{shown('seed', given)} must be the number of networks per cell; give an integer")
    return len(seeds)


def leaf_values(name: str, given: Any) -> tuple[float, ...]:
    """Values of a leaf, ascending and distinct, from values or from a range.

    >>> leaf_values("scale", [0.5, 0.1])
    (0.1, 0.5)
    """
    return distinct(given, values_of(name, given))


def check_leaves(block: Block, axes: Mapping[str, tuple[float, ...]]) -> None:
    """InputError unless the block has every leaf and accepts every value."""
    for name, values in axes.items():
        for value in values:
            with_leaf(block, name, value)


def check_trainable(block: Block) -> None:
    """InputError for blocks that a sweep cannot train: inputs are flat, and examples must be independent."""
    if positions(block):
        raise InputError(f"block={block!r} needs positions, and a sweep's inputs are flat; remove Conv and Attention")
    coupled = next((part for part in sub_blocks(block) if part.couples_members), None)
    if coupled is not None:
        raise InputError(f"block: {coupled!r} couples the examples of a batch; a sweep trains blocks without it")
