# ruff: noqa: E501  (a table: one row a line)
"""Every public call with values that are none for its arguments: one line that names the argument, at once.

A row is a call of one value, the word by which the message must name the argument, and the values. None may pass, hang
or end in a traceback of JAX or NumPy.
"""

from __future__ import annotations

import decimal
import fractions
import time
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import meanfield as mf
from meanfield.errors import InputError
from meanfield.initializers import critical as critical_rule
from meanfield.initializers import dks, fixup, gain, he, lecun, orthogonal, self_normalizing, tat, weight_standardized
from meanfield.training.coordinate_check import coordinate_check

HUGE = 10**400
NOT_A_NUMBER = ("1.5", b"1.5", 1j, True, fractions.Fraction(1, 2), decimal.Decimal("0.5"), HUGE, {}, object())
SINGLE = (*NOT_A_NUMBER, [1.0], (1.0,), np.ones(1), np.nan)
"""None of these is one number."""
NUMBER = (*SINGLE, None)
SIGMA = (*NOT_A_NUMBER, None, np.nan, -1.0, np.inf, 1e200, np.int8(3), np.ma.array(1.0, mask=True), [[1.0], [1.0, 2.0]])
WHOLE = (
    "3",
    b"3",
    2.5,
    3.0,
    1j,
    True,
    [3],
    (3,),
    np.ones(1),
    np.nan,
    np.inf,
    -1,
    HUGE,
    {},
    object(),
    fractions.Fraction(3),
)
BLOCK = (None, "tanh", 3, b"x", jnp.tanh, mf.Dense, ["tanh"], (), {}, object())
PHI = (
    None,
    3,
    b"tanh",
    "tahn",
    "",
    "x +",
    "import os",
    "x.y",
    "x[0]",
    "lambda: 1",
    ["tanh"],
    {},
    object(),
    np.tanh,
    mf.Dense,
)
KEY = ("0", b"0", 0.5, -1, None, [0], jnp.ones(2), True, HUGE)
WORD = (None, 3, b"x", "", "nonsense", ["mlp"], {}, True)
PATH = (None, 3, b"x", "", "nonsense", ["sigma_w"], lambda block: None, lambda block: 3, lambda block: block.none)
RANGE = (
    "1",
    b"1",
    None,
    [],
    (),
    (2.0, 1.0, -3),
    (1.0, 2.0, 10**12),
    [np.nan],
    [1j],
    ["a"],
    {},
    (-1.0, 1.0, 3),
    [[1.0]],
)
TANH = mf.MLP("tanh", 1.5, 0.3)
NET = {"depth": 2, "width": 8, "d_in": 4}


def _less(values, *allowed):
    return tuple(value for value in values if not any(value is one for one in allowed))


@cache
def _diagram():
    return mf.phase_diagram("tanh", [1.0, 2.0], [0.1, 0.2])


def _network(block=TANH, **sizes):
    return mf.networks.Network(block, **(NET | sizes), rngs=nnx.Rngs(0))


def _built(part):
    return mf.fixed_point(mf.MLP("tanh", 1.2, 0.1) >> part)


@cache
def _model():
    return _network(d_out=2)


X = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)

LABELS = np.zeros(8, int)


def _built_at(width, rngs):
    return mf.networks.Network(TANH, depth=2, width=width, d_in=4, d_out=2, rngs=rngs)


