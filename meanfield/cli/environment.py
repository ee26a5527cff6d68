"""The command line's own compilation cache, so that the second call of a verb does not compile again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "MEANFIELD_CACHE"


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """Where compiled programs are kept; None where they are not to be.

    The variable MEANFIELD_CACHE names the folder, or is "off"; otherwise it is `meanfield/jax` under
    XDG_CACHE_HOME or ~/.cache. A cache that the user gave to JAX itself (JAX_COMPILATION_CACHE_DIR) is left alone.

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


def use_compilation_cache() -> None:
    """Point JAX at the cache; without one that can be written, compile each time and say nothing."""
    folder = cache_folder(os.environ)
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Our programs compile in a tenth of a second to a few: all are worth keeping, whatever JAX's threshold.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
