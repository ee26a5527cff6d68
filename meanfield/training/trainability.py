"""The result of a sweep: the score of every network, and the depth to which the theory predicts training."""

from __future__ import annotations

import dataclasses
import html
import os
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ..errors import InputError
from ..interface.jsonable import to_jsonable
from ..interface.netcdf import describe, read, write
from .depth_scales import THEORY
from .sweep import Sweep, read_manifest

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["MEASURED", "Trainability"]

MEASURED = ("train_accuracy", "test_accuracy", "train_loss", "test_loss", "diverged", "finished")
_LONG = {
    "train_accuracy": "accuracy on the training set",
    "test_accuracy": "accuracy on the test set",
    "train_loss": "cross-entropy on the training set, nats",
    "test_loss": "cross-entropy on the test set, nats",
    "diverged": "the loss was not finite at some step",
    "finished": "the network was trained to the end",
    "xi_c": "depth scale of the correlation, layers",
    "xi_grad": "depth scale of the gradients, layers, negative where they grow",
    "chi_1": "perpendicular susceptibility at q*",
    "curve_xi_c": "depth scale of the correlation on a finer grid, layers",
}


@dataclasses.dataclass(frozen=True)
class Trainability:
    """The result of `meanfield.train`; axes (depth, leaves, seed) as in `sweep.shape`, usually (depth, sigma_w, seed).

    - `train_accuracy`, `test_accuracy` (0 to 1), `train_loss`, `test_loss` (nats): float64, NaN if not finished.
    - `diverged`, `finished`: bool. A diverged network keeps its measured accuracy, which is chance.
    - `xi_c`, `xi_grad`, `chi_1`, each over the leaves: the theory at the sweep's points (Schoenholz et al. 2017).
    - `curve_x`, `curve_xi_c`, each (k,): xi_c on a finer grid of the leaf, for the line in the figure; empty unless the
      sweep has exactly one leaf. `curve_sigma_w` is the same as `curve_x`.

    `complete` tells whether every network is finished; `warnings` lists what may mislead.
    """

    sweep: Sweep
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    train_loss: np.ndarray
    test_loss: np.ndarray
    diverged: np.ndarray
    finished: np.ndarray
    xi_c: np.ndarray
    xi_grad: np.ndarray
    chi_1: np.ndarray
    curve_x: np.ndarray
    curve_xi_c: np.ndarray

    @property
    def sigma_w(self) -> np.ndarray:
        """The sweep's sigma_w, (n,)."""
        return np.array(self.sweep.sigma_w)

    @property
    def curve_sigma_w(self) -> np.ndarray:
        """`curve_x`, of a sweep over sigma_w."""
        return self.curve_x

    @property
    def depths(self) -> np.ndarray:
        """The sweep's depths in layers, (m,)."""
        return np.array(self.sweep.depths)

    @property
    def complete(self) -> bool:
        """Whether every network of the grid was trained to the end."""
        return bool(self.finished.all())

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each possible source of error."""
        done = int(self.finished.sum())
        partial = () if self.complete else (f"stopped after {done} of {self.finished.size} networks",)
        return self.sweep.warnings + partial

    @property
    def _curve_axis(self) -> str:
        """The name of the curve's values in files."""
        return f"curve_{next(iter(self.sweep.leaves), 'x')}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able values under the attribute names: lists, NaN as None, infinities as words."""
        arrays = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "sweep"}
        arrays = {self._curve_axis if name == "curve_x" else name: array for name, array in arrays.items()}
        axes = {"depths": self.depths, **self.sweep.leaves}
        plain = {name: to_jsonable(value) for name, value in (axes | arrays).items()}
        return {"sweep": self.sweep.manifest(), "complete": self.complete, "warnings": list(self.warnings)} | plain

    def to_xarray(self) -> xarray.Dataset:
        """An `xarray.Dataset` with named axes and long names; the manifest is its attribute `sweep`."""
        import xarray

        leaves, curve = tuple(self.sweep.leaves), self._curve_axis
        grid = ("depth", *leaves, "seed")
        axes = dict.fromkeys(MEASURED, grid) | dict.fromkeys(THEORY, leaves) | {"curve_xi_c": (curve,)}
        words = {n: {"long_name": _LONG[n], "units": "layers" if "xi" in n else "1"} for n in axes}
        variables = {n: (along, getattr(self, n), words[n]) for n, along in axes.items()}
        coords = {
            "depth": ("depth", self.depths, {"long_name": "depth", "units": "layers"}),
            **{leaf: (leaf, np.array(values), describe(leaf)) for leaf, values in self.sweep.leaves.items()},
            "seed": ("seed", np.arange(self.sweep.seeds), describe("seed")),
            curve: (curve, self.curve_x, describe(curve.removeprefix("curve_"))),
        }
        attrs = {"title": "trainability of deep networks", "sweep": self.sweep.to_json()}
        return xarray.Dataset(variables, coords, attrs)

    def save(self, path: str | os.PathLike) -> None:
        """Write NetCDF (.nc), whole or not at all: a reader finds the old file or the new one, even after a power cut.

        It is flushed to the disk before it is renamed. InputError if it cannot be written.
        """
        write(self.to_xarray(), path)

    @classmethod
    def load(cls, path: str | os.PathLike, sweep: Sweep | None = None) -> Trainability:
        """Read what `save` wrote. A sweep of a callable or of your own `Dataset` must be given again as `sweep`.

        `InputError` if there is no such file, if `save` did not write it, if it is damaged, or of another sweep.
        """
        typed = f"path={str(path)!r}"
        stored = read(path, dict.fromkeys((*MEASURED, *THEORY, "curve_xi_c")))
        manifest = stored.attrs.get("sweep")
        if not isinstance(manifest, str):
            raise InputError(f"{typed} holds no saved sweep; name another file")
        sweep = sweep if sweep is not None else Sweep.from_json(manifest)
        differ = sweep.differences(read_manifest(manifest))
        if differ:
            what = "; ".join(differ)
            raise InputError(f"{typed} holds another sweep ({what}); repeat it or name another file")
        wrong = _what_is_wrong(stored, sweep)
        if wrong:
            raise InputError(f"{typed} is damaged: {wrong}; move it aside, or repair it")
        arrays = {name: stored[name].values for name in (*MEASURED, *THEORY, "curve_xi_c")}
        arrays |= {name: arrays[name].astype(bool) for name in ("diverged", "finished")}
        return cls(sweep=sweep, curve_x=np.asarray(stored[stored["curve_xi_c"].dims[0]]), **arrays)

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the map with `meanfield.plots.trainability`; returns the Axes."""
        from ..plots.trainability import trainability

        return trainability(self, ax, **options)

    def __repr__(self) -> str:
        sweep, done, depths = self.sweep, int(self.finished.sum()), self.sweep.depths
        spans = [f"{leaf} {values[0]:g} to {values[-1]:g} ({len(values)})" for leaf, values in sweep.leaves.items()]
        spans += [] if sweep.sigma_b is None or "sigma_b" in sweep.leaves else [f"sigma_b {sweep.sigma_b:.4g}"]
        spans += [f"depths {depths[0]} to {depths[-1]} ({len(depths)})", f"seeds {sweep.seeds}"]
        lines = [
            f"Trainability of {sweep.name} on {sweep.manifest()['data']}: {done} of {self.finished.size} networks",
            f"  {', '.join(spans)}",
        ]
        if done:
            accuracy = self.train_accuracy[self.finished]
            lines.append(
                f"  training accuracy {accuracy.min():.2f} to {accuracy.max():.2f}, diverged {int(self.diverged.sum())}"
            )
        return "\n".join(lines + [f"  warning: {text}" for text in self.warnings])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


jax.tree_util.register_dataclass(
    Trainability,
    data_fields=[field.name for field in dataclasses.fields(Trainability) if field.name != "sweep"],
    meta_fields=["sweep"],
)


def _what_is_wrong(stored: xarray.Dataset, sweep: Sweep) -> str | None:
    """The first way in which a file differs from what a run of this sweep saves; None if it does not."""
    axes: dict[str, Any] = {"depth": sweep.depths, **sweep.leaves, "seed": range(sweep.seeds)}
    for name, values in axes.items():
        if name not in stored.coords or not np.array_equal(stored[name].values, np.asarray(values)):
            return f"the axis {name} is not the sweep's"
    over = dict.fromkeys(MEASURED, tuple(axes)) | dict.fromkeys(THEORY, tuple(sweep.leaves))
    for name, along in over.items():
        if stored[name].dims != along:
            return f"{name} is over {', '.join(map(str, stored[name].dims))}, not {', '.join(along)}"
    finished, diverged = (stored[name].values for name in ("finished", "diverged"))
    if not (np.isin(finished, (0, 1)).all() and np.isin(diverged, (0, 1)).all()):
        return "finished and diverged must be 0 or 1"
    finished, sound = finished.astype(bool), finished.astype(bool) & ~diverged.astype(bool)
    for name in MEASURED[:4]:
        values, is_share = stored[name].values, name.endswith("accuracy")
        # Of a network that diverged the loss may be anything, its accuracy may not.
        known = values[finished if is_share else sound]
        if not np.all((known >= 0) & (known <= (1 if is_share else np.inf))):
            return f"{name} of a finished network is no {'share in [0, 1]' if is_share else 'loss >= 0'}"
        if not np.isnan(values[~finished]).all():
            return f"{name} has numbers of networks that are not finished"
    return None
