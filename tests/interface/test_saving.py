"""Files are written whole or not at all, whatever happens while they are."""

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from meanfield.errors import InputError
from meanfield.interface.paths import path_to_write, read_file
from meanfield.interface.saving import sole_writer, write_whole


def test_the_old_file_stands_when_the_disk_is_full(tmp_path):
    target = tmp_path / "a.nc"
    target.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError, match="could not be written .*; an older file of that name is unchanged"):
            write_whole("path", target, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.nc"]


def test_content_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    calls = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}
    for name, call in real.items():
        monkeypatch.setattr(os, name, lambda *args, name=name, call=call: calls.append(name) or call(*args))
    write_whole("path", tmp_path / "a.nc", b"new")
    assert calls == ["fsync", "replace", "fsync"]


def test_leftovers_of_killed_writers_are_removed_and_no_others(tmp_path):
    code = (
        "import os, sys; os.replace = lambda *a: os._exit(9)\n"
        "from meanfield.interface.saving import write_whole; write_whole('path', sys.argv[1], b'half')"
    )
    target = tmp_path / "a.nc"
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code, str(target)], check=False, env=os.environ | {"PYTHONPATH": root})
    (left,) = os.listdir(tmp_path)
    foreign = [
        left.replace("a.nc", "b.nc"),
        left.replace("-", f"-{os.getpid()}", 1).replace("-", "x-", 1),
        ".a.nc.part",
    ]
    for name in foreign:
        (tmp_path / name).write_bytes(b"")
    write_whole("path", target, b"whole")
    assert sorted(os.listdir(tmp_path)) == sorted([*foreign, "a.nc"])


def test_modes_and_links_are_kept(tmp_path):
    target, link = tmp_path / "a.nc", tmp_path / "link.nc"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_whole("path", link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new" and target.stat().st_mode & 0o777 == 0o640


def test_one_writer_at_a_time(tmp_path):
    path, entered, most = tmp_path / "run.nc", [], []

    def run():
        for _ in range(50):
            try:
                with sole_writer("path", path):
                    entered.append(1)
                    most.append(len(entered))
                    entered.pop()
            except InputError:
                pass

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", [None, 3, b"a.nc", object(), "/dev/full", "/dev/zero", "\ud800.nc", "a\0.nc", "/"])
def test_what_is_no_file_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call in (read_file, path_to_write):
        with pytest.raises(InputError, match=r"^path=.*") as error:
            call("path", path)
        assert "\n" not in str(error.value) and str(error.value).encode()
    os.mkfifo("pipe")
    for call in (read_file, path_to_write):
        with pytest.raises(InputError):
            call("path", "pipe")
