"""Leaves of a block by path: listing, reading and setting them, and blocks as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import jax
import numpy as np

from ..errors import InputError, shown
from ..gaussian.activation import Activation
from ..gaussian.named import NAMED, source_of
from ..gaussian.named import activation as make_activation
from ..interface.arguments import nearest, one_of, real_array
from ..interface.callables import first_line
from ..interface.precision import is_traced
from .block import Block, block_classes, check_block

Path = str | Callable[[Block], Any]

_MOST_TEXT, _MOST_DEPTH = 10**6, 64


def leaf_paths(block: Block) -> list[str]:
    """The path of every leaf of a block, in the order of its pytree.

    >>> import meanfield as mf
    >>> leaf_paths(mf.MLP("leaky_relu", sigma_w=1.5))
    ['blocks.0.phi.params.slope', 'blocks.0.phi.kinks.0', 'blocks.1.sigma_w', 'blocks.1.sigma_b']
    """
    if not isinstance(block, Block):
        raise InputError(f"{shown('block', block)} is not a block; make one with mf.MLP(phi, sigma_w=, sigma_b=)")
    flat = jax.tree_util.tree_flatten_with_path(block)[0]
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in flat]


def leaf(block: Block, path: Path) -> Any:
    """The value of a leaf, by path ("blocks.1.sigma_w", or just its end, "sigma_w") or by a getter.

    InputError if no leaf matches, or if several that differ match.

    >>> import meanfield as mf
    >>> leaf(mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3), "sigma_b")
    0.3
    """
    values = [jax.tree.leaves(block)[i] for i in _chosen(block, path)]
    if len(values) > 1 and not (is_traced(values) or all(np.array_equal(v, values[0]) for v in values)):
        raise InputError(
            f"path={path!r} names {len(values)} leaves that differ; give one of {', '.join(leaf_paths(block))}"
        )
    return values[0]


def with_leaf(block: Block, path: Path, value: Any) -> Block:
    """The block with a leaf set to a value: every leaf whose path is or ends with `path`, or those a getter returns.

    "sigma_w" sets it in every Dense and Conv, "blocks.1.sigma_w" in one. The kinks of a named activation follow its
    parameters, and so do those of an expression if the value is not traced. InputError if there is no such leaf or a
    block rejects the value.

    >>> import meanfield as mf
    >>> with_leaf(mf.MLP("leaky_relu", sigma_w=1.5), "slope", 0.2).blocks[0].phi
    Activation('leaky_relu', slope=0.2)
    """
    check_block(block, arrays=True)
    leaves, tree = jax.tree.flatten(block)
    for i in _chosen(block, path):
        leaves[i] = value
    changed = jax.tree.unflatten(tree, leaves)
    changed = jax.tree.map(_with_own_kinks, block, changed, is_leaf=lambda part: isinstance(part, Activation))
    check_block(changed, arrays=True)
    return changed


def leaves_at(block: Block, path: Path) -> list[str]:
    """The full paths of the leaves that a path or getter matches; InputError if there is none.

    >>> import meanfield as mf
    >>> leaves_at(mf.MLP("tanh", sigma_w=1.5), "sigma_w")
    ['blocks.1.sigma_w']
    """
    known = leaf_paths(block)
    return [known[i] for i in _chosen(block, path)]


def path_name(path: Path) -> str:
    """The label of a path in figures and messages."""
    return path if isinstance(path, str) else getattr(path, "__name__", "leaf").strip("<>")


def _chosen(block: Block, path: Path) -> list[int]:
    """The indices of the leaves that a path matches."""
    known = leaf_paths(block)
    if callable(path):
        tree = jax.tree.structure(block)
        slots = [_Slot() for _ in known]
        places = [slots.index(part) for part in _gotten(path, jax.tree.unflatten(tree, slots))]
    elif isinstance(path, str):
        places = [i for i, name in enumerate(known) if name == path or name.endswith(f".{path}")]
    else:
        raise InputError(f"path={path!r} must be a path like 'blocks.1.sigma_w', or a function of the block")
    if not places:
        near = nearest(path, [*known, *(name.rpartition(".")[2] for name in known)])
        raise InputError(
            f"path={path_name(path)!r} names no leaf of the block; {near}its leaves are {', '.join(known)}"
        )
    return places


def _gotten(path: Callable[[Block], Any], block: Block) -> list[_Slot]:
    try:
        found = jax.tree.leaves(path(block), is_leaf=lambda part: isinstance(part, _Slot))
    except Exception as error:  # whatever a user's function raises becomes one line
        raise InputError(
            f"path={path_name(path)!r} fails on the block: {first_line(error)}; give a getter of it"
        ) from None
    return [part for part in found if isinstance(part, _Slot)]


class _Slot:
    """Stands for a leaf while a getter is called to find out which leaves it returns."""


def _with_own_kinks(before: Any, after: Any) -> Any:
    if not isinstance(after, Activation) or before is after or after.params is before.params:
        return after
    same = list(after.params.values()) == list(before.params.values()) if not is_traced((before, after)) else False
    if same or not after.params:
        return after
    source = source_of(after)
    if source in NAMED:
        return replace(after, kinks=NAMED[source](**after.params).kinks)
    if is_traced(after.params) or source is None:
        return after
    return make_activation(source, **after.params).named(after.name)


def to_json(block: Block) -> str:
    """A block as JSON text, which `from_json` reads back.

    InputError for an activation without a name or expression, and for leaves that are traced.

    >>> import meanfield as mf
    >>> to_json(mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3) >> mf.LayerNorm())[:64]
    '{"type": "Serial", "blocks": [{"type": "Activate", "phi": {"acti'
    """
    check_block(block, arrays=True)
    return json.dumps(_described(block))


def from_json(text: str) -> Block:
    """The block that JSON text describes; blocks of your own are found by the name of their class, the newest first.

    No class is called but blocks that are dataclasses, with their fields only. InputError where the text is not JSON,
    is longer than a million characters or nested more than 64 deep, or names an unknown block or hyperparameter.

    >>> import meanfield as mf
    >>> from_json(to_json(mf.Dense(1.5))) == mf.Dense(1.5)
    True
    """
    if not isinstance(text, str) or len(text) > _MOST_TEXT:
        raise InputError(f"{shown('text', text)} must be a string of at most {_MOST_TEXT} characters, from mf.to_json")
    try:
        block = _built(json.loads(text))
    except InputError:
        raise
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"text is not a block in JSON: {first_line(error)}; give what mf.to_json wrote") from None
    check_block(block, arrays=True)
    return block


def _described(part: Any) -> Any:
    if isinstance(part, Block):
        return {"type": type(part).__name__} | {f.name: _described(getattr(part, f.name)) for f in fields(part)}
    if isinstance(part, Activation):
        params = {k: _described(v) for k, v in part.params.items()}
        source = source_of(part)
        if source is None:
            raise InputError(f"activation={part!r} is a callable; only names and expressions have a JSON form")
        return {"activation": source, "params": params}
    if isinstance(part, (tuple, list)):
        return [_described(inner) for inner in part]
    if is_traced(part):
        raise InputError("a block with traced leaves has no JSON form; call to_json outside jit, grad and vmap")
    return part if part is None or isinstance(part, (bool, int, str)) else np.asarray(part, float).tolist()


def _built(part: Any, depth: int = 0) -> Any:
    if depth > _MOST_DEPTH:
        raise InputError(f"text is nested more than {_MOST_DEPTH} deep; give what mf.to_json wrote")
    if isinstance(part, list):
        if any(isinstance(inner, dict) for inner in part):
            return tuple(_built(inner, depth + 1) for inner in part)
        return real_array("text", part, "lists hold blocks or numbers")
    if not isinstance(part, dict):
        return part
    if "activation" in part:
        return _built_activation(**part)
    known = block_classes()
    kind = known[one_of("type", part.get("type"), sorted(known))]
    given = {name: value for name, value in part.items() if name != "type"}
    names = [field.name for field in fields(kind) if field.init]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InputError(f"text: {kind.__name__} has no {', '.join(unknown)}; it has {', '.join(names) or 'no fields'}")
    return kind(**{name: _built(value, depth + 1) for name, value in given.items()})


def _built_activation(activation: Any, params: Any = None, **more: Any) -> Activation:
    if not isinstance(activation, str) or not isinstance(params, (dict, type(None))) or more:
        raise InputError(f"{shown('activation', activation)} in text must be a name or an expression, with its params")
    return make_activation(activation, **(params or {}))
