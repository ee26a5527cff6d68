"""meanfield: the mean-field theory of deep networks at initialization, for any activation.

A block maps a kernel to a kernel; every quantity is a function of a block. The flat names load their modules when
they are first used (`interface.names` has the table), so that `import meanfield` costs next to nothing.
"""

from importlib import import_module
from typing import Any

from .interface.names import ALIASES, FLAT, FORMER, ROOMS, look_up

__version__ = "0.1.0"

__all__ = [*FLAT, *ALIASES, *ROOMS]


def __getattr__(name: str) -> Any:
    name = ALIASES.get(name, name)
    if name in FLAT:
        value = look_up(name, FLAT)
        if name == "measure":
            # In the first version it was also a room; the names that it held are still found there.
            for former in FORMER["measure"]:
                setattr(value, former, look_up(former, FORMER["measure"]))
        globals()[name] = value
        return value
    if name in ROOMS:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'meanfield' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
