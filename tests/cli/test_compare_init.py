"""The verb compare-init."""

from __future__ import annotations

import json

import pytest

from meanfield.cli import main


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("MEANFIELD_CACHE", "off")


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


@pytest.mark.parametrize("options", [["rellu"], ["relu", "--seeds", "two"]])
def test_bad_input(options, capsys):
    assert main(["compare-init", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
