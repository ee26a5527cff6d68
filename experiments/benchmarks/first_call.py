"""A first answer: processor seconds of the first call of each kind in a fresh process.

    python experiments/benchmarks/first_call.py --json results.json
    python experiments/benchmarks/first_call.py --against OLD_CHECKOUT --json results.json

Every scenario is a process of its own, without a compilation cache. It imports `meanfield` and `jax`, does one trivial
JAX operation, and then makes its calls in order; each row is `time.process_time()` over one call (all threads; the
modules that the call loads are in it). Beside every such process another one measures Y: compiling and running once the
direct 64-node solver of `direct_solver.py` for one point in float64. The table gives seconds over Y, Y being the median
of the run. Warm calls are in wall time: ms, and microseconds a point.

With --against every scenario also runs on the `meanfield` of another checkout, the two alternating, and a column says
how the answers compare.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import direct_solver
import jax
import jax.numpy as jnp
import numpy as np
from machine import in_words, machine, write

import meanfield as mf

UNIT = "Y"
"""The scenario that measures Y."""
LIMIT = 1800
"""Seconds after which a process is abandoned."""
SAME = 1e-4
"""Relative: a float32 derivative near criticality has no more digits."""
GELU = 1.408, 0.458
"""sigma_w and sigma_b where gelu is chaotic and its q* finite: 13.4. Most of its plane is ordered, or q* diverges."""
ENTERING = {"gelu": 2.01, "selu": 2.005}
"""Upper ends of sigma_w that enter new variance panels with under 1% of the diagram's 75,000 points.

Found by counting `Table.panel_of` of the chaotic points in commit 9a7cf6e: after diagrams up to 2.0 gelu's points are
in panels 2 to 7 and selu's in 0 to 16; up to 2.01 gelu has 57 points in panel 8 and 94 in panel 9, up to 2.005 selu
has 91 in panel 19 and 159 in panel 20.
"""


class Row(NamedTuple):
    """One line of the table: its figure when the target was set (`today`), and the target."""

    what: str
    unit: str
    today: str
    asked: float | None


class Measured(NamedTuple):
    """A number in the row's unit (seconds where that is Y), and a digest of the answer."""

    number: float
    value: float


def ys(what: str, today: float, asked: float) -> Row:
    """A row in units of Y."""
    return Row(what, "Y", f"{today:g}", asked)


def halved(what: str, today: float) -> Row:
    """A row in ms with half of the --against measurement as its target: `today` is from another machine."""
    return Row(what, "ms", f"{today:g}", None)


def entering(name: str) -> tuple[Row, ...]:
    """The rows of a diagram that enters a new panel."""
    return (
        Row(f"diagram, {name}, warm", "us/point", "", None),
        Row(f"diagram, {name}, in a new panel", "us/point", "5 to 13", None),
        Row(f"diagram, {name}, new panel over warm", "x", "", 2),
    )


ROWS: dict[str, tuple[Row, ...]] = {
    "fixed-point": (ys("fixed_point, fresh", 12.4, 0.7), ys("a composed block after it", 14.9, 2)),
    "second-activation": (
        ys("a second activation, by name", 7.3, 0.5),
        ys("a third, by a new callable with a kink", 8.4, 1.2),
    ),
    "critical": (ys("critical, fresh", 8.4, 0.5),),
    "trajectory-chaotic": (ys("trajectory, 50 layers, chaotic", 7.8, 2),),
    "trajectory-ordered": (ys("trajectory, 50 layers, ordered", 7.8, 2),),
    "phase-diagram": (
        ys("phase_diagram, 300 x 250, fresh", 11.1, 5),
        ys("phase_diagram, a second activation, smooth", 6, 2),
        ys("phase_diagram, a third, kinked", 10, 4),
    ),
    "recommend": (ys("recommend, fresh", 34.5, 5), ys("recommend, again, another depth", 5, 2)),
    "grad": (ys("jax.grad, first", 92, 3), ys("jax.grad, second", 30, 0.2)),
    "jit": (ys("jax.jit of the same", 45, 15),),
    "jit-grad": (ys("jax.jit of jax.grad", 45, 15),),
    "hessian": (ys("jax.hessian", 45, 15),),
    "grad-parameter": (ys("jax.grad over an activation's parameter", 45, 15),),
    "warm": (halved("warm fixed_point, chaotic", 90), halved("warm fixed_point, near-critical", 265)),
    "activation": (ys("mf.activation(callable) alone", 4, 0.7),),
    "new-panel-gelu": entering("gelu"),
    "new-panel-selu": entering("selu"),
}


def first(call: Callable[[], Any], digest: Callable[[Any], Any]) -> Measured:
    """Processor seconds of one call, until its answer is there."""
    start = time.process_time()
    answer = jax.block_until_ready(call())
    spent = time.process_time() - start
    return Measured(spent, float(digest(answer)))


