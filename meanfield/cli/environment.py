"""The command line's compilation cache, so that the second call of a verb does not compile again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "MEANFIELD_CACHE"


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """The folder for compiled programs; None to disable the cache.

    The variable MEANFIELD_CACHE names the folder, or is "off"; otherwise it is `meanfield/jax` under
    XDG_CACHE_HOME or ~/.cache. A cache configured for JAX itself (JAX_COMPILATION_CACHE_DIR) takes precedence.

    >>> cache_folder({"MEANFIELD_CACHE": "off"})
    >>> cache_folder({"XDG_CACHE_HOME": "/var/cache"}).as_posix()
    '/var/cache/meanfield/jax'
    """
    chosen = environ.get(VARIABLE, "")
    if chosen.lower() in ("off", "0", "none") or environ.get("JAX_COMPILATION_CACHE_DIR"):
        return None
    if chosen:
        return Path(chosen).expanduser()
    base = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "meanfield" / "jax"


def _is_private(folder: Path) -> bool:
    """Whether only this user can write there: what another puts into the cache would be run."""
    found = folder.stat()
    ours = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
    return ours and os.access(folder, os.W_OK)


def use_compilation_cache() -> None:
    """Point JAX at the cache; if it is not a private folder that can be written, compile each time and say nothing."""
    folder = cache_folder(os.environ)
    if folder is None:
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(folder):
            return
    except OSError:
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Programs compile in a tenth of a second to a few seconds: all are worth keeping, whatever JAX's threshold.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
