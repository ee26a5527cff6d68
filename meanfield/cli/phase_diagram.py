"""phase-diagram: chi_1 over (sigma_w, sigma_b) with the critical line, as a figure and as numbers."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import environment, options, outputs, show

if TYPE_CHECKING:
    from ..theory.phase_diagram import PhaseDiagram


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's options."""
    options.activation(parser)
    options.architecture(parser)
    options.figure(parser)
    parser.add_argument("--data", metavar="FILE", help="every field as numbers: .nc (NetCDF)")
    for name in ("--sigma-w", "--sigma-b"):
        parser.add_argument(name, nargs=3, metavar=("LO", "HI", "N"), help="range, both ends included, and its points")
    for name in ("--x", "--y"):
        words = ("LEAF", "LO", "HI", "N")
        parser.add_argument(name, nargs=4, metavar=words, help="the range of any leaf, as rate or blocks.1.sigma_w")
    options.json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Compute the diagram; write the figure and the data; print a summary."""
    figure = outputs.writable("-o", args.output, outputs.FIGURES)
    data = outputs.writable("--data", args.data, outputs.DATA)
    if figure is None and data is None and not args.json:
        raise InputError("phase-diagram has nothing to write: give -o FILE.png, --data FILE.nc or --json")
    ranges = {name: options.span(f"--{name.replace('_', '-')}", getattr(args, name)) for name in ("sigma_w", "sigma_b")}
    environment.use_compilation_cache()
    outputs.headless()
    from .. import phase_diagram

    axes = {name: options.leaf_span(f"--{name}", getattr(args, name)) for name in ("x", "y")}
    found = phase_diagram(options.block(args), **options.given(**ranges, **axes))
    if figure is not None:
        outputs.save_figure(found.plot(), figure, args.argv)
    if data is not None:
        found.save(data)
    if args.json:
        show.print_json(_attributes(found))
    else:
        _summary(args, found, [path for path in (figure, data) if path])
    return 0


def _attributes(found: PhaseDiagram) -> dict[str, Any]:
    """The diagram as a dict of its attributes: the axes, every field of its fixed points, and the block."""
    axes = {"x": found.x, "y": found.y, "x_leaf": found.x_leaf, "y_leaf": found.y_leaf}
    sigmas = {a.leaf: a.values for a in (found.x_axis, found.y_axis) if a.leaf in ("sigma_w", "sigma_b")}
    fields = {f.name: getattr(found.point, f.name) for f in dataclasses.fields(found.point)}
    known = {"critical_line": found.critical_line, "block": found.block, "activation": found.activation}
    return axes | sigmas | fields | known


def _summary(args: argparse.Namespace, found: PhaseDiagram, paths: Sequence[Path]) -> None:
    import numpy as np

    words = found.phase.words
    counts = np.bincount(np.ravel(found.phase.code), minlength=len(words))
    shares = ((w, f"{n / counts.sum():.1%}", "of the cells") for w, n in zip(words, counts, strict=True) if n)
    sides = (f"{a.leaf} {a.values[0]:g} to {a.values[-1]:g}" for a in (found.x_axis, found.y_axis))
    network = args.activation if args.architecture == "mlp" else f"{args.architecture} {args.activation}"
    show.print_quantities(f"{network}, {found.x.size} x {found.y.size} cells, {', '.join(sides)}", shares)
    for path in paths:
        print(f"wrote {path}")