def wall(call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds of one call, and its answer."""
    start = time.perf_counter()
    answer = jax.block_until_ready(call())
    return time.perf_counter() - start, answer


def xi_c(found: Any) -> Any:
    """One number that identifies a fixed point."""
    return found.xi_c


def mean_chi(found: Any) -> Any:
    """One number that identifies a diagram."""
    chi = np.asarray(found.chi_1)
    return chi[np.isfinite(chi)].mean()


def clipped(x: jax.Array) -> jax.Array:
    """A callable with a kink, which the library has not seen."""
    return jnp.where(x > 0, jnp.tanh(x), 0.3 * x)


def depth_scale(sigma_w: Any) -> Any:
    """The function to differentiate."""
    return mf.fixed_point(mf.MLP("tanh", sigma_w, 0.3)).xi_c


def depth_scale_of(a: Any) -> Any:
    """The same over an activation's parameter."""
    phi = mf.Activation(lambda x, a: jnp.tanh(a * x), {"a": a})
    return mf.fixed_point(mf.MLP(phi, 1.5, 0.3)).xi_c


def direct() -> Iterator[Measured]:
    """Y."""
    with jax.enable_x64(True):
        axes = jnp.array([1.5]), jnp.array([0.3])
        yield first(lambda: direct_solver.grid(jnp.tanh, "series", *axes), lambda found: found["xi_c"][0, 0])


def fixed_point() -> Iterator[Measured]:
    """An MLP, then a block of several."""
    yield first(lambda: mf.fixed_point(mf.MLP("tanh", 1.5, 0.3)), xi_c)
    yield first(lambda: mf.fixed_point(mf.Residual(mf.RMSNorm() >> mf.MLP("silu", 1.4), skip=0.5)), xi_c)


def second_activation() -> Iterator[Measured]:
    """After tanh: a name, then a callable; both points are chaotic with a finite q*."""
    mf.fixed_point(mf.MLP("tanh", 1.5, 0.3))
    yield first(lambda: mf.fixed_point(mf.MLP("gelu", *GELU)), xi_c)
    yield first(lambda: mf.fixed_point(mf.MLP(clipped, 2.0, 0.3)), xi_c)


def critical() -> Iterator[Measured]:
    """At a given sigma_b."""
    yield first(lambda: mf.critical("tanh", sigma_b=0.3), lambda found: found.sigma_w)


def trajectory(sigma_w: float) -> Iterator[Measured]:
    """The correlation after 50 layers."""
    yield first(lambda: mf.trajectory(mf.MLP("tanh", sigma_w, 0.3), 50), lambda found: np.asarray(found.c)[-1])


def phase_diagram() -> Iterator[Measured]:
    """Default ranges."""
    for name in ("tanh", "silu", "hard_tanh"):
        yield first(lambda name=name: mf.phase_diagram(name), mean_chi)


def recommend() -> Iterator[Measured]:
    """One activation, two depths."""
    for depth in (100, 101):
        yield first(lambda depth=depth: mf.recommend("silu", depth=depth), lambda found: found.sigma_w)


def gradient() -> Iterator[Measured]:
    """Eager, at two points."""
    for sigma_w in (1.5, 1.51):
        yield first(lambda sigma_w=sigma_w: jax.grad(depth_scale)(sigma_w), float)


def transformed(function: Callable[[Any], Any], at: float) -> Iterator[Measured]:
    """One call of a transformed function."""
    yield first(lambda: function(at), float)


def warm() -> Iterator[Measured]:
    """Medians of 20 calls after 3, sigma_w moved at each."""
    near = float(mf.critical("tanh", sigma_b=0.3).sigma_w)
    for sigma_w, step in ((1.5, 1e-3), (near * (1 + 1e-4), 1e-6)):
        points = [mf.MLP("tanh", sigma_w + i * step, 0.3) for i in range(23)]
        found = [wall(lambda block=block: mf.fixed_point(block)) for block in points]
        yield Measured(1e3 * statistics.median(spent for spent, _ in found[3:]), float(found[0][1].xi_c))


def activation() -> Iterator[Measured]:
    """Its kinks are found numerically."""
    yield first(lambda: mf.activation(clipped), lambda found: len(found.kinks))


def new_panel(name: str) -> Iterator[Measured]:
    """Warm diagrams over nearly the same range, then one that reaches a little further."""

    def microseconds(upper: float) -> Measured:
        spent, found = wall(lambda: mf.phase_diagram(name, sigma_w=(0.5, upper, 300), sigma_b=(0.0, 1.0, 250)))
        return Measured(1e6 * spent / (300 * 250), mean_chi(found))

    for upper in (2.0, 1.999, 1.998):
        microseconds(upper)
    known = [microseconds(upper) for upper in (1.9995, 1.9985, 1.9992, 1.9982, 1.9988)]
    inside, beyond = statistics.median(m.number for m in known), microseconds(ENTERING[name])
    yield Measured(inside, known[0].value)
    yield beyond
    yield Measured(beyond.number / inside, beyond.value)


SCENARIOS: dict[str, Callable[[], Iterator[Measured]]] = {
    UNIT: direct,
    "fixed-point": fixed_point,
    "second-activation": second_activation,
    "critical": critical,
    "trajectory-chaotic": lambda: trajectory(2.0),
    "trajectory-ordered": lambda: trajectory(0.9),
    "phase-diagram": phase_diagram,
    "recommend": recommend,
    "grad": gradient,
    "jit": lambda: transformed(jax.jit(depth_scale), 1.5),
    "jit-grad": lambda: transformed(jax.jit(jax.grad(depth_scale)), 1.5),
    "hessian": lambda: transformed(jax.hessian(depth_scale), 1.5),
    "grad-parameter": lambda: transformed(jax.grad(depth_scale_of), 1.1),
    "warm": warm,
    "activation": activation,
    "new-panel-gelu": lambda: new_panel("gelu"),
    "new-panel-selu": lambda: new_panel("selu"),
}


def play(name: str) -> None:
    """Run a scenario in this process: one line of JSON as each of its numbers is known."""
    jnp.add(1.0, 1.0).block_until_ready()
    for measured in SCENARIOS[name]():
        print(json.dumps(measured._asdict() | {"package": str(Path(mf.__file__).parent)}), flush=True)


class Side(NamedTuple):
    """A `meanfield` that is measured: the one that this Python finds, or that of a checkout."""

    name: str
    python: str
    checkout: Path | None = None

    def run(self, scenario: str) -> dict[str, Any]:
        """The numbers of a scenario in a fresh process, or the last line of its error."""
        command = [self.python, __file__, "--scenario", scenario]
        try:
            done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=LIMIT)
        except subprocess.TimeoutExpired as late:
            out = late.stdout or b""
            return {"numbers": lines_of(out.decode() if isinstance(out, bytes) else out), "error": f"over {LIMIT} s"}
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        numbers = lines_of(done.stdout)
        self.check(numbers)
        return {"numbers": numbers, "error": said[-1].strip() if done.returncode else None}

    def environment(self) -> dict[str, str]:
        """No compilation cache, no accelerator; an error's own line is the last."""
        environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
        environment |= {"MEANFIELD_CACHE": "off", "JAX_PLATFORMS": "cpu", "JAX_TRACEBACK_FILTERING": "off"}
        return environment | ({"PYTHONPATH": str(self.checkout)} if self.checkout else {})

    def check(self, numbers: list[dict[str, Any]]) -> None:
        """That it was this side's package."""
        for package in {n["package"] for n in numbers}:
            if self.checkout and Path(package) != self.checkout / "meanfield":
                raise SystemExit(f"--against {self.checkout}: {self.python} imported {package}")


