"""Values as JSON and as figures."""

import dataclasses
import json

import numpy as np
import pytest

from meanfield.cli import show


@dataclasses.dataclass(frozen=True)
class Word:
    code: np.ndarray
    words = ("converged", "zero")


@dataclasses.dataclass(frozen=True)
class Found:
    q_star: float
    xi: np.ndarray
    status: Word


def test_json_is_strict_and_says_words(capsys):
    show.print_json(Found(np.float64("nan"), np.array([np.inf, -np.inf, 1.5]), Word(np.int8(0))))
    assert json.loads(capsys.readouterr().out) == {"q_star": None, "xi": ["inf", "-inf", 1.5], "status": "converged"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.76095463964, "1.7609546396"), (float("nan"), "undefined"), (-np.inf, "-inf"), (True, "yes")],
)
def test_figures(value, text):
    assert show.figures(value) == text


def test_lines_align_at_the_equals_sign(capsys):
    show.print_quantities("title", [("sigma_w^2", 1.5, "a"), ("q*", 2.0, "[red] is no markup")])
    title, first, second = capsys.readouterr().out.splitlines()
    assert first.index("=") == second.index("=")
    assert "sigma_w^2 = 1.5" in first
    assert "q* = 2" in second
    assert "[red]" in second
