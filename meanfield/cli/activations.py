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
        if point.status == "none" and (at_zero := critical(phi, sigma_b=0.0)).status == "scale_invariant":
            point = at_zero
        constants = ", ".join(f"{key}={show.figures(value)}" for key, value in phi.params.items())
        numbers = (float(v) for v in (point.sigma_w, point.sigma_b, point.q_star))
        rows.append((name, constants, *numbers, str(point.status)))
    if args.json:
        keys = ("name", "constants", "sigma_w", "sigma_b", "q_star", "status")
        show.print_json({"sigma_b_var": SIGMA_B_VAR, "activations": [dict(zip(keys, r, strict=True)) for r in rows]})
        return 0
    shown = [(*row[:4], "any" if row[5] == "scale_invariant" else row[4], row[5]) for row in rows]
    show.print_columns(("activation", "constants", "critical sigma_w", "sigma_b", "q*", "status"), shown)
    print(f"(critical points at sigma_b^2 = {SIGMA_B_VAR:g}; scale_invariant: at sigma_b = 0, whatever q is)")
    return 0
