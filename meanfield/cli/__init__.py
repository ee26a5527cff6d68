"""The command line `meanfield VERB`: argument parsing and printing, and nothing else.

Each verb is one module with `configure(parser)` and `run(args) -> exit code`; whatever a verb computes is one call
of the library's public face. These modules are imported for `meanfield --help`, so none of them imports JAX or
matplotlib at its top: only `run` does.
"""

from .app import main

__all__ = ["main"]
