"""fixed-point: q*, c*, both susceptibilities and the depth scales of one network."""

from __future__ import annotations

import argparse

from . import environment, options, show

MEANINGS = {
    "q_star": "fixed point of the pre-activation variance",
    "c_star": "fixed point of the correlation of two inputs",
    "one_minus_c_star": "1 - c*, without cancellation",
    "chi_1": "perpendicular susceptibility, sigma_w^2 E[phi'^2]",
    "chi_1_minus_1": "its distance from criticality",
    "chi_c": "slope of the correlation map at c*",
    "chi_q": "slope of the variance map at q*",
    "xi_c": "layers over which correlations converge",
    "xi_q": "layers over which variances converge",
    "xi_grad": "layers over which gradients vanish (negative: explode)",
    "q_error": "estimated error of q*",
    "status": "how the iteration from q0 ended",
    "phase": "ordered, critical or chaotic",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's options."""
    options.activation(parser)
    options.architecture(parser)
    options.sigmas(parser)
    parser.add_argument("--q0", type=options.number, metavar="Q", help="variance to iterate from (default 1)")
    options.json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Compute and print the fixed point."""
    environment.use_compilation_cache()
    from .. import fixed_point

    block = options.block(args, sigma_w=args.sigma_w, sigma_b=args.sigma_b)
    found = fixed_point(block, **options.given(q0=args.q0))
    if args.json:
        inputs = {
            "activation": args.activation,
            "architecture": args.architecture,
            "sigma_w": args.sigma_w,
            "sigma_b": args.sigma_b,
        }
        show.print_json(inputs | show.to_jsonable(found))
        return 0
    network = args.activation if args.architecture == "mlp" else f"{args.architecture} {args.activation}"
    title = f"{network}, sigma_w = {args.sigma_w:g}, sigma_b = {args.sigma_b:g}: {found.phase}"
    rows = [(name, getattr(found, name), meaning) for name, meaning in MEANINGS.items()]
    show.print_quantities(title, rows)
    return 0
