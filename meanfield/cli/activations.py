"""activations: list the named activations, with their constants and critical points."""

from __future__ import annotations

import argparse

from . import environment, options, show

# One point for comparison: the critical point at the sigma_b^2 of Schoenholz et al. 2017.
SIGMA_B_VAR = 0.05


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's options."""
    options.json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table of named activations."""
    environment.use_compilation_cache()
    from .. import activation, critical
    from ..gaussian.named import NAMED

    rows = []
    for name in NAMED:
        phi = activation(name)
        point = critical(phi, sigma_b=SIGMA_B_VAR**0.5)
        constants = ", ".join(f"{key}={show.figures(value)}" for key, value in phi.params.items())
        rows.append((name, constants, float(point.sigma_w), float(point.q_star), str(point.status)))
    if args.json:
        keys = ("name", "constants", "sigma_w", "q_star", "status")
        show.print_json({"sigma_b_var": SIGMA_B_VAR, "activations": [dict(zip(keys, r, strict=True)) for r in rows]})
        return 0
    show.print_columns(("activation", "constants", "critical sigma_w", "q*", "status"), rows)
    print(f"(critical points at sigma_b^2 = {SIGMA_B_VAR:g})")
    return 0
