"""phase-diagram: chi_1 over (sigma_w, sigma_b) with the critical line, as a figure and as numbers."""

from __future__ import annotations

import argparse

from ..errors import InputError
from . import environment, options, outputs, show


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
    """Compute the diagram; write the figure and the data; print what was found."""
    figure = outputs.writable("-o", args.output, outputs.FIGURES)
    data = outputs.writable("--data", args.data, outputs.DATA)
    if figure is None and data is None and not args.json:
        raise InputError("phase-diagram has nothing to write: give -o FILE.png, --data FILE.nc or --json")
    ranges = {name: options.span(f"--{name.replace('_', '-')}", getattr(args, name)) for name in ("sigma_w", "sigma_b")}
    environment.use_compilation_cache()
    outputs.headless()
    import meanfield as mf

    axes = {name: options.leaf_span(f"--{name}", getattr(args, name)) for name in ("x", "y")}
    to_jsonable = args.architecture == "mlp" and not args.set and not any(axes.values())
    of = options.phi(args) if to_jsonable else options.block(args)
    found = mf.phase_diagram(of, **options.given(**ranges, **axes))
    if figure is not None:
        outputs.save_figure(found.plot(), figure, args.argv)
    if data is not None:
        found.save(data)
    if args.json:
        show.print_json(found)
    else:
        _summary(args, found, [path for path in (figure, data) if path])
    return 0


def _summary(args: argparse.Namespace, found, paths) -> None:
    import numpy as np

    counts = np.bincount(np.ravel(found.phase.code), minlength=len(found.phase.words))
    total = counts.sum()
    shares = ((w, f"{n / total:.1%}", "of the cells") for w, n in zip(found.phase.words, counts, strict=True) if n)
    w, b = (found.x, found.y) if hasattr(found, "x") else (found.sigma_w, found.sigma_b)
    names = getattr(found, "x_leaf", "sigma_w"), getattr(found, "y_leaf", "sigma_b")
    box = f"{names[0]} {w[0]:g} to {w[-1]:g}, {names[1]} {b[0]:g} to {b[-1]:g}"
    network = args.activation if args.architecture == "mlp" else f"{args.architecture} {args.activation}"
    show.print_quantities(f"{network}, {len(w)} x {len(b)} cells, {box}", shares)
    for path in paths:
        print(f"wrote {path}")
