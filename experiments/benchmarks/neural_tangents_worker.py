"""neural-tangents' side of the benchmark, run by its own interpreter: `phase_diagram.py` makes that and talks to it.

One JSON request a line on standard input, {"route", "activation", "sigma_w", "sigma_b"} with the axes as lists; one
JSON answer a line on standard output: the seconds that the jitted call took, and q*, c*, chi_1, xi_c as
[sigma_b, sigma_w]. It follows the phase-diagram notebook of the library: Newton's method in a while loop
for q* and c* to 1e-7, `vmap` over the grid, float64.

closed     stax.Erf, the closed form
numerical  stax.ElementwiseNumerical with 25 nodes, which its documentation calls a good place to start

Four departures from the notebook, all of them in its favour or neutral. Newton gives way to plain iteration where the
slope is 1 or more (from q = 1 the bare step leaves q > 0 at large sigma_w); the loop stops after 50 steps (the
notebook's has no end where there is no q*); chi comes out of the kernel's NTK entry (`jax.grad` of the numerical
route at c = 1 is wrong); and the layers are taken in the order activation, Dense, so that q is the variance before
the activation, as everywhere here.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from functools import lru_cache

import activations
import jax
import jax.numpy as jnp
import neural_tangents as nt
from neural_tangents import stax

DEGREE, THRESHOLD, LIMIT = 25, 1e-7, 50
ROUTES = {
    "closed": lambda name: stax.Erf(),
    "numerical": lambda name: stax.ElementwiseNumerical(activations.JAX[name], deg=DEGREE),
}


def kernel_of(q: jax.Array, c: jax.Array) -> nt.Kernel:
    """The library's kernel object of two inputs with variances q and correlation c; an NTK of ones reads off chi."""
    covariance = q * jnp.array([[1.0, c], [c, 1.0]])
    return nt.Kernel(
        nngp=covariance, ntk=jnp.ones((2, 2)), cov1=jnp.diag(covariance), cov2=None, x1_is_x2=jnp.array(True),
        is_gaussian=True, is_reversed=False, is_input=True, diagonal_batch=True, diagonal_spatial=False,
        shape1=(2, 1024), shape2=(2, 1024), batch_axis=0, channel_axis=1,
    )  # fmt: skip


def newton(f: Callable, start: float) -> jax.Array:
    """The fixed point of f that Newton's method meets from `start`."""

    def unsettled(state: tuple) -> jax.Array:
        i, x, last = state
        return (jnp.abs(x - last) > THRESHOLD) & (i < LIMIT)

    def step(state: tuple) -> tuple:
        i, x, _ = state
        value, slope = jax.value_and_grad(f)(x)
        return i + 1, jnp.where(slope < 1, x + (value - x) / (1 - slope), value), x

    return jax.lax.while_loop(unsettled, step, (0, start, 0.0))[1]


def point(layer: tuple, sigma_w: jax.Array, sigma_b: jax.Array) -> tuple[jax.Array, ...]:
    """q*, c*, chi_1 and xi_c of one network."""
    kernel_fn = stax.serial(layer, stax.Dense(1024, sigma_w, sigma_b))[2]
    q = newton(lambda q: kernel_fn(kernel_of(q, 1.0)).cov1[0], 1.0)
    c = newton(lambda c: kernel_fn(kernel_of(q, c)).nngp[1, 0] / q, 0.1)

    def chi(c: jax.Array) -> jax.Array:
        return sigma_w**2 * layer[2](kernel_of(q, c)).ntk[1, 0]

    return q, c, chi(1.0), -1 / jnp.log(chi(c))


@lru_cache
def grid_of(route: str, name: str) -> Callable:
    """The jitted map from the two axes to every quantity as [sigma_b, sigma_w]."""
    layer = ROUTES[route](name)

    def at(w: jax.Array, b: jax.Array) -> tuple[jax.Array, ...]:
        return point(layer, w, b)

    return jax.jit(jax.vmap(jax.vmap(at, (0, None)), (None, 0)))


def answer(route: str, activation: str, sigma_w: list, sigma_b: list) -> dict:
    """Seconds and results of one call."""
    axes = jnp.array(sigma_w), jnp.array(sigma_b)
    call = grid_of(route, activation)
    start = time.perf_counter()
    found = jax.block_until_ready(call(*axes))
    seconds = time.perf_counter() - start
    q, c, chi_1, xi_c = (a.tolist() for a in found)
    gap = (1 - found[1]).tolist()
    return {"seconds": seconds, "q_star": q, "c_star": c, "one_minus_c_star": gap, "chi_1": chi_1, "xi_c": xi_c}


def main() -> None:
    """Say the versions, then answer until the input ends."""
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    print(json.dumps({"neural-tangents": nt.__version__, "jax": jax.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
