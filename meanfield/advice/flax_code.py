"""Flax programs as text, to paste: a network of the recommended kind in NNX and in Linen."""

from __future__ import annotations

_HEAD = {
    "nnx": "import jax\nimport meanfield as mf\nfrom flax import nnx\n",
    "linen": "import flax.linen as nn\nimport jax\nimport meanfield as mf\n",
}

_BODY = {
    ("mlp", "nnx"): """
class Net(nnx.Module):
    def __init__(self, d_in, width, depth, d_out, *, rngs):
        sizes = [d_in] + [width] * depth + [d_out]
        self.layers = nnx.List(
            nnx.Linear(m, n, kernel_init=init, bias_init=init, rngs=rngs) for m, n in zip(sizes[:-1], sizes[1:])
        )

    def __call__(self, x):
        x = self.layers[0](x)
        for layer in self.layers[1:]:
            x = layer(phi(x))
        return x
""",
    ("mlp", "linen"): """
class Net(nn.Module):
    width: int
    depth: int
    d_out: int

    @nn.compact
    def __call__(self, x):
        for _ in range(self.depth):
            x = phi(nn.Dense(self.width, kernel_init=init, bias_init=init)(x))
        return nn.Dense(self.d_out, kernel_init=init, bias_init=init)(x)
""",
    ("residual", "nnx"): """
class Net(nnx.Module):
    def __init__(self, d_in, width, depth, d_out, *, rngs):
        def dense(m, n):
            return nnx.Linear(m, n, kernel_init=init, bias_init=init, rngs=rngs)

        self.first, self.last = dense(d_in, width), dense(width, d_out)
        self.branches = nnx.List(dense(width, width) for _ in range(depth))

    def __call__(self, x):
        x = self.first(x)
        for branch in self.branches:
            x = x + alpha * branch(phi(x))
        return self.last(phi(x))
""",
    ("residual", "linen"): """
class Net(nn.Module):
    width: int
    depth: int
    d_out: int

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(self.width, kernel_init=init, bias_init=init)(x)
        for _ in range(self.depth):
            x = x + alpha * nn.Dense(self.width, kernel_init=init, bias_init=init)(phi(x))
        return nn.Dense(self.d_out, kernel_init=init, bias_init=init)(phi(x))
""",
    ("conv", "nnx"): """
class Net(nnx.Module):
    def __init__(self, c_in, width, depth, d_out, *, rngs):
        sizes = [c_in] + [width] * depth
        self.layers = nnx.List(
            nnx.Conv(m, n, (3, 3), padding="CIRCULAR", kernel_init=init, bias_init=init, rngs=rngs)
            for m, n in zip(sizes[:-1], sizes[1:])
        )
        self.readout = nnx.Linear(width, d_out, kernel_init=init, bias_init=init, rngs=rngs)

    def __call__(self, x):
        for layer in self.layers:
            x = phi(layer(x))
        return self.readout(x.mean((-3, -2)))
""",
    ("conv", "linen"): """
class Net(nn.Module):
    width: int
    depth: int
    d_out: int

    @nn.compact
    def __call__(self, x):
        for _ in range(self.depth):
            x = phi(nn.Conv(self.width, (3, 3), padding="CIRCULAR", kernel_init=init, bias_init=init)(x))
        return nn.Dense(self.d_out, kernel_init=init, bias_init=init)(x.mean((-3, -2)))
""",
}


def flax_code(kind: str, architecture: str, phi: str, init: str, alpha: float | None = None) -> str:
    """A program of `kind` "nnx" or "linen" that defines `Net`; phi and init are source expressions.

    >>> print(flax_code("linen", "mlp", "mf.activation('tanh')", "mf.initializers.lecun").splitlines()[4])
    phi = mf.activation('tanh')
    """
    lines = [f"phi = {phi}", f"init = {init}"] + ([] if alpha is None else [f"alpha = {alpha!r}"])
    return _HEAD[kind] + "\n" + "\n".join(lines) + "\n\n" + _BODY[architecture, kind]
