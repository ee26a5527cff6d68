"""The options for files, and figures that carry their command."""

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from meanfield.cli import outputs
from meanfield.errors import InputError


def test_paths_are_optional(tmp_path):
    assert outputs.writable("-o", None, outputs.FIGURES) is None
    assert outputs.writable("-o", str(tmp_path / "x.png"), outputs.FIGURES) == tmp_path / "x.png"
    with pytest.raises(InputError, match="^-o '.*' has an unknown suffix"):
        outputs.writable("-o", "x.exe", outputs.FIGURES)


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
