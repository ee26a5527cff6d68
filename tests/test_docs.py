"""The pages name what exists: functions of the package, and fields of what they return."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

import meanfield
from meanfield.interface.names import FLAT

ROOT = Path(__file__).parents[1]
HOUSE = Path(meanfield.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAME = re.compile(r"\bmf\.(\w+)")
# A call, its parentheses nested up to three deep, and a field of what it returns.
_INSIDE = r"[^()]*"
for _ in range(3):
    _INSIDE = rf"(?:[^()]|\({_INSIDE}\))*"
FIELD = re.compile(rf"\bmf\.(\w+)\({_INSIDE}\)\.([A-Za-z]\w*)")


@lru_cache
def _definitions(module: str) -> dict[str, ast.stmt]:
    """The functions and classes of a module, read and not imported: loading JAX would take longer than the test."""
    path = HOUSE / (module.replace(".", "/") + ".py")
    return {n.name: n for n in ast.parse(path.read_text()).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}


def _unknown_names(text: str) -> set[str]:
    return set(NAME.findall(text)) - set(meanfield.__all__)


def _fields(name: str) -> set[str] | None:
    """What an object of a public class, or a public function's result, has; None where its module does not say."""
    module = FLAT[name]
    known = _definitions(module).get(name)
    if isinstance(known, ast.FunctionDef) and isinstance(known.returns, ast.Name):
        # The class of a result may stand in a module of its own.
        known = _definitions(FLAT.get(known.returns.id, module)).get(known.returns.id)
    if not isinstance(known, ast.ClassDef):
        return None
    fields = {n.target.id for n in known.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    return fields | {n.name for n in known.body if isinstance(n, ast.FunctionDef)}


def _unknown_fields(text: str) -> set[str]:
    found = {(name, field) for name, field in FIELD.findall(text) if name in FLAT}
    known = {name: _fields(name) for name, _ in found}
    return {f"{name}().{field}" for name, field in found if known[name] is not None and field not in known[name]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_what_exists(page):
    text = page.read_text()
    assert not _unknown_names(text)
    assert not _unknown_fields(text)


def test_every_public_name_is_defined():
    assert not [name for name, module in FLAT.items() if name not in _definitions(module)]


def test_a_wrong_name_is_seen():
    assert _unknown_names("`mf.fixed_points(block)` and mf.initializers.he") == {"fixed_points"}
    text = "`mf.fixed_point(mf.MLP(phi, (1 + 2))).chi_2`, mf.critical(...).branches, mf.critical(phi).sigma"
    assert _unknown_fields(text) == {"fixed_point().chi_2", "critical().sigma"}


def test_the_page_of_theory_says_what_computes_each_formula():
    text = (ROOT / "docs" / "theory.md").read_text()
    blocks = {name for name, module in FLAT.items() if module.startswith("blocks.") and name[0].isupper()}
    quantities = {"fixed_point", "variance_map", "correlation_map", "trajectory", "critical", "edge_of_chaos"}
    quantities |= {"curvature", "extrinsic_curvature", "mode_decay", "growth", "solve_critical", "phase_diagram"}
    # What only composes, or only other blocks are made of, has no formula of its own.
    without = {"Block", "Pointwise", "Serial", "Sum", "Repeat"}
    assert blocks | quantities <= set(NAME.findall(text)) | without


def test_references_are_listed_and_used():
    text, references = (ROOT / "docs" / "theory.md").read_text().split("## References")
    listed = {(m[1], m[2]) for m in re.finditer(r"^- ([A-Z]\w+).*?\b(\d{4})\.", references, re.M)}
    assert len(listed) == references.count("\n- ")
    assert not [(who, year) for who, year in listed if who not in text]
