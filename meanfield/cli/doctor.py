"""doctor: versions, devices, precision, and a self-test."""

from __future__ import annotations

import argparse
import os
import platform
import time

from . import environment, options, show

PACKAGES = ("jax", "jaxlib", "flax", "optax", "matplotlib", "xarray", "numpy", "scipy")
# tanh at sigma_w^2 = 2.5, sigma_b^2 = 0.05, from 30-digit quadrature.
SIGMA_W, SIGMA_B, Q_STAR = 1.5811388300841898, 0.22360679774997896, 1.063958377417


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's options."""
    options.json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Print the report; exit code 1 if the self-test fails."""
    environment.use_compilation_cache()
    import jax

    from .. import MLP, __version__, fixed_point

    began = time.perf_counter()
    found = float(fixed_point(MLP("tanh", sigma_w=SIGMA_W, sigma_b=SIGMA_B)).q_star)
    seconds = time.perf_counter() - began
    passed = abs(found - Q_STAR) < 1e-9 * Q_STAR
    report = {
        "meanfield": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{name: _version(name) for name in PACKAGES},
        "devices": ", ".join(str(device) for device in jax.devices()),
        "default_backend": jax.default_backend(),
        "x64_flag": jax.dtypes.canonicalize_dtype(float) == "float64",
        "compilation_cache": str(environment.cache_folder(os.environ) or "off"),
        "self_test": "passed" if passed else "FAILED",
        "self_test_q_star": found,
        "self_test_seconds": round(seconds, 3),
    }
    if args.json:
        show.print_json(report)
    else:
        notes = {
            "x64_flag": "your JAX flag; host calls compute in float64 either way",
            "self_test_q_star": f"must be {Q_STAR}",
        }
        show.print_quantities(
            "meanfield doctor", [(name, value, notes.get(name, "")) for name, value in report.items()]
        )
    return 0 if passed else 1


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # 40 ms, and `meanfield --help` loads this file

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
