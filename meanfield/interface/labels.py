"""Labels stored as integer arrays: how a solve ended, and the phase of a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import jax
import numpy as np
from numpy.typing import DTypeLike

from .precision import is_traced

L = TypeVar("L", bound="Labels")


class Member:
    """One word of a `Labels` class, with its meaning; read from the class it is a scalar label."""

    def __init__(self, meaning: str) -> None:
        self.meaning = meaning

    def __set_name__(self, owner: type[Labels], name: str) -> None:
        self.word = name.lower()

    def __get__(self, instance: Any, owner: type[L]) -> L:
        return owner(np.int8(owner.words.index(self.word)))


class Labels:
    """An integer code, or an array of them, that reads as words.

    A pytree with one leaf, so that it passes through jit and vmap. `str()` of a scalar is the bare word; comparing
    with a word, or with other labels, is elementwise; `np.asarray` gives the words. Each word is a member of the
    class, `Status.CONVERGED`, whose `.code` is a NumPy integer for use inside traced code; `meanings` explains it.
    """

    words: ClassVar[tuple[str, ...]] = ()
    meanings: ClassVar[dict[str, str]] = {}
    code: Any

    def __init__(self, code: Any) -> None:  # subclasses are dataclasses, which generate their own
        raise NotImplementedError

    def __init_subclass__(cls) -> None:
        cls.meanings = {m.word: m.meaning for m in vars(cls).values() if isinstance(m, Member)}
        cls.words = tuple(cls.meanings)
        lines = (f"    {word:<16}: {meaning}" for word, meaning in cls.meanings.items())
        cls.__doc__ = "\n".join([f"{(cls.__doc__ or '').rstrip()}\n", *lines])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        # One `take`; otherwise NumPy would make an object of every label.
        return np.asarray(np.take(np.asarray(self.words), np.asarray(self.code)), dtype)

    def __str__(self) -> str:
        if is_traced(self.code):
            return f"{type(self).__name__}(traced)"
        return str(np.asarray(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __eq__(self, other: object) -> Any:
        if isinstance(other, str):
            code = self.code_of(other)
        elif isinstance(other, Labels):
            code = other.code
        else:
            return NotImplemented
        equal = self.code == code
        return bool(equal) if isinstance(equal, np.bool_) else equal

    def __ne__(self, other: object) -> Any:
        equal = self.__eq__(other)
        if equal is NotImplemented:
            return equal
        return not equal if isinstance(equal, bool) else ~equal

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self: L, index: Any) -> L:
        return type(self)(self.code[index])

    def __iter__(self: L) -> Iterator[L]:
        return (type(self)(code) for code in self.code)

    def __len__(self) -> int:
        return len(self.code)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the codes."""
        return np.shape(self.code)

    @property
    def size(self) -> int:
        """The number of labels."""
        return int(np.prod(self.shape))

    @classmethod
    def code_of(cls, word: str) -> int:
        """The integer code of a word; ValueError lists the valid words."""
        if word not in cls.words:
            raise ValueError(f"{word!r} is not a {cls.__name__}; the words are {', '.join(cls.words)}")
        return cls.words.index(word)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Status(Labels):
    """How the variance iteration from q0 ended; fixed points are searched up to q = 1e16, beyond which it `diverges`.

    >>> Status.CONVERGED, str(Status.ZERO)
    (Status(converged), 'zero')
    """

    code: Any
    CONVERGED = Member("q* is a number and is reached from q0")
    ZERO = Member("q* = 0 is reached; c* is 0/0 there, and chi_1, chi_q are limits as q -> 0")
    SCALE_INVARIANT = Member("every q is a fixed point, q0 included")
    DIVERGES = Member("q grows without bound from q0")
    CYCLES = Member("q stays bounded but does not converge")
    NOT_CONVERGED = Member("the iteration budget ran out")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Phase(Labels):
    """Whether two nearly equal inputs converge or separate, by chi_1 at the fixed point."""

    code: Any
    ORDERED = Member("chi_1 < 1: nearly equal inputs converge, gradients shrink")
    CRITICAL = Member("chi_1 = 1 within its own error: the edge of chaos")
    CHAOTIC = Member("chi_1 > 1: nearly equal inputs separate, gradients grow")
    UNBOUNDED = Member("no fixed point: q diverges")
    UNDEFINED = Member("the phase is unknown: q does not converge, or the error of chi_1 is too large")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class CriticalStatus(Labels):
    """Whether a critical point exists, and of what kind."""

    code: Any
    FOUND = Member("chi_1 = 1 at a fixed point q* > 0")
    NONE = Member("chi_1 = 1 nowhere")
    LIMIT_Q0 = Member("chi_1 = 1 in the limit q* = 0")
    SCALE_INVARIANT = Member("chi_1 = 1 and every q is a fixed point")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class GrowthLaw(Labels):
    """How the variance grows with depth."""

    code: Any
    BOUNDED = Member("no growth: a fixed point is reached")
    POWER = Member("as a power of the depth")
    EXPONENTIAL = Member("by a constant factor per block")
    SUPEREXPONENTIAL = Member("by a factor that itself grows")
    OTHER = Member("without bound, by none of these laws")
