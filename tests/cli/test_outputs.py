"""Output paths are judged before anything is computed, and figures carry their command."""

import os
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from meanfield.cli import outputs
from meanfield.errors import InputError


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("missing/x.png", "does not exist"),
        ("folder.png", "is a folder"),
        (".", "is a folder"),
        ("", "is a folder"),
        ("x.exe", "unknown suffix"),
        ("x", "unknown suffix"),
        ("file.txt/x.png", "not a folder"),
        ("y" * 300 + ".png", "cannot be written"),
        ("nul\0.png", "cannot be written"),
    ],
)
def test_bad_paths(tmp_path, monkeypatch, name, word):
    monkeypatch.chdir(tmp_path)
    Path("folder.png").mkdir()
    Path("file.txt").write_text("")
    before = sorted(os.listdir())
    with pytest.raises(InputError, match=word) as error:
        outputs.writable("-o", name, outputs.FIGURES)
    assert str(error.value).startswith("-o ")
    assert "\n" not in str(error.value)
    assert sorted(os.listdir()) == before


def test_read_only_places_are_found():
    # Root may write anywhere but in the kernel's own file systems.
    if not os.path.isdir("/proc/self"):
        pytest.skip("no /proc here")
    with pytest.raises(InputError, match="cannot be written"):
        outputs.writable("-o", "/proc/self/x.png", outputs.FIGURES)


def test_good_paths_leave_no_trace(tmp_path):
    target = tmp_path / "x.PNG"
    assert outputs.writable("-o", str(target), outputs.FIGURES) == target
    assert not target.exists()
    target.write_bytes(b"kept")
    outputs.writable("-o", str(target), outputs.FIGURES)
    assert target.read_bytes() == b"kept"


@pytest.mark.parametrize("suffix", outputs.FIGURES)
@pytest.mark.parametrize("several", [False, True])
def test_figures_carry_their_command(tmp_path, suffix, several):
    axes = Figure(figsize=(1, 1)).subplots(2 if several else 1)
    path = tmp_path / f"x{suffix}"
    outputs.save_figure(axes, path, ["critical", "max(x, 0)"])
    text = path.read_bytes().decode("latin-1")
    assert "meanfield critical" in text
    if suffix == ".png":
        assert imread(path).ndim == 3
