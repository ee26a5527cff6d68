"""The number of type errors may not grow: tested with a stand-in for pyright that reports a count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = ROOT / ".ci" / "pyright-errors"

pytestmark = pytest.mark.skipif(not ALLOWED.exists() or os.name == "nt", reason="no checkout")


def _types(folder: Path, last_line: str) -> subprocess.CompletedProcess[str]:
    stand_in = folder / "pyright"
    stand_in.write_text(f"#!/bin/sh\necho 'meanfield/a.py:1:1 - error'\necho '{last_line}'\nexit 1\n")
    stand_in.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    command = [ROOT / ".ci" / "types", sys.executable]
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)


@pytest.mark.parametrize(("more", "fails"), [(0, False), (1, True)])
def test_more_errors_than_the_number_fail(tmp_path, more, fails):
    count = int(ALLOWED.read_text()) + more
    done = _types(tmp_path, f"{count} error{'s' * (count != 1)}, 3 warnings, 0 informations")
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    assert ("a.py:1:1" in done.stderr) == fails


def test_no_count_is_no_pass(tmp_path):
    assert "did not run" in _types(tmp_path, "cannot find node").stderr
