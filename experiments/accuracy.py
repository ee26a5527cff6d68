"""docs/accuracy.md: the largest error of each activation over the reference table, beside Gauss-Hermite's.

python experiments/accuracy.py            (a few minutes; --output elsewhere.md to write it elsewhere)
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import meanfield as mf
from meanfield.gaussian.moments import moments

HOME = Path(__file__).parents[1]
GOLDEN = HOME / "tests" / "reference" / "golden.json"
NODES = 64
NEAR = 1e-3
EPS = 2.0**-52
FIELDS = {"q_star": "q*", "chi_1": "chi_1", "chi_q": "chi_q", "one_minus_c_star": "1 - c*", "xi_c": "xi_c"}

Row = dict[str, str]

PAGE = """# Accuracy

<!-- Written by `python experiments/accuracy.py`; change that, not this. -->

How far the library's numbers are from the {rows} rows of `tests/reference/golden.json`: fixed points of {names}
activations in every phase, computed in binary128 by independent code, and checked with ball arithmetic and
closed forms. This page is written by

    python experiments/accuracy.py

(here with JAX {jax} on {machine}, meanfield {version}).

## Moments

Everything rests on E[phi^2] and E[phi'^2] under N(0, q). The largest relative error of both over the rows with
a finite q* > 0, each at its own q*, for the library's rule and for the usual one, Gauss-Hermite with {nodes}
nodes. The true moments are (q* - sigma_b^2) / sigma_w^2 and chi_1 / sigma_w^2 from the table's 24 digits;
errors below the rounding of a binary64 number, 1.1e-16, are given as such.

{moments}

The composite rule cuts the line at every kink and into panels of 16 Gauss-Legendre nodes that shrink
geometrically towards the origin, so that it resolves an activation at any variance. Gauss-Hermite's nodes
spread with sqrt(q) and ignore kinks. That rule is exact for polynomials, and for the moments of one input of
the ReLU family, step and sign by symmetry (an even number of nodes straddles the kink at 0 evenly). It is off by
percents for tanh at q = 8, and wrong in the first digit wherever an activation saturates or has kinks that the
nodes, 0.4 sqrt(q) apart, step over. E[phi'^2] of step and sign is infinite.

## Fixed points

The largest relative error over the rows whose |1 - chi_1| and |1 - chi_q| both exceed {near:g}; rows nearer to
criticality are in the next table. A dash: undefined (c* = 1 in every row, or chi_1 infinite).
{without}

{fixed}

## What conditioning allows, and whether the error bound is honest

A number that depends on its input by a factor K is not known better than K times 2^-52 = {eps:.1e} to any
double-precision code, since sigma_w itself is rounded. For q* that factor is 1 / |1 - chi_q|: V(q) - q crosses
zero with slope chi_q - 1, and a rounding of V moves the crossing by that much. For 1 - c*, and for xi = -1 / ln
chi near chi = 1, it is 1 / |chi_1 - 1|: at a distance of 1e-8 from criticality eight digits are left, and no
algorithm recovers the others. So the table gives the errors of *all* rows, near-critical ones included, in units
of 2^-52 (1 + K). A value of a few means that nothing is lost beyond the rounding of the inputs. Larger ones are
due to conditioning of another kind: chi_q of a saturated activation is a small difference of large
terms, and where chi is exponentially small in q (sin, cos) it has q times the relative error of q.

`q_error` is the library's own bound on |q* - exact|, from the quadrature's estimate at q* and the same factor.
Beside it is its ratio to the actual error (at least the rounding 2^-53 q* of the stored number): the smallest over
the rows, and the median. Below 1 the bound would be violated.

{bounds}

The test suite holds every row to these tolerances: 1e-9 for q*, chi_1 and chi_q, 1e-7 for c*, 1 - c* and xi_c,
or what conditioning allows. `mf.referee(phi, q)` compares the moments of any other activation with adaptive
quadrature.
"""


def main() -> None:
    """Compute everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HOME / "docs" / "accuracy.md")
    args = parser.parse_args()
    rows = json.loads(GOLDEN.read_text())["records"]
    names = list(dict.fromkeys(row["activation"] for row in rows))
    by_name = {name: [row for row in rows if row["activation"] == name and finite(row)] for name in names}
    without = [name for name, of in by_name.items() if not of]
    by_name = {name: of for name, of in by_name.items() if of}
    points = {name: [solve(row) for row in of] for name, of in by_name.items()}
    both = ["E[phi^2]", "E[phi'^2]"]
    of_moments = ["activation", "rule", "q* from", "to", *both, *(f"{text}, Gauss-Hermite" for text in both)]
    of_bounds = ["activation", "rows", *FIELDS.values(), "q_error / error: smallest", "median"]
    tables = {
        "moments": table(of_moments, (moments_of(name, of) for name, of in by_name.items())),
        "fixed": table(
            ["activation", "rows", *FIELDS.values()],
            (fixed_of(name, of, points[name]) for name, of in by_name.items()),
        ),
        "bounds": table(of_bounds, (bounds_of(name, of, points[name]) for name, of in by_name.items())),
    }
    args.output.parent.mkdir(exist_ok=True)
    words = {"jax": jax.__version__, "machine": platform.machine(), "version": mf.__version__, "nodes": NODES}
    words |= {"without": f"No row of {', '.join(without)} has a finite q* > 0." if without else ""}
    args.output.write_text(PAGE.format(rows=len(rows), names=len(names), near=NEAR, eps=EPS, **words, **tables))
    print(args.output)


def finite(row: Row) -> bool:
    """Whether the row has a fixed point q* > 0 that is not decided by sigma_w^2's last bit."""
    return row["q_status"] == "finite" and float(row["q_star"]) > 0


def solve(row: Row) -> mf.FixedPoint:
    """The library's answer to a row."""
    return mf.fixed_point(mf.MLP(row["activation"], float(row["sigma_w"]), float(row["sigma_b"])))


def error(found: float, row: Row, field: str) -> float:
    """The relative error of a field, in 24 digits; NaN where the table has no finite number, or 0.

    And where xi is that of a chi below the smallest binary64, exp(-745): there it is 0.
    """
    text = row[field]
    if field == "xi_c" and text is not None and 0 < float(text) < 1 / 745:
        return np.nan
    if text is None or not np.isfinite(float(text)) or float(text) == 0:
        return np.nan
    if not np.isfinite(found):
        return np.inf
    exact = Decimal(text)
    return abs(float((Decimal(float(found)) - exact) / exact))


def rule(name: str) -> str:
    """Which rule serves an activation's moments."""
    phi = mf.activation(name)
    if phi.closed is not None:
        return "closed form"
    count = len(phi.kinks)
    return "composite" + (f", {count} kink{'s' * (count > 1)}" if count else "")


def moments_of(name: str, rows: list[Row]) -> list[str]:
    """A line of the first table."""
    phi, errors = mf.activation(name), []
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    rows = [row for row in rows if float(row["sigma_w"]) > 0]
    for row in rows:
        q = float(row["q_star"])
        with jax.enable_x64(True):
            ours = _moments(phi, jnp.float64(q))
            x = jnp.asarray(np.sqrt(q) * nodes)
            value, slope = np.asarray(phi(x)), np.asarray(phi.slope(x))
        hermite = [np.sum(weights * f**2) / np.sqrt(2 * np.pi) for f in (value, slope)]
        w_var, b_var = Decimal(float(row["sigma_w"])) ** 2, Decimal(float(row["sigma_b"])) ** 2
        exact = {"second": str((Decimal(row["q_star"]) - b_var) / w_var), "slope": str(Decimal(row["chi_1"]) / w_var)}
        found = (ours.second, ours.slope, *hermite)
        errors.append([error(float(f), exact, field) for f, field in zip(found, [*exact] * 2, strict=True)])
    variances = [float(row["q_star"]) for row in rows]
    ends = [f"{end(variances):.0e}" if variances else "-" for end in (min, max)]
    return [name, rule(name), *ends, *map(shown, largest(errors, 4))]


_moments = jax.jit(moments)


def fixed_of(name: str, rows: list[Row], points: list[mf.FixedPoint]) -> list[str]:
    """A line of the second table."""
    far = [(row, point) for row, point in zip(rows, points, strict=True) if min(distances(row)) > NEAR]
    errors = [[error(float(getattr(point, field)), row, field) for field in FIELDS] for row, point in far]
    return [name, str(len(far)), *map(shown, largest(errors, len(FIELDS)))]


def distances(row: Row) -> tuple[float, float]:
    """|1 - chi_q| and |chi_1 - 1|; infinite where chi_1 is."""
    first = row["chi_1_minus_1"]
    return abs(1 - float(row["chi_q"])), np.inf if first is None else abs(float(first))


def bounds_of(name: str, rows: list[Row], points: list[mf.FixedPoint]) -> list[str]:
    """A line of the third table."""
    errors, ratios = [], []
    for row, point in zip(rows, points, strict=True):
        of_q, of_c = (1 + 1 / max(d, 1e-300) for d in distances(row))
        worst = {"q_star": of_q, "chi_1": of_q, "chi_q": of_q}
        errors.append([error(float(getattr(point, f)), row, f) / (EPS * worst.get(f, max(of_q, of_c))) for f in FIELDS])
        actual = error(float(point.q_star), row, "q_star")
        ratios.append(float(point.q_error) / float(row["q_star"]) / max(actual, EPS / 2))
    ends = [plain(float(end(ratios))) if ratios else "-" for end in (np.min, np.median)]
    return [name, str(len(rows)), *map(plain, largest(errors, len(FIELDS))), *ends]


def largest(errors: list[list[float]], count: int) -> np.ndarray:
    """Over rows, of each of `count` numbers; NaN where no row has it."""
    return np.fmax.reduce(np.array(errors)) if errors else np.full(count, np.nan)


def shown(value: float) -> str:
    """An error in two digits."""
    return "-" if np.isnan(value) else "< 1.1e-16" if value < EPS / 2 else f"{value:.1e}"


def plain(value: float) -> str:
    """A multiple in two digits."""
    return "-" if np.isnan(value) else f"{value:.2g}"


def table(headers: list[str], lines: Iterable[list[str]]) -> str:
    """A Markdown table that is aligned as text as well."""
    body = [headers, *lines]
    widths = [max(len(line[i]) for line in body) for i in range(len(headers))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in body
    ]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


if __name__ == "__main__":
    main()
