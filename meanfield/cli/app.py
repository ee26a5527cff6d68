"""The entry point: finds the verb, runs it, and turns an error into one line and an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..errors import InputError
from .options import Parser
from .verbs import summary, verbs

BAD_INPUT, INTERRUPTED = 2, 130


def parser() -> Parser:
    """The parser of the whole command line; a verb's first docstring line is its help.

    >>> parser().parse_args(["critical", "gelu", "--sigma-b", "0.5"]).sigma_b
    0.5
    """
    top = Parser(
        prog="meanfield",
        description="Mean-field theory of deep networks at initialization: phase diagrams, critical points, and "
        "their validation on real networks.",
        epilog="Standard deviations throughout: W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2). "
        "Exit codes: 0 done, 1 the theory was rejected or the self-test failed, 2 bad input.",
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    parsers = top.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    for name, verb in verbs().items():
        line = summary(verb)
        verb.configure(parsers.add_parser(name, help=line, description=line[0].upper() + line[1:] + "."))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run `meanfield ARGV` (the process's own arguments where None) and return its exit code.

    0 done; 1 the theory was rejected, or the self-test failed; 2 bad input, reported in one line on standard error;
    130 interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(argv)
    except InputError as error:
        # One line, whatever an argument contains.
        print("meanfield:", " ".join(str(error).split()), file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("meanfield: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) is gone; keep silent, also when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(argv: list[str]) -> int:
    top = parser()
    args = top.parse_args(argv)
    if args.version:
        print("meanfield", __version__)
        return 0
    if args.verb is None:
        top.print_help()
        return 0
    args.argv = argv
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning
        return verbs()[args.verb].run(args)


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    # Where in the library it was raised does not concern someone typing a command.
    print("meanfield: warning:", " ".join(str(message).split()), file=sys.stderr)
