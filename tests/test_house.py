"""The rules of the house: which way imports point, what `import meanfield` costs, and how code looks."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import meanfield
from meanfield.interface.names import ROOMS

HOUSE = Path(meanfield.__file__).parent
# A result's own picture is drawn by a room further down; the import is inside the method, so nothing is loaded before.
MAY_REACH_DOWN = {"plot": "plots"}
FILES = sorted(HOUSE.rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def _imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """The room of every import of ours in a file, and the function it is in (None at module level)."""
    package = ["meanfield", *path.relative_to(HOUSE).parts[:-1]]

    def visit(node: ast.AST, function: str | None) -> Iterator[tuple[str, str | None]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                targets = [alias.name.split(".") for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                module = base + (child.module.split(".") if child.module else [])
                targets = [module] if len(module) > 1 else [module + [alias.name] for alias in child.names]
            else:
                inside = child.name if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
                yield from visit(child, inside)
                continue
            yield from ((t[1], function) for t in targets if t[0] == "meanfield" and len(t) > 1)

    yield from visit(ast.parse(path.read_text()), None)


def _points_down(room: str, imports: Iterator[tuple[str, str | None]]) -> list[str]:
    allowed = ROOMS[: ROOMS.index(room) + 1]
    found = []
    for target, function in imports:
        if target in ROOMS and target not in allowed and MAY_REACH_DOWN.get(function or "") != target:
            found.append(f"{target} in {function or 'the module'}")
    return found


@pytest.mark.parametrize("path", [p for p in FILES if p.parent != HOUSE], ids=_name)
def test_imports_point_up(path):
    room = path.relative_to(HOUSE).parts[0]
    assert room in ROOMS, f"{room} is not a room of the house"
    if room != "cli":  # the last room: the flat public face is for it too
        assert not _points_down(room, _imports(path))


def test_an_import_that_points_down_is_seen():
    assert _points_down("theory", iter([("networks", None)]))
    assert _points_down("theory", iter([("plots", None)]))
    assert not _points_down("theory", iter([("plots", "plot"), ("gaussian", None), ("errors", None)]))
    assert ("errors", None) in list(_imports(HOUSE / "cli" / "app.py"))
    assert ("errors", None) in list(_imports(HOUSE / "gaussian" / "named.py"))  # a relative import


def _loaded_by(code: str) -> set[str]:
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_loads_no_heavy_dependency():
    heavy = {"flax", "optax", "matplotlib", "xarray", "optimistix", "quadax", "orbax"}
    loaded = _loaded_by("import meanfield")
    assert "meanfield" in loaded
    assert not heavy & loaded


def test_help_loads_no_jax():
    loaded = _loaded_by("from meanfield.cli.app import parser; parser().format_help()")
    assert not {"jax", "numpy", "matplotlib", "rich"} & loaded


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_only_the_public_jax(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.startswith(("jax._src", "jax.interpreters", "jax.core")) for name in names), names
    assert "jax._src" not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_rooms_not_drawers(path):
    assert path.stem not in {"utils", "util", "helpers", "misc", "common"}
    assert len(path.read_text().splitlines()) <= 400


def _public(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.AST]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield owner + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node, f"{node.name}.")


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_public_names_have_docstrings(path):
    tree = ast.parse(path.read_text())
    # Modules whose name starts with an underscore, and classes inside them, are public to nobody.
    assert ast.get_docstring(tree), "the module says what it is"
    bare = [name for name, node in _public(tree) if not ast.get_docstring(node)]
    assert not bare, f"no docstring: {bare}"


def test_type_information_is_shipped():
    assert (HOUSE / "py.typed").exists()