def lines_of(text: str) -> list[dict[str, Any]]:
    """What `play` printed."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=list(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--repeat", type=int, default=1, help="processes of each scenario, of which medians are taken")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout, whose meanfield comes beside")
    parser.add_argument("--against-python", metavar="PATH", default=sys.executable, help="its interpreter")
    parser.add_argument("--json", type=Path, help="write every number here")
    parser.add_argument("--scenario", choices=list(SCENARIOS), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def sides_of(args: argparse.Namespace) -> list[Side]:
    """The old one first."""
    now = Side("now", sys.executable)
    return [Side("before", args.against_python, args.against.resolve()), now] if args.against else [now]


def run(names: Sequence[str], sides: Sequence[Side], repeat: int) -> list[dict[str, Any]]:
    """Every process in turn, each with a Y just before it."""
    runs = []
    for i in range(repeat):
        for name in names:
            # Alternate, so that neither side always runs second.
            for side in sides if i % 2 == 0 else sides[::-1]:
                unit = sides[-1].run(UNIT)
                if unit["error"]:
                    raise SystemExit(f"the direct solver failed: {unit['error']}")
                runs.append({"scenario": name, "side": side.name, "Y": unit["numbers"][0]["number"], **side.run(name)})
                print(f"  {in_brief(runs[-1])}", file=sys.stderr, flush=True)
    return runs


def in_brief(one: dict[str, Any]) -> str:
    """A progress line."""
    numbers = ", ".join(f"{n['number']:.3g}" for n in one["numbers"])
    return f"{one['scenario']:<20} {one['side']:<7} {numbers} (Y {one['Y']:.2f} s) {one['error'] or ''}"


def summary(runs: list[dict[str, Any]], sides: Sequence[Side], y: float) -> list[dict[str, Any]]:
    """The table's rows: medians in the row's unit by side, and digests of the answers or errors."""
    rows = []
    for name in dict.fromkeys(r["scenario"] for r in runs):
        for k, row in enumerate(ROWS[name]):
            found = {side.name: number_of(runs, name, side.name, k, row.unit, y) for side in sides}
            rows.append({"scenario": name, **row._asdict(), "asked": asked_of(row, found), **found})
    return rows


def number_of(runs: list[dict[str, Any]], name: str, side: str, k: int, unit: str, y: float) -> dict[str, Any]:
    """The median of one row on one side, or the error that kept it from being measured."""
    of = [r for r in runs if (r["scenario"], r["side"]) == (name, side)]
    known = [r["numbers"][k] for r in of if len(r["numbers"]) > k]
    if not known:
        return {"number": None, "error": next((r["error"] for r in of if r["error"]), "nothing measured")}
    number = statistics.median(n["number"] for n in known) / (y if unit == "Y" else 1)
    return {"number": number, "value": known[0]["value"], "runs": [n["number"] for n in known]}


def asked_of(row: Row, found: dict[str, dict[str, Any]]) -> float | None:
    """What is asked; of milliseconds half of those before."""
    before = found.get("before", {}).get("number")
    return before / 2 if row.unit == "ms" and before else row.asked


def table(rows: list[dict[str, Any]], sides: Sequence[Side]) -> str:
    """Aligned columns; errors below."""
    names = [side.name for side in sides]
    beside = ("before/now", "answer") if len(names) == 2 else ()
    heads = ("first call of its kind", "in", *names, *beside, "today", "asked", "reached")
    cells = [heads, *(cells_of(row, names) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    aligned = ["<", "<", *[">"] * (len(heads) - 2)]
    shapes = list(zip(aligned, widths, strict=True))
    lines = ["  ".join(f"{c:{s}{w}}" for c, (s, w) in zip(line, shapes, strict=True)) for line in cells]
    failed = {f"{row['scenario']}, {n}: {row[n]['error']}": None for row in rows for n in names if row[n].get("error")}
    return "\n".join([lines[0].rstrip(), "-" * len(lines[0]), *(line.rstrip() for line in lines[1:]), *failed])


def cells_of(row: dict[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """One line of the table."""
    numbers = [row[name]["number"] for name in names]
    cells = [row["what"], row["unit"], *(short(n) if n is not None else "failed" for n in numbers)]
    if len(names) == 2:
        cells += [short(numbers[0] / numbers[1]) if None not in numbers else "", agreement(row)]
    reached = "" if row["asked"] is None else "no" if numbers[-1] is None or numbers[-1] > row["asked"] else "yes"
    asked = short(row["asked"]) if row["asked"] is not None else "half" if row["unit"] == "ms" else ""
    return (*cells, row["today"], asked, reached)


def agreement(row: dict[str, Any]) -> str:
    """Whether both sides answered the same."""
    old, new = (row[name].get("value") for name in ("before", "now"))
    if old is None or new is None:
        return ""
    same = math.isclose(old, new, rel_tol=SAME) or (math.isnan(old) and math.isnan(new))
    return "same" if same else f"{old:.6g}, {new:.6g}"


def short(number: float) -> str:
    """Three digits."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def report(found: dict[str, Any], sides: Sequence[Side]) -> str:
    """The machine, Y, what was measured, the table."""
    units = [r["Y"] for r in found["runs"]]
    lines = [
        f"{in_words(found['machine'])}; jax {found['versions']['jax']}",
        f"Y = {found['Y']:.3f} s of the processor (median of {len(units)}: {min(units):.2f} to {max(units):.2f}); "
        f"medians of {found['repeat']}",
        *(f"{name}: {where}" for name, where in found["packages"].items()),
        "",
        table(found["rows"], sides),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write the JSON; or be one of the processes that are measured."""
    args = arguments()
    if args.scenario:
        play(args.scenario)
        return
    here, sides = machine(), sides_of(args)
    runs = run([name for name in ROWS if name in (args.only or ROWS)], sides, args.repeat)
    y = statistics.median(r["Y"] for r in runs)
    found = {
        "machine": here,
        "versions": {name: version(name) for name in ("jax", "jaxlib", "numpy")},
        "packages": {r["side"]: n["package"] for r in runs for n in r["numbers"]},
        "repeat": args.repeat,
        "Y": y,
        "rows": summary(runs, sides, y),
        "runs": runs,
    }
    print(report(found, sides))
    if args.json:
        write(args.json, found)


if __name__ == "__main__":
    main()
