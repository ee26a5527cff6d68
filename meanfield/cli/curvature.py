"""curvature: the curvature of the correlation map at c = 1, and the decay of correlations on the critical line."""

from __future__ import annotations

import argparse
import math

from ..errors import InputError
from . import environment, options, show

MEANINGS = {
    "q": "variance at which the correlation map is taken",
    "slope": "C'(1), chi_1 at q*",
    "curvature": "C''(1); infinite for an activation with kinks",
    "three_halves": "coefficient of (1 - c)^(3/2), from the kinks",
    "critical": "whether C'(1) = 1 and q = V(q)",
    "kappa": "limit of (1 - c) x layers, on the critical line",
    "coefficient": "limit of (1 - c) x layers^2, on the critical line",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's options."""
    options.activation(parser)
    options.sigmas(parser, required=False)
    parser.add_argument("--q", type=options.number, metavar="Q", help="variance (default q*)")
    options.json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Compute and print the second order; without --sigma-w, at the critical sigma_w."""
    if args.sigma_b is None:
        raise InputError("--sigma-b is missing; give it, so that the critical sigma_w can be found, or give --sigma-w")
    environment.use_compilation_cache()
    from .. import MLP, critical, curvature

    phi = options.phi(args)
    sigma_w = args.sigma_w if args.sigma_w is not None else float(critical(phi, sigma_b=args.sigma_b).sigma_w)
    if math.isnan(sigma_w):
        raise InputError(f"{args.activation} has no critical sigma_w at sigma_b = {args.sigma_b:g}; give --sigma-w")
    found = curvature(MLP(phi, sigma_w=sigma_w, sigma_b=args.sigma_b), q=args.q)
    if args.json:
        inputs = {"activation": args.activation, "sigma_w": sigma_w, "sigma_b": args.sigma_b}
        show.print_json(inputs | show.to_jsonable(found))
        return 0
    rows = [(name, getattr(found, name), meaning) for name, meaning in MEANINGS.items()]
    show.print_quantities(f"{args.activation}, sigma_w = {sigma_w:.12g}, sigma_b = {args.sigma_b:g}", rows)
    return 0
