"""The command line `meanfield VERB`: argument parsing and printing, and nothing else.

Each verb is one module with `configure(parser)` and `run(args) -> exit code`; each verb makes one call to the public
API. These modules are imported for `meanfield --help`, so none of them imports JAX or matplotlib at the top: only `run`
does.
"""

from .app import main

__all__ = ["main"]
