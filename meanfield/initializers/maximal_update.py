"""muP: weights and updates scaled so that features learn alike at every width and rates transfer (Yang & Hu)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError, shown
from ..interface.arguments import one_of

OPTIMIZERS = ("adam", "sgd")


def roles(params: Any, base: Any) -> Any:
    """The role of each parameter under a change of width: "input", "hidden", "output" or "fixed"; a tree like `params`.

    params, base: the parameters of one network at two widths (arrays, or shapes from `jax.eval_shape`), kernels
    (*window, c_in, c_out). An axis is wide if the two differ: for input weights and biases only the last axis, for
    output weights only the one before it, for hidden weights both. InputError if the trees do not match.

    >>> tree = lambda n: {"in": np.zeros((3, n)), "mid": np.zeros((n, n)), "out": np.zeros((n, 2))}
    >>> roles(tree(64), tree(8))
    {'in': 'input', 'mid': 'hidden', 'out': 'output'}
    """
    return _map(lambda p, b: _role(p, b)[0], params, base)


def _map(function: Any, params: Any, base: Any, *rest: Any) -> Any:
    try:
        return jax.tree.map(function, params, base, *rest)
    except ValueError as error:
        raise InputError(f"base is not the same network at another width: {str(error).splitlines()[0]}") from None


def _role(param: Any, base: Any) -> tuple[str, float, float]:
    """The role, and the ratios of fan_in and fan_out to those of the base."""
    shape, small = np.shape(param), np.shape(base)
    if len(shape) != len(small):
        raise InputError(f"base has a parameter of shape {small} where the network has {shape}; only widths may differ")
    wide = [a != b for a, b in zip(shape, small, strict=True)]
    if not any(wide):
        return "fixed", 1.0, 1.0
    if any(wide[:-2]):
        raise InputError(f"a kernel of shape {shape} against {small}: the window differs; only widths may")
    out = shape[-1] / small[-1]
    if len(shape) == 1:
        return "input", 1.0, out
    into = shape[-2] / small[-2]
    return ("hidden" if wide[-2] and wide[-1] else "output" if wide[-2] else "input"), into, out


def mup_params(params: Any, base: Any) -> Any:
    """Parameters drawn with variances 1/fan_in, rescaled for muP: output weights times sqrt(base fan_in / fan_in).

    Their variance then scales as 1/fan_in^2 with the width, and the base network is unchanged (Yang & Hu 2022,
    table 8). Arguments as for `roles`; returns a tree like params.

    >>> tree = lambda n: {"mid": jnp.ones((n, n)), "out": jnp.ones((n, 2))}
    >>> scaled = mup_params(tree(64), tree(16))
    >>> float(scaled["mid"][0, 0]), float(scaled["out"][0, 0])
    (1.0, 0.5)
    """

    def one(p: Any, b: Any) -> Any:
        role, into, _ = _role(p, b)
        return p * jnp.asarray(into**-0.5, p.dtype) if role == "output" else p

    return _map(one, params, base)


def mup(optimizer: Any, params: Any, base: Any, kind: str = "adam") -> Any:
    """An optax transformation: the optimizer with each update scaled for the width (Yang & Hu 2022, tables 3 and 8).

    optimizer: an optax.GradientTransformation with the learning rate tuned at the base width. kind "adam" (and others
    that normalize gradients): hidden and output updates divided by fan_in / base fan_in; "sgd": input updates
    multiplied by fan_out / base fan_out, output ones divided by fan_in / base fan_in. params, base as for `roles`.
    Weight decay inside the optimizer is scaled with the update. Use with `mup_params`.

    >>> import optax
    >>> tree = lambda n: {"mid": jnp.ones((n, n)), "out": jnp.ones((n, 2))}
    >>> wide, step = tree(64), mup(optax.sgd(1.0), tree(64), tree(16), kind="sgd")
    >>> updates, _ = step.update(wide, step.init(wide), wide)
    >>> float(updates["mid"][0, 0]), float(updates["out"][0, 0])
    (-1.0, -0.25)
    """
    import optax

    one_of("kind", kind, OPTIMIZERS)
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise InputError(f"{shown('optimizer', optimizer)} must be an optax.GradientTransformation")
    factors = _map(lambda p, b: _rate(kind, *_role(p, b)), params, base)

    def scale(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(lambda u, f: u * jnp.asarray(f, u.dtype), updates, factors), state

    return optax.chain(optimizer, optax.GradientTransformation(lambda params: optax.EmptyState(), scale))


def _rate(kind: str, role: str, into: float, out: float) -> float:
    if kind == "adam":
        return 1 / into if role in ("hidden", "output") else 1.0
    return {"input": out, "output": 1 / into}.get(role, 1.0)
