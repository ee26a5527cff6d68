"""The configuration of a sweep: accepted values, its manifest, its cost."""

import dataclasses
import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf
from meanfield.errors import InputError
from meanfield.training import Sweep


def test_defaults_are_the_published_setting():
    sweep = Sweep()
    assert sweep.sigma_b**2 == pytest.approx(0.05)  # Schoenholz et al. 2017, figure 5
    assert sweep.sigma_w[0] ** 2 == 1.0 and sweep.sigma_w[-1] ** 2 == 4.0
    assert sweep.depths[-1] / sweep.width <= 0.5 and sweep.warnings == ()


def test_ranges_include_both_ends_and_lists_are_values():
    assert Sweep(sigma_w=(1.0, 2.0, 3)).sigma_w == (1.0, 1.5, 2.0)
    assert Sweep(sigma_w=[2.0, 1.0, 2.0]).sigma_w == (1.0, 2.0)
    assert Sweep(sigma_w=np.array([math.sqrt(2)])).sigma_w == (math.sqrt(2),)
    assert Sweep(sigma_w=1.5).sigma_w == (1.5,)
    assert Sweep(depths=(2, 8, 4)).depths == (2, 4, 8)  # never a range


def test_replacing_a_field_keeps_the_others():
    sweep = Sweep(sigma_w=(1.0, 2.0, 3))
    assert dataclasses.replace(sweep, width=256).sigma_w == sweep.sigma_w


def test_manifest_survives_json():
    sweep = Sweep(activation="relu", sigma_w=[math.sqrt(2)], depths=(3, 5), seeds=2, optimizer="adam", key=7)
    assert Sweep.from_json(sweep.to_json()) == sweep
    assert sweep.differences(json.loads(sweep.to_json())) == []


def test_manifest_names_what_differs():
    sweep = Sweep()
    stored = json.loads(dataclasses.replace(sweep, width=256, key=1).to_json())
    assert sweep.differences(stored) == ["width: 256 -> 128", "key: 1 -> 0"]


def test_two_callables_of_one_name_differ():
    def phi(x):
        return x / (1 + x**2)

    first = Sweep(activation=phi)

    def phi(x):
        return 2 * x / (1 + x**2)

    assert Sweep(activation=phi).differences(json.loads(first.to_json())) == [
        "activation: another function of the same name"
    ]


def test_parameters_are_in_the_manifest():
    def leaky(slope):
        return Sweep(mf.activation("leaky_relu", slope=slope), depths=(2,))

    far = [Sweep(mf.activation("where(x > 30, a * x, tanh(x))", a=a), depths=(2,)) for a in (1.0, 2.0)]
    for one, other in ((leaky(0.3), leaky(0.1)), far):
        assert Sweep.from_json(one.to_json()).to_json() == one.to_json()
        (difference,) = [text for text in one.differences(json.loads(other.to_json())) if "->" in text]
        assert difference.startswith("activation: ")


def test_a_callable_is_not_read_back_as_the_function_of_its_name():
    def tanh(x):
        return jnp.tanh(3 * x)

    sweep = Sweep(tanh)
    with pytest.raises(InputError, match="is a callable"):
        Sweep.from_json(sweep.to_json())
    first = json.loads(sweep.to_json()) | {"activation": "tanh"}  # as the first version wrote it
    first["activation_values"] = first["activation_values"][:5]
    with pytest.raises(InputError, match="another function"):
        Sweep.from_json(json.dumps(first))
    assert sweep.differences(first) == []


def test_three_values_stay_values_when_a_field_is_replaced():
    sweep = Sweep("leaky_relu", sigma_w=[1.0, 2.0, 4.0], axes={"slope": [0.1, 0.2, 0.4]})
    assert dataclasses.replace(sweep, width=64).leaves == sweep.leaves


def test_a_deep_narrow_grid_warns():
    (warning,) = Sweep(depths=(8, 64), width=64).warnings
    assert "width >= 128" in warning


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("depths", (0, 4), "depths=0"),
        ("depths", (2.5,), "depths=2.5"),
        ("depths", (), "depths"),
        ("sigma_w", [-1.0], "sigma_w=-1.0"),
        ("sigma_w", [math.nan], "sigma_w=[nan]"),
        ("sigma_w", (1.0, math.inf, 3), "sigma_w=(1.0, inf, 3)"),
        ("sigma_w", (1.0, 2.0, 0), "sigma_w=(1.0, 2.0, 0)"),
        ("sigma_w", (2.0, 1.0, 3), "sigma_w=(2.0, 1.0, 3)"),
        ("sigma_w", "wide", "sigma_w='wide'"),
        ("sigma_b", -0.1, "sigma_b=-0.1"),
        ("sigma_w", b"1", "sigma_w=b'1'"),
        ("sigma_w", (1, 2, 2.5), "give a list"),
        ("sigma_w", (1.0, 2.0, 10**9), "at most 100000"),
        ("sigma_b", 10**400, "sigma_b="),
        ("depths", range(10**12), "more than 100000"),
        ("data_path", 3, "data_path=3"),
        ("width", 10**12, "too large"),
        ("width", 0, "width=0"),
        ("steps", True, "steps=True"),
        ("learning_rate", 0.0, "learning_rate=0.0"),
        ("momentum", 1.0, "momentum=1.0"),
        ("optimizer", "sdg", "did you mean 'sgd'"),
        ("seeds", 0, "seeds=0"),
        ("key", -1, "key=-1"),
        ("activation", "tanhh", "tanh"),
        ("data", 3, "data=3"),
        ("data", "digitz", "did you mean 'digits'"),
    ],
)
def test_bad_fields_are_one_line_naming_the_field(field, value, says):
    with pytest.raises(InputError) as caught:
        Sweep(**{field: value})
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(InputError, match="batch_size=5000"):
        Sweep(batch_size=5000).cost()


