"""Leaves of a block by path: listing, reading and setting them, and blocks as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import jax
import numpy as np

from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.named import NAMED, activation, source_of
from ..interface.arguments import nearest, one_of
from ..interface.names import load_blocks
from ..interface.precision import is_traced
from .block import Block, check_block

Path = str | Callable[[Block], Any]


def leaf_paths(block: Block) -> list[str]:
    """The path of every leaf of a block, in the order of its pytree.

    >>> import meanfield as mf
    >>> leaf_paths(mf.MLP("leaky_relu", sigma_w=1.5))
    ['blocks.0.phi.params.slope', 'blocks.0.phi.kinks.0', 'blocks.1.sigma_w', 'blocks.1.sigma_b']
    """
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
    check_block(block)
    leaves, tree = jax.tree.flatten(block)
    for i in _chosen(block, path):
        leaves[i] = value
    changed = jax.tree.unflatten(tree, leaves)
    changed = jax.tree.map(_with_own_kinks, block, changed, is_leaf=lambda part: isinstance(part, Activation))
    check_block(changed)
    return changed


def path_name(path: Path) -> str:
    """The label of a path in figures and messages."""
    return path if isinstance(path, str) else getattr(path, "__name__", "leaf").strip("<>")


def _chosen(block: Block, path: Path) -> list[int]:
    """The indices of the leaves that a path matches."""
    known = leaf_paths(block)
    if callable(path):
        tree = jax.tree.structure(block)
        slots = [_Slot() for _ in known]
        found = jax.tree.leaves(path(jax.tree.unflatten(tree, slots)), is_leaf=lambda part: isinstance(part, _Slot))
        places = [slots.index(part) for part in found if isinstance(part, _Slot)]
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
    return activation(source, **after.params).named(after.name)


def to_json(block: Block) -> str:
    """A block as JSON text, which `from_json` reads back.

    InputError for an activation without a name or expression, and for leaves that are traced.

    >>> import meanfield as mf
    >>> to_json(mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3) >> mf.LayerNorm())[:64]
    '{"type": "Serial", "blocks": [{"type": "Activate", "phi": {"acti'
    """
    check_block(block)
    return json.dumps(_described(block))


def from_json(text: str) -> Block:
    """The block that JSON text describes; blocks of your own are found by the name of their class.

    InputError where the text is not JSON or names an unknown block or hyperparameter.

    >>> import meanfield as mf
    >>> from_json(to_json(mf.Dense(1.5))) == mf.Dense(1.5)
    True
    """
    try:
        block = _built(json.loads(text))
    except (ValueError, TypeError) as error:
        raise InputError(f"text is not a block in JSON: {error}") from None
    check_block(block)
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


def _built(part: Any) -> Any:
    if isinstance(part, list):
        return (
            tuple(_built(inner) for inner in part)
            if any(isinstance(p, dict) for p in part)
            else np.asarray(part, float)
        )
    if not isinstance(part, dict):
        return part
    if "activation" in part:
        return activation(part["activation"], **part.get("params", {}))
    known = _classes()
    return known[one_of("type", part.get("type"), sorted(known))](
        **{name: _built(value) for name, value in part.items() if name != "type"}
    )


def _classes() -> dict[str, type[Block]]:
    load_blocks()
    found: dict[str, type[Block]] = {}
    waiting: list[type[Block]] = [Block]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        # The latest of a name first: a class that was defined again, in a notebook, replaces the one before.
        found.setdefault(kind.__name__, kind)
    return found
