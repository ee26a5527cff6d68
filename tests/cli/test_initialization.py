"""The verbs recommend and compare-init."""

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
    assert "no sigma_w, sigma_b trains" in said and "sigma_w = undefined" in said


def test_compare_init(capsys, tmp_path):
    picture = tmp_path / "relu.png"
    assert main(["compare-init", "relu", "--depth", "30", "--theory", "-o", str(picture)]) == 0
    said = capsys.readouterr().out
    rows = {line.split("  ")[0]: line for line in said.splitlines()[2:]}
    assert rows["he"].rstrip().endswith("trains") and rows["glorot"].rstrip().endswith("gradients vanish")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main(["compare-init", "relu", "--depth", "30", "--theory", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    at = dict(zip(found["schemes"], found["q_end"], strict=True))
    assert at["glorot"] == pytest.approx(2.0**-30, rel=1e-9) and found["measured_q_end"][0] is None


@pytest.mark.parametrize("argv", [["recommend", "relu", "--depth", "0"], ["compare-init", "rellu"],
                                  ["recommend", "tanh", "--architecture", "rnn"]])  # fmt: skip
def test_bad_input(argv, capsys):
    assert main(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1
