"""Output paths are checked before anything is computed."""

import os
from pathlib import Path

import pytest

from meanfield.errors import InputError
from meanfield.interface.paths import path_to_write

SUFFIXES = (".png", ".pdf")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("missing/x.png", "the folder 'missing' does not exist; create it first"),
        ("folder.png", "is a folder; name a file in it, such as folder.png/out.png"),
        (".", "is a folder"),
        ("", "is a folder"),
        ("x.exe", "has an unknown suffix; give a name that ends in .png or .pdf"),
        ("x", "unknown suffix"),
        ("file.txt/x.png", "'file.txt' is not a folder; give a path in a folder"),
        ("y" * 300 + ".png", "cannot be written .*; give a path you may write"),
        ("nul\0.png", "has characters that no file's name can have"),
    ],
)
@pytest.mark.parametrize("argument", ["-o", "path"])
def test_bad_paths(tmp_path, monkeypatch, name, word, argument):
    monkeypatch.chdir(tmp_path)
    Path("folder.png").mkdir()
    Path("file.txt").write_text("")
    before = sorted(os.listdir())
    with pytest.raises(InputError, match=word) as error:
        path_to_write(argument, name, SUFFIXES)
    assert str(error.value).startswith({"-o": "-o '", "path": "path='"}[argument])
    assert "\n" not in str(error.value)
    assert sorted(os.listdir()) == before


def test_read_only_places_are_found():
    # Root may write anywhere but in the kernel's own file systems.
    if not os.path.isdir("/proc/self"):
        pytest.skip("no /proc here")
    with pytest.raises(InputError, match="cannot be written"):
        path_to_write("-o", "/proc/self/x.png", SUFFIXES)


def test_good_paths_leave_no_trace(tmp_path):
    target = tmp_path / "x.PNG"
    assert path_to_write("-o", str(target), SUFFIXES) == target
    assert path_to_write("path", target) == target
    assert not target.exists()
    target.write_bytes(b"kept")
    path_to_write("-o", str(target), SUFFIXES)
    assert target.read_bytes() == b"kept"
