"""The two axes of a phase diagram: which leaves of a block, and over which values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from ..blocks.activations import activations_of, has_surrogate
from ..blocks.block import Activate, Block, Dense, Serial
from ..blocks.leaves import Path, leaf, leaf_paths, leaves_at, path_name, with_leaf
from ..errors import InputError
from ..gaussian.activation import Activation
from ..interface.quantities import symbol
from ..interface.ranges import values_of

Range = tuple[float, float, int] | ArrayLike
"""(lo, hi, n) with an integer n is n points, both ends included; anything else is taken as values."""

_DEFAULT = {"sigma_w": (0.5, 4.0), "sigma_b": (0.0, 1.0)}
_FINE = {"sigma_w": 300, "sigma_b": 250}
_COARSE = {"sigma_w": 72, "sigma_b": 50}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Axis:
    """One axis of a diagram: the path of its leaf, the values (n,), and the label in figures."""

    values: np.ndarray
    leaf: str = field(metadata={"static": True})
    label: str = field(metadata={"static": True})


def axis(path: Path, values: np.ndarray) -> Axis:
    """The axis of a leaf by path or getter.

    >>> axis("blocks.1.sigma_w", np.ones(3)).label
    'blocks.1.sigma_w'
    """
    name = path_name(path)
    return Axis(values, name, symbol(name))


class Wanted(NamedTuple):
    """A requested axis: the argument that named it, its leaf, and its range (None: the default)."""

    argument: str
    path: Path
    range: Range | None

    def values(self, fine: bool) -> np.ndarray:
        """The values along it; the default range has more points if points are cheap."""
        if self.range is not None:
            return values_of(self.argument, self.range)
        name = path_name(self.path)
        return np.linspace(*_DEFAULT[name], (_FINE if fine else _COARSE)[name])


def wanted_axes(
    block: Block, x: tuple[Path, Range] | None, y: tuple[Path, Range] | None, sigma_w: Any, sigma_b: Any
) -> tuple[Wanted, Wanted]:
    """The axes requested by the arguments of `phase_diagram`.

    x and y come first; sigma_w and sigma_b fill the free axes, x before y; a remaining free axis gets the unused sigma
    over its default range.
    """
    places: list[Wanted | None] = [_given(name, pair) for name, pair in (("x", x), ("y", y))]
    for own, name, values in ((0, "sigma_w", sigma_w), (1, "sigma_b", sigma_b)):
        if values is None:
            continue
        free = [i for i in (own, 1 - own) if places[i] is None]
        if not free:
            raise InputError(f"{name} is a third axis beside x and y; leave it out, or set it in the block")
        places[free[0]] = Wanted(name, name, values)
    for own, name in ((0, "sigma_w"), (1, "sigma_b")):
        places[own] = places[own] or _default(block, "xy"[own], name, places[1 - own])
    first, second = places
    assert first is not None and second is not None
    _check_apart(block, first.path, second.path)
    return first, second


def _check_apart(block: Block, first: Path, second: Path) -> None:
    """InputError if two axes set the same leaf, under whatever names: one would be lost."""
    both = sorted({*leaves_at(block, first)} & {*leaves_at(block, second)})
    if both:
        named = " and ".join(dict.fromkeys(map(repr, map(path_name, (first, second)))))
        raise InputError(f"x and y, {named}, both set {both[0]!r}; give two different leaves")


def _given(name: str, pair: Any) -> Wanted | None:
    if pair is None:
        return None
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
        raise InputError(f"{name}={pair!r} must be (leaf, values), as ('sigma_w', (0.5, 2.0, 40))")
    return Wanted(name, *pair)


def _default(block: Block, place: str, name: str, other: Wanted | None) -> Wanted:
    taken = "" if other is None else path_name(other.path).rpartition(".")[2]
    name = name if name != taken else ({"sigma_w", "sigma_b"} - {name}).pop()
    paths = leaf_paths(block)
    if not any(path.rpartition(".")[2] == name for path in paths):
        raise InputError(
            f"{place}=None stands for {name}, which the block does not have; give {place}=(leaf, values) with one of "
            f"{', '.join(paths) or 'no leaf: the block has none'}"
        )
    return Wanted(name, name, None)


def sigma_places(block: Block, wanted: Sequence[Wanted]) -> tuple[int, int] | None:
    """Which of two axes is sigma_w and which sigma_b of a fully connected block; None for any other diagram.

    The block must be exactly an Activate and a Dense, gradients of which see no surrogate; an axis may name its leaf by
    any path or getter.
    """
    if has_surrogate(block) or not (
        isinstance(block, Serial) and [type(part) for part in block.blocks] == [Activate, Dense]
    ):
        return None
    for w, b in ((0, 1), (1, 0)):
        if _names(block, wanted[w].path, "sigma_w") and _names(block, wanted[b].path, "sigma_b"):
            return w, b
    return None


def _names(block: Serial, path: Path, name: str) -> bool:
    """Whether a path matches exactly that sigma of a fully connected block."""
    mark = np.float64(1.0)
    activate, dense = block.blocks
    try:
        return leaf(Serial((activate, replace(dense, **{name: mark}))), path) is mark
    except InputError:
        return False


def check_kinks(block: Block, moved: Block, path: Path) -> None:
    """InputError if a leaf moves the kinks of an expression, which do not follow it under a trace."""
    for old, new in zip(activations_of(block), activations_of(moved), strict=True):
        if "(" in old.name and old.name == new.name and not _same_kinks(old, new):
            raise InputError(
                f"path={path_name(path)!r} moves the kinks of {old!r}; declare them as "
                "mf.Activation(fn, params, kinks=...)"
            )


def _same_kinks(old: Activation, new: Activation) -> bool:
    return np.array_equal(np.asarray(old.kinks, float), np.asarray(new.kinks, float))


def check_axis(block: Block, path: Path, values: np.ndarray) -> None:
    """InputError if the block has no such leaf, or rejects the values at the ends."""
    for value in (values.min(), values.max()):
        check_kinks(block, with_leaf(block, path, float(value)), path)
