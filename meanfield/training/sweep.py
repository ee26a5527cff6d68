"""The configuration of a grid of trained networks, which is also its manifest."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..blocks.block import MLP, Activate, Block
from ..blocks.leaves import from_json as block_from_json
from ..blocks.leaves import to_json as block_to_json
from ..blocks.leaves import with_leaf
from ..data import NAMES, Dataset, load
from ..errors import InputError, shown
from ..gaussian.activation import Activation
from ..gaussian.named import activation
from ..interface.arguments import instance_of, one_of, positive, real_array, sigma, whole
from ..interface.paths import a_path
from ..interface.ranges import sigma_values, whole_values
from .axes import check_leaves, check_trainable, read_axes

__all__ = ["OPTIMIZERS", "Sweep"]

OPTIMIZERS = ("sgd", "adam", "rmsprop")
MOST_NETWORKS = 10**6
SIGMA_W = (1.0, 2.0, 11)
"""The default range of sigma_w for an activation."""

# phi is sampled here for the manifest, to tell apart two callables of one name; the first version had the first five.
_PROBES = (-2.5, -0.7, 0.0, 0.3, 1.9, *np.round(np.linspace(-8.0, 8.0, 59) + 0.013, 3).tolist())
_FIRST_PROBES = 5


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A grid of deep networks to train: depth, seed and any leaves of a block (Schoenholz et al. 2017, figure 5).

    Networks are `mf.networks.Network`s of constant width: a first layer and `depth` blocks, the last of which is the
    readout (of an `mf.MLP` h^1 = W x + b and h^{l+1} = W phi(h^l) + b with W ~ N(0, sigma_w^2 / fan_in), b ~ N(0,
    sigma_b^2)). They are trained on cross-entropy in float32, by minibatches that are the same for every network, and
    scored on the first 2,048 examples of the training and of the test set, dropout and noise turned off.

    - `activation`: a name, an expression, a JAX callable or a `meanfield.Activation`, used in an `mf.MLP`; or a block,
      whose own sigmas apply unless they are axes.
    - `axes`: {"depth": values, "seed": how many, leaf: values}, a leaf by its path as in `mf.with_leaf` ("sigma_w",
      "rate", "scale"), its values a sequence or `(lo, hi, n)` with an integer n for n points, both ends included. These
      take precedence over the keywords `sigma_w`, `depths` and `seeds`, which then hold these values; `axes` keeps the
      other leaves.
    - `sigma_w`: standard deviations, for an activation from 1 to 2 by default. `sigma_b`: a single one; the default for
      an activation is sigma_b^2 = 0.05.
    - `depths`: values (layers), never a range. Keep them below half of `width`.
    - `steps`, `batch_size`, `learning_rate`, `optimizer` ("sgd" | "adam" | "rmsprop"), `momentum` (sgd only).
    - `seeds`: the number of independent networks per cell.
    - `data`: the name of a data set, or a `Dataset`; `data_path` as in `meanfield.data.load`.
    - `key`: the integer from which every random number is derived. A network's draw depends on `key` and on its own
      depth, leaves and seed, not on the rest of the grid.

    The default takes about three minutes on two cores. Grid values are sorted and duplicates removed. Bad values raise
    `InputError`, as do blocks that need positions (Conv) or couple the examples of a batch (BatchNorm, Attention).

    >>> sweep = Sweep(depths=(4, 8), sigma_w=(1.0, 2.0, 5), width=32)
    >>> sweep.shape, sweep.sigma_w
    ((2, 5, 1), (1.0, 1.25, 1.5, 1.75, 2.0))
    >>> Sweep.from_json(sweep.to_json()) == sweep
    True
    >>> import meanfield as mf
    >>> block = mf.Activate("tanh") >> mf.Dropout(0.1) >> mf.Dense(1.5, 0.2)
    >>> Sweep(block, axes={"rate": (0.0, 0.5, 3), "depth": (4, 8), "seed": 2}).shape
    (2, 3, 2)
    """

    activation: str | Callable[..., Any] | Block = "tanh"
    sigma_w: Any = None
    sigma_b: float | None = None
    depths: tuple[int, ...] = (8, 16, 24, 32, 40, 48, 56, 64)
    width: int = 128
    steps: int = 200
    batch_size: int = 64
    learning_rate: float = 1e-3
    optimizer: str = "sgd"
    momentum: float = 0.9
    seeds: int = 1
    data: str | Dataset = "digits"
    data_path: str | None = None
    key: int = 0
    axes: Any = ()

    def __post_init__(self) -> None:
        self.phi()  # an unknown activation is reported here, not after the data are read
        axes = read_axes(self.axes)
        values = {
            "sigma_w": self._sigma_w(self.sigma_w if axes.sigma_w is None else axes.sigma_w),
            "sigma_b": self._sigma_b(),
            "depths": whole_values("depths", self.depths) if axes.depths is None else axes.depths,
            "seeds": self.seeds if axes.seeds is None else axes.seeds,
            "axes": axes.leaves,
            "learning_rate": positive("learning_rate", self.learning_rate),
            "momentum": positive("momentum", self.momentum, below=1.0, zero=True),
            "optimizer": one_of("optimizer", self.optimizer, OPTIMIZERS),
            "data": instance_of("data", self.data, (str, Dataset)),
            "data_path": None if self.data_path is None else str(a_path("data_path", self.data_path)),
            "key": whole("key", self.key, least=0),
        }
        if isinstance(self.data, str):
            one_of("data", self.data, NAMES)
        for name in ("width", "steps", "batch_size", "seeds"):
            values[name] = whole(name, values.get(name, getattr(self, name)), below=2**31)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if math.prod(self.shape) > MOST_NETWORKS:
            raise InputError(f"shape={self.shape} is {math.prod(self.shape)} networks; give at most {MOST_NETWORKS}")
        check_leaves(self.block, self.leaves)
        check_trainable(self.block)

    def _sigma_w(self, given: Any) -> tuple[float, ...]:
        if isinstance(self.activation, Block) and (given is None or np.size(given) == 0):
            return ()
        return sigma_values("sigma_w", SIGMA_W if given is None else given)

    def _sigma_b(self) -> float | None:
        if self.sigma_b is None:
            return None if isinstance(self.activation, Block) else math.sqrt(0.05)
        return float(sigma("sigma_b", self.sigma_b, single=True))

    @property
    def leaves(self) -> dict[str, tuple[float, ...]]:
        """The leaves that are axes, by path, with their values: sigma_w first."""
        return ({"sigma_w": self.sigma_w} if self.sigma_w else {}) | dict(self.axes)

    @property
    def block(self) -> Block:
        """The block whose leaves are swept; leaves that are axes keep their original values."""
        block = self.activation if isinstance(self.activation, Block) else MLP(self.activation, 1.0)
        return block if self.sigma_b is None else with_leaf(block, "sigma_b", self.sigma_b)

    def block_at(self, values: Sequence[float]) -> Block:
        """The block of one cell, a value for each of `leaves`.

        >>> Sweep("tanh", axes={"sigma_b": [0.1, 0.2]}).block_at((1.5, 0.2)).blocks[1]
        Dense(sigma_w=1.5, sigma_b=0.2)
        """
        block, found = self.block, np.ravel(real_array("values", values, "give one for each leaf"))
        if len(found) != len(self.leaves):
            raise InputError(
                f"{shown('values', values)} are {len(found)}; give one for each of {', '.join(self.leaves)}"
            )
        for path, value in zip(self.leaves, found.tolist(), strict=True):
            block = with_leaf(block, path, value)
        return block

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of every result of this sweep: (depths, one for each of `leaves`, seeds)."""
        return len(self.depths), *map(len, self.leaves.values()), self.seeds

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the map, one sentence each; empty if there are none."""
        aspect = self.depths[-1] / self.width
        if aspect <= 0.5:
            return ()
        return (
            f"depth/width reaches {aspect:.2g}: above 0.5 the fluctuations of finite networks blur the map; "
            f"take width >= {2 * self.depths[-1]}",
        )

    def phi(self) -> Activation | None:
        """The activation, resolved; None if the sweep is over a block."""
        return None if isinstance(self.activation, Block) else activation(self.activation)

    @property
    def name(self) -> str:
        """The name of what is trained: the activation's name, or the block."""
        phi = self.phi()
        return repr(self.activation) if phi is None else phi.name

    def dataset(self) -> Dataset:
        """The data set, loaded; `InputError` if it is unknown, missing or smaller than one batch."""
        data = self.data if isinstance(self.data, Dataset) else load(self.data, path=self.data_path)
        object.__setattr__(self, "_digest", data.digest)  # the manifest has it from now on
        if self.batch_size > len(data.x_train):
            raise InputError(
                f"batch_size={self.batch_size} exceeds the {len(data.x_train)} training examples of {data.name}; "
                "give a smaller batch"
            )
        return data

    def cost(self):
        """The estimated cost of this sweep, see `meanfield.training.Cost`. Loads the data."""
        from .cost import estimate

        return estimate(self)

    def manifest(self) -> dict[str, Any]:
        """Everything that decides the numbers of this sweep, as JSON-able values.

        A callable is recorded by its name; `activation_values` (phi at 64 points) tells two of the same name apart.
        `data_digest` does so for data sets, once they are loaded.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields |= {name: list(fields[name]) for name in ("sigma_w", "depths")}
        fields["activation"] = self._activation_as_json()
        fields["data"] = self.data if isinstance(self.data, str) else self.data.name
        # Sweeps over sigma_w alone keep the manifest format from before other leaves existed.
        axes = [[name, list(values)] for name, values in fields.pop("axes")]
        fields |= {"axes": axes} if axes else {}
        phis = [part for part in jax.tree.leaves(self.block, is_leaf=_is_activation) if _is_activation(part)]
        fields["activation_values"] = [float(v) for phi in phis for v in _at_probes(phi)]
        digest = self.data.digest if isinstance(self.data, Dataset) else self.__dict__.get("_digest")
        return fields | ({} if digest is None else {"data_digest": digest})

    def _activation_as_json(self) -> Any:
        if isinstance(self.activation, str):
            return self.activation
        block = self.activation if isinstance(self.activation, Block) else Activate(self.activation)
        try:
            found = json.loads(block_to_json(block))
        except InputError:  # it holds a callable, which has no JSON form
            return {"callable": self.name}
        return found if block is self.activation else found["phi"]

    def to_json(self) -> str:
        """The manifest as one line of JSON."""
        return json.dumps(self.manifest())

    @classmethod
    def from_json(cls, text: str) -> Sweep:
        """The sweep that `to_json` wrote; `InputError` if the text is not one, or names a custom callable."""
        fields = read_manifest(text)
        known = {field.name for field in dataclasses.fields(cls)}
        given = {name: value for name, value in fields.items() if name not in ("activation_values", "data_digest")}
        unknown = given.keys() - known
        if unknown:
            raise InputError(f"{_shown(text)}: unknown {', '.join(sorted(map(str, unknown)))}")
        if isinstance(given.get("activation"), dict):
            given["activation"] = _activation_from_json(given["activation"])
        sweep = cls(**given)
        # A callable of the first version was recorded by its name alone, which may be that of another function.
        if not sweep._same_activation(fields):
            raise InputError(f"{_shown(text)}: its activation {sweep.name} is another function; give the sweep itself")
        return sweep

    def differences(self, manifest: dict[str, Any]) -> list[str]:
        """The fields in which a stored manifest differs from this sweep's, as `name: stored -> here`.

        `data_path` is ignored: a file may move. Activation values are compared to float32; the digests of the data are
        compared where both are known.
        """
        mine = json.loads(self.to_json())
        names = [n for n in {**mine, **manifest} if n not in ("data_path", "activation_values", "data_digest")]
        if isinstance(manifest.get("activation"), str) and not isinstance(mine["activation"], str):
            mine["activation"] = self.name  # as the first version recorded it
        found = [f"{n}: {manifest.get(n)} -> {mine.get(n)}" for n in names if manifest.get(n) != mine.get(n)]
        if not self._same_activation(manifest):
            found.append("activation: another function of the same name")
        digests = manifest.get("data_digest"), mine.get("data_digest")
        if None not in digests and digests[0] != digests[1]:
            found.append("data: another data set of the same name")
        return found

    def _same_activation(self, manifest: dict[str, Any]) -> bool:
        """Whether phi takes the stored values at the probes, of which the first version had five."""
        mine = np.reshape(self.manifest()["activation_values"], (-1, len(_PROBES)))
        stored = manifest.get("activation_values", [])
        count = _FIRST_PROBES if np.size(stored) == _FIRST_PROBES * len(mine) else len(_PROBES)
        try:
            values = np.asarray(stored, float).reshape(len(mine), count)
        except (TypeError, ValueError):
            return False
        return np.allclose(values, mine[:, :count], rtol=1e-5, atol=1e-6, equal_nan=True)


def read_manifest(text: str) -> dict[str, Any]:
    """The fields of a manifest; InputError if the text is none.

    >>> read_manifest('{"width": 128}')
    {'width': 128}
    """
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{_shown(text)} is not one that Sweep.to_json wrote: {error}") from None


def _shown(text: Any) -> str:
    return f"manifest={str(text)[:60]!r}"


def _activation_from_json(found: dict[str, Any]) -> Any:
    """A block or an activation from its JSON form."""
    if "callable" in found:
        raise InputError(
            f"activation={found['callable']!r} is a callable, which has no JSON form; give the sweep itself"
        )
    if "activation" not in found:
        return block_from_json(json.dumps(found))
    block = block_from_json(json.dumps({"type": "Activate", "phi": found}))
    assert isinstance(block, Activate)
    return block.phi


def _at_probes(phi: Activation) -> np.ndarray:
    probes = jnp.asarray(_PROBES, jnp.float32)
    seen = [phi(probes)] if phi.backward is None else [phi(probes), phi.backward(probes)]
    return np.concatenate(seen).astype(float)


def _is_activation(part: Any) -> bool:
    return isinstance(part, Activation)
