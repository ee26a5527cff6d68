"""What all blocks share: traits, composition, and that shipped ones are public."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import meanfield as mf
from meanfield.blocks.block import has_trait
from meanfield.interface.names import FLAT


@pytest.mark.parametrize(
    ("old", "new"),
    [("fresh", "independent_weights"), ("noisy", "per_input_noise"), ("couples", "couples_members")],
)
def test_former_traits_are_understood(old, new):
    with pytest.warns(DeprecationWarning, match=f"Mine.{old} is now called {new}") as said:
        Mine = type("Mine", (mf.Block,), {old: True})
    assert said[0].filename == __file__
    assert has_trait(dataclass(Mine)(), new)
    with pytest.warns(DeprecationWarning):
        Not = type("Not", (Mine,), {old: False})
    assert not has_trait(dataclass(Not)(), new)


def test_a_hyperparameter_of_a_former_name_is_no_trait():
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        @dataclass(frozen=True)
        class Blurred(mf.Block):
            noisy: float = 0.5

    assert not has_trait(Blurred(), "per_input_noise")


def test_a_block_of_the_first_version_still_maps():
    with pytest.warns(DeprecationWarning, match="fresh"):

        @jax.tree_util.register_dataclass
        @dataclass(frozen=True)
        class Halved(mf.Block):
            sigma_w: float = 1.0
            fresh = True

            def __call__(self, kernel):
                assert kernel.within is None and kernel.sphere == 0
                return kernel.settled().replace(across=None).scaled(self.sigma_w / 2)

    with pytest.warns(DeprecationWarning, match="is now called"):
        assert float(mf.variance_map(mf.Residual(Halved(2.0)), 3.0)) == 6.0


def test_what_a_kernel_never_had_is_an_attribute_error():
    kernel = mf.Kernel.single(jnp.ones(()))
    with pytest.raises(AttributeError, match="a Kernel has no attribute 'witin'"):
        kernel.witin  # noqa: B018


def test_every_shipped_block_is_public_or_made_by_a_public_name():
    for path in Path(mf.blocks.__file__).parent.glob("[a-z]*.py"):
        import_module(f"meanfield.blocks.{path.stem}")
    shipped = {kind.__name__ for kind in _kinds(mf.Block) if kind.__module__.startswith("meanfield.")}
    shipped = {name for name in shipped if not name.startswith("_")}
    assert {"Dense", "Attention"} <= shipped
    assert shipped - set(FLAT) == {"Convolution"}  # mf.Conv makes it


def _kinds(kind):
    for inner in kind.__subclasses__():
        yield inner
        yield from _kinds(inner)
