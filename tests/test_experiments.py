"""Every script of experiments/ documents its figure and its command."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path for path in (ROOT / "experiments").glob("*.py"))


def _said(source: str) -> str:
    return ast.get_docstring(ast.parse(source)) or ""


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_says_its_command(path):
    assert f"python experiments/{path.name}" in _said(path.read_text())


def test_scripts_are_found():
    assert {"accuracy.py", "leaf_diagrams.py"} <= {path.name for path in SCRIPTS}
    assert not _said("import meanfield as mf")
