"""Options shared by several verbs, and the parsing of numbers."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from ..blocks.architectures import ARCHITECTURES
from ..errors import InputError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that names the argument, like every other error here."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)
        # argparse takes "-1e-3" and "-inf" for options and then reports a missing value; as values, they get the
        # library's clearer message about a negative sigma.
        self._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|^-(inf|nan)$", re.IGNORECASE)

    def error(self, message: str) -> NoReturn:
        """Raise `InputError` with the message and a pointer to the help."""
        raise InputError(f"{message} (see {self.prog} --help)")


def activation(parser: argparse.ArgumentParser) -> None:
    """Add the positional ACTIVATION and --param, the values of its parameters."""
    text = 'a name ("tanh"; see `meanfield activations`) or an expression in x ("where(x > 0, x, a * x)")'
    parser.add_argument("activation", metavar="ACTIVATION", help=text)
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the activation, as a=0.1"
    )


def phi(args: argparse.Namespace) -> Any:
    """The argument for ACTIVATION: the word itself, or the `Activation` with its --param values."""
    if not args.param:
        return args.activation
    from ..gaussian.named import activation as named

    return named(args.activation, **_numbers("--param", args.param, "NAME=VALUE", "a=0.1"))


def _numbers(option: str, items: list[str], form: str, example: str) -> dict[str, float]:
    """Names and numbers from an option given as NAME=VALUE, any number of times."""
    values = {}
    for item in items:
        name, _, value = item.partition("=")
        try:
            values[name.strip()] = float(plain(value))
        except ValueError:
            raise InputError(f"{option} {item!r}: give {form} with a number, as in {option} {example}") from None
    return values


def architecture(parser: argparse.ArgumentParser) -> None:
    """Add --architecture and --set, the values of its leaves."""
    names = ", ".join(ARCHITECTURES)
    parser.add_argument("--architecture", metavar="NAME", default="mlp", help=f"{names} (default mlp)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="LEAF=VALUE", help="a leaf of the block, as rate=0.2 or scale=0.5"
    )


def block(args: argparse.Namespace, **leaves: float) -> Any:
    """The block of --architecture with ACTIVATION, its leaves from --set and the caller."""
    from ..blocks.architectures import architecture as named

    leaves |= _numbers("--set", args.set, "LEAF=VALUE", "rate=0.2")
    return named(args.architecture, phi(args), **leaves)


def sigmas(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add --sigma-w and --sigma-b, one number each."""
    parser.add_argument("--sigma-w", type=number, required=required, metavar="S", help="std of weights x sqrt(fan_in)")
    parser.add_argument("--sigma-b", type=number, required=required, metavar="S", help="standard deviation of biases")


def json_flag(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help='print JSON: NaN is null, infinities "inf" and "-inf"')


def figure(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """Add -o / --output, the figure's path."""
    parser.add_argument("-o", "--output", metavar="FILE", required=required, help="figure: .png, .pdf or .svg")


def plain(word: str) -> str:
    """A word that may be a number; ValueError where Python would read one that nobody writes so: 1_5 is not 15.

    >>> plain("1.5")
    '1.5'
    """
    if "_" in word or not word.isascii():
        raise ValueError(word)
    return word


def number(word: str) -> float:
    """A float; argparse turns the error into an `InputError` that names the option.

    >>> number("1e-3")
    0.001
    """
    try:
        return float(plain(word))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number") from None


def integer(word: str) -> int:
    """An integer, written as one.

    >>> integer("50")
    50
    """
    try:
        return int(plain(word))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is not an integer") from None


def span(option: str, words: list[str] | None) -> tuple[float, float, int] | None:
    """A range (lo, hi, n) from the three words after `option`; None passes through, for the library's default.

    >>> span("--sigma-w", ["0.5", "4", "300"])
    (0.5, 4.0, 300)
    """
    if words is None:
        return None
    try:
        low, high, count = words
        return float(plain(low)), float(plain(high)), int(plain(count))
    except ValueError:
        raise InputError(
            f"{option} {' '.join(words)}: give LO HI N, two numbers and how many points, as in {option} 0.5 4 300"
        ) from None


def leaf_span(option: str, words: list[str] | None) -> tuple[str, tuple[float, float, int]] | None:
    """(leaf, range) from the four words after `option`.

    >>> leaf_span("--y", ["rate", "0", "0.5", "26"])
    ('rate', (0.0, 0.5, 26))
    """
    return None if words is None else (words[0], span(option, words[1:]))  # type: ignore[return-value]


def given(**options: Any) -> dict[str, Any]:
    """The options that the user set; the rest keep the library's defaults, which are declared only there.

    >>> given(depth=50, width=None)
    {'depth': 50}
    """
    return {name: value for name, value in options.items() if value is not None}
