"""The benchmark's numbers as one aligned table, with the machine and the target."""

from __future__ import annotations

import math
from typing import Any

from contenders import DIRECT, FIELDS, WHOLE
from machine import in_words

HEADS = ("activation", "contender", "us/point", "worst", "300 x 250", "x ours", "first call", *FIELDS, "disagree")
LEGEND = (
    "us/point: median of {repetitions} warm repetitions, the ranges changed at each; worst: the slowest of them;",
    "(n): timed on n points and scaled.",
    "x ours: the time over meanfield's. first call: seconds with compilation, on the grid that is timed.",
    "Fields: largest relative error at single points of the grid against mf.fixed_point, where that converges",
    "({points});",
    "one_minus_c_star where it is not 0. disagree: points where one of the two has a finite q* and the other has none.",
)


def render(found: dict[str, Any]) -> str:
    """The table as text."""
    ours = {r["activation"]: r["microseconds_a_point"] for r in found["rows"] if r["contender"] == "meanfield"}
    order = list(ours)
    rows = sorted(found["rows"], key=lambda r: _place(r, order))
    cells = [HEADS, *(_cells(r, ours[r["activation"]]) for r in rows)]
    parts = [_machine(found), _aligned(cells), _legend(found), _golden(found["golden"]), _target(found["rows"])]
    return "\n\n".join(part for part in parts if part)


def _place(row: dict[str, Any], order: list[str]) -> tuple:
    """By activation; ours first, the others by speed."""
    return order.index(row["activation"]), row["contender"] != "meanfield", row["microseconds_a_point"]


def _cells(row: dict[str, Any], ours: float) -> tuple[str, ...]:
    count, micro = row["grid"][0] * row["grid"][1], row["microseconds_a_point"]
    whole = row["grid"] == list(WHOLE)
    errors = row["errors"]
    return (
        row["activation"],
        row["contender"],
        _short(micro),
        _short(max(row["seconds"]) / count * 1e6),
        _duration(micro * WHOLE[0] * WHOLE[1] / 1e6) + ("" if whole else f" ({count})"),
        _short(micro / ours),
        f"{row['first_call_s']:.1f} s",
        *(_error(errors.get(field)) for field in FIELDS),
        f"{errors['disagree']}/{errors['points']}",
    )


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1e4 else f"{value:.1e}"


def _error(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.0e}"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


def _aligned(cells: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEADS))]
    sides = ["<", "<", *[">"] * (len(HEADS) - 2)]
    lines = ["  ".join(f"{c:{s}{n}}" for c, s, n in zip(row, sides, widths, strict=True)) for row in cells]
    rule, previous = "-" * len(lines[0]), cells[0][0]
    spaced = []
    for row, line in zip(cells, lines, strict=True):
        if row[0] != previous:
            spaced.append(rule)
            previous = row[0]
        spaced.append(line.rstrip())
    return "\n".join(spaced)


def _machine(found: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"{in_words(found['machine'])}; {packages}"


def _legend(found: dict[str, Any]) -> str:
    points = ", ".join(f"{name} {count}" for name, count in found["single_points"].items())
    lines = [line.format(repetitions=found["repetitions"], points=points) for line in LEGEND]
    gives = {r["contender"]: r["gives"] for r in found["rows"]}
    lines += ["", "What each gives:", *(f"  {name:<28} {what}" for name, what in gives.items())]
    return "\n".join([*lines, *(f"Skipped: {reason}" for reason in found["absent"])])


def _golden(golden: dict[str, dict]) -> str:
    lines = ["mf.fixed_point against the golden table, rows with |chi_1 - 1| and |chi_q - 1| above 1e-3:"]
    for name, g in golden.items():
        worst = ", ".join(f"{field} {_error(g[field])}" for field in FIELDS)
        lines.append(f"  {name:<10} {worst} ({g['rows']} of {g['of']} rows; status differs in {g['status_unequal']})")
    return "\n".join(lines)


def _target(rows: list[dict]) -> str:
    """Our time as a share of the direct solver's; the target is a third."""
    lines = ["meanfield's time over the direct solver's (64 nodes, in chunks), at most 0.33 asked:"]
    micro = {(r["activation"], r["contender"]): r["microseconds_a_point"] for r in rows}
    for (name, contender), ours in micro.items():
        if contender == "meanfield":
            share = ours / micro[name, DIRECT["series"][0]]
            lines.append(f"  {name:<10} {share:.2f} ({ours:.2f} us a point)")
    return "\n".join(lines)
