"""Words that live in arrays: how a solve ended, and in which phase it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np


class Labels:
    """An integer code, or an array of them, that reads as words.

    A pytree with one leaf, so that it passes through jit and vmap. `str()` of a scalar is the bare word; comparing
    with a word, or with other labels, is elementwise.
    """

    words: ClassVar[tuple[str, ...]]
    code: Any

    def __str__(self) -> str:
        if isinstance(self.code, jax.core.Tracer):
            return f"{type(self).__name__}(traced)"
        names = np.asarray(self.words)[np.asarray(self.code)]
        return str(names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __eq__(self, other: Any) -> Any:
        if isinstance(other, str):
            other = self.code_of(other)
        elif isinstance(other, Labels):
            other = other.code
        else:
            return NotImplemented
        equal = self.code == other
        return bool(equal) if isinstance(equal, np.bool_) else equal

    def __ne__(self, other: Any) -> Any:
        equal = self.__eq__(other)
        if equal is NotImplemented:
            return equal
        return not equal if isinstance(equal, bool) else ~equal

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, index: Any) -> Labels:
        return type(self)(self.code[index])

    def __len__(self) -> int:
        return len(self.code)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the codes."""
        return np.shape(self.code)

    @classmethod
    def code_of(cls, word: str) -> int:
        """The integer that stands for a word; ValueError names the words there are."""
        if word not in cls.words:
            raise ValueError(f"{word!r} is not a {cls.__name__}; the words are {', '.join(cls.words)}")
        return cls.words.index(word)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Status(Labels):
    """How the variance iteration from q0 ended; fixed points are looked for up to q = 1e16, and `diverges` is past it.

    >>> str(Status(np.int8(0)))
    'converged'
    """

    code: Any
    words: ClassVar = ("converged", "zero", "scale_invariant", "diverges", "cycles", "not_converged")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Phase(Labels):
    """Ordered (chi_1 < 1), critical (= 1 within its error), chaotic (> 1), unbounded (q diverges) or undefined."""

    code: Any
    words: ClassVar = ("ordered", "critical", "chaotic", "unbounded", "undefined")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class CriticalStatus(Labels):
    """Whether a critical point exists: found, none, limit_q0 (at q* = 0) or scale_invariant (at every q)."""

    code: Any
    words: ClassVar = ("found", "none", "limit_q0", "scale_invariant")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class GrowthLaw(Labels):
    """How the variance grows with depth: not at all, as a power, exponentially, or faster."""

    code: Any
    words: ClassVar = ("bounded", "power", "exponential", "superexponential")
