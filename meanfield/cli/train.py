"""train: train a grid of deep networks, with the depth to which the theory predicts training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import environment, options, outputs, show

if TYPE_CHECKING:
    from ..training import Sweep, Trainability

# Options that each set one field of `meanfield.Sweep`, with its type; defaults are the dataclass's.
FIELDS = {
    "sigma_b": (options.number, "S", "standard deviation of biases (default sqrt(0.05))"),
    "width": (options.integer, "N", "units per layer"),
    "steps": (options.integer, "T", "optimizer steps"),
    "batch_size": (options.integer, "B", "examples per step"),
    "learning_rate": (options.number, "R", "learning rate"),
    "optimizer": (str, "NAME", "sgd, adam or rmsprop"),
    "momentum": (options.number, "M", "momentum of sgd"),
    "seeds": (options.integer, "K", "independent networks per cell"),
    "data": (str, "NAME", "data set: digits, mnist, fashion_mnist, cifar10"),
    "data_path": (str, "FILE", "path of the data set, unless shipped"),
    "key": (options.integer, "I", "seed of all random numbers"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's options."""
    options.activation(parser)
    parser.add_argument(
        "--sigma-w", nargs="+", metavar="S", help="LO HI N, both ends included; other than three words: values"
    )
    parser.add_argument("--depths", nargs="+", type=options.integer, metavar="L", help="depths in layers")
    options.architecture(parser)
    axis = "one more axis: a leaf of the block, as rate or scale, and its range, both ends included"
    parser.add_argument("--axis", nargs=4, action="append", metavar=("LEAF", "LO", "HI", "N"), help=axis)
    for name, (kind, metavar, text) in FIELDS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)
    options.figure(parser)
    parser.add_argument("--out", metavar="FILE", help="the run as numbers, saved as it goes: .nc (NetCDF)")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--dry-run", action="store_true", help="print the estimated cost, and stop")
    options.json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Train the grid; print the accuracies; draw the map."""
    figure = outputs.writable("-o", args.output, outputs.FIGURES)
    data = _run_file(args)
    environment.use_compilation_cache()
    outputs.headless()
    from .. import Sweep, train

    fields = {name: getattr(args, name) for name in FIELDS}
    depths = None if args.depths is None else tuple(args.depths)
    axes = dict(span for words in args.axis or () if (span := options.leaf_span("--axis", words)))
    given = options.given(sigma_w=_values(args.sigma_w), depths=depths, axes=axes or None, **fields)
    sweep = Sweep(_trained(args), **given)
    if args.dry_run:
        _say_cost(args, sweep)
        return 0
    found = train(sweep, path=data, resume=args.resume)
    if figure is not None:
        outputs.save_figure(found.plot(), figure, args.argv)
    if args.json:
        show.print_json(found.to_dict())
    else:
        _report(found, [path for path in (figure, data) if path])
    return 0 if found.complete else 130


def _trained(args: argparse.Namespace) -> Any:
    """The argument of `Sweep`: the activation for an MLP, else the block."""
    return options.phi(args) if args.architecture == "mlp" and not args.set else options.block(args)


def _run_file(args: argparse.Namespace) -> Path | None:
    data = outputs.writable("--out", args.out, outputs.DATA)
    if args.resume and data is None:
        raise InputError("--resume needs --out FILE.nc, the run to continue")
    if data is not None and data.exists() and not args.resume:
        raise InputError(f"--out {args.out!r} exists; add --resume to continue it, or name another file")
    return data


def _values(words: list[str] | None) -> tuple | list | None:
    if words is None:
        return None
    if len(words) == 3 and words[2].isdigit():
        return options.span("--sigma-w", words)
    try:
        return [float(options.plain(word)) for word in words]
    except ValueError:
        raise InputError(f"--sigma-w {' '.join(words)}: give LO HI N, or numbers") from None


def _say_cost(args: argparse.Namespace, sweep: Sweep) -> None:
    cost = sweep.cost()
    if args.json:
        show.print_json({"sweep": sweep.manifest(), "cost": show.to_jsonable(cost)})
        return
    for text in (str(cost), *(f"warning: {text}" for text in sweep.warnings)):
        print(text)


def _report(found: Trainability, paths: list[Path]) -> None:
    leaves = found.sweep.leaves
    if len(leaves) == 1:
        ((leaf, values),) = leaves.items()
        print(f"training accuracy, by depth and {leaf}")
        show.print_columns(["depth", *(f"{value:.3g}" for value in values)], _rows(found))
        lines = [f"warning: {text}" for text in found.warnings]
    else:
        lines = repr(found).splitlines()
    for text in (*lines, *(f"wrote {path}" for path in paths)):
        print(text)


def _rows(found: Trainability) -> list[list[str]]:
    """A line of accuracies for each depth, the deepest first, and the predicted depth limit, 6 xi_c."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        accuracy = np.nanmean(found.train_accuracy, axis=-1) if found.complete else found.train_accuracy[..., 0]
    rows = [[str(depth), *map(_short, line)] for depth, line in zip(found.depths[::-1], accuracy[::-1], strict=True)]
    return [*rows, ["6 xi_c", *(f"{6 * xi:.3g}" for xi in found.xi_c)]]


def _short(value: float) -> str:
    return "" if value != value else f"{value:.2f}"
