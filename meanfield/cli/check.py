"""check: compare real networks at initialization with the prediction, with a verdict."""

from __future__ import annotations

import argparse

from . import environment, options, outputs, show

REJECTED = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's options."""
    options.activation(parser)
    options.sigmas(parser)
    options.architecture(parser)
    parser.add_argument("--depth", type=options.integer, metavar="L", help="hidden layers (default 50)")
    parser.add_argument("--width", type=options.integer, metavar="N", help="units per layer (default 1000)")
    parser.add_argument("--seeds", type=options.integer, metavar="K", help="independent networks (default 10)")
    parser.add_argument("--key", type=options.integer, metavar="I", help="seed of all random numbers")
    options.figure(parser)
    options.json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and the verdict, draw; exit code 1 if the theory is rejected."""
    figure = outputs.writable("-o", args.output, outputs.FIGURES)
    environment.use_compilation_cache()
    outputs.headless()
    from .. import check

    block = options.block(args, sigma_w=args.sigma_w, sigma_b=args.sigma_b)
    sizes = options.given(depth=args.depth, width=args.width, seeds=args.seeds, key=args.key)
    found = check(block, **sizes)
    if figure is not None:
        outputs.save_figure(found.plot(), figure, args.argv)
    if args.json:
        show.print_json(show.to_jsonable(found) | {"verdict": show.to_jsonable(found.verdict)})
    else:
        print(found.table())
        if figure is not None:
            print(f"wrote {figure}")
    return REJECTED if str(found.verdict) == "rejected" else 0
