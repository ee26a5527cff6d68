"""recommend: how to initialize a deep network with this activation, why, and Flax code to paste."""

from __future__ import annotations

import argparse
import textwrap

from . import environment, options, show

MEANINGS = {
    "sigma_w": "standard deviation of the weights x sqrt(fan_in)",
    "sigma_b": "standard deviation of the biases",
    "q_star": "variance of pre-activations at the fixed point",
    "chi_1": "factor of a squared gradient per layer",
    "chi_q": "slope of the variance map there",
    "xi_c": "layers over which correlations converge",
    "xi_grad": "layers over which gradients change e-fold",
    "branch_scale": "alpha in x + alpha F(x)",
    "log_gradient": "ln of the squared gradient's factor over the depth",
    "jacobian_spread": "variance of squared singular values over the depth",
    "depth_limit": "maximum useful depth",
    "width": "below this width single networks vary widely",
    "sigma_w_range": "sigma_w whose depth scales still reach the depth",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's options."""
    options.activation(parser)
    parser.add_argument("--depth", type=options.integer, metavar="L", help="layers (default 50)")
    parser.add_argument("--depth-wanted", type=options.integer, metavar="L", help="depth for the range of sigma_w")
    parser.add_argument("--architecture", metavar="WORD", help="mlp (default), residual or conv")
    parser.add_argument("--weights", metavar="WORD", help="gaussian (default) or orthogonal")
    parser.add_argument("--code", choices=("nnx", "linen", "none"), default="nnx", help="which program to print")
    options.json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Find, explain and print the recommendation."""
    environment.use_compilation_cache()
    from .. import recommend

    names = ("depth", "depth_wanted", "architecture", "weights")
    found = recommend(options.phi(args), **options.given(**{name: getattr(args, name) for name in names}))
    if args.json:
        show.print_json(show.to_jsonable(found))
        return 0
    title = f"{found.activation}, {found.depth} layers, {found.architecture}, {found.weights} weights: {found.status}"
    low, high = (show.figures(float(v)) for v in found.sigma_w_range)
    values = {name: getattr(found, name) for name in MEANINGS} | {"sigma_w_range": f"{low} to {high}"}
    show.print_quantities(title, [(name, values[name], meaning) for name, meaning in MEANINGS.items()])
    for text in found.caveats:
        print(textwrap.fill(text, 110, initial_indent="- ", subsequent_indent="  "))
    if args.code != "none":
        print("\n" + getattr(found, args.code).rstrip())
    return 0
