"""The rules of the house: the direction of imports, the cost of `import meanfield`, and the layout of code and tests.

Each rule is a function that returns violations, and each is shown to find one, since a rule that looks in the wrong
place passes forever.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import meanfield
from meanfield.interface.names import FLAT, ROOMS

HOUSE = Path(meanfield.__file__).parent
TESTS = Path(__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
# A result is drawn by a room further down; the import is inside the method, so nothing is loaded before.
MAY_REACH_DOWN = {"plot": "plots"}
LARGEST_ROOM = 0.15
DRAWERS = {"utils", "util", "helpers", "helper", "misc", "common", "tools", "core", "base", "lib", "shared", "support"}
# Tests of what several modules do together; every other file of tests is named after the module that it tests.
ACROSS_MODULES = {
    "blocks/test_conformance.py",  # every block against its definition
    "data/test_bad_files.py",  # load and every reader
    "plots/test_pictures.py",  # every picture, on made-up results
    "theory/test_architectures.py",  # the papers' numbers of residual, noisy, normalized, ... networks
    "theory/test_float32.py",  # every quantity under the user's own jit
    "theory/test_surrogates.py",  # straight-through estimators, from activation to network
    "theory/test_golden.py",  # the table of high-precision references
}


class Import(NamedTuple):
    """An import of ours: the room (or top module) it reaches, the function it is in, and whether it is relative."""

    room: str
    function: str | None
    relative: bool


def _name(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def _imports(source: str, package: Iterable[str]) -> Iterator[Import]:
    """Every import of ours in a module of a package; a function of None is the module itself."""
    package = list(package)

    def visit(node: ast.AST, function: str | None) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            level = 0
            if isinstance(child, ast.Import):
                targets = [alias.name.split(".") for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                level = child.level
                base = package[: len(package) - level + 1] if level else []
                module = base + (child.module.split(".") if child.module else [])
                targets = [module] if len(module) > 1 else [module + [alias.name] for alias in child.names]
            else:
                inside = child.name if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
                yield from visit(child, inside)
                continue
            yield from (Import((*t, "")[1], function, level > 0) for t in targets if t[0] == "meanfield")

    yield from visit(ast.parse(source), None)


def _imports_of(path: Path) -> list[Import]:
    return list(_imports(path.read_text(), ["meanfield", *path.relative_to(HOUSE).parts[:-1]]))


def _points_down(room: str, imports: Iterable[Import]) -> list[Import]:
    below = ROOMS[ROOMS.index(room) + 1 :]
    return [i for i in imports if i.room in below and MAY_REACH_DOWN.get(i.function or "") != i.room]


@pytest.mark.parametrize("path", [p for p in FILES if p.parent != HOUSE], ids=_name)
def test_imports_point_up(path):
    room = path.relative_to(HOUSE).parts[0]
    assert room in ROOMS, f"{room} is not a room of the house"
    assert not _points_down(room, _imports_of(path))


def test_an_import_that_points_down_is_seen():
    def found(source: str) -> list[Import]:
        return _points_down("theory", _imports(source, ["meanfield", "theory"]))

    assert found("from ..networks import MLP")
    assert found("from ..networks.mlp import MLP")
    assert found("from .. import networks")
    assert found("import meanfield.plots")
    assert found("def draw():\n    from ..plots import trajectory")
    assert not found("class Path:\n    def plot(self):\n        from ..plots import trajectory")
    assert not found("from ..gaussian.moments import moments\nfrom ..errors import InputError\nimport jax")
    # In the files as they are, imports are seen at all.
    assert {"errors", "interface"} <= {i.room for i in _imports_of(HOUSE / "gaussian" / "named.py")}


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_are_relative(path):
    absolute = [i for i in _imports_of(path) if not i.relative]
    assert not absolute


def test_an_absolute_import_is_seen():
    assert [i.relative for i in _imports("import meanfield as mf", ["meanfield"])] == [False]
    assert [i.relative for i in _imports("from meanfield.theory import maps", ["meanfield"])] == [False]
    assert [i.relative for i in _imports("from . import maps", ["meanfield", "theory"])] == [True]


def _circle(links: Iterable[tuple[str, str]]) -> list[str]:
    graph = TopologicalSorter()
    for room, target in links:
        graph.add(room, target)
    try:
        graph.prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_rooms_import_in_no_circle():
    links = []
    for path in FILES:
        room = path.relative_to(HOUSE).parts[0]
        imports = [i for i in _imports_of(path) if MAY_REACH_DOWN.get(i.function or "") != i.room]
        links += [(room, i.room) for i in imports if i.room in ROOMS and room in ROOMS and i.room != room]
    assert len(set(links)) > len(ROOMS), "the imports between rooms are seen"
    assert not _circle(links)


def test_a_circle_is_seen():
    assert _circle([("theory", "blocks"), ("blocks", "gaussian"), ("gaussian", "theory")])
    assert not _circle([("theory", "blocks"), ("theory", "gaussian"), ("blocks", "gaussian")])


def _too_large(lines: dict[str, int]) -> dict[str, float]:
    total = sum(lines.values())
    return {room: count / total for room, count in lines.items() if count > LARGEST_ROOM * total}


def test_no_room_is_a_house_of_its_own():
    lines = Counter()
    for path in FILES:
        lines[path.relative_to(HOUSE).parts[0]] += len(path.read_text().splitlines())
    assert set(ROOMS) <= set(lines)
    assert not _too_large(lines)


def test_a_room_that_is_too_large_is_seen():
    assert set(_too_large({"theory": 36, **{str(i): 8 for i in range(8)}})) == {"theory"}


def _loaded_by(code: str) -> set[str]:
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_loads_no_heavy_dependency():
    heavy = {"jax", "numpy", "flax", "optax", "matplotlib", "xarray", "optimistix", "quadax", "orbax"}
    loaded = _loaded_by("import meanfield")
    assert "meanfield" in loaded
    assert not heavy & loaded
    assert {"jax", "numpy"} <= _loaded_by("import meanfield; meanfield.MLP")


def test_help_loads_no_jax():
    loaded = _loaded_by("from meanfield.cli.app import parser; parser().format_help()")
    assert "argparse" in loaded
    assert not {"jax", "numpy", "matplotlib", "rich"} & loaded


def _private_jax(source: str) -> list[str]:
    found = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    found = [text for text in found if isinstance(text, str) and "jax._src" in text]
    for node in ast.walk(ast.parse(source)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.startswith(("jax._src", "jax.interpreters", "jax.core"))]
        if isinstance(node, ast.Attribute):
            path = ast.unparse(node)
            inner = path.startswith(("jax.core.", "core.")) and path not in ("jax.core.Tracer", "core.Tracer")
            found += [path] if inner or path.startswith(("jax._src", "jax.interpreters")) else []
    return found


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_only_the_public_jax(path):
    assert not _private_jax(path.read_text())


def test_private_jax_is_seen():
    assert _private_jax("from jax._src.core import Trace")
    assert _private_jax("import jax.interpreters.ad")
    assert _private_jax("jax.core.Jaxpr")
    assert _private_jax("from jax import core\ncore.eval_jaxpr(0)")
    assert not _private_jax("from jax import core\nisinstance(0, core.Tracer)")


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_rooms_not_drawers(path):
    assert not DRAWERS & {part.strip("_") for part in path.relative_to(HOUSE).with_suffix("").parts}
    assert len(path.read_text().splitlines()) <= 400


def test_rooms_have_other_names_than_functions():
    assert not set(ROOMS) & set(FLAT)
    assert {path.relative_to(HOUSE).parts[0] for path in FILES if path.parent != HOUSE} == set(ROOMS)


def _public(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.AST]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            overload = any(ast.unparse(mark) in ("overload", "typing.overload") for mark in node.decorator_list)
            if not overload:
                yield owner + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node, f"{node.name}.")


def _undocumented(source: str, inherited: set[str]) -> list[str]:
    """Public names without a docstring; a method that overrides one that has it needs none of its own."""
    tree = ast.parse(source)
    bare = [name for name, node in _public(tree) if not ast.get_docstring(node)]
    return [name for name in bare if "." not in name or name.rpartition(".")[2] not in inherited]


def _documented_methods() -> set[str]:
    trees = [ast.parse(path.read_text()) for path in FILES]
    found = [(name, node) for tree in trees for name, node in _public(tree) if ast.get_docstring(node)]
    return {name.rpartition(".")[2] for name, _ in found if "." in name}


METHODS = _documented_methods()


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_public_names_have_docstrings(path):
    assert ast.get_docstring(ast.parse(path.read_text())), "the module says what it is"
    assert not _undocumented(path.read_text(), METHODS)


def test_a_missing_docstring_is_seen():
    assert _undocumented("def public(): ...", {"public"}) == ["public"]
    assert _undocumented("class A:\n    '''A.'''\n    def check(self): ...\n    def own(self): ...", {"check"}) == [
        "A.own"
    ]
    assert not _undocumented("@overload\ndef public(): ...\ndef public(): 'Documented.'", set())
    assert "check" in METHODS and "plot" in METHODS


def test_each_room_says_what_lives_there():
    for room in ROOMS:
        said = ast.get_docstring(ast.parse((HOUSE / room / "__init__.py").read_text())) or ""
        assert len(said.split()) >= 12, f"{room}/__init__.py says too little of what lives there"


def test_type_information_is_shipped():
    assert (HOUSE / "py.typed").exists()


def _misnamed(tests: Iterable[str], sources: set[str]) -> list[str]:
    """Test files of rooms that are not named after a module of the room: tests/theory/test_maps.py, theory/maps.py."""
    own = [name for name in tests if "/" in name and name.rpartition("/")[2].startswith("test_")]
    return [name for name in own if name.replace("/test_", "/") not in sources and name not in ACROSS_MODULES]


def test_test_files_mirror_source_files():
    tests = [path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py")]
    assert set(tests) >= ACROSS_MODULES, "an exception that is none any more"
    assert not _misnamed(tests, {_name(path) for path in FILES})


def test_a_misnamed_test_file_is_seen():
    sources = {"theory/maps.py"}
    assert _misnamed(["theory/test_map.py", "theory/test_maps.py", "test_house.py"], sources) == ["theory/test_map.py"]
    assert _misnamed(["blocks/test_maps.py", "data/conftest.py"], sources) == ["blocks/test_maps.py"]
