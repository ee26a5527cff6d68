"""The verb `curvature`: at given sigmas, and at the critical sigma_w where none is given."""

import json

import pytest

from meanfield.cli import main


def test_without_sigma_w_the_critical_one_is_found(capsys):
    assert main(["curvature", "tanh", "--sigma-b", "0.22360679774997896", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # sigma_w^2 = 1.760955 and kappa = 6.1711: binary128, a kink-split Gauss-Legendre rule.
    assert found["sigma_w"] ** 2 == pytest.approx(1.760955, rel=1e-6)
    assert found["kappa"] == pytest.approx(6.1711, rel=1e-5)
    assert (found["critical"], found["coefficient"]) == (True, "inf")


def test_as_a_table(capsys):
    assert main(["curvature", "tanh", "--sigma-w", "1.5", "--sigma-b", "0.3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("tanh, sigma_w = 1.5, sigma_b = 0.3\n")
    assert "kappa = undefined" in printed


def test_what_is_missing_is_said(capsys):
    assert main(["curvature", "softplus", "--sigma-b", "0.3"]) == 2
    assert "no critical sigma_w" in capsys.readouterr().err
    assert main(["curvature", "tanh", "--sigma-w", "1.5"]) == 2
    assert "--sigma-b" in capsys.readouterr().err
