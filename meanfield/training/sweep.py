"""The configuration of a grid of trained networks, which is also its manifest."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..data import NAMES, Dataset, load
from ..errors import InputError
from ..interface.arguments import instance_of, one_of, positive, whole
from ..interface.ranges import sigma_values, whole_values

__all__ = ["OPTIMIZERS", "Sweep"]

OPTIMIZERS = ("sgd", "adam", "rmsprop")

# Where phi is sampled for the manifest: two callables of one name are told apart by what they do.
_PROBES = (-2.5, -0.7, 0.0, 0.3, 1.9)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A grid sigma_w x depth (x seed) of deep MLPs to train, after Schoenholz et al. 2017, figure 5.

    A network of depth L and constant width has h^1 = W x + b and L blocks h^{l+1} = W phi(h^l) + b, the last of
    which is the readout; W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2). It is trained on cross-entropy in
    float32, by minibatches that are the same for every network, and scored on the first 2,048 examples of the
    training and of the test set.

    - `activation`: a name, an expression, a JAX callable or a `meanfield.Activation`.
    - `sigma_w`: values, or `(lo, hi, n)` with an integer n for n points, both ends included. Standard deviations.
    - `sigma_b`: one standard deviation; the default is sigma_b^2 = 0.05.
    - `depths`: values (layers), always, never a range. Keep them below half of `width`.
    - `steps`, `batch_size`, `learning_rate`, `optimizer` ("sgd" | "adam" | "rmsprop"), `momentum` (sgd only).
    - `seeds`: how many independent networks each cell trains.
    - `data`: the name of a data set, or a `Dataset`; `data_path` as in `meanfield.data.load`.
    - `key`: the integer that every random number comes from. A network's draw depends on `key`, its own depth,
      sigma_w and seed, not on the rest of the grid.

    The default takes about three minutes on two cores. Grid values are sorted and freed of repeats. Bad values raise
    `InputError`.

    >>> sweep = Sweep(depths=(4, 8), sigma_w=(1.0, 2.0, 5), width=32)
    >>> sweep.shape, sweep.sigma_w
    ((2, 5, 1), (1.0, 1.25, 1.5, 1.75, 2.0))
    >>> Sweep.from_json(sweep.to_json()) == sweep
    True
    """

    activation: str | Callable[..., Any] = "tanh"
    sigma_w: tuple[float, ...] = (1.0, 2.0, 11)
    sigma_b: float = math.sqrt(0.05)
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

    def __post_init__(self):
        self.phi()  # an unknown activation is found here, not after the data are read
        values = {
            "sigma_w": sigma_values("sigma_w", self.sigma_w),
            "sigma_b": positive("sigma_b", self.sigma_b, zero=True),
            "depths": whole_values("depths", self.depths),
            "learning_rate": positive("learning_rate", self.learning_rate),
            "momentum": positive("momentum", self.momentum, below=1.0, zero=True),
            "optimizer": one_of("optimizer", self.optimizer, OPTIMIZERS),
            "data": instance_of("data", self.data, (str, Dataset)),
            "data_path": None if self.data_path is None else str(self.data_path),
            "key": whole("key", self.key, least=0),
        }
        if isinstance(self.data, str):
            one_of("data", self.data, NAMES)
        for name in ("width", "steps", "batch_size", "seeds"):
            values[name] = whole(name, getattr(self, name))
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of every result of this sweep: (depths, sigma_w, seeds)."""
        return len(self.depths), len(self.sigma_w), self.seeds

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before trusting the map, one sentence each; empty where nothing is amiss."""
        aspect = self.depths[-1] / self.width
        if aspect <= 0.5:
            return ()
        return (
            f"depth/width reaches {aspect:.2g}: above 0.5 the fluctuations of finite networks blur the map; "
            f"take width >= {2 * self.depths[-1]}",
        )

    def phi(self):
        """The activation, resolved (a `meanfield.Activation`)."""
        from ..gaussian.named import activation

        return activation(self.activation)

    def dataset(self) -> Dataset:
        """The data set, loaded; `InputError` where it is unknown, missing or smaller than one batch."""
        data = self.data if isinstance(self.data, Dataset) else load(self.data, path=self.data_path)
        if self.batch_size > len(data.x_train):
            raise InputError(
                f"batch_size={self.batch_size} exceeds the {len(data.x_train)} training examples of {data.name}; "
                "give a smaller batch"
            )
        return data

    def cost(self):
        """What this sweep will cost, before it is trained: see `meanfield.training.Cost`. Loads the data."""
        from .cost import estimate

        return estimate(self)

    def manifest(self) -> dict[str, Any]:
        """Everything that decides the numbers of this sweep, as JSON-able values.

        A callable goes by its name; `activation_values` (phi at a few points) tells two of one name apart.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        phi = self.phi()
        fields |= {name: list(fields[name]) for name in ("sigma_w", "depths")}
        fields["activation"] = self.activation if isinstance(self.activation, str) else phi.name
        fields["data"] = self.data if isinstance(self.data, str) else self.data.name
        fields["activation_values"] = [float(v) for v in np.asarray(phi(np.asarray(_PROBES, np.float32)))]
        return fields

    def to_json(self) -> str:
        """The manifest as one line of JSON."""
        return json.dumps(self.manifest())

    @classmethod
    def from_json(cls, text: str) -> Sweep:
        """The sweep that `to_json` wrote; `InputError` where the text is not one, or names a custom callable."""
        try:
            fields = dict(json.loads(text))
            fields.pop("activation_values", None)
            unknown = fields.keys() - {field.name for field in dataclasses.fields(cls)}
            if unknown:
                raise ValueError(f"unknown {', '.join(sorted(unknown))}")
        except (TypeError, ValueError) as error:
            raise InputError(f"manifest={text[:60]!r} is not one that Sweep.to_json wrote: {error}") from None
        return cls(**fields)

    def differences(self, manifest: dict[str, Any]) -> list[str]:
        """The fields in which a stored manifest differs from this sweep's, as `name: stored -> here`.

        `data_path` is left out: a file may move. Activation values are compared to float32.
        """
        mine = self.manifest()
        names = [name for name in mine if name not in ("data_path", "activation_values")]
        found = [f"{n}: {manifest.get(n)} -> {mine[n]}" for n in names if manifest.get(n) != mine[n]]
        stored = np.asarray(manifest.get("activation_values", ()), float)
        here = np.asarray(mine["activation_values"])
        if stored.shape != here.shape or not np.allclose(stored, here, rtol=1e-5, atol=1e-6, equal_nan=True):
            found.append("activation: another function of the same name")
        return found
