"""The pages name what exists (functions, fields of results, files), and their code runs.

Each rule is a function that returns what is wrong; each is shown to find something, since a filter that matches nothing
passes forever.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import meanfield
from meanfield.interface.names import FLAT

ROOT = Path(__file__).parents[1]
HOUSE = Path(meanfield.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*PAGES, ROOT / "CONTRIBUTING.md"]
THEORY = (ROOT / "docs" / "theory.md").read_text()
NAME = re.compile(r"\bmf\.(\w+)")
# A call, its parentheses nested up to three deep, and a field of what it returns.
_INSIDE = r"[^()]*"
for _ in range(3):
    _INSIDE = rf"(?:[^()]|\({_INSIDE}\))*"
FIELD = re.compile(rf"\bmf\.(\w+)\({_INSIDE}\)\.([A-Za-z]\w*)")
# A file in backquotes ("theory/maps.py"), or the target of a link.
FILE = re.compile(r"`([\w./]+/[\w.]+\.(?:py|md|nc|png|json))`|\]\(([\w./]+)\)")
# A row of the changelog's table of moves: | was | is |.
MOVE = re.compile(r"^\| (`[^|]*/[^|]*) \| ([^|]*) \|$", re.M)


@lru_cache
def _definitions(module: str) -> dict[str, ast.stmt]:
    """The functions and classes of a module, read and not imported: loading JAX would take longer than the test."""
    path = HOUSE / (module.replace(".", "/") + ".py")
    return {n.name: n for n in ast.parse(path.read_text()).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}


def _unknown_names(text: str) -> set[str]:
    return set(NAME.findall(text)) - set(meanfield.__all__)


def _fields(name: str) -> set[str] | None:
    """The attributes of a public class, or of a public function's result; None if its module does not declare it."""
    module = FLAT[name]
    known = _definitions(module).get(name)
    if isinstance(known, ast.FunctionDef) and isinstance(known.returns, ast.Name):
        # The class of a result may be defined in another module.
        known = _definitions(FLAT.get(known.returns.id, module)).get(known.returns.id)
    if not isinstance(known, ast.ClassDef):
        return None
    fields = {n.target.id for n in known.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    return fields | {n.name for n in known.body if isinstance(n, ast.FunctionDef)}


def _unknown_fields(text: str) -> set[str]:
    found = {(name, field) for name, field in FIELD.findall(text) if name in FLAT}
    known = {name: _fields(name) for name, _ in found}
    return {f"{name}().{field}" for name, field in found if known[name] is not None and field not in known[name]}


def _missing_files(text: str) -> set[str]:
    """Files that a page names or links to, and that are neither in the repository nor in the package."""
    named = {a or b for a, b in FILE.findall(text)}
    return {name for name in named if not any((place / name).exists() for place in (ROOT, ROOT / "docs", HOUSE))}


def test_the_pages_are_found():
    assert {"README.md", "accuracy.md", "blocks.md", "theory.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_what_exists(page):
    text = page.read_text()
    assert not _unknown_names(text)
    assert not _unknown_fields(text)


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_files_that_pages_name_exist(page):
    assert not _missing_files(page.read_text())


def test_a_wrong_name_is_seen():
    assert _unknown_names("`mf.fixed_points(block)` and mf.initializers.he") == {"fixed_points"}
    text = "`mf.fixed_point(mf.MLP(phi, (1 + 2))).chi_2`, mf.critical(...).branches, mf.critical(phi).sigma"
    assert _unknown_fields(text) == {"fixed_point().chi_2", "critical().sigma"}
    assert FIELD.findall(THEORY), "the page of the theory names fields of results"


def test_a_missing_file_is_seen():
    assert _missing_files("`theory/map.py`, `theory/maps.py`, [x](docs/none.md)") == {"theory/map.py", "docs/none.md"}
    assert len(FILE.findall((ROOT / "CONTRIBUTING.md").read_text())) > 5


def _undefined(table: dict[str, str]) -> list[str]:
    return [name for name, module in table.items() if name not in _definitions(module)]


def test_every_public_name_is_defined():
    assert not _undefined(FLAT)
    assert _undefined({"nonsense": FLAT["fixed_point"]}) == ["nonsense"]


def _moved_to(text: str) -> set[str]:
    """The modules in the right column of the changelog's table of moves."""
    return {name for _, right in MOVE.findall(text) for name in re.findall(r"`([\w/]+\.py)`", right)}


def test_the_changelog_names_modules_that_exist():
    moved = _moved_to((ROOT / "CHANGELOG.md").read_text())
    assert len(moved) > 20 and {"solvers/fixed_gap.py", "interface/labels.py"} <= moved
    assert not {name for name in moved if not (HOUSE / name).exists()}
    assert _moved_to("| `theory/a.py`, `theory/b.py` | `solvers/c.py`, `tables/d.py` |") == {
        "solvers/c.py",
        "tables/d.py",
    }


def _without_formula(text: str) -> set[str]:
    """Blocks and quantities that the page of the theory does not mention."""
    blocks = {name for name, module in FLAT.items() if module.startswith("blocks.") and name[0].isupper()}
    quantities = {"fixed_point", "variance_map", "correlation_map", "trajectory", "critical", "edge_of_chaos"}
    quantities |= {"curvature", "extrinsic_curvature", "mode_decay", "growth", "solve_critical", "phase_diagram"}
    # What only composes other blocks, or is a base class, has no formula of its own.
    without = {"Block", "Pointwise", "Serial", "Sum", "Repeat"}
    return (blocks | quantities) - set(NAME.findall(text)) - without


def test_the_page_of_theory_says_what_computes_each_formula():
    assert not _without_formula(THEORY)


def test_a_block_without_a_formula_is_seen():
    assert _without_formula(THEORY.replace("mf.Dropout", "").replace("mf.curvature", "")) == {"Dropout", "curvature"}


def _references(text: str) -> tuple[set[tuple[str, str]], set[str], int]:
    """Author and year of every reference, those authors that the text does not cite, and the number of lines."""
    body, references = text.split("## References")
    listed = {(m[1], m[2]) for m in re.finditer(r"^- ([A-Z]\w+).*?\b(\d{4})\.", references, re.M)}
    return listed, {who for who, _ in listed if who not in body}, references.count("\n- ")


def test_references_are_listed_and_used():
    listed, unused, lines = _references(THEORY)
    assert len(listed) == lines > 20
    assert not unused


def test_an_unused_reference_is_seen():
    assert _references("Poole et al.\n## References\n\n- Poole 2016. Title.\n- Nobody 1999. Title.")[1:] == (
        {"Nobody"},
        2,
    )


def _snippets(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def _run(page: str, space: dict[str, Any]) -> dict[str, Any]:
    """The names that a page's code leaves, run from top to bottom."""
    space |= {"__name__": "docs"}
    for snippet in _snippets(page):
        # Without this file's own `from __future__ import annotations`.
        exec(compile(snippet, page, "exec", dont_inherit=True), space)
    return space


@pytest.mark.slow
def test_the_page_of_blocks_runs(capsys):
    found = _run("docs/blocks.md", {})
    assert len(_snippets("docs/blocks.md")) >= 4 and "chi_1" in capsys.readouterr().out
    assert found["grid"].chi_1.shape == (2, 3)


def test_a_block_of_your_own_is_ten_lines():
    own = next(s for s in _snippets("docs/blocks.md") if "class DropConnect" in s)
    assert len([line for line in own[own.index("@jax") :].splitlines() if line.strip()]) <= 10


@pytest.mark.slow
def test_the_readme_runs(tmp_path, monkeypatch):
    from flax import nnx

    monkeypatch.chdir(tmp_path)
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(8, 16, rngs=rngs), nnx.relu, nnx.Linear(16, 4, rngs=rngs))
    found = _run("README.md", {"nnx": nnx, "rngs": rngs, "model": model, "x": rngs.normal((32, 8))})
    assert len(_snippets("README.md")) == 3 and found["point"].status == "converged"
    assert found["mf"].PhaseDiagram.load("silu.nc").chi_1.shape == (250, 300)
