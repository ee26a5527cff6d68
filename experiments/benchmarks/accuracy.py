"""How far a contender's numbers are from single points, and single points from the golden table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from contenders import FIELDS, Fields

import meanfield as mf

GOLDEN = Path(__file__).parents[2] / "tests" / "reference" / "golden.json"
WELL_CONDITIONED = 1e-3


def lattice(axis: np.ndarray, count: int, power: int) -> np.ndarray:
    """`count` of the axis's own values, denser at its lower end for power > 1."""
    places = ((np.arange(count) + 0.5) / count) ** power * (axis.size - 1)
    return np.unique(places.round().astype(int))


def single_points(name: str, sigma_w: np.ndarray, sigma_b: np.ndarray) -> Fields:
    """mf.fixed_point at every (sigma_b, sigma_w), one call each: the fields, and `converged`."""
    found = [[mf.fixed_point(mf.MLP(name, w, b)) for w in sigma_w] for b in sigma_b]
    reference = {field: np.array([[getattr(p, field) for p in row] for row in found]) for field in FIELDS}
    return reference | {"converged": np.array([[p.status == "converged" for p in row] for row in found])}


def errors(fields: Fields, reference: Fields) -> dict[str, Any]:
    """The largest relative error of each field over the converged points, infinite where a number is missing.

    1 - c* is compared where it is not 0, in the chaotic phase. `disagree` counts points where one of the two has a
    finite q* and the other has none.
    """
    known = reference["converged"]
    largest = {}
    for field in [field for field in FIELDS if field in fields]:
        there = known & (reference[field] != 0)
        with np.errstate(invalid="ignore"):
            error = np.abs(fields[field][there] / reference[field][there] - 1)
        largest[field] = float(np.nan_to_num(error, nan=np.inf).max()) if error.size else float("nan")
    finite = np.isfinite(fields["q_star"]) & (np.abs(fields["q_star"]) < 1e10)
    return largest | {"disagree": int(np.sum(finite != np.isfinite(reference["q_star"]))), "points": finite.size}


def against_golden(name: str) -> dict[str, float | int]:
    """mf.fixed_point against every converged row of the table with |chi_1 - 1| and |chi_q - 1| above 1e-3."""
    rows = [row for row in json.loads(GOLDEN.read_text())["records"] if row["activation"] == name]
    largest = dict.fromkeys(FIELDS, float("nan"))
    used = unequal = 0
    for row in rows:
        point = mf.fixed_point(mf.MLP(name, float(row["sigma_w"]), float(row["sigma_b"])))
        unequal += str(point.status) != {"finite": "converged"}.get(row["q_status"], row["q_status"])
        if row["q_status"] != "finite" or not _well_conditioned(row):
            continue
        used += 1
        for field in FIELDS:
            if row[field] is not None and float(row[field]) != 0:
                error = abs(float(getattr(point, field)) / float(row[field]) - 1)
                largest[field] = float(np.fmax(largest[field], error))
    return largest | {"rows": used, "of": len(rows), "status_unequal": unequal}


def worst(several: list[dict[str, Any]]) -> dict[str, Any]:
    """The `errors` of several comparisons as one."""
    together = {key: float(np.fmax.reduce([e[key] for e in several])) for key in several[0]}
    return together | {key: sum(e[key] for e in several) for key in ("disagree", "points")}


def _well_conditioned(row: dict) -> bool:
    return min(abs(float(row["chi_1"]) - 1), abs(float(row["chi_q"]) - 1)) > WELL_CONDITIONED
