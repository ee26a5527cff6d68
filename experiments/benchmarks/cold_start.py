"""Cold start: from process start to figure on disk, against importing jax and matplotlib.

    python experiments/benchmarks/cold_start.py --json results.json

Each run is a process of its own, timed from outside until it has ended: `meanfield phase-diagram ACTIVATION -o FILE`
with its compilation cache filled by an earlier run (warm), and with an empty one (cold), and
`import jax, matplotlib.pyplot` in a bare interpreter. One run of each comes first and is not counted, so that files are
in the system's cache; then they alternate. Medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import in_words, machine, write

IMPORTS = ("-c", "import jax, matplotlib.pyplot")
ASKED = 3


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--activation", default="tanh")
    parser.add_argument("--repeat", type=int, default=5, help="counted runs with a warm cache, and of the imports")
    parser.add_argument("--cold", type=int, default=2, help="counted runs with an empty cache")
    parser.add_argument("--json", type=Path, help="write every number here")
    return parser.parse_args(argv)


def seconds(command: Sequence[str], cache: Path | None = None) -> float:
    """Wall time of `python COMMAND`, with the compilation cache of the command line in `cache`."""
    unset = ("MEANFIELD_CACHE", "JAX_COMPILATION_CACHE_DIR")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    if cache is not None:
        environment["MEANFIELD_CACHE"] = str(cache)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
    spent = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return spent


def draw(activation: str, folder: Path, cache: Path) -> float:
    """Seconds until the figure is on disk and its process has ended."""
    figure = folder / "figure.png"
    spent = seconds(("-m", "meanfield.cli", "phase-diagram", activation, "-o", str(figure)), cache)
    figure.unlink()
    return spent


def run(activation: str, repeat: int, cold: int, folder: Path) -> dict[str, list[float]]:
    """Every counted time, in seconds."""
    times: dict[str, list[float]] = {"imports": [], "warm cache": [], "cold cache": []}
    warm = folder / "warm"
    seconds(IMPORTS)
    draw(activation, folder, warm)
    for i in range(max(repeat, cold)):
        if i < repeat:
            times["imports"].append(seconds(IMPORTS))
            times["warm cache"].append(draw(activation, folder, warm))
        if i < cold:
            times["cold cache"].append(draw(activation, folder, folder / f"cold{i}"))
    return times


def report(found: dict[str, Any]) -> str:
    """A few aligned lines, and the target."""
    imports = found["median_s"]["imports"]
    lines = [
        f"{in_words(found['machine'])}; jax {found['versions']['jax']}",
        f"meanfield phase-diagram {found['activation']} -o FILE, process start to figure on disk:",
    ]
    for name, median in found["median_s"].items():
        what = "import jax, matplotlib.pyplot" if name == "imports" else f"phase-diagram, {name}"
        count = len(found["seconds"][name])
        lines.append(f"  {what:<31} {median:6.2f} s   {median / imports:5.2f} x the imports   (median of {count})")
    lines.append(f"asked: at most {ASKED} x the imports, with a warm cache allowed")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write the JSON."""
    args = arguments()
    here = machine()
    with tempfile.TemporaryDirectory() as folder:
        times = run(args.activation, args.repeat, args.cold, Path(folder))
    found = {
        "machine": here,
        "versions": {name: version(name) for name in ("jax", "matplotlib", "meanfield-jax")},
        "activation": args.activation,
        "median_s": {name: statistics.median(spent) for name, spent in times.items() if spent},
        "seconds": times,
    }
    print(report(found))
    if args.json:
        write(args.json, found)


if __name__ == "__main__":
    main()