def test_a_manifest_that_is_none_is_refused():
    for text in ("{", '"words"', '{"colour": 3}'):
        with pytest.raises(InputError, match="manifest"):
            Sweep.from_json(text)


def test_cost_grows_with_the_grid():
    small = Sweep(sigma_w=(1.0, 2.0, 2), depths=(4,), width=32, steps=10).cost()
    large = Sweep(sigma_w=(1.0, 2.0, 4), depths=(4,), width=32, steps=10).cost()
    assert small.networks == 2 and large.networks == 4
    # (64 + 1) 32 in the first layer, three hidden layers of (32 + 1) 32, (32 + 1) 10 in the readout
    assert small.parameters == 2 * (65 * 32 + 3 * 33 * 32 + 33 * 10)
    assert large.flops == pytest.approx(2 * small.flops)
    assert 0 < small.seconds < 60 and "2 networks" in str(small)


def test_axes_say_what_the_keywords_say():
    by_keyword = Sweep("relu", sigma_w=(1.0, 2.0, 3), depths=(4, 8), seeds=2)
    assert Sweep("relu", axes={"sigma_w": (1.0, 2.0, 3), "depth": (4, 8), "seed": 2}) == by_keyword
    assert Sweep("relu", axes={"seed": [0, 1], "sigma_w": [1.0, 1.5, 2.0]}, depths=(4, 8)) == by_keyword
    assert by_keyword.leaves == {"sigma_w": (1.0, 1.5, 2.0)} and by_keyword.axes == ()
    assert "axes" not in by_keyword.manifest()  # files of the first version have none


def test_a_blocks_own_sigmas_are_honoured():
    block = mf.Residual(mf.MLP("tanh", 1.7, 0.4), scale=0.5)
    sweep = Sweep(block, axes={"scale": [0.5, 0.1]}, depths=(2,))
    assert sweep.leaves == {"scale": (0.1, 0.5)} and sweep.shape == (1, 2, 1)
    assert mf.leaf(sweep.block_at((0.1,)), "sigma_w") == 1.7 and mf.leaf(sweep.block_at((0.1,)), "scale") == 0.1
    assert Sweep(block, sigma_w=[1.0], axes={"scale": [0.1]}).shape == (8, 1, 1, 1)
    assert mf.leaf(Sweep(block, sigma_b=0.1).block, "sigma_b") == 0.1
    assert Sweep(block).shape == (8, 1)


def test_the_manifest_of_a_block_survives_json():
    block = mf.Activate("tanh") >> mf.Dropout(0.1) >> mf.Dense(1.5, 0.2)
    sweep = Sweep(block, axes={"rate": (0.0, 0.5, 3)}, depths=(2,))
    again = Sweep.from_json(sweep.to_json())
    assert again == sweep and sweep.differences(json.loads(sweep.to_json())) == []
    stored = json.loads(Sweep(block, depths=(2,)).to_json())
    assert sweep.differences(stored) == ["axes: None -> [['rate', [0.0, 0.25, 0.5]]]"]
    assert Sweep(block, depths=(2,)).differences(json.loads(sweep.to_json()))
    assert dataclasses.replace(sweep, width=64).axes == sweep.axes


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ({"slope": [0.1]}, "names no leaf of the block"),
        ({"rate": [0.5, 1.0]}, "rate=1.0"),
        ({"sigma_w": [-1.0]}, "sigma_w=-1.0"),
        ({"depth": (0,)}, "depth=0"),
        ({"seed": [3, 5]}, "seed=[3, 5]"),
        ({"rate": "many"}, "rate='many'"),
        (3, "axes=3"),
    ],
    ids=str,
)
def test_bad_axes_are_one_line_naming_them(axes, says):
    block = mf.Activate("tanh") >> mf.Dropout(0.1) >> mf.Dense(1.5, 0.2)
    with pytest.raises(InputError) as caught:
        Sweep(block, axes=axes)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "part", [mf.BatchNorm(), mf.Attention(4), mf.Conv("uniform")], ids=lambda part: type(part).__name__
)
def test_blocks_that_need_more_than_one_flat_input_are_refused(part):
    with pytest.raises(InputError, match=type(part).__name__):
        Sweep(mf.MLP("tanh", 1.0) >> part)


def test_a_function_called_tanh_is_not_tanh():
    def tanh(x):
        return jnp.tanh(3 * x)

    own, builtin = Sweep(tanh, depths=(2,)), Sweep("tanh", depths=(2,))
    with pytest.raises(InputError, match="callable, which has no JSON form"):
        Sweep.from_json(own.to_json())
    assert own.differences(json.loads(builtin.to_json())) and builtin.differences(json.loads(own.to_json()))
    # As the first version wrote it: by its name.
    former = json.loads(builtin.to_json()) | {"activation_values": json.loads(own.to_json())["activation_values"]}
    with pytest.raises(InputError, match="another function"):
        Sweep.from_json(json.dumps(former))


def test_parameters_are_written_and_read():
    sweep = Sweep(mf.activation("leaky_relu", slope=0.3), depths=(2,))
    assert Sweep.from_json(sweep.to_json()) == sweep
    assert sweep.differences(json.loads(Sweep("leaky_relu", depths=(2,)).to_json()))


def test_a_cell_has_a_value_for_each_leaf():
    with pytest.raises(InputError, match="one for each of sigma_w"):
        Sweep("tanh", depths=(2,)).block_at((1.0, 2.0))