TABLE = {
    "activation": (mf.activation, "activation", PHI),
    "activation, parameter": (lambda v: mf.fixed_point(mf.MLP(mf.activation("leaky_relu", slope=v), 1.0)), "slope", NUMBER),
    "activation, of an expression": (lambda v: mf.activation("a * x", a=v), "a=", NUMBER),
    "activation, of a callable": (lambda v: mf.activation(lambda x, a: a * x, a=v), "a=", (*NOT_A_NUMBER, [1.0], None, np.nan)),
    "MLP, phi": (lambda v: mf.MLP(v, 1.5), "activation", PHI),
    "MLP, sigma_w": (lambda v: mf.MLP("tanh", v), "sigma_w", SIGMA),
    "MLP, sigma_b": (lambda v: mf.MLP("tanh", 1.0, v), "sigma_b", SIGMA),
    "Dense": (lambda v: _built(mf.Dense(v)), "sigma_w", SIGMA),
    "Activate": (lambda v: mf.fixed_point(mf.Activate(v) >> mf.Dense(1.0)), "activation", PHI),
    "GLU": (lambda v: mf.fixed_point(mf.GLU(v) >> mf.Dense(1.0)), "activation", PHI),
    "Dropout": (lambda v: _built(mf.Dropout(v) >> mf.Dense(1.0)), "rate", (*NUMBER, -0.1, 1.0, np.inf)),
    "Noise": (lambda v: _built(mf.Noise(v) >> mf.Dense(1.0)), "multiplicative", (*NUMBER, -0.1, np.inf)),
    "Noise, additive": (lambda v: _built(mf.Noise(0.0, v)), "additive", (*NUMBER, -0.1, np.inf)),
    "Residual": (lambda v: mf.fixed_point(mf.Residual(v)), "branch", BLOCK),
    "Residual, scale": (lambda v: mf.fixed_point(mf.Residual(TANH, v)), "scale", (*NUMBER, np.inf)),
    "Residual, skip": (lambda v: mf.fixed_point(mf.Residual(TANH, 1.0, v)), "skip", (*NUMBER, np.inf)),
    "Sum": (lambda v: mf.fixed_point(mf.Sum(v)), "branches", _less(BLOCK, ())),
    "Serial": (lambda v: mf.fixed_point(mf.Serial(v)), "blocks", _less(BLOCK, ())),
    "Repeat": (lambda v: mf.fixed_point(mf.Repeat(v, 2)), "block", BLOCK),
    "Repeat, depth": (lambda v: mf.fixed_point(mf.Repeat(TANH, v)), "depth", WHOLE),
    "LayerNorm": (lambda v: _built(mf.LayerNorm(v)), "gamma", (*NUMBER, np.inf)),
    "RMSNorm": (lambda v: _built(mf.RMSNorm(v)), "gamma", (*NUMBER, np.inf)),
    "BatchNorm": (lambda v: _built(mf.BatchNorm(v)), "batch_size", _less((*WHOLE, 1), None)),
    "BatchNorm, gamma": (lambda v: _built(mf.BatchNorm(None, v)), "gamma", (*NUMBER, np.inf)),
    "WeightStandardized": (lambda v: _built(mf.WeightStandardized(v)), "gain", (*NUMBER, np.inf)),
    "Attention": (lambda v: mf.fixed_point(mf.Attention(v)), "tokens", WHOLE),
    "Attention, sigma_v": (lambda v: mf.fixed_point(mf.Attention(4, v)), "sigma_v", SIGMA),
    "Conv": (lambda v: mf.Conv(v), "profile", (None, 3, b"x", "nonsense", [], ["a"], [1j], [-1.0, 2.0], [np.nan], [0.0], {})),
    "Conv, size": (lambda v: mf.Conv("uniform", size=v), "size", WHOLE),
    "architecture": (lambda v: mf.architecture(v, "tanh"), "architecture", WORD),
    "architecture, leaf": (lambda v: mf.architecture("dropout", "tanh", rate=v), "rate", (*NUMBER, 1.0)),
    "leaf": (lambda v: mf.leaf(TANH, v), "path", PATH),
    "leaf, block": (lambda v: mf.leaf(v, "sigma_w"), "block", BLOCK),
    "leaf_paths": (mf.leaf_paths, "block", BLOCK),
    "with_leaf": (lambda v: mf.with_leaf(TANH, v, 1.0), "path", PATH),
    "with_leaf, block": (lambda v: mf.with_leaf(v, "sigma_w", 1.0), "block", BLOCK),
    "with_leaf, value": (lambda v: mf.with_leaf(TANH, "sigma_w", v), "sigma_w", SIGMA),
    "to_json": (mf.to_json, "block", BLOCK),
    "from_json": (mf.from_json, "", (None, 3, b"\xff", "", "null", "3", "[]", "{", '{"type": "Block"}', '{"type": "os"}',
                                     '{"type": "Dense", "x": 1}', '{"type": ["Dense"]}', "[" * 10**5, '{"activation": "tanh"}',
                                     '{"type": "Dense", "sigma_w": "a"}', '{"type": "Serial", "blocks": 3}', '"Dense"', "NaN")),
    "fixed_point": (mf.fixed_point, "block", BLOCK),
    "fixed_point, q0": (lambda v: mf.fixed_point(TANH, v), "q0", (*NUMBER, -1.0, np.inf)),
    "variance_map": (lambda v: mf.variance_map(v, 1.0), "block", BLOCK),
    "variance_map, q": (lambda v: mf.variance_map(TANH, v), "q", (*NOT_A_NUMBER, None, np.nan, -1.0)),
    "correlation_map": (lambda v: mf.correlation_map(TANH, v), "c", (*NOT_A_NUMBER, None, np.nan, 1.5)),
    "correlation_map, q": (lambda v: mf.correlation_map(TANH, 0.5, v), "q", (*NOT_A_NUMBER, np.nan, -1.0)),
    "trajectory": (lambda v: mf.trajectory(v, 3), "block", BLOCK),
    "trajectory, depth": (lambda v: mf.trajectory(TANH, v), "depth", WHOLE),
    "trajectory, q0": (lambda v: mf.trajectory(TANH, 3, v), "q0", (*NOT_A_NUMBER, None, np.nan, -1.0, (1.0, 1.0, 1.0))),
    "trajectory, c0": (lambda v: mf.trajectory(TANH, 3, c0=v), "c0", (*NOT_A_NUMBER, None, np.nan, 1.5)),
    "curvature": (mf.curvature, "block", BLOCK),
    "curvature, q": (lambda v: mf.curvature(TANH, v), "q", (*_less(NUMBER, None), -1.0, np.inf)),
    "extrinsic_curvature": (lambda v: mf.extrinsic_curvature(TANH, v), "depth", WHOLE),
    "mode_decay": (lambda v: mf.mode_decay(mf.Activate("tanh") >> mf.Conv("uniform"), v), "positions", (*(v for v in WHOLE if not isinstance(v, (list, tuple))), [], (0,), (2.5,))),
    "growth": (mf.growth, "block", BLOCK),
    "growth, q0": (lambda v: mf.growth(mf.Residual(TANH), v), "q0", (*NUMBER, -1.0, np.inf)),
    "critical": (lambda v: mf.critical(v, sigma_b=0.1), "activation", PHI),
    "critical, sigma_b": (lambda v: mf.critical("tanh", sigma_b=v), "sigma_b", (*NOT_A_NUMBER, np.nan, None, -1.0, np.inf)),
    "critical, sigma_w": (lambda v: mf.critical("tanh", sigma_w=v), "sigma_w", (*NOT_A_NUMBER, np.nan, None, -1.0, np.inf)),
    "critical, q": (lambda v: mf.critical("tanh", q=v), "q", (*NOT_A_NUMBER, np.nan, None, -1.0, np.inf)),
    "edge_of_chaos": (lambda v: mf.edge_of_chaos(v, [1.0]), "activation", PHI),
    "edge_of_chaos, q": (lambda v: mf.edge_of_chaos("tanh", v), "q", RANGE),
    "solve_critical": (lambda v: mf.solve_critical(v, "sigma_w"), "block", BLOCK),
    "solve_critical, leaf": (lambda v: mf.solve_critical(TANH, v), "path", PATH),
    "solve_critical, bracket": (lambda v: mf.solve_critical(TANH, "sigma_w", v), "bracket",
                                (1.0, "a", b"ab", (1.0,), (2.0, 1.0), (1.0, 1.0), (1.0, np.nan), (1.0, np.inf), (1, 2, 3), (1j, 2), {}, ("a", "b"))),
    "solve_critical, q0": (lambda v: mf.solve_critical(TANH, "sigma_w", (1.0, 2.0), v), "q0", (*NUMBER, -1.0, np.inf)),
    "phase_diagram": (lambda v: mf.phase_diagram(v, [1.0], [0.1]), "activation", PHI),
    "phase_diagram, sigma_w": (lambda v: mf.phase_diagram("tanh", v, [0.1]), "sigma_w", _less(RANGE, None)),
    "phase_diagram, sigma_b": (lambda v: mf.phase_diagram("tanh", [1.0], v), "sigma_b", _less(RANGE, None)),
    "phase_diagram, q0": (lambda v: mf.phase_diagram("tanh", [1.0], [0.1], v), "q0", (*NUMBER, -1.0, np.inf)),
    "phase_diagram, x": (lambda v: mf.phase_diagram(TANH, x=v, y=("sigma_b", [0.1])), "x", ("sigma_w", 3, ("sigma_w",), {})),
    "phase_diagram, leaf": (lambda v: mf.phase_diagram(TANH, x=(v, [1.0]), y=("sigma_b", [0.1])), "", PATH),
    "PhaseDiagram.plot": (lambda v: _diagram().plot(v), "ax", ("xi_c", 3, b"x", [1], {})),
    "PhaseDiagram.save": (lambda v: _diagram().save(v), "path", (None, 3, b"\0", "a\0b", "/", ".", "\ud800", "x" * 5000, "/dev/full", "/no/such/folder/x.nc", "")),
    "PhaseDiagram.load": (lambda v: mf.PhaseDiagram.load(v) if hasattr(mf, "PhaseDiagram") else type(_diagram()).load(v), "path", (None, 3, b"\0", "a\0b", "/", ".", "\ud800", "x" * 5000, "/no/such.nc", "")),
    "recommend": (mf.recommend, "activation", PHI),
    "recommend, depth": (lambda v: mf.recommend("tanh", v), "depth", (*WHOLE, None)),
    "recommend, architecture": (lambda v: mf.recommend("tanh", 5, architecture=v), "architecture", WORD),
    "recommend, weights": (lambda v: mf.recommend("tanh", 5, weights=v), "weights", WORD),
    "check": (lambda v: mf.check(v, depth=2, width=16), "", _less(BLOCK, jnp.tanh)),
    "check, x": (lambda v: mf.check(TANH, v, depth=2, width=16), "x", ("a", b"a", 3, [1j], np.ones(3), np.full((4, 3), np.nan), np.ones((0, 3)), [["a"]], np.ones((1, 3)))),
    "check, depth": (lambda v: mf.check(TANH, depth=v, width=16), "depth", WHOLE),
    "check, width": (lambda v: mf.check(TANH, depth=2, width=v), "width", WHOLE),
    "check, seeds": (lambda v: mf.check(TANH, depth=2, width=16, seeds=v), "seeds", (*WHOLE, 1)),
    "check, alpha": (lambda v: mf.check(TANH, depth=2, width=16, alpha=v), "alpha", (*NUMBER, 0.0, 1.0)),
    "check, key": (lambda v: mf.check(TANH, depth=2, width=16, key=v), "key", KEY),
    "check, pairs": (lambda v: mf.check(TANH, depth=2, width=16, pairs=v), "pairs", ("a", b"a", 2.5, -1, 0, [], [(0,)], [(0, 10**6)], [(0.5, 1)], {}, [("a", "b")], True)),
    "measure": (lambda v: mf.measure(v, X), "model", (None, 3, "tanh", b"x", [], {}, object())),
    "measure, x": (lambda v: mf.measure(_model(), v), "x", ("a", b"a", 3, [1j], np.ones(3), np.full((4, 4), np.nan), [["a"]])),
    "compare_init": (lambda v: mf.compare_init(v, 3, measured=False), "activation", PHI),
    "compare_init, depth": (lambda v: mf.compare_init("tanh", v, measured=False), "depth", WHOLE),
    "compare_init, width": (lambda v: mf.compare_init("tanh", 3, width=v), "width", WHOLE),
    "compare_init, rules": (lambda v: mf.compare_init("tanh", 3, rules=v, measured=False), "rules", (3, "he", ["he"], {"a": 3}, {"a": "he"}, b"x")),
    "reinitialize": (lambda v: mf.reinitialize(v, he()), "model", (None, 3, "x", b"x", [], {}, object())),
    "reinitialize, initializer": (lambda v: mf.reinitialize(_model(), v), "initializer", (None, 3, "he", b"he", [], {})),
    "reinitialize, key": (lambda v: mf.reinitialize(_model(), he(), key=v), "key", KEY),
    "reinitialize, where": (lambda v: mf.reinitialize(_model(), he(), where=v), "where", (3, "kernel", b"x", [], {})),
    "lsuv": (lambda v: mf.initializers.lsuv(v, X), "model", (None, 3, "x", b"x", [], {}, object())),
    "lsuv, tolerance": (lambda v: mf.initializers.lsuv(nnx.Linear(4, 2, rngs=nnx.Rngs(0)), X, tolerance=v), "tolerance", (*NUMBER, -1.0, 0.0)),
    "lsuv, attempts": (lambda v: mf.initializers.lsuv(nnx.Linear(4, 2, rngs=nnx.Rngs(0)), X, attempts=v), "attempts", WHOLE),
    "he, slope": (lambda v: he(slope=v), "slope", (*NUMBER, np.inf)),
    "lecun, distribution": (lambda v: lecun(distribution=v), "distribution", WORD),
    "lecun, mode": (lambda v: lecun(mode=v), "mode", WORD),
    "rule, shape": (lambda v: lecun()(jax.random.key(0), v), "shape", (None, 3, "a", b"a", (-1, 3), (2.5, 3), ("a", 3), (HUGE, 3), (True, 3))),
    "rule, dtype": (lambda v: lecun()(jax.random.key(0), (4, 4), v), "dtype", ("nonsense", 3, b"x", jnp.int32, bool, complex, object(), "int8")),
    "rule, key": (lambda v: lecun()(v, (4, 4)), "key", _less(KEY)),
    "Orthogonal": (lambda v: mf.initializers.Orthogonal(v), "sigma_w", SIGMA),
    "Scaled": (lambda v: mf.initializers.Scaled(v), "sigma_w", SIGMA),
    "orthogonal, shape": (lambda v: orthogonal()(jax.random.key(0), v), "shape", (None, 3, "a", (-1, 3), (2.5, 3))),
    "initializers.critical": (lambda v: critical_rule(v, sigma_b=0.1), "activation", PHI),
    "initializers.critical, sigma_b": (lambda v: critical_rule("tanh", sigma_b=v), "sigma_b", (*NUMBER, -1.0)),
    "gain": (gain, "activation", PHI),
    "gain, kind": (lambda v: gain("tanh", v), "kind", WORD),
    "fixup": (fixup, "branches", WHOLE),
    "fixup, layers": (lambda v: fixup(3, v), "layers", WHOLE),
    "dks": (lambda v: dks(v, depth=5), "activation", PHI),
    "dks, depth": (lambda v: dks("tanh", depth=v), "depth", (*WHOLE, None)),
    "dks, zeta": (lambda v: dks("tanh", depth=5, zeta=v), "zeta", NUMBER),
    "tat, depth": (lambda v: tat("tanh", depth=v), "depth", WHOLE),
    "tat, eta": (lambda v: tat("leaky_relu", depth=5, eta=v), "eta", NUMBER),
    "self_normalizing": (self_normalizing, "activation", PHI),
    "self_normalizing, form": (lambda v: self_normalizing("elu", v), "form", _less(WORD, None)),
    "weight_standardized": (weight_standardized, "activation", PHI),
    "weight_standardized, sigma_b": (lambda v: weight_standardized("relu", v), "sigma_b", (*_less(NUMBER, None), -1.0)),
    "Network": (lambda v: _network(v), "block", BLOCK),
    "Network, depth": (lambda v: _network(depth=v), "depth", WHOLE),
    "Network, width": (lambda v: _network(width=v), "width", (*WHOLE, None)),
    "Network, d_in": (lambda v: _network(d_in=v), "d_in", (*WHOLE, None)),
    "Network, d_out": (lambda v: _network(d_out=v), "d_out", WHOLE),
    "Sweep": (mf.Sweep, "activation", _less(PHI)),
    "Sweep, sigma_w": (lambda v: mf.Sweep(sigma_w=v), "sigma_w", _less(RANGE, None, ())),
    "Sweep, sigma_b": (lambda v: mf.Sweep(sigma_b=v), "sigma_b", (*_less(NUMBER, None), -1.0)),
    "Sweep, depths": (lambda v: mf.Sweep(depths=v), "depths", ("a", b"a", None, [], (), [0], [2.5], [-1], [True], {}, [HUGE], 2.5)),
    "Sweep, width": (lambda v: mf.Sweep(width=v), "width", (*WHOLE, None)),
    "Sweep, steps": (lambda v: mf.Sweep(steps=v), "steps", (*WHOLE, None)),
    "Sweep, batch_size": (lambda v: mf.Sweep(batch_size=v), "batch_size", (*WHOLE, None)),
    "Sweep, learning_rate": (lambda v: mf.Sweep(learning_rate=v), "learning_rate", (*NUMBER, 0.0, -1.0, np.inf)),
    "Sweep, momentum": (lambda v: mf.Sweep(momentum=v), "momentum", (*NUMBER, 1.0, -1.0)),
    "Sweep, optimizer": (lambda v: mf.Sweep(optimizer=v), "optimizer", WORD),
    "Sweep, seeds": (lambda v: mf.Sweep(seeds=v), "seeds", (*WHOLE, None)),
    "Sweep, data": (lambda v: mf.Sweep(data=v), "data", (*WORD, np.ones(3))),
    "Sweep, data_path": (lambda v: mf.Sweep(data_path=v), "data_path", (3, b"\0", "a\0b", "\ud800")),
    "Sweep, key": (lambda v: mf.Sweep(key=v), "key", KEY),
    "Sweep, axes": (lambda v: mf.Sweep(axes=v), "", (3, "sigma_w", {"nonsense": [1.0]}, {"sigma_w": ["a"]}, {3: [1.0]}, {"depth": [0]}, {"seed": -1}, [("sigma_w",)], b"x")),
    "Sweep.from_json": (mf.Sweep.from_json, "", (None, 3, b"\xff", "", "null", "[]", "{", "3", '{"x": 1}', '{"width": "a"}', '"a"', "[" * 10**5, '{"activation": {"callable": "f"}}')),
    "train": (lambda v: mf.train(v), "sweep", (None, 3, "tanh", TANH, b"x", {})),
    "data.load": (mf.data.load, "data", WORD),
    "data.load, path": (lambda v: mf.data.load("mnist", v), "path", (3, b"\0", "a\0b", "/no/such", "\ud800", "x" * 5000)),
    "Dataset": (lambda v: mf.data.Dataset(v, np.zeros(4, int), np.ones((4, 3)), np.zeros(4, int), "mine", 2), "x_train", (None, "a", b"a", 3, [1j], np.ones(4), np.full((4, 3), np.nan), np.ones((0, 3)), [["a"] * 3] * 4, np.ones((3, 3)), {})),
    "Dataset, labels": (lambda v: mf.data.Dataset(np.ones((4, 3)), v, np.ones((4, 3)), np.zeros(4, int), "mine", 2), "y_train", (None, "a", 3, [0.5] * 4, [-1] * 4, [2] * 4, [1j] * 4, ["a"] * 4, [0] * 3, np.zeros((4, 1), int), {})),
    "Dataset, classes": (lambda v: mf.data.Dataset(np.ones((4, 3)), np.zeros(4, int), np.ones((4, 3)), np.zeros(4, int), "mine", v), "classes", (*WHOLE, None)),
    "referee": (lambda v: mf.referee(v, 1.0), "activation", PHI),
    "referee, q": (lambda v: mf.referee("tanh", v), "q", (*NOT_A_NUMBER, None, np.nan, -1.0, np.inf)),
    "referee, c": (lambda v: mf.referee("tanh", 1.0, v), "c", (*NOT_A_NUMBER, np.nan, 1.5)),
    "plots.depth_scales, x": (lambda v: mf.plots.depth_scales(v, _diagram()), "x", (None, "a", 3, {}, [1j])),
    "plots.depth_scales": (lambda v: mf.plots.depth_scales([1.0, 2.0], v), "result", (None, "a", 3, {})),
    "plots.schemes": (mf.plots.schemes, "result", (None, "a", 3, {})),
    "plots.trainability": (mf.plots.trainability, "result", (None, "a", 3, {})),
    "plots.trajectory, ax": (lambda v: mf.trajectory(TANH, 2).plot(v), "ax", ("q1", 3, b"x", [1], {})),
    "Network, kernel_init": (lambda v: _network(kernel_init=v), "kernel_init", (3, "he", b"x", {}, [])),
    "Network, dtype": (lambda v: _network(dtype=v), "dtype", ("int8", 3, int, bool, "nonsense", object())),
    "Network, rngs": (lambda v: mf.networks.Network(TANH, **NET, rngs=v), "rngs", (None, 3, "a", jax.random.key(0))),
    "Network, x": (lambda v: _model()(v), "x", ("a", None, b"x", np.ones((3, 5)), 3, [1j], np.ones(0), {})),
    "Network, memory": (lambda v: _network(width=v), "width", (10**12,)),
    "networks.MLP": (lambda v: mf.networks.MLP(v, **NET, rngs=nnx.Rngs(0)), "block", BLOCK),
    "preactivations": (lambda v: _model().preactivations(v), "x", ("a", None, np.ones((3, 5)), 3)),
    "train, path": (lambda v: mf.train(mf.Sweep(depths=(2,), sigma_w=[1.0]), v), "path", (3, b"x", "a\0b", "/no/such/x.nc", "\ud800", ["x"])),
    "train, resume": (lambda v: mf.train(mf.Sweep(depths=(2,), sigma_w=[1.0]), None, v), "resume", ("yes", 3, None, [])),
    "sigma_w_at": (lecun.sigma_w_at, "shape", (3, "a", (3,), (-1, 2), (2.5, 3), (0, 3))),
    "rule.block": (lecun.block, "activation", PHI),
    "Orthogonal, rescaled": (lambda v: mf.initializers.Orthogonal(1.0, 0.0, v), "rescaled", ("yes", 3, None, [])),
    "Fixup, slope": (lambda v: mf.initializers.Fixup(3, 2, v), "slope", (*NUMBER, np.inf)),
    "SkipInit": (mf.initializers.SkipInit, "alpha", (*NUMBER, np.inf)),
    "mup": (lambda v: mf.initializers.mup(v, {"a": np.ones((3, 3))}, {"a": np.ones((2, 2))}), "optimizer", (None, 3, "adam", b"x")),
    "lsuv, x": (lambda v: mf.initializers.lsuv(nnx.Linear(4, 2, rngs=nnx.Rngs(0)), v), "x", ("a", 3, None, np.ones((3, 5)), [["a"]], np.full((3, 4), np.nan))),
    "lsuv, call": (lambda v: mf.initializers.lsuv(nnx.Linear(4, 2, rngs=nnx.Rngs(0)), X, call=v), "call", (3, "a", b"x", [])),
    "reinitialize, bias_init": (lambda v: mf.reinitialize(_model(), he(), bias_init=v), "bias_init", (3, "a", b"x", [])),
    "recommend, depth_wanted": (lambda v: mf.recommend("tanh", 5, depth_wanted=v), "depth_wanted", WHOLE),
    "compare_init, seeds": (lambda v: mf.compare_init("tanh", 3, seeds=v), "seeds", (*WHOLE, 10**12)),
    "compare_init, key": (lambda v: mf.compare_init("tanh", 3, key=v), "key", KEY),
    "compare_init, measured": (lambda v: mf.compare_init("tanh", 3, measured=v), "measured", ("no", 3, None, [])),
    "trajectory, c_within": (lambda v: mf.trajectory(mf.Residual(mf.Attention(4)), 3, c_within=v), "c_within", (*NOT_A_NUMBER, None, np.nan, 2.0)),
    "extrinsic_curvature, start": (lambda v: mf.extrinsic_curvature(TANH, 3, v), "start", ("a", b"x", 1j, {}, True, np.nan, (1.0,), (1.0, 2.0, 3.0))),
    "coordinate_check, widths": (lambda v: coordinate_check(_built_at, v, X, LABELS, optimizer=optax.sgd), "widths", ("a", 3, [], [0], [2.5], None, [8], [HUGE], b"x")),
    "coordinate_check, x": (lambda v: coordinate_check(_built_at, [8, 16], v, LABELS, optimizer=optax.sgd), "x", ("a", None, 3, np.ones(3), {})),
    "coordinate_check, y": (lambda v: coordinate_check(_built_at, [8, 16], X, v, optimizer=optax.sgd), "y", ("a", None, 3, np.zeros(3, int), [0.5] * 8, {})),
    "huge trajectory": (lambda v: mf.trajectory(TANH, v), "depth", (10**9,)),
    "huge Repeat": (lambda v: mf.fixed_point(mf.Repeat(mf.Activate("tanh"), v)), "depth", (10**9,)),
    "huge Conv": (lambda v: mf.Conv("uniform", size=v), "size", (10**12,)),
    "huge mode_decay": (lambda v: mf.mode_decay(mf.Activate("tanh") >> mf.Conv("uniform", 1.5, 0.1), v), "positions", (10**12, (10**4, 10**4))),
    "huge check": (lambda v: mf.check(TANH, depth=2, width=16, seeds=v), "seeds", (10**12,)),
    "huge pairs": (lambda v: mf.check(TANH, depth=2, width=16, pairs=v), "pairs", (10**12,)),
    "Sweep.block_at": (lambda v: mf.Sweep(depths=(2,)).block_at(v), "", ("a", None, (1.0, 2.0, 3.0), ("a",), ())),
    "plots.phase_diagram": (mf.plots.phase_diagram, "result", (None, 3, "x", {}, [])),
    "plots.trajectory": (mf.plots.trajectory, "result", (None, 3, "x", {}, [])),
    "plots.edge_of_chaos": (mf.plots.edge_of_chaos, "curves", (None, 3, "x", [3])),
}  # fmt: skip


def _shown(value):
    try:
        return repr(value)[:40]
    except Exception:
        return type(value).__name__


def _fault(call, names, value):
    """What is wrong with the answer to a value that is none; empty if nothing is."""
    start = time.perf_counter()
    try:
        found = call(value)
    except InputError as error:
        text, slow = str(error), time.perf_counter() - start > 5
        if "\n" in text or len(text) > 500:
            return f"is {len(text)} characters in {text.count(chr(10)) + 1} lines"
        if names not in text:
            return f"does not name {names!r}: {text}"
        return "took more than 5 s" if slow else ""
    except Exception as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"
    return f"passed: {_shown(found)!r}"


@pytest.mark.parametrize("row", TABLE)
def test_malformed_values_are_refused_in_one_line(row):
    call, names, values = TABLE[row]
    _model(), _diagram()
    found = {f"{_shown(value)}": _fault(call, names, value) for value in values}
    faults = {value: fault for value, fault in found.items() if fault}
    assert not faults, "\n".join(f"{value}: {fault}" for value, fault in faults.items())


def test_the_table_is_large():
    assert sum(len(values) for _, _, values in TABLE.values()) >= 400
