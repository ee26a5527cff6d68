"""The verb recommend."""

from __future__ import annotations

import json

import pytest

from meanfield.cli import main


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("MEANFIELD_CACHE", "off")


def test_recommend_for_machines(capsys):
    assert main(["recommend", "relu", "--depth", "30", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sigma_w"] == pytest.approx(2**0.5) and found["xi_c"] == "inf"
    assert found["status"] == "critical" and "class Net(nnx.Module)" in found["nnx"] and "nn.Dense" in found["linen"]


def test_recommend_for_readers(capsys):
    assert main(["recommend", "step", "--code", "linen"]) == 0
    said = capsys.readouterr().out
    assert "no sigma_w, sigma_b makes a deep plain network trainable" in said and "sigma_w = undefined" in said


@pytest.mark.parametrize("options", [["relu", "--depth", "0"], ["tanh", "--architecture", "rnn"]])
def test_bad_input(options, capsys):
    assert main(["recommend", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
