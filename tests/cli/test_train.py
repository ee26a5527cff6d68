"""`meanfield train` and `check` of an architecture, and of any leaf of its block."""

from __future__ import annotations

import json

import pytest

from meanfield.cli import main

SIZES = ["--width", "16", "--steps", "3", "--depths", "2", "3"]


@pytest.mark.slow
def test_a_leaf_of_an_architecture_is_an_axis(tmp_path, capsys):
    figure = tmp_path / "map.png"
    words = ["train", "tanh", "--architecture", "dropout", "--set", "sigma_w=1.5", "--axis", "rate", "0", "0.4", "3"]
    assert main([*words, *SIZES, "-o", str(figure)]) == 0
    said = capsys.readouterr().out
    assert "by depth and rate" in said and "6 xi_c" in said
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_two_leaves_are_told_in_words(capsys):
    words = ["train", "tanh", "--sigma-w", "1", "2", "2", "--axis", "sigma_b", "0.1", "0.4", "2", *SIZES]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sigma_b"] == [0.1, 0.4] and found["sweep"]["axes"] == [["sigma_b", [0.1, 0.4]]]
    assert len(found["train_accuracy"][0]) == len(found["xi_c"]) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--axis", "slope", "0", "1", "3"], "names no leaf"),
        (["--axis", "sigma_b", "0", "one", "3"], "--axis"),
        (["--architecture", "batch_norm"], "BatchNorm"),
        (["--architecture", "resnet"], "architecture='resnet'"),
    ],
)
def test_bad_axes_are_one_line(words, says, capsys):
    assert main(["train", "tanh", *words]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_check_of_an_architecture(capsys):
    words = [
        "check",
        "tanh",
        "--sigma-w",
        "1.2",
        "--sigma-b",
        "0.3",
        "--architecture",
        "residual",
        "--set",
        "scale=0.5",
    ]
    assert main([*words, "--depth", "3", "--width", "100", "--seeds", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["name"].startswith("Residual(") and found["corrected"] is False
