"""critical: the point where chi_1 = 1, for one of sigma_b, sigma_w or q* given."""

from __future__ import annotations

import argparse
import shlex

from ..errors import InputError
from . import environment, options, show


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's options."""
    options.activation(parser)
    options.sigmas(parser, required=False)
    parser.add_argument("--q", type=options.number, metavar="Q", help="variance q* at the critical point")
    options.json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Find and print the critical point; 1 if there is none."""
    chosen = options.given(sigma_b=args.sigma_b, sigma_w=args.sigma_w, q=args.q)
    if len(chosen) != 1:
        what = " and ".join(f"--{name.replace('_', '-')}" for name in chosen) or "none"
        raise InputError(f"{what} given: give exactly one of --sigma-b, --sigma-w, --q; the others follow")
    environment.use_compilation_cache()
    from .. import critical

    found = critical(options.phi(args), **chosen)
    missing = found.status == "none"
    squares = {"sigma_w_var": found.sigma_w**2, "sigma_b_var": found.sigma_b**2}
    if args.json:
        show.print_json({"activation": args.activation} | show.to_jsonable(found) | show.to_jsonable(squares))
        return int(missing)
    name, value = next(iter(chosen.items()))
    if missing:
        print(f"{args.activation} has no critical point at {name} = {value:.12g}: chi_1 = 1 at no fixed point there")
        print(f"what to use instead: meanfield recommend {shlex.quote(args.activation)}")
        return 1
    rows = [
        ("sigma_w", found.sigma_w, "standard deviation of the weights"),
        ("sigma_w^2", squares["sigma_w_var"], "their variance x fan_in"),
        ("sigma_b", found.sigma_b, "standard deviation of the biases"),
        ("sigma_b^2", squares["sigma_b_var"], "their variance"),
        ("q*", found.q_star, "fixed point of the pre-activation variance"),
        ("chi_q", found.chi_q, "slope of the variance map at q*"),
        ("stable", bool(found.stable), "chi_q < 1: variances return to q*"),
        ("status", found.status, "found, none, limit_q0 or scale_invariant"),
    ]
    show.print_quantities(f"{args.activation}, critical point at {name} = {value:.12g}", rows)
    return 0
