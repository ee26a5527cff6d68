"""The moments of a pair, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.activations import hosted_block, with_activations, without_idle_noise
from ..blocks.block import Block, check_block, gaussian_input, has_trait
from ..blocks.kernel import Kernel, geometric_mean
from ..errors import InputError
from ..interface.arguments import MOST_LAYERS, correlation, variances, whole
from ..interface.evaluation import evaluated
from ..interface.netcdf import Stored, describe, read, variable, write
from ..interface.precision import cast, host_float64, in_float64, is_traced
from ..interface.result import Result
from ..interface.settings import in_own_settings
from ..solvers.coupled_state import leaves_gaussian
from ..tables.tabulated_block import tables_for
from ..tables.visits import visited, widened
from .close_lengths import Apart, next_pair

if TYPE_CHECKING:
    import xarray

_STORED = {
    "q1": Stored(None, 0.0),
    "q2": Stored(None, 0.0),
    "c": Stored(None, -1.0, 1.0),
    "one_minus_c": Stored(None, 0.0, 2.0),
    "chi": Stored(None, 0.0),
    "chi_c": None,
    "chi_relative": None,
}
_STRETCH, _EXACT, _LONG, _FEW = 32, 128, 2048, 16


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Trajectory(Result):
    """The result of `trajectory`; every field has shape (depth + 1, *S), index 0 is the input.

    q1, q2 : variances of the two inputs; c, one_minus_c : their correlation, the latter with all its digits
    chi    : perpendicular susceptibility at q1: a squared gradient's factor over layers l..L is the product
    chi_c  : d gap'/d gap at the pair's own gap
    chi_relative : chi q1 / q1 one block later: the factor of a relative difference, even where q1 over- or underflows
    c_within : correlation of two members of an input (tokens, a batch), where the block couples them; else None
    """

    q1: Any
    q2: Any
    c: Any
    one_minus_c: Any
    chi: Any
    chi_c: Any
    chi_relative: Any
    c_within: Any = None

    def plot(self, ax: Any = None) -> Any:
        """Draw q, 1 - c and chi over the layers; see `meanfield.plots.trajectory`."""
        from ..plots import trajectory as draw

        return draw(self, ax=ax)

    def to_xarray(self) -> xarray.Dataset:
        """An xarray.Dataset over "layer", and "pair" (or "pair_1", "pair_2", ...) where there are many pairs."""
        import xarray

        many = np.ndim(self.q1) - 1
        dims = ("layer", *(["pair"] if many == 1 else [f"pair_{i + 1}" for i in range(many)]))
        known = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        data = {name: variable(name, value, dims) for name, value in known.items()}
        data["chi_c"].attrs["long_name"] = "slope of the correlation map at the pair's own correlation"
        layers = xarray.Variable(("layer",), np.arange(len(self.q1)), describe("layer"))
        return xarray.Dataset(data, {"layer": layers}, {"title": "mean-field trajectory of a pair of inputs"})

    def save(self, path: str | Path) -> Path:
        """Write everything to a NetCDF file (.nc), which `load` reads; InputError if it cannot be written."""
        return write(self.to_xarray(), path)

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """The trajectory in a file that `save` wrote; InputError if there is none, or it is damaged.

        >>> import tempfile
        >>> import meanfield as mf
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = mf.trajectory(mf.Dense(1.0), depth=2).save(f"{folder}/path.nc")
        ...     mf.Trajectory.load(path).c.tolist()
        [0.5, 0.5, 0.5]
        """
        data = read(path, _STORED)
        dims = data["q1"].dims
        wrong = [name for name in data.data_vars if data[name].dims != dims]
        if dims[:1] != ("layer",) or wrong:
            raise InputError(f"path={str(path)!r} is damaged: {wrong or dims} does not fit; move it aside")
        return cls(**{f.name: data[f.name].values for f in fields(cls) if f.name in data})


@in_own_settings
def trajectory(block: Block, depth: int, q0: Any = (1.0, 1.0), c0: Any = 0.5, c_within: Any = 0.0) -> Trajectory:
    """Variances, correlation and susceptibilities of a pair after 0, 1, ..., depth blocks.

    q0 holds the two input variances and c0 their correlation: scalars, or arrays of one shape S for many pairs at once.
    If the block couples a batch or tokens, c_within >= 0 is the initial correlation of two members of an input, c0 that
    of the same member of two inputs, and c0 c_within that of different members; the two q0 must then be equal. The
    inputs are Gaussian, also where the block leaves a mixture (dropout at its end). The
    recursion carries the gap, so that 1 - c keeps its digits however deep (Poole et al. 2016; Schoenholz et al. 2017):
    to 1e-13 relative, and to 1e-9 beyond 128 layers of an activation without closed forms, which are read from its
    table. Raises InputError for a depth that is not a positive integer, a negative variance, a correlation
    outside [-1, 1].

    >>> import meanfield as mf
    >>> path = mf.trajectory(mf.MLP("relu", sigma_w=2**0.5), depth=2, q0=(1.0, 1.0), c0=0.0)
    >>> path.c.round(6).tolist()
    [0.0, 0.31831, 0.493731]
    """
    check_block(block)
    block = without_idle_noise(block)
    depth = whole("depth", depth, below=MOST_LAYERS)
    try:
        q1, q2 = q0
    except (TypeError, ValueError):
        raise InputError(f"q0={q0!r} must hold two variances, one per input") from None
    variances("q0", q1)
    variances("q0", q2)
    correlation("c0", c0)
    correlation("c_within", c_within, least=0.0)
    every = (q1, q2, c0, c_within)
    every = jnp.broadcast_arrays(*every) if is_traced(every) else np.broadcast_arrays(*every)
    shape = every[0].shape
    pairs = tuple(a.reshape(-1) for a in every)
    equal = not is_traced(pairs) and bool(np.array_equal(pairs[0], pairs[1]) and np.all(pairs[2] >= 0))
    if has_trait(block, "couples_members"):
        if not is_traced(pairs) and not equal:
            raise InputError(
                f"q0={q0!r}, c0={c0!r}: a block that couples members needs two equal variances and c0 >= 0"
            )
        equal = True
    if is_traced((block, pairs)):
        path = _layers(block, _start(block, pairs, equal), length=depth + 1)[1]
    else:
        path = _long(block, _start(block, tuple(np.asarray(a, np.float64) for a in pairs), equal), int(depth) + 1)
    return jax.tree.map(lambda a: a.reshape((depth + 1, *shape)), path)


def _start(block: Block, pairs: tuple[Any, ...], equal: bool) -> tuple[Kernel, Apart, Any]:
    q1, q2, c0, c_within = pairs
    # 1 - c is exact for floats near 1, so the gap loses no digits.
    members: dict[str, Any] = {}
    if has_trait(block, "couples_members"):
        members = {"gap_within": q1 * (1 - c_within), "gap_across": q1 * (1 - c0 * c_within)}
    none = 0 * q1
    # Outside the scope of float64 NumPy keeps it.
    length = geometric_mean(q1, q2) if is_traced(pairs) else np.where(q1 == q2, q1, q1**0.5 * q2**0.5)
    gap = length * (1 - c0)
    members |= {"gap_error": none, "gaussian": leaves_gaussian(block)}
    kernel = Kernel(q1, q2, gap, none, none, none, equal=equal, **members)
    return gaussian_input(block, kernel), Apart(q1 - q2, none), none


@in_float64
def _long(block: Block, state: tuple, length: int) -> Trajectory:
    """Stretches of one length, so that every depth runs the same program; a converged state repeats itself."""
    pieces: list[Trajectory] = []
    answered = cast(hosted_block(block), np.float64)
    known, first, attempt = None, 0, _EXACT
    while first < length:
        before, found = state, None
        if first >= attempt:
            known, found = _by_table(known, block, state)
            # Tables that do not apply now may apply later; trying every time would cost more than it saves.
            attempt = first if found is not None else 2 * first
        if found is None:
            few = first < _EXACT and state[-1].size <= _FEW
            found = _one_layer(answered, state) if few else _layers(block, state, length=_STRETCH)
        state, piece = found
        pieces.append(jax.tree.map(lambda a, n=length - first: a[:n], piece))
        first += len(piece.c)
        at_rest = zip(*map(jax.tree.leaves, (before, state)), strict=True)
        if all(np.array_equal(a, b, equal_nan=True) for a, b in at_rest):
            rest = max(length - first, 0)
            pieces.append(jax.tree.map(lambda a, n=rest: np.repeat(a[-1:], n, 0), piece))
            break
    return jax.tree.map(lambda *parts: np.concatenate(parts), *pieces)


def _by_table(known: Block | None, block: Block, state: tuple) -> tuple[Block | None, tuple | None]:
    """_LONG layers from the tables of the block's activations, where these apply; and the tabulated block.

    `known` has the latest tables; they are rebuilt when variances leave their range.
    """
    kernel, difference, power = state
    apart = np.abs(kernel.q1 - kernel.q2) > 1e-13 * kernel.q1
    # What little is left of the lengths' difference may be more than is left of the gap.
    feeds = np.abs(difference.q) > 3e-7 * np.sqrt(kernel.gap) * np.sqrt(kernel.q1)
    if np.any(apart | feeds | (difference.m != 0) | (kernel.gap > kernel.q1) | (power != 0) | ~np.isfinite(kernel.q1)):
        return known, None
    start = kernel.replace(q2=kernel.q1, equal=True), Apart(0 * power, 0 * power), power
    for anew in (False, True):
        known = _tabulated(block, kernel) if anew else known
        if known is not None:
            state, path = _layers(known, start, length=_LONG)
            if np.all(np.isfinite(path.c)):
                return known, (state, path)
    return None, None


def _tabulated(block: Block, kernel: Kernel) -> Block | None:
    alone = kernel.replace(gap=None)
    tables = tables_for(block, lambda samples: _alone_along(samples, block, alone, length=_LONG))
    return None if tables is None else with_activations(block, tables)


@host_float64(static=("length",))
def _alone_along(samples: list, block: Block, kernel: Kernel, *, length: int) -> Array:
    """The variances at which single inputs (P,) evaluate each activation over `length` layers: (P, activations, 2)."""
    block = with_activations(block, samples)

    def one(kernel: Kernel) -> Array:
        def layer(carry: tuple[Kernel, Array], _: None) -> tuple[tuple[Kernel, Array], None]:
            after, here = visited(block, lambda watched: watched(carry[0]).as_arrays())
            return (after, widened(carry[1], here)), None

        first = visited(block, lambda watched: watched(kernel).as_arrays())
        return lax.scan(layer, first, length=length)[0][1]

    return lax.map(one, jax.tree.map(jnp.asarray, kernel.replace(equal=True)))


def _all_pairs(block: Block, state: tuple, *, length: int) -> tuple[tuple, Trajectory]:
    """`length` layers of pairs (P,): the state after them, and the path (length, P)."""
    end, path = lax.map(
        lambda row: lax.scan(partial(_layer, block), row, length=length), jax.tree.map(jnp.asarray, state)
    )
    return end, jax.tree.map(lambda a: jnp.moveaxis(a, 0, -1), path)


def _next_layer(block: Block, state: tuple) -> tuple[tuple, Trajectory]:
    """The same of one layer, a path of length 1."""
    end, path = lax.map(partial(_layer, block), jax.tree.map(jnp.asarray, state))
    return end, jax.tree.map(lambda a: a[None], path)


_layers, _one_layer = host_float64(_all_pairs, static=("length",)), evaluated(_next_layer)


def _layer(block: Block, row: tuple, _: None = None) -> tuple[tuple, Trajectory]:
    """From a kernel and the power of 2 to which its variances are scaled to those of the next layer."""
    state, apart, power = row

    def gap_after(gap: Array) -> tuple[Array, tuple[Kernel, Apart]]:
        after = next_pair(block, state.replace(gap=gap), apart)
        return after[0].gap, after

    _, chi_c, (after, further) = jax.jvp(gap_after, (state.gap,), (jnp.ones_like(state.gap),), has_aux=True)
    e = state.one_minus_c
    c_within = None if state.gap_within is None else 1 - state.gap_within / state.q1
    q1, q2 = (q * jnp.exp2(power) for q in (state.q1, state.q2))
    chi = _chi(block, state)
    here = Trajectory(q1, q2, 1 - e, e, chi, chi_c, chi * state.q1 / after.q1, c_within)
    return _in_range(after, further, power), here


def _in_range(state: Kernel, apart: Apart, power: Array) -> tuple[Kernel, Apart, Array]:
    """A kernel about to overflow or underflow, rescaled by a power of 2.

    That far from 1 every block is homogeneous to rounding, so c can be followed where the variance over- or underflows.
    """
    exponents = jnp.finfo(state.q1.dtype).maxexp
    top, step = 2.0 ** (exponents * 25 // 32), exponents * 15 // 64
    largest = jnp.maximum(state.q1, state.q2)
    by = jnp.where(largest > top, -step, jnp.where((largest < 1 / top) & (largest > 0), step, 0))
    factor = jnp.exp2(by.astype(power.dtype))
    return state.scaled(factor).as_arrays(), apart.scaled(factor), power - 2 * by


def _chi(block: Block, state: Kernel) -> Array:
    """chi of the first input at its present variance."""
    one = jnp.ones_like(state.q1)
    members = {} if state.gap_within is None else {"gap_within": state.gap_within, "gap_across": 0 * one}
    at = Kernel(state.q1, state.q1, one, 0 * one, state.m1, state.m1, **members, factors=state.factors)
    return block(at.replace(equal=True, infinitesimal=True, of_gradient=True, gaussian=state.gaussian)).gap
