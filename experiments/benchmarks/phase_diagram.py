"""The phase diagram, side by side: this library, a direct 64-node solver, SciPy, AnyInit, neural-tangents.

    python experiments/benchmarks/phase_diagram.py --json results.json

Warm, float64, the default ranges of `mf.phase_diagram` moved a little at every repetition, the contenders one after
another in each repetition, medians. Times are per point; a contender that is timed on a thinned grid says so. Errors
are relative, the largest over 32 single points of the default grid, against one `mf.fixed_point` call each; and those
calls against the golden table of the tests. SciPy takes seconds a point and is timed once, on one ordered and one
chaotic point of each of its activations.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import accuracy
import contenders as who
import numpy as np
from machine import machine, write
from table import render

RANGES = (0.5, 4.0), (0.0, 1.0)
"""Of sigma_w and sigma_b: the defaults of mf.phase_diagram."""
LATTICE = (8, 2), (4, 1)
"""Count and power of the single points' axes; small sigma_w is where unbounded activations have fixed points."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--activations", nargs="*", default=list(who.NAMES), choices=who.NAMES)
    parser.add_argument("--repeat", type=int, default=7, help="timed repetitions")
    parser.add_argument("--scipy", nargs="*", default=["tanh", "gelu"], choices=who.NAMES, help="its activations")
    parser.add_argument("--nt-venv", type=Path, help="folder of neural-tangents' environment, made where it is missing")
    parser.add_argument("--no-nt", action="store_true", help="leave neural-tangents out")
    parser.add_argument("--json", type=Path, help="write every number here")
    return parser.parse_args(argv)


def axes(size: tuple[int, int], shift: Sequence[float] = (0, 0, 0)) -> tuple[np.ndarray, np.ndarray]:
    """sigma_w and sigma_b, `size` points each, over the ranges drawn in by `shift` (sigma_b begins at 0 always)."""
    (w_lo, w_hi), (b_lo, b_hi) = RANGES
    return np.linspace(w_lo + shift[0], w_hi - shift[1], size[0]), np.linspace(b_lo, b_hi - shift[2], size[1])


def measure(contender: who.Contender, names: Iterable[str], points: dict[str, Any]) -> dict[str, dict]:
    """First call, and errors at the single points, of every activation."""
    rows = {}
    for name in names:
        reference, w, b = points[name]
        grid = axes(contender.size)
        first, fields = contender.solve(name, *grid)
        if contender.size == who.WHOLE:
            fields = {field: value[np.ix_(b, w)] for field, value in fields.items()}
        else:
            whole = axes(who.WHOLE)
            fields = contender.solve(name, whole[0][w], whole[1][b])[1]
        rows[name] = {"first_call_s": first, "seconds": [], "errors": accuracy.errors(fields, reference)}
    return rows


def repeat(entries: Sequence[tuple[who.Contender, dict]], count: int) -> None:
    """Append `count` timings to every row, contenders interleaved, the ranges new each time."""
    random = np.random.default_rng(0)
    for _ in range(count):
        shift = random.uniform(0, (0.1, 0.3, 0.1)).tolist()
        for contender, rows in entries:
            for name, row in rows.items():
                row["seconds"].append(contender.solve(name, *axes(contender.size, shift))[0])


def scipy_rows(names: Iterable[str], points: dict[str, Any]) -> tuple[who.Contender, dict]:
    """SciPy at the middle ordered and the middle chaotic single point."""
    contender, whole, rows = who.scipy_way(), axes(who.WHOLE), {}
    for name in names:
        reference, w, b = points[name]
        seconds, errors = [], []
        for inside in (reference["chi_1"] < 1, reference["chi_1"] > 1):
            places = np.argwhere(inside & reference["converged"])
            for i, j in places[len(places) // 2 :][:1]:
                spent, fields = contender.solve(name, whole[0][w[[j]]], whole[1][b[[i]]])
                seconds.append(spent)
                at = {key: value[i : i + 1, j : j + 1] for key, value in reference.items()}
                errors.append(accuracy.errors(fields, at))
        rows[name] = {"first_call_s": seconds[0], "seconds": seconds, "errors": accuracy.worst(errors)}
    return contender, rows


def entrants(args: argparse.Namespace, folder: Path) -> tuple[list[who.Contender], list[str], Any]:
    """The contenders, the reasons why others are missing, and the neural-tangents process."""
    taking = [who.meanfield(), *(who.direct(rule) for rule in who.DIRECT)]
    absent, process = [], None
    try:
        taking.append(who.anyinit())
    except who.Missing as reason:
        absent.append(str(reason))
    try:
        if args.no_nt:
            raise who.Missing("neural-tangents was left out (--no-nt)")
        process = who.NeuralTangents(args.nt_venv or folder / "neural-tangents")
        taking += process.contenders()
    except who.Missing as reason:
        absent.append(str(reason))
    return taking, absent, process


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything measured, as stored in the JSON file."""
    here = machine()
    taking, absent, process = entrants(args, folder)
    whole = axes(who.WHOLE)
    w, b = (accuracy.lattice(axis, *spec) for axis, spec in zip(whole, LATTICE, strict=True))
    points = {name: (accuracy.single_points(name, whole[0][w], whole[1][b]), w, b) for name in args.activations}
    entries = []
    for contender in taking:
        print("first calls:", contender.name, file=sys.stderr)
        entries.append((contender, measure(contender, set_of(contender, args.activations), points)))
    print("repetitions, then SciPy", file=sys.stderr)
    repeat(entries, args.repeat)
    entries.append(scipy_rows([name for name in args.scipy if name in args.activations], points))
    if process:
        process.close()
    return {
        "machine": here,
        "versions": who.versions() | (process.versions_of_its_own() if process else {}),
        "absent": absent,
        "repetitions": args.repeat,
        "single_points": {name: int(np.sum(points[name][0]["converged"])) for name in args.activations},
        "golden": {name: accuracy.against_golden(name) for name in args.activations},
        "rows": [row(contender, name, found) for contender, rows in entries for name, found in rows.items()],
    }


def set_of(contender: who.Contender, names: Iterable[str]) -> list[str]:
    """The requested activations that a contender has."""
    return [name for name in names if name in contender.activations]


def row(contender: who.Contender, name: str, found: dict) -> dict[str, Any]:
    """One line of the table."""
    count = contender.size[0] * contender.size[1]
    micro = statistics.median(found["seconds"]) / count * 1e6
    return {"activation": name, "contender": contender.name, "gives": contender.gives} | {
        "grid": list(contender.size), "microseconds_a_point": micro, **found
    }  # fmt: skip


def main() -> None:
    """Measure, print the table, write the JSON."""
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        found = run(args, Path(folder))
    if args.json:
        write(args.json, found)
    print(render(found))


if __name__ == "__main__":
    main()
