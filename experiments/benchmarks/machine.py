"""The machine that numbers were measured on, and the file that keeps them."""

from __future__ import annotations

import json
import math
import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, the cores this process may use, how busy they are already, system and Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    system = f"{platform.system()} {platform.machine()}"
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    python = platform.python_version()
    return {"processor": _processor(), "cores": cores, "load": load, "system": system, "python": python}


def in_words(machine: dict[str, Any]) -> str:
    """One line."""
    m = machine
    return f"{m['processor']}, {m['cores']} cores (load {m['load']} before), {m['system']}, Python {m['python']}"


def write(path: Path, found: dict[str, Any]) -> None:
    """As strictly valid JSON: null for NaN, "inf" for infinity."""
    path.write_text(json.dumps(_plain(found), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
