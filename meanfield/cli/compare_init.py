"""compare-init: every initialization scheme for one activation, predicted and measured on wide networks."""

from __future__ import annotations

import argparse

from . import environment, options, outputs, show


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's options."""
    options.activation(parser)
    parser.add_argument("--depth", type=options.integer, metavar="L", help="hidden layers (default 50)")
    parser.add_argument("--width", type=options.integer, metavar="N", help="units per layer measured (default 500)")
    parser.add_argument("--seeds", type=options.integer, metavar="K", help="networks measured per scheme (default 3)")
    parser.add_argument("--key", type=options.integer, metavar="I", help="seed of all random numbers")
    parser.add_argument("--theory", action="store_true", help="skip the measurement")
    options.figure(parser)
    options.json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Compare and print; with -o, draw the schemes on the phase diagram."""
    figure = outputs.writable("-o", args.output, outputs.FIGURES)
    environment.use_compilation_cache()
    outputs.headless()
    from .. import compare_init

    sizes = options.given(depth=args.depth, width=args.width, seeds=args.seeds, key=args.key)
    found = compare_init(options.phi(args), measured=not args.theory, **sizes)
    if figure is not None:
        outputs.save_figure(found.plot(), figure, args.argv)
    if args.json:
        show.print_json(show.to_jsonable(found))
        return 0
    print(f"{found.activation}, {found.depth} layers; measured on {found.seeds} networks of width {found.width}")
    headers, rows = found.table()
    show.print_columns(headers, [[_short(value) for value in row] for row in rows])
    if figure is not None:
        print(f"wrote {figure}")
    return 0


def _short(value: object) -> str:
    if isinstance(value, str):
        return value
    return "undefined" if value != value else f"{value:.4g}"
