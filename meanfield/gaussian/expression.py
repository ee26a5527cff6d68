"""Activations typed as arithmetic in x. The text is parsed into a tree and walked; nothing of it is ever executed."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from functools import lru_cache, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError

FUNCTIONS: dict[str, tuple[Callable, int | None]] = {
    "where": (jnp.where, 3),
    "min": (lambda *a: reduce(jnp.minimum, a), None),
    "max": (lambda *a: reduce(jnp.maximum, a), None),
    "minimum": (jnp.minimum, 2),
    "maximum": (jnp.maximum, 2),
    "clip": (jnp.clip, 3),
    "abs": (jnp.abs, 1),
    "sign": (jnp.sign, 1),
    "sqrt": (jnp.sqrt, 1),
    "exp": (jnp.exp, 1),
    "expm1": (jnp.expm1, 1),
    "log": (jnp.log, 1),
    "log1p": (jnp.log1p, 1),
    "sin": (jnp.sin, 1),
    "cos": (jnp.cos, 1),
    "tan": (jnp.tan, 1),
    "arctan": (jnp.arctan, 1),
    "sinh": (jnp.sinh, 1),
    "cosh": (jnp.cosh, 1),
    "tanh": (jnp.tanh, 1),
    "arcsinh": (jnp.arcsinh, 1),
    "erf": (jax.scipy.special.erf, 1),
    "erfc": (jax.scipy.special.erfc, 1),
    "sigmoid": (jax.nn.sigmoid, 1),
    "softplus": (jax.nn.softplus, 1),
    "relu": (jax.nn.relu, 1),
}
"""What an expression may call, with the number of arguments (None: two or more)."""

CONSTANTS = {"pi": float(np.pi), "e": float(np.e)}

_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_COMPARE = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MAX_LENGTH, _MAX_DEPTH = 500, 60


def is_expression(text: str) -> bool:
    """Whether a string is an expression rather than a name: it has an operator or a call, or is 'x'."""
    return text == "x" or re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", text) is None


@lru_cache(maxsize=256)
def parse(text: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """The function of (x, **free names) that an expression defines, and its free names in order of appearance.

    The same text gives the same function object, so that it compiles once. InputError names the disallowed part.

    >>> fn, names = parse("where(x > 0, x, a * x)")
    >>> float(fn(-2.0, a=0.5)), names
    (-1.0, ('a',))
    """
    if len(text) > _MAX_LENGTH:
        raise InputError(f"activation: the expression has {len(text)} characters; at most {_MAX_LENGTH} are read")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", "too deep")
        raise InputError(f"activation={text!r} is not an expression ({reason}); write arithmetic in x") from None
    names: list[str] = []
    _check(tree, text, names)
    if "x" not in names:
        raise InputError(f"activation={text!r} does not contain x; write an expression in x")
    return Expression(text, _folded(tree, text)), tuple(n for n in names if n != "x")


class Expression:
    """The function of (x, **free names) that a text defines: equal, and pickled, by its text."""

    def __init__(self, text: str, tree: ast.AST) -> None:
        self.text, self._tree = text, tree

    def __call__(self, x: Any, **params: Any) -> Any:
        x = jnp.asarray(x)
        return jnp.asarray(_evaluate(self._tree, {"x": x} | CONSTANTS | params) + jnp.zeros_like(x), x.dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple:
        return _read, (self.text,)


def _read(text: str) -> Callable[..., Any]:
    return parse(text)[0]


def _folded(node: ast.AST, text: str) -> ast.AST:
    """The tree with its constant arithmetic carried out in floats, so that no power of integers is ever computed."""
    for name, child in ast.iter_fields(node):
        if isinstance(child, ast.expr):
            setattr(node, name, _folded(child, text))
        elif isinstance(child, list):
            setattr(node, name, [_folded(c, text) if isinstance(c, ast.expr) else c for c in child])
    value: Any = None
    if isinstance(node, ast.Constant):
        value = node.value
    elif isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        value = _UNARY[type(node.op)](node.operand.value)
    elif isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant):
        left: Any = node.left.value
        right: Any = node.right.value
        with np.errstate(all="ignore"):
            value = _BINARY[type(node.op)](np.float64(left), np.float64(right))
    return node if value is None else ast.Constant(_constant(value, node, text))


def _constant(value: Any, node: ast.AST, text: str) -> float | int:
    """A finite real constant; whole numbers up to 64 stay integers, whose powers are products."""
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        what = ast.unparse(node)
        what = what if len(what) < 40 else what[:36] + " ..."
        raise InputError(f"activation={text!r}: the constant {what} is not a finite real number; write one that is")
    return int(number) if number.is_integer() and abs(number) <= 64 else number


def _check(node: ast.AST, text: str, names: list[str], depth: int = 0) -> None:
    """Refuse every node outside the table, and deep nesting; collect the free names."""
    if depth > _MAX_DEPTH:
        raise InputError(f"activation: the expression is nested more than {_MAX_DEPTH} deep; write it flatter")
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return
    if isinstance(node, ast.Name):
        if node.id not in CONSTANTS and node.id not in names:
            if node.id in FUNCTIONS or node.id.startswith("_"):
                raise InputError(f"activation={text!r}: {node.id!r} cannot stand alone; call it, or rename it")
            names.append(node.id)
        return
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        children: list[ast.AST] = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        children = [node.operand]
    elif isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
        children = [node.left, *node.comparators]
    elif isinstance(node, ast.Call):
        children = _call_arguments(node, text)
    else:
        source = ast.unparse(node)
        raise InputError(
            f"activation={text!r}: {source!r} is not allowed; use numbers, x, + - * / **, comparisons and "
            f"{', '.join(FUNCTIONS)}"
        )
    for child in children:
        _check(child, text, names, depth + 1)


def _call_arguments(node: ast.Call, text: str) -> list[ast.AST]:
    if not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
        source = ast.unparse(node.func)
        raise InputError(f"activation={text!r}: {source!r} is not a known function; known: {', '.join(FUNCTIONS)}")
    count = FUNCTIONS[node.func.id][1]
    if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
        raise InputError(f"activation={text!r}: {node.func.id} takes plain arguments only")
    if len(node.args) != count and (count is not None or len(node.args) < 2):
        wanted = count if count is not None else "two or more"
        raise InputError(f"activation={text!r}: {node.func.id} takes {wanted} arguments, not {len(node.args)}")
    return list(node.args)


def _evaluate(node: ast.AST, scope: dict[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return scope[node.id]
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_evaluate(node.left, scope), _evaluate(node.right, scope))
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_evaluate(node.operand, scope))
    if isinstance(node, ast.Compare):
        values = [_evaluate(v, scope) for v in (node.left, *node.comparators)]
        pairs = zip(node.ops, values[:-1], values[1:], strict=True)
        return reduce(operator.and_, (_COMPARE[type(op)](a, b) for op, a, b in pairs))
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)  # the only node left that `_check` admits
    function = FUNCTIONS[node.func.id][0]
    return function(*(_evaluate(a, scope) for a in node.args))
